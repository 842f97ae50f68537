//! A short look around before a thread goes to sleep, if that has paid lately.
//!
//! A wake-up on another CPU costs several microseconds on both sides, so a thread whose last
//! sleeps were shorter than that does better to wait awake. It keeps the mean of its recent gaps
//! (each capped), looks around for at most [`BUDGET_NS`] only while that mean is small, and
//! therefore costs nothing when gaps are long: an idle machine stays idle.

use crate::os;

/// Longest time awake, ns: about what a sleep and a wake-up cost together.
const BUDGET_NS: u64 = 10_000;
/// The mean gap up to which looking around pays.
const WORTH_NS: u64 = 2 * BUDGET_NS;
/// Gaps count for no more than this, so that one long sleep is soon forgotten.
const CAP_NS: u64 = 200_000;
/// Looks between two readings of the clock.
const LOOKS: u32 = 32;

/// The memory of a thread that waits now and then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spin {
    /// Mean of the recent gaps, ns.
    gap_ns: u64,
    /// When the present gap began.
    begun_ns: u64,
}

impl Spin {
    /// A thread that has not waited yet: it sleeps at once.
    pub(crate) const fn new() -> Spin {
        Spin {
            gap_ns: CAP_NS,
            begun_ns: 0,
        }
    }

    /// A gap begins. Waits awake for `ready`, if that has paid lately; false: go to sleep.
    pub(crate) fn wait(&mut self, ready: impl Fn() -> bool) -> bool {
        self.begun_ns = os::monotonic_ns();
        if self.gap_ns > WORTH_NS {
            return false;
        }
        loop {
            for _ in 0..LOOKS {
                if ready() {
                    return true;
                }
                os::relax();
            }
            if os::monotonic_ns().saturating_sub(self.begun_ns) > BUDGET_NS {
                return false;
            }
        }
    }

    /// The gap is over.
    pub(crate) fn end(&mut self) {
        let gap = os::monotonic_ns().saturating_sub(self.begun_ns).min(CAP_NS);
        self.gap_ns = (self.gap_ns * 3 + gap) / 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Short gaps make it wait awake, one long gap after them does not stop it, many do.
    #[test]
    fn it_learns_and_unlearns() {
        let mut spin = Spin::new();
        assert!(!spin.wait(|| true), "it has learnt nothing yet");
        spin.gap_ns = 1_000;
        assert!(spin.wait(|| true));
        assert!(!spin.wait(|| false), "the budget ends it");
        spin.gap_ns = 1_000;
        for _ in 0..20 {
            spin.begun_ns = 0;
            spin.end();
        }
        assert!(!spin.wait(|| true), "long gaps are not worth it");
    }
}
