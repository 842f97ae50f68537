//! The model of re-queueable items: pending at most once, one run at a time, none lost.

use std::sync::Weak;
use std::time::Duration;

use super::book::{Book, ItemId, QueueId, Stage, Verdict};
use super::{FROM, Leave, Ledger, Note};
use crate::sim::fuzz::counts::Transition;
use crate::work::delayed::DelayedInner;
use crate::{Modified, Queued, Work};

/// Number of a re-queueable item in the book: each one that ever was.
pub(in crate::sim::fuzz) type WorkId = usize;

/// A request that is still to be executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pending {
    /// A timer has it.
    Armed { queue: QueueId, due_ns: u64 },
    /// A queue has it, as this item.
    Queued(ItemId),
}

/// A re-queueable item.
#[derive(Debug)]
struct State {
    pending: Option<Pending>,
    running: Option<ItemId>,
    disabled: u32,
    /// Cancels that wait, each of which has disabled it once.
    cancels: u32,
    /// The engine's, to ask whether the timer has fired at this very instant.
    timer: Weak<DelayedInner>,
}

/// All of them.
#[derive(Debug, Default)]
pub(in crate::sim::fuzz) struct Requests {
    states: Vec<State>,
    /// Those that are armed, in the order in which they were.
    armed: Vec<WorkId>,
}

/// What a request must be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::sim::fuzz) enum Answer {
    Disabled,
    AlreadyPending,
    /// Granted, as this item, if the queue takes it.
    Item(ItemId, Verdict),
    /// A timer has it.
    Armed,
    /// The queue is closed.
    Closed,
}

impl Ledger {
    /// A re-queueable item is made; its timer, if it has one.
    pub(in crate::sim::fuzz) fn add_work(&self, timer: Weak<DelayedInner>) -> WorkId {
        self.with(|book| {
            book.works.states.push(State {
                pending: None,
                running: None,
                disabled: 0,
                cancels: 0,
                timer,
            });
            book.works.states.len() - 1
        })
    }

    /// A run is asked for; after a delay, if that is not zero.
    pub(in crate::sim::fuzz) fn request(
        &self,
        work: WorkId,
        queue: QueueId,
        home: usize,
        delay: Duration,
    ) -> Answer {
        let from = FROM.get();
        self.with(|book| book.request(work, queue, home, delay, from))
    }

    /// It was answered.
    pub(in crate::sim::fuzz) fn requested(&self, work: WorkId, expected: Answer, got: Queued) {
        self.with(|book| book.requested(work, expected, got));
    }

    /// The delay is set anew: what the answer must be, if the request that comes next must be
    /// answered so.
    pub(in crate::sim::fuzz) fn modified(was_pending: bool, got: Modified) -> Option<Queued> {
        match (was_pending, got) {
            (true, Modified::Rearmed) | (false, Modified::New) => Some(Queued::New),
            (_, Modified::Disabled) => Some(Queued::Disabled),
            (_, Modified::Closed) => Some(Queued::Closed),
            _ => None,
        }
    }

    /// What is pending is taken back; whether there is anything.
    pub(in crate::sim::fuzz) fn cancel(&self, work: WorkId) -> bool {
        self.with(|book| book.cancel(work))
    }

    /// Requests are refused from now on.
    pub(in crate::sim::fuzz) fn disable(&self, work: WorkId) {
        self.with(|book| book.works.states[work].disabled += 1);
    }

    /// One disable less; what the engine must say.
    pub(in crate::sim::fuzz) fn enable(&self, work: WorkId) -> Option<bool> {
        self.with(|book| {
            let disabled = &mut book.works.states[work].disabled;
            *disabled = disabled.checked_sub(1)?;
            Some(*disabled == 0)
        })
    }

    /// Whether an enable would take away what a cancel that waits has disabled.
    pub(in crate::sim::fuzz) fn enable_would_meddle(&self, work: WorkId) -> bool {
        let book = self.book();
        let state = &book.works.states[work];
        state.cancels > 0 && state.disabled <= state.cancels
    }

    /// A cancel begins to wait.
    pub(in crate::sim::fuzz) fn cancel_begins(&self, work: WorkId) {
        self.with(|book| {
            book.works.states[work].cancels += 1;
            book.works.states[work].disabled += 1;
        });
    }

    /// It has ended (`true`), which means that the item is idle, or was given up.
    pub(in crate::sim::fuzz) fn cancel_ends(&self, work: WorkId, over: bool) {
        self.with(|book| {
            let shut_down = book.shut_down;
            let state = &mut book.works.states[work];
            state.cancels -= 1;
            state.disabled -= 1;
            let idle = state.pending.is_none() && state.running.is_none();
            if over && !idle && !shut_down {
                let state = format!("{state:?}");
                book.fault(format!("a cancel of work {work} is over: {state}"));
            }
        });
    }

