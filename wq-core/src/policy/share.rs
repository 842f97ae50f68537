//! When a busy lane gives part of its backlog to a lane that sleeps.
//!
//! Waking another CPU for tiny items costs more than it saves, so a lane shares on a clock, not
//! on a push: the owner samples the time every sixteenth operation, learns the mean cost of its
//! items, and shares once what it had queued at an earlier sample is still not served after a
//! limit that depends on that cost. The same cost says how often it listens to its inbox.

/// A backlog of ordinary items may be this old before it is shared.
const SHARE_AFTER_NS: u64 = 20_000;
/// A backlog of tiny items may be this old.
const SHARE_TINY_AFTER_NS: u64 = 1_000_000;
/// Items cheaper than this are tiny: sharing one costs 200 to 300 ns of cache traffic.
const TINY_ITEM_NS: u64 = 1_000;
/// A lane whose items do little but yield shares after this time, tiny or not: what yields has no
/// partner here and no fresh memory, so another CPU takes half of it at no loss.
const SHARE_YIELDERS_AFTER_NS: u64 = 100_000;
/// So many of them make it worth the wake-up.
const YIELDERS: usize = 32;
/// Gaps longer than this are idleness, not item cost.
const LONGEST_SAMPLE_NS: u64 = 10_000_000;
/// A turn of children lasts about this long.
const CHILDREN_TURN_NS: u64 = 20_000;
/// A lane of tiny items listens to its inbox every this many pops.
const LISTEN_EVERY: u64 = 8;
/// By this many pops the cost of the lane's items is known.
const KNOWN_AFTER: u64 = 32;
/// Children that make a turn until then: each may last for as long as an item can.
const UNKNOWN_QUOTA: u32 = 4;
/// Bounds of a turn of children.
const CHILDREN_QUOTA: (u64, u64) = (1, 1024);

/// What the owner knows at a sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sample {
    /// Monotonic time.
    pub(crate) now_ns: u64,
    /// Items taken from the lane so far.
    pub(crate) pops: u64,
    /// Items that yielded so far.
    pub(crate) yields: u64,
    /// Items that wait.
    pub(crate) waiting: usize,
}

/// Answer to a sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Share {
    /// Keep everything.
    Keep,
    /// Give half of what waits to a sleeping lane.
    Half,
}

/// The lane's memory between samples.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LaneClock {
    last_ns: u64,
    last_pops: u64,
    last_yields: u64,
    /// Since when most items yield, 0 if they do not.
    yielding_since_ns: u64,
    /// Mean cost of an item, ns.
    cost_ns: u64,
    /// When the backlog that is being watched stood there, and the pop count that serves it.
    watch_since_ns: u64,
    watch_until_pops: u64,
}

impl LaneClock {
    /// A lane that has not run anything: items are taken for tiny until seen otherwise.
    pub(crate) const fn new() -> LaneClock {
        LaneClock {
            last_ns: 0,
            last_pops: 0,
            last_yields: 0,
            yielding_since_ns: 0,
            cost_ns: 200,
            watch_since_ns: 0,
            watch_until_pops: 0,
        }
    }

    /// The lane slept: what passed since the last sample is no item's cost.
    pub(crate) fn forget_gap(&mut self) {
        self.last_ns = 0;
        self.watch_until_pops = 0;
    }

    /// Mean cost of an item.
    pub(crate) fn cost_ns(&self) -> u64 {
        self.cost_ns
    }

    /// Whether items of this lane are so cheap that another CPU should not be woken for them.
    pub(crate) fn is_tiny(&self) -> bool {
        self.cost_ns < TINY_ITEM_NS
    }

    /// Whether the lane listens to its inbox before this pop. Woken runs come that way and go
    /// before new starts, so with dear items it listens each time; with tiny ones a batch saves
    /// cache misses and delays a wake by microseconds.
    #[inline]
    pub(crate) fn listens(&self, pops: u64) -> bool {
        pops % LISTEN_EVERY == 0 || pops < KNOWN_AFTER || !self.is_tiny()
    }

    /// How many children make a turn; a few while nobody knows what they cost.
    #[inline]
    pub(crate) fn children_quota(&self, pops: u64) -> u32 {
        if pops < KNOWN_AFTER {
            return UNKNOWN_QUOTA;
        }
        let quota = CHILDREN_TURN_NS / self.cost_ns.max(1);
        quota.clamp(CHILDREN_QUOTA.0, CHILDREN_QUOTA.1) as u32
    }

    /// Whether the lane has been busy with items that yield for long enough.
    fn yielders_last(&mut self, sample: Sample, most_yield: bool) -> bool {
        if !most_yield || sample.waiting < YIELDERS {
            self.yielding_since_ns = 0;
            return false;
        }
        if self.yielding_since_ns == 0 {
            self.yielding_since_ns = sample.now_ns;
        }
        let lasted = sample.now_ns.saturating_sub(self.yielding_since_ns);
        if lasted > SHARE_YIELDERS_AFTER_NS {
            self.yielding_since_ns = 0;
            return true;
        }
        false
    }

