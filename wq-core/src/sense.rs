//! Hand-overs: noticing that a lane stands still, and giving it to another worker.
//!
//! All sensors (the spotter, siblings, the monitor, a newborn worker, a declared block) end in
//! the same few functions, which are idempotent: whoever next sees "nobody runs, work waits" does
//! what an earlier one may have left undone. The functions that the spotter calls take no lock
//! and no memory.

pub(crate) mod convoy;
mod pick_up;
pub(crate) mod report;
pub(crate) mod siblings;

use std::sync::atomic::Ordering;

use crate::hook::{self, Point};
use crate::lane::Lane;
use crate::os::{self, Sight, ThreadState};
use crate::policy;
use crate::pool::Pool;
use crate::proto::owner::taking::Standing;
use crate::proto::owner::{OwnerView, Refused, WorkerId};
use crate::proto::spares::Claim;
use crate::sense::convoy::Waiter;
use crate::system::SystemInner;
use crate::worker::{Placement, Worker};

/// Who noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sensor {
    /// The blocking code said so.
    Marked,
    /// The idle spotter of the CPU.
    Spotter,
    /// The monitor.
    Monitor,
    /// A worker that was between two items.
    Sibling,
    /// Whoever brought work to the lane.
    Producer,
    /// The monitor, of an item that burns CPU, from this CPU time of its thread on, ns.
    Hog(u64),
    /// A test.
    Forced,
}

/// What a look at a lane gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    /// Nothing waits, or all is as it should be.
    Fine,
    /// The owner is blocked, but not yet for as long as the lane's grace.
    Blocked,
    /// The owner runs.
    Running,
    /// The owner's state could not be told, now or ever.
    Unseen,
    /// The owner was woken and is not up yet: it may wait for a CPU among many.
    Waking,
    /// Somebody was woken or the lane was given away.
    Acted,
    /// The lane was to be given away, but there is no spare worker yet, or the owner moved.
    Refused,
}

/// A return within this time means that the hand-over was wasted, ns.
const WASTED_WITHIN_NS: u64 = 50_000;
/// Wasted hand-overs in a row before the grace grows.
const WASTED_IN_A_ROW: u32 = 8;
/// First and largest grace, ns.
const GRACE_NS: (u64, u64) = (50_000, 1_000_000);

impl SystemInner {
    /// Looks at one lane and does what has to be done. `now_ns` and `blocked_since_ns` let the
    /// caller wait out the lane's grace; 0 for no earlier look.
    pub(crate) fn examine(
        &self,
        pool: &Pool,
        lane: &Lane,
        sensor: Sensor,
        blocked_for_ns: u64,
    ) -> Look {
        if !lane.has_work() {
            return Look::Fine;
        }
        let seen = lane.owner.notice();
        if seen.is_parked() || seen.is_vacant() || (seen.is_blocking() && !seen.is_revoked()) {
            return if self.kick_seen(pool, lane, seen) {
                Look::Acted
            } else {
                Look::Refused
            };
        }
        if seen.is_revoked() {
            return Look::Fine;
        }
        let worker = self.worker(seen.worker());
        if seen.is_waking() {
            // Whoever gave it the lane, or is to wake it, may not have come to that yet. It sleeps
            // in no item: another worker would be one too many.
            worker.parker.unpark();
            return Look::Waking;
        }
        self.examine_running(pool, lane, seen, sensor, blocked_for_ns)
    }

