//! A lane: the right to run one item at a time, and the entries that wait for it.
//!
//! The queue belongs to the lane, never to the thread: when a worker blocks, another takes the
//! lane with everything that waits in it. The owner reaches the queue through *sections*
//! ([`Lane::section`]), everybody else through the inbox. Inside a section there is no user
//! code, no waker, no heap, no system call. Invariant and proof: `proto/owner.rs`.

mod queue;

use crate::sync::plain::{AtomicU32, AtomicU64, Ordering};
use std::cell::UnsafeCell;
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use crate::entry::Entry;
use crate::hook::{self, Point, Visitor};
use crate::list::List;
use crate::os;
use crate::policy::Share;
use crate::pool::{LanePlace, Pool};
use crate::proto::arm::Armed;
use crate::proto::inbox::Inbox;
use crate::proto::owner::taking::Held;
use crate::proto::owner::{Mark, Owner, OwnerView, Token, WorkerId};
use crate::queue::Ended;
use crate::worker::Worker;

pub(crate) use queue::{LaneQueue, Place, Search};

/// Times that an owner spins before it gives its CPU to whoever is at its lane's word.
const REVOKED_SPINS: u32 = 100;

/// The bearer's right to enter sections of a lane, as long as the token holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder<'a> {
    /// The worker's own mark.
    pub(crate) mark: &'a Mark,
    /// What the worker was given with the lane.
    pub(crate) token: Token,
}

/// Answer to [`Lane::advance`].
#[derive(Debug)]
pub(crate) enum Advance {
    /// Run this.
    Item(Entry),
    /// Nothing waits.
    Empty,
    /// The lane was taken away; the ended item was not counted.
    Lost,
}

/// What the sensors remember about a lane. Hints: every field may be stale.
#[derive(Debug)]
pub(crate) struct LaneWatch {
    /// How many more times to arm the spotter at once when work waits; refilled by each
    /// hand-over, so lanes that never block stop paying for it.
    pub(crate) eager: AtomicU32,
    /// What it is refilled to; 0 where nobody is to look.
    pub(crate) eager_at_most: u32,
    /// A block must have lasted this long before the lane is taken, ns. Rises when hand-overs
    /// are wasted.
    pub(crate) grace_ns: AtomicU64,
    /// Hand-overs in a row after which the victim was back at once.
    pub(crate) wasted: AtomicU32,
    /// Mean cost of an item, ns.
    pub(crate) cost_ns: AtomicU64,
    /// Which item the owner was at when a sibling first looked: its number and the owner's.
    item: AtomicU64,
    /// When that look was, ns.
    item_since_ns: AtomicU64,
    /// CPU time of the owner's thread by then, ns.
    item_cpu_ns: AtomicU64,
}

/// Since when an item is known to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lasts {
    /// For so long, ns.
    pub(crate) ns: u64,
    /// From this CPU time of its thread on, ns.
    pub(crate) cpu_ns: u64,
}

impl LaneWatch {
    /// A sibling's look at a lane and its owner: for how long the present item is known to run.
    pub(crate) fn item_lasts(&self, owner: &Worker) -> Lasts {
        let (starts, now_ns) = (owner.starts(), os::monotonic_ns());
        let item = starts << WorkerId::BITS | u64::from(owner.id);
        // Relaxed: hints; siblings that look at once may shorten or lengthen the time, which costs
        // a hand-over.
        if self.item.load(Ordering::Relaxed) != item {
            self.item.store(item, Ordering::Relaxed);
            self.item_since_ns.store(now_ns, Ordering::Relaxed);
            self.item_cpu_ns.store(owner.cpu_ns(), Ordering::Relaxed);
        }
        Lasts {
            ns: now_ns.saturating_sub(self.item_since_ns.load(Ordering::Relaxed)),
            cpu_ns: self.item_cpu_ns.load(Ordering::Relaxed),
        }
    }
}

/// A lane.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Who may enter.
    pub(crate) owner: CachePadded<Owner>,
    /// The door for everybody else.
    pub(crate) inbox: CachePadded<Inbox>,
    /// What waits. Touched inside sections, or by the bearer of a [`Held`].
    queue: CachePadded<UnsafeCell<LaneQueue>>,
    /// Length of the queue as of the last section; a hint for others.
    waiting: CachePadded<AtomicU32>,
    /// Index within the pool's family.
    pub(crate) index: usize,
    /// The CPU's place among those in use: what items remember of where they ran.
    pub(crate) ordinal: usize,
    /// The CPU that the lane is meant to keep busy.
    pub(crate) cpu: usize,
    /// Whether somebody looks at that CPU.
    pub(crate) armed: Arc<CachePadded<Armed>>,
    /// The sensors' memory.
    pub(crate) watch: LaneWatch,
    /// For tests: one at a time.
    visitor: Visitor,
}

