//! The model: what the queues of a run promised, and every step of the run held against it.
//!
//! It knows the rules of the documentation and nothing of how the engine keeps them. Acceptance,
//! slots and order are replayed exactly. Where the engine frees something at the same virtual
//! instant but some steps later, the model has freed it already, so that it never allows less
//! than the rules do.

mod book;
mod requests;

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::counts::{Counts, Tally, Transition};
use crate::sim::machine::Here;

use book::{Book, DrainId, Verdict};
pub(super) use book::{Item, ItemId, QueueId, Rules, Stage};
pub(super) use requests::WorkId;

thread_local! {
    /// The queue of the item that the thread is inside of.
    static FROM: Cell<Option<QueueId>> = const { Cell::new(None) };
}

/// How an item's code stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Leave {
    /// It goes on later.
    Suspended,
    /// It has returned.
    Returned,
    /// It has panicked.
    Panicked,
}

/// Something that happened, for the trace of a failing seed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Note {
    /// The driving thread begins operation number so and so.
    Op(usize),
    Submit(ItemId, QueueId),
    Refused(ItemId),
    Enter(ItemId, usize),
    Suspend(ItemId),
    End(ItemId),
    Panic(ItemId),
    Drop(ItemId),
    Abort(ItemId),
    Granted(WorkId),
    Coalesced(WorkId),
    Armed(WorkId),
    Expired(WorkId),
    Cancelled(WorkId),
    Run(WorkId, ItemId),
    Flush(QueueId),
    FlushOver(QueueId),
    Drain(QueueId),
    DrainOver(QueueId),
    Close(QueueId),
    ShutDown,
    Freeze(Option<QueueId>),
    Thaw(Option<QueueId>),
}

/// What a flush that has begun must have waited for in the end.
#[derive(Clone, Debug)]
pub(super) struct Covered {
    queue: QueueId,
    items: Vec<ItemId>,
    begun_ns: u64,
    /// It may have to wait for others: no colour was free, or an entry that stands for nothing is
    /// in its way.
    may_last: bool,
}

/// When the machine gives threads again, the maker tries again after a second, and sees to one pool
/// after the other.
const RETRY_NS: u64 = 3_000_000_000;

/// After the last item that a flush covers has ended, the flush may last for so long, ns: code
/// takes no time, but who looks around or spins takes a microsecond now and then.
const FLUSH_NS: u64 = 200_000;

/// The model; a clone is the same one.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    book: Arc<Mutex<Book>>,
    tally: Arc<Tally>,
    here: Here,
}

impl Ledger {
    /// An empty one, for this machine.
    pub(super) fn new(here: &Here) -> Ledger {
        let tally = Arc::new(Tally::new());
        Ledger {
            book: Arc::new(Mutex::new(Book::new(Arc::clone(&tally)))),
            tally,
            here: here.clone(),
        }
    }

