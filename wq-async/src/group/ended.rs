//! Which tasks of a group have ended, in the order in which they did.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Wake, Waker};

use wq_core::driver;

/// The list, which the wakers of the tasks fill.
#[derive(Debug, Default)]
pub(super) struct Ended(Mutex<List>);

/// What is in it.
#[derive(Debug, Default)]
struct List {
    /// Places of tasks in the group. One may be in it twice, or that of another task which had it
    /// before: whoever takes it out looks.
    places: VecDeque<usize>,
    /// Who waits for one to come.
    waiter: Option<Waker>,
}

impl Ended {
    /// The list, locked.
    fn list(&self) -> MutexGuard<'_, List> {
        // Nothing panics while it is locked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts this place into the list when it is used.
    pub(super) fn waker(this: &Arc<Ended>, place: usize) -> Waker {
        Waker::from(Arc::new(Note {
            ended: Arc::clone(this),
            place,
        }))
    }

    /// The place of the task that ended first.
    pub(super) fn pop(&self) -> Option<usize> {
        self.list().places.pop_front()
    }

    /// Ready if the list is not empty; otherwise the waker is used when it is no more.
    pub(super) fn wait(&self, waker: &Waker) -> Poll<()> {
        // Cloned and dropped outside of the lock: both run code of others.
        let waker = waker.clone();
        let mut list = self.list();
        if !list.places.is_empty() {
            return Poll::Ready(());
        }
        let before = list.waiter.replace(waker);
        drop(list);
        drop(before);
        Poll::Pending
    }
}

/// Notes a task's end.
struct Note {
    ended: Arc<Ended>,
    place: usize,
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let waiter = {
            let mut list = self.ended.list();
            list.places.push_back(self.place);
            list.waiter.take()
        };
        // A task's end is no place for the panic of a waiter's waker.
        driver::wake_all(waiter);
    }
}