    /// As [`SystemInner::examine`], of a lane whose owner is inside an item, as `seen`.
    pub(crate) fn examine_running(
        &self,
        pool: &Pool,
        lane: &Lane,
        seen: OwnerView,
        sensor: Sensor,
        blocked_for_ns: u64,
    ) -> Look {
        let worker = self.worker(seen.worker());
        let starts = worker.starts();
        // Its CPU is idle and it said that it may block: the look after the claim is enough.
        let said_so = sensor == Sensor::Spotter && worker.may_block();
        let sight = if said_so {
            ThreadState::Asleep.into()
        } else {
            self.look(worker)
        };
        if lane.view() != seen || worker.starts() != starts {
            return Look::Running;
        }
        match sight.state {
            ThreadState::Running => Look::Running,
            ThreadState::Unknown => Look::Unseen,
            ThreadState::Blocked | ThreadState::Asleep
                if blocked_for_ns < grace_ns(pool, lane, worker, sight, blocked_for_ns) =>
            {
                Look::Blocked
            }
            // Nobody of the lane runs any more.
            ThreadState::Blocked | ThreadState::Asleep
                if policy::need_more_worker(pool.load(lane.has_work(), 0)) =>
            {
                expect_return(pool, worker, sight.futex);
                let done = self.take_over(pool, lane, seen, sensor);
                if !done {
                    expect_no_return(pool, worker, sight.futex);
                }
                if done {
                    Look::Acted
                } else if said_so {
                    // Without a look of its own it may have run all the time.
                    Look::Running
                } else {
                    Look::Refused
                }
            }
            ThreadState::Blocked | ThreadState::Asleep => Look::Fine,
        }
    }

    /// What the kernel says of a worker's thread, if it is asked.
    pub(crate) fn look(&self, worker: &Worker) -> Sight {
        if self.sensors.can_see() {
            worker.look()
        } else {
            ThreadState::Unknown.into()
        }
    }

    /// Gives a vacant lane to a spare worker, or asks for one: false.
    pub(crate) fn staff(&self, pool: &Pool, lane: &Lane, seen: OwnerView) -> bool {
        if pool.attrs.bh {
            return self.wake_bh(pool);
        }
        let Some(spare) = self.claim_spare(pool) else {
            self.request_worker(pool);
            self.poke_monitor();
            return false;
        };
        let worker = self.worker(spare);
        let token = seen.vacant_token_for(spare);
        let slot = pool.slot_of(lane) as u32;
        worker.assignment.offer(slot, token);
        hook::at(Point::Staff);
        if lane.owner.assign(seen, spare).is_some() {
            self.start_holder(pool, lane, worker);
        } else if worker.assignment.withdraw(slot, token) {
            self.put_back(pool, worker);
        }
        self.keep_reserve(pool);
        true
    }

    /// Takes a lane from its owner, as `seen`, for a spare worker. True: it changed hands.
    pub(crate) fn take_over(
        &self,
        pool: &Pool,
        lane: &Lane,
        seen: OwnerView,
        sensor: Sensor,
    ) -> bool {
        let victim = self.worker(seen.worker());
        let Some(spare) = self.claim_spare(pool) else {
            self.request_worker(pool);
            return false;
        };
        let worker = self.worker(spare);
        let standing = || match sensor {
            Sensor::Spotter | Sensor::Monitor | Sensor::Sibling | Sensor::Producer => {
                victim.standing()
            }
            // It said so, runs, or does whatever the test has it do.
            Sensor::Marked | Sensor::Hog(_) | Sensor::Forced => Standing::Unknown,
        };
        let revoked = if seen.is_revoked() {
            lane.owner.revoke_stale(seen, &victim.mark, standing)
        } else {
            lane.owner.revoke(seen, &victim.mark, standing)
        };
        let done = match revoked {
            Ok(revoked) => {
                let token = revoked.next_token(spare);
                let slot = pool.slot_of(lane) as u32;
                worker.assignment.offer(slot, token);
                victim.note_displaced(match sensor {
                    Sensor::Hog(cpu_ns) => Some(cpu_ns),
                    _ => None,
                });
                hook::at(Point::HandOver);
                let handed = revoked.hand_over(spare).is_some();
                if !handed && !worker.assignment.withdraw(slot, token) {
                    // The spare saw that the claim was lost and put itself back.
                    return false;
                }
                handed
            }
            Err(refused) => {
                self.stats.note_refused(refused == Refused::Busy);
                false
            }
        };
        if done {
            self.start_holder(pool, lane, worker);
            lane.refill_eagerness();
            self.stats.note_hand_over(sensor);
            self.keep_reserve(pool);
        } else {
            self.put_back(pool, worker);
        }
        done
    }

    /// Wakes a worker that was made owner of `lane`.
    fn start_holder(&self, pool: &Pool, lane: &Lane, worker: &Worker) {
        hook::at(Point::Wake);
        let placement = self.place(pool, lane, worker);
        worker.parker.unpark();
        if let Some(placement) = placement {
            worker.let_roam(placement, &pool.mask);
        }
        self.poke_monitor();
    }

