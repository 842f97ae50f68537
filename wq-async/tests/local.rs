//! Sets of futures that stay on their thread.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use tokio::sync::oneshot;
use wq::{LocalSet, System};

/// What no wait of these tests takes, unless something hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs `f` on a thread of its own, and fails if that takes too long.
fn within_limit<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(f()));
    told.recv_timeout(LIMIT)
        .expect("it panicked, or waits for ever")
}

/// Notes on which thread it is dropped.
struct Witness(Rc<RefCell<Vec<ThreadId>>>);

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.borrow_mut().push(thread::current().id());
    }
}

/// Goal: tasks run on the set's thread while it is run, in the order of their spawns, and spawn
/// others; results that cannot be sent come back.
#[test]
fn tasks_run_on_the_thread_of_their_set() {
    let set = LocalSet::new();
    let here = thread::current().id();
    let log = Rc::new(RefCell::new(Vec::new()));
    for n in 0..3 {
        let log = Rc::clone(&log);
        drop(set.spawn_local(async move {
            let inner = Rc::clone(&log);
            log.borrow_mut().push(n);
            let task = wq::spawn_local(async move { inner.borrow_mut().push(10 + n) });
            task.await.unwrap();
            assert_eq!(thread::current().id(), here);
        }));
    }
    assert_eq!((set.len(), log.borrow().len()), (3, 0));
    set.block_on(set.run_all());
    assert_eq!(*log.borrow(), [0, 1, 2, 10, 11, 12]);
    assert!(set.is_empty());
    let text = set.block_on(async { wq::spawn_local(async { Rc::new("kept") }).await.unwrap() });
    assert_eq!(*text, "kept");
}

/// Goal: wakers work from other threads, while the set's thread sleeps; and a task inside of a
/// worker's task runs there.
#[test]
fn wakers_work_on_other_threads() {
    let system = System::builder().workers(2).build().unwrap();
    let sum = system.spawn(async {
        // A set inside of a task: its thread is the worker, for as long as that blocks.
        let set = LocalSet::new();
        let total = Rc::new(Cell::new(0));
        for n in 0..50 {
            let total = Rc::clone(&total);
            drop(set.spawn_local(async move {
                let (sender, receiver) = oneshot::channel();
                let other = wq::spawn(async move {
                    wq::yield_now().await;
                    sender.send(n).expect("somebody listens");
                });
                let n: i32 = receiver.await.expect("a number");
                total.set(total.get() + n);
                other.await.unwrap();
            }));
        }
        set.block_on(set.run_all());
        total.get()
    });
    assert_eq!(
        sum.wait_timeout(LIMIT).expect("it ends").unwrap(),
        50 * 49 / 2
    );
}

/// Goal: the future that is run gets its turns though tasks always want to run, and ends the run;
/// tasks stay in the set and go on in the next.
#[test]
fn busy_tasks_do_not_keep_the_run_from_its_end() {
    let count = within_limit(|| {
        let set = LocalSet::new();
        let turns = Rc::new(Cell::new(0));
        for _ in 0..3 {
            let turns = Rc::clone(&turns);
            drop(set.spawn_local(async move {
                loop {
                    turns.set(turns.get() + 1);
                    wq::yield_now().await;
                }
            }));
        }
        let some_polls = || async {
            for _ in 0..10 {
                wq::yield_now().await;
            }
        };
        set.block_on(some_polls());
        let first = turns.get();
        set.block_on(some_polls());
        (first, turns.get(), set.len())
    });
    assert!(0 < count.0 && count.0 < count.1, "{count:?}");
    assert_eq!(count.2, 3);
}

/// Goal: more tasks than one poll of the set takes all run.
#[test]
fn many_tasks_all_run() {
    let count = within_limit(|| {
        let set = LocalSet::new();
        let count = Rc::new(Cell::new(0));
        for _ in 0..1000 {
            let count = Rc::clone(&count);
            drop(set.spawn_local(async move { count.set(count.get() + 1) }));
        }
        set.block_on(set.run_all());
        count.get()
    });
    assert_eq!(count, 1000);
}

/// Goal: a panic ends its task alone, of the body, of what it captured, of a result that nobody
/// takes.
#[test]
fn panics_end_their_task() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("of a destructor");
        }
    }
    let set = LocalSet::new();
    let text = |error: wq::JoinError| error.to_string();
    let body = set.spawn_local(async { panic!("of the body") });
    assert_eq!(
        text(set.block_on(body).unwrap_err()),
        "the task panicked: of the body"
    );
    let bomb = Bomb;
    let captured = set.spawn_local(async move {
        let _bomb = &bomb;
        7
    });
    assert_eq!(
        text(set.block_on(captured).unwrap_err()),
        "the task panicked: of a destructor"
    );
    drop(set.spawn_local(async { Bomb }));
    let kept = set.spawn_local(async { 7 });
    set.block_on(set.run_all());
    assert_eq!(set.block_on(kept).unwrap(), 7);
}

