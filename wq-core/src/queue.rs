//! A workqueue's inside: its policy, its accounting, and the path of an item through it.
//!
//! A queue owns no thread. It knows the pools that serve it, counts what it accepted and what
//! ended (`proto::counts`), hands out active slots (`limit`), and tells those who wait for it
//! (`flush`). Accounting belongs to the queue, never to a pool.
//!
//! Lifetime: entries point to their queue without a count. A queue is freed only when the last
//! handle is gone, every accepted item has ended, and all workers have left the section in which
//! they counted the last one (see `system/grave.rs`).

pub(crate) mod attrs;
pub(crate) mod bh;
pub(crate) mod builder;
pub(crate) mod flush;
pub(crate) mod freeze;
#[cfg(feature = "futures-spawn")]
mod futures_spawn;
pub(crate) mod handle;
pub(crate) mod limit;
mod limits;
pub(crate) mod map;
pub(crate) mod reap;
pub(crate) mod reserve;
pub(crate) mod slots;
mod verbs;
pub(crate) mod wait;

use crate::sync::plain::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::fmt;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use crate::entry::{Entry, Tag};
use crate::pool::Pool;
use crate::proto::asym;
use crate::proto::counts::{Colour, ColourSet, Counts, Shard};
use crate::rescuer::Rescuer;
use crate::system::SystemRef;

use attrs::Attrs;
use builder::Complaints;
use flush::Waiters;
use limit::{Charge, Limiter, MAX_CHARGES};
use map::PoolMap;
use slots::{Slots, SlotsGuard};

/// Nothing more is accepted.
pub(crate) const CLOSED: u32 = 1;
/// Only items of this queue may add to it.
pub(crate) const DRAINING: u32 = 2;
/// The last handle is gone.
pub(crate) const RETIRED: u32 = 4;
/// It was given to the grave digger.
pub(crate) const BURIED: u32 = 8;

/// A queue, without a count. Who bears one keeps the queue alive by other means: an item in
/// flight, a handle, a pin, or a section begun before the last item was counted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueRef(NonNull<QueueInner>);

// SAFETY: it stands for `&QueueInner`, which is `Sync`.
unsafe impl Send for QueueRef {}
// SAFETY: as above.
unsafe impl Sync for QueueRef {}

impl fmt::Debug for QueueRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueueRef({:p})", self.0)
    }
}

impl QueueRef {
    /// Puts a queue into memory of its own.
    pub(crate) fn new(queue: QueueInner) -> QueueRef {
        QueueRef(NonNull::from(Box::leak(Box::new(queue))))
    }

    /// The queue.
    #[inline(always)]
    pub(crate) fn get(&self) -> &QueueInner {
        // SAFETY: the bearer keeps the queue alive (see the type).
        unsafe { self.0.as_ref() }
    }

    /// Where it is: no other queue that exists has the same.
    #[inline(always)]
    pub(crate) fn address(&self) -> usize {
        self.0.addr().get()
    }