    /// Whether a request may have been dropped by a shutdown, which tells nobody.
    pub(in crate::sim::fuzz) fn is_shut_down(&self) -> bool {
        self.book().shut_down
    }

    /// The item that a flush which begins now waits for; none if there is nothing, or if it is
    /// known by its timer only.
    pub(in crate::sim::fuzz) fn awaited(&self, work: WorkId) -> Option<ItemId> {
        let book = self.book();
        let state = &book.works.states[work];
        match state.pending {
            Some(Pending::Queued(item)) => Some(item),
            Some(Pending::Armed { .. }) => None,
            None => state.running,
        }
    }

    /// A flush is about to fire the timer. False: that meets a drain which may be over, or not yet;
    /// the engine decides, and then [`Ledger::fired_now`] looks how.
    pub(in crate::sim::fuzz) fn fire_now(&self, work: WorkId) -> bool {
        let home = self.current_cpu();
        self.with(|book| {
            let Some(queue) = book.armed_for(work) else {
                return true;
            };
            let q = &book.queues[queue];
            if q.is_draining() && q.open.is_empty() {
                return false;
            }
            book.tally.raise(Transition::FiredEarly);
            book.fire(work, home);
            true
        })
    }

    /// A flush has fired the timer.
    pub(in crate::sim::fuzz) fn fired_now(&self, work: WorkId) {
        let home = self.current_cpu();
        self.with(|book| {
            if book.armed_for(work).is_some() {
                book.tally.raise(Transition::FiredEarly);
                book.fire(work, home);
            }
        });
    }

    /// The function begins.
    pub(in crate::sim::fuzz) fn run_begins(&self, work: WorkId) -> Option<ItemId> {
        let item = self.with(|book| book.run_begins(work))?;
        self.enter(item);
        Some(item)
    }

    /// It is over.
    pub(in crate::sim::fuzz) fn run_ends(&self, work: WorkId, item: ItemId, how: Leave) {
        self.with(|book| book.works.states[work].running = None);
        self.leave(item, how);
    }

    /// What the engine says of a re-queueable item is what the model says.
    pub(in crate::sim::fuzz) fn check_state(&self, work: WorkId, engine: &Work) {
        self.with(|book| {
            let state = &book.works.states[work];
            let model = (state.pending.is_some(), state.running.is_some());
            let seen = (engine.is_pending(), engine.is_running());
            if model != seen {
                book.fault(format!(
                    "work {work} is (pending, running) {seen:?} and must be {model:?}"
                ));
            }
        });
    }
}

impl Book {
    /// Whether a function runs.
    pub(super) fn any_runs(&self) -> bool {
        self.works
            .states
            .iter()
            .any(|state| state.running.is_some())
    }

    /// Items that are armed.
    pub(super) fn armed(&self) -> usize {
        self.works.armed.len()
    }

    /// The queue for which an item is armed.
    fn armed_for(&self, work: WorkId) -> Option<QueueId> {
        match self.works.states[work].pending {
            Some(Pending::Armed { queue, .. }) => Some(queue),
            _ => None,
        }
    }

    /// Catches up with the timers that have fired.
    pub(super) fn expire(&mut self) {
        if self.works.armed.is_empty() {
            return;
        }
        let now_ns = self.now_ns;
        let mut due: Vec<(u64, WorkId)> = Vec::new();
        for &work in &self.works.armed {
            let state = &self.works.states[work];
            let Some(Pending::Armed { due_ns, .. }) = state.pending else {
                continue;
            };
            let fired = || state.timer.upgrade().is_none_or(|timer| !timer.is_armed());
            if due_ns < now_ns || (due_ns == now_ns && fired()) {
                due.push((due_ns, work));
            }
        }
        due.sort_by_key(|(due_ns, _)| *due_ns);
        for (_, work) in due {
            self.tally.raise(Transition::Fired);
            self.fire(work, TIMER_CPU);
        }
    }

    /// A timer fires: the request is accepted, if the queue does not drain.
    fn fire(&mut self, work: WorkId, home: usize) {
        self.works.armed.retain(|armed| *armed != work);
        let Some(Pending::Armed { queue, .. }) = self.works.states[work].pending else {
            return;
        };
        self.note(Note::Expired(work));
        let drains = self.queues[queue].is_draining();
        let may_be_over = drains && self.queues[queue].open.is_empty();
        let pending = || {
            let timer = self.works.states[work].timer.upgrade();
            timer.is_some_and(|timer| timer.is_pending())
        };
        if drains && !(may_be_over && pending()) {
            self.tally.raise(Transition::FiredInDrain);
            self.works.states[work].pending = None;
            self.queues[queue].totals[0] += 1;
            self.queues[queue].totals[3] += 1;
            return;
        }
        self.queues[queue].drained();
        let item = self.accept(queue, home, true);
        self.works.states[work].pending = Some(Pending::Queued(item));
    }

