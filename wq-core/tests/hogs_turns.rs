//! Items that are sure to burn CPU wait for their turn, and nothing waits for ever.

use std::hint;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use wq_core::{JoinHandle, Queue, System, Workqueue};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);
/// What counts as burning, with something on top.
const BURN: Duration = Duration::from_millis(6);
/// Burns after which a type is taken for one that always burns, and some.
const WARM_UP: usize = 8;

/// Processor time of the calling thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    Duration::from(time.expect("every thread has such a clock"))
}

/// Waits for others, awake.
fn spin_until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < FOR_EVER, "{what}");
        hint::spin_loop();
    }
}

/// Waits for the end of an item.
fn end<T>(item: JoinHandle<T>) -> T {
    let ended = item.wait_timeout(FOR_EVER).expect("it ends in time");
    ended.expect("it ends well")
}

/// Burns CPU time. The lane is noticed the first time because a short item waits behind, which is
/// waited for; and the burning goes on after that.
fn burn(queue: &Queue) {
    let ran = Arc::new(AtomicBool::new(false));
    let short = Arc::clone(&ran);
    // Relaxed, here and below: waited for, and nothing is ordered by it.
    drop(queue.spawn_fn(move || short.store(true, Ordering::Relaxed)));
    spin_until("the short item runs", || ran.load(Ordering::Relaxed));
    let begun = cpu_time();
    while cpu_time() - begun < BURN {
        hint::spin_loop();
    }
}

/// Spawns a burner that then does `last`. One type for each `last`.
fn burner(queue: &Queue, last: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let its_queue = queue.clone();
    queue.spawn_fn(move || {
        burn(&its_queue);
        last();
    })
}

/// Something that items of one type share with the test.
#[derive(Clone, Default)]
struct Crowd {
    inside: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    order: Arc<Mutex<Vec<usize>>>,
}

impl Crowd {
    /// A burner that tells when it is inside.
    fn spawn(&self, queue: &Queue, n: usize) -> JoinHandle<()> {
        self.spawn_before(queue, queue, n)
    }

    /// As [`Crowd::spawn`], with its short item on a queue of its own.
    fn spawn_before(&self, shorts: &Queue, queue: &Queue, n: usize) -> JoinHandle<()> {
        let (crowd, its_queue) = (self.clone(), shorts.clone());
        queue.spawn_fn(move || {
            crowd.order.lock().expect("nobody panics").push(n);
            // Relaxed: counts.
            let inside = crowd.inside.fetch_add(1, Ordering::Relaxed) + 1;
            crowd.most.fetch_max(inside, Ordering::Relaxed);
            burn(&its_queue);
            crowd.inside.fetch_sub(1, Ordering::Relaxed);
        })
    }

    /// Runs several crowds, until their type is known: burners wait behind burners.
    fn warm_up(&self, queue: &Queue) {
        for _ in 0..3 {
            let all: Vec<_> = (0..WARM_UP).map(|n| self.spawn(queue, n)).collect();
            all.into_iter().for_each(end);
        }
        self.most.store(0, Ordering::Relaxed);
        self.order.lock().expect("nobody panics").clear();
    }
}

/// Goal: no more known burners are in a poll than the pool has lanes. Method: many at once, which
/// count themselves.
#[test]
fn as_many_burners_as_lanes() {
    for lanes in [1, 2] {
        let system = System::builder().workers(lanes).build().expect("a System");
        let (queue, crowd) = (system.default_queue(), Crowd::default());
        crowd.warm_up(&queue);
        let all: Vec<_> = (0..12).map(|n| crowd.spawn(&queue, n)).collect();
        all.into_iter().for_each(end);
        let most = crowd.most.load(Ordering::Relaxed);
        assert!(
            (1..=lanes).contains(&most),
            "{most} burners on {lanes} lanes"
        );
    }
}

/// Goal: those that wait start in the order in which they came. Method: one lane.
#[test]
fn burners_start_in_order() {
    let system = System::builder().workers(1).build().expect("a System");
    let (queue, crowd) = (system.default_queue(), Crowd::default());
    crowd.warm_up(&queue);
    let all: Vec<_> = (0..12).map(|n| crowd.spawn(&queue, n)).collect();
    all.into_iter().for_each(end);
    let order = crowd.order.lock().expect("nobody panics").clone();
    assert_eq!(order, (0..12).collect::<Vec<_>>());
}