    /// Frees the queue.
    ///
    /// # Safety
    /// Nobody else bears a reference, and none follows.
    pub(crate) unsafe fn free(self) {
        // SAFETY: made by `Box::leak` in `new`, freed once by this function's contract.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// How an item ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum EndKind {
    /// It returned.
    Completed,
    /// It panicked, or its destructor did.
    Panicked,
    /// It was aborted, or dropped by a shutdown.
    Cancelled,
}

/// A queue.
#[derive(Debug)]
pub(crate) struct QueueInner {
    /// Number within the process.
    pub(crate) id: u64,
    /// What the user called it.
    pub(crate) name: String,
    /// Its System; valid as long as the queue.
    pub(crate) system: SystemRef,
    /// Counter lines are shared only by lanes of one family: see `Pool::family`.
    family: u32,
    /// Its pools by CPU. The System keeps the map; a change of attributes is a store here.
    map: AtomicPtr<PoolMap>,
    /// What the map was made after; `None` for a per-CPU queue. Changed under the lock of
    /// `SystemInner::change_attrs`. Not inside, so that what each item reads is close together.
    live: Option<Box<Mutex<Live>>>,
    /// Accepted and ended items.
    pub(crate) counts: Counts,
    /// Built ordered, for good; one that was made so later is told by its attributes.
    pub(crate) ordered: bool,
    /// It takes part in freezes, for which it has slots even if it has no limit.
    pub(crate) freezable: bool,
    /// Its items burn CPU, and do not hold others back.
    pub(crate) cpu_intensive: bool,
    /// Its thread for when no worker can be made, if it was built with one. Set before anybody else
    /// than its builder has a handle.
    pub(crate) rescuer: OnceLock<Arc<Rescuer>>,
    /// What its handles share, while there is one; unset for the System's own queues.
    pub(crate) handle: OnceLock<Weak<handle::QueueHandle>>,
    /// The bits above.
    flags: AtomicU32,
    /// Slots: none for an unlimited queue, one, or one for each CPU of a per-CPU queue.
    limiters: Box<[Slots]>,
    /// Who waits for it to become empty.
    pub(crate) waiters: Mutex<Waiters>,
    /// Reasons beyond items and handles to keep the memory.
    pins: AtomicU32,
    /// Items that ended otherwise than by returning.
    pub(crate) panicked: AtomicU64,
    /// As above.
    pub(crate) cancelled: AtomicU64,
    /// The maker was asked to take out waiting items that were aborted.
    reaping: AtomicBool,
    /// Items that were counted in and are counted out again because the queue refuses them.
    refused: AtomicU64,
    /// How many of these have been counted out.
    refused_over: AtomicU64,
}

/// What may change of an unbound queue.
#[derive(Debug)]
struct Live {
    /// As they were asked for last.
    attrs: Attrs,
    /// Every pool that it has had: items may be left there. No more than there are pools.
    pools: Vec<Arc<Pool>>,
}

impl Live {
    /// It has the pools of this map from now on.
    fn note_pools(&mut self, map: &PoolMap) {
        for pool in map.pools() {
            if !self.pools.iter().any(|known| Arc::ptr_eq(known, pool)) {
                self.pools.push(Arc::clone(pool));
            }
        }
    }
}

/// Locks what may change; nothing panics under the lock.
fn lock(live: &Mutex<Live>) -> MutexGuard<'_, Live> {
    live.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a queue is made of.
#[derive(Debug)]
pub(crate) struct QueueParts {
    /// What the user called it.
    pub(crate) name: String,
    /// Its System.
    pub(crate) system: SystemRef,
    /// Its pools by CPU.
    pub(crate) map: Arc<PoolMap>,
    /// What that was made after, unless it is a per-CPU queue.
    pub(crate) attrs: Option<Attrs>,
    /// Slots, if limited.
    pub(crate) max_active: Option<usize>,
    /// Bound on waiting items, if any.
    pub(crate) max_pending: Option<usize>,
    /// One at a time, for good.
    pub(crate) ordered: bool,
    /// It takes part in freezes.
    pub(crate) freezable: bool,
    /// Its items do not hold others back.
    pub(crate) cpu_intensive: bool,
}

/// Looks for a moment without a refusal under way before the sums are taken as they are.
const REFUSAL_LOOKS: u32 = 1000;

/// Numbers queues.
static NEXT_QUEUE_ID: AtomicU64 = AtomicU64::new(1);

impl QueueInner {
    /// An empty, open queue.
    pub(crate) fn new(parts: QueueParts) -> QueueInner {
        // Of one that has several, most have one family.
        let pool = parts.map.pools().last().expect("every CPU has a pool");
        let (family, lanes) = (pool.family, pool.family_lanes);
        let live = parts.attrs.map(|attrs| {
            let mut live = Live {
                attrs,
                pools: Vec::new(),
            };
            live.note_pools(&parts.map);
            live
        });
        let limited = parts.max_active.is_some() || parts.max_pending.is_some() || parts.freezable;
        let domains = if !limited {
            0
        } else if live.is_none() {
            lanes
        } else {
            1
        };
        let charges = match parts.system.get().topology.nodes().len() {
            nodes if nodes > 1 && live.is_some() => (nodes + 1).min(MAX_CHARGES),
            _ => 1,
        };
        let limiter = || {
            let mut limiter = Limiter::divided(
                parts.max_active.unwrap_or(limit::UNLIMITED),
                parts.max_pending.unwrap_or(limit::UNLIMITED),
                charges,
            );
            limiter.set_ordered(parts.ordered);
            Slots::new(limiter)
        };
        QueueInner {
            // Relaxed: only uniqueness matters.
            id: NEXT_QUEUE_ID.fetch_add(1, Ordering::Relaxed),
            name: parts.name,
            system: parts.system,
            family,
            counts: Counts::new(lanes),
            ordered: parts.ordered,
            freezable: parts.freezable,
            cpu_intensive: parts.cpu_intensive,
            rescuer: OnceLock::new(),
            handle: OnceLock::new(),
            flags: AtomicU32::new(0),
            limiters: (0..domains).map(|_| limiter()).collect(),
            waiters: Mutex::new(Waiters::new()),
            pins: AtomicU32::new(0),
            panicked: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            reaping: AtomicBool::new(false),
            refused: AtomicU64::new(0),
            refused_over: AtomicU64::new(0),
            map: AtomicPtr::new(Arc::as_ptr(&parts.map).cast_mut()),
            live: live.map(|live| Box::new(Mutex::new(live))),
        }
    }

