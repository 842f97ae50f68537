//! Tasks, queues and waits as a user of the async layer meets them, on real threads.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use wq::{Queued, System, Work, Workqueue};

/// A System of two lanes.
fn system() -> System {
    System::builder().workers(2).build().expect("a System")
}

/// Sets a flag when it is dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The free functions use the entered System; a task that uses them stays in its own.
#[test]
fn free_functions_use_the_current_system() {
    let system = system();
    let other = System::builder().name("other").workers(1).build().unwrap();
    let on_thread = |prefix: &'static str| {
        move || {
            std::thread::current()
                .name()
                .is_some_and(|name| name.starts_with(prefix))
        }
    };
    let _entered = system.enter();
    assert!(wq::spawn_fn(on_thread("wq/")).wait().unwrap());
    assert!(
        wq::try_spawn(async move { on_thread("wq/")() })
            .unwrap()
            .wait()
            .unwrap()
    );
    assert!(wq::run(async move { on_thread("wq/")() }));
    {
        let _inner = other.enter();
        assert!(wq::spawn_fn(on_thread("other/")).wait().unwrap());
    }
    // Spawned from a task of `other` while this thread has entered `system`.
    let nested = other.default_queue().spawn(async move {
        wq::spawn(async move { on_thread("other/")() })
            .await
            .unwrap()
    });
    assert!(nested.wait().unwrap());
}

/// Guards of entered Systems may be dropped in any order; the one made last counts.
#[test]
fn guards_may_be_dropped_in_any_order() {
    let systems = ["a", "b", "c"].map(|n| System::builder().name(n).build().unwrap());
    let [a, b, c] = systems.each_ref().map(System::enter);
    let current = || wq::spawn_fn(|| std::thread::current().name().unwrap()[..1].to_owned());
    drop(b);
    assert_eq!(current().wait().unwrap(), "c");
    drop(c);
    assert_eq!(current().wait().unwrap(), "a");
    let again = systems[1].enter();
    drop(a);
    assert_eq!(current().wait().unwrap(), "b");
    drop(again);
}

/// A root future is a task with `run`, and stays on the caller's thread with `block_on`.
#[test]
fn run_moves_and_block_on_stays() {
    let system = system();
    let _entered = system.enter();
    let here = std::thread::current().id();
    assert_ne!(wq::run(async { std::thread::current().id() }), here);
    assert_eq!(wq::block_on(async { std::thread::current().id() }), here);
    // What stays may borrow, and need not be `Send`.
    let text = std::rc::Rc::new(String::from("local"));
    assert_eq!(wq::block_on(async { text.len() }), 5);
}

/// A panic of the root reaches the caller with its payload.
#[test]
fn run_propagates_panics() {
    let system = system();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        system.run(async { panic!("the root") });
    }));
    assert_eq!(
        caught.unwrap_err().downcast_ref::<&str>(),
        Some(&"the root")
    );
}

/// Waiting on a thread inside a task works at any depth, also while every lane does it.
#[test]
fn block_on_inside_tasks() {
    let system = system();
    fn deep(depth: u32) -> u32 {
        if depth == 0 {
            0
        } else {
            wq::block_on(wq::spawn(async move { deep(depth - 1) })).unwrap() + 1
        }
    }
    let tasks: Vec<_> = (0..8)
        .map(|_| system.default_queue().spawn(async { deep(10) }))
        .collect();
    for task in tasks {
        assert_eq!(task.wait().unwrap(), 10);
    }
    assert_eq!(system.stats().rescues, 0);
}

/// Queue functions by name do what the methods do.
#[test]
fn flush_and_drain_wait_for_what_was_accepted() {
    system().run(async {
        let queue = Workqueue::unbound("jobs").max_active(3).build().unwrap();
        let done = Arc::new(AtomicUsize::new(0));
        for n in 0..100 {
            let done = Arc::clone(&done);
            drop(wq::spawn_on(&queue, async move {
                for _ in 0..n % 5 {
                    wq::yield_now().await;
                }
                done.fetch_add(1, Ordering::SeqCst);
            }));
        }
        let report = wq::flush(&queue).await.unwrap();
        assert_eq!((report.completed, done.load(Ordering::SeqCst)), (100, 100));
        drop(queue.spawn(async { panic!("counted") }));
        let report = wq::drain(&queue).await.unwrap();
        assert_eq!((report.completed, report.panicked), (0, 1));
        assert!(
            queue.spawn(async {}).await.is_ok(),
            "a drained queue accepts again"
        );
    });
}

