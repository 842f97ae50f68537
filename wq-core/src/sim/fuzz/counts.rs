//! How often what happened: each transition that the simulator is to have seen.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::SystemStats;

/// Declares the transitions with their names for people.
macro_rules! transitions {
    ($($name:ident = $text:literal,)*) => {
        /// Something that happens in a run.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum Transition {
            $(#[doc = $text] $name,)*
        }

        /// Their names, in their order.
        const NAMES: &[&str] = &[$($text),*];
    };
}

transitions! {
    Accepted = "items accepted",
    Completed = "items completed",
    Panicked = "items panicked",
    Cancelled = "items cancelled",
    HandedByMark = "lanes handed over by a mark",
    HandedBySpotter = "lanes handed over by the spotter",
    HandedByMonitor = "lanes handed over by the monitor",
    HandedBySibling = "lanes handed over by a sibling",
    HandedByProducer = "lanes handed over by a producer",
    HandedAsHog = "lanes taken from a hog",
    CpuIntensive = "items marked CPU intensive",
    Fruitless = "looks that found a worker running",
    Wasted = "hand-overs whose worker was back at once",
    Returned = "workers back after their lane was gone",
    Relieved = "lanes that got another one's work",
    Made = "workers made",
    Culled = "workers culled",
    AtBound = "workers refused by the bound",
    Limited = "items that waited for a slot",
    Raised = "limits raised",
    Lowered = "limits lowered",
    OrderOn = "queues made ordered while in use",
    OrderOff = "queues made unordered again",
    Full = "items refused by a full queue",
    Closed = "items refused by a closed queue",
    Drained = "items refused by a draining queue",
    Chained = "items accepted by a draining queue",
    Granted = "requests granted",
    Coalesced = "requests coalesced",
    AgainWhileRunning = "requests granted during a run",
    WhileDisabled = "requests refused by a disabled item",
    RequestClosed = "requests refused by a queue",
    TakenBack = "requests taken back in a list (stale entries)",
    Armed = "delays armed",
    Fired = "delays that fired",
    FiredEarly = "delays that a flush fired",
    Disarmed = "delays taken back",
    DisarmedByDestroy = "delays taken back by a destroy",
    FiredInDrain = "delays that met a drain",
    AbortedWithoutSlot = "aborts of items without a slot",
    AbortedInLane = "aborts of items in a lane",
    AbortedInside = "aborts of running items",
    AbortedSuspended = "aborts of suspended items",
    AbortedEnded = "aborts of ended items",
    Suspended = "suspensions",
    WokenByEvent = "wakes by an event",
    WokenLate = "wakes of who had gone on",
    Flushed = "flushes",
    FlushAbandoned = "flushes and drains given up",
    Overflow = "flushes beyond the colours",
    ItemFlushed = "items waited for",
    CancelWaited = "cancels that waited",
    DrainsEnded = "drains",
    Destroyed = "queues destroyed",
    OwnerDropped = "owners dropped",
    Frozen = "freezes",
    FrozenWaited = "freezes that waited for the active ones",
    Thawed = "thaws",
    HeldByFreeze = "items held by a freeze",
    Changed = "attribute changes of a queue in use",
    CpusLost = "losses of CPUs",
    CpusBack = "returns of CPUs",
    RanElsewhere = "per-CPU items run elsewhere for lack of their CPU",
    ForNode = "items queued for a node",
    Permitted = "items queued by a permit",
    NoPermit = "reservations without a place",
    ThreadsRefused = "threads refused by the machine",
    RescuerCalled = "calls of rescuers",
    Rescued = "polls by a rescuer",
    Itself = "waits for oneself refused",
    ShutDown = "shutdowns with items in flight",
    DroppedByShutdown = "items dropped by a shutdown",
}

/// Counts of a run or of many.
#[derive(Clone, PartialEq, Eq)]
pub struct Counts(Vec<u64>);

impl Default for Counts {
    fn default() -> Counts {
        Counts(vec![0; NAMES.len()])
    }
}

impl Counts {
    /// So many more.
    pub(super) fn add(&mut self, what: Transition, by: u64) {
        self.0[what as usize] += by;
    }

    /// Adds those of another run.
    pub fn merge(&mut self, other: &Counts) {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            *sum += more;
        }
    }

    /// Adds what a System counted.
    pub(super) fn add_stats(&mut self, stats: &SystemStats) {
        for (what, by) in [
            (Transition::HandedByMark, stats.handovers_marked),
            (Transition::HandedBySpotter, stats.handovers_spotter),
            (Transition::HandedByMonitor, stats.handovers_monitor),
            (Transition::HandedBySibling, stats.handovers_sibling),
            (Transition::HandedByProducer, stats.handovers_producer),
            (Transition::HandedAsHog, stats.handovers_hog),
            (Transition::CpuIntensive, stats.cpu_intensive),
            (Transition::Fruitless, stats.fruitless_looks),
            (Transition::Wasted, stats.wasted_handovers),
            (Transition::Returned, stats.returns),
            (Transition::Relieved, stats.relieved),
            (Transition::AtBound, stats.at_worker_bound),
            (Transition::ThreadsRefused, stats.thread_creation_failures),
        ] {
            self.add(what, by);
        }
    }

    /// Name and count of each transition.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        NAMES.iter().copied().zip(self.0.iter().copied())
    }

    /// Names of those that were never seen.
    pub fn missing(&self) -> Vec<&'static str> {
        let never = self.rows().filter(|(_, count)| *count == 0);
        never.map(|(name, _)| name).collect()
    }
}

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.rows()).finish()
    }
}

/// A table with a row for each transition.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.rows() {
            writeln!(f, "  {count:>12}  {name}")?;
        }
        Ok(())
    }
}

/// Counts of a run that goes on; one thread of the machine writes at a time.
#[derive(Debug)]
pub(super) struct Tally(Vec<AtomicU64>);

impl Tally {
    /// All zero.
    pub(super) fn new() -> Tally {
        Tally(NAMES.iter().map(|_| AtomicU64::new(0)).collect())
    }

    /// One more.
    pub(super) fn raise(&self, what: Transition) {
        self.raise_by(what, 1);
    }

    /// So many more.
    pub(super) fn raise_by(&self, what: Transition, by: u64) {
        // Relaxed: one thread of the machine runs at a time.
        self.0[what as usize].fetch_add(by, Ordering::Relaxed);
    }

    /// The counts so far.
    pub(super) fn counts(&self) -> Counts {
        // Relaxed: as above.
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts(self.0.iter().map(load).collect())
    }
}
