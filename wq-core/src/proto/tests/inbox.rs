//! Models of the inbox.

use std::ptr;

use loom::sync::atomic::{AtomicPtr, Ordering};

use super::{Guarded, race};
use crate::proto::inbox::{Inbox, Node};

/// A node that carries its pusher's number and its place in that pusher's order.
struct Parcel {
    link: AtomicPtr<()>,
    /// Written before the push, read after the taking.
    label: Guarded<(usize, usize)>,
}

/// A parcel on the heap, so that loom would see a use after the end as well.
pub(super) struct Boxed(Box<Parcel>);

impl Boxed {
    /// The `nth` parcel of `pusher`.
    pub(super) fn new(pusher: usize, nth: usize) -> Boxed {
        let label = Guarded::new((0, 0));
        label.write(|label| *label = (pusher, nth));
        Boxed(Box::new(Parcel {
            link: AtomicPtr::new(ptr::null_mut()),
            label,
        }))
    }

    /// What is written on it; a write to loom, because the taker owns it.
    pub(super) fn open(self) -> (usize, usize) {
        self.0.label.write(|label| *label)
    }
}

// SAFETY: a box's pointer is stable and never null; only the holder of a node uses its link.
unsafe impl Node for Boxed {
    fn into_raw(self) -> *mut () {
        Box::into_raw(self.0).cast()
    }

    unsafe fn from_raw(raw: *mut ()) -> Boxed {
        // SAFETY: from `into_raw`, once, by this function's contract.
        Boxed(unsafe { Box::from_raw(raw.cast()) })
    }

    unsafe fn link<'a>(raw: *mut ()) -> &'a AtomicPtr<()> {
        let parcel: *const Parcel = raw.cast();
        // SAFETY: a live box by this function's contract.
        unsafe { &(*parcel).link }
    }
}

/// An inbox and what was taken out of it.
struct Door {
    inbox: Inbox,
    /// The labels in the order of taking. Of the one taker.
    labels: Guarded<Vec<(usize, usize)>>,
}

impl Door {
    /// An empty inbox.
    fn new() -> Door {
        Door {
            inbox: Inbox::new(),
            labels: Guarded::new(Vec::new()),
        }
    }

    /// Pushes `count` parcels of `pusher`; how many of them found the inbox empty.
    fn push(&self, pusher: usize, count: usize) -> usize {
        let firsts = (0..count).map(|nth| self.inbox.push(Boxed::new(pusher, nth)));
        firsts.filter(|first| *first).count()
    }

    /// Takes all that is there now; 1 if there was something.
    fn take(&self) -> usize {
        let taken: Vec<_> = self.inbox.take_all::<Boxed>().map(Boxed::open).collect();
        let batches = usize::from(!taken.is_empty());
        self.labels.write(|labels| labels.extend(taken));
        batches
    }

    /// Whether `pusher`'s parcels came out in the order in which they went in, all of them.
    fn assert_in_order(&self, pusher: usize, count: usize) {
        self.labels.read(|labels| {
            let places = labels.iter().filter(|(from, _)| *from == pusher);
            let places: Vec<usize> = places.map(|(_, nth)| *nth).collect();
            assert_eq!(places, (0..count).collect::<Vec<_>>());
        });
    }
}

/// Goal: nothing is lost or taken twice, each pusher's order is kept, contents are visible, and
/// as many pushes find the inbox empty as there were non-empty takings. Method: two pushers with
/// two parcels and one, a taker that takes at two moments and at the end.
#[test]
fn loom_inbox_keeps_order_and_tells_who_was_first() {
    race::<Door, usize, _>(
        Door::new,
        [
            |door| door.push(0, 2),
            |door| door.push(1, 1),
            |door| door.take() + door.take(),
        ],
        |door, [first, second, takings]| {
            assert_eq!(
                first + second,
                takings + door.take(),
                "one announcer a batch"
            );
            assert!(door.inbox.is_empty());
            door.assert_in_order(0, 2);
            door.assert_in_order(1, 1);
        },
    );
}

/// Goal: a chain goes in whole and in order. Method: one pusher with a chain of two against one
/// with a single parcel and a taker.
#[test]
fn loom_inbox_chain_goes_in_whole() {
    race::<Door, usize, _>(
        Door::new,
        [
            |door| {
                let first = Boxed::new(0, 0).into_raw();
                let last = Boxed::new(0, 1).into_raw();
                // SAFETY: `last` was given up above and is ours until the push.
                let link = unsafe { Boxed::link(last) };
                // Relaxed: published by the push.
                link.store(first, Ordering::Relaxed);
                // SAFETY: the two are linked as demanded and belong to this thread.
                usize::from(unsafe { door.inbox.push_chain::<Boxed>(first, last) })
            },
            |door| door.push(1, 1),
            |door| {
                let batches = door.take();
                let part = |labels: &Vec<(usize, usize)>| {
                    labels.iter().filter(|(from, _)| *from == 0).count()
                };
                assert_ne!(door.labels.read(part), 1, "a part of the chain was seen");
                batches
            },
        ],
        |door, [chain, single, takings]| {
            assert_eq!(
                chain + single,
                takings + door.take(),
                "one announcer a batch"
            );
            door.assert_in_order(0, 2);
            door.assert_in_order(1, 1);
        },
    );
}