/// Goal: an abort drops the future on the set's thread, whoever asks; one that has ended keeps its
/// result.
#[test]
fn aborts_drop_on_the_thread_of_the_set() {
    let set = LocalSet::new();
    let dropped = Rc::new(RefCell::new(Vec::new()));
    let witness = Witness(Rc::clone(&dropped));
    let task = set.spawn_local(async move {
        let _witness = witness;
        pending::<()>().await;
    });
    let never_polled = set.spawn_local(pending::<()>());
    never_polled.abort();
    let ended = set.spawn_local(async { 7 });
    set.block_on(wq::yield_now());
    ended.abort();
    assert_eq!(set.block_on(ended).unwrap(), 7);
    let (tell, told) = mpsc::channel();
    set.block_on(async {
        let other = thread::spawn(move || {
            task.abort();
            tell.send(task).expect("somebody listens");
        });
        set.run_all().await;
        other.join().unwrap();
    });
    let task = told.try_recv().expect("it was told");
    assert!(task.is_finished());
    assert!(set.block_on(task).unwrap_err().is_cancelled());
    assert!(set.block_on(never_polled).unwrap_err().is_cancelled());
    assert_eq!(*dropped.borrow(), [thread::current().id()]);
}

/// Goal: dropping the set drops its tasks, here: those that were never polled, those that sleep,
/// and those whose wakers others have. What they spawn meanwhile is refused. Late wakes do nothing.
#[test]
fn a_dropped_set_drops_its_tasks() {
    let set = LocalSet::new();
    let dropped = Rc::new(RefCell::new(Vec::new()));
    let (give, given) = mpsc::channel::<Waker>();
    for _ in 0..3 {
        let (witness, give) = (Witness(Rc::clone(&dropped)), give.clone());
        drop(set.spawn_local(async move {
            let _witness = witness;
            poll_fn(|cx| {
                give.send(cx.waker().clone()).expect("somebody listens");
                Poll::<()>::Pending
            })
            .await;
        }));
    }
    set.block_on(wq::yield_now());
    let witness = Witness(Rc::clone(&dropped));
    let never_polled = set.spawn_local(async move { drop(witness) });
    /// Spawns when it is dropped.
    struct Spawner(mpsc::Sender<bool>);
    impl Drop for Spawner {
        fn drop(&mut self) {
            let late = wq::spawn_local(async {});
            let refused = wq::block_on(late).is_err_and(|error| error.is_rejected());
            self.0.send(refused).expect("somebody listens");
        }
    }
    let (tell, told) = mpsc::channel();
    let spawner = Spawner(tell);
    drop(set.spawn_local(async move {
        let _spawner = spawner;
        pending::<()>().await;
    }));
    drop(set);
    assert_eq!(*dropped.borrow(), [thread::current().id(); 4]);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [true]);
    assert!(wq::block_on(never_polled).unwrap_err().is_cancelled());
    drop(give);
    let wakers: Vec<Waker> = given.iter().collect();
    assert_eq!(wakers.len(), 3);
    thread::spawn(move || wakers.into_iter().for_each(Waker::wake))
        .join()
        .unwrap();
}

