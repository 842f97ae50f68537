//! Items that borrow: their lifetime is taken off, and given back by waiting.
//!
//! The engine keeps items that live for ever (`'static`). A scope's items borrow from the frame
//! that called it. What makes the difference up is a [`Door`]: every such item has a [`Ticket`] of
//! it, and the frame does not go on while there are tickets. Not for anything but `scope.rs`.
//!
//! # Why this is sound
//!
//! Let `'scope` be what an item borrows for, and call *the body* the box of the user's closure or
//! future, with all that it captured and all that it made.
//!
//! 1. **The body is gone before its ticket.** [`Job`] and [`Poller`] own both, in fields, and
//!    fields are dropped in the order in which they are declared: the body first. A body that is
//!    run is consumed by the call, which ends, or unwinds, before the ticket is touched. There is
//!    no third way: neither type gives the body or the ticket out.
//! 2. **Nothing that borrows leaves the body by another way.** What a body returns to the engine is
//!    `()`. A panic's payload is `'static` by its own type. Wakers point at the engine's
//!    allocation, whose memory may outlive the frame but in which the body has been dropped.
//!    Results go through a slot of `scope.rs`: the body holds one count of it, and the handle,
//!    which the borrow checker keeps inside of `'scope`, the other.
//! 3. **The frame waits for the tickets.** [`lend`] alone makes a [`Frame`], lends it, and calls
//!    [`Door::wait`] before it returns, whether the closure that it lent to returned or panicked;
//!    `'scope` is a lifetime of that loan, and cannot be longer than it because it is invariant and
//!    chosen by `lend`. The wait is no destructor, which could be leaked. If waiting itself
//!    panicked, which would be a bug of ours, the process ends: `guard::run_or_abort`.
//! 4. **A ticket that is never dropped is no hole.** An engine that leaked an item would make the
//!    frame wait for ever; it would not let it go.
//! 5. **No ticket is made after the last one is gone.** Making one takes a `&'scope Frame`, which
//!    only the closure and items with tickets have: while one of these runs the closure has not
//!    returned, or the frame is not past the door.
//! 6. **A forked child** has one thread. If that is the frame's and no worker, nobody exists that
//!    could use a body, so the frame may go on, and does. A worker would go on with its lane, in
//!    which the bodies may lie: there the child's process ends.
//!
//! Memory order: a ticket is dropped under the mutex of its door, and the frame reads the count
//! under it, so all that a body did happens before the frame goes on.

use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use crate::current::Current;
use crate::queue::handle::Queue;
use crate::{block, guard, os};

use super::Scope;
use super::slot::Failures;

/// What a frame waits at until its items are gone.
#[derive(Debug)]
pub(super) struct Door {
    inside: Mutex<Inside>,
    /// The process that it was made in: see `os::generation`.
    process: u32,
    /// The frame is inside of an item.
    on_worker: bool,
}

/// Who is inside.
#[derive(Debug, Default)]
struct Inside {
    /// Tickets that exist.
    tickets: usize,
    /// Wakes the frame, if it waits.
    waiter: Option<Waker>,
}

impl Door {
    /// One without tickets.
    pub(super) fn new() -> Arc<Door> {
        Arc::new(Door {
            inside: Mutex::default(),
            process: os::generation(),
            on_worker: Current::with(|current| current.is_some()),
        })
    }

    /// The count.
    fn inside(&self) -> MutexGuard<'_, Inside> {
        // Nothing panics while it is locked.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A ticket for one more item.
    pub(super) fn enter(self: &Arc<Door>) -> Ticket {
        self.inside().tickets += 1;
        Ticket(Arc::clone(self))
    }

    /// Waits on the calling thread until there is no ticket; false if there are some that a forked
    /// child will never see again. A panic in here ends the process.
    pub(super) fn wait(&self) -> bool {
        if self.process != os::generation() {
            return self.wait_in_child();
        }
        guard::run_or_abort(|| block::block_on(poll_fn(|cx| self.poll_empty(cx))));
        true
    }

    /// As [`Door::wait`], in a child that was forked inside of the frame.
    #[cold]
    fn wait_in_child(&self) -> bool {
        // Whoever held the lock at the fork is not here to let it go.
        let is_empty = self
            .inside
            .try_lock()
            .is_ok_and(|inside| inside.tickets == 0);
        if !is_empty && self.on_worker {
            guard::say(format_args!(
                "wq: a process that was forked inside of a scope, by an item, came to the scope's \
                 end; its items are in the process that it was forked from, and the thread cannot \
                 go on as a worker. The child ends. It has to exec or exit instead."
            ));
            std::process::abort();
        }
        is_empty
    }

    /// Ready when there is no ticket.
    fn poll_empty(&self, cx: &Context<'_>) -> Poll<()> {
        let waker = cx.waker().clone();
        let mut inside = self.inside();
        if inside.tickets == 0 {
            return Poll::Ready(());
        }
        inside.waiter = Some(waker);
        Poll::Pending
    }
}

