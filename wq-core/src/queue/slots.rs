//! The slots of a queue behind their lock, and the way past it.
//!
//! Nearly all that happens to a queue that is limited happens under one lock: its worker gives a
//! slot back for each item that ends, and whoever adds one asks for a slot. While all slots are
//! taken the answer is known, so that items then join the line without the lock ([`Crowd`]): a
//! producer and the worker of an ordered queue do not meet for each item.

#![forbid(unsafe_code)]

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_utils::CachePadded;

use crate::entry::Entry;
use crate::proto::crowd::{Crowd, Joined};

use super::limit::{Charge, Limiter};

/// The slots of one domain: of a queue, or of one CPU of it.
#[derive(Debug)]
pub(crate) struct Slots {
    /// Items that have come while no slot was free; they stand behind those of the limiter.
    crowd: Crowd,
    /// The accounting.
    limiter: CachePadded<Mutex<Limiter<Entry>>>,
}

impl Slots {
    /// Slots by this accounting.
    pub(super) fn new(limiter: Limiter<Entry>) -> Slots {
        Slots {
            crowd: Crowd::new(),
            limiter: CachePadded::new(Mutex::new(limiter)),
        }
    }

    /// Whether items may [join](Slots::join); a hint.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowd.is_there()
    }

    /// Has an item wait for its turn without the lock; for who has seen the crowd. `MustLook`: the
    /// caller starts what may.
    #[inline]
    pub(crate) fn join(&self, entry: Entry) -> Joined {
        entry.meta().set_waiting();
        self.crowd.join(entry)
    }

    /// Locks the accounting, in which all that was accepted is told.
    pub(crate) fn lock(&self) -> SlotsGuard<'_> {
        let mut guard = self.lock_as_is();
        guard.take_arrivals();
        guard
    }

    /// As [`Slots::lock`], for a look at what arrivals do not change; and for who gives a slot
    /// back: those in line come before arrivals, who are looked at when there is nobody else.
    pub(crate) fn lock_as_is(&self) -> SlotsGuard<'_> {
        // The accounting does not panic while it is locked.
        let limiter = self.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        SlotsGuard {
            crowd: &self.crowd,
            limiter,
        }
    }

    /// An active item has ended; returns the one that gets its slot, and the lock.
    #[inline]
    pub(crate) fn release(&self, charge: Charge) -> (Option<Entry>, SlotsGuard<'_>) {
        let mut guard = self.lock_as_is();
        let next = guard.limiter.release(charge);
        let next = next.or_else(|| {
            guard.take_arrivals();
            guard.next()
        });
        (next, guard)
    }
}

/// The accounting, locked.
#[derive(Debug)]
pub(crate) struct SlotsGuard<'a> {
    crowd: &'a Crowd,
    limiter: MutexGuard<'a, Limiter<Entry>>,
}

impl SlotsGuard<'_> {
    /// Those who have come without the lock stand in line.
    fn take_arrivals(&mut self) {
        if let Some(arrivals) = self.crowd.take::<Entry>() {
            arrivals.for_each(|entry| self.limiter.wait(0, entry));
        }
    }

    /// Activates one of the waiting items for which there is a slot. After what may have freed
    /// slots this is called until `None`, which is also when the crowd ends.
    pub(crate) fn next(&mut self) -> Option<Entry> {
        loop {
            let next = self.limiter.activate_one();
            if next.is_some() || self.limiter.is_crowded() || self.crowd.is_over() {
                return next;
            }
            self.take_arrivals();
        }
    }
}

impl Deref for SlotsGuard<'_> {
    type Target = Limiter<Entry>;

    fn deref(&self) -> &Limiter<Entry> {
        &self.limiter
    }
}

impl DerefMut for SlotsGuard<'_> {
    fn deref_mut(&mut self) -> &mut Limiter<Entry> {
        &mut self.limiter
    }
}

impl Drop for SlotsGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.limiter.is_crowded() {
            self.crowd.gather();
        }
    }
}
