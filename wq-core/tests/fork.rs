//! A program with a System forks: the child may leave or become another program, and whatever else
//! it does with what it has of the System gives an error and reaches nobody.
#![cfg(all(target_os = "linux", not(wq_portable)))]

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{DirEntry, read_dir, read_link, read_to_string};
use std::future::{Future, pending, poll_fn};
use std::os::unix::process::CommandExt;
use std::pin::Pin;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use wq_core::driver::{
    handovers_marked, in_forked_child, while_aborting, while_arming, while_at, while_waking,
};
use wq_core::{
    AbortHandle, DelayedWork, JoinHandle, Modified, Queued, System, ThreadStates, Work, Workqueue,
};

/// Long enough for anything that happens at all on a crowded machine; who needs it hangs.
const FOR_EVER: Duration = Duration::from_secs(60);

/// What the child answers if all is well.
const FINE: u8 = 7;

/// Runs `f` in a child, which is to come to its end.
fn child(f: impl FnOnce()) {
    let answer = in_forked_child(FOR_EVER, || {
        f();
        FINE
    });
    assert_eq!(answer.expect("a process"), Some(FINE), "101 is a panic");
}

/// A System with workers that have run something and sleep.
fn used_system() -> System {
    let system = System::builder().build().expect("a System");
    system.run(async {});
    system
}

/// Names the System whose threads are compared: others of this process come and go.
const COMPARED: &str = "frk";

/// By thread: its CPUs, and its nice value and class.
type Threads = HashMap<OsString, (String, [String; 2])>;

/// What the kernel was told of each thread of the System named so.
fn settings_of_threads() -> Threads {
    let threads = read_dir("/proc/self/task").expect("procfs").flatten();
    let settings = threads.filter_map(|thread| {
        let read = |file| read_to_string(thread.path().join(file)).ok();
        let (status, stat) = (read("status")?, read("stat")?);
        if !stat.contains(&format!("({COMPARED}/")) {
            return None;
        }
        let mut lines = status.lines();
        let cpus = lines.find(|line| line.starts_with("Cpus_allowed:"))?;
        let behind: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        // Nice value and policy: fields 19 and 41, of which two stand before.
        let chosen = [16, 38].map(|at| behind[at].to_owned());
        Some((thread.file_name(), (cpus.to_owned(), chosen)))
    });
    settings.collect()
}

/// The same, as soon as the spotter of each CPU has got its class, if the machine has it.
fn settled_threads(system: &System) -> Threads {
    let cpus = system.topology().allowed().count();
    loop {
        let (found, threads) = (system.sensors(), settings_of_threads());
        let (up, refused) = (found.spotted.count(), found.unspotted.count());
        let of_idle_class = threads.values().filter(|(_, chosen)| chosen[1] == "5");
        let all_up = up + refused == cpus && of_idle_class.count() == up;
        if all_up || !found.spotters.works() {
            return threads;
        }
        thread::yield_now();
    }
}

/// Goal: the child of a fork leaves, or becomes another program, at once, also when an item of a
/// worker forks. Method: children that do only that, with a limit.
#[test]
fn a_child_leaves_or_becomes_another_program() {
    let system = used_system();
    let become_true = || panic!("no `true`: {}", Command::new("true").exec());
    child(|| {});
    let status = in_forked_child(FOR_EVER, become_true);
    assert_eq!(status.expect("a process"), Some(0));
    let inside = system.default_queue().spawn_fn(move || {
        child(|| {});
        in_forked_child(FOR_EVER, become_true).expect("a process")
    });
    assert_eq!(inside.wait().expect("it does not panic"), Some(0));
}

