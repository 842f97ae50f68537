//! Every suspended task of the process, so that it can be found and woken.
//!
//! A task that waits in a queue is found through the queue, one that runs through its worker;
//! what no list would hold is a task that has returned `Pending`. It registers its waker when it
//! first suspends and leaves when it ends, so a task that never suspends pays nothing. Shutdown
//! and abort find tasks here. The shards are process-wide, so that a handle can abort a task
//! without knowing whether its System still exists.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::kind::Kind;
use crate::queue::QueueRef;

/// Number of shards: more than the CPUs of most machines, so that neighbours rarely meet.
const SHARDS: usize = 32;
/// Bits of a slot number that name the shard.
const SHARD_BITS: u32 = SHARDS.trailing_zeros();
/// Most tasks a shard can hold: what is left of the 32 bits of a slot number.
const SHARD_CAPACITY: usize = 1 << (32 - SHARD_BITS);

/// Tasks that are looked at in one go, so that those that suspend meanwhile do not wait long.
const LOOKED_AT_ONCE: usize = 1024;

/// A suspended task.
#[derive(Debug)]
pub(crate) struct Suspended {
    /// How to wake it.
    pub(crate) waker: Waker,
    /// Its queue, which is there as long as the task is registered: it is in flight.
    pub(crate) queue: QueueRef,
    /// Where its metadata are.
    pub(crate) item: usize,
    /// What it is made of.
    pub(crate) kind: Option<&'static Kind>,
    /// When it first suspended, on the coarse clock.
    pub(crate) since_ms: u64,
}

impl Suspended {
    /// Whether it is a task of this System.
    fn is_of(&self, system: u64) -> bool {
        self.queue.get().system.get().id == system
    }
}

/// A place for one.
#[derive(Debug)]
enum Slot {
    /// Next free slot in the shard.
    Free(u32),
    /// It is taken.
    Task(Suspended),
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

/// Registers a suspended task; `hint` spreads the shards.
///
/// # Panics
/// If the shard holds 2^27 suspended tasks already.
pub(crate) fn insert(hint: usize, task: Suspended) -> u32 {
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
        shard.slots.push(Slot::Task(task));
        shard.free = at + 1;
    } else {
        let Slot::Free(next) = shard.slots[at as usize] else {
            unreachable!("the free list holds free slots only");
        };
        shard.slots[at as usize] = Slot::Task(task);
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
    let Slot::Task(task) = std::mem::replace(entry, Slot::Free(free)) else {
        unreachable!("a slot is removed once, by its task");
    };
    shard.free = at as u32;
    Some(task.waker)
}

/// Wakes whoever has `slot` now. The slot may have changed hands: then somebody is woken for
/// nothing, which is harmless.
pub(crate) fn wake(slot: u32) {
    let waker = match shard(slot as usize)
        .slots
        .get((slot >> SHARD_BITS) as usize)
    {
        Some(Slot::Task(task)) => task.waker.clone(),
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
                Slot::Task(task) if task.is_of(system) => Some(task.waker.clone()),
                _ => None,
            })
            .collect();
        woken += wakers.len();
        wakers.into_iter().for_each(Waker::wake);
    }
    woken
}

/// Shows all suspended tasks of System `system` to `look`, which may take leaf locks alone. Those
/// that suspend or end meanwhile may be missed; none is shown twice unless its place was taken
/// anew.
pub(crate) fn look_at_all(system: u64, mut look: impl FnMut(&Suspended)) {
    for index in 0..SHARDS {
        for first in (0..).step_by(LOOKED_AT_ONCE) {
            let shard = shard(index);
            let Some(slots) = shard.slots.get(first..) else {
                break;
            };
            for slot in &slots[..slots.len().min(LOOKED_AT_ONCE)] {
                if let Slot::Task(task) = slot {
                    if task.is_of(system) {
                        look(task);
                    }
                }
            }
            if slots.len() <= LOOKED_AT_ONCE {
                break;
            }
        }
    }
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
    use crate::System;
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
        let (here, other) = [(); 2]
            .map(|()| System::builder().workers(1).build().expect("a System"))
            .into();
        let system = here.inner.id;
        let queue = here.inner.own().default;
        let task = |n: usize| Suspended {
            waker: counter.clone().into(),
            queue,
            item: n,
            kind: None,
            since_ms: 0,
        };
        let slots: Vec<u32> = (0..100).map(|n| insert(n, task(n))).collect();
        assert!(slots.iter().all(|&s| s != 0));
        wake(slots[7]);
        assert_eq!(counter.0.load(Ordering::SeqCst), 1);
        assert_eq!(wake_all(system), 100);
        let mut seen = Vec::new();
        look_at_all(system, |task| seen.push(task.item));
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..100));
        look_at_all(other.inner.id, |_| panic!("it has no tasks"));
        assert_eq!(wake_all(other.inner.id), 0);
        for slot in slots {
            assert!(remove(slot).is_some());
        }
        assert_eq!(wake_all(system), 0);
        assert_eq!(counter.0.load(Ordering::SeqCst), 101);
        assert_eq!(Arc::strong_count(&counter), 1);
    }
}
