//! The door of a lane for everybody but its owner: a lock-free list, taken whole.
//!
//! Any thread pushes with one compare-exchange; the lane's owner takes all at once with one
//! swap and turns the list round, so that items leave in the order in which they came. Only the
//! pusher that found the inbox empty has to look whether the owner sleeps: it speaks for all
//! that come after it. Proof and model: `docs/memory-ordering.md`, "Inbox".

use std::ptr;

use crate::sync::atomic::{AtomicPtr, Ordering};

/// Something with a link of its own that can stand in one list at a time.
///
/// # Safety
/// - `into_raw` and `from_raw` are inverse to each other, and the pointer is never null;
/// - `link(raw)` is valid from `into_raw` until `from_raw`, and is used by nobody else meanwhile.
pub(crate) unsafe trait Node: Sized {
    /// Gives the node up for a pointer.
    fn into_raw(self) -> *mut ();
    /// Takes the node back.
    ///
    /// # Safety
    /// `raw` came from `into_raw` and is given back once.
    unsafe fn from_raw(raw: *mut ()) -> Self;
    /// The link inside the node.
    ///
    /// # Safety
    /// `raw` came from `into_raw` and has not been given back; the node outlives `'a`.
    unsafe fn link<'a>(raw: *mut ()) -> &'a AtomicPtr<()>;
}

/// A list of nodes, newest first.
#[derive(Debug)]
pub(crate) struct Inbox {
    head: AtomicPtr<()>,
}

impl Inbox {
    /// An empty inbox.
    pub(crate) fn new() -> Inbox {
        Inbox {
            head: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Adds a node. True: the inbox was empty, and the caller must see to it that the owner
    /// learns of it. The node may be run and freed by another thread before this returns.
    pub(crate) fn push<N: Node>(&self, node: N) -> bool {
        let raw = node.into_raw();
        // Relaxed: only the value is needed, for the link; a stale one fails the exchange.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: `raw` came from `into_raw` above and nobody else has it yet.
            let link = unsafe { N::link(raw) };
            // Relaxed: published by the exchange below.
            link.store(head, Ordering::Relaxed);
            // Release: pairs with the Acquire in `take_all`; the owner sees node and link.
            match self
                .head
                .compare_exchange_weak(head, raw, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return head.is_null(),
                Err(now) => head = now,
            }
        }
    }

    /// Adds a chain of nodes in one step: `first` leaves the inbox before `last`. The links from
    /// `last` towards `first` must be in place. As for `push`.
    ///
    /// # Safety
    /// `last` .. `first` are nodes given up by `into_raw`, each linked to the one that is to leave
    /// before it, and they belong to the caller.
    pub(crate) unsafe fn push_chain<N: Node>(&self, first: *mut (), last: *mut ()) -> bool {
        // Relaxed: as in `push`.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: the caller owns the chain until the exchange below succeeds.
            let link = unsafe { N::link(first) };
            // Relaxed: published by the exchange below.
            link.store(head, Ordering::Relaxed);
            // Release: pairs with the Acquire in `take_all`.
            match self
                .head
                .compare_exchange_weak(head, last, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return head.is_null(),
                Err(now) => head = now,
            }
        }
    }

    /// Whether there is nothing to take; exact only for one who has fenced.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // Relaxed: a hint, or ordered by the caller's fence (`announce_park`).
        self.head.load(Ordering::Relaxed).is_null()
    }

    /// Takes everything, oldest first.
    pub(crate) fn take_all<N: Node>(&self) -> Taken<N> {
        // Acquire: pairs with the Release of every push in the list (each exchange continues
        // the release sequence of the one before).
        let mut newest = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        let mut oldest = ptr::null_mut();
        while !newest.is_null() {
            // SAFETY: the swap made the whole list ours; `newest` was given up by `into_raw`.
            let link = unsafe { N::link(newest) };
            // Relaxed: ours alone since the swap.
            let next = link.load(Ordering::Relaxed);
            link.store(oldest, Ordering::Relaxed);
            oldest = newest;
            newest = next;
        }
        Taken {
            head: oldest,
            _nodes: std::marker::PhantomData,
        }
    }
}

/// What was taken from an inbox, in order of arrival. Whatever is not consumed is taken back
/// (and dropped) with the iterator.
#[derive(Debug)]
pub(crate) struct Taken<N: Node> {
    head: *mut (),
    _nodes: std::marker::PhantomData<N>,
}

impl<N: Node> Iterator for Taken<N> {
    type Item = N;

    fn next(&mut self) -> Option<N> {
        if self.head.is_null() {
            return None;
        }
        let raw = self.head;
        // SAFETY: the list is ours, and `raw` has not been given back.
        let link = unsafe { N::link(raw) };
        // Relaxed: ours alone.
        self.head = link.load(Ordering::Relaxed);
        // SAFETY: `raw` came from `into_raw` and leaves the list here, once.
        Some(unsafe { N::from_raw(raw) })
    }
}

impl<N: Node> Drop for Taken<N> {
    fn drop(&mut self) {
        for node in self.by_ref() {
            drop(node);
        }
    }
}
