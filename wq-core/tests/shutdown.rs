//! The end of a System with work of every kind pending: accepted = completed + dropped +
//! detached, nothing hangs, nothing leaks, and what outlives the System does no harm.

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use wq_core::{DelayedWork, Queue, Queued, ShutdownReport, System, Work, Workqueue};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// A System of two lanes.
fn system() -> System {
    System::builder()
        .workers(2)
        .name("shut")
        .build()
        .expect("a System")
}

/// Waits until `done` holds; gives up after [`FOR_EVER`].
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + FOR_EVER;
    while !done() {
        assert!(Instant::now() < end, "{what}");
        thread::yield_now();
    }
}

/// The queues of a test, and what all their items hold a share of.
struct Pending {
    queues: Vec<Workqueue>,
    /// Every item holds one; the count tells whether anything is left.
    shared: Arc<()>,
    /// Other ends of what stuck closures read; dropping them ends the reads.
    wires: Vec<UnixStream>,
    /// Items that have returned for sure.
    returned: u64,
    /// Items that are stuck in a system call.
    stuck: u64,
    delayed: Vec<DelayedWork>,
}

impl Pending {
    /// Work of every kind, all of it pending.
    fn on(system: &System) -> Pending {
        let queues = vec![
            Workqueue::unbound("u").system(system).build().unwrap(),
            Workqueue::unbound("l")
                .system(system)
                .max_active(3)
                .build()
                .unwrap(),
            Workqueue::ordered("o").system(system).build().unwrap(),
            Workqueue::percpu("p").system(system).build().unwrap(),
            Workqueue::percpu("ph")
                .system(system)
                .highpri()
                .build()
                .unwrap(),
        ];
        let (shared, wires, delayed) = (Arc::new(()), Vec::new(), Vec::new());
        let mut this = Pending {
            queues,
            shared,
            wires,
            returned: 0,
            stuck: 0,
            delayed,
        };
        for n in 0..this.queues.len() {
            this.add_returned(n);
            this.add_stuck(n, n % 2 == 0);
            this.add_suspended(n);
            this.add_timer(n);
        }
        this
    }

    /// Items that return at once.
    fn add_returned(&mut self, n: usize) {
        for _ in 0..10 {
            let share = Arc::clone(&self.shared);
            self.queues[n]
                .spawn(async move { drop(share) })
                .wait()
                .unwrap();
            self.returned += 1;
        }
    }

    /// A closure that is inside a read; on per-CPU queues its lane is blocked with work behind.
    fn add_stuck(&mut self, n: usize, marked: bool) {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let (begun, has_begun) = mpsc::channel();
        let share = Arc::clone(&self.shared);
        drop(self.queues[n].spawn_fn(move || {
            let _share = share;
            begun.send(()).unwrap();
            let mut read = || ours.read(&mut [0]).unwrap();
            if marked {
                wq_core::blocking(read)
            } else {
                read()
            }
        }));
        has_begun.recv().unwrap();
        self.wires.push(theirs);
        self.stuck += 1;
    }

    /// Futures that never end, more than there are slots; one that waits for another's handle.
    fn add_suspended(&mut self, n: usize) {
        for _ in 0..10 {
            let share = Arc::clone(&self.shared);
            let never = self.queues[n].spawn(async move {
                let _share = share;
                pending::<()>().await;
            });
            let share = Arc::clone(&self.shared);
            drop(self.queues[n].spawn(async move {
                let _share = share;
                let _ = never.await;
                pending::<()>().await;
            }));
        }
    }

    /// An armed timer.
    fn add_timer(&mut self, n: usize) {
        let share = Arc::clone(&self.shared);
        let item = DelayedWork::new(move || drop(Arc::clone(&share)));
        let queued = self.queues[n].queue_after(&item, Duration::from_secs(3600));
        assert_eq!(queued, Queued::New);
        self.delayed.push(item);
    }

    /// Items accepted so far.
    fn accepted(&self) -> u64 {
        self.queues.iter().map(|q| q.stats().accepted).sum()
    }

    /// Checks the report, frees what is stuck, and waits until nothing of any item is left.
    fn check(mut self, system: System, report: &ShutdownReport, accepted: u64) {
        assert_eq!(
            report.completed + report.dropped + report.detached,
            accepted,
            "{report:?}"
        );
        assert_eq!(
            (report.completed, report.detached),
            (self.returned, self.stuck),
            "{report:?}"
        );
        assert_eq!(report.timers, self.delayed.len() as u64);
        assert_eq!(
            report.detached_threads.len() as u64,
            self.stuck,
            "{report:?}"
        );
        assert!(
            report
                .detached_threads
                .iter()
                .all(|name| name.starts_with("shut/"))
        );
        let types = &report.detached_types;
        assert_eq!(types.len() as u64, self.stuck, "{report:?}");
        assert!(types.iter().all(|name| name.contains("add_stuck")));
        assert!(self.delayed.iter().all(|item| !item.is_pending()));
        for queue in &self.queues {
            assert!(queue.spawn(async {}).wait().unwrap_err().is_rejected());
            assert_eq!(queue.queue(&Work::new(|| ())), Queued::Closed);
        }
        self.wires.clear();
        self.delayed.clear();
        let shared = &self.shared;
        wait_until("something of an item is left", || {
            Arc::strong_count(shared) == 1
        });
        wait_until("an item is not settled", || {
            self.queues.iter().all(|q| q.stats().in_flight == 0)
        });
        wait_until("a thread is left", || system.stats().threads == 0);
    }
}

