//! How many known burners a pool polls at a time: as many as it has lanes, in order of arrival.
//!
//! A burner is polled with its lane declared free, so nothing else would hold back the next one;
//! eight of them would share the CPUs with all short items. The others wait here, linked through
//! their metadata like in any list. Who ends, or blocks, gives its *turn* to the next one. Not a
//! promise: a burner that waits for another one without blocking would wait for ever, so if no
//! turn changes hands for long, one more is given.

use crate::sync::plain::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::entry::Entry;
use crate::list::List;
use crate::os;

/// If no turn has changed hands for so long while burners wait, one more may start, ns: longer than
/// most burners burn, and short enough for one that waits, awake, for another.
const STUCK_NS: u64 = 250_000_000;

/// The turns of a pool.
#[derive(Debug)]
pub(crate) struct Burners {
    turns: Mutex<Turns>,
    /// How many wait; a hint.
    waiting: AtomicU32,
}

/// What the lock guards. A leaf: nothing else is done under it.
#[derive(Debug)]
struct Turns {
    /// Turns that somebody has.
    given: usize,
    limit: usize,
    backlog: List<Entry>,
    /// When a turn changed hands last, or the oldest began to wait, ns.
    changed_ns: u64,
}

/// Answer to a burner that wants to start.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It has a turn.
    Given(Entry),
    /// It starts without one: everything is dropped instead of polled.
    Needless(Entry),
    /// It waits; whoever gives a turn up starts it.
    Waits,
}

impl Burners {
    /// Nobody burns.
    pub(crate) fn new(limit: usize) -> Burners {
        Burners {
            turns: Mutex::new(Turns {
                given: 0,
                limit,
                backlog: List::new(),
                changed_ns: 0,
            }),
            waiting: AtomicU32::new(0),
        }
    }

    /// The state; nothing panics under the lock.
    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody waits, as far as can be told from outside.
    pub(crate) fn has_waiting(&self) -> bool {
        // Relaxed: a hint.
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether nobody waits, for certain at one moment during the call: whoever takes one from the
    /// backlog does so under the lock, so what it did before is visible to who finds it gone.
    #[cfg(feature = "test-util")]
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().backlog.is_empty()
    }

    /// Tells others how many wait.
    fn note_waiting(&self, turns: &Turns) {
        // Relaxed: a hint.
        self.waiting
            .store(turns.backlog.len() as u32, Ordering::Relaxed);
    }

    /// A known burner wants to start. `dropping` is asked under the lock: [`Burners::take_all`]
    /// comes after it became true, so that nobody waits for ever.
    pub(crate) fn begin(&self, entry: Entry, dropping: impl FnOnce() -> bool) -> Turn {
        let now = os::monotonic_ns();
        let mut turns = self.lock();
        if dropping() {
            return Turn::Needless(entry);
        }
        if turns.given < turns.limit && turns.backlog.is_empty() {
            turns.given += 1;
            return Turn::Given(entry);
        }
        if turns.backlog.is_empty() {
            turns.changed_ns = now;
        }
        turns.backlog.push_back(entry);
        self.note_waiting(&turns);
        Turn::Waits
    }

    /// A turn is free: who has it now, if anybody waits.
    pub(crate) fn pass_on(&self) -> Option<Entry> {
        let now = os::monotonic_ns();
        let mut turns = self.lock();
        turns.changed_ns = now;
        let next = if turns.given <= turns.limit {
            turns.backlog.pop_front()
        } else {
            None
        };
        if next.is_none() {
            turns.given -= 1;
        }
        self.note_waiting(&turns);
        next
    }

    /// One more turn, if none has changed hands for long although somebody waits.
    pub(crate) fn unstick(&self) -> Option<Entry> {
        let now = os::monotonic_ns();
        let mut turns = self.lock();
        if now.saturating_sub(turns.changed_ns) < STUCK_NS {
            return None;
        }
        turns.changed_ns = now;
        let next = turns.backlog.pop_front()?;
        turns.given += 1;
        self.note_waiting(&turns);
        Some(next)
    }

    /// All that wait; they need no turn any more.
    pub(crate) fn take_all(&self) -> List<Entry> {
        let mut turns = self.lock();
        let all = std::mem::replace(&mut turns.backlog, List::new());
        self.note_waiting(&turns);
        all
    }
}
