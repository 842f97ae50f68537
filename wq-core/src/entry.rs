//! The queue entry: one word, an `async-task` runnable with our metadata.
//!
//! Traps of the cell and our rule for each: the schedule function is zero-sized (no waker is
//! cloned around it) and touches nothing of the task after publishing it; the metadata is a
//! private concrete type, `Send + Sync` (checked below), because wakers drop it anywhere; the
//! queue pointer in it is followed only while the item is in flight.

use crate::sync::plain::{AtomicPtr, AtomicU8, AtomicU16, AtomicU32, Ordering};
use std::fmt;
use std::ptr::{self, NonNull};

use async_task::Runnable;

use crate::hogs::memory::Known;
use crate::proto::abort::AbortWord;
use crate::proto::counts::{COLOURS, Colour};
use crate::proto::inbox::Node;
use crate::queue::QueueRef;
use crate::queue::limit::{Charge, MAX_CHARGES};
use crate::task::label;

/// The item was polled before: its next entry is a resume, not a start.
const STARTED: u8 = 1;
/// The queue did not accept the item.
const REJECTED: u8 = 2;
/// The item waits for a slot of its queue. While this is set the item is in flight.
const WAITING: u8 = 4;
/// The item yielded: it goes behind what waits, wherever it is brought.
const YIELDED: u8 = 8;
/// How many more polls the item is taken for one that burns CPU; 0 for others.
const HOG: u8 = 0xf0;
/// One such poll.
const HOG_ONE: u8 = 0x10;

/// In `stretch`: the last poll ended with the item awake already; it has not suspended.
const GOES_ON: u32 = 1 << 31;
/// In `stretch`: the item was marked CPU intensive since it last suspended.
const MARKED: u32 = 1 << 30;
/// In `stretch`: the item has a turn to burn, and is on its way to a worker.
const TURN: u32 = 1 << 29;
/// In `stretch`: the item's queue is one for items that burn CPU. Never changes.
const INTENSIVE: u32 = 1 << 28;
/// In `stretch`: CPU time since it last suspended, as far as known, us.
const BURNT_US: u32 = (1 << 24) - 1;

/// In `tag`: somebody asked for the task's number, or gave it a name (see `task::label`).
const LABELLED: u8 = 0x80;

/// What each task carries beside its future: 32 bytes.
pub(crate) struct Meta {
    /// Link of the list or inbox that the entry stands in. Whoever holds the entry.
    link: AtomicPtr<()>,
    /// The queue; valid while the item is in flight. Never changes.
    pub(crate) queue: QueueRef,
    /// Abort request and registry slot.
    pub(crate) abort: AbortWord,
    /// Flush colour, and what its slot is charged to; set when the item is accepted, by the one who
    /// holds the entry. And the bit for a label, set by anybody, but not before that by anybody
    /// else.
    tag: AtomicU8,
    /// The bits above. Written by whoever holds the entry.
    flags: AtomicU8,
    /// Index of the lane (per-CPU queues: of the CPU) of the last run. Whoever runs it.
    lane: AtomicU16,
    /// The bits above; 0 for usual items that suspend as they should. Whoever holds the entry.
    stretch: AtomicU32,
}

/// Fails to compile if metadata grew: a million suspended tasks pay for each word.
const _: () = assert!(size_of::<Meta>() == 32);

impl fmt::Debug for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meta")
            .field("lane", &self.lane)
            .finish_non_exhaustive()
    }
}

/// Fails to compile if metadata could not travel with a waker.
const _: fn() = || {
    fn travels<T: Send + Sync + 'static>() {}
    travels::<Meta>();
};

impl Meta {
    /// Metadata of an item for `queue` that will first run on lane `lane`, of a kind that is known
    /// to burn CPU or not.
    pub(crate) fn new(queue: QueueRef, lane: u16, known: Known) -> Meta {
        Meta {
            link: AtomicPtr::new(std::ptr::null_mut()),
            queue,
            abort: AbortWord::new(),
            tag: AtomicU8::new(0),
            flags: AtomicU8::new(match known {
                Known::No => 0,
                Known::Sometimes => HOG_ONE,
                Known::Always => HOG,
            }),
            lane: AtomicU16::new(lane),
            stretch: AtomicU32::new(if queue.get().cpu_intensive {
                INTENSIVE
            } else {
                0
            }),
        }
    }

    // Relaxed throughout: these fields belong to whoever holds the entry, and entries change
    // hands through lists that order memory.

    /// The item's flush colour, and what its slot is charged to.
    #[inline]
    pub(crate) fn tag(&self) -> Tag {
        Tag(self.tag.load(Ordering::Relaxed) & !LABELLED)
    }