/// Goal: sets may be dropped while other threads wake their tasks: each future is dropped once, on
/// its thread, and the drop ends.
#[test]
fn drops_meet_wakes() {
    within_limit(|| {
        let (give, given) = mpsc::channel::<Waker>();
        let others: Vec<_> = {
            let given = Arc::new(std::sync::Mutex::new(given));
            (0..2)
                .map(|_| {
                    let given = Arc::clone(&given);
                    thread::spawn(move || {
                        loop {
                            let waker = given.lock().unwrap().recv();
                            let Ok(waker) = waker else { return };
                            waker.wake();
                        }
                    })
                })
                .collect()
        };
        for _ in 0..300 {
            let set = LocalSet::new();
            let dropped = Rc::new(RefCell::new(Vec::new()));
            for _ in 0..4 {
                let (witness, give) = (Witness(Rc::clone(&dropped)), give.clone());
                drop(set.spawn_local(async move {
                    let _witness = witness;
                    poll_fn(|cx| {
                        let _ = give.send(cx.waker().clone());
                        Poll::<()>::Pending
                    })
                    .await;
                }));
            }
            let mut run = pin!(set.run_all());
            let mut cx = Context::from_waker(Waker::noop());
            assert!(run.as_mut().poll(&mut cx).is_pending());
            drop(set);
            assert_eq!(*dropped.borrow(), [thread::current().id(); 4]);
        }
        drop(give);
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

/// Goal: who runs a set is woken for its tasks even if another run of it came in between and ended.
#[test]
fn two_runs_of_a_set_do_not_lose_wakes() {
    /// Counts how often it is used.
    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let set = LocalSet::new();
    let (sender, receiver) = oneshot::channel::<()>();
    drop(set.spawn_local(async move { receiver.await.expect("a word") }));
    let counts = [(); 2].map(|()| Arc::new(Count::default()));
    let wakers = counts
        .each_ref()
        .map(|count| Waker::from(Arc::clone(count)));
    let mut first = pin!(set.run_all());
    assert!(
        first
            .as_mut()
            .poll(&mut Context::from_waker(&wakers[0]))
            .is_pending()
    );
    {
        let mut second = pin!(set.run_all());
        assert!(
            second
                .as_mut()
                .poll(&mut Context::from_waker(&wakers[1]))
                .is_pending()
        );
    }
    sender.send(()).unwrap();
    assert_eq!(counts[0].0.load(Ordering::SeqCst), 1);
    assert!(
        first
            .as_mut()
            .poll(&mut Context::from_waker(&wakers[0]))
            .is_ready()
    );
}

/// Goal: outside of a set `spawn_local` is a panic that names the rule, and one inside is not left
/// behind when the run panics.
#[test]
fn outside_of_a_set_is_a_panic() {
    let spawn = || catch_unwind(|| drop(wq::spawn_local(async {})));
    let payload = spawn().unwrap_err();
    let text = payload.downcast_ref::<String>().cloned();
    let text = text.or_else(|| payload.downcast_ref::<&str>().map(|s| (*s).to_owned()));
    assert!(text.is_some_and(|text| text.contains("inside of a `LocalSet`")));
    let set = LocalSet::new();
    let run = AssertUnwindSafe(|| set.block_on(async { panic!("of the run") }));
    assert!(catch_unwind(run).is_err());
    assert!(spawn().is_err());
}

/// Goal: a blocked local task holds up its set, and nobody else: its worker's lane is taken over.
#[test]
fn a_blocked_task_stalls_its_own_set() {
    let system = System::builder().workers(1).build().unwrap();
    let ran = Arc::new(AtomicBool::new(false));
    let (release, released) = mpsc::channel::<()>();
    let flag = Arc::clone(&ran);
    let stalled = system.spawn(async move {
        let set = LocalSet::new();
        let other = Rc::new(Cell::new(false));
        let seen = Rc::clone(&other);
        drop(set.spawn_local(async move {
            released.recv_timeout(LIMIT).expect("it is released");
            assert!(!seen.get(), "its neighbour waits");
            flag.store(true, Ordering::SeqCst);
        }));
        drop(set.spawn_local(async move { other.set(true) }));
        set.block_on(set.run_all());
    });
    // Another task, on the only lane, releases it.
    let releaser = system.spawn(async move { release.send(()).expect("it waits") });
    releaser.wait_timeout(LIMIT).expect("it ends").unwrap();
    stalled.wait_timeout(LIMIT).expect("it ends").unwrap();
    assert!(ran.load(Ordering::SeqCst));
}

/// Goal: an abort during the first poll is heard, although nobody could be woken for it yet.
/// Method: a task that aborts itself in its first poll and then pends for ever.
#[test]
fn an_abort_during_the_first_poll_is_heard() {
    let set = LocalSet::new();
    let own: Rc<RefCell<Option<wq::LocalHandle<()>>>> = Rc::default();
    let seen = Rc::clone(&own);
    let task = set.spawn_local(async move {
        seen.borrow().as_ref().expect("it is there").abort();
        std::future::pending::<()>().await;
    });
    *own.borrow_mut() = Some(task);
    set.block_on(async { wq::yield_now().await });
    let task = own.borrow_mut().take().expect("it is there");
    assert!(set.block_on(task).unwrap_err().is_cancelled());
}

/// Goal: a set in a thread-local ends with its thread. Method: destructors of thread-locals run
/// last in, first out, and the set is the first one.
#[test]
fn a_set_may_stand_in_a_thread_local() {
    thread_local!(static SET: LocalSet = LocalSet::new());
    let thread = std::thread::spawn(|| {
        SET.with(|set| {
            drop(set.spawn_local(std::future::pending::<()>()));
            set.block_on(async { wq::yield_now().await });
        });
    });
    thread.join().expect("it ends in order");
}
