//! Active slots: which accepted items of a queue may run, and which wait their turn.
//!
//! Pure accounting, used by the engine under a lock and by the simulator without one. An item
//! keeps its slot from activation until it has ended, suspended or not (the one rule). Items
//! leave the waiting list in order of acceptance, and nobody overtakes a waiting item.
//!
//! On a machine with several NUMA nodes the limit of an unbound queue is divided: each node has a
//! share, and items that wait for a slot of one node are not overtaken by others of that node.

use std::collections::VecDeque;
use std::sync::Arc;

use super::reserve::Taker;

/// "No limit".
pub(crate) const UNLIMITED: usize = usize::MAX;

/// What each node has at least, if nobody says otherwise (kernel: `WQ_DFL_MIN_ACTIVE`).
pub(crate) const DEFAULT_MIN_ACTIVE: usize = 8;

/// What a slot is charged to: 0, or one more than the place of the NUMA node in which the item's
/// pool is. Pools that span nodes, and all of a machine with one node, charge 0.
pub(crate) type Charge = u8;

/// Most charges: an item has five bits for its own.
pub(crate) const MAX_CHARGES: usize = 32;

/// Slots and the items that wait for one.
#[derive(Debug)]
pub(crate) struct Limiter<T> {
    max_active: usize,
    /// Of each node's share: at least so many, see [`Limiter::share_out`].
    min_active: usize,
    /// How many may wait; if `max_active` is unlimited, how many may be in flight.
    max_pending: usize,
    /// One at a time, in order of acceptance, whatever the other limits are.
    ordered: bool,
    /// Of what is charged 0; of a queue that is not divided: all.
    whole: Share<T>,
    /// Of each node.
    nodes: Box<[Share<T>]>,
    /// Number of the next item that waits; items of one share need none.
    next: u64,
    /// Places kept on the waiting list for items that are still to be made.
    reserved: usize,
    /// Reasons for which nothing starts: `max_active` then counts as 0.
    frozen: u32,
    /// Places that are kept for items which nobody has queued yet: see `reserve.rs`.
    permits: usize,
    /// Those who wait for such a place, in order. While there are any, no place is free.
    takers: VecDeque<Arc<Taker>>,
    /// The limits were lifted for good.
    over: bool,
}

/// What one charge has.
#[derive(Debug)]
struct Share<T> {
    max_active: usize,
    nr_active: usize,
    inactive: VecDeque<T>,
    /// Their numbers, if there are several shares.
    numbers: VecDeque<u64>,
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

/// How many items of a node's pools may be active: its part of `max_active` by CPUs, rounded up,
/// but `min_active` at least; one, if that is 0, because what waits there waits for nobody else.
pub(crate) fn node_share(max: usize, min: usize, cpus_in_node: usize, cpus: usize) -> usize {
    if max == UNLIMITED {
        return UNLIMITED;
    }
    // In u128, since both may be as large as they like.
    let part = (max as u128 * cpus_in_node as u128).div_ceil(cpus.max(1) as u128) as usize;
    part.clamp(min.min(max), max).max(1)
}

impl<T> Limiter<T> {
    /// No items, undivided.
    #[cfg(test)]
    pub(crate) fn new(max_active: usize, max_pending: usize) -> Limiter<T> {
        Limiter::divided(max_active, max_pending, 1)
    }

    /// No items, with so many charges, each of which has the whole limit until it gets a share.
    pub(crate) fn divided(max_active: usize, max_pending: usize, charges: usize) -> Limiter<T> {
        debug_assert!((1..=MAX_CHARGES).contains(&charges), "see MAX_CHARGES");
        let share = || Share {
            max_active,
            nr_active: 0,
            inactive: VecDeque::new(),
            numbers: VecDeque::new(),
        };
        Limiter {
            max_active,
            min_active: max_active.min(DEFAULT_MIN_ACTIVE),
            max_pending,
            ordered: false,
            whole: share(),
            nodes: (1..charges).map(|_| share()).collect(),
            next: 0,
            reserved: 0,
            frozen: 0,
            permits: 0,
            takers: VecDeque::new(),
            over: false,
        }
    }

    /// How many more items would have a slot now, whichever node's they were: who waits for a place
    /// does not say.
    fn free_slots(&self) -> usize {
        if self.frozen > 0 {
            0
        } else if self.ordered {
            usize::from(self.nr_active() + self.nr_inactive() == 0)
        } else {
            let free = |share: &Share<T>| match share.inactive.len() {
                0 => share.max_active.saturating_sub(share.nr_active),
                _ => 0,
            };
            self.shares().map(free).min().unwrap_or(0)
        }
    }