    /// Sets the flush colour at acceptance; the slot is charged to nothing in particular.
    #[inline]
    pub(crate) fn set_colour(&self, colour: Colour) {
        let labelled = self.tag.load(Ordering::Relaxed) & LABELLED;
        self.tag.store(labelled | colour, Ordering::Relaxed);
    }

    /// Sets what the item's slot is charged to, after the colour.
    #[inline]
    pub(crate) fn set_charge(&self, charge: Charge) {
        let tag = self.tag.load(Ordering::Relaxed);
        self.tag
            .store(tag | charge << Tag::CHARGE, Ordering::Relaxed);
    }

    /// Notes that the table of labels knows the task. Under that table's lock.
    pub(crate) fn set_labelled(&self) {
        self.tag.fetch_or(LABELLED, Ordering::Relaxed);
    }

    /// Whether the table of labels knows the task.
    #[inline]
    pub(crate) fn is_labelled(&self) -> bool {
        self.tag.load(Ordering::Relaxed) & LABELLED != 0
    }

    /// Where it is: no other task that exists has the same.
    #[inline(always)]
    pub(crate) fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// Whether the item was polled before.
    #[inline]
    pub(crate) fn is_started(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & STARTED != 0
    }

    /// Notes that the item is about to be polled, on lane `lane`.
    #[inline]
    pub(crate) fn set_started(&self, lane: u16) {
        let hog = self.flags.load(Ordering::Relaxed) & HOG;
        self.flags.store(STARTED | hog, Ordering::Relaxed);
        self.lane.store(lane, Ordering::Relaxed);
    }

    /// Whether there is anything to be known about the item's CPU time before it is polled.
    #[inline(always)]
    pub(crate) fn is_special(&self) -> bool {
        self.burns() || self.stretch.load(Ordering::Relaxed) != 0
    }

    /// Whether all that there is to be known is that it goes on a row of yields.
    #[inline(always)]
    pub(crate) fn only_goes_on(&self) -> bool {
        let stretch = self.stretch.load(Ordering::Relaxed);
        !self.burns() && stretch & (GOES_ON | MARKED | TURN | INTENSIVE) == GOES_ON
    }

    /// Whether the item's queue is one for items that burn CPU.
    #[inline]
    pub(crate) fn is_intensive(&self) -> bool {
        self.stretch.load(Ordering::Relaxed) & INTENSIVE != 0
    }

    /// Whether the item is known to burn CPU.
    #[inline(always)]
    pub(crate) fn burns(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & HOG != 0
    }

    /// Whether the item's last poll burnt, or (not polled yet) all that are known of its kind did.
    pub(crate) fn surely_burns(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & HOG == HOG
    }

    /// Gives the item a turn to burn. Whoever holds the entry.
    pub(crate) fn set_turn(&self) {
        let stretch = self.stretch.load(Ordering::Relaxed);
        self.stretch.store(stretch | TURN, Ordering::Relaxed);
    }

    /// Takes the item's turn from it, for the worker that is to poll it. True: it had one.
    #[inline]
    pub(crate) fn take_turn(&self) -> bool {
        let stretch = self.stretch.load(Ordering::Relaxed);
        if stretch & TURN == 0 {
            return false;
        }
        self.stretch.store(stretch & !TURN, Ordering::Relaxed);
        true
    }

    /// The item's poll ended, and it is awake already; `marked`: that poll was marked.
    #[inline]
    pub(crate) fn go_on(&self, marked: bool) {
        let marked = if marked { MARKED } else { 0 };
        let stretch = self.stretch.load(Ordering::Relaxed);
        self.stretch
            .store(stretch | GOES_ON | marked, Ordering::Relaxed);
    }

    /// The item is about to be polled: whether that goes on a row of yields. If it suspended for
    /// real, what it used and how it was marked is forgotten.
    #[inline]
    pub(crate) fn begin_poll_of_stretch(&self) -> bool {
        let stretch = self.stretch.load(Ordering::Relaxed);
        let goes_on = stretch & GOES_ON != 0;
        let kept = if goes_on { !GOES_ON } else { INTENSIVE };
        let next = stretch & kept;
        self.stretch.store(next, Ordering::Relaxed);
        goes_on
    }

    /// Adds to the CPU time of the present stretch; the sum, ns. Whoever polls the item.
    pub(crate) fn add_burnt(&self, ns: u64) -> u64 {
        let stretch = self.stretch.load(Ordering::Relaxed);
        let us = u64::from(stretch & BURNT_US).saturating_add(ns / 1_000);
        let us = us.min(u64::from(BURNT_US));
        self.stretch
            .store(stretch & !BURNT_US | us as u32, Ordering::Relaxed);
        us * 1_000
    }

    /// Notes that the item was marked CPU intensive. Whoever polls it.
    pub(crate) fn set_marked(&self) {
        let stretch = self.stretch.load(Ordering::Relaxed);
        self.stretch.store(stretch | MARKED, Ordering::Relaxed);
    }