/// Goal: in a child every request is refused, every wait is an error at once, and the items of the
/// parent go on there. Method: each in turn, outside and inside an item; an item that is held until
/// the child has left.
#[test]
fn requests_and_waits_of_a_child_are_errors() {
    let system = used_system();
    let owner = Workqueue::unbound("q")
        .system(&system)
        .max_active(1)
        .build();
    let owner = Arc::new(owner.expect("a queue"));
    let begun = system.spawn(pending::<()>());
    let flush = owner.flush();
    let full = Workqueue::unbound("full").system(&system).max_pending(1);
    let full = full.build().expect("a queue");
    let _held = full.reserve().wait().expect("the only place");
    let (reserve, mut other) = (full.reserve(), full.reserve());
    let refusals = {
        let (system, owner) = (system.clone(), Arc::clone(&owner));
        move || {
            for queue in [
                system.default_queue(),
                system.percpu_queue(),
                (**owner).clone(),
            ] {
                assert!(queue.is_closed());
                let task = queue.spawn(async {});
                assert!(task.wait().unwrap_err().is_rejected());
                assert!(queue.spawn_fn(|| ()).wait().unwrap_err().is_rejected());
                assert!(queue.try_spawn(async {}).unwrap_err().is_closed());
                assert_eq!(queue.queue(&Work::new(|| ())), Queued::Closed);
                let delayed = DelayedWork::new(|| ());
                assert_eq!(queue.queue_after(&delayed, Duration::ZERO), Queued::Closed);
            }
            assert!(owner.flush().wait().unwrap_err().is_forked());
            assert!(owner.drain().wait().unwrap_err().is_forked());
            let built = Workqueue::unbound("new").system(&system).build();
            assert!(built.unwrap_err().is_closed());
            assert!(system.shutdown(FOR_EVER).only_begun);
        }
    };
    child(|| {
        assert!(begun.wait().unwrap_err().is_forked());
        assert!(flush.wait().unwrap_err().is_forked());
        assert!(reserve.wait().unwrap_err().is_closed());
        assert!(other.wait_timeout(FOR_EVER).unwrap_err().is_closed());
        refusals();
    });
    let refused_inside = refusals.clone();
    let inside = system
        .default_queue()
        .spawn_fn(move || child(refused_inside));
    inside.wait().expect("it does not panic");
    let after = owner.spawn(async { 1 });
    assert_eq!(after.wait().expect("the parent's queue is open"), 1);
}

/// Goal: what a child does to a System and its tasks reaches no thread of the parent, and none is
/// waited for. Method: a child wakes a suspended task, spawns and drops all handles; the parent
/// compares what the kernel knows of its threads, and ends the task.
#[test]
fn a_child_reaches_no_worker() {
    let system = System::builder().name(COMPARED).build().expect("a System");
    let kept: Arc<Mutex<Option<Waker>>> = Arc::default();
    let ((said, hear), left) = (channel(), Arc::clone(&kept));
    let task = system.spawn(poll_fn(move |cx| {
        let woken = left.lock().expect("no panic").replace(cx.waker().clone());
        said.send(()).expect("it listens");
        if woken.is_some() {
            Poll::Ready(5)
        } else {
            Poll::Pending
        }
    }));
    hear.recv().expect("it is polled");
    let before = settled_threads(&system);
    let waker = kept.lock().expect("no panic").clone().expect("it left one");
    let mut handles = Some(system);
    child(|| {
        waker.wake_by_ref();
        let system = handles.take().expect("the parent's handle");
        drop(system.spawn(async {}));
        drop(system);
    });
    let mut after = settings_of_threads();
    // A spare one may have come.
    after.retain(|thread, _| before.contains_key(thread));
    assert!(!after.is_empty());
    for (thread, is) in &after {
        assert_eq!(Some(is), before.get(thread), "thread {thread:?}");
    }
    waker.wake();
    assert_eq!(task.wait().expect("the parent goes on"), 5);
    drop(handles);
}

/// Goal: what a child wakes is brought to no lane: nobody would run it, and to bring it there would
/// set workers in motion that are another process's. Method: a lane whose worker has declared a
/// block, with a spare one ready: whoever brings work there hands it over. A child wakes a task of
/// that lane, and sees no hand-over; the parent, which does the same, does.
#[test]
fn a_wake_in_a_child_hands_no_lane_over() {
    let system = System::builder().workers(1).build().expect("a System");
    let (waker, task) = suspended(&system);
    let ((said, hear), (go, may_go)) = (channel(), channel::<()>());
    let blocks = system.default_queue().spawn_fn(move || {
        wq_core::blocking(|| {
            said.send(()).expect("it listens");
            may_go.recv()
        })
    });
    hear.recv().expect("it blocks");
    while system.pools().iter().all(|pool| pool.idle == 0) {
        thread::yield_now();
    }
    child(|| {
        let before = handovers_marked(&system);
        waker.wake_by_ref();
        assert_eq!(handovers_marked(&system), before);
    });
    let before = handovers_marked(&system);
    waker.wake();
    assert_eq!(task.wait().expect("the lane goes on"), 5);
    assert_eq!(handovers_marked(&system), before + 1);
    go.send(()).expect("it waits");
    blocks.wait().expect("no panic").expect("a word");
}

/// A task of the System's only lane that has suspended, and ends with 5 when it is woken.
fn suspended(system: &System) -> (Waker, JoinHandle<u32>) {
    let (left, waker) = channel();
    let mut polled = false;
    let task = system.spawn(poll_fn(move |cx| {
        if polled {
            return Poll::Ready(5);
        }
        polled = true;
        left.send(cx.waker().clone()).expect("it listens");
        Poll::Pending
    }));
    let waker = waker.recv().expect("it is polled");
    // What runs behind it finds it suspended.
    let behind = system.spawn(async {});
    behind.wait().expect("it runs");
    (waker, task)
}

