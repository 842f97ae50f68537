//! The end of a System: every accepted item is accounted for.
//!
//! Refuse new work; take back what timers hold; let items end within the grace; then drop what
//! is queued or suspended, on workers; then stop the threads. Threads that are still inside an
//! item are named and left behind; they keep the System's memory until they come back.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::current::Current;
use crate::entry::Entry;
use crate::lane::{Holder, Lane};
use crate::pool::Pool;
use crate::queue::flush::WaitFor;
use crate::queue::{CLOSED, EndKind, Ended, QueueInner, QueueRef};
use crate::run::resume::give_up;
use crate::timer::Fire;
use crate::worker::Worker;
use crate::{block, os, registry, task};

use super::{CLOSING, DROPPING, STOPPED, SystemInner, pins};

/// If no item of a queue was dropped for so long, the threads inside the rest count as stuck.
const DROP_TIME: Duration = Duration::from_millis(100);

/// Threads are given this long to leave.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// So often a lane is tried to be taken from an owner that does not come back.
const TAKE_TRIES: u32 = 16;

/// So often meanwhile the spotters are helped, one of which may not have been in its class before.
const LEAVE_STEP: Duration = Duration::from_millis(20);

/// What became of a System's items: those of all queues that there are when its end begins. A queue
/// without handles that has ended before takes its figures with it.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// let system = wq_core::System::builder().build()?;
/// system.spawn(async {}).wait().unwrap();
/// let never = system.spawn(std::future::pending::<()>());
/// let report = system.shutdown(Duration::from_millis(10));
/// assert_eq!((report.completed, report.dropped, report.detached), (1, 1, 0));
/// assert!(never.wait().unwrap_err().is_cancelled());
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Items that had returned (or panicked) by the end.
    pub completed: u64,
    /// Items that were dropped before they had returned, aborted ones included.
    pub dropped: u64,
    /// Items whose thread is still inside them.
    pub detached: u64,
    /// Armed delayed items that were taken back.
    pub timers: u64,
    /// Names of the threads left behind.
    pub detached_threads: Vec<String>,
    /// Types of the futures and closures that those are inside, in the same order.
    pub detached_types: Vec<&'static str>,
    /// The call came from inside an item, or another shutdown was under way: the figures are
    /// those of the moment. Or it came from a forked child, which does nothing and knows nothing.
    pub only_begun: bool,
}

impl SystemInner {
    /// See [`crate::System::shutdown`].
    pub(crate) fn shutdown(self: &Arc<Self>, grace: Duration) -> ShutdownReport {
        if self.is_forked() {
            // Nothing of it is here.
            return ShutdownReport {
                only_begun: true,
                ..ShutdownReport::default()
            };
        }
        // AcqRel: one of several callers does it, and sees what the others did before.
        let begun = self.shutdown_begun.swap(true, Ordering::AcqRel);
        let inside = Current::with(|c| c.is_some_and(|c| Arc::ptr_eq(&c.system, self)));
        if begun || inside {
            if inside && !begun {
                self.shutdown_elsewhere(grace);
            }
            return ShutdownReport {
                only_begun: true,
                ..self.report()
            };
        }
        self.shutdown_here(grace)
    }

    /// Has a thread of its own do it: the caller is a worker and cannot wait for itself.
    fn shutdown_elsewhere(self: &Arc<Self>, grace: Duration) {
        self.close_all();
        let system = Arc::clone(self);
        let name = format!("{}/shutdown", self.tag);
        // Relaxed: a switch for tests.
        let refused = self.refuse_threads.load(Ordering::Relaxed)
            || os::spawn_thread(name, move || {
                system.shutdown_here(grace);
            })
            .is_err();
        if refused {
            // Then the maker, which can make no workers now anyhow.
            *self
                .shutdown_by_maker
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(grace);
            self.maker.unpark();
        }
    }

    /// Does a shutdown that was asked for from inside an item and could get no thread of its own.
    pub(crate) fn shutdown_if_asked(self: &Arc<Self>) {
        let asked = self
            .shutdown_by_maker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(grace) = asked {
            self.shutdown_here(grace);
        }
    }