/// Without grace what is suspended is dropped, what waits too, and what is stuck is named.
#[test]
fn everything_pending_without_grace() {
    let system = system();
    let pending = Pending::on(&system);
    let accepted = pending.accepted();
    let report = system.shutdown(Duration::ZERO);
    pending.check(system, &report, accepted);
}

/// With grace, what ends within it completes; then as without.
#[test]
fn everything_pending_with_grace() {
    let system = system();
    let mut pending = Pending::on(&system);
    let (begun, has_begun) = mpsc::channel();
    let share = Arc::clone(&pending.shared);
    drop(pending.queues[0].spawn_fn(move || {
        begun.send(()).unwrap();
        thread::sleep(Duration::from_millis(50));
        drop(share);
    }));
    has_begun.recv().unwrap();
    pending.returned += 1;
    let accepted = pending.accepted();
    let begun = Instant::now();
    let report = system.shutdown(Duration::from_millis(300));
    assert!(
        begun.elapsed() >= Duration::from_millis(300),
        "the grace was kept"
    );
    pending.check(system, &report, accepted);
}

/// A System whose last handle goes while everything is pending ends the same way.
#[test]
fn everything_pending_at_the_last_drop() {
    let system = system();
    let mut pending = Pending::on(&system);
    drop(system);
    for queue in &pending.queues {
        assert!(queue.spawn(async {}).wait().unwrap_err().is_rejected());
    }
    pending.wires.clear();
    pending.delayed.clear();
    wait_until("something of an item is left", || {
        Arc::strong_count(&pending.shared) == 1
    });
}

/// From inside an item it only begins; the items, the asking one included, end all the same.
#[test]
fn from_inside_an_item() {
    for grace in [Duration::ZERO, Duration::from_millis(50)] {
        let system = system();
        let mut pending = Pending::on(&system);
        let (asker, share) = (system.clone(), Arc::clone(&pending.shared));
        let report = pending.queues[0]
            .spawn_fn(move || {
                let _share = share;
                asker.shutdown(grace)
            })
            .wait()
            .unwrap();
        assert!(report.only_begun);
        assert!(
            pending.queues[1]
                .spawn(async {})
                .wait()
                .unwrap_err()
                .is_rejected()
        );
        pending.wires.clear();
        pending.delayed.clear();
        wait_until("something of an item is left", || {
            Arc::strong_count(&pending.shared) == 1
        });
        wait_until("a thread is left", || system.stats().threads == 0);
        assert_eq!(
            pending
                .queues
                .iter()
                .map(|q| q.stats().in_flight)
                .sum::<u64>(),
            0
        );
    }
}

/// Items that spawn and wake each other for ever are stopped, in a moment.
#[test]
fn restless_items_are_stopped() {
    /// Spawns its successor, for ever.
    fn chain(queue: Queue, count: Arc<AtomicUsize>) {
        count.fetch_add(1, Ordering::Relaxed);
        let next = queue.clone();
        drop(queue.spawn(async move { chain(next, count) }));
    }
    let system = system();
    let queue = Workqueue::unbound("u").system(&system).build().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    for _ in 0..10 {
        chain((*queue).clone(), Arc::clone(&count));
        drop(queue.spawn(poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        })));
    }
    wait_until("the chains run", || count.load(Ordering::Relaxed) > 1000);
    let report = system.shutdown(Duration::ZERO);
    assert_eq!(report.detached, 0);
    let stats = queue.stats();
    assert_eq!(report.completed + report.dropped, stats.accepted);
    assert_eq!(Arc::strong_count(&count), 1);
}

/// A great number of items is dropped however long it takes; nobody is called stuck for it.
#[test]
fn many_suspended_items_are_dropped() {
    let system = system();
    let queue = Workqueue::unbound("u").system(&system).build().unwrap();
    let shared = Arc::new(());
    for _ in 0..200_000 {
        let share = Arc::clone(&shared);
        drop(queue.spawn(async move {
            let _share = share;
            pending::<()>().await;
        }));
    }
    let report = system.shutdown(Duration::ZERO);
    assert_eq!(
        (report.completed, report.dropped, report.detached),
        (0, 200_000, 0)
    );
    assert_eq!(Arc::strong_count(&shared), 1);
}

