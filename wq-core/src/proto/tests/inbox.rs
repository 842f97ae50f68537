//! Models of the inbox.

use std::ptr;

use loom::model;
use loom::sync::Arc;
use loom::sync::atomic::AtomicPtr;
use loom::thread;

use super::Guarded;
use crate::proto::inbox::{Inbox, Node};

/// A node that carries its pusher's number and its place in that pusher's order.
struct Parcel {
    link: AtomicPtr<()>,
    /// Written before the push, read after the taking.
    label: Guarded<(usize, usize)>,
}

/// A parcel on the heap, so that loom would see a use after the end as well.
struct Boxed(Box<Parcel>);

impl Boxed {
    /// The `nth` parcel of `pusher`.
    fn new(pusher: usize, nth: usize) -> Boxed {
        let label = Guarded::new((0, 0));
        label.write(|label| *label = (pusher, nth));
        Boxed(Box::new(Parcel {
            link: AtomicPtr::new(ptr::null_mut()),
            label,
        }))
    }

    /// What is written on it; a write to loom, because the taker owns it.
    fn open(self) -> (usize, usize) {
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

/// Takes all that is there now and writes down the labels.
fn take_into(inbox: &Inbox, labels: &mut Vec<(usize, usize)>) {
    labels.extend(inbox.take_all::<Boxed>().map(Boxed::open));
}

/// Whether `pusher`'s parcels came out in the order in which they went in, all of them.
fn assert_in_order(labels: &[(usize, usize)], pusher: usize, count: usize) {
    let places = labels.iter().filter(|(from, _)| *from == pusher);
    let places: Vec<usize> = places.map(|(_, nth)| *nth).collect();
    assert_eq!(places, (0..count).collect::<Vec<_>>());
}

/// Goal: nothing is lost or taken twice, each pusher's order is kept, contents are visible, and
/// as many pushes find the inbox empty as there were non-empty takings. Method: two pushers with
/// two parcels and one, a taker that takes at two moments and at the end.
#[test]
fn loom_inbox_keeps_order_and_tells_who_was_first() {
    model(|| {
        let inbox = Arc::new(Inbox::new());
        let pushers = [2, 1].map(|count| {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || {
                let firsts = (0..count).map(|nth| inbox.push(Boxed::new(count, nth)));
                firsts.filter(|first| *first).count()
            })
        });
        let mut labels = Vec::new();
        let mut takings = 0;
        for _ in 0..2 {
            let before = labels.len();
            take_into(&inbox, &mut labels);
            takings += usize::from(labels.len() > before);
        }
        let firsts: usize = pushers.map(|p| p.join().unwrap()).iter().sum();
        let before = labels.len();
        take_into(&inbox, &mut labels);
        takings += usize::from(labels.len() > before);
        assert!(inbox.is_empty());
        assert_in_order(&labels, 2, 2);
        assert_in_order(&labels, 1, 1);
        assert_eq!(firsts, takings, "each batch has one announcer");
    });
}

/// Goal: a chain goes in whole and in order. Method: one pusher with a chain of two against one
/// with a single parcel and a taker.
#[test]
fn loom_inbox_chain_goes_in_whole() {
    model(|| {
        let inbox = Arc::new(Inbox::new());
        let chain = {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || {
                let first = Boxed::new(0, 0).into_raw();
                let last = Boxed::new(0, 1).into_raw();
                // SAFETY: `last` was given up above and is ours until the push.
                let link = unsafe { Boxed::link(last) };
                // Relaxed: published by the push.
                link.store(first, loom::sync::atomic::Ordering::Relaxed);
                // SAFETY: the two are linked as demanded and belong to this thread.
                usize::from(unsafe { inbox.push_chain::<Boxed>(first, last) })
            })
        };
        let single = {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || usize::from(inbox.push(Boxed::new(1, 0))))
        };
        let mut labels = Vec::new();
        take_into(&inbox, &mut labels);
        let taken = labels.iter().filter(|(from, _)| *from == 0).count();
        assert_ne!(taken, 1, "a part of the chain was seen");
        let batches = usize::from(!labels.is_empty());
        let firsts = chain.join().unwrap() + single.join().unwrap();
        let rest = usize::from(!inbox.is_empty());
        take_into(&inbox, &mut labels);
        assert_in_order(&labels, 0, 2);
        assert_in_order(&labels, 1, 1);
        assert_eq!(firsts, batches + rest, "each batch has one announcer");
    });
}
