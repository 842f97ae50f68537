//! A pool all of whose workers wait for an item that is suspended: that item is resumed when it is
//! woken. And what is said of a pool that stands still.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use wq_core::driver::refuse_threads;
use wq_core::{JoinHandle, PoolStats, Queue, System};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// Workers that the pool has without hesitation, and at most.
const BOUND: usize = 2;
const CAP: usize = 2 * BOUND;

/// Items that block: more than the pool can have workers.
const CROWD: usize = CAP + 3;

/// What a suspended item waits for, and what the blocked ones wait for.
#[derive(Default)]
struct Meeting {
    /// Set for the suspended item.
    told: AtomicBool,
    waker: Mutex<Option<Waker>>,
    /// Set by the suspended item.
    open: Mutex<bool>,
    opened: Condvar,
    /// Blocked items that have begun.
    inside: AtomicUsize,
}

impl Meeting {
    /// Lets the suspended item go on.
    fn tell(&self) {
        self.told.store(true, Ordering::SeqCst);
        let waker = self.waker.lock().unwrap().take();
        waker.expect("it is suspended").wake();
    }

    /// The item for which all others wait; `restless`: it asks to be polled all the time.
    async fn wait_and_open(self: Arc<Self>, restless: bool) {
        poll_fn(|cx| {
            *self.waker.lock().unwrap() = Some(cx.waker().clone());
            if self.told.load(Ordering::SeqCst) {
                return Poll::Ready(());
            }
            if restless {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await;
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    /// An item that blocks until the other one has gone on; `then` is told how many have begun.
    fn block(&self, then: impl FnOnce(usize)) {
        then(self.inside.fetch_add(1, Ordering::SeqCst) + 1);
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.opened.wait(open).unwrap();
        }
    }
}

/// A System with one lane and few workers.
fn small_system() -> System {
    let builder = System::builder().workers(1).max_workers(BOUND);
    builder.build().unwrap()
}

/// The pool that the items are in.
fn pool(system: &System) -> PoolStats {
    let mut pools = system.pools().into_iter();
    pools.find(|pool| pool.workers > 0).expect("it has workers")
}

/// Waits until so many blocked items hold a worker each.
fn wait_until_inside(meeting: &Meeting, blocked: usize) {
    while meeting.inside.load(Ordering::SeqCst) < blocked {
        std::thread::yield_now();
    }
}

/// Whether the System of this name has a thread that only resumes.
#[cfg(all(target_os = "linux", not(wq_portable)))]
fn has_resumer(system: &str) -> bool {
    let mut names = threads().into_iter();
    names.any(|name| name.starts_with(&format!("{system}/u")) && name.contains(":r"))
}

/// Names of the threads of this process, as the kernel cuts them.
#[cfg(all(target_os = "linux", not(wq_portable)))]
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("procfs");
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        let comm = task.ok()?.path().join("comm");
        std::fs::read_to_string(comm).ok()
    };
    tasks.filter_map(name).collect()
}

/// Spawns the item that all wait for, and waits until it is suspended.
fn spawn_opener(queue: &Queue, meeting: &Arc<Meeting>, restless: bool) -> JoinHandle<()> {
    let opener = queue.spawn(Arc::clone(meeting).wait_and_open(restless));
    while meeting.waker.lock().unwrap().is_none() {
        std::thread::yield_now();
    }
    opener
}

/// Spawns so many items that block until the other one has gone on.
fn spawn_blocked(queue: &Queue, meeting: &Arc<Meeting>, items: usize) -> Vec<JoinHandle<()>> {
    let spawn = |_| {
        let meeting = Arc::clone(meeting);
        queue.spawn_fn(move || meeting.block(|_| ()))
    };
    (0..items).map(spawn).collect()
}

/// All of them end.
fn finish(opener: JoinHandle<()>, crowd: Vec<JoinHandle<()>>) {
    for task in std::iter::once(opener).chain(crowd) {
        task.wait_timeout(FOR_EVER).expect("it ends").unwrap();
    }
}

/// Goal: with all workers blocked, an item that is woken from outside is polled, and what it does
/// frees the others. Method: more blocked items than the pool can have workers; once they fill it,
/// the test wakes the one that they wait for.
#[test]
fn an_item_woken_from_outside_is_resumed_at_the_cap() {
    let system = small_system();
    let queue = system.default_queue();
    let meeting = Arc::new(Meeting::default());
    let opener = spawn_opener(&queue, &meeting, false);
    let crowd = spawn_blocked(&queue, &meeting, CROWD);
    wait_until_inside(&meeting, CAP);
    assert_eq!(pool(&system).workers, CAP);
    meeting.tell();
    finish(opener, crowd);
    assert_eq!(meeting.inside.load(Ordering::SeqCst), CROWD);
}

/// Goal: the same, if a blocked item wakes the other one before it blocks, so that it lies in
/// that worker's own lane. Method: the item that takes the last worker does so.
#[test]
fn an_item_woken_by_a_blocked_one_is_resumed_at_the_cap() {
    let system = small_system();
    let queue = system.default_queue();
    let meeting = Arc::new(Meeting::default());
    let opener = spawn_opener(&queue, &meeting, false);
    let block = |_| {
        let meeting = Arc::clone(&meeting);
        queue.spawn_fn(move || {
            let fills = |inside| {
                if inside == CAP {
                    meeting.tell();
                }
            };
            meeting.block(fills);
        })
    };
    finish(opener, (0..CROWD).map(block).collect());
}

/// Goal: an item that asks to be polled again and again is, though all workers are blocked and new
/// items wait before it. Method: as the first, with an item that wakes itself.
#[test]
fn a_restless_item_goes_on_at_the_cap() {
    let system = small_system();
    let queue = system.default_queue();
    let meeting = Arc::new(Meeting::default());
    let opener = spawn_opener(&queue, &meeting, true);
    let crowd = spawn_blocked(&queue, &meeting, CROWD);
    wait_until_inside(&meeting, CAP);
    meeting.told.store(true, Ordering::SeqCst);
    finish(opener, crowd);
}

/// Goal: the same where the machine refuses threads before the bound is reached, but not before the
/// pool came near it. Method: refused once the pool has as many workers as bring the resumer.
#[test]
fn an_item_is_resumed_where_no_threads_are_to_be_had() {
    let builder = System::builder().workers(1).max_workers(8);
    let system = builder.build().unwrap();
    let queue = system.default_queue();
    let meeting = Arc::new(Meeting::default());
    let opener = spawn_opener(&queue, &meeting, false);
    let mut crowd = spawn_blocked(&queue, &meeting, 5);
    wait_until_inside(&meeting, 5);
    refuse_threads(&system, true);
    crowd.extend(spawn_blocked(&queue, &meeting, CROWD));
    while system.stats().thread_creation_failures == 0 {
        std::thread::yield_now();
    }
    meeting.tell();
    finish(opener, crowd);
}

/// Goal: a pool that comes back from its bound gets rid of the thread that it had for that, and
/// can have it again. Method: twice as many
/// blocked items as bring it, and short keep-alive; the threads' names.
#[test]
#[cfg(all(target_os = "linux", not(wq_portable)))]
fn the_extra_thread_leaves_and_comes_back() {
    // More than the three workers that no pool gives up.
    const ITEMS: usize = 6;
    let keep_alive = Duration::from_millis(5);
    let builder = System::builder().name("lv").workers(1);
    let builder = builder.max_workers(2 * ITEMS).keep_alive(keep_alive);
    let system = builder.build().unwrap();
    let queue = system.default_queue();
    for _ in 0..2 {
        let meeting = Arc::new(Meeting::default());
        let opener = spawn_opener(&queue, &meeting, false);
        let crowd = spawn_blocked(&queue, &meeting, ITEMS);
        wait_until_inside(&meeting, ITEMS);
        while !has_resumer("lv") {
            std::thread::yield_now();
        }
        meeting.tell();
        finish(opener, crowd);
        while has_resumer("lv") {
            std::thread::yield_now();
        }
    }
}

/// Goal: a pool that stands still at its bound says so once, on standard error and in its figures,
/// and names what holds its workers. Method: a process of its own, with items of a type that has a
/// name.
#[test]
fn a_stalled_pool_names_what_holds_it() {
    if std::env::var_os("WQ_TEST_STALL").is_some() {
        stall();
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "a_stalled_pool_names_what_holds_it"])
        .arg("--nocapture")
        .env("WQ_TEST_STALL", "1")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines: Vec<&str> = said
        .lines()
        .filter(|l| l.contains("no item has ended"))
        .collect();
    let [line] = lines[..] else {
        panic!("one line is expected: {said}");
    };
    let named = format!("{BOUND} x resumer::spawn_blocked::");
    assert!(line.contains(&named), "{line}");
    assert!(line.contains("max_workers"), "{line}");
}