/// While it exists the frame waits.
pub(super) struct Ticket(Arc<Door>);

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket")
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let waiter = {
            let mut inside = self.0.inside();
            inside.tickets -= 1;
            if inside.tickets > 0 {
                return;
            }
            inside.waiter.take()
        };
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

/// What a scope is lent with: it makes items that borrow.
pub(super) struct Frame<'scope, 'env: 'scope> {
    door: Arc<Door>,
    /// Invariant, as in `std`: a longer `'scope` would let items borrow for longer than the loan.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Lends a scope to `f`, and waits until all items are gone that it was used for, however `f` ends.
/// False: a forked child has gone on without its items.
pub(super) fn lend<'env, F, T>(
    queue: Queue,
    failures: &Arc<Failures>,
    f: F,
) -> (thread::Result<T>, bool)
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    // A panic of this comes before there is anything to wait for.
    block::check();
    let door = Door::new();
    let frame = Frame {
        door: Arc::clone(&door),
        scope: PhantomData,
        env: PhantomData,
    };
    let scope = Scope::new(frame, queue, failures);
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    // Premise 3: nothing leaves this function before it.
    let all_ended = door.wait();
    (result, all_ended)
}

impl<'scope> Frame<'scope, '_> {
    /// An item of this closure.
    pub(super) fn job(&'scope self, body: Box<dyn FnOnce() + Send + 'scope>) -> Job {
        // SAFETY: the types differ in the lifetime alone, so their layout is the same. That the
        // box is not used after `'scope` is the argument at the top.
        let body = unsafe {
            mem::transmute::<Box<dyn FnOnce() + Send + 'scope>, Box<dyn FnOnce() + Send + 'static>>(
                body,
            )
        };
        let ticket = self.door.enter();
        Job { body, ticket }
    }

    /// An item of this future.
    pub(super) fn poller(
        &'scope self,
        body: Pin<Box<dyn Future<Output = ()> + Send + 'scope>>,
    ) -> Poller {
        // SAFETY: as in `job`.
        let body = unsafe {
            mem::transmute::<
                Pin<Box<dyn Future<Output = ()> + Send + 'scope>>,
                Pin<Box<dyn Future<Output = ()> + Send + 'static>>,
            >(body)
        };
        let _ticket = self.door.enter();
        Poller { body, _ticket }
    }
}

/// A closure of a scope, as the engine takes it.
pub(super) struct Job {
    /// Dropped before the ticket: the order of the fields is a part of the argument above.
    body: Box<dyn FnOnce() + Send + 'static>,
    ticket: Ticket,
}

impl Job {
    /// Runs the body; afterwards nothing of it is left.
    pub(super) fn run(self) {
        let Job { body, ticket } = self;
        // If it unwinds, it has dropped what it captured, and the ticket goes after that.
        body();
        drop(ticket);
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

/// A future of a scope, as the engine takes it. It need not be pinned, since its body is.
pub(super) struct Poller {
    /// Dropped before the ticket: as in [`Job`].
    body: Pin<Box<dyn Future<Output = ()> + Send + 'static>>,
    _ticket: Ticket,
}

impl Future for Poller {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.body.as_mut().poll(cx)
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a forked child does not wait for items that only its parent has.
    #[test]
    #[cfg(all(target_os = "linux", not(wq_portable)))]
    fn a_forked_child_waits_for_nobody() {
        // Forks are noticed from the first System on.
        let _system = crate::System::builder().build().expect("a System");
        let door = Door::new();
        let ticket = door.enter();
        let child = os::in_forked_child(10, || u8::from(door.wait()));
        assert_eq!(child.expect("the machine forks"), Some(0));
        drop(ticket);
        assert!(door.wait());
    }

    /// Goal: the body is dropped before its ticket, run or not, also when it panics. Method: the
    /// body notes how many tickets there are when it goes.
    #[test]
    fn the_body_is_gone_before_its_ticket() {
        /// Notes the tickets of its door when it is dropped.
        struct Witness(Arc<Door>, Arc<Mutex<Vec<usize>>>);
        impl Drop for Witness {
            fn drop(&mut self) {
                let tickets = self.0.inside().tickets;
                self.1.lock().expect("no panic").push(tickets);
            }
        }
        let door = Door::new();
        let seen = Arc::default();
        let witness = || Witness(Arc::clone(&door), Arc::clone(&seen));
        let frame = Frame {
            door: Arc::clone(&door),
            scope: PhantomData,
            env: PhantomData,
        };
        let (a, b, c) = (witness(), witness(), witness());
        frame.job(Box::new(move || drop(a))).run();
        drop(frame.job(Box::new(move || drop(b))));
        let panics = frame.job(Box::new(move || {
            let _c = c;
            panic!("a test");
        }));
        let run = std::panic::AssertUnwindSafe(|| panics.run());
        assert!(std::panic::catch_unwind(run).is_err());
        let d = witness();
        let body = Box::pin(async move {
            let _d = d;
            std::future::pending::<()>().await;
        });
        let mut poller = frame.poller(body);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut poller).poll(&mut cx).is_pending());
        drop(poller);
        assert_eq!(*seen.lock().expect("no panic"), [1, 1, 1, 1]);
        assert!(door.wait());
    }
}
