//! What users expect of queues and items, on real threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use wq_core::{DelayedWork, Queued, System, Work, Workqueue};

/// A System of two lanes.
fn system() -> System {
    System::builder().workers(2).build().expect("a System")
}

/// Futures and closures return their values through their handles.
#[test]
fn values_come_back() {
    let system = system();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let handles: Vec<_> = (0..1000).map(|n| queue.spawn(async move { n })).collect();
    let sum: u32 = handles.into_iter().map(|h| h.wait().unwrap()).sum();
    assert_eq!(sum, 499_500);
    assert_eq!(queue.spawn_fn(|| "closure").wait().unwrap(), "closure");
    assert_eq!(system.run(async { 7 }), 7);
    assert_eq!(system.block_on(async { 8 }), 8);
}

/// A flush covers what was accepted before it, and says how it ended.
#[test]
fn flush_covers_what_came_before() {
    let system = system();
    for queue in [
        Workqueue::unbound("u").system(&system).build().unwrap(),
        Workqueue::unbound("l")
            .system(&system)
            .max_active(3)
            .build()
            .unwrap(),
        Workqueue::ordered("o").system(&system).build().unwrap(),
        Workqueue::percpu("p").system(&system).build().unwrap(),
        Workqueue::percpu("ph")
            .system(&system)
            .highpri()
            .build()
            .unwrap(),
    ] {
        let ran = Arc::new(AtomicUsize::new(0));
        for round in 1..20usize {
            for _ in 0..50 {
                let ran = Arc::clone(&ran);
                drop(queue.spawn_fn(move || ran.fetch_add(1, Ordering::Relaxed)));
            }
            let report = queue.flush().wait().unwrap();
            assert_eq!(ran.load(Ordering::Relaxed), round * 50, "{}", queue.name());
            assert_eq!(
                (report.completed, report.panicked),
                (50, 0),
                "{}",
                queue.name()
            );
        }
        assert_eq!(queue.destroy().wait().unwrap().completed, 0);
    }
}

/// An ordered queue runs its items in order of acceptance, one at a time, suspended or not.
#[test]
fn ordered_means_ordered() {
    let system = system();
    let queue = Workqueue::ordered("o").system(&system).build().unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    for n in 0..200 {
        let log = Arc::clone(&log);
        drop(queue.spawn(async move {
            log.lock().unwrap().push((n, "begin"));
            let mut yielded = false;
            std::future::poll_fn(|cx| {
                if std::mem::replace(&mut yielded, true) {
                    return std::task::Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                std::task::Poll::Pending
            })
            .await;
            log.lock().unwrap().push((n, "end"));
        }));
    }
    queue.flush().wait().unwrap();
    let expected: Vec<_> = (0..200).flat_map(|n| [(n, "begin"), (n, "end")]).collect();
    assert_eq!(*log.lock().unwrap(), expected);
}

/// A panic is delivered to the handle and counted; the queue goes on.
#[test]
fn panics_are_delivered() {
    let system = system();
    let queue = Workqueue::ordered("o").system(&system).build().unwrap();
    let error = queue.spawn_fn(|| panic!("told")).wait().unwrap_err();
    assert!(
        error.is_panic() && error.to_string().contains("told"),
        "{error}"
    );
    assert_eq!(queue.spawn_fn(|| 1).wait().unwrap(), 1);
    let report = queue.flush().wait().unwrap();
    assert_eq!((report.completed, report.panicked), (1, 1));
}

/// A suspended task is aborted at once; its destructors have run when the handle says so.
#[test]
fn abort_ends_a_suspended_task() {
    let system = system();
    let queue = Workqueue::unbound("u").system(&system).build().unwrap();
    for _ in 0..200 {
        let (dropped, told) = mpsc::channel::<()>();
        let task = queue.spawn(async move {
            let _dropped = dropped;
            std::future::pending::<()>().await;
        });
        let abort = task.abort_handle();
        abort.abort();
        assert!(task.wait().unwrap_err().is_cancelled());
        assert!(told.recv().is_err());
    }
}

/// Requests coalesce while pending; one more run follows a request made during a run.
#[test]
fn requests_coalesce() {
    let system = system();
    let queue = Workqueue::unbound("u").system(&system).build().unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let (go, wait_for_go) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel::<()>();
    let counted = Arc::clone(&runs);
    let work = Work::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        begun.send(()).unwrap();
        wait_for_go.recv().unwrap();
    });
    assert_eq!(queue.queue(&work), Queued::New);
    has_begun.recv().unwrap();
    assert!(work.is_running() && !work.is_pending());
    assert_eq!(queue.queue(&work), Queued::New);
    for _ in 0..5 {
        assert_eq!(queue.queue(&work), Queued::AlreadyPending);
    }
    go.send(()).unwrap();
    has_begun.recv().unwrap();
    go.send(()).unwrap();
    assert!(work.flush().wait().is_ok());
    queue.flush().wait().unwrap();
    assert_eq!(runs.load(Ordering::Relaxed), 2);
}

