//! What the items of a run did, and the promises that each of their steps is held against.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::current::Current;
use crate::policy;
use crate::sim::machine::Here;

/// What a queue promised.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Most items in flight, per CPU for a per-CPU queue.
    pub(super) max_active: usize,
    /// One after the other, in order of acceptance.
    pub(super) ordered: bool,
    /// Each item runs on the CPU that accepted it.
    pub(super) percpu: bool,
}

/// Where an item stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Waiting,
    Inside,
    Suspended,
    Ended,
}

/// An item.
#[derive(Debug)]
struct Item {
    queue: usize,
    /// The CPU that accepted it.
    cpu: usize,
    stage: Stage,
}

/// The shared book.
#[derive(Debug, Default)]
struct Book {
    rules: Vec<Rules>,
    items: Vec<Item>,
    faults: Vec<String>,
}

/// Number of an item in the book.
pub(super) type ItemId = usize;

/// The book; a clone writes the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger(Arc<Mutex<Book>>);

impl Ledger {
    /// A book for queues with these rules.
    pub(super) fn new(rules: Vec<Rules>) -> Ledger {
        Ledger(Arc::new(Mutex::new(Book {
            rules,
            ..Book::default()
        })))
    }

    /// Locks; nobody gives up the baton meanwhile.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An item is about to be queued by the calling thread.
    pub(super) fn submit(&self, queue: usize) -> ItemId {
        let cpu = here().current_cpu();
        let mut book = self.book();
        book.items.push(Item {
            queue,
            cpu,
            stage: Stage::Waiting,
        });
        book.items.len() - 1
    }

    /// The item's code runs.
    pub(super) fn enter(&self, id: ItemId) {
        let cpu = here().current_cpu();
        let mut book = self.book();
        let before = book.items[id].stage;
        if matches!(before, Stage::Inside | Stage::Ended) {
            book.fault(id, "runs although it runs already, or has ended");
        }
        if before == Stage::Waiting {
            book.check_start(id);
            book.check_reserve(id);
        }
        book.items[id].stage = Stage::Inside;
        let item = &book.items[id];
        if book.rules[item.queue].percpu && item.cpu != cpu {
            book.fault(id, "runs on another CPU than the one that accepted it");
        }
    }

    /// The item's poll is over; it has ended or not.
    pub(super) fn leave(&self, id: ItemId, ended: bool) {
        self.book().items[id].stage = if ended {
            Stage::Ended
        } else {
            Stage::Suspended
        };
    }

    /// What a flush of `queue` that begins now covers.
    pub(super) fn in_flight(&self, queue: usize) -> Vec<ItemId> {
        let book = self.book();
        let open =
            |id: &ItemId| book.items[*id].queue == queue && book.items[*id].stage != Stage::Ended;
        (0..book.items.len()).filter(open).collect()
    }

    /// A flush that covered these has ended.
    pub(super) fn flushed(&self, covered: &[ItemId]) {
        let mut book = self.book();
        for &id in covered {
            if book.items[id].stage != Stage::Ended {
                book.fault(id, "was covered by a flush that is over, and has not ended");
            }
        }
    }

    /// A promise about something else was broken.
    pub(super) fn fault(&self, what: String) {
        self.book().faults.push(what);
    }

    /// All is over: how many items of `queue` there were, or what was wrong.
    pub(super) fn close(&self, queue: usize) -> Result<u64, String> {
        let mut book = self.book();
        for id in 0..book.items.len() {
            if book.items[id].stage != Stage::Ended {
                book.fault(id, "was lost");
            }
        }
        match book.faults.first() {
            Some(fault) => Err(fault.clone()),
            None => Ok(book.items.iter().filter(|item| item.queue == queue).count() as u64),
        }
    }
}

impl Book {
    /// Notes a broken promise.
    fn fault(&mut self, id: ItemId, what: &str) {
        let item = &self.items[id];
        let rules = self.rules[item.queue];
        let at_ns = here().now_ns();
        let fault = format!("at {at_ns} ns: item {id} {what}: {item:?}, {rules:?}");
        self.faults.push(fault);
    }

    /// A start keeps the limit and the order.
    fn check_start(&mut self, id: ItemId) {
        let Item { queue, cpu, .. } = self.items[id];
        let rules = self.rules[queue];
        let same = |item: &&Item| item.queue == queue && (!rules.percpu || item.cpu == cpu);
        let in_flight = |item: &&Item| matches!(item.stage, Stage::Inside | Stage::Suspended);
        if self.items.iter().filter(same).filter(in_flight).count() >= rules.max_active {
            self.fault(id, "starts beyond max_active");
        }
        let mut ahead = self.items[..id].iter().filter(same);
        let overtakes = ahead.clone().any(|item| item.stage != Stage::Ended);
        let jumps = ahead.any(|item| item.stage == Stage::Waiting);
        if rules.ordered && overtakes {
            self.fault(id, "overtakes an item of its ordered queue");
        }
        // Activation is first in first out, but starts on several lanes are not.
        if rules.max_active == 1 && jumps {
            self.fault(id, "starts before one that was accepted earlier");
        }
    }

    /// Nobody starts an item unless a spare worker exists or is being made.
    fn check_reserve(&mut self, id: ItemId) {
        let covered = Current::with(|current| {
            let current = current.expect("items run on workers");
            let pool = &current.pool;
            let load = pool.load(true, 1);
            // Relaxed: one thread of the machine runs at a time.
            let coming = pool.wanted.load(Ordering::Relaxed);
            // A taker that was stopped has claimed the spare and handed it a lane; that worker
            // sees to the reserve as its first act.
            let mut views = pool.lanes().iter().map(|lane| lane.view());
            let starting = views.any(|view| view.is_waking());
            policy::may_start_working(load) || load.managing || coming > 0 || starting
        });
        if !covered {
            self.fault(id, "starts while no worker is in reserve or being made");
        }
    }
}

/// The calling thread's place in its machine.
fn here() -> Here {
    Here::get().expect("items run on virtual threads")
}

/// A future that tells the ledger of each poll.
pub(super) struct Told<F> {
    pub(super) ledger: Ledger,
    pub(super) id: ItemId,
    pub(super) future: Pin<Box<F>>,
}

impl<F: Future<Output = ()>> Future for Told<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.ledger.enter(self.id);
        let polled = self.future.as_mut().poll(cx);
        self.ledger.leave(self.id, polled.is_ready());
        polled
    }
}
