//! Races that once lost a wake-up, an item or a count: each test failed before its mend.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use wq_core::{DelayedWork, Queue, Queued, System, Work, Workqueue};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// A System of two lanes.
fn system() -> System {
    System::builder().workers(2).build().expect("a System")
}

/// Returns `Pending` once, after waking itself.
async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A queue that refuses.
fn closed_queue(system: &System) -> Queue {
    let owner = Workqueue::unbound("closed").system(system).build().unwrap();
    (*owner).clone()
}

/// An item that is refused (and dropped) while another one runs does not end that other one.
#[test]
fn a_refused_item_does_not_end_the_running_one() {
    let system = system();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let closed = closed_queue(&system);
    let tasks: Vec<_> = (0..100)
        .map(|n| {
            let closed = closed.clone();
            queue.spawn(async move {
                yield_once().await;
                assert!(closed.spawn(async {}).await.unwrap_err().is_rejected());
                let _ = closed.queue(&Work::new(|| ()));
                yield_once().await;
                yield_once().await;
                n
            })
        })
        .collect();
    let report = queue.flush().wait_timeout(FOR_EVER).unwrap();
    assert_eq!((report.completed, report.cancelled), (100, 0));
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.wait().unwrap(), n);
    }
    assert_eq!((queue.stats().accepted, queue.stats().in_flight), (100, 0));
}

