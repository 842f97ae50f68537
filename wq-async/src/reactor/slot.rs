//! The place of one registered descriptor: what is known of it, and who waits.
//!
//! Places are never freed and have numbers, so that an event finds its place without a lock and
//! without counting references; a place that is used again has another generation, which late
//! events of the last owner fail to name.
//!
//! No waker is cloned, called or dropped under a lock. Whoever waits leaves the waker under the
//! lock and then looks at the word; an event changes the word and then takes the lock: whichever
//! comes second sees the other.

#![forbid(unsafe_code)]

use std::mem;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use wq_core::driver;

use super::readiness::WRITE_CLOSED;
use super::readiness::{Bits, Direction, READ_CLOSED, READABLE, Readiness, Seen, WRITABLE};

/// One place.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Slot {
    pub(crate) readiness: Readiness,
    waiters: Mutex<Waiters>,
}

/// Who waits.
#[derive(Debug, Default)]
struct Waiters {
    reading: Side,
    writing: Side,
    /// Numbers the entries of [`Side::others`].
    next: u32,
}

/// Who waits for one direction.
#[derive(Debug, Default)]
struct Side {
    /// The one task that polls, as the contract of `AsyncRead` and `AsyncWrite` has it.
    polling: Option<Waker>,
    /// Futures that wait, each with its number.
    others: Vec<(u32, Waker)>,
}

/// Wakers that were taken out, to be called without the lock.
#[derive(Debug, Default)]
struct Taken([Side; 2]);

impl Taken {
    /// Wakes them all, whichever panics; whether there were any.
    fn wake(self) -> bool {
        let wakers = self.0.into_iter().flat_map(|side| {
            let others = side.others.into_iter().map(|(_, waker)| waker);
            side.polling.into_iter().chain(others)
        });
        driver::wake_all(wakers) > 0
    }
}

impl Waiters {
    /// The side of a direction.
    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Read => &mut self.reading,
            Direction::Write => &mut self.writing,
        }
    }
}

impl Side {
    /// The waker of the polling task, or of the future with this number.
    fn waker(&mut self, number: Option<u32>) -> Option<&mut Waker> {
        match number {
            None => self.polling.as_mut(),
            Some(number) => self
                .others
                .iter_mut()
                .find_map(|(of, waker)| (*of == number).then_some(waker)),
        }
    }

    /// Sets it; what was there before is to be dropped without the lock.
    fn set(&mut self, number: Option<u32>, waker: Waker) -> Option<Waker> {
        if let Some(there) = self.waker(number) {
            return Some(mem::replace(there, waker));
        }
        match number {
            None => self.polling = Some(waker),
            Some(number) => self.others.push((number, waker)),
        }
        None
    }
}

impl Slot {
    /// An unused place.
    const fn new() -> Slot {
        Slot {
            readiness: Readiness::new(),
            waiters: Mutex::new(Waiters {
                reading: Side {
                    polling: None,
                    others: Vec::new(),
                },
                writing: Side {
                    polling: None,
                    others: Vec::new(),
                },
                next: 0,
            }),
        }
    }

    /// No foreign code runs under the lock, so it is whole even if poisoned.
    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event: tells the word, then those who wait for it. Wakers run here. True: somebody did.
    pub(crate) fn deliver(&self, generation: u32, bits: Bits) -> bool {
        if !self.readiness.raise(generation, bits) {
            return false;
        }
        let mut taken = Taken::default();
        let mut waiters = self.lock();
        if bits & (READABLE | READ_CLOSED) != 0 {
            taken.0[0] = mem::take(&mut waiters.reading);
        }
        if bits & (WRITABLE | WRITE_CLOSED) != 0 {
            taken.0[1] = mem::take(&mut waiters.writing);
        }
        drop(waiters);
        taken.wake()
    }

    /// Ready once an attempt is worth its while; else the polling task, or the future with this
    /// number, is woken then.
    #[inline]
    pub(crate) fn poll_ready(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        number: Option<u32>,
    ) -> Poll<Seen> {
        let seen = self.readiness.look();
        if seen.allows(direction) {
            return Poll::Ready(seen);
        }
        self.wait(cx, direction, number);
        let seen = self.readiness.look();
        if seen.allows(direction) {
            return Poll::Ready(seen);
        }
        Poll::Pending
    }

    /// Leaves the waker.
    fn wait(&self, cx: &Context<'_>, direction: Direction, number: Option<u32>) {
        let mut waiters = self.lock();
        if let Some(there) = waiters.side(direction).waker(number) {
            if there.will_wake(cx.waker()) {
                return;
            }
        }
        drop(waiters);
        let waker = cx.waker().clone();
        let before = self.lock().side(direction).set(number, waker);
        drop(before);
    }

    /// A number for a future that is going to wait.
    pub(crate) fn number(&self) -> u32 {
        let mut waiters = self.lock();
        waiters.next = waiters.next.wrapping_add(1);
        waiters.next
    }

