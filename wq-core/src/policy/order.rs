//! Which waiting entry a lane runs next.
//!
//! Order of service: the freshly woken one (at most three in a row), resumes, then starts. Starts
//! alternate between a few of the newest children (depth first keeps a tree's live set in cache)
//! and one whole batch of the worklist as it stands, so that neither starves the other. While
//! starts wait, one of them follows every eight resumes. A bound lane has no slot and no
//! children: first in, first out.

/// How often in a row the slot of the freshly woken is served before its entry goes to the end of
/// the resumes.
const SLOT_STREAK: u8 = 3;

/// Resumes in a row while a start waits.
const RESUME_STREAK: u8 = 8;

/// What waits in a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Waiting {
    /// The slot of the freshly woken is taken.
    pub(crate) slot: bool,
    /// Woken runs.
    pub(crate) resumes: usize,
    /// Items spawned by items of this lane, newest first.
    pub(crate) children: usize,
    /// New items, first in first out.
    pub(crate) worklist: usize,
}

/// Where the next entry comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// The slot.
    Slot,
    /// The front of the resumes.
    Resume,
    /// The newest child.
    Child,
    /// The front of the worklist.
    Worklist,
}

/// The counters that make the order fair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ServiceOrder {
    slot_streak: u8,
    resume_streak: u8,
    /// Children that may still be taken before the worklist has its turn.
    children_left: u32,
    /// Entries of the worklist's present batch that are still to come.
    batch_left: usize,
}

impl ServiceOrder {
    /// The order of an idle lane.
    pub(crate) const fn new() -> ServiceOrder {
        ServiceOrder {
            slot_streak: 0,
            resume_streak: 0,
            children_left: 0,
            batch_left: 0,
        }
    }

    /// Whether the slot has had its share: the lane then moves it behind the resumes.
    #[inline]
    pub(crate) fn demote_slot(&mut self, waiting: &Waiting) -> bool {
        let others = waiting.resumes + waiting.children + waiting.worklist > 0;
        if waiting.slot && others && self.slot_streak >= SLOT_STREAK {
            self.slot_streak = 0;
            return true;
        }
        false
    }

    /// Picks the next entry. `children_quota` is how many children make a turn.
    #[inline]
    pub(crate) fn next(&mut self, waiting: &Waiting, children_quota: u32) -> Option<Source> {
        if waiting.slot {
            self.slot_streak = self.slot_streak.saturating_add(1);
            return Some(Source::Slot);
        }
        self.slot_streak = 0;
        let starts = waiting.children + waiting.worklist;
        if waiting.resumes > 0 && (starts == 0 || self.resume_streak < RESUME_STREAK) {
            self.resume_streak = if starts == 0 {
                0
            } else {
                self.resume_streak + 1
            };
            return Some(Source::Resume);
        }
        self.resume_streak = 0;
        if starts == 0 {
            return None;
        }
        Some(self.next_start(waiting, children_quota))
    }

    /// Picks among new items; at least one waits.
    fn next_start(&mut self, waiting: &Waiting, children_quota: u32) -> Source {
        if waiting.worklist == 0 {
            self.batch_left = 0;
            return Source::Child;
        }
        if waiting.children == 0 {
            self.children_left = children_quota;
            self.batch_left = self.batch_left.saturating_sub(1);
            return Source::Worklist;
        }
        if self.batch_left > 0 {
            self.batch_left -= 1;
            return Source::Worklist;
        }
        // The turn may have begun when children were cheaper, or nobody knew what they cost.
        self.children_left = self.children_left.min(children_quota);
        if self.children_left > 0 {
            self.children_left -= 1;
            return Source::Child;
        }
        self.children_left = children_quota;
        self.batch_left = waiting.worklist - 1;
        Source::Worklist
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves `steps` entries from counts that are refilled, and counts how often each was.
    fn serve(
        order: &mut ServiceOrder,
        mut refill: impl FnMut() -> Waiting,
        steps: u32,
    ) -> [u32; 4] {
        let mut served = [0; 4];
        for _ in 0..steps {
            let waiting = refill();
            if order.demote_slot(&waiting) {
                let demoted = Waiting {
                    slot: false,
                    resumes: waiting.resumes + 1,
                    ..waiting
                };
                if let Some(source) = order.next(&demoted, 4) {
                    served[source as usize] += 1;
                }
                continue;
            }
            if let Some(source) = order.next(&waiting, 4) {
                served[source as usize] += 1;
            }
        }
        served
    }

    /// With everything always full, nothing starves.
    #[test]
    fn no_source_starves() {
        let full = Waiting {
            slot: true,
            resumes: 3,
            children: 3,
            worklist: 3,
        };
        let served = serve(&mut ServiceOrder::new(), || full, 10_000);
        assert!(served.iter().all(|&n| n > 50), "{served:?}");
    }

    /// Whatever waits, something is served, and only what is there.
    #[test]
    fn serves_what_is_there() {
        for n in 0..3usize.pow(3) * 2 {
            let waiting = Waiting {
                slot: n % 2 == 1,
                resumes: n / 2 % 3,
                children: n / 6 % 3,
                worklist: n / 18 % 3,
            };
            let mut order = ServiceOrder::new();
            for _ in 0..40 {
                match order.next(&waiting, 2) {
                    None => assert_eq!(waiting, Waiting::default()),
                    Some(Source::Slot) => assert!(waiting.slot),
                    Some(Source::Resume) => assert!(waiting.resumes > 0),
                    Some(Source::Child) => assert!(waiting.children > 0),
                    Some(Source::Worklist) => assert!(waiting.worklist > 0),
                }
            }
        }
    }

    /// One start in nine at most is held back by a crowd of resumes.
    #[test]
    fn a_start_follows_eight_resumes() {
        let crowd = Waiting {
            resumes: 5,
            worklist: 5,
            ..Waiting::default()
        };
        let served = serve(&mut ServiceOrder::new(), || crowd, 900);
        assert_eq!(served, [0, 800, 0, 100]);
    }

    /// A batch of the worklist is as long as the worklist was when its turn came.
    #[test]
    fn a_batch_is_what_stood_there() {
        let mut order = ServiceOrder::new();
        let waiting = Waiting {
            children: 100,
            worklist: 10,
            ..Waiting::default()
        };
        let turn: Vec<Source> = (0..28)
            .map(|_| order.next(&waiting, 4).expect("work waits"))
            .collect();
        let worklist = turn.iter().filter(|s| **s == Source::Worklist).count();
        assert_eq!(
            worklist, 20,
            "two batches of ten among two turns of four children: {turn:?}"
        );
    }
}
