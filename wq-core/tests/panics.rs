//! A thousand panics in every place where user code runs: none ends the process or a worker,
//! each is counted once, and nothing leaks.

use std::future::{Future, pending};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use wq_core::{DelayedWork, JoinHandle, Queued, System, Work, Workqueue};

/// Panics of each kind.
const TIMES: usize = 1000;

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// What the planned panics say; the hook keeps quiet about them.
const PLANNED: &str = "planned";

/// A System of two lanes, and a hook that reports unplanned panics only.
fn system() -> System {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&PLANNED) {
                usual(info);
            }
        }));
    });
    System::builder().workers(2).build().expect("a System")
}

/// All kinds of queues.
fn queues(system: &System) -> [Workqueue; 4] {
    [
        Workqueue::unbound("u").system(system).build().unwrap(),
        Workqueue::unbound("l")
            .system(system)
            .max_active(3)
            .build()
            .unwrap(),
        Workqueue::ordered("o").system(system).build().unwrap(),
        Workqueue::percpu("p").system(system).build().unwrap(),
    ]
}

/// Panics when dropped, after counting.
struct Bomb(Arc<AtomicUsize>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("{}", PLANNED);
    }
}

/// Flushes, and checks the counts.
fn check(queue: &Workqueue, completed: usize, panicked: usize, cancelled: usize) {
    let report = queue
        .flush()
        .wait_timeout(FOR_EVER)
        .expect("the flush ends");
    assert_eq!(
        (report.completed, report.panicked, report.cancelled),
        (completed as u64, panicked as u64, cancelled as u64),
        "{}",
        queue.name()
    );
    assert_eq!(queue.stats().in_flight, 0);
}

/// In the poll: the handle gets the payload.
#[test]
fn panics_in_a_poll() {
    let system = system();
    for queue in queues(&system) {
        let tasks: Vec<JoinHandle<()>> = (0..TIMES)
            .map(|n| queue.spawn(async move { std::panic::panic_any(n) }))
            .collect();
        for (n, task) in tasks.into_iter().enumerate() {
            let error = task.wait().unwrap_err();
            assert!(error.is_panic() && !error.is_cancelled());
            assert_eq!(*error.into_panic().downcast::<usize>().unwrap(), n);
        }
        check(&queue, 0, TIMES, 0);
    }
}

/// In the destructor of a future that has returned.
#[test]
fn panics_in_the_drop_of_a_finished_future() {
    let system = system();
    for queue in queues(&system) {
        let drops = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..TIMES)
            .map(|_| {
                let mut bomb = Some(Bomb(Arc::clone(&drops)));
                queue.spawn(std::future::poll_fn(move |_| {
                    // Keeps the bomb for the future's drop.
                    assert!(bomb.as_mut().is_some());
                    std::task::Poll::Ready(7)
                }))
            })
            .collect();
        for task in tasks {
            assert!(task.wait().unwrap_err().is_panic());
        }
        assert_eq!(drops.load(Ordering::SeqCst), TIMES);
        check(&queue, 0, TIMES, 0);
    }
}

/// In the destructor of a future that was aborted while suspended, or waiting for a slot.
#[test]
fn panics_in_the_drop_of_an_aborted_future() {
    let system = system();
    for queue in queues(&system) {
        let drops = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..TIMES)
            .map(|_| {
                let bomb = Bomb(Arc::clone(&drops));
                queue.spawn(async move {
                    let _bomb = bomb;
                    pending::<()>().await;
                })
            })
            .collect();
        tasks.iter().for_each(JoinHandle::abort);
        for task in tasks {
            assert!(
                task.wait().is_err_and(|e| e.is_panic()),
                "the drop's panic is delivered"
            );
        }
        assert_eq!(drops.load(Ordering::SeqCst), TIMES);
        check(&queue, 0, TIMES, 0);
    }
}

/// In the destructor of an output that nobody wants: dropped by the worker if the handle went
/// first, by whoever drops the handle otherwise.
#[test]
fn panics_in_the_drop_of_a_detached_output() {
    let system = system();
    for queue in queues(&system) {
        let drops = Arc::new(AtomicUsize::new(0));
        for _ in 0..TIMES {
            let bomb = Bomb(Arc::clone(&drops));
            let (go, wait) = std::sync::mpsc::channel();
            let task = queue.spawn_fn(move || {
                wait.recv().unwrap();
                bomb
            });
            drop(task);
            go.send(()).unwrap();
        }
        check(&queue, 0, TIMES, 0);
        assert_eq!(drops.load(Ordering::SeqCst), TIMES);
        for _ in 0..TIMES {
            let bomb = Bomb(Arc::clone(&drops));
            let task = queue.spawn_fn(move || bomb);
            while !task.is_finished() {
                std::thread::yield_now();
            }
            drop(task);
        }
        check(&queue, TIMES, 0, 0);
        assert_eq!(drops.load(Ordering::SeqCst), 2 * TIMES);
    }
}

