//! Futexes out of a mutex and a condition variable: a fixed table of rooms, found by the word's
//! address; in each, the list of those who sleep there.
//!
//! Invariant: a waiter checks the word and joins the list under the room's lock, and a waker
//! takes that lock. So a waker that changed the word before is either seen by the check or
//! finds the waiter on the list: no wake-up is lost.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::FutexWait;

/// Rooms of the table. Addresses that share one cost each other false wake-ups, no more.
const ROOMS: usize = 64;

/// All sleepers of the process.
static TABLE: [Room; ROOMS] = [const { Room::new() }; ROOMS];

/// Where the sleepers of some addresses wait.
struct Room {
    /// Who sleeps, in order of arrival.
    waiters: Mutex<Waiters>,
    /// Notified after each wake-up; all look whether it was theirs.
    changed: Condvar,
}

/// The contents of a room.
struct Waiters {
    /// Oldest first, so that wake-ups are fair.
    list: VecDeque<Waiter>,
    /// The ticket of the next waiter; never used twice.
    next_ticket: u64,
}

/// One sleeping thread.
struct Waiter {
    /// The address of the word.
    address: usize,
    /// By this it finds itself again.
    ticket: u64,
    /// A wake-up chose it; set by the waker.
    woken: bool,
}

impl Room {
    /// An empty room.
    const fn new() -> Room {
        let waiters = Waiters {
            list: VecDeque::new(),
            next_ticket: 0,
        };
        Room {
            waiters: Mutex::new(waiters),
            changed: Condvar::new(),
        }
    }

    /// The room of an address.
    fn of(address: usize) -> &'static Room {
        // Multiplied by 2^64 over the golden ratio, the top bits depend on all bits.
        let hash = (address as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        &TABLE[(hash >> 58) as usize % ROOMS]
    }

    /// Locks the list. Nothing panics while holding it, so a poisoned one is as good.
    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiters {
    /// Puts a new waiter at the end.
    fn join(&mut self, address: usize) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.list.push_back(Waiter {
            address,
            ticket,
            woken: false,
        });
        ticket
    }

    /// Says whether a wake-up chose this waiter.
    fn is_woken(&self, ticket: u64) -> bool {
        self.list
            .iter()
            .any(|waiter| waiter.ticket == ticket && waiter.woken)
    }

    /// Takes a waiter off; says whether a wake-up had chosen it.
    fn leave(&mut self, ticket: u64) -> bool {
        let place = self.list.iter().position(|waiter| waiter.ticket == ticket);
        place
            .and_then(|place| self.list.remove(place))
            .is_some_and(|waiter| waiter.woken)
    }

    /// Chooses up to `n` sleepers of an address; says how many.
    fn choose(&mut self, address: usize, n: u32) -> usize {
        let sleepers = self
            .list
            .iter_mut()
            .filter(|w| w.address == address && !w.woken);
        let chosen = sleepers.take(usize::try_from(n).unwrap_or(usize::MAX));
        chosen.map(|waiter| waiter.woken = true).count()
    }
}

/// Sleeps while `word` holds `expected`, until a wake-up or the end of `timeout`.
///
/// The check and the falling asleep are one step as seen by [`futex_wake`]: a waker that
/// changes the word first and then wakes is never missed.
///
/// # Memory ordering
///
/// None is promised; the caller synchronises by its own accesses to the word.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> FutexWait {
    let address = word.as_ptr().addr();
    // A timeout beyond the clock's range is none.
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let room = Room::of(address);
    let mut waiters = room.lock();
    // Relaxed: the room's lock orders this check against a wake-up, see the module's invariant.
    if word.load(Ordering::Relaxed) != expected {
        return FutexWait::Mismatch;
    }
    let ticket = waiters.join(address);
    let asleep = |waiters: &mut Waiters| !waiters.is_woken(ticket);
    let mut waiters = match deadline {
        None => room
            .changed
            .wait_while(waiters, asleep)
            .unwrap_or_else(PoisonError::into_inner),
        Some(deadline) => {
            let left = deadline.saturating_duration_since(Instant::now());
            let waited = room.changed.wait_timeout_while(waiters, left, asleep);
            waited.unwrap_or_else(PoisonError::into_inner).0
        }
    };
    if waiters.leave(ticket) {
        FutexWait::Woken
    } else {
        FutexWait::TimedOut
    }
}

/// Wakes up to `n` threads that sleep on `word`; says how many.
pub(crate) fn futex_wake(word: &AtomicU32, n: u32) -> usize {
    let address = word.as_ptr().addr();
    let room = Room::of(address);
    let chosen = room.lock().choose(address, n);
    if chosen > 0 {
        // All of the room: it may hold other addresses, and the condition cannot tell them apart.
        room.changed.notify_all();
    }
    chosen
}
