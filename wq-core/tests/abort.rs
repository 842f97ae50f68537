//! `abort` always ends an item, wherever it is, and runs its destructors.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use wq_core::{JoinHandle, System, Workqueue};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// A System of two lanes.
fn system() -> System {
    System::builder().workers(2).build().expect("a System")
}

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Whether the aborted item's handle says so, in time.
fn ends_as_cancelled<T>(task: JoinHandle<T>) -> bool {
    task.wait_timeout(FOR_EVER)
        .is_ok_and(|r| r.is_err_and(|e| e.is_cancelled()))
}

/// Items that wait for their turn behind one that never ends are aborted all the same, whatever
/// kind of limit they wait for; those between them keep their order.
#[test]
fn items_that_wait_for_their_turn_are_aborted() {
    let system = system();
    for queue in [
        Workqueue::ordered("o").system(&system).build().unwrap(),
        Workqueue::unbound("u")
            .system(&system)
            .max_active(1)
            .build()
            .unwrap(),
    ] {
        let first = queue.spawn(std::future::pending::<()>());
        let dropped = Arc::new(AtomicUsize::new(0));
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..1000)
            .map(|n| {
                let (counted, order) = (Counted(Arc::clone(&dropped)), Arc::clone(&order));
                queue.spawn(async move {
                    let _counted = counted;
                    order.lock().unwrap().push(n);
                })
            })
            .collect();
        let mut kept = Vec::new();
        for (n, task) in tasks.into_iter().enumerate() {
            if n % 4 == 0 {
                kept.push(task);
            } else {
                task.abort();
                if n % 4 == 1 {
                    assert!(ends_as_cancelled(task), "item {n}");
                }
            }
        }
        while dropped.load(Ordering::SeqCst) < 750 {
            std::thread::yield_now();
        }
        assert_eq!(
            (queue.stats().waiting, order.lock().unwrap().len()),
            (250, 0)
        );
        first.abort();
        assert!(ends_as_cancelled(first));
        for task in kept {
            task.wait().unwrap();
        }
        let report = queue.flush().wait_timeout(FOR_EVER).unwrap();
        assert_eq!((report.completed, report.cancelled), (250, 751));
        assert_eq!(
            *order.lock().unwrap(),
            (0..1000).step_by(4).collect::<Vec<_>>()
        );
        assert_eq!((queue.stats().active, queue.stats().waiting), (0, 0));
    }
}

/// A hundred thousand aborts of waiting items take no time that grows with their square.
#[test]
fn many_aborts_are_cheap() {
    let system = system();
    let queue = Workqueue::ordered("o").system(&system).build().unwrap();
    let first = queue.spawn(std::future::pending::<()>());
    let tasks: Vec<_> = (0..100_000).map(|_| queue.spawn(async {})).collect();
    tasks.iter().for_each(JoinHandle::abort);
    assert!(tasks.into_iter().all(ends_as_cancelled));
    first.abort();
    assert_eq!(
        queue.flush().wait_timeout(FOR_EVER).unwrap().cancelled,
        100_001
    );
}

/// Aborts race with starts, ends, and the end of the queue itself: each item ends once, as what
/// its handle says, and nothing is freed while it is looked at.
#[test]
fn aborts_race_with_everything() {
    let system = system();
    for round in 0..300 {
        let queue = Workqueue::unbound("q")
            .system(&system)
            .max_active(2)
            .build()
            .unwrap();
        let view = (*queue).clone();
        let (send, receive) = mpsc::channel::<JoinHandle<usize>>();
        let aborter = std::thread::spawn(move || {
            let (mut returned, mut cancelled) = (0u64, 0u64);
            for task in receive {
                let handle = task.abort_handle();
                handle.abort();
                match task.wait() {
                    Ok(_) => returned += 1,
                    Err(error) if error.is_cancelled() => cancelled += 1,
                    Err(error) => panic!("{error}"),
                }
                // The item is over, its queue may be gone.
                handle.abort();
            }
            (returned, cancelled)
        });
        for n in 0..50 {
            send.send(queue.spawn(async move { n })).unwrap();
        }
        drop(send);
        if round % 2 == 0 {
            let report = queue.destroy().wait_timeout(FOR_EVER).unwrap();
            assert_eq!(report.completed + report.cancelled, 50);
        } else {
            drop(queue);
        }
        let (returned, cancelled) = aborter.join().unwrap();
        assert_eq!(returned + cancelled, 50);
        let mut stats = view.stats();
        while stats.in_flight > 0 {
            std::thread::yield_now();
            stats = view.stats();
        }
        assert_eq!((stats.completed, stats.cancelled), (returned, cancelled));
    }
}

/// What waits behind a bounded queue's items counts places that `try_spawn` holds, so no number
/// of concurrent callers exceeds the bound.
#[test]
fn max_pending_holds_under_concurrent_try_spawns() {
    let system = system();
    let queue = Workqueue::unbound("q")
        .system(&system)
        .max_active(1)
        .max_pending(5)
        .build()
        .unwrap();
    let first = queue.spawn(std::future::pending::<()>());
    let accepted: usize = std::thread::scope(|s| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                s.spawn(|| {
                    (0..500)
                        .filter(|_| queue.try_spawn(async {}).is_ok())
                        .count()
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!((accepted, queue.stats().waiting), (5, 5));
    first.abort();
    assert_eq!(queue.flush().wait_timeout(FOR_EVER).unwrap().completed, 5);
}
