//! Polls of items about whose CPU time something is known beforehand.
//!
//! An item that burnt CPU lately is polled with its lane declared free, as for a declared block
//! (the kernel: `WORKER_CPU_INTENSIVE`). One in a row of yields is timed now and then.

use crate::block;
use crate::current::Current;
use crate::entry::Entry;
use crate::lane::Lane;
use crate::queue::Ended;

/// Polls an entry whose metadata are special.
#[inline(never)]
pub(super) fn execute(current: &Current, lane: &Lane, entry: Entry) -> Option<Ended> {
    let meta = entry.meta();
    let goes_on = meta.begin_poll_of_stretch();
    if meta.is_marked() {
        // The monitor need not do it again. The item will be the worker's next one.
        current.worker.claim_mark(current.worker.starts() + 1);
    }
    let knobs = &current.system.hogs.knobs;
    if meta.burns() && knobs.grace_ns(current.pool.is_percpu()).is_some() {
        return poll_burner(current, lane, entry);
    }
    if !goes_on || !current.measure.is_turn() {
        return super::poll(current, lane, entry);
    }
    current.measure.begin_sample(|| current.worker.cpu_ns());
    let ended = super::poll(current, lane, entry);
    current.measure.stop();
    ended
}

/// Polls an item that burnt CPU lately: the lane is free for others from the beginning.
#[cold]
fn poll_burner(current: &Current, lane: &Lane, entry: Entry) -> Option<Ended> {
    current.measure.begin(current.worker.cpu_ns());
    current.lane_is_free.set(true);
    block::free_lane(current);
    let ended = super::poll(current, lane, entry);
    current.lane_is_free.set(false);
    block::keep_lane(current);
    current.measure.stop();
    ended
}