    /// Wakes a parked owner whose wake-up the caller has claimed.
    pub(crate) fn wake_holder(&self, pool: &Pool, lane: &Lane, id: WorkerId) {
        self.start_holder(pool, lane, self.worker(id));
    }

    /// Before a wake-up: has the sleeping worker start on the lane's CPU. Its mask is widened again
    /// at once, so that what user code starts may use all of the pool's CPUs, and a CPU that others
    /// keep busy does not hold it up. A lone runner needs no place but its pod: the kernel knows
    /// better which CPU is free, and whether the one who wakes it is about to sleep.
    fn place(&self, pool: &Pool, lane: &Lane, worker: &Worker) -> Option<Placement> {
        if !pool.floats() {
            return None;
        }
        if pool.roams() && !worker.was_on_one_of(&pool.attrs.pod) {
            let placement = worker.place(&pool.attrs.pod, &pool.mask);
            if placement.is_some() {
                self.stats.repatriated.raise();
            }
            return placement;
        }
        let others = pool.others_run(pool.slot_of(lane));
        // Both were there last, and the kernel leaves it so.
        let is_there = worker.was_on(lane.cpu) && os::current_cpu() == lane.cpu;
        if others && !is_there {
            worker.place(self.cpu_mask(lane.cpu), &pool.mask)
        } else if pool.roams() && !pool.attrs.pod.contains(os::current_cpu()) {
            // The kernel likes to bring the woken to the waker.
            worker.place(&pool.attrs.pod, &pool.mask)
        } else {
            None
        }
    }

    /// Claims the newest spare worker of the pool.
    fn claim_spare(&self, pool: &Pool) -> Option<WorkerId> {
        loop {
            match pool.spares.claim(|id| &self.worker(id).spare) {
                Claim::Spare(id) => {
                    // Relaxed: a count for policy.
                    pool.nr_idle.fetch_sub(1, Ordering::Relaxed);
                    return Some(id);
                }
                Claim::Discarded(id) => self.discarded.push(id, &self.worker(id).spare),
                Claim::Empty => return None,
            }
        }
    }

    /// Puts a claimed or finished worker on the stack of spares.
    pub(crate) fn put_back(&self, pool: &Pool, worker: &Worker) {
        // Relaxed: a count for policy.
        pool.nr_idle.fetch_add(1, Ordering::Relaxed);
        pool.spares.push(worker.id, &worker.spare);
    }

    /// A spare worker leaves: has another one look, which may sleep without limit because it was
    /// no surplus when it lay down.
    pub(crate) fn let_next_leave(&self, pool: &Pool) {
        if !policy::too_many_workers(pool.load(false, 0)) {
            return;
        }
        if let Some(next) = self.claim_spare(pool) {
            let next = self.worker(next);
            self.put_back(pool, next);
            next.parker.unpark();
        }
    }

    /// A lane was given to a worker: sees to it that another one is in reserve (the kernel: no
    /// worker starts an item unless an idle worker or a manager exists).
    pub(crate) fn keep_reserve(&self, pool: &Pool) {
        if policy::need_to_create_worker(pool.load(true, 0)) {
            self.request_worker(pool);
        }
    }

    /// A worker whose lane was taken has come to its item's end: was the hand-over worth it?
    pub(crate) fn note_return(&self, pool: &Pool, lane: &Lane, worker: &Worker) {
        // Relaxed throughout: tuning values.
        let displaced = worker.take_displaced_ns();
        if displaced == 0 {
            return;
        }
        let now = os::monotonic_ns();
        let waited = now.saturating_sub(displaced);
        pool.convoys.note_return(worker.take_wait(), waited, now);
        let watch = &lane.watch;
        if now.saturating_sub(displaced) < WASTED_WITHIN_NS {
            self.stats.note_wasted();
            if watch.wasted.fetch_add(1, Ordering::Relaxed) + 1 >= WASTED_IN_A_ROW {
                watch.wasted.store(0, Ordering::Relaxed);
                let grace = watch.grace_ns.load(Ordering::Relaxed) * 2;
                watch
                    .grace_ns
                    .store(grace.clamp(GRACE_NS.0, GRACE_NS.1), Ordering::Relaxed);
            }
        } else {
            watch.wasted.store(0, Ordering::Relaxed);
            let grace = watch.grace_ns.load(Ordering::Relaxed) / 2;
            let grace = if grace < GRACE_NS.0 { 0 } else { grace };
            watch.grace_ns.store(grace, Ordering::Relaxed);
        }
    }

