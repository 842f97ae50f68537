//! What a program has every worker thread do before its first item.
//!
//! For libraries that keep something for each thread: a context that is entered, a profiler that
//! wants to know its threads. Not for state of tasks, which move between threads. The closures go
//! when the System has stopped and its threads have left, so that what they keep alive ends then.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use crate::task::{Guarded, drop_payload};

/// One closure.
type Hook = Arc<dyn Fn() + Send + Sync>;

/// The closures, in the order in which they were given.
#[derive(Clone, Default)]
pub(crate) struct Hooks(Vec<Hook>);

impl Hooks {
    /// One more, to be called after the others.
    pub(crate) fn add(&mut self, hook: impl Fn() + Send + Sync + 'static) {
        self.0.push(Arc::new(hook));
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hooks({})", self.0.len())
    }
}

/// Those of a System, until it has stopped.
#[derive(Debug)]
pub(crate) struct ThreadHooks(Mutex<Hooks>);

impl ThreadHooks {
    /// To be called by each worker thread.
    pub(crate) fn new(hooks: Hooks) -> ThreadHooks {
        ThreadHooks(Mutex::new(hooks))
    }

    /// Calls all of them on the calling thread. One that panics has said so; the thread goes on.
    pub(crate) fn run(&self) {
        let hooks = self.lock().clone();
        for hook in &hooks.0 {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| hook())) {
                drop_payload(payload);
            }
        }
        // Perhaps the last ones, and what they captured may panic, too.
        drop(Guarded::new(hooks));
    }

    /// No thread calls them any more: drops what they captured.
    pub(crate) fn end(&self) {
        let hooks = std::mem::take(&mut *self.lock());
        drop(Guarded::new(hooks));
    }

    /// The list. User code neither runs nor is dropped under the lock.
    fn lock(&self) -> std::sync::MutexGuard<'_, Hooks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
