//! A first-in first-out list through the link inside each entry.
//!
//! A lane's lists may not allocate (a worker can lose its lane at any instruction outside a
//! section, and inside one the heap is forbidden), so an entry brings its own link. One entry
//! stands in one list at a time. The lists hold entries as raw pointers and give them back, or
//! drop them with the list.

use crate::sync::plain::Ordering;
use std::marker::PhantomData;
use std::ptr;

use crate::proto::inbox::{Inbox, Node};

/// A singly linked list with both ends.
#[derive(Debug)]
pub(crate) struct List<N: Node> {
    /// Leaves first.
    head: *mut (),
    /// Leaves last.
    tail: *mut (),
    len: usize,
    _nodes: PhantomData<N>,
}

// SAFETY: a list owns its nodes like a `Vec` of them.
unsafe impl<N: Node + Send> Send for List<N> {}

impl<N: Node> List<N> {
    /// An empty list.
    pub(crate) const fn new() -> List<N> {
        List {
            head: ptr::null_mut(),
            tail: ptr::null_mut(),
            len: 0,
            _nodes: PhantomData,
        }
    }

    /// Number of entries.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    /// Adds an entry at the end.
    #[inline]
    pub(crate) fn push_back(&mut self, node: N) {
        let raw = node.into_raw();
        set_link::<N>(raw, ptr::null_mut());
        if self.tail.is_null() {
            self.head = raw;
        } else {
            set_link::<N>(self.tail, raw);
        }
        self.tail = raw;
        self.len += 1;
    }

    /// Adds an entry at the front.
    #[inline]
    pub(crate) fn push_front(&mut self, node: N) {
        let raw = node.into_raw();
        set_link::<N>(raw, self.head);
        if self.head.is_null() {
            self.tail = raw;
        }
        self.head = raw;
        self.len += 1;
    }

    /// Takes the entry at the front.
    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<N> {
        if self.head.is_null() {
            return None;
        }
        let raw = self.head;
        self.head = link::<N>(raw);
        if self.head.is_null() {
            self.tail = ptr::null_mut();
        }
        self.len -= 1;
        // SAFETY: `raw` was given up by `into_raw` when it came in, and leaves the list here.
        Some(unsafe { N::from_raw(raw) })
    }

    /// Takes the first entry that is `wanted`, if it is among the first `most`.
    pub(crate) fn take_first(&mut self, most: usize, wanted: impl Fn(&N) -> bool) -> Option<N> {
        let mut passed = List::new();
        let mut found = None;
        while found.is_none() && passed.len() < most {
            match self.pop_front() {
                Some(node) if wanted(&node) => found = Some(node),
                Some(node) => passed.push_back(node),
                None => break,
            }
        }
        passed.append(self);
        self.append(&mut passed);
        found
    }

    /// Moves all entries of `other` to the end of this list.
    pub(crate) fn append(&mut self, other: &mut List<N>) {
        if other.head.is_null() {
            return;
        }
        if self.tail.is_null() {
            self.head = other.head;
        } else {
            set_link::<N>(self.tail, other.head);
        }
        self.tail = other.tail;
        self.len += other.len;
        other.forget_entries();
    }

    /// Keeps the first `keep` entries and returns the rest.
    pub(crate) fn split_off(&mut self, keep: usize) -> List<N> {
        if keep >= self.len {
            return List::new();
        }
        if keep == 0 {
            return std::mem::replace(self, List::new());
        }
        let mut last_kept = self.head;
        for _ in 1..keep {
            last_kept = link::<N>(last_kept);
        }
        let rest = List {
            head: link::<N>(last_kept),
            tail: self.tail,
            len: self.len - keep,
            _nodes: PhantomData,
        };
        set_link::<N>(last_kept, ptr::null_mut());
        self.tail = last_kept;
        self.len = keep;
        rest
    }

    /// Puts all entries into an inbox in one step; the front entry will leave it first. True:
    /// the inbox was empty (see [`Inbox::push`]).
    pub(crate) fn push_to(mut self, inbox: &Inbox) -> bool {
        if self.head.is_null() {
            return false;
        }
        let first = self.head;
        let mut previous = ptr::null_mut();
        let mut current = self.head;
        while !current.is_null() {
            let next = link::<N>(current);
            set_link::<N>(current, previous);
            previous = current;
            current = next;
        }
        self.forget_entries();
        // SAFETY: the chain was this list's, each entry now links to the one before it, and the
        // list has forgotten them.
        unsafe { inbox.push_chain::<N>(first, previous) }
    }

    /// Makes the list empty without dropping what it held.
    fn forget_entries(&mut self) {
        self.head = ptr::null_mut();
        self.tail = ptr::null_mut();
        self.len = 0;
    }
}

