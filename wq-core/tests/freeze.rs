//! Freezing: freezable queues start nothing until the thaw, what is active goes on, everything that
//! waits for such a queue waits with it, and nothing is lost or reordered.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use wq_core::{DelayedWork, Queued, System, Work, Workqueue};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// Too short for what must not happen; nothing depends on its end.
const AT_ONCE: Duration = Duration::from_millis(1);

/// A waker that tells whether it was woken.
#[derive(Default)]
struct Alarm(AtomicBool);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A System of two lanes.
fn system() -> System {
    System::builder().workers(2).build().expect("a System")
}

/// Waits until `done` holds; gives up after [`FOR_EVER`].
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + FOR_EVER;
    while !done() {
        assert!(Instant::now() < end, "{what}");
        thread::yield_now();
    }
}

/// A freezable queue of each kind.
fn freezable(system: &System) -> Vec<Workqueue> {
    let of = |built: Result<Workqueue, _>| built.expect("a good queue");
    vec![
        of(Workqueue::unbound("u").freezable().system(system).build()),
        of(Workqueue::unbound("l")
            .freezable()
            .max_active(2)
            .system(system)
            .build()),
        of(Workqueue::percpu("p").freezable().system(system).build()),
        of(Workqueue::percpu("h")
            .highpri()
            .freezable()
            .system(system)
            .build()),
        of(Workqueue::ordered("o").freezable().system(system).build()),
    ]
}

/// What was queued after a freeze has not started when later items of other queues on the same
/// pools have ended; after the thaw all of it runs, an ordered queue's in order.
#[test]
fn nothing_starts_until_the_thaw() {
    let system = system();
    let queues = freezable(&system);
    system
        .freeze()
        .wait_timeout(FOR_EVER)
        .expect("nothing is active");
    let started = Arc::new(Mutex::new(Vec::new()));
    for (which, queue) in queues.iter().enumerate() {
        for n in 0..10 {
            let started = Arc::clone(&started);
            drop(queue.spawn_fn(move || started.lock().unwrap().push((which, n))));
        }
        let stats = queue.stats();
        assert_eq!((stats.active, stats.waiting), (0, 10), "{}", queue.name());
        assert!(queue.is_frozen());
    }
    for other in [
        system.default_queue(),
        system.percpu_queue(),
        system.highpri_queue(),
    ] {
        assert!(!other.is_frozen());
        for _ in 0..50 {
            other.spawn(async {}).wait().unwrap();
        }
    }
    assert_eq!(*started.lock().unwrap(), []);
    assert_eq!(system.thaw(), Some(true));
    for (which, queue) in queues.iter().enumerate() {
        let report = queue.flush().wait_timeout(FOR_EVER).expect("all run");
        assert_eq!(report.completed, 10);
        let mut ran: Vec<_> = started.lock().unwrap().clone();
        ran.retain(|(of, _)| *of == which);
        if queue.name() != "o" {
            ran.sort_unstable();
        }
        assert_eq!(ran, (0..10).map(|n| (which, n)).collect::<Vec<_>>());
    }
}

/// A closure that runs and a future that is suspended go on; the freeze is quiet when both have
/// ended, and not before.
#[test]
fn active_items_go_on() {
    let system = system();
    let queue = Workqueue::unbound("jobs").freezable().system(&system);
    let queue = queue.build().unwrap();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel::<()>();
    let closure = queue.spawn_fn(move || {
        begun.send(()).unwrap();
        may_go_on.recv().unwrap();
    });
    has_begun.recv().unwrap();
    let elsewhere = Workqueue::unbound("elsewhere")
        .max_active(1)
        .system(&system);
    let elsewhere = elsewhere.build().unwrap();
    let (answer, may_answer) = mpsc::channel::<u32>();
    let asked = elsewhere.spawn_fn(move || may_answer.recv().unwrap());
    let (suspends, has_suspended) = mpsc::channel::<()>();
    let future = queue.spawn(async move {
        suspends.send(()).unwrap();
        asked.await.unwrap()
    });
    has_suspended.recv().unwrap();

    let freeze = system.freeze();
    assert_eq!(system.active_freezable(), 2);
    let error = system.freeze().wait_timeout(AT_ONCE).unwrap_err();
    assert!(
        error.is_timeout() && error.to_string().contains("2 items"),
        "{error}"
    );
    answer.send(7).unwrap();
    assert_eq!(future.wait().unwrap(), 7);
    // The slot goes back a moment after the result is there.
    wait_until("the future's slot is free", || {
        system.active_freezable() == 1
    });
    go_on.send(()).unwrap();
    freeze.wait_timeout(FOR_EVER).expect("both have ended");
    assert!(closure.is_finished());
    assert_eq!(system.active_freezable(), 0);
}

