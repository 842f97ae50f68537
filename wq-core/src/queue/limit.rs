//! Active slots: which accepted items of a queue may run, and which wait their turn.
//!
//! Pure accounting, used by the engine under a lock and by the simulator without one. An item
//! keeps its slot from activation until it has ended, suspended or not (the one rule). Items
//! leave the waiting list in order of acceptance, and nobody overtakes a waiting item.

use std::collections::VecDeque;
use std::sync::Arc;

use super::reserve::Taker;

/// "No limit".
pub(crate) const UNLIMITED: usize = usize::MAX;

/// Slots and the items that wait for one.
#[derive(Debug)]
pub(crate) struct Limiter<T> {
    max_active: usize,
    /// How many may wait; if `max_active` is unlimited, how many may be in flight.
    max_pending: usize,
    nr_active: usize,
    inactive: VecDeque<T>,
    /// Places kept on the waiting list for items that are still to be made.
    reserved: usize,
    /// Reasons for which nothing starts: `max_active` then counts as 0.
    frozen: u32,
    /// Places that are kept for items which nobody has queued yet: see `reserve.rs`.
    permits: usize,
    /// Those who wait for such a place, in order. While there are any, no place is free.
    takers: VecDeque<Arc<Taker>>,
}

/// What happens to an item that asks for acceptance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Admission {
    /// It has a slot.
    Active,
    /// It must be put on the waiting list with [`Limiter::wait`].
    Inactive,
    /// The queue is full.
    Full,
}

impl<T> Limiter<T> {
    /// No items.
    pub(crate) fn new(max_active: usize, max_pending: usize) -> Limiter<T> {
        Limiter {
            max_active,
            max_pending,
            nr_active: 0,
            inactive: VecDeque::new(),
            reserved: 0,
            frozen: 0,
            permits: 0,
            takers: VecDeque::new(),
        }
    }

    /// How many more items would be accepted now.
    fn free_places(&self) -> usize {
        let places = if self.max_active == UNLIMITED {
            self.max_pending.saturating_sub(self.in_flight())
        } else {
            let slots = self.slots().saturating_sub(self.nr_active);
            let slots = if self.inactive.is_empty() { slots } else { 0 };
            let waiting = self.inactive.len() + self.reserved;
            slots.saturating_add(self.max_pending.saturating_sub(waiting))
        };
        places.saturating_sub(self.permits)
    }

    /// Puts somebody in line for a place.
    pub(crate) fn ask(&mut self, taker: Arc<Taker>) {
        self.takers.push_back(taker);
    }

    /// Gives a free place to the first in line, if there is any of both. Call it until `None` after
    /// whatever frees one.
    #[inline]
    pub(crate) fn grant(&mut self) -> Option<Arc<Taker>> {
        if self.takers.is_empty() || self.free_places() == 0 {
            return None;
        }
        let taker = self.takers.pop_front()?;
        self.permits += 1;
        taker.note_place();
        Some(taker)
    }

    /// Somebody in line has lost interest. False: was not in line.
    pub(crate) fn forget(&mut self, taker: &Arc<Taker>) -> bool {
        let at = self.takers.iter().position(|it| Arc::ptr_eq(it, taker));
        at.is_some_and(|at| self.takers.remove(at).is_some())
    }

    /// The line is closed.
    pub(crate) fn take_takers(&mut self) -> VecDeque<Arc<Taker>> {
        std::mem::take(&mut self.takers)
    }

    /// A place that was kept is used, or given back.
    pub(crate) fn end_permit(&mut self) {
        debug_assert!(self.permits > 0, "a permit ends once");
        self.permits -= 1;
    }

    /// How many items may hold a slot now.
    fn slots(&self) -> usize {
        if self.frozen > 0 { 0 } else { self.max_active }
    }

    /// Items that were accepted and have not ended, and those that are still to be made.
    fn in_flight(&self) -> usize {
        self.nr_active + self.inactive.len() + self.reserved
    }

    /// Decides over a new item. `Active` takes a slot.
    pub(crate) fn admit(&mut self) -> Admission {
        if self.permits > 0 && self.free_places() == 0 {
            return Admission::Full;
        }
        if self.max_active == UNLIMITED && self.in_flight() >= self.max_pending {
            return Admission::Full;
        }
        if self.inactive.is_empty() && self.nr_active < self.slots() {
            self.nr_active += 1;
            Admission::Active
        } else if self.inactive.len() + self.reserved < self.max_pending {
            Admission::Inactive
        } else {
            Admission::Full
        }
    }

    /// As [`Limiter::admit`] for an item that was promised its place: it is never refused.
    /// True: it has a slot.
    pub(crate) fn admit_promised(&mut self) -> bool {
        let active = self.inactive.is_empty() && self.nr_active < self.slots();
        self.nr_active += usize::from(active);
        active
    }