/// Goal: a child aborts nothing, and needs no lock to find that out. Method: a suspended task and
/// one that waits for its slot are aborted in a child in each way, while the locks are held that an
/// abort takes; their handles are errors there; in the parent they are as before.
#[test]
fn a_child_aborts_nothing() {
    let system = System::builder().workers(1).build().expect("a System");
    let owner = Workqueue::unbound("q").system(&system).max_active(1);
    let owner = owner.build().expect("a queue");
    let holds = owner.spawn(pending::<()>());
    let waits = owner.spawn(async { 3 });
    let (waker, suspended) = suspended(&system);
    let handles = [suspended.abort_handle(), waits.abort_handle()];
    let mut tasks = Some((suspended, waits, holds.abort_on_drop()));
    while_aborting(&system, || {
        child(|| {
            let (suspended, waits, holds) = tasks.take().expect("the parent's handles");
            suspended.abort();
            waits.abort();
            drop(holds);
            handles.iter().for_each(AbortHandle::abort);
            assert!(suspended.wait().unwrap_err().is_forked());
            assert!(waits.wait().unwrap_err().is_forked());
        });
    });
    let (suspended, waits, holds) = tasks.expect("the child has taken its own");
    waker.wake();
    assert_eq!(suspended.wait().expect("it goes on"), 5);
    drop(holds);
    assert_eq!(waits.wait().expect("it gets its slot"), 3);
}

/// An item that is queued, or armed.
fn item(system: &System, delay: Duration, then: impl FnMut() + Send + 'static) -> DelayedWork {
    let item = DelayedWork::new(then);
    let queued = system.default_queue().queue_after(&item, delay);
    assert_eq!(queued, Queued::New);
    item
}

/// What a child may ask of an item of its parent's that is not idle: each answer at once.
fn ask_in_vain(item: &DelayedWork, own: &System) {
    let was = (item.is_pending(), item.is_running());
    let work = item.work();
    assert!(item.flush().wait().unwrap_err().is_forked());
    assert!(work.flush().wait().unwrap_err().is_forked());
    assert!(!item.cancel() && !work.cancel());
    assert!(item.cancel_and_wait().wait().unwrap_err().is_forked());
    assert!(!work.disable());
    assert_eq!(work.enable(), Some(true));
    let queue = own.default_queue();
    assert_eq!(queue.queue(&work), Queued::Closed);
    for delay in [Duration::ZERO, FOR_EVER] {
        assert_eq!(queue.queue_after(item, delay), Queued::Closed);
        assert_eq!(queue.modify_after(item, delay), Modified::Closed);
    }
    assert_eq!((item.is_pending(), item.is_running()), was);
}

/// Goal: to flush, cancel or queue items of its parent's, which nobody ends there, is an error or
/// does nothing in a child, and needs no lock. Method: an item that runs, one that is to run, and
/// one whose timer is armed, and the same while their locks are held; and waits that began before.
#[test]
fn a_child_waits_for_no_item() {
    let system = System::builder().build().expect("a System");
    let ((said, hear), (go, may_go)) = (channel(), channel::<()>());
    let runs = item(&system, Duration::ZERO, move || {
        said.send(()).expect("it listens");
        may_go.recv().expect("a word");
    });
    hear.recv().expect("it runs");
    let owner = Workqueue::unbound("q").system(&system).max_active(1);
    let owner = owner.build().expect("a queue");
    let holds = owner.spawn(pending::<()>());
    let waits = DelayedWork::new(|| ());
    assert_eq!(owner.queue(&waits.work()), Queued::New);
    let armed = item(&system, FOR_EVER, || ());
    let mut begun = Some((runs.flush(), runs.flush()));
    let (polled, dropped) = begun.as_mut().expect("they were made");
    for wait in [polled, dropped] {
        let mut here = Context::from_waker(Waker::noop());
        assert!(Pin::new(wait).poll(&mut here).is_pending());
    }
    let items = [&runs, &armed, &waits];
    let ask_all = || {
        let own = System::builder().workers(1).build().expect("a System");
        items.iter().for_each(|item| ask_in_vain(item, &own));
    };
    child(ask_all);
    let ask_all = || {
        child(|| {
            ask_all();
            let (polled, dropped) = begun.take().expect("the parent's waits");
            assert!(polled.wait().unwrap_err().is_forked());
            drop(dropped);
        });
    };
    while_at(&runs, || while_at(&armed, || while_at(&waits, ask_all)));
    assert!(runs.is_running() && armed.cancel() && waits.cancel());
    go.send(()).expect("it waits");
    assert!(
        begun
            .expect("the child has its own")
            .0
            .wait()
            .expect("it ends")
    );
    holds.abort();
}

