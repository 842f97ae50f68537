//! Polls of items about whose CPU time something is known beforehand.
//!
//! An item that burnt CPU lately is polled with its lane declared free, as for a declared block
//! (the kernel: `WORKER_CPU_INTENSIVE`); one that is sure to burn needs a turn for that
//! (`burners`). One in a row of yields is timed now and then. The items of a queue that was built
//! for such ones are polled with the lane free each time, without turns, clock or judgement.

use crate::block;
use crate::burners::Turn;
use crate::current::Current;
use crate::entry::Entry;
use crate::lane::Lane;
use crate::pool::Pool;
use crate::queue::Ended;
use crate::route;
use crate::system::SystemInner;

/// Polls an entry whose metadata are special.
#[inline(never)]
pub(super) fn execute(current: &Current, lane: &Lane, entry: Entry) -> Option<Ended> {
    let meta = entry.meta();
    if meta.is_intensive() {
        return poll_intensive(current, lane, entry);
    }
    let has_turn = meta.take_turn();
    let knobs = &current.system.hogs.knobs;
    let is_burner = meta.burns() && knobs.grace_ns(current.pool.is_percpu()).is_some();
    if has_turn || (is_burner && meta.surely_burns()) {
        return poll_in_turn(current, lane, entry, has_turn);
    }
    let goes_on = begin_stretch(current, &entry);
    if is_burner {
        return poll_free(current, lane, entry);
    }
    if !goes_on || !current.measure.is_turn() {
        return super::poll(current, lane, entry);
    }
    current.measure.begin_sample(|| current.worker.cpu_ns());
    let ended = super::poll(current, lane, entry);
    current.measure.stop();
    ended
}

/// The worker's next poll is one of this item. Whether it goes on a row of yields.
fn begin_stretch(current: &Current, entry: &Entry) -> bool {
    let goes_on = entry.meta().begin_poll_of_stretch();
    if entry.meta().is_marked() {
        // The monitor need not do it again. The item will be the worker's next one.
        current.worker.claim_mark(current.worker.starts() + 1);
    }
    goes_on
}

/// Polls a known burner when it has a turn, and then others that wait for one: this worker's lane
/// is free for others meanwhile.
#[cold]
fn poll_in_turn(current: &Current, lane: &Lane, entry: Entry, has_turn: bool) -> Option<Ended> {
    let burners = &current.pool.burners;
    let turn = if has_turn {
        Turn::Given(entry)
    } else {
        burners.begin(entry, || current.system.is_dropping())
    };
    let mut entry = match turn {
        Turn::Given(entry) => entry,
        Turn::Needless(entry) => return super::poll(current, lane, entry),
        Turn::Waits => return None,
    };
    loop {
        current.worker.take_turn(current.pool.id);
        begin_stretch(current, &entry);
        let ended = poll_free(current, lane, entry);
        // Else it gave its turn up, because it blocked.
        let next = current.worker.end_turn().then(|| burners.pass_on());
        let Some(next) = next.flatten() else {
            return ended;
        };
        settle(current, ended);
        entry = next;
    }
}

/// Counts an item that ended, wherever the lane may be. The worker is not expected back: it goes on
/// with another burner.
fn settle(current: &Current, mut ended: Option<Ended>) {
    if let Some(next) = ended.as_ref().and_then(Ended::release_slot) {
        let queue = next.meta().queue;
        route::start(queue.get(), Some(current), next);
    }
    super::settle_without_lane(current, &mut ended);
}

/// Polls an item that burnt CPU lately: the lane is free for others from the beginning.
#[cold]
fn poll_free(current: &Current, lane: &Lane, entry: Entry) -> Option<Ended> {
    current.measure.begin(current.worker.cpu_ns());
    let ended = poll_beside(current, lane, entry);
    current.measure.stop();
    ended
}

/// Polls an item of a queue for those that burn CPU (the kernel: `WQ_CPU_INTENSIVE`). Its start had
/// its turn in the lane; from here on it counts as nobody, and what it uses is nobody's concern.
#[cold]
fn poll_intensive(current: &Current, lane: &Lane, entry: Entry) -> Option<Ended> {
    entry.meta().begin_poll_of_stretch();
    // The monitor need not mark it. The item will be the worker's next one.
    current.worker.claim_mark(current.worker.starts() + 1);
    poll_beside(current, lane, entry)
}

/// Polls an item in place of a worker that could not be made: whoever comes may have the lane
/// meanwhile, and other rescuers have theirs. Nothing is judged by it.
pub(super) fn rescue(current: &Current, lane: &Lane, entry: Entry) -> Option<Ended> {
    if entry.meta().take_turn() {
        current.worker.take_turn(current.pool.id);
    }
    begin_stretch(current, &entry);
    let ended = poll_beside(current, lane, entry);
    if current.worker.end_turn() {
        let next = current.pool.burners.pass_on();
        current.system.start_burner(&current.pool, next);
    }
    ended
}

/// Polls an item with the lane declared free meanwhile.
fn poll_beside(current: &Current, lane: &Lane, entry: Entry) -> Option<Ended> {
    current.lane_is_free.set(true);
    block::free_lane(current);
    let ended = super::poll(current, lane, entry);
    current.lane_is_free.set(false);
    block::keep_lane(current);
    ended
}

impl SystemInner {
    /// A worker of `pool` blocks inside a burner, or has been stuck in one: its turn is the next
    /// one's, which some other worker will run.
    pub(crate) fn start_burner(&self, pool: &Pool, next: Option<Entry>) {
        let Some(next) = next else {
            return;
        };
        next.meta().set_turn();
        self.bring_anywhere(pool, next);
    }

    /// Brings an entry to some lane of its pool, rather one that nobody runs.
    pub(crate) fn bring_anywhere(&self, pool: &Pool, entry: Entry) {
        let nobodys = pool.unused_lane(usize::MAX);
        let lane = nobodys.unwrap_or(&pool.lanes()[0]);
        if lane.inbox.push(entry) {
            self.kick(pool, lane);
        }
    }
}