    /// Takes a sample and decides.
    pub(crate) fn sample(&mut self, sample: Sample) -> Share {
        let pops = sample.pops.wrapping_sub(self.last_pops);
        if self.last_ns != 0 && pops > 0 {
            let gap = sample
                .now_ns
                .saturating_sub(self.last_ns)
                .min(LONGEST_SAMPLE_NS);
            // A quarter of the new value, three of the old: a few samples suffice to learn.
            self.cost_ns = (self.cost_ns * 3 + gap / pops) / 4;
        }
        let yields = sample.yields.wrapping_sub(self.last_yields);
        self.last_ns = sample.now_ns;
        self.last_pops = sample.pops;
        self.last_yields = sample.yields;
        if self.yielders_last(sample, yields * 2 > pops) {
            return Share::Half;
        }
        if sample.pops >= self.watch_until_pops || self.watch_until_pops == 0 {
            self.watch_since_ns = sample.now_ns;
            self.watch_until_pops = sample.pops + sample.waiting as u64;
            return Share::Keep;
        }
        let limit = if self.is_tiny() {
            SHARE_TINY_AFTER_NS
        } else {
            SHARE_AFTER_NS
        };
        let age = sample.now_ns.saturating_sub(self.watch_since_ns);
        if age > limit && sample.waiting > 1 {
            self.watch_since_ns = sample.now_ns;
            return Share::Half;
        }
        Share::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `items` of `cost` ns with a constant backlog; at which item does it share first?
    fn first_share(cost: u64, waiting: usize, items: u64) -> Option<u64> {
        let mut clock = LaneClock::new();
        (1..items).find(|&pops| {
            pops % 16 == 0
                && clock.sample(Sample {
                    now_ns: 1 + pops * cost,
                    pops,
                    yields: 0,
                    waiting,
                }) == Share::Half
        })
    }

    /// A backlog of 10 us items is shared soon, one of 50 ns items after a millisecond.
    #[test]
    fn dear_items_are_shared_sooner() {
        let dear = first_share(10_000, 1_000, 10_000).expect("shared");
        let tiny = first_share(50, 1_000_000, 100_000).expect("shared");
        assert!(dear * 10_000 < 500_000, "after {dear} items");
        assert!(
            (1_000_000..1_200_000).contains(&(tiny * 50)),
            "after {tiny} items"
        );
    }

    /// A lane that keeps up never shares.
    #[test]
    fn a_lane_that_keeps_up_keeps_its_work() {
        assert_eq!(first_share(50, 16, 100_000), None);
        assert_eq!(first_share(10_000, 0, 10_000), None);
    }

    /// Tiny items are served in batches between looks at the inbox, dear and unknown ones are not.
    #[test]
    fn a_lane_of_dear_items_listens_each_time() {
        let mut clock = LaneClock::new();
        let looks = |clock: &LaneClock| (1_000..1_080).filter(|&pops| clock.listens(pops)).count();
        assert_eq!(looks(&clock), 10);
        assert!((0..16).all(|pops| clock.listens(pops)));
        clock.cost_ns = 5_000;
        assert_eq!(looks(&clock), 80);
    }

    /// A turn of children takes about twenty microseconds, within its bounds.
    #[test]
    fn the_quota_follows_the_cost() {
        let mut clock = LaneClock {
            cost_ns: 1,
            ..LaneClock::new()
        };
        assert_eq!(clock.children_quota(KNOWN_AFTER), 1024);
        clock.cost_ns = 5_000;
        assert_eq!(clock.children_quota(KNOWN_AFTER), 4);
        clock.cost_ns = 10_000_000;
        assert_eq!(clock.children_quota(KNOWN_AFTER), 1);
        clock.cost_ns = 200;
        assert_eq!(clock.children_quota(KNOWN_AFTER - 1), UNKNOWN_QUOTA);
    }

    /// A crowd of items that only yield is shared although each is tiny and all are served often;
    /// a few are not.
    #[test]
    fn yielders_are_shared() {
        let first = |waiting| {
            let mut clock = LaneClock::new();
            (1..10_000).find(|&pops| {
                let sample = Sample {
                    now_ns: 1 + pops * 50,
                    pops,
                    yields: pops,
                    waiting,
                };
                pops % 16 == 0 && clock.sample(sample) == Share::Half
            })
        };
        let shared = first(200).expect("shared") * 50;
        assert!((SHARE_YIELDERS_AFTER_NS..2 * SHARE_YIELDERS_AFTER_NS).contains(&shared));
        assert_eq!(first(10), None);
    }
}