/// Goal: what was idle at the fork is the child's to queue, unless a thread of the parent's was at
/// it. Method: an idle item in a child with a System of its own, and one whose locks are held.
#[test]
fn a_child_may_queue_what_was_idle() {
    let _system = used_system();
    let runs = Arc::new(AtomicU32::new(0));
    let [free, held] = [(); 2].map(|()| {
        let runs = Arc::clone(&runs);
        DelayedWork::new(move || {
            // Relaxed: a count.
            runs.fetch_add(1, Ordering::Relaxed);
        })
    });
    while_at(&held, || {
        child(|| {
            let own = System::builder().workers(1).build().expect("a System");
            let queue = own.default_queue();
            for item in [&free, &held] {
                assert!(!item.cancel() && !item.flush().wait().expect("nothing runs"));
                assert!(!item.cancel_and_wait().wait().expect("nothing runs"));
            }
            assert_eq!(queue.queue(&held.work()), Queued::Closed);
            assert_eq!(queue.queue_after(&held, FOR_EVER), Queued::Closed);
            assert_eq!(queue.queue_after(&free, FOR_EVER), Queued::New);
            assert!(free.flush().wait().is_ok());
            assert_eq!(queue.queue(&free.work()), Queued::New);
            assert!(free.work().flush().wait().is_ok());
            assert_eq!(runs.load(Ordering::Relaxed), 2);
        });
    });
}

/// Goal: an item at whose timer a thread of the parent's was has no timer in the child, and is
/// otherwise the child's. Method: the fork comes while the timer's lock is held, and nothing else.
#[test]
fn a_timer_that_was_held_is_lost_to_a_child() {
    let system = used_system();
    let item = DelayedWork::new(|| ());
    // What `Work::cancel` takes back leaves its timer behind.
    let queue = system.default_queue();
    assert_eq!(queue.queue_after(&item, FOR_EVER), Queued::New);
    assert!(item.work().cancel());
    while_arming(&item, || {
        child(|| {
            let own = System::builder().workers(1).build().expect("a System");
            let queue = own.default_queue();
            assert_eq!(queue.queue_after(&item, FOR_EVER), Queued::Closed);
            assert_eq!(queue.queue_after(&item, Duration::ZERO), Queued::New);
            assert!(item.flush().wait().is_ok() && !item.cancel());
            assert_eq!(queue.modify_after(&item, FOR_EVER), Modified::Closed);
        });
    });
    child(|| {
        let own = System::builder().workers(1).build().expect("a System");
        let queue = own.default_queue();
        assert_eq!(queue.queue_after(&item, FOR_EVER), Queued::New);
        assert!(item.is_pending() && item.cancel());
    });
}

/// Goal: a child may have a System of its own, which ends as any other, whatever the parent's
/// threads did at the fork. Method: one forks while others wake and abort tasks; the child's System
/// runs a task, gives a queue back and shuts down.
#[test]
fn a_child_makes_its_own_system() {
    let _system = used_system();
    let live = || {
        let own = System::builder().workers(2).build().expect("a System");
        let queue = Workqueue::unbound("q").system(&own).max_active(1).build();
        let queue = queue.expect("a queue");
        assert_eq!(queue.spawn(async { 3 }).wait().expect("it runs"), 3);
        drop(queue);
        let report = own.shutdown(FOR_EVER);
        assert_eq!((report.dropped, report.detached), (0, 0));
    };
    while_waking(|| child(live));
}

/// An open descriptor's flags if it is a thread's state file.
fn flags_of_state_file(descriptor: &DirEntry) -> Option<u32> {
    let target = read_link(descriptor.path()).ok()?;
    if !(target.ends_with("syscall") || target.ends_with("stat")) {
        return None;
    }
    let number = descriptor.file_name().into_string().ok()?;
    let info = read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    u32::from_str_radix(flags.trim(), 8).ok()
}

/// Goal: another program inherits none of the state files, which wq opens to see blocks. Method:
/// blocks that are noticed, until such a file is open; all of this process are looked at.
#[test]
fn state_files_end_at_an_exec() {
    const CLOSE_ON_EXEC: u32 = 0o2_000_000;
    let system = used_system();
    if system.sensors().thread_states == ThreadStates::Unseen {
        return eprintln!("SKIPPED: the machine shows no thread's state");
    }
    let queue = system.percpu_queue();
    let mut found = 0;
    while found == 0 {
        let (go, may_go) = channel::<()>();
        let blocked = queue.spawn_on(0, async move { may_go.recv() });
        let behind = queue.spawn_on(0, async {});
        behind.wait().expect("the blocked one is noticed");
        let descriptors = read_dir("/proc/self/fd").expect("procfs").flatten();
        for flags in descriptors.filter_map(|it| flags_of_state_file(&it)) {
            assert_ne!(flags & CLOSE_ON_EXEC, 0);
            found += 1;
        }
        go.send(()).expect("it waits");
        blocked.wait().expect("no panic").expect("a word");
    }
}
