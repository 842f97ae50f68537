//! Is an item that does not come to its end asleep, does it burn CPU, or should it be left alone?
//!
//! Asked by the monitor for an item behind which work waits, and which no look has shown asleep.
//! What cannot be known (no procfs, no CPU clocks of other threads) makes the answer later, and in
//! the end wall time alone decides: nobody waits for ever.

use std::time::Duration;

/// Where states cannot be seen, an item that has stood so long and used next to no CPU time sleeps,
/// or waits for a CPU among many.
const UNSEEN_SLEEP: Duration = Duration::from_millis(2);
/// "Next to no CPU time": less than one part in so many.
const UNSEEN_SHARE: u32 = 4;
/// Where clocks do not tell either, an item that has stood so long is one of the two.
const BLIND_GRACE: Duration = Duration::from_millis(10);

/// What is known of an item that does not end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Standing {
    /// For how long work has waited behind it, or the monitor has known of it.
    pub(crate) stood: Duration,
    /// CPU time that its thread used meanwhile, if that can be told.
    pub(crate) burnt: Option<Duration>,
    /// A sleeping thread would have been seen.
    pub(crate) can_see: bool,
    /// CPU time after which an item there loses its lane; `None`: never for that.
    pub(crate) grace: Option<Duration>,
}

/// Why the lane is to be taken from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// It sleeps, as far as can be told.
    Sleeps,
    /// It burns CPU.
    Burns,
}

/// What is wrong with an item, if anything.
pub(crate) fn fault(standing: Standing) -> Option<Fault> {
    let Standing {
        stood,
        burnt,
        can_see,
        grace,
    } = standing;
    match (burnt, grace) {
        (Some(burnt), Some(grace)) if burnt >= grace => Some(Fault::Burns),
        (Some(burnt), _) if !can_see && stood >= UNSEEN_SLEEP && burnt * UNSEEN_SHARE < stood => {
            Some(Fault::Sleeps)
        }
        (None, Some(_)) if can_see && stood >= BLIND_GRACE => Some(Fault::Burns),
        _ if !can_see && stood >= BLIND_GRACE => Some(Fault::Sleeps),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds of standing and, if known, of burning.
    fn of(stood_ms: u64, burnt_ms: Option<u64>, can_see: bool, percpu: bool) -> Option<Fault> {
        let grace = Some(Duration::from_millis(if percpu { 10 } else { 1 }));
        fault(Standing {
            stood: Duration::from_millis(stood_ms),
            burnt: burnt_ms.map(Duration::from_millis),
            can_see,
            grace,
        })
    }

    /// Where all can be known, CPU time alone decides, by the kernel's measure on per-CPU lanes.
    #[test]
    fn burners_are_told_by_cpu_time() {
        assert_eq!(of(1_000, Some(0), true, false), None);
        assert_eq!(of(1, Some(1), true, false), Some(Fault::Burns));
        assert_eq!(of(1_000, Some(9), true, true), None);
        assert_eq!(of(10, Some(10), true, true), Some(Fault::Burns));
    }

    /// Where states cannot be seen, who uses no CPU time sleeps.
    #[test]
    fn unseen_sleepers_are_told_by_the_cpu_time_they_do_not_use() {
        assert_eq!(of(1, Some(0), false, true), None);
        assert_eq!(of(2, Some(0), false, true), Some(Fault::Sleeps));
        assert_eq!(of(8, Some(4), false, true), None);
        assert_eq!(of(20, Some(20), false, true), Some(Fault::Burns));
    }

    /// Whatever is unknown, nobody waits for longer than a hundredth of a second of it.
    #[test]
    fn nobody_waits_for_ever() {
        for (can_see, percpu) in [(true, false), (true, true), (false, false), (false, true)] {
            assert_eq!(of(9, None, can_see, percpu), None);
            assert!(of(10, None, can_see, percpu).is_some());
        }
        assert_eq!(of(10, Some(5), false, true), Some(Fault::Sleeps));
    }

    /// Where burning is not to matter, only sleeping does.
    #[test]
    fn a_grace_can_be_off() {
        let of = |burnt, can_see| {
            fault(Standing {
                stood: Duration::from_secs(1),
                burnt,
                can_see,
                grace: None,
            })
        };
        assert_eq!(of(Some(Duration::from_secs(1)), true), None);
        assert_eq!(of(None, true), None);
        assert_eq!(of(None, false), Some(Fault::Sleeps));
    }
}
