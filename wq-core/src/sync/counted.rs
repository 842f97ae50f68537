//! Atomics that note what a thread does with them: for unit tests that count read-modify-writes
//! and cache lines instead of time.
//!
//! [`count`] switches it on for a call on the calling thread, and the others are not counted. Not
//! for data that is guarded by a lock or owned by one thread, which plain accesses touch; a lock is
//! told of by [`note_lock`], and a barrier over all threads by [`note_barrier`].

#![forbid(unsafe_code)]

pub(crate) use std::sync::atomic::{Ordering, fence};

use std::cell::RefCell;
use std::collections::BTreeSet;

/// Bytes of a cache line.
const LINE: usize = 64;

/// What a thread did.
#[derive(Clone, Default, Debug)]
pub(crate) struct Tally {
    /// Read-modify-writes, those of locks included.
    pub(crate) rmws: u64,
    /// Locks taken.
    pub(crate) locks: u64,
    /// Barriers over all threads of the process.
    pub(crate) barriers: u64,
    /// Lines that it read.
    pub(crate) read: BTreeSet<usize>,
    /// Lines that it wrote.
    pub(crate) written: BTreeSet<usize>,
}

impl Tally {
    /// Lines that it read or wrote.
    pub(crate) fn lines(&self) -> usize {
        self.read.union(&self.written).count()
    }
}

thread_local! {
    /// What the thread has done since it is counted.
    static TALLY: RefCell<Option<Tally>> = const { RefCell::new(None) };
}

/// Counts what the calling thread does in `f`.
pub(crate) fn count<R>(f: impl FnOnce() -> R) -> (R, Tally) {
    TALLY.set(Some(Tally::default()));
    let answer = f();
    (answer, TALLY.take().unwrap_or_default())
}

/// Notes something, if the thread is counted.
fn note(note: impl FnOnce(&mut Tally)) {
    // A thread whose locals are gone is not counted.
    let _gone = TALLY.try_with(|tally| tally.borrow_mut().as_mut().map(note));
}

/// The line of something.
fn line<T: ?Sized>(of: &T) -> usize {
    std::ptr::from_ref(of).cast::<u8>().addr() / LINE
}

/// The calling thread takes a lock that stands there.
pub(crate) fn note_lock<T: ?Sized>(lock: &T) {
    note_rmw(lock);
    note(|tally| tally.locks += 1);
}

/// The calling thread has all threads of the process pass a barrier.
#[cfg(not(wq_tsan))]
pub(crate) fn note_barrier() {
    note(|tally| tally.barriers += 1);
}

/// A load.
fn note_load<T>(word: &T) {
    note(|tally| {
        tally.read.insert(line(word));
    });
}

/// A store.
fn note_store<T>(word: &T) {
    note(|tally| {
        tally.written.insert(line(word));
    });
}

/// A read-modify-write.
fn note_rmw<T: ?Sized>(word: &T) {
    note(|tally| {
        tally.rmws += 1;
        tally.written.insert(line(word));
    });
}

/// Methods that change a value and give back the one before.
macro_rules! changes {
    ($value:ty: $($name:ident)*) => {$(
        pub(crate) fn $name(&self, value: $value, order: Ordering) -> $value {
            note_rmw(self);
            self.0.$name(value, order)
        }
    )*};
}

/// An atomic that notes, of a type of `std`; with those of its methods that the engine uses.
macro_rules! counted {
    ($name:ident $(<$t:ident>)?, $value:ty, [$($change:ident)*]) => {
        /// As the one of `std`.
        #[repr(transparent)]
        pub(crate) struct $name $(<$t>)? (std::sync::atomic::$name $(<$t>)?);

        #[allow(dead_code, reason = "the same methods for all of them")]
        impl $(<$t>)? $name $(<$t>)? {
            pub(crate) const fn new(value: $value) -> Self {
                Self(std::sync::atomic::$name::new(value))
            }

            pub(crate) fn load(&self, order: Ordering) -> $value {
                note_load(self);
                self.0.load(order)
            }

            pub(crate) fn store(&self, value: $value, order: Ordering) {
                note_store(self);
                self.0.store(value, order);
            }

            pub(crate) fn compare_exchange(
                &self,
                now: $value,
                new: $value,
                done: Ordering,
                failed: Ordering,
            ) -> Result<$value, $value> {
                note_rmw(self);
                self.0.compare_exchange(now, new, done, failed)
            }

            pub(crate) fn compare_exchange_weak(
                &self,
                now: $value,
                new: $value,
                done: Ordering,
                failed: Ordering,
            ) -> Result<$value, $value> {
                note_rmw(self);
                self.0.compare_exchange_weak(now, new, done, failed)
            }

            pub(crate) fn fetch_update(
                &self,
                done: Ordering,
                failed: Ordering,
                step: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                note_rmw(self);
                self.0.fetch_update(done, failed, step)
            }

            changes!($value: swap $($change)*);
        }

        impl $(<$t>)? std::ops::Deref for $name $(<$t>)? {
            type Target = std::sync::atomic::$name $(<$t>)?;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl $(<$t>)? std::ops::DerefMut for $name $(<$t>)? {
            fn deref_mut(&mut self) -> &mut Self::Target {
                &mut self.0
            }
        }

        impl $(<$t>)? Default for $name $(<$t>)?
        where
            std::sync::atomic::$name $(<$t>)?: Default,
        {
            fn default() -> Self {
                Self(Default::default())
            }
        }

        impl $(<$t>)? std::fmt::Debug for $name $(<$t>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counted!(AtomicBool, bool, [fetch_and fetch_or fetch_xor]);
counted!(AtomicU8, u8, [fetch_add fetch_sub fetch_and fetch_or fetch_max fetch_min]);
counted!(AtomicU16, u16, [fetch_add fetch_sub fetch_and fetch_or fetch_max fetch_min]);
counted!(AtomicU32, u32, [fetch_add fetch_sub fetch_and fetch_or fetch_max fetch_min]);
counted!(AtomicI32, i32, [fetch_add fetch_sub fetch_and fetch_or fetch_max fetch_min]);
counted!(AtomicU64, u64, [fetch_add fetch_sub fetch_and fetch_or fetch_max fetch_min]);
counted!(AtomicUsize, usize, [fetch_add fetch_sub fetch_and fetch_or fetch_max fetch_min]);
counted!(AtomicPtr<T>, *mut T, []);
