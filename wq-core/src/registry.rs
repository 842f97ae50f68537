//! Every suspended task of the process, so that it can be found and woken.
//!
//! A task that waits in a queue is found through the queue, one that runs through its worker;
//! what no list would hold is a task that has returned `Pending`. It registers its waker when it
//! first suspends and leaves when it ends, so a task that never suspends pays nothing. Shutdown
//! and abort find tasks here. The shards are process-wide, so that a handle can abort a task
//! without knowing whether its System still exists.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// Number of shards: more than the CPUs of most machines, so that neighbours rarely meet.
const SHARDS: usize = 32;
/// Bits of a slot number that name the shard.
const SHARD_BITS: u32 = SHARDS.trailing_zeros();
/// Most tasks a shard can hold: what is left of the 32 bits of a slot number.
const SHARD_CAPACITY: usize = 1 << (32 - SHARD_BITS);

/// One suspended task.
#[derive(Debug)]
enum Slot {
    /// Next free slot in the shard.
    Free(u32),
    /// The System (by number) whose task it is, and how to wake it.
    Task(u64, Waker),
}

/// A part of the registry under its own lock.
#[derive(Debug)]
struct Shard {
    slots: Vec<Slot>,
    /// First free slot, or `slots.len()`.
    free: u32,
}

/// The registry. Slot 0 of shard 0 is never given out, so that slot numbers are not zero.
static SHARD_TABLE: [Mutex<Shard>; SHARDS] = [const {
    Mutex::new(Shard {
        slots: Vec::new(),
        free: 0,
    })
}; SHARDS];

/// Locks a shard. A waker's clone may panic while we hold no lock; the data is always whole.
fn shard(index: usize) -> MutexGuard<'static, Shard> {
    SHARD_TABLE[index % SHARDS]
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Registers a suspended task of System `system`; `hint` spreads the shards.
///
/// # Panics
/// If the shard holds 2^27 suspended tasks already.
pub(crate) fn insert(hint: usize, system: u64, waker: Waker) -> u32 {
    let index = hint % SHARDS;
    let mut shard = shard(index);
    if shard.slots.is_empty() && index == 0 {
        shard.slots.push(Slot::Free(u32::MAX));
        shard.free = 1;
    }
    let at = shard.free;
    if at as usize == shard.slots.len() {
        assert!(
            shard.slots.len() < SHARD_CAPACITY,
            "too many suspended tasks in one shard"
        );
        shard.slots.push(Slot::Task(system, waker));
        shard.free = at + 1;
    } else {
        let Slot::Free(next) = shard.slots[at as usize] else {
            unreachable!("the free list holds free slots only");
        };
        shard.slots[at as usize] = Slot::Task(system, waker);
        shard.free = next;
    }
    at << SHARD_BITS | index as u32
}

/// Takes a task out; its waker is returned so that it is dropped outside the lock.
pub(crate) fn remove(slot: u32) -> Option<Waker> {
    let mut shard = shard(slot as usize);
    let at = (slot >> SHARD_BITS) as usize;
    let free = shard.free;
    let entry = shard.slots.get_mut(at)?;
    let Slot::Task(_, waker) = std::mem::replace(entry, Slot::Free(free)) else {
        unreachable!("a slot is removed once, by its task");
    };
    shard.free = at as u32;
    Some(waker)
}

/// Wakes whoever has `slot` now. The slot may have changed hands: then somebody is woken for
/// nothing, which is harmless.
pub(crate) fn wake(slot: u32) {
    let waker = match shard(slot as usize)
        .slots
        .get((slot >> SHARD_BITS) as usize)
    {
        Some(Slot::Task(_, waker)) => waker.clone(),
        _ => return,
    };
    waker.wake();
}

/// Wakes all suspended tasks of System `system`; how many there were.
pub(crate) fn wake_all(system: u64) -> usize {
    let mut woken = 0;
    for index in 0..SHARDS {
        let wakers: Vec<Waker> = shard(index)
            .slots
            .iter()
            .filter_map(|slot| match slot {
                Slot::Task(of, waker) if *of == system => Some(waker.clone()),
                _ => None,
            })
            .collect();
        woken += wakers.len();
        wakers.into_iter().for_each(Waker::wake);
    }
    woken
}

/// For tests: what `f` answers while all shards are locked.
#[cfg(all(target_os = "linux", not(wq_portable)))]
pub(crate) fn while_locked<R>(f: impl FnOnce() -> R) -> R {
    let _held: [MutexGuard<'_, Shard>; SHARDS] = std::array::from_fn(shard);
    f()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    /// Counts its wake-ups.
    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Slots are found, reused, told apart by System, and never zero.
    #[test]
    fn slots_are_found_and_reused() {
        let counter = Arc::new(Counter::default());
        let system = u64::MAX - 1;
        let slots: Vec<u32> = (0..100)
            .map(|n| insert(n, system, counter.clone().into()))
            .collect();
        assert!(slots.iter().all(|&s| s != 0));
        wake(slots[7]);
        assert_eq!(counter.0.load(Ordering::SeqCst), 1);
        assert_eq!(wake_all(system), 100);
        for slot in slots {
            assert!(remove(slot).is_some());
        }
        assert_eq!(wake_all(system), 0);
        assert_eq!(counter.0.load(Ordering::SeqCst), 101);
        assert_eq!(Arc::strong_count(&counter), 1);
    }
}
