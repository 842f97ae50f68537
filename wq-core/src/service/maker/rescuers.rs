//! Making rescuers: the maker does it for whoever builds a queue with one, who waits for it.

use std::future::poll_fn;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::block;
use crate::os;
use crate::queue::QueueRef;
use crate::rescuer::Rescuer;
use crate::run::rescue::rescuer_main;
use crate::system::SystemInner;

/// Requests that the maker has not served.
#[derive(Debug, Default)]
pub(crate) struct Requests(Mutex<State>);

/// What the lock guards.
#[derive(Debug, Default)]
struct State {
    list: Vec<Request>,
    /// The maker has left: nobody serves any more.
    over: bool,
}

/// Somebody wants a rescuer for a queue, and waits.
#[derive(Debug)]
struct Request {
    queue: QueueRef,
    answer: Arc<Answer>,
}

/// The maker's answer.
#[derive(Debug, Default)]
struct Answer(Mutex<(Option<io::Result<()>>, Option<Waker>)>);

impl Requests {
    /// The state; nothing panics under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    /// The state; nothing panics under the lock.
    fn lock(&self) -> MutexGuard<'_, (Option<io::Result<()>>, Option<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers.
    fn give(&self, made: io::Result<()>) {
        let waker = {
            let mut state = self.lock();
            state.0 = Some(made);
            state.1.take()
        };
        // One of `block_on`, which does not panic.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The answer, or a promise to wake.
    fn poll(&self, waker: &Waker) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        match state.0.take() {
            Some(made) => Poll::Ready(made),
            None => {
                state.1 = Some(waker.clone());
                Poll::Pending
            }
        }
    }
}

impl SystemInner {
    /// Has a rescuer made for a new queue, and waits for that; the caller may be anywhere.
    ///
    /// # Errors
    /// If the machine refuses the thread, or the System has stopped.
    ///
    /// # Panics
    /// Inside an item of a BH queue, in a debug build.
    pub(crate) fn ask_rescuer(&self, queue: QueueRef) -> io::Result<()> {
        // Before anybody is asked: what is asked for must be waited for.
        block::check();
        let answer = Arc::new(Answer::default());
        {
            let mut state = self.rescuer_requests.lock();
            if state.over {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let answer = Arc::clone(&answer);
            state.list.push(Request { queue, answer });
        }
        self.maker.unpark();
        block::block_on(poll_fn(|cx| answer.poll(cx.waker())))
    }
}

/// Makes what was asked for.
pub(super) fn serve(system: &Arc<SystemInner>) {
    let asked = std::mem::take(&mut system.rescuer_requests.lock().list);
    for request in asked {
        request.answer.give(make(system, request.queue));
    }
}

/// The maker leaves: whoever waits, or asks from now on, gets an error.
pub(super) fn end(system: &SystemInner) {
    let asked = {
        let mut state = system.rescuer_requests.lock();
        state.over = true;
        std::mem::take(&mut state.list)
    };
    for request in asked {
        request.answer.give(Err(io::ErrorKind::WouldBlock.into()));
    }
}

/// Makes a rescuer for a queue, which whoever asked keeps meanwhile.
fn make(system: &Arc<SystemInner>, queue: QueueRef) -> io::Result<()> {
    // Relaxed: a switch for tests.
    if system.refuse_threads.load(Ordering::Relaxed) {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let Some(record) = system.new_record() else {
        return Err(io::Error::other("all numbers of workers are in use"));
    };
    let name = format!("{}/R-{}", system.tag, queue.get().name);
    record.set_name(&name);
    record.set_pool(queue.get().pool(0));
    let rescuer = Arc::new(Rescuer::new(Arc::clone(&record)));
    system.note_thread();
    // Relaxed: see `has_rescuers`.
    system.nr_rescuers.fetch_add(1, Ordering::Relaxed);
    // For the thread, which ends it.
    queue.get().pin();
    let (its_system, its_record) = (Arc::clone(system), Arc::clone(&record));
    let spawned = os::spawn_thread(name, move || rescuer_main(its_system, queue, its_record));
    if spawned.is_err() {
        queue.get().unpin();
        // Relaxed: as above.
        system.nr_rescuers.fetch_sub(1, Ordering::Relaxed);
        system.note_thread_gone();
        system.discarded.push(record.id, &record.spare);
        return spawned;
    }
    let is_first = queue.get().rescuer.set(rescuer).is_ok();
    debug_assert!(is_first, "a queue has one rescuer");
    Ok(())
}
