//! Items that are sure to burn CPU wait for their turn, and nothing waits for ever.

use std::hint;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use wq_core::{JoinHandle, Queue, System, Workqueue};

/// What counts as burning, with something on top.
const BURN: Duration = Duration::from_millis(2);
/// Burns after which a type is taken for one that always burns, and some.
const WARM_UP: usize = 8;

/// Processor time of the calling thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    Duration::from(time.expect("every thread has such a clock"))
}

/// Burns CPU time. The lane is noticed the first time because a short item waits behind, which is
/// waited for; and the burning goes on after that.
fn burn(queue: &Queue) {
    let ran = Arc::new(AtomicBool::new(false));
    let short = Arc::clone(&ran);
    // Relaxed, here and below: waited for, and nothing is ordered by it.
    drop(queue.spawn_fn(move || short.store(true, Ordering::Relaxed)));
    while !ran.load(Ordering::Relaxed) {
        hint::spin_loop();
    }
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
        let (crowd, its_queue) = (self.clone(), queue.clone());
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
            all.into_iter().for_each(|one| one.wait().expect("it ends"));
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
        all.into_iter().for_each(|one| one.wait().expect("it ends"));
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
    all.into_iter().for_each(|one| one.wait().expect("it ends"));
    let order = crowd.order.lock().expect("nobody panics").clone();
    assert_eq!(order, (0..12).collect::<Vec<_>>());
}

/// Goal: slots of a limited queue and turns of its pool do not get into each other's way. Method:
/// more burners than slots, more slots than turns.
#[test]
fn burners_of_a_limited_queue_end() {
    let system = System::builder().workers(1).build().expect("a System");
    let (shorts, crowd) = (system.default_queue(), Crowd::default());
    crowd.warm_up(&shorts);
    let limited = Workqueue::unbound("limited").max_active(3).system(&system);
    let limited = limited.build().expect("a good queue");
    let all: Vec<_> = (0..12).map(|n| crowd.spawn(&limited, n)).collect();
    // Their short items wait for a slot behind the burners.
    drop(all);
    assert!(limited.set_max_active(40).is_ok());
    limited.drain().wait().expect("all end");
    assert_eq!(limited.stats().completed, 24);
}

/// A burner that spawns another of its own type and blocks until that has ended, so deep.
fn nested(queue: &Queue, depth: usize) -> JoinHandle<usize> {
    let its_queue = queue.clone();
    queue.spawn_fn(move || {
        burn(&its_queue);
        if depth == 0 {
            return 0;
        }
        1 + nested(&its_queue, depth - 1).wait().expect("it ends")
    })
}

/// Goal: a burner that blocks on another burner, by one of wq's waits, gives it its turn.
#[test]
fn a_burner_may_wait_for_its_like() {
    let system = System::builder().workers(1).build().expect("a System");
    let queue = system.default_queue();
    for _ in 0..WARM_UP {
        nested(&queue, 0).wait().expect("it ends");
    }
    assert_eq!(nested(&queue, 20).wait().expect("it ends"), 20);
}

/// Goal: so does one that blocks without having said so. Method: a burner waits on a std channel
/// for a message of the next one of its type.
#[test]
fn a_burner_that_sleeps_gives_its_turn_up() {
    let system = System::builder().workers(1).build().expect("a System");
    let queue = system.default_queue();
    let link = |last: Box<dyn FnOnce() + Send>| burner(&queue, last);
    for _ in 0..WARM_UP {
        link(Box::new(|| ())).wait().expect("it ends");
    }
    let mut links = Vec::new();
    let (mut tell, told) = channel();
    links.push(link(Box::new(move || {
        told.recv().expect("the next one runs");
    })));
    for _ in 0..10 {
        let (tell_next, told) = channel();
        let tell = std::mem::replace(&mut tell, tell_next);
        links.push(link(Box::new(move || {
            tell.send(()).expect("the one before waits");
            told.recv().expect("the next one runs");
        })));
    }
    links.push(link(Box::new(move || {
        tell.send(()).expect("the one before waits");
    })));
    links
        .into_iter()
        .for_each(|one| one.wait().expect("it ends"));
}

/// Goal: one that waits for its like without sleeping is not left alone for ever.
#[test]
fn a_burner_that_spins_for_its_like_ends() {
    let system = System::builder().workers(1).build().expect("a System");
    let queue = system.default_queue();
    let link = |last: Box<dyn FnOnce() + Send>| burner(&queue, last);
    for _ in 0..WARM_UP {
        link(Box::new(|| ())).wait().expect("it ends");
    }
    let there = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&there);
    let first = link(Box::new(move || {
        // Relaxed: waited for.
        while !seen.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
    }));
    let second = link(Box::new(move || there.store(true, Ordering::Relaxed)));
    first.wait().expect("it ends");
    second.wait().expect("it ends");
}

/// Goal: nothing that waits for its turn is lost in a shutdown. Method: one burner has the only
/// turn until after the shutdown, others wait behind it.
#[test]
fn a_shutdown_drops_the_burners_that_wait() {
    let system = System::builder().workers(1).build().expect("a System");
    let queue = system.default_queue();
    let link = |last: Box<dyn FnOnce() + Send>| burner(&queue, last);
    for _ in 0..WARM_UP {
        link(Box::new(|| ())).wait().expect("it ends");
    }
    let (go, inside) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (its_go, its_inside) = (Arc::clone(&go), Arc::clone(&inside));
    let holder = link(Box::new(move || {
        its_inside.store(true, Ordering::Relaxed);
        while !its_go.load(Ordering::Relaxed) {
            hint::spin_loop();
        }
    }));
    let waiting: Vec<_> = (0..20).map(|_| link(Box::new(|| ()))).collect();
    // Relaxed: waited for.
    while !inside.load(Ordering::Relaxed) {
        std::thread::yield_now();
    }
    let accepted = queue.stats().accepted;
    let report = system.shutdown(Duration::ZERO);
    go.store(true, Ordering::Relaxed);
    assert_eq!(
        report.completed + report.dropped + report.detached,
        accepted,
        "{report:?}"
    );
    assert!(report.dropped > 0 && report.detached == 1, "{report:?}");
    holder.wait().expect("it goes on to its end");
    let dropped = waiting.into_iter().filter_map(|one| one.wait().err());
    assert!(dropped.count() as u64 <= report.dropped, "{report:?}");
}