// SAFETY: `queue` is the one field that is not `Sync`; sections and revocations exclude each
// other (invariant of `proto::owner`), and its content is `Send`.
unsafe impl Sync for Lane {}

impl Lane {
    /// A vacant lane at this place. `bound` lanes serve first in, first out.
    pub(crate) fn new(index: usize, place: LanePlace<'_>, bound: bool) -> Lane {
        Lane {
            owner: CachePadded::new(Owner::vacant()),
            inbox: CachePadded::new(Inbox::new()),
            queue: CachePadded::new(UnsafeCell::new(LaneQueue::new(bound))),
            waiting: CachePadded::new(AtomicU32::new(0)),
            index,
            ordinal: place.ordinal,
            cpu: place.cpu,
            armed: Arc::clone(place.armed),
            visitor: Visitor::none(),
            watch: LaneWatch {
                eager: AtomicU32::new(EAGER_ARMS),
                eager_at_most: EAGER_ARMS,
                grace_ns: AtomicU64::new(0),
                wasted: AtomicU32::new(0),
                cost_ns: AtomicU64::new(0),
                item: AtomicU64::new(0),
                item_since_ns: AtomicU64::new(0),
                item_cpu_ns: AtomicU64::new(0),
            },
        }
    }

    /// Runs `f` on the queue if the holder still owns the lane.
    #[inline(always)]
    pub(crate) fn section<R>(
        &self,
        holder: Holder<'_>,
        f: impl FnOnce(&mut LaneQueue) -> R,
    ) -> Option<R> {
        self.inside(holder, || {
            // SAFETY: `inside` runs this between `enter` and `leave`, where this thread alone
            // touches the queue.
            let queue = unsafe { &mut *self.queue.get() };
            let answer = f(queue);
            // Relaxed: a hint for others.
            self.waiting.store(queue.len() as u32, Ordering::Relaxed);
            answer
        })
    }

    /// As [`Lane::section`], for what else the lane's owner alone may write.
    #[inline(always)]
    pub(crate) fn inside<R>(&self, holder: Holder<'_>, f: impl FnOnce() -> R) -> Option<R> {
        let mut spins = 0;
        while !self.owner.enter(holder.mark, holder.token) {
            if !self.owner.only_revoked(holder.token) {
                return None;
            }
            wait_for_revoker(&mut spins);
        }
        self.visitor.enter();
        let answer = f();
        self.visitor.leave();
        holder.mark.leave();
        Some(answer)
    }

    /// The holder is a new one, for everything that waits: a search that lost the lane half-way may
    /// have passed something by. If the lane is lost again, the next section tells.
    pub(crate) fn begin(&self, holder: Holder<'_>) {
        let _ = self.section(holder, LaneQueue::put_back);
    }

    /// Counts `ended` (if any) and takes the next entry.
    #[inline]
    pub(crate) fn advance(
        &self,
        pool: &Pool,
        holder: Holder<'_>,
        ended: Option<&mut Ended>,
    ) -> Advance {
        self.advance_by(pool, holder, ended, LaneQueue::next)
    }

    /// As [`Lane::advance`], but takes only what has run before.
    pub(crate) fn advance_resumed(
        &self,
        pool: &Pool,
        holder: Holder<'_>,
        ended: Option<&mut Ended>,
    ) -> Advance {
        self.advance_by(pool, holder, ended, LaneQueue::next_resumed)
    }

    /// As [`Lane::advance`], but takes only what a search is for; or nothing, and it goes on.
    pub(crate) fn advance_search(
        &self,
        pool: &Pool,
        holder: Holder<'_>,
        ended: Option<&mut Ended>,
        search: &mut Search,
    ) -> Advance {
        let look = |queue: &mut LaneQueue, inbox: &Inbox| queue.search(inbox, search);
        self.advance_by(pool, holder, ended, look)
    }

    /// Counts what ended, and takes nothing.
    pub(crate) fn settle(
        &self,
        pool: &Pool,
        holder: Holder<'_>,
        ended: Option<&mut Ended>,
    ) -> Advance {
        self.advance_by(pool, holder, ended, |_, _| None)
    }

    /// Counts what ended, and takes an entry by `take`.
    #[inline(always)]
    fn advance_by(
        &self,
        pool: &Pool,
        holder: Holder<'_>,
        ended: Option<&mut Ended>,
        take: impl FnOnce(&mut LaneQueue, &Inbox) -> Option<Entry>,
    ) -> Advance {
        let index = self.index;
        hook::at(Point::Advance);
        let answer = self.section(holder, |queue| {
            if let Some(ended) = ended {
                ended.count_in_section(pool, index);
                hook::inside(Point::Settle);
            }
            take(queue, &self.inbox)
        });
        match answer {
            Some(Some(entry)) => Advance::Item(entry),
            Some(None) => Advance::Empty,
            None => Advance::Lost,
        }
    }