/// In what a closure had captured: consumed by its run, or dropped unrun by an abort.
#[test]
fn panics_in_a_closures_captures() {
    let system = system();
    for queue in queues(&system) {
        let drops = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..TIMES)
            .map(|_| {
                let bomb = Bomb(Arc::clone(&drops));
                queue.spawn_fn(move || {
                    let _bomb = &bomb;
                })
            })
            .collect();
        for task in tasks {
            assert!(task.wait().unwrap_err().is_panic());
        }
        assert_eq!(drops.load(Ordering::SeqCst), TIMES);
        check(&queue, 0, TIMES, 0);
    }
}

/// In the destructor of a future that a closed queue refuses: the caller is spared it.
#[test]
fn panics_in_the_drop_of_a_refused_future() {
    let system = system();
    let owner = Workqueue::unbound("u").system(&system).build().unwrap();
    let queue = (*owner).clone();
    drop(owner);
    let drops = Arc::new(AtomicUsize::new(0));
    for _ in 0..TIMES {
        let bomb = Bomb(Arc::clone(&drops));
        let task = queue.spawn(async move {
            let _bomb = bomb;
        });
        assert!(task.wait().unwrap_err().is_rejected());
    }
    assert_eq!(
        (drops.load(Ordering::SeqCst), queue.stats().accepted),
        (TIMES, 0)
    );
}

/// In the function of a re-queueable item: it can be queued again, also with a delay.
#[test]
fn panics_in_a_work_item() {
    let system = system();
    for queue in queues(&system) {
        let work = Work::new(|| panic!("{}", PLANNED));
        for _ in 0..TIMES {
            assert_eq!(queue.queue(&work), Queued::New);
            assert!(work.flush().wait_timeout(FOR_EVER).is_ok());
        }
        let delayed = DelayedWork::new(|| panic!("{}", PLANNED));
        for _ in 0..20 {
            assert_eq!(
                queue.queue_after(&delayed, Duration::from_micros(100)),
                Queued::New
            );
            assert!(delayed.flush().wait_timeout(FOR_EVER).is_ok());
        }
        check(&queue, 0, TIMES + 20, 0);
    }
}

/// In a payload's destructor, and in a waker that an item's end wakes: the worker goes on.
#[test]
fn panics_in_payloads() {
    let system = system();
    for queue in queues(&system) {
        let drops = Arc::new(AtomicUsize::new(0));
        for _ in 0..TIMES {
            let bomb = Bomb(Arc::clone(&drops));
            drop(queue.spawn(async move { std::panic::panic_any(bomb) }));
        }
        check(&queue, 0, TIMES, 0);
        assert_eq!(queue.spawn(async { 1 }).wait().unwrap(), 1);
    }
}

/// A waker that panics when it is used.
struct Explosive;

impl Wake for Explosive {
    fn wake(self: Arc<Self>) {
        panic!("{}", PLANNED);
    }
}

/// Goal: a waker of one who waits for a queue may panic: the worker goes on, and others who wait
/// are told. Method: polls of such waits by hand, while an item runs; then waits that must end.
#[test]
fn panics_in_the_wakers_of_waiters() {
    let system = system();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let explosive = Waker::from(Arc::new(Explosive));
    for _ in 0..TIMES / 10 {
        let (go, may_go) = mpsc::channel::<()>();
        let held = queue.spawn_fn(move || may_go.recv().unwrap());
        let mut flushes: Vec<_> = (0..3).map(|_| Box::pin(queue.flush())).collect();
        for flush in &mut flushes {
            let poll = flush.as_mut().poll(&mut Context::from_waker(&explosive));
            assert!(poll.is_pending());
        }
        let mut other = queue.flush();
        go.send(()).unwrap();
        other.wait_timeout(FOR_EVER).expect("it ends");
        held.wait_timeout(FOR_EVER).expect("it ends").unwrap();
    }
    let after = queue.spawn(async { 1 });
    assert_eq!(after.wait_timeout(FOR_EVER).expect("it ends").unwrap(), 1);
}