    /// The steps.
    fn shutdown_here(self: &Arc<Self>, grace: Duration) -> ShutdownReport {
        let deadline = os::now().checked_add(grace);
        // One without handles would go with its last item, and take its counts along.
        let counted = self.all_queues();
        self.close_all();
        let timers = self.take_timers_back();
        let mut all_ended = true;
        for queue in &self.all_queues().0 {
            let left = deadline.map(|d| d.saturating_duration_since(os::now()));
            all_ended &= wait_until_empty(*queue, left.unwrap_or(Duration::MAX));
        }
        if !all_ended {
            self.drop_what_is_left();
        }
        let mut report = self.report();
        drop(counted);
        report.timers = timers;
        if report.detached > 0 {
            (report.detached_threads, report.detached_types) = self.busy_threads();
        }
        self.raise_phase(STOPPED);
        self.wake_everybody();
        self.wait_for_threads(report.detached_threads.len() as u32);
        self.thread_hooks.end();
        self.dig();
        pins::wait_for_all();
        self.write_reports();
        report
    }

    /// Refuses new work on every queue.
    fn close_all(&self) {
        self.raise_phase(CLOSING);
        for queue in &self.all_queues().0 {
            queue.get().set_flags(CLOSED);
        }
    }

    /// Takes back what is armed: sleepers are woken (their delay belongs to nobody any more),
    /// delayed items end without having run.
    fn take_timers_back(&self) -> u64 {
        let mut delayed = 0;
        for fire in self.timers.stop() {
            delayed += u64::from(matches!(fire, Fire::Call(_)));
            self.timers.fire_caught(fire);
        }
        delayed
    }

    /// Queued and suspended items are dropped by workers; waits until only those are left whose
    /// thread is inside them.
    fn drop_what_is_left(&self) {
        self.raise_phase(DROPPING);
        self.lift_all();
        self.drop_burners();
        registry::wake_all(self.id);
        for queue in &self.all_queues().0 {
            let mut left = queue.get().in_flight();
            // A million items take longer than the time; what counts is that they get fewer.
            while !wait_until_empty(*queue, DROP_TIME) {
                let now = queue.get().in_flight();
                if now >= left {
                    break;
                }
                left = now;
            }
        }
        if self
            .all_queues()
            .0
            .iter()
            .any(|queue| queue.get().in_flight() > 0)
        {
            self.drop_stranded();
        }
    }

    /// Has workers drop the burners that wait for their turn.
    fn drop_burners(&self) {
        let pools = self.lock_pools().clone();
        for pool in &pools {
            let mut waiting = pool.burners.take_all();
            while let Some(entry) = waiting.pop_front() {
                self.bring_anywhere(pool, entry);
            }
        }
    }

    /// Drops what stands in lanes that no worker serves: their owners do not come back, or there is
    /// none, and the machine refused another one. The one place where items end on the thread of
    /// whoever shuts down, who waits for their destructors.
    fn drop_stranded(&self) {
        let pools = self.lock_pools().clone();
        // Without a number to spare what a rescuer has left in a lane's lists is detached.
        let record = self.new_record();
        for pool in &pools {
            for (slot, lane) in pool.lanes().iter().enumerate() {
                lane.inbox.take_all::<Entry>().for_each(drop_unrun);
                if pool.attrs.bh {
                    pool.fifo.take_all(lane).for_each(drop_unrun);
                } else if let Some(record) = &record {
                    self.drop_lists(pool, slot, lane, record);
                }
            }
        }
        if let Some(record) = record {
            self.discarded.push(record.id, &record.spare);
        }
    }

    /// Drops what waits in the lists of a lane that nobody holds, or whose owner is inside an item
    /// that does not end, as a worker of this record: a rescuer has sorted it in there, an owner
    /// that lost the lane, or the item itself has queued it.
    fn drop_lists(&self, pool: &Pool, slot: usize, lane: &Lane, record: &Worker) {
        // Others may be at the lane's word, or its owner in a section, for a moment. An owner that
        // queues items without end keeps its lane, and what stands in it is detached.
        let take = |_| {
            let token = self.take_lane(pool, slot, lane, record);
            token.or_else(|| {
                os::sched_yield();
                None
            })
        };
        let Some(token) = (0..TAKE_TRIES).find_map(take) else {
            return;
        };
        let mark = &record.mark;
        let holder = Holder { mark, token };
        pool.note_used(slot);
        lane.begin(holder);
        loop {
            match lane.section(holder, |queue| queue.next(&lane.inbox)) {
                Some(Some(entry)) => drop_unrun(entry),
                Some(None) if give_up(self, pool, lane, token, false) => return,
                // Something came.
                Some(None) => {}
                // Somebody came for the lane, who drops the rest.
                None => return,
            }
        }
    }