    /// A run is asked for.
    fn request(
        &mut self,
        work: WorkId,
        queue: QueueId,
        home: usize,
        delay: Duration,
        from: Option<QueueId>,
    ) -> Answer {
        let state = &self.works.states[work];
        if state.disabled > 0 {
            return Answer::Disabled;
        }
        if state.pending.is_some() {
            return Answer::AlreadyPending;
        }
        if delay.is_zero() {
            let verdict = self.verdict(queue, home, from);
            let item = self.accept(queue, home, true);
            self.works.states[work].pending = Some(Pending::Queued(item));
            return Answer::Item(item, verdict);
        }
        if self.verdict(queue, home, from) == Verdict::Closed {
            return Answer::Closed;
        }
        let due_ns = self.now_ns + delay.as_nanos() as u64;
        self.works.states[work].pending = Some(Pending::Armed { queue, due_ns });
        self.works.armed.push(work);
        Answer::Armed
    }

    /// It was answered.
    fn requested(&mut self, work: WorkId, expected: Answer, got: Queued) {
        let running = self.works.states[work].running.is_some();
        if self.shut_down && got != Queued::New {
            // What was pending may have been dropped, which tells nobody.
            if let Answer::Item(item, _) = expected {
                self.works.states[work].pending = None;
                self.settle(item, Verdict::Closed, true);
            }
            return;
        }
        match (expected, got) {
            (Answer::Disabled, Queued::Disabled) => self.tally.raise(Transition::WhileDisabled),
            (Answer::AlreadyPending, Queued::AlreadyPending) => {
                self.tally.raise(Transition::Coalesced);
                self.note(Note::Coalesced(work));
            }
            (Answer::Closed, Queued::Closed) => self.tally.raise(Transition::RequestClosed),
            (Answer::Armed, Queued::New) => {
                self.tally.raise(Transition::Armed);
                self.note(Note::Armed(work));
            }
            (Answer::Item(item, verdict), Queued::New) => {
                self.tally.raise(Transition::Granted);
                self.tally
                    .raise_by(Transition::AgainWhileRunning, u64::from(running));
                self.note(Note::Granted(work));
                self.settle(item, verdict, false);
            }
            (Answer::Item(item, verdict), Queued::Closed) => {
                self.tally.raise(Transition::RequestClosed);
                self.works.states[work].pending = None;
                self.settle(item, verdict, true);
            }
            (expected, got) => self.fault(format!(
                "a request for work {work} was answered {got:?}, and must be {expected:?}"
            )),
        }
    }

    /// What is pending is taken back.
    fn cancel(&mut self, work: WorkId) -> bool {
        let Some(pending) = self.works.states[work].pending.take() else {
            return false;
        };
        self.note(Note::Cancelled(work));
        match pending {
            Pending::Armed { .. } => {
                self.works.armed.retain(|armed| *armed != work);
                self.tally.raise(Transition::Disarmed);
            }
            Pending::Queued(item) => {
                // The engine's entry stays in its list until a worker reaches it, and completes.
                self.tally.raise(Transition::TakenBack);
                let queue = self.items[item].queue;
                self.items[item].stage = Stage::Dropped;
                self.queues[queue].stale = true;
                self.queues[queue].totals[1] += 1;
                self.free(item);
            }
        }
        true
    }

    /// A queue is destroyed: what is armed for it is taken back.
    pub(super) fn disarm_all(&mut self, queue: QueueId) -> u64 {
        let mut taken = 0;
        for work in std::mem::take(&mut self.works.armed) {
            let pending = &mut self.works.states[work].pending;
            if matches!(*pending, Some(Pending::Armed { queue: its, .. }) if its == queue) {
                *pending = None;
                taken += 1;
            } else {
                self.works.armed.push(work);
            }
        }
        self.tally.raise_by(Transition::DisarmedByDestroy, taken);
        taken
    }

    /// The function begins: for a request, and not beside itself.
    fn run_begins(&mut self, work: WorkId) -> Option<ItemId> {
        let state = &mut self.works.states[work];
        if state.running.is_some() {
            self.fault(format!("work {work} runs beside itself"));
            return None;
        }
        let Some(Pending::Queued(item)) = state.pending.take() else {
            let pending = state.pending;
            self.fault(format!(
                "work {work} runs and was not asked for, or too early: {pending:?}"
            ));
            return None;
        };
        state.running = Some(item);
        self.note(Note::Run(work, item));
        Some(item)
    }

    /// All is over: each request was executed or taken back.
    pub(super) fn check_requests_over(&mut self) {
        for work in 0..self.works.states.len() {
            let state = &self.works.states[work];
            if state.pending.is_some() && !self.shut_down || state.running.is_some() {
                let state = format!("{state:?}");
                self.fault(format!(
                    "work {work} was asked for and did not run: {state}"
                ));
            }
        }
    }
}

/// The timers' thread never moves from where it was made.
const TIMER_CPU: usize = 0;
