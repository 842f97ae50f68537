//! Whether a System rests, so that a clock that was stopped may go on to the next deadline.
//!
//! It rests when nothing but time, or somebody outside, can have anything go on: no entry waits in
//! a lane or for a turn to burn, no worker is asked for or on its way, and each of its threads that
//! runs items, moves them or makes workers sleeps until it is woken. A worker whose item sleeps in
//! a system call, on a lock or in foreign code does *not* rest: it holds the time still. One whose
//! item waits on its thread in wq ([`crate::driver::block_on`] and whatever rests on it, without a
//! limit) does: what it waits for is known to come from a waker.
//!
//! Threads outside are not seen, with one exception: whoever polls a future in
//! [`crate::System::block_on`], or waits with this System entered, counts like a worker.

#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use crate::block::ThreadWaker;
use crate::current::Current;
use crate::lane::Lane;
use crate::pool::Pool;
use crate::proto::owner::WorkerId;
use crate::proto::park::Parker;
use crate::proto::rest::all_rest;

use super::{System, SystemInner};

/// The waits of threads that poll a future, or sleep for it, until it is ready.
#[derive(Debug, Default)]
pub(crate) struct Waits(Mutex<Vec<Wait>>);

/// One of them; a thread's last one is inside of those before.
#[derive(Debug)]
struct Wait {
    thread: ThreadId,
    /// The worker that it is, if it is one of this System's.
    worker: Option<WorkerId>,
    /// Where it sleeps.
    waker: Arc<ThreadWaker>,
}

/// A wait that its System knows of, until this is dropped.
#[derive(Debug)]
pub(crate) struct Noted {
    system: Arc<SystemInner>,
    waker: Arc<ThreadWaker>,
}

/// The calling thread is about to wait, without a limit, for what uses this waker.
pub(crate) fn note_wait(waker: &Arc<ThreadWaker>) -> Option<Noted> {
    let here = Current::with(|c| c.map(|c| (Arc::clone(&c.system), Some(c.worker.id))));
    let here = here.or_else(|| Some((System::entered()?.inner, None)));
    let (system, worker) = here.filter(|(system, _)| !system.is_forked())?;
    system.waits.lock().push(Wait {
        thread: thread::current().id(),
        worker,
        waker: Arc::clone(waker),
    });
    let waker = Arc::clone(waker);
    Some(Noted { system, waker })
}

impl Drop for Noted {
    fn drop(&mut self) {
        if self.system.is_forked() {
            // The lock may be held by a thread of the parent for ever, and nobody here looks.
            return;
        }
        let mut waits = self.system.waits.lock();
        waits.retain(|wait| !Arc::ptr_eq(&wait.waker, &self.waker));
    }
}

impl Waits {
    /// All of them; nothing panics under the lock.
    fn lock(&self) -> MutexGuard<'_, Vec<Wait>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Threads that sleep, by the address of where they do, and in which of their sleeps each is.
type Sleeps = Vec<(usize, u64)>;

/// Adds one that sleeps; `None` if it does not.
fn add(sleeps: &mut Sleeps, parker: &Parker) -> Option<()> {
    let address = std::ptr::from_ref(parker).addr();
    sleeps.push((address, parker.rests()?));
    Some(())
}

impl SystemInner {
    /// Whether there was a moment during the call at which the System rested.
    pub(crate) fn is_at_rest(&self) -> bool {
        all_rest(|| self.sleeps(), || self.nothing_waits())
    }

    /// The sleeps of all threads that count; `None` if one of them is awake.
    fn sleeps(&self) -> Option<Sleeps> {
        let mut sleeps = Sleeps::new();
        add(&mut sleeps, &self.maker)?;
        add(&mut sleeps, &self.monitor)?;
        let waits = self.waits.lock();
        // The last wait of each thread: those around it are being polled.
        let mut innermost: Vec<&Wait> = Vec::new();
        for wait in waits.iter().rev() {
            if innermost.iter().all(|known| known.thread != wait.thread) {
                innermost.push(wait);
            }
        }
        // A thread that is not up yet has nothing in hand.
        for worker in self.records().filter(|worker| worker.tid().is_some()) {
            let its = |wait: &&&Wait| wait.worker == Some(worker.id);
            match innermost.iter().find(its) {
                Some(wait) => add(&mut sleeps, &wait.waker.0)?,
                None => add(&mut sleeps, &worker.parker)?,
            }
        }
        for wait in innermost.iter().filter(|wait| wait.worker.is_none()) {
            add(&mut sleeps, &wait.waker.0)?;
        }
        Some(sleeps)
    }

    /// Whether nothing is left for a worker to run.
    fn nothing_waits(&self) -> bool {
        let pools = self.lock_pools().clone();
        let has_work = |pool: &Pool| {
            let waits = pool.lanes().iter().any(Lane::has_work);
            // Who takes from these is in no section: the locks order it (`proto/rest.rs`).
            waits || !pool.burners.is_empty() || pool.attrs.bh && !pool.fifo.is_empty(pool)
        };
        !pools.iter().any(|pool| has_work(pool))
    }
}

#[cfg(all(test, target_os = "linux", not(any(loom, wq_portable))))]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Goal: a forked child that leaves a wait of its parent does not touch the list, whose lock
    /// nobody gives back there. Method: the lock is held while the process forks.
    #[test]
    fn a_forked_child_leaves_the_waits_alone() {
        let system = System::builder().workers(1).build().expect("a System");
        let entered = system.enter();
        let noted = Cell::new(note_wait(&Arc::new(ThreadWaker(Parker::new()))));
        let waits = system.inner.waits.lock();
        let leave = || {
            drop(noted.take().expect("a wait"));
            7
        };
        let answer = crate::os::in_forked_child(20, leave);
        assert_eq!(answer.expect("a process"), Some(7), "the child hangs");
        drop((waits, entered));
    }
}