/// Goal: a program whose standard error is closed goes on, whatever there is to report. Method: the
/// same process with a pipe that nobody reads.
#[test]
fn a_report_that_nobody_takes_ends_nothing() {
    let mut child = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "a_stalled_pool_names_what_holds_it"])
        .arg("--nocapture")
        .env("WQ_TEST_STALL", "1")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it runs");
    drop(child.stderr.take());
    let status = child.wait().expect("it ends");
    assert!(status.success(), "{status}");
}

/// The process of these tests.
fn stall() {
    let system = small_system();
    let queue = system.default_queue();
    let meeting = Arc::new(Meeting::default());
    let opener = spawn_opener(&queue, &meeting, false);
    let crowd = spawn_blocked(&queue, &meeting, CROWD);
    wait_until_inside(&meeting, CAP);
    while pool(&system)
        .running
        .iter()
        .map(|it| it.workers)
        .sum::<usize>()
        < CAP
    {
        std::thread::yield_now();
    }
    let held = pool(&system);
    assert_eq!(held.stalls, 1, "{held:?}");
    assert_eq!(held.running.len(), 1, "{held:?}");
    assert!(held.running[0].name.contains("spawn_blocked"), "{held:?}");
    meeting.tell();
    finish(opener, crowd);
    let _ = system.shutdown(FOR_EVER);
}
