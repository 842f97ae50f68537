//! Back-pressure: places in bounded queues, and whether a queue is congested.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use wq_core::{JoinHandle, Permit, Queue, Reserve, ReserveError, System, Workqueue};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// A look at a reservation: the permit, if there is an answer.
fn look(reserve: &mut Reserve) -> Option<Result<Permit, ReserveError>> {
    match pin!(reserve).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

/// Waits for `done`.
fn until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + FOR_EVER;
    while !done() {
        assert!(Instant::now() < deadline, "not {what}");
        std::thread::yield_now();
    }
}

/// Frees a place of a full queue with these two items.
type Free = fn(&Workqueue, &[JoinHandle<()>; 2]);

/// A queue with room for one item that runs and one that waits, both taken.
fn full() -> (Workqueue, [JoinHandle<()>; 2]) {
    let queue = Workqueue::unbound("small").max_active(1).max_pending(1);
    let queue = queue.build().expect("a queue");
    let items = [(); 2].map(|()| queue.try_spawn(pending::<()>()).expect("there is room"));
    (queue, items)
}

/// Goal: places are given in order of the calls, to nobody who has lost interest, and before
/// anybody who comes later.
#[test]
fn places_are_given_in_order() {
    let (queue, [running, waiting]) = full();
    let mut line: Vec<Reserve> = (0..4).map(|_| queue.reserve()).collect();
    assert!(line.iter_mut().all(|reserve| look(reserve).is_none()));
    drop(line.remove(0));
    running.abort();
    let first = line[0].wait_timeout(FOR_EVER).expect("a place");
    assert!(
        queue
            .try_spawn(async {})
            .expect_err("the place is taken")
            .is_full()
    );
    assert!(line[1..].iter_mut().all(|reserve| look(reserve).is_none()));
    // A place that is given back goes to the next one, and so does one that came unseen.
    drop(first);
    drop(line.remove(1));
    let last = line[1].wait_timeout(FOR_EVER).expect("a place");
    let item = last.spawn(async { 7 });
    waiting.abort();
    assert_eq!(item.wait().expect("it returned"), 7);
    queue.flush().wait().expect("no deadlock");
    assert_eq!(
        queue
            .try_spawn(async { 8 })
            .expect("there is room")
            .wait()
            .expect("it ran"),
        8
    );
}

/// Goal: a place is there as soon as an item has ended, was aborted while it waited, or the limit
/// was raised; the item that gets it is not refused.
#[test]
fn whatever_frees_a_place_gives_it() {
    let free: [Free; 3] = [
        |_, items| items[0].abort(),
        |_, items| items[1].abort(),
        |queue, _| queue.set_max_active(2).expect("it is limited"),
    ];
    for free in free {
        let (queue, items) = full();
        let mut reserve = queue.reserve();
        assert!(
            reserve
                .wait_timeout(Duration::from_millis(1))
                .expect_err("full")
                .is_timeout()
        );
        free(&queue, &items);
        let permit = reserve.wait_timeout(FOR_EVER).expect("a place");
        let item = permit.spawn_fn(|| 7);
        items.iter().for_each(|item| item.abort());
        assert_eq!(item.wait().expect("it returned"), 7);
    }
}

/// Goal: who waits for a place of a queue that is closed is told; a permit that is older gives a
/// handle that says so. A queue that drains has no places for those outside.
#[test]
fn closed_queues_have_no_places() {
    let (owner, [running, waiting]) = full();
    let queue = Queue::clone(&owner);
    running.abort();
    let permit = queue.reserve().wait().expect("a place");
    let (mut asleep, mut unseen) = (queue.reserve(), queue.reserve());
    assert!(look(&mut asleep).is_none() && look(&mut unseen).is_none());
    let thread = std::thread::spawn(move || asleep.wait());
    drop(owner);
    let closed = thread.join().expect("no panic").expect_err("closed");
    assert!(closed.is_closed() && !closed.is_timeout());
    assert_eq!(closed.to_string(), "the queue is closed or draining");
    drop(unseen);
    assert!(queue.reserve().wait().expect_err("closed").is_closed());
    assert!(
        permit
            .spawn(async {})
            .wait()
            .expect_err("closed")
            .is_rejected()
    );
    waiting.abort();

    let (queue, items) = full();
    let drain = queue.drain();
    assert!(queue.reserve().wait().expect_err("it drains").is_closed());
    items.iter().for_each(|item| item.abort());
    drain.wait().expect("no deadlock");
    drop(queue.reserve().wait().expect("it is open again"));
}