    /// Its pools by CPU, as they are now.
    #[inline(always)]
    pub(crate) fn map(&self) -> &PoolMap {
        // Acquire: pairs with the Release in `set_map`; the map is seen whole.
        let map = self.map.load(Ordering::Acquire);
        // SAFETY: it comes from an `Arc` that the System keeps, which outlives the queue.
        unsafe { &*map }
    }

    /// The pool that runs an item whose home is the CPU with this ordinal.
    #[inline(always)]
    pub(crate) fn pool(&self, home: usize) -> &Arc<Pool> {
        self.map().pool(home)
    }

    /// One after the other, the pools that run its items, or may have items from before a change of
    /// attributes.
    pub(crate) fn nth_pool(&self, n: usize) -> Option<Arc<Pool>> {
        match &self.live {
            None => self.map().pools().nth(n).cloned(),
            Some(live) => lock(live).pools.get(n).cloned(),
        }
    }

    /// Whether this pool runs its items, or may have some.
    pub(crate) fn is_served_by(&self, pool: &Arc<Pool>) -> bool {
        let mut pools = (0..).map_while(|n| self.nth_pool(n));
        pools.any(|its| Arc::ptr_eq(&its, pool))
    }

    /// Whether an item runs on the CPU that accepted it.
    pub(crate) fn is_percpu(&self) -> bool {
        self.live.is_none()
    }

    /// Another map: what is queued, starts or is woken afterwards goes by it. The System keeps it.
    /// The caller calls `start_what_may` when it has given up the lock of attributes.
    pub(crate) fn set_map(&self, map: &Arc<PoolMap>) {
        if let Some(live) = &self.live {
            lock(live).note_pools(map);
        }
        let map = Arc::as_ptr(map).cast_mut();
        // Release: pairs with the Acquire in `map`.
        self.map.store(map, Ordering::Release);
        self.share_out();
    }

    /// Complains if the queue cannot be ordered, or cannot be without order.
    pub(crate) fn check_order(&self, attrs: &Attrs, complaints: &mut Complaints) {
        if self.ordered && !attrs.ordered {
            let why = "the queue was built ordered; build an unbound one and make that ordered";
            complaints.add("ordered", why);
        } else if attrs.ordered && !self.ordered && !self.makes_wait() {
            let why = "the queue was built without a limit; build it with `.max_active(n)`";
            complaints.add("ordered", why);
        }
    }

    /// Whether it runs one item at a time now.
    pub(crate) fn is_ordered(&self) -> bool {
        self.attrs_now().is_some_and(|attrs| attrs.ordered)
    }

    /// The attributes that were asked for; `None` for a per-CPU queue.
    pub(crate) fn attrs_now(&self) -> Option<Attrs> {
        let live = self.live.as_ref()?;
        Some(lock(live).attrs.clone())
    }

    /// Other attributes, and the map that was made after them.
    pub(crate) fn set_attrs(&self, attrs: Attrs, map: &Arc<PoolMap>) {
        if self.is_limited() {
            self.limiter(0).set_ordered(attrs.ordered);
        }
        if let Some(live) = &self.live {
            lock(live).attrs = attrs;
        }
        self.set_map(map);
    }

    /// Whether items need a slot.
    #[inline(always)]
    pub(crate) fn is_limited(&self) -> bool {
        !self.limiters.is_empty()
    }

    /// Whether an item may have to wait until another one has ended: a queue that only bounds what
    /// waits, or takes part in freezes, has slots for everybody.
    pub(crate) fn makes_wait(&self) -> bool {
        self.is_limited() && self.slots(0).lock_as_is().makes_wait()
    }

    /// The slots for items at home on CPU `home`.
    #[inline]
    pub(crate) fn slots(&self, home: usize) -> &Slots {
        &self.limiters[home % self.limiters.len()]
    }

    /// As [`QueueInner::slots`], locked.
    pub(crate) fn limiter(&self, home: usize) -> SlotsGuard<'_> {
        self.slots(home).lock()
    }