/// Flushes and drains of a frozen queue, and the flush of one of its items, end after the thaw.
/// Their errors before that say why.
#[test]
fn flushes_and_drains_wait_for_the_thaw() {
    let system = system();
    let queue = Workqueue::percpu("jobs").freezable().system(&system);
    let queue = queue.build().unwrap();
    drop(system.freeze());
    let work = Work::new(|| ());
    assert_eq!(queue.queue(&work), Queued::New);
    let error = queue.flush().wait_timeout(AT_ONCE).unwrap_err();
    assert!(error.to_string().contains("frozen"), "{error}");
    let (mut flush, mut drain) = (queue.flush(), queue.drain());
    assert!(work.flush().wait_timeout(AT_ONCE).unwrap_err().is_timeout());
    assert!(work.is_pending());
    system.thaw();
    assert_eq!(flush.wait_timeout(FOR_EVER).unwrap().completed, 1);
    drain.wait_timeout(FOR_EVER).unwrap();
    assert_eq!(work.flush().wait_timeout(FOR_EVER), Ok(false));
}

/// An owner's freeze and the System's add: an item starts when neither is left.
#[test]
fn freezes_nest_and_add() {
    let system = system();
    let queue = Workqueue::unbound("jobs").freezable().system(&system);
    let queue = queue.build().unwrap();
    drop((system.freeze(), system.freeze()));
    drop(queue.freeze().unwrap());
    let item = queue.spawn(async {});
    assert_eq!(system.thaw(), Some(false));
    assert!(system.is_freezing());
    assert_eq!(system.thaw(), Some(true));
    assert!(!system.is_freezing() && queue.is_frozen());
    assert_eq!(system.thaw(), None);
    assert_eq!(queue.stats().waiting, 1);
    assert_eq!((queue.thaw(), queue.thaw()), (Some(true), None));
    item.wait().unwrap();
    let plain = Workqueue::unbound("plain").system(&system).build().unwrap();
    let error = plain.freeze().unwrap_err();
    assert_eq!(error.fields().collect::<Vec<_>>(), ["freezable"]);
}

/// A queue that is built while the System is frozen is frozen, and thaws with it.
#[test]
fn queues_are_born_frozen() {
    let system = system();
    drop(system.freeze());
    let queues = freezable(&system);
    let items: Vec<_> = queues.iter().map(|queue| queue.spawn(async {})).collect();
    for queue in &queues {
        assert_eq!((queue.is_frozen(), queue.stats().waiting), (true, 1));
    }
    system.thaw();
    items.into_iter().for_each(|item| item.wait().unwrap());
}

/// An owner that goes undoes its own freezes, since nobody else could; not the System's.
#[test]
fn an_owner_that_goes_thaws() {
    let system = system();
    let build = || {
        let queue = Workqueue::unbound("jobs").freezable().system(&system);
        let queue = queue.build().unwrap();
        drop((queue.freeze().unwrap(), queue.freeze().unwrap()));
        queue
    };
    let (dropped, destroyed) = (build(), build());
    let (a, b) = (dropped.spawn(async {}), destroyed.spawn(async {}));
    drop(dropped);
    a.wait().unwrap();
    assert_eq!(
        destroyed
            .destroy()
            .wait_timeout(FOR_EVER)
            .unwrap()
            .completed,
        1
    );
    b.wait().unwrap();
    let held = build();
    let c = held.spawn(async {});
    drop(system.freeze());
    let error = held.destroy().wait_timeout(AT_ONCE).unwrap_err();
    assert!(error.to_string().contains("frozen"), "{error}");
    system.thaw();
    c.wait().unwrap();
}

/// A shutdown does not start what is frozen: it drops it after the grace, and accounts for it.
#[test]
fn a_shutdown_ends_a_freeze() {
    let system = system();
    let queues = freezable(&system);
    let (begun, has_begun) = mpsc::channel::<()>();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    drop(queues[0].spawn_fn(move || {
        begun.send(()).unwrap();
        let _ = may_go_on.recv();
    }));
    has_begun.recv().unwrap();
    let freeze = system.freeze();
    drop(queues[1].freeze().unwrap());
    let items: Vec<_> = queues
        .iter()
        .map(|queue| queue.spawn_fn(|| panic!("frozen items do not start")))
        .collect();
    let report = system.shutdown(Duration::from_millis(20));
    assert_eq!((report.dropped, report.detached), (items.len() as u64, 1));
    for item in items {
        assert!(item.wait().unwrap_err().is_cancelled());
    }
    assert!(freeze.wait_timeout(FOR_EVER).unwrap_err().is_thawed());
    // Too late for another one.
    assert!(
        system
            .freeze()
            .wait_timeout(FOR_EVER)
            .unwrap_err()
            .is_thawed()
    );
    assert!(!system.is_freezing());
    drop(go_on);
}