/// Several shutdowns at once: one does it, the others say so.
#[test]
fn several_at_once() {
    let system = system();
    let queue = Workqueue::unbound("u").system(&system).build().unwrap();
    drop(queue.spawn(pending::<()>()));
    let reports: Vec<_> = thread::scope(|s| {
        let threads: Vec<_> = (0..4)
            .map(|_| s.spawn(|| system.shutdown(Duration::ZERO)))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(reports.iter().filter(|r| !r.only_begun).count(), 1);
    let report = reports.into_iter().find(|r| !r.only_begun).unwrap();
    assert_eq!(
        (report.completed, report.dropped, report.detached),
        (0, 1, 0)
    );
}

thread_local! {
    /// Wakers that are used and dropped when their thread ends.
    static KEPT: RefCell<Vec<OnExit>> = const { RefCell::new(Vec::new()) };
}

/// Uses its waker when dropped.
struct OnExit(Waker);

impl Drop for OnExit {
    fn drop(&mut self) {
        self.0.wake_by_ref();
    }
}

/// A thousand wakers that outlive their System are used, cloned and dropped on other threads and
/// by destructors of thread-locals; so are those that race with its end.
#[test]
fn wakers_outlive_their_system() {
    for early in [false, true] {
        let system = system();
        let queue = Workqueue::unbound("u").system(&system).build().unwrap();
        let wakers = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::new(());
        for _ in 0..1000 {
            let (wakers, share) = (Arc::clone(&wakers), Arc::clone(&shared));
            drop(queue.spawn(poll_fn(move |cx| {
                let _ = &share;
                wakers.lock().unwrap().push(cx.waker().clone());
                Poll::<()>::Pending
            })));
        }
        wait_until("all items suspend", || wakers.lock().unwrap().len() >= 1000);
        let taken = std::mem::take(&mut *wakers.lock().unwrap());
        let (ready, go) = (
            Arc::new(std::sync::Barrier::new(5)),
            Arc::new(std::sync::Barrier::new(5)),
        );
        let threads: Vec<_> = taken
            .chunks(taken.len().div_ceil(4))
            .map(|wakers| {
                let wakers = wakers.to_vec();
                let (ready, go) = (Arc::clone(&ready), Arc::clone(&go));
                thread::spawn(move || {
                    KEPT.with_borrow_mut(|kept| kept.extend(wakers.iter().cloned().map(OnExit)));
                    ready.wait();
                    go.wait();
                    for waker in wakers {
                        let clone = waker.clone();
                        clone.wake();
                        waker.wake_by_ref();
                    }
                })
            })
            .collect();
        ready.wait();
        drop(taken);
        if early {
            go.wait();
        }
        drop(queue);
        drop(system);
        if !early {
            go.wait();
        }
        threads.into_iter().for_each(|t| t.join().unwrap());
        wait_until("something of an item is left", || {
            Arc::strong_count(&shared) == 1
        });
        wakers.lock().unwrap().clear();
    }
}

/// A thread-local of a worker thread that uses the System when the thread ends.
#[test]
fn thread_locals_of_workers_may_wake_and_spawn() {
    /// Spawns when dropped.
    struct Late(Queue, Arc<AtomicUsize>);
    impl Drop for Late {
        fn drop(&mut self) {
            let task = self.0.spawn(async {});
            assert!(task.is_finished());
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }
    thread_local! {
        static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
    }
    let system = system();
    let queue = Workqueue::unbound("u").system(&system).build().unwrap();
    let dropped = Arc::new(AtomicUsize::new(0));
    let (handle, counted) = ((*queue).clone(), Arc::clone(&dropped));
    queue
        .spawn_fn(move || LATE.with_borrow_mut(|late| *late = Some(Late(handle, counted))))
        .wait()
        .unwrap();
    drop(queue);
    drop(system);
    wait_until("the thread has ended", || {
        dropped.load(Ordering::SeqCst) == 1
    });
}

/// Goal: a queue without handles goes with its last item, and is in the report all the same.
/// Method: many Systems, since it may go at any moment of the end.
#[test]
fn queues_that_go_meanwhile_are_in_the_report() {
    for _ in 0..200 {
        let system = system();
        let queue = Workqueue::unbound("gone").system(&system).build().unwrap();
        (0..3).for_each(|_| drop(queue.spawn(pending::<()>())));
        drop(queue);
        let report = system.shutdown(Duration::ZERO);
        // A worker that gets no CPU for long keeps what it has in hand.
        let counts = (report.completed, report.dropped + report.detached);
        assert_eq!(counts, (0, 3), "{report:?}");
    }
}
