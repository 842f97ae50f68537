//! What people call tasks: a number, a name, a description of what one does at present.
//!
//! Most tasks have none of it, and pay a bit in their metadata and nothing else. What a task has
//! is in a table beside it, by the task's address, from the first time that somebody gives or asks
//! for it until the task's memory goes; so a handle tells the same number after the end. Not for
//! types of items, which every worker tells (`kind`).
//!
//! The shards' locks are leaves: a task's memory may go under any other lock.

use crate::sync::plain::{AtomicU64, AtomicUsize, Ordering};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use crate::current::Current;
use crate::entry::Meta;
use crate::os;

/// Number of shards, so that threads that name tasks rarely meet.
const SHARDS: usize = 16;

/// Most bytes of a description that are kept: as many as the kernel has for one.
const MAX_DESCRIPTION: usize = 32;

/// How often a forked child looks for a shard's lock before it takes it for lost.
const LOOKS: u32 = 1000;

/// Tells tasks apart, for people and logs.
///
/// Every task of the process has another one, also after it has ended. They are given when they
/// are first asked for: the order says nothing about the tasks.
///
/// # Examples
/// ```
/// use wq_core::task::{self, TaskId};
///
/// let queue = wq_core::Workqueue::unbound("jobs").build()?;
/// let job = queue.spawn(async { task::id() });
/// let id: TaskId = job.id();
/// assert_eq!(job.wait().unwrap(), id);
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({})", self.0)
    }
}

/// What a task is called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Label {
    /// Its number.
    pub(crate) id: TaskId,
    /// The name that it was spawned with.
    pub(crate) name: Option<Arc<str>>,
    /// What it says that it does.
    pub(crate) description: Option<Arc<str>>,
}

impl Label {
    /// A number and nothing else.
    fn new() -> Label {
        /// Numbers tasks.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Label {
            // Relaxed: only uniqueness matters.
            id: TaskId(NEXT.fetch_add(1, Ordering::Relaxed)),
            name: None,
            description: None,
        }
    }
}

/// A part of the table, by the tasks' addresses.
type Shard = Mutex<Option<HashMap<usize, Label>>>;

/// The table.
static TABLE: [Shard; SHARDS] = [const { Mutex::new(None) }; SHARDS];

/// How many labels there are, for those who look for many.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Locks a task's shard; nothing panics under the lock. `None`: this is a forked child, and a
/// thread that is not here had locked it.
fn shard(address: usize) -> Option<MutexGuard<'static, Option<HashMap<usize, Label>>>> {
    // Allocations are aligned, and most are some hundred bytes apart.
    let shard = &TABLE[(address >> 6) % SHARDS];
    if os::generation() == 0 {
        return Some(shard.lock().unwrap_or_else(PoisonError::into_inner));
    }
    for _ in 0..LOOKS {
        match shard.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(error)) => return Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => os::sched_yield(),
        }
    }
    None
}

/// Reads or changes a task's label, which it gets if it has none. The caller keeps the task's
/// memory.
fn with<R>(meta: &Meta, f: impl FnOnce(&mut Label) -> R) -> R {
    let Some(mut shard) = shard(meta.address()) else {
        return f(&mut Label::new());
    };
    let labels = shard.get_or_insert_with(HashMap::new);
    let label = labels.entry(meta.address()).or_insert_with(|| {
        meta.set_labelled();
        // Relaxed: a hint.
        COUNT.fetch_add(1, Ordering::Relaxed);
        Label::new()
    });
    f(label)
}

/// A task's number.
pub(crate) fn id_of(meta: &Meta) -> TaskId {
    with(meta, |label| label.id)
}

/// Gives a new task a name.
pub(crate) fn set_name(meta: &Meta, name: Arc<str>) {
    with(meta, |label| label.name = Some(name));
}

/// The task's memory goes.
#[cold]
pub(crate) fn forget(meta: &Meta) {
    let gone = shard(meta.address())
        .as_deref_mut()
        .and_then(Option::as_mut)
        .and_then(|labels| labels.remove(&meta.address()));
    // Relaxed: a hint.
    COUNT.fetch_sub(usize::from(gone.is_some()), Ordering::Relaxed);
}

/// What the task at this address is called, if it is called anything. The caller makes sure that
/// it is still the one that was meant.
pub(crate) fn peek(address: usize) -> Option<Label> {
    // Relaxed: a hint; a label that is new this moment may be missed.
    if COUNT.load(Ordering::Relaxed) == 0 {
        return None;
    }
    shard(address)?.as_ref()?.get(&address).cloned()
}

/// Runs `f` with the metadata of the task that runs here.
fn here<R>(f: impl FnOnce(&Meta) -> R) -> Option<R> {
    Current::with(|current| current.and_then(Current::meta).map(f))
}

/// The number of the task that runs here; `None` outside of tasks.
///
/// # Examples
/// ```
/// assert!(wq_core::task::try_id().is_none());
/// ```
pub fn try_id() -> Option<TaskId> {
    here(id_of)
}

/// The number of the task that runs here: see [`TaskId`].
///
/// # Panics
/// Outside of tasks; [`try_id`] does not.
///
/// # Examples
/// ```
/// let queue = wq_core::Workqueue::unbound("jobs").build()?;
/// let ids = [(); 2].map(|()| queue.spawn_fn(wq_core::task::id).wait().unwrap());
/// assert_ne!(ids[0], ids[1]);
/// # Ok::<(), wq_core::BuildError>(())
/// ```
pub fn id() -> TaskId {
    try_id().expect("`task::id` is for code inside of a task; elsewhere there is `task::try_id`")
}

/// The name that the task which runs here was spawned with, if it was given one
/// ([`Queue::builder`](crate::Queue::builder)).
///
/// # Examples
/// ```
/// let queue = wq_core::Workqueue::unbound("jobs").build()?;
/// let job = queue.builder().name("compact").spawn(async { wq_core::task::name() });
/// assert_eq!(job.wait().unwrap().as_deref(), Some("compact"));
/// # Ok::<(), wq_core::BuildError>(())
/// ```
pub fn name() -> Option<Arc<str>> {
    here(|meta| {
        meta.is_labelled()
            .then(|| with(meta, |label| label.name.clone()))
    })
    .flatten()?
}

/// Says what the task that runs here does at present, for [`System::dump`](crate::System::dump) and
/// for the name of its thread while the task has run for more than 10 ms. Stays until the task has
/// ended or says something else; 32 bytes are kept. Outside of tasks this does nothing.
///
/// Costs a lock of a table and an allocation: for pieces of work, not for each step of a loop.
///
/// # Examples
/// ```
/// let queue = wq_core::Workqueue::unbound("jobs").build()?;
/// let job = queue.spawn_fn(|| {
///     for file in ["a", "b"] {
///         wq_core::task::describe(&format!("hash {file}"));
///         // ..
///     }
/// });
/// # job.wait().unwrap();
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[doc(alias = "set_worker_desc")]
pub fn describe(what: &str) {
    let kept = first_bytes(what, MAX_DESCRIPTION);
    here(|meta| with(meta, |label| label.description = Some(kept.into())));
}

/// As many characters of `text` as fit into `most` bytes.
pub(crate) fn first_bytes(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev();
    let end = end.into_iter().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: no character is cut in two, and short texts are whole.
    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(first_bytes("short", 15), "short");
        assert_eq!(first_bytes("0123456789abcdef", 15), "0123456789abcde");
        assert_eq!(first_bytes("aé", 2), "a");
        assert_eq!(first_bytes("é", 1), "");
    }
}
