//! The worker of a pool that starts nothing new: what it runs has run before.
//!
//! Items that block may wait for one that is suspended. Once it is woken somebody has to poll it,
//! but a pool at its bound has nobody left: all its workers wait, for it. (The kernel knows no such
//! thing: a work function that sleeps keeps its thread.) So a pool that comes near its bound gets
//! one thread more, which is no worker in any count, and takes the lanes that stand still one
//! after the other, for as long as something in them has run before.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::pool::Pool;
use crate::proto::owner::WorkerId;
use crate::system::SystemInner;

/// What a pool knows of it.
#[derive(Debug)]
pub(crate) struct Resumer {
    /// Its number; 0 while there is none.
    id: AtomicU32,
    /// The pool has nobody else: whoever brings a woken item calls it.
    on_duty: AtomicBool,
}

impl Resumer {
    /// There is none.
    pub(crate) fn none() -> Resumer {
        Resumer {
            id: AtomicU32::new(0),
            on_duty: AtomicBool::new(false),
        }
    }

    /// Its number; 0 while there is none.
    pub(crate) fn id(&self) -> WorkerId {
        // Relaxed, throughout this file: the thread maker alone makes it; for all others these are
        // hints, since the maker calls it again and again while the pool stands still.
        self.id.load(Ordering::Relaxed)
    }

    /// Whether there is one.
    pub(crate) fn exists(&self) -> bool {
        self.id() != 0
    }

    /// It was made, or (0) has left.
    pub(crate) fn set(&self, id: WorkerId) {
        self.id.store(id, Ordering::Relaxed);
    }

    /// Whether the pool has nobody else.
    #[inline(always)]
    pub(crate) fn is_on_duty(&self) -> bool {
        self.on_duty.load(Ordering::Relaxed)
    }

    /// The pool has nobody else, or somebody again.
    pub(crate) fn set_on_duty(&self, on: bool) {
        self.on_duty.store(on, Ordering::Relaxed);
    }
}

impl SystemInner {
    /// Has the pool's resumer look at the lanes, if there is one.
    #[cold]
    pub(crate) fn call_resumer(&self, pool: &Pool) {
        let id = pool.resumer.id();
        if id != 0 {
            // If it has left meanwhile, somebody wakes up for nothing.
            self.worker(id).parker.unpark();
        }
    }
}
