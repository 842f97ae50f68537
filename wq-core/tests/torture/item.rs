//! Re-queueable items that keep books of their own runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wq_core::{DelayedWork, Work};

use crate::THREADS;
use crate::dice::Dice;

/// What is known of an item.
#[derive(Default)]
pub(crate) struct Books {
    /// A run is under way.
    inside: AtomicBool,
    /// Runs that found another one under way.
    pub(crate) overlaps: AtomicU64,
    /// What each thread stored before its latest request, and what of it a run has seen. Relaxed,
    /// all of them: the engine alone orders them.
    stored: [AtomicU64; THREADS],
    seen: [AtomicU64; THREADS],
    /// Runs.
    pub(crate) runs: AtomicU64,
    /// Requests that were answered "new".
    pub(crate) granted: AtomicU64,
    /// Requests that were taken back.
    pub(crate) taken: AtomicU64,
    /// Calls that may have taken one back, and did not say.
    pub(crate) unsure: AtomicU64,
    /// Calls that take back: those that have begun, and those that are over.
    pub(crate) takings: Takings,
}

/// Who takes requests back.
#[derive(Default)]
pub(crate) struct Takings {
    begun: AtomicU64,
    over: AtomicU64,
}

impl Takings {
    /// Takes something back.
    pub(crate) fn during<R>(&self, take: impl FnOnce() -> R) -> R {
        // SeqCst, all of them: whoever sees no change has no taker beside it.
        self.begun.fetch_add(1, Ordering::SeqCst);
        let answer = take();
        self.over.fetch_add(1, Ordering::SeqCst);
        answer
    }

    /// A number that changes with the next one who takes; none while somebody does.
    pub(crate) fn quiet(&self) -> Option<u64> {
        let over = self.over.load(Ordering::SeqCst);
        (self.begun.load(Ordering::SeqCst) == over).then_some(over)
    }
}

impl Books {
    /// A run begins: it sees what was stored for it.
    fn enter(&self) {
        if self.inside.swap(true, Ordering::Relaxed) {
            self.overlaps.fetch_add(1, Ordering::Relaxed);
        }
        for (stored, seen) in self.stored.iter().zip(&self.seen) {
            seen.fetch_max(stored.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// It is over.
    fn leave(&self) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        if !self.inside.swap(false, Ordering::Relaxed) {
            self.overlaps.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A thread has news for the next run; their number.
    pub(crate) fn store(&self, thread: usize) -> u64 {
        let news = self.stored[thread].load(Ordering::Relaxed) + 1;
        self.stored[thread].store(news, Ordering::Relaxed);
        news
    }

    /// Whether a run has seen them.
    pub(crate) fn has_seen(&self, thread: usize, news: u64) -> bool {
        self.seen[thread].load(Ordering::Relaxed) >= news
    }
}

/// An item, with or without a timer.
pub(crate) struct Item {
    pub(crate) books: Arc<Books>,
    pub(crate) handle: Handle,
    /// It never blocks: BH queues may have it.
    pub(crate) is_quick: bool,
}

/// Its handle.
pub(crate) enum Handle {
    Work(Work),
    Delayed(DelayedWork),
}

/// What an item does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    /// Burns for some microseconds.
    Burns,
    /// Blocks its thread now and then.
    Blocks,
    /// Suspends in the middle.
    Suspends,
}

impl Item {
    /// An item without a timer.
    pub(crate) fn new(does: Does) -> Item {
        let books = Arc::<Books>::default();
        let own = Arc::clone(&books);
        let mut dice = Dice(0x9e37_79b9);
        let work = match does {
            Does::Suspends => Work::new_async(move || {
                let own = Arc::clone(&own);
                async move {
                    own.enter();
                    crate::world::yield_once().await;
                    own.leave();
                }
            }),
            _ => Work::new(move || run(&own, does, &mut dice)),
        };
        Item {
            books,
            handle: Handle::Work(work),
            is_quick: does == Does::Burns,
        }
    }

    /// One with a timer.
    pub(crate) fn delayed(does: Does) -> Item {
        let books = Arc::<Books>::default();
        let own = Arc::clone(&books);
        let mut dice = Dice(0x9e37_79b9);
        Item {
            books,
            handle: Handle::Delayed(DelayedWork::new(move || run(&own, does, &mut dice))),
            is_quick: does == Does::Burns,
        }
    }

    /// The item itself.
    pub(crate) fn work(&self) -> Work {
        match &self.handle {
            Handle::Work(work) => work.clone(),
            Handle::Delayed(delayed) => delayed.work(),
        }
    }
}

/// A run of a function.
fn run(books: &Books, does: Does, dice: &mut Dice) {
    books.enter();
    let time = Duration::from_micros(dice.below(60));
    match (does, dice.below(8)) {
        (Does::Blocks, 0) => std::thread::sleep(time),
        (Does::Blocks, 1) => wq_core::blocking(|| std::thread::sleep(time)),
        _ => burn(time),
    }
    books.leave();
}

/// Keeps the CPU busy.
pub(crate) fn burn(time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}