    /// The queues that exist now, kept until the answer is dropped.
    pub(crate) fn all_queues(&self) -> PinnedQueues {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        PinnedQueues(
            queues
                .values()
                .inspect(|queue| queue.get().pin())
                .copied()
                .collect(),
        )
    }

    /// Sums over the queues.
    fn report(&self) -> ShutdownReport {
        let mut report = ShutdownReport::default();
        for queue in &self.all_queues().0 {
            let stats = queue.get().stats();
            report.completed += stats.completed + stats.panicked;
            report.dropped += stats.cancelled;
            report.detached += stats.in_flight;
        }
        report
    }

    /// Names of the workers that are inside an item, and what that is.
    fn busy_threads(&self) -> (Vec<String>, Vec<&'static str>) {
        let busy = |worker: &Arc<Worker>| Some((worker.name(), worker.doing()?));
        self.records().filter_map(busy).unzip()
    }

    /// Everybody looks at the phase.
    fn wake_everybody(&self) {
        self.records().for_each(|worker| worker.parker.unpark());
        self.wake_spotters();
        self.maker.unpark();
        self.monitor.unpark();
    }

    /// Wakes those that see to blocked threads. On a CPU that others keep busy one would not get
    /// up for long, and a process does not end before its last thread has.
    fn wake_spotters(&self) {
        for record in &self.cpus {
            record.spotter.unpark();
            // Relaxed: this is called again while they are there.
            let tid = record.spotter_tid.load(Ordering::Relaxed);
            if tid != 0 && os::leave_idle_class(tid).is_err() {
                let _ = os::set_affinity(tid, self.topology.allowed());
            }
        }
    }

    /// Waits until all threads but the stuck ones have left.
    fn wait_for_threads(&self, stuck: u32) {
        let deadline = os::now() + LEAVE_TIME;
        // Acquire: pairs with the Release in `note_thread_gone`.
        while self.threads.load(Ordering::Acquire) > stuck {
            let left = deadline.saturating_duration_since(os::now());
            if left.is_zero() {
                return;
            }
            // Asleep: the spotters need the CPU, and get it only while nobody else wants it.
            self.leavers.park(Some(left.min(LEAVE_STEP)));
            self.wake_spotters();
        }
    }
}

/// Queues that stay while this lives.
pub(crate) struct PinnedQueues(Vec<QueueRef>);

impl PinnedQueues {
    /// Each of them, as references that are good while this lives.
    pub(crate) fn refs(&self) -> impl Iterator<Item = QueueRef> {
        self.0.iter().copied()
    }

    /// Each of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &QueueInner> {
        self.0.iter().map(QueueRef::get)
    }
}

impl Drop for PinnedQueues {
    fn drop(&mut self) {
        self.0.iter().for_each(|queue| queue.get().unpin());
    }
}

/// Drops an item in place of a worker, and those that get its slot.
fn drop_unrun(entry: Entry) {
    let mut next = Some(entry);
    while let Some(entry) = next {
        let meta = entry.meta();
        let queue = meta.queue;
        let mut ended = Ended::new(queue, meta.tag(), meta.lane(), EndKind::Cancelled);
        queue.get().pin();
        meta.clear_waiting();
        task::leave_registry(meta);
        drop(entry);
        next = ended.release_slot();
        ended.count_shared();
        ended.tell_waiters();
        queue.get().unpin();
    }
}

/// Waits until a queue is empty. False: the time was over first.
fn wait_until_empty(queue: QueueRef, limit: Duration) -> bool {
    let q = queue.get();
    let (id, cell) = q.begin_wait(queue, WaitFor::Drain);
    let empty = std::future::poll_fn(|cx| cell.poll(cx.waker()));
    let ended = block::block_on_timeout(empty, limit).is_some();
    if !ended {
        q.abandon_wait(id);
    }
    ended
}