impl<N: Node> Iterator for List<N> {
    type Item = N;

    fn next(&mut self) -> Option<N> {
        self.pop_front()
    }
}

impl<N: Node> Drop for List<N> {
    fn drop(&mut self) {
        for node in self.by_ref() {
            drop(node);
        }
    }
}

/// The link of an entry that is in one of our lists.
#[inline(always)]
fn link<N: Node>(raw: *mut ()) -> *mut () {
    // SAFETY: the list holds `raw`, so it came from `into_raw` and was not given back.
    let link = unsafe { N::link(raw) };
    // Relaxed: the list's owner alone reads and writes it.
    link.load(Ordering::Relaxed)
}

/// Sets the link of an entry that is in one of our lists.
#[inline(always)]
fn set_link<N: Node>(raw: *mut (), to: *mut ()) {
    // SAFETY: as in `link`.
    let link = unsafe { N::link(raw) };
    // Relaxed: as in `link`.
    link.store(to, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use crate::sync::plain::AtomicPtr;

    use super::*;

    /// A boxed number with a link.
    #[derive(Debug)]
    struct Boxed(Box<(AtomicPtr<()>, u32)>);

    impl Boxed {
        fn new(value: u32) -> Boxed {
            Boxed(Box::new((AtomicPtr::new(ptr::null_mut()), value)))
        }
    }

    // SAFETY: a box's pointer is stable and never null; the link is the list's alone.
    unsafe impl Node for Boxed {
        fn into_raw(self) -> *mut () {
            Box::into_raw(self.0).cast()
        }

        unsafe fn from_raw(raw: *mut ()) -> Boxed {
            // SAFETY: from `into_raw`, once, by this function's contract.
            Boxed(unsafe { Box::from_raw(raw.cast()) })
        }

        unsafe fn link<'a>(raw: *mut ()) -> &'a AtomicPtr<()> {
            let pair: *mut (AtomicPtr<()>, u32) = raw.cast();
            // SAFETY: a live box by this function's contract.
            unsafe { &(*pair).0 }
        }
    }

    fn values(list: &mut List<Boxed>) -> Vec<u32> {
        list.map(|b| b.0.1).collect()
    }

    fn list(range: std::ops::Range<u32>) -> List<Boxed> {
        let mut list = List::new();
        range.for_each(|v| list.push_back(Boxed::new(v)));
        list
    }

    /// Whatever is pushed at either end comes out in the order that the ends imply.
    #[test]
    fn both_ends_keep_order() {
        let mut l = list(1..4);
        l.push_front(Boxed::new(0));
        assert_eq!(l.len(), 4);
        assert_eq!(values(&mut l), [0, 1, 2, 3]);
        assert!(l.is_empty());
        l.push_front(Boxed::new(7));
        l.push_back(Boxed::new(8));
        assert_eq!(values(&mut l), [7, 8]);
    }

    /// Every way to split and append again loses nothing.
    #[test]
    fn split_and_append_lose_nothing() {
        for n in 0..6 {
            for keep in 0..8 {
                let mut front = list(0..n);
                let mut rest = front.split_off(keep);
                assert_eq!(front.len() + rest.len(), n as usize);
                assert_eq!(front.len(), keep.min(n as usize));
                front.append(&mut rest);
                front.push_back(Boxed::new(n));
                assert_eq!(values(&mut front), (0..=n).collect::<Vec<_>>());
            }
        }
    }

    /// Whichever entry is taken out of the middle, the others stay in order; none is found too far
    /// behind.
    #[test]
    fn the_first_that_is_wanted_leaves_the_others_in_order() {
        for wanted in 0..6 {
            for most in 0..6 {
                let mut l = list(0..5);
                let found = l.take_first(most, |b| b.0.1 >= wanted).map(|b| b.0.1);
                let expected = (wanted < 5 && (wanted as usize) < most).then_some(wanted);
                assert_eq!(found, expected);
                l.push_back(Boxed::new(5));
                let left: Vec<u32> = (0..6).filter(|v| Some(*v) != found).collect();
                assert_eq!((l.len(), values(&mut l)), (left.len(), left));
            }
        }
    }

    /// A chain goes through an inbox in its own order, after what was there.
    #[test]
    fn a_chain_keeps_its_order_through_an_inbox() {
        let inbox = Inbox::new();
        assert!(inbox.push(Boxed::new(0)));
        assert!(!list(1..4).push_to(&inbox));
        assert!(!inbox.push(Boxed::new(4)));
        let out: Vec<u32> = inbox.take_all::<Boxed>().map(|b| b.0.1).collect();
        assert_eq!(out, [0, 1, 2, 3, 4]);
        assert!(list(5..6).push_to(&inbox));
        drop(inbox.take_all::<Boxed>());
    }
}