/// Goal: a shutdown ends the waits for places.
#[test]
fn a_shutdown_ends_the_line() {
    let system = System::builder().workers(1).build().expect("a System");
    let queue = Workqueue::ordered("small")
        .max_pending(1)
        .system(&system)
        .build();
    let queue = queue.expect("a queue");
    let permits = [(); 2].map(|()| queue.reserve().wait().expect("a place"));
    let waits = queue.reserve();
    let thread = std::thread::spawn(move || waits.wait().map(drop));
    system.shutdown(Duration::ZERO);
    let refused = thread.join().expect("no panic").expect_err("closed");
    assert!(refused.is_closed());
    drop(permits);
}

/// Goal: a queue without a bound always has a place.
#[test]
fn an_unbounded_queue_always_has_a_place() {
    let queue = Workqueue::unbound("large").build().expect("a queue");
    let permits: Vec<Permit> = (0..100)
        .map(|_| queue.reserve().wait().expect("a place"))
        .collect();
    permits
        .into_iter()
        .for_each(|permit| drop(permit.spawn(async {})));
    assert_eq!(queue.flush().wait().expect("no deadlock").completed, 100);
}

/// A14: congested is whether items wait for a slot; on a per-CPU queue for each CPU.
#[test]
fn congested_is_whether_items_wait() {
    let (queue, items) = full();
    assert!(queue.is_congested() && queue.is_congested_on(0));
    items[0].abort();
    until("started", || !queue.is_congested());
    items[1].abort();
    let system = System::builder().build().expect("a System");
    let queue = Workqueue::percpu("cpus")
        .max_active(1)
        .system(&system)
        .build()
        .expect("a queue");
    let cpus: Vec<usize> = system.topology().allowed().iter().collect();
    let items = [(); 2].map(|()| queue.spawn_on(cpus[0], pending::<()>()));
    assert!(queue.is_congested() && queue.is_congested_on(cpus[0]));
    assert!(cpus[1..].iter().all(|&cpu| !queue.is_congested_on(cpu)));
    items.iter().for_each(|item| item.abort());
    until("empty", || !queue.is_congested());
    assert!(
        !Workqueue::unbound("free")
            .build()
            .expect("a queue")
            .is_congested_on(0)
    );
}

/// Goal: no producer exceeds the bound or loses a place, whatever they do at once. Method: threads
/// that wait for places and use them, give them up, or give up the wait; in the end all places are
/// there.
#[test]
fn stress_producers_keep_the_bound() {
    const BOUND: usize = 4;
    let queue = Workqueue::unbound("bounded")
        .max_active(2)
        .max_pending(BOUND);
    let queue = Arc::new(queue.build().expect("a queue"));
    let spawned = Arc::new(AtomicUsize::new(0));
    let producers: Vec<_> = (0..4)
        .map(|producer| {
            let (queue, spawned) = (Arc::clone(&queue), Arc::clone(&spawned));
            std::thread::spawn(move || {
                for round in 0..500 {
                    let mut reserve = queue.reserve();
                    match (producer + round) % 5 {
                        0 => drop(reserve),
                        1 => drop(reserve.wait_timeout(Duration::from_micros(20))),
                        2 => drop(reserve.wait().expect("the queue is open")),
                        _ => {
                            let permit = reserve.wait().expect("the queue is open");
                            let item = permit.spawn_fn(std::thread::yield_now);
                            spawned.fetch_add(1, Ordering::SeqCst);
                            drop(item);
                        }
                    }
                    assert!(queue.stats().waiting <= BOUND);
                }
            })
        })
        .collect();
    producers
        .into_iter()
        .for_each(|producer| producer.join().expect("no panic"));
    queue.flush().wait().expect("no deadlock");
    assert_eq!(
        queue.stats().completed as usize,
        spawned.load(Ordering::SeqCst)
    );
    let all: Vec<Permit> = (0..2 + BOUND)
        .map(|_| {
            look(&mut queue.reserve())
                .expect("a place")
                .expect("the queue is open")
        })
        .collect();
    assert!(look(&mut queue.reserve()).is_none());
    drop(all);
}