    /// Puts an entry into the queue; gives it back if the lane was lost.
    #[inline]
    pub(crate) fn push_local(
        &self,
        holder: Holder<'_>,
        entry: Entry,
        place: Place,
    ) -> Result<(), Entry> {
        let mut entry = Some(entry);
        hook::at(Point::PushLocal);
        let done = self.section(holder, |queue| {
            if let Some(entry) = entry.take() {
                queue.push(entry, place);
            }
        });
        match (done, entry) {
            (None, Some(entry)) => Err(entry),
            _ => Ok(()),
        }
    }

    /// The owner's sampled look at the clock; a chain of entries to give away, if it is time.
    pub(crate) fn sample(&self, holder: Holder<'_>, now_ns: u64, may_share: bool) -> List<Entry> {
        hook::at(Point::Give);
        let taken = self.section(holder, |queue| {
            let share = queue.sample(now_ns);
            // Relaxed: a hint for those who choose a lane.
            self.watch.cost_ns.store(queue.cost_ns(), Ordering::Relaxed);
            if may_share && share == Share::Half {
                queue.give_half()
            } else {
                List::new()
            }
        });
        taken.unwrap_or(List::new())
    }

    /// Takes half of what waits, on behalf of another lane, from a lane that is held.
    pub(crate) fn rob(&self, _right: &Held<'_>) -> List<Entry> {
        // SAFETY: the bearer of a `Held` of this lane alone touches the queue.
        let queue = unsafe { &mut *self.queue.get() };
        self.visitor.enter();
        let taken = queue.give_half();
        // Relaxed: a hint.
        self.waiting.store(queue.len() as u32, Ordering::Relaxed);
        self.visitor.leave();
        taken
    }

    /// Whether something waits, as far as anybody can tell from outside.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        // Relaxed: a hint.
        self.waiting.load(Ordering::Relaxed) > 0 || !self.inbox.is_empty()
    }

    /// For the one thread that serves a lane without an owner: so many entries wait.
    pub(crate) fn show_waiting(&self, entries: usize) {
        // Relaxed: a hint for others.
        self.waiting.store(entries as u32, Ordering::Relaxed);
    }

    /// How many entries waited in the queue at the last section.
    pub(crate) fn waiting(&self) -> usize {
        // Relaxed: a hint.
        self.waiting.load(Ordering::Relaxed) as usize
    }

    /// Mean cost of an item here, ns; 0 while that is not known.
    pub(crate) fn cost_ns(&self) -> u64 {
        // Relaxed: a hint.
        self.watch.cost_ns.load(Ordering::Relaxed)
    }

    /// Whether items here are dear enough to prefer a sleeping lane for the next one.
    pub(crate) fn is_costly(&self) -> bool {
        self.cost_ns() > COSTLY_ITEM_NS
    }

    /// Whether whoever leaves work waiting here should see to it that the spotter is awake.
    #[inline]
    pub(crate) fn is_eager(&self) -> bool {
        // Relaxed: a budget, exactness does not matter.
        self.watch.eager.load(Ordering::Relaxed) > 0
    }

    /// The spotter was woken for this lane.
    pub(crate) fn spend_eagerness(&self) {
        // Relaxed: as above.
        let left = self.watch.eager.load(Ordering::Relaxed);
        self.watch
            .eager
            .store(left.saturating_sub(1), Ordering::Relaxed);
    }

    /// A hand-over happened: the lane blocks now and then, so arm early for a while.
    pub(crate) fn refill_eagerness(&self) {
        // Relaxed: a budget.
        let full = self.watch.eager_at_most;
        self.watch.eager.store(full, Ordering::Relaxed);
    }

    /// Nobody is to look at this lane, ever.
    pub(crate) fn never_watch(&mut self) {
        self.watch.eager_at_most = 0;
        self.watch.eager = AtomicU32::new(0);
    }

    /// The owner word now.
    pub(crate) fn view(&self) -> OwnerView {
        self.owner.view()
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // What nobody came to run: the machine had refused threads until the end.
        drop(self.inbox.take_all::<Entry>());
    }
}

/// Arms without a hand-over after which a lane leaves the first look to the monitor.
const EAGER_ARMS: u32 = 64;

/// Items dearer than this are not queued behind a busy lane while another sleeps, ns.
const COSTLY_ITEM_NS: u64 = 5_000;

/// The owner found its word spoiled by a thief or a taker: that one needs a few instructions.
#[cold]
fn wait_for_revoker(spins: &mut u32) {
    *spins += 1;
    if *spins > REVOKED_SPINS {
        // It may have been preempted on this very CPU.
        std::thread::yield_now();
    } else {
        std::hint::spin_loop();
    }
}