    /// A lane's owner does not come to its item's end: gives half of what waits to a lane that
    /// nobody uses. True: something moved.
    pub(crate) fn relieve(&self, pool: &Pool, lane: &Lane, seen: OwnerView) -> bool {
        let Some(other) = pool.unused_lane(pool.slot_of(lane)) else {
            return false;
        };
        let victim = self.worker(seen.worker());
        let runs = || Standing::Unknown;
        let Ok(revoked) = lane.owner.revoke(seen, &victim.mark, runs) else {
            return false;
        };
        let Some(held) = revoked.hold() else {
            return false;
        };
        hook::inside(Point::Give);
        let taken = lane.rob(&held);
        held.give_back();
        // Relaxed: a hint for those who choose a lane.
        lane.watch.cost_ns.store(GRACE_NS.1, Ordering::Relaxed);
        let more = lane.inbox.take_all();
        let mut moved = !taken.is_empty();
        let mut wake = taken.push_to(&other.inbox);
        for entry in more {
            wake |= other.inbox.push::<crate::entry::Entry>(entry);
            moved = true;
        }
        if wake {
            self.kick(pool, other);
        }
        moved
    }
}

/// A worker is about to lose its lane while it waits on `futex`, if that is one: for the memory of
/// [`convoy`].
fn expect_return(pool: &Pool, worker: &Worker, futex: usize) {
    worker.note_wait(futex);
    pool.convoys.note_wait(futex);
}

/// It kept its lane.
fn expect_no_return(pool: &Pool, worker: &Worker, futex: usize) {
    worker.note_wait(0);
    pool.convoys.forget(futex);
}

/// How long a block like this one, which is known to last for `blocked_ns`, must have lasted before
/// the lane is taken, ns.
fn grace_ns(pool: &Pool, lane: &Lane, worker: &Worker, sight: Sight, blocked_ns: u64) -> u64 {
    // Relaxed: a tuning value.
    let grace = lane.watch.grace_ns.load(Ordering::Relaxed);
    let lanes = pool.in_use();
    // With one lane, a single worker that is about to come back is no row.
    let some = if lanes == 1 { 2 } else { lanes.div_ceil(2) };
    if sight.futex == 0 {
        return grace;
    }
    let now_ns = os::monotonic_ns();
    if !pool.convoys.is_row(sight.futex, some, now_ns) {
        return grace;
    }
    let row = pool.convoys.grace_ns(Waiter {
        futex: sight.futex,
        was_up: worker.was_up(),
        blocked_ns,
        now_ns,
    });
    grace.max(row)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{System, Workqueue, driver};

    /// A vacant lane that no worker could be given is no success: a spotter that takes it for one
    /// looks again at once, and for as long as the pool stands at its bound.
    #[test]
    fn a_lane_that_nobody_can_have_is_refused() {
        let system = System::builder().build().expect("a System");
        driver::refuse_threads(&system, true);
        let queue = Workqueue::unbound("q").system(&system).build().expect("q");
        let task = queue.spawn(async {});
        let pools = system.inner.lock_pools().clone();
        let waits = |pool: &&std::sync::Arc<Pool>| pool.lanes().iter().any(Lane::has_work);
        let pool = pools.iter().find(waits).expect("the task waits");
        let lanes = pool.lanes().iter();
        let looks: Vec<Look> = lanes
            .filter(|lane| lane.has_work())
            .map(|lane| system.inner.examine(pool, lane, Sensor::Forced, 0))
            .collect();
        assert_eq!(looks, [Look::Refused]);
        driver::refuse_threads(&system, false);
        let ended = task.wait_timeout(Duration::from_secs(60));
        ended.expect("it runs in the end").expect("it ends");
    }
}
