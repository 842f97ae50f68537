//! How many workers a pool gets, and when it may have more than its bound.
//!
//! Workers are made when a lane stands still or no reserve is left. While items block and nobody
//! comes back, each request brings twice as many as the one before, so that a crowd of blocking
//! items does not need a round trip each; but only if all of those before have blocked by now, and
//! never more than wait, since whoever finds nothing to do is a thread for nothing.

/// Most workers that one request brings ahead of need: other pools wait that long, a few ms.
const MOST_AHEAD: u32 = 64;

/// A pool that stands still at its bound may grow to this many times the bound. Twice is enough
/// for waits that are nested once, and keeps the sum of all stacks below what a machine notices.
pub(crate) const HARD_CAP_FACTOR: u32 = 2;

/// What a pool asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Demand {
    /// Lanes with work that nobody runs.
    pub(crate) stalled: u32,
    /// Entries that wait in the pool's lanes.
    pub(crate) waiting: u32,
    /// Workers that lost their lane inside an item, and are not back.
    pub(crate) away: u32,
    /// Workers have come back from items after the request before.
    pub(crate) came_back: bool,
}

/// How many workers the next request brings ahead of need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ramp {
    height: u32,
    /// Workers that were away at the request before.
    away: u32,
}

impl Ramp {
    /// Nothing was asked for yet.
    pub(crate) fn new() -> Ramp {
        Ramp { height: 0, away: 0 }
    }

    /// The ramp after a request.
    pub(crate) fn next(self, demand: Demand) -> Ramp {
        let all_blocked = demand.away >= self.away + self.height;
        let height = if demand.came_back || !all_blocked {
            1
        } else {
            (self.height * 2).clamp(1, MOST_AHEAD)
        };
        let away = demand.away;
        Ramp { height, away }
    }

    /// How many workers are to be idle or coming: one for each lane that stands still and one in
    /// reserve, or what the ramp says.
    pub(crate) fn needed(self, demand: Demand) -> u32 {
        (demand.stalled + 1).max(self.height.min(demand.waiting))
    }
}

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

    /// All demands with small numbers.
    fn demands() -> impl Iterator<Item = Demand> {
        (0..2 * 8 * 3 * 100).map(|n| Demand {
            came_back: n & 1 == 1,
            stalled: n / 2 % 8,
            away: n / 16 % 3 * 64,
            waiting: n / 48,
        })
    }

    /// Goal: a crowd of blocking items needs few requests. Method: nobody comes back; what 512
    /// workers take.
    #[test]
    fn requests_double_while_nobody_comes_back() {
        let (mut ramp, mut made, mut sizes) = (Ramp::new(), 0, Vec::new());
        while made < 512 {
            let crowd = Demand {
                stalled: 0,
                waiting: 512,
                away: made,
                came_back: false,
            };
            ramp = ramp.next(crowd);
            sizes.push(ramp.needed(crowd));
            made += ramp.needed(crowd);
        }
        assert_eq!(sizes[..7], [1, 2, 4, 8, 16, 32, 64]);
        assert!(sizes.len() <= 14, "{sizes:?}");
    }

    /// Goal: nothing is bred for nobody, and what stands still is served. Method: all demands at
    /// all heights of the ramp.
    #[test]
    fn no_more_than_wait_and_no_fewer_than_stand_still() {
        for height in [0, 1, 2, 8, MOST_AHEAD] {
            for demand in demands() {
                let next = Ramp { height, away: 0 }.next(demand);
                let needed = next.needed(demand);
                assert!(needed > demand.stalled, "{demand:?} {height}");
                assert!(
                    needed <= (demand.stalled + 1).max(demand.waiting),
                    "{demand:?} {height}"
                );
                if demand.came_back || demand.away < height {
                    assert_eq!(needed, demand.stalled + 1, "{demand:?} {height}");
                }
            }
        }
    }

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