/// A delayed item runs once, not early; a cancelled one does not run.
#[test]
fn delays_are_kept() {
    let system = system();
    let queue = Workqueue::unbound("u").system(&system).build().unwrap();
    let (ran, has_run) = mpsc::channel();
    let tick = DelayedWork::new(move || ran.send(std::time::Instant::now()).unwrap());
    let asked = std::time::Instant::now();
    assert_eq!(
        queue.queue_after(&tick, Duration::from_millis(20)),
        Queued::New
    );
    assert_eq!(
        queue.queue_after(&tick, Duration::from_millis(1)),
        Queued::AlreadyPending
    );
    assert!(has_run.recv().unwrap() - asked >= Duration::from_millis(20));
    assert_eq!(
        queue.queue_after(&tick, Duration::from_secs(3600)),
        Queued::New
    );
    assert!(tick.cancel() && !tick.cancel());
    assert!(!tick.cancel_and_wait().wait().unwrap());
    assert!(has_run.try_recv().is_err());
}

/// Blocking tasks, far more than lanes, do not keep others from running.
#[test]
fn blocked_tasks_do_not_stall_others() {
    let system = system();
    let queue = Workqueue::unbound("u").system(&system).build().unwrap();
    let (release, blocked) = mpsc::channel::<()>();
    let blocked = Arc::new(Mutex::new(blocked));
    let tasks: Vec<_> = (0..40)
        .map(|_| {
            let blocked = Arc::clone(&blocked);
            queue.spawn(async move { blocked.lock().unwrap().recv().unwrap() })
        })
        .collect();
    for n in 0..100 {
        assert_eq!(queue.spawn(async move { n }).wait().unwrap(), n);
    }
    tasks.iter().for_each(|_| release.send(()).unwrap());
    for task in tasks {
        task.wait().unwrap();
    }
    assert_eq!(system.stats().rescues, 0);
}

/// Waiting inside a task works, to any depth.
#[test]
fn block_on_nests() {
    let system = system();
    fn nest(system: System, depth: u32) -> u32 {
        if depth == 0 {
            return 0;
        }
        let inner = system.clone();
        let task = system
            .default_queue()
            .spawn(async move { nest(inner, depth - 1) });
        system.block_on(task).unwrap() + 1
    }
    assert_eq!(nest(system, 20), 20);
}

/// A wait for oneself is an error at once.
#[test]
fn waiting_for_oneself_is_an_error() {
    let system = system();
    let queue = Arc::new(Workqueue::unbound("mine").system(&system).build().unwrap());
    let inside = Arc::clone(&queue);
    let error = queue
        .spawn_fn(move || inside.flush().wait().unwrap_err())
        .wait()
        .unwrap();
    assert!(
        error.is_deadlock() && error.to_string().contains("mine"),
        "{error}"
    );
}

/// A closed queue rejects, and gives futures back where asked to.
#[test]
fn closed_queues_reject() {
    let system = system();
    let owner = Workqueue::unbound("u").system(&system).build().unwrap();
    let queue = (*owner).clone();
    drop(owner);
    assert!(queue.spawn(async {}).wait().unwrap_err().is_rejected());
    assert!(queue.try_spawn(async {}).unwrap_err().is_closed());
    assert_eq!(queue.queue(&Work::new(|| ())), Queued::Closed);
}

/// Ten thousand queues come and go.
#[test]
fn queues_are_made_and_destroyed() {
    let system = system();
    let before = system.stats().queues;
    for n in 0..10_000 {
        let queue = Workqueue::unbound("u").system(&system).build().unwrap();
        let task = queue.spawn(async move { n });
        if n % 2 == 0 {
            queue.destroy().wait().unwrap();
        }
        assert_eq!(task.wait().unwrap(), n);
    }
    while system.stats().queues > before {
        std::thread::yield_now();
    }
}