    /// Puts an item behind those that wait.
    pub(crate) fn wait(&mut self, item: T) {
        self.inactive.push_back(item);
    }

    /// As [`Limiter::admit`] for an item that is still to be made: `Inactive` keeps a place on
    /// the waiting list, which [`Limiter::wait_reserved`] uses up.
    pub(crate) fn reserve(&mut self) -> Admission {
        let admission = self.admit();
        self.reserved += usize::from(admission == Admission::Inactive);
        admission
    }

    /// Puts an item into the place that was kept for it.
    pub(crate) fn wait_reserved(&mut self, item: T) {
        debug_assert!(self.reserved > 0, "`reserve` kept a place");
        self.reserved -= 1;
        self.wait(item);
    }

    /// An active item has ended; returns the one that gets its slot.
    pub(crate) fn release(&mut self) -> Option<T> {
        debug_assert!(self.nr_active > 0, "only an active item gives a slot back");
        self.nr_active -= 1;
        self.activate_one()
    }

    /// Activates the next waiting item if there is a slot.
    pub(crate) fn activate_one(&mut self) -> Option<T> {
        if self.nr_active >= self.slots() {
            return None;
        }
        let item = self.inactive.pop_front()?;
        self.nr_active += 1;
        Some(item)
    }

    /// Changes the limit; running items are not interrupted. Call `activate_one` until `None`.
    pub(crate) fn set_max_active(&mut self, max_active: usize) {
        self.max_active = max_active;
    }

    /// One more reason to start nothing; running items are not interrupted.
    pub(crate) fn freeze(&mut self) {
        self.frozen += 1;
    }

    /// One reason less. Call `activate_one` until `None`.
    pub(crate) fn thaw(&mut self) {
        debug_assert!(self.frozen > 0, "only what is frozen thaws");
        self.frozen -= 1;
    }