/// What a queue refuses is in none of its counts, and holds up nobody who waits for it.
#[test]
fn refused_items_are_not_counted_and_hold_up_nobody() {
    let system = system();
    for round in 0..600 {
        let queue = match round % 3 {
            0 => Workqueue::unbound("u").system(&system).build().unwrap(),
            1 => Workqueue::unbound("l")
                .system(&system)
                .max_active(1)
                .build()
                .unwrap(),
            _ => Workqueue::percpu("p").system(&system).build().unwrap(),
        };
        let accepted = Arc::new(AtomicUsize::new(0));
        let barrier = Arc::new(Barrier::new(3));
        let spawners: Vec<_> = (0..2)
            .map(|_| {
                let (queue, accepted) = ((*queue).clone(), Arc::clone(&accepted));
                let barrier = Arc::clone(&barrier);
                thread::spawn(move || {
                    barrier.wait();
                    for _ in 0..200 {
                        if queue.try_spawn(async {}).is_ok() {
                            accepted.fetch_add(1, Ordering::Relaxed);
                        }
                        if !queue.spawn(async {}).wait().is_err_and(|e| e.is_rejected()) {
                            accepted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        let view = (*queue).clone();
        barrier.wait();
        let report = queue
            .destroy()
            .wait_timeout(FOR_EVER)
            .expect("nobody is held up");
        spawners.into_iter().for_each(|t| t.join().unwrap());
        let accepted = accepted.load(Ordering::Relaxed) as u64;
        assert_eq!(report.completed, accepted, "round {round}");
        assert_eq!(
            (view.stats().accepted, view.stats().completed),
            (accepted, accepted)
        );
    }
}

/// A flush of a delayed item that meets the expiry runs the item once, and ends.
#[test]
fn a_flush_and_the_expiry_meet() {
    let system = system();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let item = DelayedWork::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    for n in 0..3000usize {
        let delay = Duration::from_micros(20 + n as u64 % 150);
        assert_eq!(queue.queue_after(&item, delay), wq_core::Queued::New);
        let until = std::time::Instant::now() + delay;
        while std::time::Instant::now() < until {
            std::hint::spin_loop();
        }
        item.flush().wait_timeout(FOR_EVER).expect("the flush ends");
        assert_eq!(runs.load(Ordering::Relaxed), n + 1);
    }
}

/// Cancelled and armed again from several threads, a delayed item stays usable.
#[test]
fn cancel_and_arm_from_many_threads_leaves_the_item_usable() {
    let system = system();
    let queue = Workqueue::unbound("q").system(&system).build().unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let item = DelayedWork::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    for _ in 0..40 {
        let stop = Arc::new(AtomicBool::new(false));
        thread::scope(|s| {
            let threads: Vec<_> = (0..3)
                .map(|n| {
                    let (item, queue) = (item.clone(), (*queue).clone());
                    let stop = Arc::clone(&stop);
                    s.spawn(move || {
                        for i in 0..500u64 {
                            let _ = queue.queue_after(&item, Duration::from_micros(1 + i % 50));
                            if n > 0 {
                                item.cancel();
                            }
                        }
                        stop.store(true, Ordering::Relaxed);
                    })
                })
                .collect();
            threads.into_iter().for_each(|t| t.join().unwrap());
        });
        item.cancel_and_wait()
            .wait_timeout(FOR_EVER)
            .expect("no execution is stuck");
        let before = runs.load(Ordering::Relaxed);
        assert_eq!(
            queue.queue_after(&item, Duration::from_micros(50)),
            wq_core::Queued::New
        );
        item.flush()
            .wait_timeout(FOR_EVER)
            .expect("the item still runs");
        assert_eq!(runs.load(Ordering::Relaxed), before + 1);
    }
}

/// Goal: whoever wakes the last item of a queue touches nothing of the queue once the item is on
/// its way, since the queue may be gone by then. Method: queues that end with their only item,
/// which a foreign thread wakes; what is read too late ends in a crash sooner or later.
#[test]
fn a_queue_may_go_while_its_last_item_is_woken() {
    let system = system();
    let (wakers, woken) = mpsc::channel::<Waker>();
    let foreign = thread::spawn(move || woken.into_iter().for_each(Waker::wake));
    for _ in 0..2_000 {
        let queue = Workqueue::unbound("brief").system(&system).build().unwrap();
        let wakers = wakers.clone();
        let mut suspended = false;
        let task = queue.spawn(poll_fn(move |cx| {
            if std::mem::replace(&mut suspended, true) {
                return Poll::Ready(());
            }
            wakers.send(cx.waker().clone()).unwrap();
            Poll::Pending
        }));
        drop(queue);
        task.wait().unwrap();
    }
    drop(wakers);
    foreign.join().unwrap();
}

/// Who pushes into a `Crowded` queue.
const PRODUCERS: usize = 3;
/// How often each does.
const BURSTS: usize = 300;

/// Items of a burst.
const fn burst_len(burst: usize) -> usize {
    1 + burst % 7
}

/// Items of all bursts before this one.
fn items_before(burst: usize) -> usize {
    (0..burst).map(burst_len).sum()
}

/// What the items of one queue see.
#[derive(Default)]
struct Crowded {
    ordered: bool,
    /// Items that run now, and the most that ever did.
    beside: AtomicUsize,
    most: AtomicUsize,
    /// Items of each producer that have run.
    ran: [AtomicUsize; PRODUCERS],
}

impl Crowded {
    /// One producer's burst.
    fn push(self: &Arc<Self>, queue: &Queue, producer: usize, burst: usize) {
        for place in 0..burst_len(burst) {
            let (seen, turn) = (Arc::clone(self), items_before(burst) + place);
            drop(queue.spawn(async move {
                let beside = 1 + seen.beside.fetch_add(1, Ordering::Relaxed);
                seen.most.fetch_max(beside, Ordering::Relaxed);
                if place % 3 == 0 {
                    yield_once().await;
                }
                let ran = seen.ran[producer].fetch_add(1, Ordering::Relaxed);
                assert!(!seen.ordered || ran == turn, "{ran} instead of {turn}");
                seen.beside.fetch_sub(1, Ordering::Relaxed);
            }));
        }
    }

    /// All bursts of one producer: the first one's from inside a lane.
    fn produce(self: &Arc<Self>, system: &System, queue: &Queue, producer: usize) {
        if producer > 0 {
            return (0..BURSTS).for_each(|burst| self.push(queue, producer, burst));
        }
        let (seen, queue) = (Arc::clone(self), queue.clone());
        let inside = async move {
            for burst in 0..BURSTS {
                seen.push(&queue, producer, burst);
                yield_once().await;
            }
        };
        system
            .default_queue()
            .spawn(inside)
            .wait()
            .expect("it ends");
    }
}

/// What may start changes all the time, and somebody looks.
fn disturb(queue: &Workqueue, ordered: bool) {
    // One that stands in line when it is taken out, if it has not run before.
    let aborted = queue.spawn(async {});
    aborted.abort();
    let requested = Work::new(|| ());
    assert_eq!(queue.queue(&requested), Queued::New);
    assert!(queue.stats().accepted > 0);
    let frozen = queue.freeze().expect("it is freezable");
    frozen.wait_timeout(FOR_EVER).expect("it is quiet");
    assert_eq!(queue.thaw(), Some(true));
    if !ordered {
        queue.set_max_active(1).expect("a limit");
        queue.set_max_active(2).expect("a limit");
        queue.set_ordered(true).expect("it has a limit");
        queue.set_ordered(false).expect("it has a limit");
    }
}

/// Items of a limited queue join the line without its lock while all slots are taken. Whatever the
/// slots do meanwhile (the last one becomes free, all are frozen, there are more or fewer, order is
/// switched on and off), and whoever looks, none is lost, none runs beside more than may, and each
/// producer's come in its order where there is one.
#[test]
fn who_joins_the_line_is_never_left_there() {
    for ordered in [true, false] {
        let system = system();
        let queue = match ordered {
            true => Workqueue::ordered("o").freezable().system(&system).build(),
            false => Workqueue::unbound("u")
                .max_active(2)
                .freezable()
                .system(&system)
                .build(),
        };
        let queue = queue.expect("a queue");
        let seen = Arc::new(Crowded {
            ordered,
            ..Crowded::default()
        });
        let producing = AtomicUsize::new(PRODUCERS);
        thread::scope(|scope| {
            for producer in 0..PRODUCERS {
                let (seen, queue, system, producing) = (&seen, &queue, &system, &producing);
                scope.spawn(move || {
                    seen.produce(system, queue, producer);
                    producing.fetch_sub(1, Ordering::Relaxed);
                });
            }
            while producing.load(Ordering::Relaxed) > 0 {
                disturb(&queue, ordered);
            }
        });
        let report = queue.flush().wait_timeout(FOR_EVER).expect("none is left");
        let ran = seen.ran.iter().map(|ran| ran.load(Ordering::Relaxed));
        let all = PRODUCERS * items_before(BURSTS);
        assert_eq!((ran.sum::<usize>(), report.panicked), (all, 0));
        let most = seen.most.load(Ordering::Relaxed);
        assert!(most <= if ordered { 1 } else { 2 }, "{most} at once");
    }
}