    /// A slot is free again that was charged so; returns the item that gets it. Those who wait for
    /// a place or a freeze are told.
    #[inline]
    pub(crate) fn release(&self, home: usize, charge: Charge) -> Option<Entry> {
        let (next, mut limiter) = self.slots(home).release(charge);
        let is_quiet = limiter.is_frozen() && limiter.nr_active() == 0;
        let granted = QueueInner::grants(&mut limiter);
        drop(limiter);
        reserve::tell(granted);
        if is_quiet {
            self.system.get().tell_freezers();
        }
        next
    }

    /// All slot domains.
    pub(crate) fn limiters(&self) -> &[Slots] {
        &self.limiters
    }

    /// Locks one slot domain after the other.
    pub(crate) fn each_limiter(&self, mut each: impl FnMut(SlotsGuard<'_>)) {
        self.limiters.iter().for_each(|slots| each(slots.lock()));
    }

    /// The counter line of a lane of `pool`, for its owner inside a section.
    #[inline(always)]
    pub(crate) fn shard(&self, pool: &Pool, lane_index: usize) -> Shard {
        if pool.family == self.family {
            Shard::Lane(lane_index)
        } else {
            Shard::Shared
        }
    }

    /// The flags now.
    #[inline(always)]
    pub(crate) fn flags(&self) -> u32 {
        // Acquire: pairs with the Release in `set_flags`.
        self.flags.load(Ordering::Acquire)
    }

    /// Sets flags and fences, so that every acceptance counted later sees them, and every one
    /// counted earlier is seen by the caller. Returns the flags before.
    pub(crate) fn set_flags(&self, flags: u32) -> u32 {
        // AcqRel: pairs with the Acquire in `flags`, and orders two closers.
        let before = self.flags.fetch_or(flags, Ordering::AcqRel);
        // Pairs with `asym::light` in `Counts::accept`.
        asym::heavy();
        if flags & CLOSED != 0 {
            self.refuse_takers();
        }
        before
    }

    /// Clears flags.
    pub(crate) fn clear_flags(&self, flags: u32) {
        // Release: pairs with the Acquire in `flags`.
        self.flags.fetch_and(!flags, Ordering::Release);
    }

    /// Whether an item may be added; `chained` if one of this queue's own items asks.
    #[inline(always)]
    pub(crate) fn is_open(&self, chained: bool) -> bool {
        let flags = self.flags();
        flags == 0 || (flags & CLOSED == 0 && chained)
    }

    /// Counts an item in. `Err`: the queue is closed and the item was counted out again; if the
    /// flag is true the caller calls `check_waiters` once it is outside any section, because
    /// somebody may have looked in between.
    #[inline(always)]
    pub(crate) fn accept(&self, shard: Shard, chained: bool) -> Result<Colour, bool> {
        // In a forked child nobody is at home in a lane.
        if matches!(shard, Shard::Shared) && self.system.get().is_forked() {
            return Err(false);
        }
        let colour = self.counts.accept(shard);
        if self.is_open(chained) {
            return Ok(colour);
        }
        Err(self.count_out(shard, colour))
    }

    /// Counts an item out that was counted in and is refused after all. True: see `accept`.
    #[cold]
    #[must_use = "a waiter may have seen the item as one in flight"]
    pub(crate) fn count_out(&self, shard: Shard, colour: Colour) -> bool {
        // Relaxed: ordered before the count that follows for its readers.
        self.refused.fetch_add(1, Ordering::Relaxed);
        let armed = self.counts.end(shard, colour);
        // Release: pairs with the Acquire in `ended_and_refused`, which then sees the end.
        self.refused_over.fetch_add(1, Ordering::Release);
        armed
    }

    /// How many items have ended, refused ones included, and how many were refused. Exact if
    /// there is a moment without a refusal under way, soon.
    pub(crate) fn ended_and_refused(&self) -> (u64, u64) {
        let mut looks = 0;
        loop {
            // Acquire: pairs with the Release in `count_out`.
            let over = self.refused_over.load(Ordering::Acquire);
            let ended = self.counts.sum_ended(ColourSet::ALL);
            looks += 1;
            // Relaxed: whose end the sum acquired, that one's refusal is seen here.
            if self.refused.load(Ordering::Relaxed) == over || looks == REFUSAL_LOOKS {
                return (ended, over);
            }
            crate::os::sched_yield();
        }
    }

    /// Counts an item in although the queue may be closed: one that was promised before.
    pub(crate) fn accept_promised(&self) -> Colour {
        self.counts.accept(Shard::Shared)
    }

    /// Keeps the memory until `unpin`; the caller bears a valid reference now.
    pub(crate) fn pin(&self) {
        // Relaxed: the grave digger reads it after a barrier that ends the caller's section.
        self.pins.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends a pin; the caller's reference may be invalid after this.
    pub(crate) fn unpin(&self) {
        // Release: pairs with the Acquire in `is_pinned`.
        self.pins.fetch_sub(1, Ordering::Release);
    }

    /// Whether somebody still looks at the queue.
    pub(crate) fn is_pinned(&self) -> bool {
        // Acquire: pairs with the Release in `unpin`.
        self.pins.load(Ordering::Acquire) != 0
    }

    /// Items accepted and not ended; exact only while nothing moves.
    pub(crate) fn in_flight(&self) -> u64 {
        let ended = self.counts.sum_ended(ColourSet::ALL);
        self.counts
            .sum_accepted(ColourSet::ALL)
            .saturating_sub(ended)
    }
}

/// An item that has ended and is still to be counted.
///
/// Two words, which travel in registers: of single fields the worker's loop made a row of narrow
/// stores and wide loads, for which the processor waits.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its queue.
    queue: QueueRef,
    /// The rest: see the constants below.
    bits: u64,
}

/// In `Ended::bits`, from here on: its tag.
const ENDED_TAG: u32 = 16;
/// As above: how it ended.
const ENDED_KIND: u32 = 32;
/// In `Ended::bits`: somebody waits for the queue, which was pinned.
const ENDED_PINNED: u64 = 1 << 40;

impl Ended {
    /// An item that has ended; its slot is at home on the CPU with this ordinal.
    #[inline(always)]
    pub(crate) fn new(queue: QueueRef, tag: Tag, home: usize, kind: EndKind) -> Ended {
        let bits = home as u64 | u64::from(tag.0) << ENDED_TAG | (kind as u64) << ENDED_KIND;
        Ended { queue, bits }
    }

