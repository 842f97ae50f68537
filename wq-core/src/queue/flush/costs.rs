//! What a flush and a spawn cost, counted and not timed: read-modify-writes, locks, barriers over
//! all threads, and cache lines, of the calling thread. The table is in `docs/semantics.md`.

#![expect(clippy::print_stdout, reason = "the table is to be seen")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::sync::counted::{Tally, count};
use crate::{FakeSpec, Sensing, System, Topology, Workqueue};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// Lines that a flush touches beside those of the lanes: the queue's own, its shared counts, the
/// list of waiters, the wait itself.
const OTHER_LINES: usize = 12;

/// Read-modify-writes of a flush, those of its locks included, whatever the lanes.
const FLUSH_RMWS: u64 = 12;

/// A System whose one pool for all CPUs has so many lanes; nobody takes lanes away.
fn system(lanes: usize) -> System {
    let topology = Topology::fake(FakeSpec::new().cores(lanes));
    let builder = System::builder().topology(topology);
    builder
        .sensing(Sensing::Declared)
        .build()
        .expect("a System")
}

/// What a flush costs on so many lanes, each of which has had items of the colour.
fn flush_on(lanes: usize) -> Tally {
    let system = system(lanes);
    let queue = Workqueue::unbound("counted")
        .system(&system)
        .build()
        .expect("a queue");
    for cpu in 0..lanes {
        drop(queue.spawn_on(cpu, async {}));
    }
    queue.flush().wait_timeout(FOR_EVER).expect("it ends");
    drop(queue.spawn_fn(|| ()).wait());
    // The handle tells of the item's end, and its lane counts it a little later: a flush that is
    // over at once is the one to be counted.
    let begun = Instant::now();
    while queue.stats().in_flight > 0 {
        assert!(begun.elapsed() < FOR_EVER, "it ends");
        std::thread::yield_now();
    }
    let (flushed, tally) = count(|| queue.flush().wait_timeout(FOR_EVER));
    flushed.expect("it ends");
    tally
}

/// One line at most for each lane of the queue's pools, and nothing else grows with them: no
/// read-modify-write, no barrier, and none of the locks that are told of (`note_lock`).
#[test]
fn a_flush_reads_one_line_for_each_lane() {
    let counted = [2, 16, 128].map(|lanes| (lanes, flush_on(lanes)));
    for (lanes, tally) in &counted {
        let of_lanes = tally.lines().saturating_sub(*lanes);
        let Tally {
            rmws,
            locks,
            barriers,
            read,
            written,
        } = tally;
        let lines = (read.len(), written.len());
        println!(
            "| {lanes} | {} | {rmws} | {locks} | {barriers} | {lines:?} read, written |",
            tally.lines()
        );
        assert!(read.len() >= *lanes, "{lanes} lanes: {tally:?}");
        assert!(of_lanes <= OTHER_LINES, "{lanes} lanes: {tally:?}");
        assert!((1..=FLUSH_RMWS).contains(rmws), "{lanes} lanes: {tally:?}");
        assert!((1..=*rmws).contains(locks), "{lanes} lanes: {tally:?}");
        assert!(written.len() <= OTHER_LINES, "{lanes} lanes: {tally:?}");
    }
    let fixed = |tally: &Tally| (tally.rmws, tally.locks, tally.barriers);
    assert_eq!(fixed(&counted[0].1), fixed(&counted[1].1));
    assert_eq!(fixed(&counted[0].1), fixed(&counted[2].1));
}

/// Two workers that spawn on one unlimited queue at the same time write no line in common.
#[test]
fn spawns_on_two_lanes_share_no_line() {
    const ITEMS: u64 = 100;
    let system = system(2);
    // Bound, so that each spawner stays with its lane and spawns into it.
    let queue = Workqueue::percpu("counted")
        .system(&system)
        .build()
        .expect("a queue");
    let (met, told) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::<Mutex<Vec<Tally>>>::default(),
    );
    let spawner = |cpu| {
        let (handle, met, told) = ((*queue).clone(), Arc::clone(&met), Arc::clone(&told));
        queue.spawn_on(cpu, async move {
            // Neither of them sleeps, for which it might lose its lane.
            met.fetch_add(1, Ordering::Relaxed);
            while met.load(Ordering::Relaxed) < 2 {
                std::thread::yield_now();
            }
            let ((), tally) = count(|| (0..ITEMS).for_each(|_| drop(handle.spawn_fn(|| ()))));
            told.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(tally);
        })
    };
    for spawner in [spawner(0), spawner(1)] {
        let ended = spawner.wait_timeout(FOR_EVER).expect("it ends");
        ended.expect("it does not panic");
    }
    let told = told.lock().unwrap_or_else(PoisonError::into_inner);
    let [one, two] = &told[..] else {
        panic!("two of them")
    };
    assert!(!one.written.is_empty() && !two.written.is_empty());
    let shared: Vec<_> = one.written.intersection(&two.written).collect();
    assert!(
        shared.is_empty(),
        "both write {shared:x?}: {one:?}, {two:?}"
    );
}