    /// Locks, and catches up with the timers. Nobody gives up the baton meanwhile.
    fn book(&self) -> MutexGuard<'_, Book> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.now_ns = self.here.now_ns();
        book.expire();
        book
    }

    /// The same, and whoever broke a promise is told of.
    fn with<R>(&self, f: impl FnOnce(&mut Book) -> R) -> R {
        let mut book = self.book();
        let answer = f(&mut book);
        if let Some(fault) = book.fault.take() {
            let now_ns = book.now_ns;
            drop(book);
            self.here.machine().fail(format!("at {now_ns} ns: {fault}"));
        }
        answer
    }

    /// Something happened.
    pub(super) fn count(&self, what: Transition) {
        self.tally.raise(what);
    }

    /// The same, so often.
    pub(super) fn count_by(&self, what: Transition, by: u64) {
        self.tally.raise_by(what, by);
    }

    /// What happened so far.
    pub(super) fn counts(&self) -> Counts {
        self.tally.counts()
    }

    /// A promise about something else was broken.
    pub(super) fn fault(&self, what: impl Into<String>) {
        let what = what.into();
        self.with(|book| book.fault(what));
    }

    /// A line for the trace.
    pub(super) fn note(&self, note: Note) {
        self.with(|book| book.note(note));
    }

    /// All lines.
    pub(super) fn notes(&self) -> Vec<(u64, Note)> {
        self.book().notes.clone()
    }

    /// A queue is made.
    pub(super) fn add_queue(&self, rules: Rules) -> QueueId {
        self.with(|book| book.add_queue(rules))
    }

    /// An item is about to be queued by the calling thread, for this CPU.
    pub(super) fn submit(&self, queue: QueueId, home: usize) -> (ItemId, Verdict) {
        let from = FROM.with(Cell::get);
        self.with(|book| book.submit(queue, home, from))
    }

    /// It was, or it was refused.
    pub(super) fn submitted(&self, id: ItemId, expected: Verdict) {
        self.with(|book| {
            let refused = book.items[id].stage == Stage::Dropped;
            book.settle(id, expected, refused);
        });
    }

    /// The item's code begins, or goes on.
    pub(super) fn enter(&self, id: ItemId) {
        let cpu = self.current_cpu();
        let queue = self.with(|book| {
            book.enter(id, cpu, Here::get().map_or(0, |here| here.tid()));
            book.items[id].queue
        });
        FROM.set(Some(queue));
    }

    /// The item's code stops.
    pub(super) fn leave(&self, id: ItemId, how: Leave) {
        FROM.set(None);
        self.with(|book| book.leave(id, how));
    }

    /// The item blocks its thread, or may have: its lane is not its own from now on.
    pub(super) fn blocks(&self, id: ItemId) {
        self.with(|book| book.items[id].blocked = true);
    }

    /// The item's memory is gone.
    pub(super) fn dropped(&self, id: ItemId) {
        self.with(|book| book.dropped(id));
    }

    /// The item is aborted.
    pub(super) fn abort(&self, id: ItemId) {
        self.with(|book| book.abort(id));
    }

    /// How the item stands.
    pub(super) fn item(&self, id: ItemId) -> Item {
        self.book().items[id].clone()
    }

    /// What a flush of `queue` that begins now covers.
    pub(super) fn flush_begins(&self, queue: QueueId) -> Covered {
        self.with(|book| {
            book.note(Note::Flush(queue));
            let rules = &mut book.queues[queue];
            rules.flushes += 1;
            Covered {
                queue,
                items: rules.open.clone(),
                begun_ns: book.now_ns,
                may_last: rules.flushes > 1 || rules.stale,
            }
        })
    }

    /// The flush that has begun waits for a colour.
    pub(super) fn overflows(&self, covered: &mut Covered) {
        covered.may_last = true;
        self.count(Transition::Overflow);
    }

    /// The flush is over (`true`), or was given up.
    pub(super) fn flush_ends(&self, covered: &Covered, over: bool, at_once: bool) {
        let what = if over {
            Transition::Flushed
        } else {
            Transition::FlushAbandoned
        };
        self.count(what);
        self.with(|book| {
            book.note(Note::FlushOver(covered.queue));
            book.queues[covered.queue].flushes -= 1;
            if over {
                book.check_flushed(&covered.items);
                if at_once && !covered.may_last {
                    book.check_prompt(covered, FLUSH_NS);
                }
            }
        });
    }

    /// A drain of `queue` begins.
    pub(super) fn drain_begins(&self, queue: QueueId) -> DrainId {
        self.with(|book| {
            book.note(Note::Drain(queue));
            book.queues[queue].drain_begins()
        })
    }

    /// It is over (`true`), or was given up.
    pub(super) fn drain_ends(&self, queue: QueueId, id: DrainId, over: bool) {
        let what = if over {
            Transition::DrainsEnded
        } else {
            Transition::FlushAbandoned
        };
        self.count(what);
        self.with(|book| {
            book.note(Note::DrainOver(queue));
            book.queues[queue].drain_ends(id);
        });
    }

    /// A queue, or all that can be, is frozen; how many freezes were undone so far.
    pub(super) fn freeze(&self, queue: Option<QueueId>) -> u64 {
        self.with(|book| {
            book.freeze(queue);
            book.thaws
        })
    }

    /// A freeze is undone; what the engine must say.
    pub(super) fn thaw(&self, queue: Option<QueueId>) -> Option<bool> {
        self.with(|book| book.thaw(queue))
    }

    /// The wait for a freeze ends well, or (`Err`) because it was undone, since `thaws`.
    pub(super) fn freeze_ends(
        &self,
        queue: Option<QueueId>,
        thaws: u64,
        ended: Result<(), String>,
    ) {
        self.count(Transition::FrozenWaited);
        self.with(|book| match ended {
            _ if book.thaws != thaws || book.shut_down => {}
            Ok(()) => book.check_frozen(queue),
            Err(why) => book.fault(format!("the wait for a freeze: {why}")),
        });
    }

    /// Freezes that were not undone.
    pub(super) fn is_anything_frozen(&self) -> bool {
        let book = self.book();
        book.system_freezes > 0 || book.queues.iter().any(|queue| queue.freezes > 0)
    }

    /// The machine refuses threads, or gives them again; until when some may be missing, ns.
    pub(super) fn set_refuses(&self, refuses: bool) -> u64 {
        self.with(|book| {
            let in_distress = book.now_ns < book.distress_until_ns;
            book.distress_until_ns = match (refuses, in_distress) {
                (true, _) => u64::MAX,
                (false, true) => book.now_ns + RETRY_NS,
                (false, false) => book.distress_until_ns,
            };
            book.distress_until_ns
        })
    }

    /// Whether the machine refuses threads.
    pub(super) fn is_refusing(&self) -> bool {
        self.book().distress_until_ns == u64::MAX
    }

    /// The queue may use the first so many CPUs from now on.
    pub(super) fn set_cpus(&self, queue: QueueId, cpus: usize) {
        self.with(|book| book.set_cpus(queue, cpus));
    }

    /// Nothing may be queued any more. A destroy takes back what is armed as well; how much.
    pub(super) fn close(&self, queue: QueueId, destroys: bool) -> u64 {
        self.with(|book| book.close(queue, destroys))
    }

    /// The limit is another one.
    pub(super) fn set_limit(&self, queue: QueueId, max_active: usize) {
        self.with(|book| book.set_limit(queue, max_active));
    }

    /// One at a time from now on, or no longer.
    pub(super) fn set_order(&self, queue: QueueId, ordered: bool) {
        self.with(|book| book.set_order(queue, ordered));
    }

    /// CPUs are away: items may run anywhere, until all are there.
    pub(super) fn set_astray(&self, astray: bool) {
        self.with(|book| book.set_astray(astray));
    }

    /// All that is left may be dropped from now on.
    pub(super) fn shut_down(&self) {
        self.with(Book::shut_down);
    }

    /// Items that have not ended.
    pub(super) fn open(&self) -> usize {
        let book = self.book();
        let open: usize = book.queues.iter().map(|queue| queue.open.len()).sum();
        open + book.armed()
    }

    /// Whether any item has not ended; of re-queueable ones those count that run, since a shutdown
    /// drops the others and tells nobody.
    pub(super) fn any_open_task(&self) -> bool {
        let book = self.book();
        let mut open = book.queues.iter().flat_map(|queue| &queue.open);
        open.any(|id| !book.items[*id].is_request) || book.any_runs()
    }

    /// Queues that ever were.
    pub(super) fn queues(&self) -> usize {
        self.book().queues.len()
    }

    /// All is over: nothing was lost.
    pub(super) fn check_end(&self) {
        self.with(Book::check_end);
    }

    /// Accepted, completed, panicked and cancelled items of a queue, by the model.
    pub(super) fn totals(&self, queue: QueueId) -> [u64; 4] {
        self.book().queues[queue].totals
    }

    /// The calling thread's CPU.
    fn current_cpu(&self) -> usize {
        Here::get().map_or(0, |here| here.current_cpu())
    }
}