    /// Where its slot is.
    fn home(&self) -> usize {
        usize::from(self.bits as u16)
    }

    /// What it is accounted under.
    #[inline(always)]
    fn tag(&self) -> Tag {
        Tag((self.bits >> ENDED_TAG) as u8)
    }

    /// How it ended.
    #[inline(always)]
    fn kind(&self) -> EndKind {
        const COMPLETED: u8 = EndKind::Completed as u8;
        const PANICKED: u8 = EndKind::Panicked as u8;
        match (self.bits >> ENDED_KIND) as u8 {
            COMPLETED => EndKind::Completed,
            PANICKED => EndKind::Panicked,
            _ => EndKind::Cancelled,
        }
    }

    /// Gives the item's slot back; returns the item that gets it.
    #[inline]
    pub(crate) fn release_slot(&self) -> Option<Entry> {
        let queue = self.queue.get();
        if !queue.is_limited() {
            return None;
        }
        queue.release(self.home(), self.tag().charge())
    }

    /// Counts the end, inside a section of the lane with this index.
    #[inline(always)]
    pub(crate) fn count_in_section(&mut self, pool: &Pool, lane_index: usize) {
        self.count(self.queue.get().shard(pool, lane_index));
    }

    /// Counts the end where no lane is held; the caller's mark is up, or it has pinned the queue.
    pub(crate) fn count_shared(&mut self) {
        self.count(Shard::Shared);
    }

    /// Counts the end. The queue may be freed once the caller leaves the section, unless pinned.
    #[inline(always)]
    fn count(&mut self, shard: Shard) {
        let queue = self.queue.get();
        match self.kind() {
            EndKind::Completed => {}
            // Relaxed: a statistic; ordered before the count that follows for its readers.
            EndKind::Panicked => {
                queue.panicked.fetch_add(1, Ordering::Relaxed);
            }
            EndKind::Cancelled => {
                queue.cancelled.fetch_add(1, Ordering::Relaxed);
            }
        }
        // A wait can end here only if this was the last item of its colour.
        let colour = self.tag().colour();
        if queue.counts.end(shard, colour) && queue.counts.maybe_last(colour) {
            queue.pin();
            self.bits |= ENDED_PINNED;
        }
    }

    /// Whether somebody waits for the queue, so that [`Ended::tell_waiters`] runs their wakers.
    pub(crate) fn must_tell(&self) -> bool {
        self.bits & ENDED_PINNED != 0
    }

    /// Outside any section: tells those who wait for the queue.
    #[inline(always)]
    pub(crate) fn tell_waiters(self) {
        if self.must_tell() {
            tell_pinned(self.queue);
        }
    }
}

/// Looks whether a wait is over, and ends the pin.
#[cold]
fn tell_pinned(queue: QueueRef) {
    queue.get().check_waiters(queue);
    queue.get().unpin();
}
