//! What the threads do with queues and the System: waits, ends, other limits, attributes and CPUs.

use std::sync::atomic::Ordering;

use wq_core::AffinityScope;
use wq_core::driver::{allow_cpus, force_take_over, refuse_threads};

use crate::FOR_EVER;
use crate::deeds::Hand;
use crate::world::{FREE, HIGH, LIMITED, ORDERED, SMALL, lock, scratch};

/// The scopes.
const SCOPES: [AffinityScope; 6] = [
    AffinityScope::System,
    AffinityScope::Numa,
    AffinityScope::Cache,
    AffinityScope::CacheShard,
    AffinityScope::Smt,
    AffinityScope::Cpu,
];

/// Waits for a queue.
pub(crate) fn flush(hand: &Hand<'_>) {
    let world = hand.world;
    let mut flush = match hand.below(8) {
        0 => world.bh.flush(),
        _ => world.queues[hand.place()].flush(),
    };
    hand.ends("a flush", flush.wait_timeout(FOR_EVER));
}

/// Waits for a moment.
pub(crate) fn give_up_a_flush(hand: &Hand<'_>) {
    let mut flush = hand.world.queues[hand.place()].flush();
    drop(flush.wait_timeout(hand.time(200)));
}

/// Empties a queue whose tasks may be refused.
pub(crate) fn drain(hand: &Hand<'_>) {
    let world = hand.world;
    let place = [FREE, LIMITED, SMALL][hand.below(3) as usize];
    world.takings.during(|| {
        let waited = world.queues[place].drain().wait_timeout(FOR_EVER);
        hand.ends("a drain", waited)
    });
}

/// Ends a queue, and makes another one.
pub(crate) fn destroy(hand: &Hand<'_>) {
    let world = hand.world;
    world.takings.during(|| {
        let new = scratch(&world.system);
        let old = std::mem::replace(&mut *lock(&world.scratch), new);
        let report = hand.ends("a destroy", old.destroy().wait_timeout(FOR_EVER));
        world.lost.fetch_add(report.cancelled, Ordering::SeqCst);
    });
}

/// Other limits.
pub(crate) fn limit(hand: &Hand<'_>) {
    let place = [HIGH, LIMITED, SMALL][hand.below(3) as usize];
    let queue = &hand.world.queues[place];
    let set = queue.set_max_active(1 + hand.below(6) as usize);
    // It may be above the limit that another thread has set meanwhile, or the queue has none.
    drop(queue.set_min_active(1 + hand.below(2) as usize));
    if let Err(error) = set {
        hand.world.complain(format!("a limit is refused: {error}"));
    }
}

/// One at a time, or not.
pub(crate) fn order(hand: &Hand<'_>) {
    let place = [LIMITED, SMALL][hand.below(2) as usize];
    if let Err(error) = hand.world.queues[place].set_ordered(hand.below(2) == 0) {
        hand.world.complain(format!("order is refused: {error}"));
    }
}

/// Other attributes of a queue.
pub(crate) fn attributes(hand: &Hand<'_>) {
    let place = [FREE, LIMITED, ORDERED, SMALL][hand.below(4) as usize];
    let queue = &hand.world.queues[place];
    let scope = SCOPES[hand.below(SCOPES.len() as u64) as usize];
    let nice = [0, 0, 3][hand.below(3) as usize];
    let changed = match hand.below(4) {
        0 => queue.set_affinity(scope),
        1 => queue.set_nice(nice),
        2 => queue.set_cpus(&hand.cpus()),
        _ => {
            let mut attrs = queue.attrs().expect("it is unbound");
            (attrs.affinity, attrs.nice, attrs.strict) = (scope, nice, hand.below(2) == 0);
            attrs.cpus = hand.cpus().parse().expect("a list");
            queue.apply(&attrs)
        }
    };
    // CPUs of which none is allowed at the moment are refused.
    drop(changed);
}

/// Other CPUs, or another default, of all queues.
pub(crate) fn cpus_of_all(hand: &Hand<'_>) {
    let system = &hand.world.system;
    if hand.below(2) == 0 {
        drop(system.set_unbound_cpus(&hand.cpus()));
        return;
    }
    let scope = SCOPES[hand.below(SCOPES.len() as u64) as usize];
    drop(system.set_default_affinity(scope));
}

/// CPUs go away for a while.
pub(crate) fn cpus_lost_and_back(hand: &Hand<'_>) {
    let (world, list) = (hand.world, hand.cpus());
    {
        let _one_at_a_time = lock(&world.imposing);
        allow_cpus(&world.system, &list);
    }
    std::thread::sleep(hand.time(1_500));
    let _one_at_a_time = lock(&world.imposing);
    allow_cpus(&world.system, &format!("0-{}", world.cpus - 1));
}

/// Nothing of a queue, or of all that can be frozen, starts for a while.
pub(crate) fn freeze_and_thaw(hand: &Hand<'_>) {
    let world = hand.world;
    let place = [HIGH, LIMITED, ORDERED][hand.below(3) as usize];
    let whole = hand.below(3) == 0;
    let freeze = if whole {
        world.system.freeze()
    } else {
        world.queues[place].freeze().expect("it can be frozen")
    };
    drop(freeze.wait_timeout(hand.time(1_000)));
    let thawed = if whole {
        world.system.thaw()
    } else {
        world.queues[place].thaw()
    };
    if thawed.is_none() {
        world.complain("what was frozen is said not to be");
    }
}

/// Takes a lane from its worker.
pub(crate) fn take_a_lane(hand: &Hand<'_>) {
    force_take_over(&hand.world.system, hand.dice().0);
}

/// The machine refuses threads for a moment.
pub(crate) fn refuse(hand: &Hand<'_>) {
    if hand.below(10) == 0 {
        refuse_threads(&hand.world.system, true);
        std::thread::sleep(hand.time(2_000));
        refuse_threads(&hand.world.system, false);
    }
}

/// Looks at everything.
pub(crate) fn look(hand: &Hand<'_>) {
    let system = &hand.world.system;
    let text = system.dump().to_string();
    if text.is_empty() || system.pools().is_empty() {
        hand.world.complain("there is nothing to be seen");
    }
    std::hint::black_box(system.stats());
}
