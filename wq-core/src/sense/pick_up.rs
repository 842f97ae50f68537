//! A worker without a lane that has a CPU takes one that waits for a runner.
//!
//! While those that come back from a block keep the CPUs busy the spotters see nothing, and a
//! sleeping worker would have to queue for a CPU that this one has.

use crate::lane::Lane;
use crate::os::{self, ThreadState};
use crate::pool::Pool;
use crate::proto::owner::taking::Standing;
use crate::proto::owner::{OwnerView, Refused, Token};
use crate::system::SystemInner;
use crate::worker::Worker;

use super::{Sensor, expect_no_return, expect_return, grace_ns};

/// Why a sibling takes a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reason {
    /// The owner said that it blocks.
    Declared,
    /// The owner was seen asleep, on this futex or (0) elsewhere.
    Sleeps(usize),
    /// The owner has been at one item for long, from this CPU time of its thread on, ns.
    StandsStill(u64),
}

impl SystemInner {
    /// A worker that has lost the lane in slot `lost`, and has a CPU, looks for one that waits for
    /// a runner: it goes on itself rather than wake another (the kernel: a worker whose pool has
    /// work and no other runner keeps working). The lane of its own CPU comes first.
    pub(crate) fn pick_up(&self, pool: &Pool, me: &Worker, lost: usize) -> Option<(usize, Token)> {
        let lanes = pool.lanes();
        let own = pool.slot_on(os::current_cpu()).unwrap_or(lost);
        if let Some(token) = self.pick_up_lane(pool, own, &lanes[own], me) {
            return Some((own, token));
        }
        let mut others = (1..lanes.len())
            .map(|step| (own + step) % lanes.len())
            .filter(|slot| lanes[*slot].has_work())
            .peekable();
        let has_room = others.peek().is_some() && !self.runs(&lanes[own]);
        others.find_map(|slot| {
            let lane = &lanes[slot];
            if !has_room && !self.is_left_alone(pool, lane) {
                return None;
            }
            let token = self.pick_up_lane(pool, slot, lane, me)?;
            Some((slot, token))
        })
    }

    /// Whether the owner of a lane runs an item, on a CPU or about to.
    fn runs(&self, lane: &Lane) -> bool {
        let view = lane.view();
        view.is_running() && !self.look(self.worker(view.worker())).state.is_blocked()
    }

    /// Whether nothing moved for a while in a lane of another CPU, though work waits there. Not
    /// sooner, if this CPU's own lane runs: the two would stand in a row here, and the other CPU be
    /// idle, for as long as the scheduler leaves both where they woke up. Who is to run it there is
    /// on its way, or is seen to there.
    fn is_left_alone(&self, pool: &Pool, lane: &Lane) -> bool {
        let seen = lane.owner.notice();
        if seen.is_revoked() {
            return false;
        }
        if seen.is_vacant() || seen.is_parked() || seen.is_blocking() {
            // Without a spare worker for it this one is the nearest.
            return !self.kick_seen(pool, lane, seen);
        }
        let Some(patience_ns) = self.hogs.knobs.stands_still_ns(pool.is_percpu()) else {
            return false;
        };
        let owner = self.worker(seen.worker());
        lane.watch.item_lasts(owner).ns > patience_ns
    }

    /// Takes a lane from a worker that is not up yet. One that was a spare is a spare again before
    /// it knows; one that held the lane finds out when it wakes up, for which the one who was to
    /// wake it may be too late.
    fn forestall(&self, pool: &Pool, slot: usize, seen: OwnerView, me: &Worker) -> Option<Token> {
        let token = pool.lanes()[slot].owner.occupy(seen, me.id)?;
        let sleeper = self.worker(seen.worker());
        if sleeper.assignment.withdraw(slot as u32, seen.token()) {
            self.put_back(pool, sleeper);
        } else {
            sleeper.parker.unpark();
        }
        Some(token)
    }

    /// One lane of [`SystemInner::pick_up`].
    pub(crate) fn pick_up_lane(
        &self,
        pool: &Pool,
        slot: usize,
        lane: &Lane,
        me: &Worker,
    ) -> Option<Token> {
        if !lane.has_work() {
            return None;
        }
        let seen = lane.owner.notice();
        if seen.is_revoked() {
            return None;
        }
        if seen.is_vacant() {
            return lane.owner.occupy(seen, me.id);
        }
        if seen.is_waking() {
            return self.forestall(pool, slot, seen, me);
        }
        if seen.is_parked() {
            self.kick_seen(pool, lane, seen);
            return None;
        }
        let victim = self.worker(seen.worker());
        let starts = victim.starts();
        let why = self.verdict(pool, lane, seen, victim)?;
        if lane.view() != seen || victim.starts() != starts {
            return None;
        }
        let Reason::Sleeps(futex) = why else {
            return self.seize(lane, seen, victim, me, why);
        };
        expect_return(pool, victim, futex);
        let token = self.seize(lane, seen, victim, me, why);
        if token.is_none() {
            expect_no_return(pool, victim, futex);
        }
        token
    }