    /// How many more items would be accepted now.
    fn free_places(&self) -> usize {
        let places = if self.max_active == UNLIMITED {
            self.max_pending.saturating_sub(self.in_flight())
        } else {
            let waiting = self.nr_inactive() + self.reserved;
            let free = self.max_pending.saturating_sub(waiting);
            self.free_slots().saturating_add(free)
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

    /// What a charge has.
    fn share(&self, charge: Charge) -> &Share<T> {
        match usize::from(charge) {
            0 => &self.whole,
            node => &self.nodes[node - 1],
        }
    }

    /// As [`Limiter::share`].
    fn share_mut(&mut self, charge: Charge) -> &mut Share<T> {
        match usize::from(charge) {
            0 => &mut self.whole,
            node => &mut self.nodes[node - 1],
        }
    }

    /// What all charges have.
    fn shares(&self) -> impl Iterator<Item = &Share<T>> {
        std::iter::once(&self.whole).chain(&self.nodes)
    }

    /// As [`Limiter::shares`].
    fn shares_mut(&mut self) -> impl Iterator<Item = &mut Share<T>> {
        std::iter::once(&mut self.whole).chain(&mut self.nodes)
    }

    /// Whether one more item of this charge may have a slot, if none waits before it.
    fn has_slot(&self, charge: Charge) -> bool {
        let share = self.share(charge);
        if self.frozen > 0 {
            false
        } else if self.ordered {
            self.nr_active() == 0
        } else {
            share.nr_active < share.max_active
        }
    }

    /// Whether an item waits that a new one of this charge must not overtake.
    fn has_waiting(&self, charge: Charge) -> bool {
        if self.ordered {
            self.nr_inactive() > 0
        } else {
            !self.share(charge).inactive.is_empty()
        }
    }

    /// Items that were accepted and have not ended, and those that are still to be made.
    fn in_flight(&self) -> usize {
        self.nr_active() + self.nr_inactive() + self.reserved
    }

    /// Whether nodes have shares.
    pub(crate) fn is_divided(&self) -> bool {
        !self.nodes.is_empty()
    }

    /// Decides over a new item. `Active` takes a slot.
    pub(crate) fn admit(&mut self, charge: Charge) -> Admission {
        if self.permits > 0 && self.free_places() == 0 {
            return Admission::Full;
        }
        if self.max_active == UNLIMITED && self.in_flight() >= self.max_pending {
            return Admission::Full;
        }
        if self.admit_promised(charge) {
            Admission::Active
        } else if self.nr_inactive() + self.reserved < self.max_pending {
            Admission::Inactive
        } else {
            Admission::Full
        }
    }

    /// As [`Limiter::admit`] for an item that was promised its place: it is never refused.
    /// True: it has a slot.
    pub(crate) fn admit_promised(&mut self, charge: Charge) -> bool {
        let active = !self.has_waiting(charge) && self.has_slot(charge);
        self.share_mut(charge).nr_active += usize::from(active);
        active
    }

    /// Puts an item behind those that wait.
    pub(crate) fn wait(&mut self, charge: Charge, item: T) {
        if !self.nodes.is_empty() {
            let number = self.next;
            self.next += 1;
            self.share_mut(charge).numbers.push_back(number);
        }
        self.share_mut(charge).inactive.push_back(item);
    }

    /// As [`Limiter::admit`] for an item that is still to be made: `Inactive` keeps a place on
    /// the waiting list, which [`Limiter::wait_reserved`] uses up.
    pub(crate) fn reserve(&mut self, charge: Charge) -> Admission {
        let admission = self.admit(charge);
        self.reserved += usize::from(admission == Admission::Inactive);
        admission
    }

    /// Puts an item into the place that was kept for it.
    pub(crate) fn wait_reserved(&mut self, charge: Charge, item: T) {
        debug_assert!(self.reserved > 0, "`reserve` kept a place");
        self.reserved -= 1;
        self.wait(charge, item);
    }

    /// No item is made for a place on the waiting list that was kept.
    pub(crate) fn end_reserved(&mut self) {
        debug_assert!(self.reserved > 0, "`reserve` kept a place");
        self.reserved -= 1;
    }

    /// An active item has ended; returns the one that gets its slot.
    pub(crate) fn release(&mut self, charge: Charge) -> Option<T> {
        let share = self.share_mut(charge);
        debug_assert!(share.nr_active > 0, "only an active item gives a slot back");
        share.nr_active -= 1;
        if self.ordered {
            self.activate_one()
        } else {
            self.activate_of(charge)
        }
    }

    /// Activates the next waiting item of a charge if there is a slot.
    fn activate_of(&mut self, charge: Charge) -> Option<T> {
        if !self.has_slot(charge) {
            return None;
        }
        let share = self.share_mut(charge);
        let item = share.inactive.pop_front()?;
        share.numbers.pop_front();
        share.nr_active += 1;
        Some(item)
    }

    /// Activates one of the waiting items for which there is a slot: of an ordered queue the one
    /// that was accepted first, else the first of its charge.
    pub(crate) fn activate_one(&mut self) -> Option<T> {
        let mut charges = 0..=self.nodes.len() as Charge;
        if !self.ordered || self.nodes.is_empty() {
            return charges.find_map(|charge| self.activate_of(charge));
        }
        let first = |c: &Charge| self.share(*c).numbers.front().copied();
        let waiting = charges.filter_map(|c| first(&c).map(|number| (number, c)));
        let (_, charge) = waiting.min()?;
        self.activate_of(charge)
    }

    /// Changes the limit; running items are not interrupted. Then share it out, if the queue is
    /// divided, and call `activate_one` until `None`.
    pub(crate) fn set_max_active(&mut self, max_active: usize) {
        let max_active = if self.over { UNLIMITED } else { max_active };
        self.max_active = max_active;
        self.min_active = self.min_active.min(max_active);
        for share in self.shares_mut() {
            share.max_active = max_active;
        }
    }

    /// Changes what each node has at least. Then share out and activate, as above.
    pub(crate) fn set_min_active(&mut self, min_active: usize) {
        self.min_active = min_active;
    }

    /// Gives each node its share; `in_node(n)` are the queue's CPUs in the node at place `n`, of
    /// `cpus` in all. Running items are not interrupted. Call `activate_one` until `None`.
    pub(crate) fn share_out(&mut self, cpus: usize, in_node: impl Fn(usize) -> usize) {
        let (max, min) = (self.max_active, self.min_active);
        for (node, share) in self.nodes.iter_mut().enumerate() {
            share.max_active = node_share(max, min, in_node(node), cpus);
        }
    }

    /// One at a time from now on, when those that are active have ended; or no longer, and then
    /// call `activate_one` until `None`.
    pub(crate) fn set_ordered(&mut self, ordered: bool) {
        self.ordered = ordered && !self.over;
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

    /// The queue ends: lifts the limit and every reason to start nothing, for good. Call
    /// `activate_one` until `None`.
    pub(crate) fn lift(&mut self) {
        self.over = true;
        self.frozen = 0;
        self.ordered = false;
        self.set_max_active(UNLIMITED);
    }

    /// Takes out the waiting items that `gone` selects, in order. Each gets a slot beyond the
    /// limit, which it gives back like any other: they are only dropped, and wait for nobody.
    pub(crate) fn reap(&mut self, gone: impl Fn(&T) -> bool) -> Vec<T> {
        let mut all = Vec::new();
        for share in self.shares_mut() {
            let mut numbers = std::mem::take(&mut share.numbers).into_iter();
            let before = all.len();
            for item in std::mem::take(&mut share.inactive) {
                let number = numbers.next();
                if gone(&item) {
                    all.push(item);
                } else {
                    share.inactive.push_back(item);
                    share.numbers.extend(number);
                }
            }
            share.nr_active += all.len() - before;
        }
        all
    }

    /// Takes out everything that waits; the queue is no more.
    pub(crate) fn take_waiting(&mut self) -> Vec<T> {
        let waiting = |share: &mut Share<T>| std::mem::take(&mut share.inactive);
        self.shares_mut().flat_map(waiting).collect()
    }

    /// Whether whatever is accepted now waits, until something that is active ends or the queue
    /// thaws, and is not refused: who adds an item then need not ask.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        let simple = self.nodes.is_empty() && self.max_pending == UNLIMITED;
        simple && !self.has_slot(0) && (self.whole.nr_active > 0 || self.frozen > 0)
    }

    /// Whether an item may have to wait until another one has ended.
    pub(crate) fn makes_wait(&self) -> bool {
        self.ordered || self.max_active < UNLIMITED
    }

    /// Items that may hold a slot.
    pub(crate) fn max_active(&self) -> usize {
        self.max_active
    }

    /// Items of a charge that may hold a slot.
    #[cfg(test)]
    pub(crate) fn max_active_of(&self, charge: Charge) -> usize {
        self.share(charge).max_active
    }

    /// Items that may wait, or (see the field) be in flight.
    pub(crate) fn max_pending(&self) -> usize {
        self.max_pending
    }

    /// Those that wait; of each charge in order.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &T> {
        self.shares().flat_map(|share| &share.inactive)
    }

    /// Items that hold a slot.
    pub(crate) fn nr_active(&self) -> usize {
        self.shares().map(|share| share.nr_active).sum()
    }

    /// Items that wait for one.
    pub(crate) fn nr_inactive(&self) -> usize {
        self.shares().map(|share| share.inactive.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Admits `n` items numbered from 0; returns those that became active.
    fn admit(l: &mut Limiter<u32>, range: std::ops::Range<u32>) -> Vec<u32> {
        range
            .filter(|&n| match l.admit(0) {
                Admission::Active => true,
                Admission::Inactive => {
                    l.wait(0, n);
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
        assert_eq!(l.release(0), Some(2));
        assert_eq!(l.release(0), Some(3));
        assert_eq!(l.release(0), Some(4));
        assert_eq!(l.release(0), None);
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
        assert_eq!((l.release(0), l.release(0)), (None, None));
        assert_eq!(l.release(0), Some(3));
    }

    /// A bound on waiting items refuses the next one; so does one on items in flight.
    #[test]
    fn a_full_queue_refuses() {
        let mut waiting = Limiter::new(1, 1);
        assert_eq!(waiting.admit(0), Admission::Active);
        assert_eq!(waiting.admit(0), Admission::Inactive);
        waiting.wait(0, 1);
        assert_eq!(waiting.admit(0), Admission::Full);
        let mut flying = Limiter::<u32>::new(UNLIMITED, 2);
        assert_eq!(flying.admit(0), Admission::Active);
        assert_eq!(flying.admit(0), Admission::Active);
        assert_eq!(flying.admit(0), Admission::Full);
        assert_eq!(flying.release(0), None);
        assert_eq!(flying.admit(0), Admission::Active);
    }

    /// Reaping keeps the order of the others, who get no slot earlier or later for it.
    #[test]
    fn reaped_items_leave_the_others_in_order() {
        let mut l = Limiter::new(1, UNLIMITED);
        admit(&mut l, 0..6);
        assert_eq!(l.reap(|n| n % 2 == 0), [2, 4]);
        assert_eq!((l.release(0), l.release(0)), (None, None));
        assert_eq!(
            (l.release(0), l.nr_inactive(), l.nr_active()),
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
            assert_eq!(
                (l.admit(0), l.reserve(0)),
                (Admission::Full, Admission::Full)
            );
            // The first one is used, and its item ends.
            l.end_permit();
            assert!(l.admit_promised(0));
            assert!(l.grant().is_none() && l.admit(0) == Admission::Full);
            assert_eq!(l.release(0), None);
            assert!(l.forget(&takers[2]) && !l.forget(&takers[2]));
            assert!(
                l.grant()
                    .is_some_and(|taker| Arc::ptr_eq(&taker, &takers[3]))
            );
            // The others are given back unused.
            l.end_permit();
            l.end_permit();
            assert_eq!(l.admit(0), Admission::Active);
        }
    }

    /// Places that are kept count for the bound.
    #[test]
    fn kept_places_count() {
        let mut l = Limiter::new(1, 1);
        assert_eq!(l.reserve(0), Admission::Active);
        assert_eq!(l.reserve(0), Admission::Inactive);
        assert_eq!(
            (l.reserve(0), l.admit(0)),
            (Admission::Full, Admission::Full)
        );
        l.wait_reserved(0, 7);
        assert_eq!(l.admit(0), Admission::Full);
        assert_eq!(l.release(0), Some(7));
        assert_eq!(l.admit(0), Admission::Inactive);
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
        assert!(!l.admit_promised(0));
        l.wait(0, 4);
        assert_eq!((l.release(0), l.activate_one()), (None, None));
        l.thaw();
        assert!(l.is_frozen());
        assert_eq!(
            (l.release(0), l.activate_one(), l.nr_active()),
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
        assert_eq!(
            (l.admit(0), l.reserve(0)),
            (Admission::Full, Admission::Full)
        );
        let mut limited = Limiter::new(1, UNLIMITED);
        limited.freeze();
        admit(&mut limited, 0..3);
        limited.set_max_active(2);
        assert_eq!(limited.activate_one(), None);
        limited.lift();
        assert_eq!(limited.activate_one(), Some(0));
    }

    /// A limit that was lifted for the end of its queue does not come back.
    #[test]
    fn what_is_lifted_stays_so() {
        let mut l = Limiter::new(1, UNLIMITED);
        l.lift();
        l.set_max_active(1);
        l.set_ordered(true);
        assert_eq!(admit(&mut l, 0..3), [0, 1, 2]);
        assert!(!l.makes_wait());
    }

    /// T13, and around it: a node's part by CPUs, never below what each has at least.
    #[test]
    fn shares_are_the_kernels() {
        let cases = [
            // max, min, CPUs in the node, CPUs; the share.
            ((16, 8, 12, 24), 8),
            ((24, 8, 2, 24), 8),
            ((24, 8, 22, 24), 22),
            ((24, 0, 2, 24), 2),
            ((5, 5, 1, 2), 5),
            ((5, 1, 1, 2), 3),
            ((9, 0, 0, 24), 1),
            ((9, 4, 0, 0), 4),
            ((1, 1, 1, 64), 1),
            ((UNLIMITED, 8, 1, 2), UNLIMITED),
            ((UNLIMITED - 1, 8, 2, 2), UNLIMITED - 1),
        ];
        for ((max, min, here, all), share) in cases {
            assert_eq!(
                node_share(max, min, here, all),
                share,
                "{max} {min} {here} {all}"
            );
        }
    }

    /// Admits an item of a charge, which waits if it must. True: it is active.
    fn admit_to(l: &mut Limiter<u32>, charge: Charge, item: u32) -> bool {
        let active = l.admit_promised(charge);
        if !active {
            l.wait(charge, item);
        }
        active
    }

    /// Each node has its own slots and its own line; what spans nodes has the whole limit.
    #[test]
    fn nodes_have_lines_of_their_own() {
        let mut l = Limiter::divided(3, UNLIMITED, 3);
        l.set_min_active(0);
        l.share_out(3, |node| node + 1);
        assert!(admit_to(&mut l, 1, 0) && !admit_to(&mut l, 1, 1));
        assert!(admit_to(&mut l, 2, 2) && admit_to(&mut l, 2, 3) && !admit_to(&mut l, 2, 4));
        assert!((5..8).all(|item| admit_to(&mut l, 0, item)) && !admit_to(&mut l, 0, 8));
        assert_eq!((l.nr_active(), l.nr_inactive()), (6, 3));
        assert_eq!((l.activate_one(), l.release(2)), (None, Some(4)));
        assert_eq!((l.release(0), l.release(1)), (Some(8), Some(1)));
        l.set_max_active(9);
        l.share_out(3, |node| node + 1);
        assert!(admit_to(&mut l, 1, 9) && admit_to(&mut l, 1, 10) && !admit_to(&mut l, 1, 11));
    }

    /// Switched on, order begins when all that is active has ended, and it is that of acceptance
    /// over all lines; switched off, each line goes on by its own slots.
    #[test]
    fn order_can_be_switched_on_and_off() {
        let mut l = Limiter::divided(2, UNLIMITED, 3);
        l.set_min_active(0);
        l.share_out(2, |_| 1);
        assert!(admit_to(&mut l, 1, 0) && admit_to(&mut l, 2, 1));
        for (charge, item) in [(2, 2), (1, 3), (2, 4), (1, 5), (2, 6)] {
            assert!(!admit_to(&mut l, charge, item));
        }
        l.set_ordered(true);
        assert!(!admit_to(&mut l, 0, 7), "nobody overtakes");
        assert_eq!((l.release(1), l.release(2)), (None, Some(2)));
        assert_eq!(
            (l.release(2), l.release(1), l.nr_active()),
            (Some(3), Some(4), 1)
        );
        l.set_ordered(false);
        assert_eq!((l.activate_one(), l.activate_one()), (Some(7), Some(5)));
        assert_eq!((l.activate_one(), l.release(2)), (None, Some(6)));
    }

    /// What is reaped leaves the others' order over the lines as it was.
    #[test]
    fn reaped_items_leave_the_order_of_lines() {
        let mut l = Limiter::divided(1, UNLIMITED, 3);
        l.set_ordered(true);
        assert!(admit_to(&mut l, 1, 0));
        for (charge, item) in [(2, 1), (1, 2), (2, 3), (1, 4)] {
            assert!(!admit_to(&mut l, charge, item));
        }
        assert_eq!(l.reap(|item| *item == 1 || *item == 2), [2, 1]);
        assert_eq!((l.release(1), l.release(2)), (None, None));
        assert_eq!((l.release(1), l.release(2)), (Some(3), Some(4)));
    }
}