    /// The future with this number does not wait any more.
    pub(crate) fn forget(&self, direction: Direction, number: u32) {
        let mut waiters = self.lock();
        let others = &mut waiters.side(direction).others;
        let at = others.iter().position(|(of, _)| *of == number);
        let gone = at.map(|at| others.swap_remove(at));
        drop(waiters);
        drop(gone);
    }

    /// The place gets another owner; its generation. Whoever waited for the last one is forgotten.
    pub(crate) fn renew(&self, bits: Bits) -> u32 {
        let generation = self.readiness.renew(bits);
        let mut waiters = self.lock();
        let gone = Taken([
            mem::take(&mut waiters.reading),
            mem::take(&mut waiters.writing),
        ]);
        drop(waiters);
        drop(gone);
        generation
    }
}

/// Places of the first page; each further page has twice as many as the one before.
const FIRST_PAGE: usize = 64;
/// Pages: 2^26 places, more than any process may have descriptors (`NR_OPEN` is 2^20 by default).
const PAGES: usize = 20;

/// All places.
#[derive(Debug)]
pub(crate) struct Slots {
    pages: [OnceLock<Box<[Slot]>>; PAGES],
    unused: Mutex<Unused>,
}

/// Which places are nobody's.
#[derive(Debug)]
struct Unused {
    /// Those that somebody had.
    returned: Vec<u32>,
    /// The first one that nobody ever had.
    fresh: u32,
}

/// Page and place in it.
fn locate(index: u32) -> (usize, usize) {
    let shifted = index as usize + FIRST_PAGE;
    let page = (shifted.ilog2() - FIRST_PAGE.ilog2()) as usize;
    (page, shifted - (FIRST_PAGE << page))
}

impl Slots {
    /// None yet.
    pub(crate) const fn new() -> Slots {
        Slots {
            pages: [const { OnceLock::new() }; PAGES],
            unused: Mutex::new(Unused {
                returned: Vec::new(),
                fresh: 0,
            }),
        }
    }

    /// The place with this number, if there is one.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&Slot> {
        let (page, place) = locate(index);
        self.pages.get(page)?.get()?.get(place)
    }

    /// A place that is nobody's; `None`: there are too many.
    pub(crate) fn take(&self) -> Option<(u32, &Slot)> {
        let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        let index = match unused.returned.pop() {
            Some(index) => index,
            None => {
                let index = unused.fresh;
                if locate(index).0 >= PAGES {
                    return None;
                }
                unused.fresh += 1;
                index
            }
        };
        drop(unused);
        let (page, place) = locate(index);
        let slots =
            self.pages[page].get_or_init(|| (0..FIRST_PAGE << page).map(|_| Slot::new()).collect());
        Some((index, &slots[place]))
    }

    /// The place is nobody's any more.
    pub(crate) fn put_back(&self, index: u32) {
        let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        unused.returned.push(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: every number has one place, pages in a row. Method: the seams.
    #[test]
    fn numbers_are_places() {
        assert_eq!(locate(0), (0, 0));
        assert_eq!(locate(63), (0, 63));
        assert_eq!(locate(64), (1, 0));
        assert_eq!(locate(64 + 127), (1, 127));
        assert_eq!(locate(64 + 128), (2, 0));
    }

    /// Goal: places are used again before new ones are made. Method: takes, puts back, takes.
    #[test]
    fn places_are_used_again() {
        let slots = Slots::new();
        let first = slots.take().map(|(index, _)| index);
        let second = slots.take().map(|(index, _)| index);
        assert_eq!((first, second), (Some(0), Some(1)));
        slots.put_back(0);
        assert_eq!(slots.take().map(|(index, _)| index), Some(0));
        assert!(slots.get(1).is_some() && slots.get(64).is_none());
    }

    /// Counts, or panics.
    struct Called(bool, std::sync::atomic::AtomicUsize);

    impl std::task::Wake for Called {
        fn wake(self: std::sync::Arc<Self>) {
            assert!(!self.0, "this one is to panic");
            // Relaxed: one thread.
            self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Goal: a waker that panics takes no other one's wake-up away. Method: the first of three
    /// does.
    #[test]
    fn a_panicking_waker_harms_nobody_else() {
        let slot = Slot::new();
        let generation = slot.renew(0);
        let called = [true, false, false].map(|panics| {
            let called = std::sync::Arc::new(Called(panics, Default::default()));
            let waker = Waker::from(std::sync::Arc::clone(&called));
            let number = slot.number();
            let mut cx = Context::from_waker(&waker);
            let polled = slot.poll_ready(&mut cx, Direction::Read, Some(number));
            assert!(polled.is_pending());
            called
        });
        assert!(slot.deliver(generation, READABLE));
        // Relaxed: as above.
        let counts = called.map(|c| c.1.load(std::sync::atomic::Ordering::Relaxed));
        assert_eq!(counts, [0, 1, 1]);
        assert!(!slot.deliver(generation, READABLE), "nobody waits any more");
    }
}