/// Goal: slots of a limited queue and turns of its pool do not get into each other's way. Method:
/// more burners than slots, more slots than turns; then each needs a slot for its short item, too,
/// and all slots are burners' until there are more.
#[test]
fn burners_of_a_limited_queue_end() {
    let system = System::builder().workers(1).build().expect("a System");
    let (shorts, crowd) = (system.default_queue(), Crowd::default());
    crowd.warm_up(&shorts);
    let limited = Workqueue::unbound("limited").max_active(3).system(&system);
    let limited = limited.build().expect("a good queue");
    let all: Vec<_> = (0..12)
        .map(|n| crowd.spawn_before(&shorts, &limited, n))
        .collect();
    all.into_iter().for_each(end);
    // Their short items wait for a slot behind the burners.
    (0..12).for_each(|n| drop(crowd.spawn(&limited, n)));
    assert!(limited.set_max_active(40).is_ok());
    let drained = limited.drain().wait_timeout(FOR_EVER);
    drained.expect("all end in time");
    let stats = limited.stats();
    assert_eq!((stats.completed, stats.active), (12 + 24, 0), "{stats:?}");
}

/// A burner that spawns another of its own type and blocks until that has ended, so deep.
fn nested(queue: &Queue, depth: usize) -> JoinHandle<usize> {
    let its_queue = queue.clone();
    queue.spawn_fn(move || {
        burn(&its_queue);
        if depth == 0 {
            return 0;
        }
        1 + end(nested(&its_queue, depth - 1))
    })
}

/// Goal: a burner that blocks on another burner, by one of wq's waits, gives it its turn.
#[test]
fn a_burner_may_wait_for_its_like() {
    let system = System::builder().workers(1).build().expect("a System");
    let queue = system.default_queue();
    for _ in 0..WARM_UP {
        end(nested(&queue, 0));
    }
    assert_eq!(end(nested(&queue, 20)), 20);
}

/// Goal: so does one that blocks without having said so. Method: a burner waits on a std channel
/// for a message of the next one of its type.
#[test]
fn a_burner_that_sleeps_gives_its_turn_up() {
    let system = System::builder().workers(1).build().expect("a System");
    let queue = system.default_queue();
    let link = |last: Box<dyn FnOnce() + Send>| burner(&queue, last);
    for _ in 0..WARM_UP {
        end(link(Box::new(|| ())));
    }
    let mut links = Vec::new();
    let (mut tell, told) = channel();
    links.push(link(Box::new(move || {
        told.recv_timeout(FOR_EVER).expect("the next one runs");
    })));
    for _ in 0..10 {
        let (tell_next, told) = channel();
        let tell = std::mem::replace(&mut tell, tell_next);
        links.push(link(Box::new(move || {
            tell.send(()).expect("the one before waits");
            told.recv_timeout(FOR_EVER).expect("the next one runs");
        })));
    }
    links.push(link(Box::new(move || {
        tell.send(()).expect("the one before waits");
    })));
    links.into_iter().for_each(end);
}

/// Goal: one that waits for its like without sleeping is not left alone for ever.
#[test]
fn a_burner_that_spins_for_its_like_ends() {
    let system = System::builder().workers(1).build().expect("a System");
    let queue = system.default_queue();
    let link = |last: Box<dyn FnOnce() + Send>| burner(&queue, last);
    for _ in 0..WARM_UP {
        end(link(Box::new(|| ())));
    }
    let there = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&there);
    let first = link(Box::new(move || {
        // Relaxed: waited for.
        spin_until("the next one runs", || seen.load(Ordering::Relaxed));
    }));
    let second = link(Box::new(move || there.store(true, Ordering::Relaxed)));
    end(first);
    end(second);
}

/// Goal: nothing that waits for its turn is lost in a shutdown. Method: one burner has the only
/// turn until after the shutdown, others wait behind it.
#[test]
fn a_shutdown_drops_the_burners_that_wait() {
    let system = System::builder().workers(1).build().expect("a System");
    let queue = system.default_queue();
    let link = |last: Box<dyn FnOnce() + Send>| burner(&queue, last);
    for _ in 0..WARM_UP {
        end(link(Box::new(|| ())));
    }
    let (go, inside) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (its_go, its_inside) = (Arc::clone(&go), Arc::clone(&inside));
    let holder = link(Box::new(move || {
        its_inside.store(true, Ordering::Relaxed);
        spin_until("the shutdown is over", || its_go.load(Ordering::Relaxed));
    }));
    let waiting: Vec<_> = (0..20).map(|_| link(Box::new(|| ()))).collect();
    // Relaxed: waited for.
    spin_until("the holder runs", || inside.load(Ordering::Relaxed));
    let accepted = queue.stats().accepted;
    let report = system.shutdown(Duration::ZERO);
    go.store(true, Ordering::Relaxed);
    assert_eq!(
        report.completed + report.dropped + report.detached,
        accepted,
        "{report:?}"
    );
    assert!(report.dropped > 0 && report.detached == 1, "{report:?}");
    end(holder);
    let ended = |one: JoinHandle<()>| one.wait_timeout(FOR_EVER).expect("it ends in time");
    let dropped = waiting.into_iter().filter_map(|one| ended(one).err());
    assert!(dropped.count() as u64 <= report.dropped, "{report:?}");
}
