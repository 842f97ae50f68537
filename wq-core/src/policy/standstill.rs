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
    /// CPU time after which it burns; `None` if burners are left alone.
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
    match burnt {
        Some(burnt) if grace.is_some_and(|grace| burnt >= grace) => Some(Fault::Burns),
        Some(burnt) if !can_see && stood >= UNSEEN_SLEEP && burnt * UNSEEN_SHARE < stood => {
            Some(Fault::Sleeps)
        }
        None if can_see && grace.is_some() && stood >= BLIND_GRACE => Some(Fault::Burns),
        _ if !can_see && stood >= BLIND_GRACE => Some(Fault::Sleeps),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Milliseconds of standing, of burning if known, and of grace.
    fn of(stood: u64, burnt: Option<u64>, can_see: bool, grace: Option<u64>) -> Option<Fault> {
        fault(Standing {
            stood: Duration::from_millis(stood),
            burnt: burnt.map(Duration::from_millis),
            can_see,
            grace: grace.map(Duration::from_millis),
        })
    }

    /// Where all can be known, CPU time alone decides, if anybody minds.
    #[test]
    fn burners_are_told_by_cpu_time() {
        assert_eq!(of(1_000, Some(0), true, Some(1)), None);
        assert_eq!(of(1, Some(1), true, Some(1)), Some(Fault::Burns));
        assert_eq!(of(1_000, Some(9), true, Some(10)), None);
        assert_eq!(of(10, Some(10), true, Some(10)), Some(Fault::Burns));
        assert_eq!(of(1_000, Some(1_000), true, None), None);
        assert_eq!(of(1_000, None, true, None), None);
    }

    /// Where states cannot be seen, who uses no CPU time sleeps.
    #[test]
    fn unseen_sleepers_are_told_by_the_cpu_time_they_do_not_use() {
        assert_eq!(of(1, Some(0), false, Some(10)), None);
        assert_eq!(of(2, Some(0), false, None), Some(Fault::Sleeps));
        assert_eq!(of(8, Some(4), false, Some(10)), None);
        assert_eq!(of(20, Some(20), false, Some(10)), Some(Fault::Burns));
    }

    /// Whatever is unknown, nobody waits for longer than a hundredth of a second of it.
    #[test]
    fn nobody_waits_for_ever() {
        for can_see in [true, false] {
            assert_eq!(of(9, None, can_see, Some(1)), None);
            assert!(of(10, None, can_see, Some(1)).is_some());
        }
        assert_eq!(of(10, Some(5), false, Some(10)), Some(Fault::Sleeps));
    }
}