    /// As [`SystemInner::pick_up_lane`], also from an owner that runs an item, whatever it is: for
    /// a shutdown, which has seen that nothing moves.
    pub(crate) fn take_lane(
        &self,
        pool: &Pool,
        slot: usize,
        lane: &Lane,
        me: &Worker,
    ) -> Option<Token> {
        if let Some(token) = self.pick_up_lane(pool, slot, lane, me) {
            return Some(token);
        }
        let seen = lane.owner.notice();
        if !seen.is_running() || !lane.has_work() {
            return None;
        }
        let owner = self.worker(seen.worker());
        let why = Reason::StandsStill(owner.cpu_ns());
        self.seize(lane, seen, owner, me, why)
    }

    /// Why a sibling should take the lane of `victim`, if it should.
    fn verdict(
        &self,
        pool: &Pool,
        lane: &Lane,
        seen: OwnerView,
        victim: &Worker,
    ) -> Option<Reason> {
        if seen.is_blocking() {
            return Some(Reason::Declared);
        }
        let sight = self.look(victim);
        match sight.state {
            ThreadState::Blocked | ThreadState::Asleep => {
                (grace_ns(pool, lane, victim, sight, 0) == 0).then_some(Reason::Sleeps(sight.futex))
            }
            // It burns CPU, or waits for one among many, or cannot be seen: either way it does not
            // get to what waits, and this worker has a CPU. Lanes of one CPU keep the kernel's
            // rule: one runner.
            ThreadState::Running | ThreadState::Unknown if self.sensors.any() => {
                let patience_ns = self.hogs.knobs.stands_still_ns(pool.is_percpu())?;
                let lasts = lane.watch.item_lasts(victim);
                (lasts.ns > patience_ns).then_some(Reason::StandsStill(lasts.cpu_ns))
            }
            ThreadState::Running | ThreadState::Unknown => None,
        }
    }

    /// Takes a lane from the one who holds it for the calling worker.
    fn seize(
        &self,
        lane: &Lane,
        seen: OwnerView,
        victim: &Worker,
        me: &Worker,
        why: Reason,
    ) -> Option<Token> {
        let standing = || match why {
            Reason::Sleeps(_) => victim.standing(),
            Reason::Declared | Reason::StandsStill(_) => Standing::Unknown,
        };
        match lane.owner.revoke(seen, &victim.mark, standing) {
            Ok(revoked) => {
                victim.note_displaced(match why {
                    Reason::StandsStill(cpu_ns) => Some(cpu_ns),
                    Reason::Declared | Reason::Sleeps(_) => None,
                });
                let token = revoked.keep(me.id)?;
                lane.refill_eagerness();
                self.stats.note_hand_over(Sensor::Sibling);
                Some(token)
            }
            Err(refused) => {
                self.stats.note_refused(refused == Refused::Busy);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{Sensing, System, Workqueue, driver};

    /// Long enough for anything that happens at all on a crowded machine.
    const FOR_EVER: Duration = Duration::from_secs(60);

    /// A System with one lane, in whose waiting work no sensor meddles.
    fn system() -> System {
        let builder = System::builder().workers(1).sensing(Sensing::Declared);
        builder.build().expect("a System")
    }

    /// The pool that has waiting work.
    fn pool_with_work(system: &System) -> Arc<Pool> {
        let pools = system.inner.lock_pools().clone();
        let mut waits = pools.into_iter().filter(|pool| pool.lanes()[0].has_work());
        waits.next().expect("work waits")
    }

    /// A lane of another CPU whose owner is at one item is left to it for a while, and only then
    /// taken for one that stands still.
    #[test]
    fn a_lane_is_left_alone_after_a_while() {
        let system = system();
        let queue = Workqueue::unbound("q").system(&system).build().expect("q");
        let ((opens, gate), (begins, begun)) = (channel::<()>(), channel());
        let holds = queue.spawn_fn(move || {
            begins.send(()).expect("the test waits");
            let _ = gate.recv();
        });
        begun.recv().expect("it begins");
        let waits = queue.spawn(async {});
        let pool = pool_with_work(&system);
        let lane = &pool.lanes()[0];
        assert!(!system.inner.is_left_alone(&pool, lane), "at once");
        let since = Instant::now();
        while !system.inner.is_left_alone(&pool, lane) {
            assert!(since.elapsed() < FOR_EVER, "it stands still");
        }
        drop(opens);
        for task in [holds, waits] {
            let ended = task.wait_timeout(FOR_EVER).expect("in time");
            ended.expect("it does not panic");
        }
    }

    /// A lane that nobody can be woken for is left alone at once.
    #[test]
    fn a_lane_without_a_worker_is_left_alone() {
        let system = system();
        driver::refuse_threads(&system, true);
        let queue = Workqueue::unbound("q").system(&system).build().expect("q");
        let waits = queue.spawn(async {});
        let pool = pool_with_work(&system);
        assert!(system.inner.is_left_alone(&pool, &pool.lanes()[0]));
        driver::refuse_threads(&system, false);
        let ended = waits.wait_timeout(FOR_EVER).expect("in time");
        ended.expect("it does not panic");
    }
}
