//! What waits in a lane: plain lists in the order that `policy::ServiceOrder` decides.

mod search;

use crate::entry::Entry;
use crate::list::List;
use crate::policy::{LaneClock, Sample, ServiceOrder, Share, Source, Waiting};
use crate::proto::inbox::Inbox;

pub(crate) use search::Search;

/// Most entries that are walked over or given away at once, so that sections stay short.
const MOST_GIVEN: usize = 512;

/// Where a new entry goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// Woken a moment ago by the item that runs here: next in turn.
    Slot,
    /// Woken from elsewhere.
    Resume,
    /// Spawned by the item that runs here.
    Child,
    /// A new item.
    Worklist,
    /// One that yielded: behind the new ones.
    Yielded,
}

/// The lists.
#[derive(Debug)]
pub(crate) struct LaneQueue {
    slot: Option<Entry>,
    resumes: List<Entry>,
    /// Newest first.
    children: List<Entry>,
    worklist: List<Entry>,
    order: ServiceOrder,
    clock: LaneClock,
    pops: u64,
    yields: u64,
    /// First in, first out: no slot, no children.
    bound: bool,
    /// What a search has passed by, of the list that it has come to, in front of what it has still
    /// to look at there. Here and not with who searches, who may lose the lane half-way; empty once
    /// somebody else has begun with the lane.
    passed: List<Entry>,
    /// Which list that is.
    searched: usize,
}

impl LaneQueue {
    /// Nothing waits.
    pub(crate) fn new(bound: bool) -> LaneQueue {
        LaneQueue {
            slot: None,
            resumes: List::new(),
            children: List::new(),
            worklist: List::new(),
            order: ServiceOrder::new(),
            clock: LaneClock::new(),
            pops: 0,
            yields: 0,
            bound,
            passed: List::new(),
            searched: 0,
        }
    }

    /// Entries that wait.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        usize::from(self.slot.is_some())
            + self.resumes.len()
            + self.children.len()
            + self.worklist.len()
            + self.passed.len()
    }

    /// Puts an entry where it belongs.
    #[inline]
    pub(crate) fn push(&mut self, entry: Entry, place: Place) {
        match place {
            Place::Slot if !self.bound => {
                if let Some(displaced) = self.slot.replace(entry) {
                    self.resumes.push_back(displaced);
                }
            }
            Place::Slot | Place::Resume => self.resumes.push_back(entry),
            Place::Child if !self.bound => self.children.push_front(entry),
            Place::Child | Place::Worklist => self.worklist.push_back(entry),
            Place::Yielded => {
                self.yields = self.yields.wrapping_add(1);
                self.worklist.push_back(entry);
            }
        }
    }

    /// Takes the entry whose turn it is.
    #[inline(always)]
    pub(crate) fn next(&mut self, inbox: &Inbox) -> Option<Entry> {
        self.pops = self.pops.wrapping_add(1);
        debug_assert!(self.passed.is_empty(), "who gets the lane puts that back");
        if (self.clock.listens(self.pops) || self.len() == 0) && !inbox.is_empty() {
            self.take_in(inbox);
        }
        let mut waiting = self.waiting();
        if self.order.demote_slot(&waiting) {
            if let Some(demoted) = self.slot.take() {
                self.resumes.push_back(demoted);
            }
            waiting = self.waiting();
        }
        match self
            .order
            .next(&waiting, self.clock.children_quota(self.pops))?
        {
            Source::Slot => self.slot.take(),
            Source::Resume => self.resumes.pop_front(),
            Source::Child => self.children.pop_front(),
            Source::Worklist => self.worklist.pop_front(),
        }
    }

    /// Takes an entry that has run before, whatever else has its turn: for the one worker that
    /// starts nothing new.
    pub(crate) fn next_resumed(&mut self, inbox: &Inbox) -> Option<Entry> {
        self.pops = self.pops.wrapping_add(1);
        self.put_back();
        self.take_in(inbox);
        let yielded = |entry: &Entry| entry.meta().is_started();
        let resumed = self.slot.take().or_else(|| self.resumes.pop_front());
        resumed.or_else(|| self.worklist.take_first(MOST_GIVEN, yielded))
    }

    /// Sorts what came through the inbox: woken runs before new starts.
    fn take_in(&mut self, inbox: &Inbox) {
        for entry in inbox.take_all::<Entry>() {
            let place = match entry.meta() {
                meta if meta.is_yielded() => Place::Yielded,
                meta if meta.is_started() => Place::Resume,
                _ => Place::Worklist,
            };
            self.push(entry, place);
        }
    }

    /// The snapshot that the order decides on.
    #[inline(always)]
    fn waiting(&self) -> Waiting {
        Waiting {
            slot: self.slot.is_some(),
            resumes: self.resumes.len(),
            children: self.children.len(),
            worklist: self.worklist.len(),
        }
    }

    /// The owner's sampled look at the clock.
    pub(crate) fn sample(&mut self, now_ns: u64) -> Share {
        self.clock.sample(Sample {
            now_ns,
            pops: self.pops,
            yields: self.yields,
            waiting: self.len(),
        })
    }

    /// The lane slept.
    pub(crate) fn forget_gap(&mut self) {
        self.clock.forget_gap();
    }

    /// Mean cost of an item, ns.
    pub(crate) fn cost_ns(&self) -> u64 {
        self.clock.cost_ns()
    }

    /// Takes out about half of what waits, the oldest work first: it is the largest (a tree's
    /// upper nodes) and has waited longest.
    pub(crate) fn give_half(&mut self) -> List<Entry> {
        self.put_back();
        let mut given = List::new();
        let keep = (self.children.len() / 2).min(MOST_GIVEN);
        given.append(&mut self.children.split_off(keep));
        take_front_half(&mut self.worklist, &mut given);
        take_front_half(&mut self.resumes, &mut given);
        if given.is_empty() {
            given.extend_from(self.slot.take());
        }
        given
    }
}

/// Moves the older half of `from` (one of one), at most [`MOST_GIVEN`], to the end of `to`.
fn take_front_half(from: &mut List<Entry>, to: &mut List<Entry>) {
    let n = from.len().div_ceil(2).min(MOST_GIVEN);
    let mut rest = from.split_off(n);
    to.append(from);
    from.append(&mut rest);
}

impl List<Entry> {
    /// Adds an entry if there is one.
    fn extend_from(&mut self, entry: Option<Entry>) {
        if let Some(entry) = entry {
            self.push_back(entry);
        }
    }
}
