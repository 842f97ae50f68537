//! Joining a line without its lock: while a place is crowded, who arrives leaves a note.
//!
//! Whether an arrival may start is decided under a lock. While nothing can start before something
//! that is active ends, there is nothing to decide: the line is *crowded*, arrivals go into a
//! lock-free list, and who ends something takes them over under the lock. Before the crowd is
//! declared over, the list is looked at once more; who arrives looks at the crowd once more. One of
//! the two sees the other. Proof and models: `docs/memory-ordering.md`, "Crowd".

use crossbeam_utils::CachePadded;

use super::inbox::{Inbox, Node, Taken};
use crate::sync::atomic::{AtomicBool, Ordering, fence};

/// The list of arrivals, and whether there is a crowd.
#[derive(Debug)]
pub(crate) struct Crowd {
    /// Who arrived since the last look, newest first.
    arrivals: CachePadded<Inbox>,
    /// Something is active whose end will look at the arrivals. Written under the lock; on a line
    /// of its own, since arrivals read it and seldom find it changed.
    is_there: CachePadded<AtomicBool>,
}

/// What became of an arrival.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Joined {
    /// It stands in line.
    InLine,
    /// It does, but the crowd is gone: the caller looks, under the lock, at what may start.
    MustLook,
}

impl Crowd {
    /// Nobody.
    pub(crate) fn new() -> Crowd {
        Crowd {
            arrivals: CachePadded::new(Inbox::new()),
            is_there: CachePadded::new(AtomicBool::new(false)),
        }
    }

    /// Whether there is a crowd; a hint. Relaxed: the look behind the push decides.
    #[inline]
    pub(crate) fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Relaxed)
    }

    /// Puts a node in line; for who has seen the crowd ([`Crowd::is_there`]). It may be started and
    /// freed by another thread before this returns.
    #[inline]
    pub(crate) fn join<N: Node>(&self, node: N) -> Joined {
        // Who found others there leaves the look to the first of them, but for a glance: that one
        // may have lost its CPU before it looked.
        if self.arrivals.push(node) {
            // SeqCst: the push before the look; pairs with the fence in `is_over`.
            fence(Ordering::SeqCst);
        }
        // Relaxed: ordered by the fences.
        match self.is_there() {
            true => Joined::InLine,
            false => Joined::MustLook,
        }
    }

    /// Under the lock: nothing can start before something ends that will call [`Crowd::is_over`].
    #[inline]
    pub(crate) fn gather(&self) {
        // Relaxed: who sees it late takes the lock; nobody else writes it.
        if !self.is_there.load(Ordering::Relaxed) {
            self.is_there.store(true, Ordering::Relaxed);
        }
    }

    /// Under the lock: something could start, but nobody is in line. False: there are arrivals,
    /// which the caller takes.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        // Relaxed: it is written under the lock alone.
        if self.is_there.load(Ordering::Relaxed) {
            self.is_there.store(false, Ordering::Relaxed);
            // SeqCst: the end of the crowd before the look; pairs with the fence in `join`.
            fence(Ordering::SeqCst);
        }
        self.arrivals.is_empty()
    }

    /// Under the lock: takes those who have arrived, in order.
    #[inline]
    pub(crate) fn take<N: Node>(&self) -> Option<Taken<N>> {
        (!self.arrivals.is_empty()).then(|| self.arrivals.take_all())
    }
}