/// The one rule: a suspended item keeps its slot, its turn, and its place in the flush.
#[test]
fn suspended_items_are_in_flight() {
    let system = system();
    let queue = Workqueue::unbound("two")
        .system(&system)
        .max_active(2)
        .build()
        .unwrap();
    let (send, receive) = async_channel::unbounded::<()>();
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let receive = receive.clone();
            queue.spawn(async move { receive.recv().await.unwrap() })
        })
        .collect();
    // Two suspended items hold both slots; the third has not begun.
    let mut flush = pin!(queue.flush());
    assert!(flush.as_mut().now_or_never().is_none());
    assert_eq!((queue.stats().active, queue.stats().waiting), (2, 1));
    for _ in 0..3 {
        send.send_blocking(()).unwrap();
    }
    assert_eq!(system.block_on(flush).unwrap().completed, 3);
    assert!(
        tasks.iter().all(wq::JoinHandle::is_finished),
        "flushed means finished"
    );
}

/// An ordered queue polls no item before the one accepted earlier has ended (T5 of the tests by
/// the kernel's rules).
#[test]
fn ordered_items_do_not_interleave() {
    let system = system();
    let queue = Workqueue::ordered("journal")
        .system(&system)
        .build()
        .unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    let (send, receive) = async_channel::unbounded::<()>();
    for n in 0..3 {
        let (log, receive) = (Arc::clone(&log), receive.clone());
        drop(queue.spawn(async move {
            log.lock().unwrap().push((n, "begin"));
            receive.recv().await.unwrap();
            log.lock().unwrap().push((n, "end"));
        }));
    }
    for _ in 0..3 {
        send.send_blocking(()).unwrap();
    }
    queue.flush().wait().unwrap();
    let expected: Vec<_> = (0..3).flat_map(|n| [(n, "begin"), (n, "end")]).collect();
    assert_eq!(*log.lock().unwrap(), expected);
}