    /// Whether nothing starts.
    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen > 0
    }

    /// The queue ends: lifts the limit and every reason to start nothing. Call `activate_one` until
    /// `None`.
    pub(crate) fn lift(&mut self) {
        self.frozen = 0;
        self.max_active = UNLIMITED;
    }

    /// Takes out the waiting items that `gone` selects, in order. Each gets a slot beyond the
    /// limit, which it gives back like any other: they are only dropped, and wait for nobody.
    pub(crate) fn reap(&mut self, gone: impl Fn(&T) -> bool) -> Vec<T> {
        let (out, stay): (VecDeque<T>, _) = self.inactive.drain(..).partition(|item| gone(item));
        self.inactive = stay;
        self.nr_active += out.len();
        out.into()
    }

    /// Takes out everything that waits; the queue is no more.
    pub(crate) fn take_waiting(&mut self) -> VecDeque<T> {
        std::mem::take(&mut self.inactive)
    }

    /// Items that may hold a slot.
    pub(crate) fn max_active(&self) -> usize {
        self.max_active
    }

    /// Items that may wait, or (see the field) be in flight.
    pub(crate) fn max_pending(&self) -> usize {
        self.max_pending
    }

    /// Those that wait, in order.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &T> {
        self.inactive.iter()
    }

    /// Items that hold a slot.
    pub(crate) fn nr_active(&self) -> usize {
        self.nr_active
    }

    /// Items that wait for one.
    pub(crate) fn nr_inactive(&self) -> usize {
        self.inactive.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Admits `n` items numbered from 0; returns those that became active.
    fn admit(l: &mut Limiter<u32>, range: std::ops::Range<u32>) -> Vec<u32> {
        range
            .filter(|&n| match l.admit() {
                Admission::Active => true,
                Admission::Inactive => {
                    l.wait(n);
                    false
                }
                Admission::Full => panic!("no bound was set"),
            })
            .collect()
    }

    /// Order of acceptance is the order of activation, whatever is released when.
    #[test]
    fn activation_is_first_in_first_out() {
        let mut l = Limiter::new(2, UNLIMITED);
        assert_eq!(admit(&mut l, 0..5), [0, 1]);
        assert_eq!(l.release(), Some(2));
        assert_eq!(l.release(), Some(3));
        assert_eq!(l.release(), Some(4));
        assert_eq!(l.release(), None);
        assert_eq!(l.nr_active(), 1);
        assert_eq!(admit(&mut l, 5..6), [5]);
    }

    /// T10: a raise activates waiting items; a lowering lets running ones be.
    #[test]
    fn the_limit_moves_without_losing_items() {
        let mut l = Limiter::new(1, UNLIMITED);
        assert_eq!(admit(&mut l, 0..4), [0]);
        l.set_max_active(3);
        assert_eq!(
            (l.activate_one(), l.activate_one(), l.activate_one()),
            (Some(1), Some(2), None)
        );
        l.set_max_active(1);
        assert_eq!((l.release(), l.release()), (None, None));
        assert_eq!(l.release(), Some(3));
    }

    /// A bound on waiting items refuses the next one; so does one on items in flight.
    #[test]
    fn a_full_queue_refuses() {
        let mut waiting = Limiter::new(1, 1);
        assert_eq!(waiting.admit(), Admission::Active);
        assert_eq!(waiting.admit(), Admission::Inactive);
        waiting.wait(1);
        assert_eq!(waiting.admit(), Admission::Full);
        let mut flying = Limiter::<u32>::new(UNLIMITED, 2);
        assert_eq!(flying.admit(), Admission::Active);
        assert_eq!(flying.admit(), Admission::Active);
        assert_eq!(flying.admit(), Admission::Full);
        assert_eq!(flying.release(), None);
        assert_eq!(flying.admit(), Admission::Active);
    }

    /// Reaping keeps the order of the others, who get no slot earlier or later for it.
    #[test]
    fn reaped_items_leave_the_others_in_order() {
        let mut l = Limiter::new(1, UNLIMITED);
        admit(&mut l, 0..6);
        assert_eq!(l.reap(|n| n % 2 == 0), [2, 4]);
        assert_eq!((l.release(), l.release()), (None, None));
        assert_eq!(
            (l.release(), l.nr_inactive(), l.nr_active()),
            (Some(1), 2, 1)
        );
    }

    /// Places for items that nobody has queued yet count for the bound, and go to those in line
    /// before anybody else, in order.
    #[test]
    fn places_go_to_those_in_line() {
        for (active, pending) in [(1, 1), (UNLIMITED, 2), (2, 0)] {
            let mut l = Limiter::<u32>::new(active, pending);
            let takers: Vec<Arc<Taker>> = (0..4).map(|_| Arc::default()).collect();
            takers.iter().for_each(|taker| l.ask(Arc::clone(taker)));
            for first in &takers[..2] {
                assert!(l.grant().is_some_and(|taker| Arc::ptr_eq(&taker, first)));
            }
            assert!(l.grant().is_none());
            assert_eq!((l.admit(), l.reserve()), (Admission::Full, Admission::Full));
            // The first one is used, and its item ends.
            l.end_permit();
            assert!(l.admit_promised());
            assert!(l.grant().is_none() && l.admit() == Admission::Full);
            assert_eq!(l.release(), None);
            assert!(l.forget(&takers[2]) && !l.forget(&takers[2]));
            assert!(
                l.grant()
                    .is_some_and(|taker| Arc::ptr_eq(&taker, &takers[3]))
            );
            // The others are given back unused.
            l.end_permit();
            l.end_permit();
            assert_eq!(l.admit(), Admission::Active);
        }
    }

    /// Places that are kept count for the bound.
    #[test]
    fn kept_places_count() {
        let mut l = Limiter::new(1, 1);
        assert_eq!(l.reserve(), Admission::Active);
        assert_eq!(l.reserve(), Admission::Inactive);
        assert_eq!((l.reserve(), l.admit()), (Admission::Full, Admission::Full));
        l.wait_reserved(7);
        assert_eq!(l.admit(), Admission::Full);
        assert_eq!(l.release(), Some(7));
        assert_eq!(l.admit(), Admission::Inactive);
    }

    /// While frozen nothing gets a slot, not even one that an item gives back; a thaw starts what
    /// waits, in order.
    #[test]
    fn nothing_starts_while_frozen() {
        let mut l = Limiter::new(UNLIMITED, UNLIMITED);
        assert_eq!(admit(&mut l, 0..2), [0, 1]);
        l.freeze();
        l.freeze();
        assert_eq!(admit(&mut l, 2..4), []);
        assert!(!l.admit_promised());
        l.wait(4);
        assert_eq!((l.release(), l.activate_one()), (None, None));
        l.thaw();
        assert!(l.is_frozen());
        assert_eq!(
            (l.release(), l.activate_one(), l.nr_active()),
            (None, None, 0)
        );
        l.thaw();
        let started: Vec<_> = std::iter::from_fn(|| l.activate_one()).collect();
        assert_eq!(started, [2, 3, 4]);
        assert_eq!(admit(&mut l, 5..6), [5]);
    }

    /// A bound on items in flight counts those that wait for the thaw; a change of the limit while
    /// frozen starts nothing.
    #[test]
    fn frozen_items_count_for_the_bound() {
        let mut l = Limiter::new(UNLIMITED, 2);
        l.freeze();
        assert_eq!(admit(&mut l, 0..2), []);
        assert_eq!((l.admit(), l.reserve()), (Admission::Full, Admission::Full));
        let mut limited = Limiter::new(1, UNLIMITED);
        limited.freeze();
        admit(&mut limited, 0..3);
        limited.set_max_active(2);
        assert_eq!(limited.activate_one(), None);
        limited.lift();
        assert_eq!(limited.activate_one(), Some(0));
    }
}