/// A thaw ends the waits of its freeze, which say so; another freeze does not go on with them.
#[test]
fn waits_of_a_freeze_that_is_over_end() {
    let system = system();
    let queue = Workqueue::unbound("jobs").freezable().system(&system);
    let queue = queue.build().unwrap();
    let (begun, has_begun) = mpsc::channel::<()>();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let running = queue.spawn_fn(move || {
        begun.send(()).unwrap();
        may_go_on.recv().unwrap();
    });
    has_begun.recv().unwrap();
    let (mut first, own) = (system.freeze(), queue.freeze().unwrap());
    let alarm = Arc::new(Alarm::default());
    let waker = Waker::from(alarm.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(Pin::new(&mut first).poll(&mut cx).is_pending());
    system.thaw();
    assert!(alarm.0.load(Ordering::SeqCst), "a thaw wakes who waits");
    let second = system.freeze();
    let Poll::Ready(Err(error)) = Pin::new(&mut first).poll(&mut cx) else {
        panic!("the second freeze is not the first one's");
    };
    assert!(error.is_thawed(), "{error}");
    queue.thaw();
    assert!(own.wait_timeout(FOR_EVER).unwrap_err().is_thawed());
    go_on.send(()).unwrap();
    second.wait_timeout(FOR_EVER).unwrap();
    running.wait().unwrap();
    system.thaw();
}

/// From inside an item of a freezable queue the freeze works and its wait is an error; from inside
/// another one it is none.
#[test]
fn an_item_does_not_wait_for_its_own_freeze() {
    let system = system();
    let queue = Workqueue::unbound("jobs").freezable().system(&system);
    let queue = queue.build().unwrap();
    let inner = system.clone();
    let inside = queue.spawn_fn(move || inner.freeze().wait_timeout(FOR_EVER));
    let error = inside.wait().unwrap().unwrap_err();
    assert!(
        error.is_deadlock() && error.to_string().contains("jobs"),
        "{error}"
    );
    assert!(system.is_freezing());
    assert_eq!(system.thaw(), Some(true));
    let inner = system.clone();
    let outside = system.spawn(async move { inner.freeze().wait_timeout(FOR_EVER) });
    assert_eq!(outside.wait().unwrap(), Ok(()));
    system.thaw();
}

/// Timers fire into a frozen queue, cancelled items leave it, aborted ones end without the thaw.
#[test]
fn delays_cancels_and_aborts_reach_a_frozen_queue() {
    let system = system();
    let queue = Workqueue::ordered("jobs").freezable().system(&system);
    let queue = queue.build().unwrap();
    drop(system.freeze());
    let ran = Arc::new(AtomicU64::new(0));
    let counting = |ran: &Arc<AtomicU64>| {
        let ran = Arc::clone(ran);
        move || {
            ran.fetch_add(1, Ordering::Relaxed);
        }
    };
    let tick = DelayedWork::new(counting(&ran));
    assert_eq!(queue.queue_after(&tick, AT_ONCE), Queued::New);
    wait_until("the timer fires", || queue.stats().waiting == 1);
    let work = Work::new(counting(&ran));
    assert_eq!(queue.queue(&work), Queued::New);
    assert_eq!(work.cancel_and_wait().wait_timeout(FOR_EVER), Ok(true));
    let aborted = queue.spawn(std::future::pending::<()>());
    aborted.abort();
    assert!(aborted.wait().unwrap_err().is_cancelled());
    assert_eq!(ran.load(Ordering::Relaxed), 0);
    system.thaw();
    tick.flush().wait_timeout(FOR_EVER).unwrap();
    queue.drain().wait_timeout(FOR_EVER).unwrap();
    assert_eq!(ran.load(Ordering::Relaxed), 1);
}

/// Freezes against submitters from several threads: between a quiet freeze and its thaw no item
/// starts, and in the end all have run.
#[test]
fn stress_freezes_against_submitters() {
    const SUBMITTERS: usize = 3;
    const ROUNDS: usize = 200;
    let system = system();
    let queues = Arc::new(freezable(&system));
    let quiet = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicBool::new(false));
    let submitters: Vec<_> = (0..SUBMITTERS)
        .map(|n| {
            let (queues, quiet, done) = (queues.clone(), quiet.clone(), done.clone());
            thread::spawn(move || {
                let mut queued = 0_u64;
                while !done.load(Ordering::Relaxed) {
                    let queue = &queues[(n + queued as usize) % queues.len()];
                    let quiet = quiet.clone();
                    let last = queue.spawn_fn(move || {
                        assert!(!quiet.load(Ordering::SeqCst), "starts while frozen");
                    });
                    queued += 1;
                    if queued % 16 == 0 {
                        last.wait().unwrap();
                    }
                }
                queued
            })
        })
        .collect();
    for round in 0..ROUNDS {
        let freeze = system.freeze();
        if round % 8 == 7 {
            drop(freeze);
        } else {
            freeze.wait_timeout(FOR_EVER).expect("items are short");
            quiet.store(true, Ordering::SeqCst);
            thread::yield_now();
            quiet.store(false, Ordering::SeqCst);
        }
        assert_eq!(system.thaw(), Some(true));
    }
    done.store(true, Ordering::Relaxed);
    let queued: u64 = submitters.into_iter().map(|s| s.join().unwrap()).sum();
    let mut completed = 0;
    for queue in queues.iter() {
        let report = queue.flush().wait_timeout(FOR_EVER).expect("all end");
        assert_eq!(report.panicked, 0, "{}", queue.name());
        completed += report.completed;
    }
    assert_eq!(completed, queued);
}
