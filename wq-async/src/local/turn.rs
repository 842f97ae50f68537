//! Which tasks of a set are to be polled: the part that other threads touch, by using wakers.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use async_task::Runnable;
use wq_core::driver;

/// The tasks whose turn it is, in the order in which they were woken.
#[derive(Default)]
pub(super) struct Turns {
    list: Mutex<List>,
    /// A task came, and somebody blocks until one does.
    came: Condvar,
}

/// What is in it.
#[derive(Default)]
struct List {
    tasks: VecDeque<Runnable>,
    /// Who polls the set, and is to do so again when a task comes. More than one if several futures
    /// run the set at once.
    watchers: Vec<Waker>,
    /// The set's thread blocks until a task comes.
    blocked: bool,
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").finish_non_exhaustive()
    }
}

impl Turns {
    /// The list, locked.
    fn list(&self) -> MutexGuard<'_, List> {
        // Nothing panics while it is locked.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task was woken. Called on any thread.
    pub(super) fn add(&self, task: Runnable) {
        let watchers = {
            let mut list = self.list();
            list.tasks.push_back(task);
            if list.blocked {
                self.came.notify_one();
            }
            std::mem::take(&mut list.watchers)
        };
        driver::wake_all(watchers);
    }

    /// The next one, on the thread of the set.
    pub(super) fn next(&self) -> Option<Runnable> {
        self.list().tasks.pop_front()
    }

    /// As [`Turns::next`], after a wait: a task is there, or on its way.
    pub(super) fn wait_for_next(&self) -> Runnable {
        wq_core::may_block(|| {
            let mut list = self.list();
            loop {
                if let Some(task) = list.tasks.pop_front() {
                    list.blocked = false;
                    return task;
                }
                list.blocked = true;
                list = self.came.wait(list).unwrap_or_else(PoisonError::into_inner);
            }
        })
    }

    /// Uses the waker when a task comes.
    pub(super) fn watch(&self, waker: &Waker) {
        // Cloned outside of the lock, since that runs code of others.
        let waker = waker.clone();
        let mut list = self.list();
        if !list.watchers.iter().any(|known| known.will_wake(&waker)) {
            list.watchers.push(waker);
        }
    }
}
