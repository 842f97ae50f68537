//! What to do, never how: the engine's decisions as functions of small copied snapshots.
//!
//! Nothing here reads a clock, touches an atomic or wakes anybody; the engine performs what these
//! functions answer, and so does the simulator, with virtual time. The five predicates carry the
//! kernel's names and meaning (`kernel/workqueue.c`), per lane instead of per pool: a lane is the
//! right to run one item at a time, so its `nr_running` is 0 or 1, plus returning workers.

mod growth;
mod order;
mod pace;
mod share;
mod standstill;

pub(crate) use growth::{HARD_CAP_FACTOR, Room, room};
pub(crate) use order::{ServiceOrder, Source, Waiting};
pub(crate) use pace::{Activity, Company, Pace, moves};
pub(crate) use share::{LaneClock, Sample, Share};
pub(crate) use standstill::{Fault, Standing, fault};

/// The state of a lane and its pool, as far as decisions need it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Load {
    /// Entries wait in the lane (new starts or resumes).
    pub(crate) has_work: bool,
    /// Workers of the lane inside an item and not known to be blocked.
    pub(crate) nr_running: u32,
    /// Spare workers of the pool.
    pub(crate) nr_idle: u32,
    /// All workers of the pool.
    pub(crate) nr_workers: u32,
    /// A worker is being created, or about to come back.
    pub(crate) managing: bool,
}

/// Does the lane need one more worker to run? Asked by everyone who may wake one.
pub(crate) fn need_more_worker(load: Load) -> bool {
    load.has_work && load.nr_running == 0
}

/// May a worker start items? Only while a reserve remains that can replace it when it blocks.
/// Asked by a worker that is about to start.
pub(crate) fn may_start_working(load: Load) -> bool {
    load.nr_idle > 0
}

/// Should a running worker take another item? Asked at each item boundary.
pub(crate) fn keep_working(load: Load) -> bool {
    load.has_work && load.nr_running <= 1
}

/// Must a worker be created? Asked by the thread maker, and by who found no spare.
pub(crate) fn need_to_create_worker(load: Load) -> bool {
    !may_start_working(load) && !load.managing
}

/// Has the pool more idle workers than it needs? The kernel's rule: beyond two, at most one idle
/// for four busy. Whoever sleeps with a lane in hand counts as busy here, so that a pool at rest
/// keeps as many workers as it has lanes, and two more at most.
pub(crate) fn too_many_workers(load: Load) -> bool {
    let nr_idle = load.nr_idle + u32::from(load.managing);
    let nr_busy = load.nr_workers.saturating_sub(nr_idle);
    nr_idle > 2 && (nr_idle - 2) * MAX_IDLE_WORKERS_RATIO >= nr_busy
}

/// One idle worker for this many busy ones may stay (kernel: `MAX_IDLE_WORKERS_RATIO`).
const MAX_IDLE_WORKERS_RATIO: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// All loads with small numbers.
    fn loads() -> impl Iterator<Item = Load> {
        (0..2u32 * 4 * 5 * 8 * 2).map(|n| Load {
            has_work: n & 1 == 1,
            managing: (n / 2) & 1 == 1,
            nr_running: n / 4 % 4,
            nr_idle: n / 16 % 5,
            nr_workers: n / 80 % 8,
        })
    }

    /// A lane without work wakes nobody and keeps nobody.
    #[test]
    fn without_work_nobody_is_needed_or_kept() {
        for load in loads().filter(|l| !l.has_work) {
            assert!(!need_more_worker(load) && !keep_working(load), "{load:?}");
        }
    }

    /// Work never waits while nobody runs: either a worker is needed, or one runs.
    #[test]
    fn waiting_work_has_a_runner_or_needs_one() {
        for load in loads().filter(|l| l.has_work) {
            assert!(need_more_worker(load) || load.nr_running > 0, "{load:?}");
        }
    }

    /// A lone runner goes on; surplus runners stop at the item's end.
    #[test]
    fn only_the_last_runner_goes_on() {
        for load in loads().filter(|l| l.has_work) {
            assert_eq!(keep_working(load), load.nr_running <= 1, "{load:?}");
        }
    }

    /// There is always a spare, or one is being made, or one must be made.
    #[test]
    fn a_reserve_exists_or_is_made() {
        for load in loads() {
            let covered = may_start_working(load) || load.managing || need_to_create_worker(load);
            assert!(covered, "{load:?}");
        }
    }

    /// T14: forty idle, none busy, shrinks to two.
    #[test]
    fn forty_idle_shrink_to_two() {
        let mut load = Load {
            has_work: false,
            nr_running: 0,
            nr_idle: 40,
            nr_workers: 40,
            managing: false,
        };
        while too_many_workers(load) {
            load.nr_idle -= 1;
            load.nr_workers -= 1;
        }
        assert_eq!(load.nr_idle, 2);
    }
}