    /// Whether the item was marked CPU intensive since it last suspended.
    pub(crate) fn is_marked(&self) -> bool {
        self.stretch.load(Ordering::Relaxed) & MARKED != 0
    }

    /// Notes whether the item's present poll burnt CPU. Whoever polls it, before the poll ends.
    #[cold]
    pub(crate) fn note_burning(&self, burnt: bool) {
        let flags = self.flags.load(Ordering::Relaxed);
        let hog = if burnt {
            HOG
        } else {
            (flags & HOG).saturating_sub(HOG_ONE)
        };
        self.flags.store(flags & !HOG | hog, Ordering::Relaxed);
    }

    /// Notes that the item yielded, until it is polled again.
    pub(crate) fn set_yielded(&self) {
        let flags = self.flags.load(Ordering::Relaxed);
        self.flags.store(flags | YIELDED, Ordering::Relaxed);
    }

    /// Whether the item yielded.
    #[inline]
    pub(crate) fn is_yielded(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & YIELDED != 0
    }

    /// Notes that the queue refused the item.
    pub(crate) fn set_rejected(&self) {
        self.flags.store(REJECTED, Ordering::Relaxed);
    }

    /// Whether the queue refused the item.
    pub(crate) fn is_rejected(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & REJECTED != 0
    }

    /// Notes that the item is about to wait for a slot.
    pub(crate) fn set_waiting(&self) {
        let flags = self.flags.load(Ordering::Relaxed);
        self.flags.store(flags | WAITING, Ordering::Relaxed);
    }

    /// Notes that the item waits no more, if it did. It has never run.
    pub(crate) fn clear_waiting(&self) {
        let flags = self.flags.load(Ordering::Relaxed);
        if flags & WAITING != 0 {
            self.flags.store(flags & !WAITING, Ordering::Relaxed);
        }
    }

    /// Whether the item waits for a slot; anybody may ask, the answer may be stale.
    pub(crate) fn is_waiting(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & WAITING != 0
    }

    /// Lane of the last run, or the one chosen at acceptance.
    #[inline]
    pub(crate) fn lane(&self) -> usize {
        usize::from(self.lane.load(Ordering::Relaxed))
    }
}

impl Drop for Meta {
    #[inline]
    fn drop(&mut self) {
        if self.is_labelled() {
            label::forget(self);
        }
    }
}

/// What an item is accounted under.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tag(pub(crate) u8);

impl Tag {
    /// The charge begins here, behind the colour, and ends before `LABELLED`.
    const CHARGE: u32 = 2;

    /// Its flush colour.
    #[inline(always)]
    pub(crate) fn colour(self) -> Colour {
        self.0 & ((1 << Tag::CHARGE) - 1)
    }

    /// What its slot is charged to.
    pub(crate) fn charge(self) -> Charge {
        self.0 >> Tag::CHARGE
    }
}

/// Fails to compile if a tag had no room for colour or charge.
const _: () = assert!(COLOURS <= 1 << Tag::CHARGE && MAX_CHARGES << Tag::CHARGE <= 0x80);

/// An item that waits for a worker.
#[derive(Debug)]
pub(crate) struct Entry(pub(crate) Runnable<Meta>);

impl Entry {
    /// The item's metadata.
    #[inline(always)]
    pub(crate) fn meta(&self) -> &Meta {
        self.0.metadata()
    }
}

// SAFETY: `Runnable::into_raw` and `from_raw` are inverse and never null; the link is in the
// task's allocation, which the runnable keeps alive, and only the holder of the entry uses it.
unsafe impl Node for Entry {
    #[inline(always)]
    fn into_raw(self) -> *mut () {
        self.0.into_raw().as_ptr()
    }

    #[inline(always)]
    unsafe fn from_raw(raw: *mut ()) -> Entry {
        // SAFETY: `raw` came from `into_raw`, which gives non-null.
        let raw = unsafe { NonNull::new_unchecked(raw) };
        // SAFETY: from `Runnable::into_raw`, given back once, by this function's contract.
        Entry(unsafe { Runnable::from_raw(raw) })
    }

    #[inline(always)]
    unsafe fn link<'a>(raw: *mut ()) -> &'a AtomicPtr<()> {
        // SAFETY: `raw` came from `into_raw`, which gives non-null.
        let raw = unsafe { NonNull::new_unchecked(raw) };
        // SAFETY: `raw` has not been given back, and the copy made here is never dropped.
        let runnable = unsafe { Runnable::<Meta>::from_raw(raw) };
        let runnable = std::mem::ManuallyDrop::new(runnable);
        let link: *const AtomicPtr<()> = &raw const runnable.metadata().link;
        // SAFETY: the link is in the task's allocation, not in the local copy of the pointer;
        // the allocation outlives `'a` by this function's contract.
        unsafe { &*link }
    }
}