/// Two tasks that yield to each other on one lane both go on.
#[test]
fn yields_let_others_run() {
    let system = System::builder().workers(1).build().unwrap();
    let turn = Arc::new(AtomicUsize::new(0));
    let player = |me: usize| {
        let turn = Arc::clone(&turn);
        async move {
            for round in 0..100 {
                while turn.load(Ordering::SeqCst) != 2 * round + me {
                    wq::yield_now().await;
                }
                turn.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    let first = system.default_queue().spawn(player(0));
    let second = system.default_queue().spawn(player(1));
    first.wait().unwrap();
    second.wait().unwrap();
    assert_eq!(turn.load(Ordering::SeqCst), 200);
}

/// Two tasks that yield as other crates do, by waking themselves, don't keep a third from starting.
#[test]
fn self_wakes_let_new_items_start() {
    let system = System::builder().workers(1).build().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let spin = || {
        let over = Arc::clone(&over);
        poll_fn(move |cx| {
            if over.load(Ordering::SeqCst) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    };
    let spinners = [spin(), spin()].map(|spinner| system.default_queue().spawn(spinner));
    let third = Arc::clone(&over);
    let started = system
        .default_queue()
        .spawn_fn(move || third.store(true, Ordering::SeqCst));
    started.wait().unwrap();
    for spinner in spinners {
        spinner.wait().unwrap();
    }
}

/// A full or closed queue gives the future back, unpolled, and says which.
#[test]
fn try_spawn_gives_the_future_back() {
    let system = system();
    let queue = Workqueue::unbound("small")
        .system(&system)
        .max_pending(1)
        .build()
        .unwrap();
    let (release, hold) = async_channel::bounded::<()>(1);
    let held = queue
        .try_spawn(async move { hold.recv().await.unwrap() })
        .unwrap();
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = Flag(Arc::clone(&dropped));
    let error = queue.try_spawn(async move { drop(flag) }).unwrap_err();
    assert!(error.is_full() && !error.is_closed(), "{error}");
    assert!(
        !dropped.load(Ordering::SeqCst),
        "the future lives in the error"
    );
    drop(error.into_inner());
    assert!(dropped.load(Ordering::SeqCst));
    assert!(queue.spawn(async {}).wait().unwrap_err().is_rejected());
    release.send_blocking(()).unwrap();
    held.wait().unwrap();
    queue.flush().wait().unwrap();
    assert!(queue.try_spawn(async {}).is_ok(), "there is room again");
}

/// `current` names the queue of the item; what is spawned by the free function inherits nothing.
#[test]
fn current_names_the_queue() {
    let system = system();
    let queue = Workqueue::unbound("mine").system(&system).build().unwrap();
    let names = queue.spawn(async {
        let own = wq::current().name().to_owned();
        let spawned = wq::spawn(async { wq::current().name().to_owned() })
            .await
            .unwrap();
        let chained = wq::current().spawn(async { wq::current().name().to_owned() });
        [own, spawned, chained.await.unwrap()]
    });
    assert_eq!(names.wait().unwrap(), ["mine", "events_unbound", "mine"]);
}

/// What `current` gives is a handle like any other: it outlives the item, and the queue stays.
#[test]
fn current_may_be_kept() {
    let system = system();
    let before = system.stats().queues;
    for _ in 0..100 {
        let owner = Workqueue::unbound("mine").system(&system).build().unwrap();
        let kept = owner.spawn(async { wq::current() }).wait().unwrap();
        assert_eq!(kept.spawn(async { 1 }).wait().unwrap(), 1);
        owner.destroy().wait().unwrap();
        // What is buried later is dug out later: when the other is gone, "mine" would be too.
        drop(Workqueue::unbound("other").system(&system).build().unwrap());
        while system.stats().queues > before + 1 {
            std::thread::yield_now();
        }
        let _third = Workqueue::unbound("third").system(&system).build().unwrap();
        assert_eq!(
            system.stats().queues,
            before + 2,
            "the kept handle keeps its queue"
        );
        assert_eq!(kept.name(), "mine");
        assert!(kept.is_closed() && kept.spawn(async {}).wait().unwrap_err().is_rejected());
    }
    // Asked for when all other handles are gone already.
    let owner = Workqueue::unbound("late").system(&system).build().unwrap();
    let (release, hold) = mpsc::channel::<()>();
    let late = owner.spawn_fn(move || {
        hold.recv().unwrap();
        wq::current()
    });
    drop(owner);
    release.send(()).unwrap();
    let late = late.wait().unwrap();
    assert_eq!((late.name(), late.is_closed()), ("late", true));
    drop(late);
    while system.stats().queues > before {
        std::thread::yield_now();
    }
}

/// Dropping a handle detaches; aborting drops the future where it is suspended.
#[test]
fn handles_detach_or_abort() {
    system().run(async {
        let (send, receive) = async_channel::bounded(1);
        drop(wq::spawn(async move { send.send("ran").await.unwrap() }));
        assert_eq!(receive.recv().await, Ok("ran"));

        let dropped = Arc::new(AtomicBool::new(false));
        let flag = Flag(Arc::clone(&dropped));
        let task = wq::spawn(async move {
            let _flag = flag;
            pending::<()>().await;
        });
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(
            dropped.load(Ordering::SeqCst),
            "destructors have run when the handle says so"
        );

        let (send, receive) = async_channel::bounded::<()>(1);
        let task = wq::spawn(async move {
            let _send = send;
            pending::<()>().await;
        });
        drop(task.abort_on_drop());
        assert!(
            receive.recv().await.is_err(),
            "the sender went with the future"
        );
    });
}

/// A task that has ended keeps its result whatever is asked afterwards.
#[test]
fn abort_after_the_end_changes_nothing() {
    let system = system();
    let task = system.default_queue().spawn(async { 7 });
    let abort = task.abort_handle();
    system.default_queue().spawn(async {}).wait().unwrap();
    while !task.is_finished() {
        std::thread::yield_now();
    }
    abort.abort();
    assert_eq!(task.wait().unwrap(), 7);
}

/// Panics in the body, in a captured value's destructor and in an unread output's destructor are
/// all caught, counted and harmless.
#[test]
fn panics_anywhere_are_caught() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("a destructor");
            }
        }
    }
    let system = system();
    let queue = Workqueue::unbound("bombs").system(&system).build().unwrap();
    assert!(
        queue
            .spawn(async { panic!("the body") })
            .wait()
            .unwrap_err()
            .is_panic()
    );
    let captured = Bomb;
    let error = queue.spawn_fn(move || drop(captured)).wait().unwrap_err();
    assert!(
        error.is_panic() && error.to_string().contains("a destructor"),
        "{error}"
    );
    let suspended = queue.spawn(async {
        let _bomb = Bomb;
        pending::<()>().await;
    });
    suspended.abort();
    let error = suspended.wait().unwrap_err();
    assert!(error.is_panic() || error.is_cancelled(), "{error}");
    // Nobody reads this output: it is dropped where nothing is harmed.
    drop(queue.spawn(async { Bomb }));
    queue.flush().wait().unwrap();
    assert_eq!(queue.spawn(async { 1 }).wait().unwrap(), 1);
}

/// Waits are abandoned by dropping them and leave nothing behind.
#[test]
fn dropped_waits_leave_no_trace() {
    let system = system();
    let queue = Workqueue::unbound("u").system(&system).build().unwrap();
    let (release, hold) = async_channel::bounded::<()>(1);
    let task = queue.spawn(async move { hold.recv().await.unwrap() });
    let mut drain = pin!(Some(queue.drain()));
    let polled = drain.as_mut().as_pin_mut().map(FutureExt::now_or_never);
    assert!(matches!(polled, Some(None)));
    assert!(
        queue.spawn(async {}).wait().unwrap_err().is_rejected(),
        "it drains"
    );
    drain.set(None);
    assert!(
        queue.spawn(async {}).wait().is_ok(),
        "an abandoned drain lets the queue go on"
    );
    let stuck = queue
        .flush()
        .wait_timeout(Duration::from_millis(1))
        .unwrap_err();
    assert!(
        stuck.is_timeout() && stuck.to_string().contains("1 items"),
        "{stuck}"
    );
    release.send_blocking(()).unwrap();
    task.wait().unwrap();
    queue.destroy().wait().unwrap();
}

/// Re-queueable items are there in the async layer too, and can be awaited.
#[test]
fn items_can_be_awaited() {
    system().run(async {
        let queue = Workqueue::ordered("items").build().unwrap();
        let (ran, runs) = mpsc::channel();
        let work = Work::new(move || ran.send(()).unwrap());
        assert_eq!(queue.queue(&work), Queued::New);
        assert!(work.flush().await.is_ok());
        assert_eq!(runs.try_iter().count(), 1);
        assert!(!work.cancel_and_wait().await.unwrap());
        assert!(!work.disable(), "nothing was pending");
        assert_eq!(queue.queue(&work), Queued::Disabled);
        assert_eq!(work.enable(), Some(true));
    });
}

/// A waker that is kept past the System, and used afterwards, does no harm.
#[test]
fn wakers_outlive_the_system() {
    let (send, wakers) = mpsc::channel();
    let system = system();
    let task = system.default_queue().spawn(poll_fn(move |cx| {
        send.send(cx.waker().clone()).unwrap();
        Poll::<()>::Pending
    }));
    let waker = wakers.recv().unwrap();
    let report = system.shutdown(Duration::ZERO);
    assert_eq!(report.dropped, 1);
    assert!(task.wait().unwrap_err().is_cancelled());
    drop(system);
    waker.wake_by_ref();
    let copy = waker.clone();
    std::thread::spawn(move || copy.wake()).join().unwrap();
    drop(waker);
}

/// Futures that are not `Unpin`, and large ones, run as they are.
#[test]
fn large_futures_run() {
    let system = system();
    let large = async {
        let bytes = [1u8; 64 * 1024];
        wq::yield_now().await;
        bytes.iter().map(|&b| u64::from(b)).sum::<u64>()
    };
    assert!(std::mem::size_of_val(&large) > 64 * 1024);
    assert_eq!(
        system.default_queue().spawn(large).wait().unwrap(),
        64 * 1024
    );
}

/// Compiles only if what it is given is a future that can be sent.
fn assert_sendable<T: Future + Send>(_: &T) {}

/// The waits and handles may cross threads.
#[test]
fn waits_are_send() {
    let system = system();
    let queue = Workqueue::unbound("u").system(&system).build().unwrap();
    assert_sendable(&queue.flush());
    assert_sendable(&queue.drain());
    assert_sendable(&queue.spawn(async {}));
    assert_sendable(&wq::yield_now());
    assert_sendable(&Work::new(|| ()).flush());
    assert_sendable(&wq::time::sleep(Duration::ZERO));
}
