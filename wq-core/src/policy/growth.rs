//! When a pool may have more workers than its bound.
//!
//! Up to the bound workers are made as they are needed, one for each lane that stands still and one
//! in reserve. None ahead of need: requests that double while nobody comes back were tried. They
//! had a crowd of 511 blocking items inside by 4 to 37 % sooner in some runs and no sooner in
//! others, and now and then left dozens of threads that nobody needed.

/// A pool that stands still at its bound may grow to this many times the bound. Twice is enough
/// for waits that are nested once, and keeps the sum of all stacks below what a machine notices.
pub(crate) const HARD_CAP_FACTOR: u32 = 2;

/// Whether a pool may have one worker more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Room {
    /// It is below its bound.
    Free,
    /// It stands still at its bound: one more, and then nothing for a while.
    OneMore,
    /// It waits for those that it has.
    Full,
}

/// Decides that for a pool with `workers` threads and this bound; `stands_still`: no item ended
/// and nothing was added for a while.
pub(crate) fn room(workers: u32, bound: u32, stands_still: bool) -> Room {
    if workers < bound {
        Room::Free
    } else if stands_still && workers < bound.saturating_mul(HARD_CAP_FACTOR) {
        Room::OneMore
    } else {
        Room::Full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the bound is passed only by a pool that stands still, and never beyond the cap.
    #[test]
    fn the_bound_is_passed_slowly_and_not_far() {
        for workers in 0..20 {
            for bound in 1..8 {
                for still in [false, true] {
                    let expected = match workers {
                        w if w < bound => Room::Free,
                        w if still && w < 2 * bound => Room::OneMore,
                        _ => Room::Full,
                    };
                    assert_eq!(room(workers, bound, still), expected);
                }
            }
        }
    }
}
