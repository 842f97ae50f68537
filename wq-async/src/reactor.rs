//! The reactor: tells tasks when their descriptors are ready.
//!
//! There is one for the process, made when the first descriptor is registered. An idle worker waits
//! in it in place of sleeping (`wq_core::driver::Poller`), and runs what it hears of itself; a busy
//! one looks now and then between items. One thread stands in when no worker does either, because
//! they are inside long items, or asleep since before the one that waited began its item
//! ([`stand_in`]).
//!
//! Registered once, edge-triggered: a task that finds data without having waited costs no system
//! call but its own. What is not for this module: what to do with a descriptor (`net`, `io`).

#![forbid(unsafe_code)]

pub(crate) mod readiness;
pub(crate) mod slot;
mod stand_in;

use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};
use wq_core::driver::{self, Poller, Vigil, set_poller};

use self::readiness::{Bits, READ_CLOSED, READABLE, URGENT, WRITABLE, WRITE_CLOSED};
use self::slot::{Slot, Slots};

/// Events taken at a time; what is left is taken next.
const EVENTS: usize = 256;
/// The number of the descriptor that ends a wait; no place has it.
const INTERRUPT: u64 = u64::MAX;
/// A busy worker looks around when nobody has for so long, ns: each look is a system call, and
/// finds as many events as came meanwhile.
const GLANCE_EVERY_NS: u64 = 100_000;

/// The reactor.
#[derive(Debug)]
pub(crate) struct Reactor {
    epoll: Epoll,
    interrupt: EventFd,
    slots: Slots,
    /// Who waits.
    vigil: Vigil,
    /// The thread that stands in.
    stand_in: OnceLock<Thread>,
    /// Registered descriptors.
    registered: AtomicUsize,
    /// When a busy worker looked last, ns.
    glanced_ns: AtomicU64,
    /// Of the process that made it. A child of that one shares the descriptors: what it took from
    /// them would be missing in its parent.
    generation: u32,
    /// The machine refuses to wait, for good: the descriptor was closed by somebody, or a filter of
    /// system calls forbids it.
    broken: AtomicBool,
    /// The stand-in is to wait at once: a worker has left the next event to others.
    wanted: AtomicBool,
}

thread_local! {
    /// What this thread found and has not delivered yet.
    static FOUND: RefCell<Found> = const { RefCell::new(Found::new()) };
}

/// Events, and how many of them are valid: the room is made once.
#[derive(Debug)]
struct Found {
    room: Vec<EpollEvent>,
    len: usize,
}

impl Found {
    /// None, and no room.
    const fn new() -> Found {
        Found {
            room: Vec::new(),
            len: 0,
        }
    }
}

impl Reactor {
    /// The process's reactor.
    ///
    /// # Errors
    /// If the machine refuses descriptors or a thread for it, and in a forked child.
    pub(crate) fn get() -> io::Result<&'static Reactor> {
        static REACTOR: OnceLock<Reactor> = OnceLock::new();
        static MAKING: Mutex<()> = Mutex::new(());
        if let Some(reactor) = REACTOR.get().filter(|r| r.is_complete() || !r.is_here()) {
            return reactor.here();
        }
        let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        if REACTOR.get().is_none() {
            let reactor = Reactor::new()?;
            let reactor = REACTOR.get_or_init(|| reactor);
            // A refused thread is tried again by the next caller.
            set_poller(reactor);
        }
        let Some(reactor) = REACTOR.get() else {
            unreachable!("it was made under the lock");
        };
        if reactor.is_here() && !reactor.is_complete() {
            stand_in::start(reactor)?;
        }
        reactor.here()
    }

    /// Whether its thread was made.
    fn is_complete(&self) -> bool {
        self.stand_in.get().is_some()
    }

    /// A reactor that nobody knows yet.
    fn new() -> io::Result<Reactor> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let interrupt = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        // Edge-triggered: each write is an event, and nobody has to read.
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        epoll.add(&interrupt, EpollEvent::new(flags, INTERRUPT))?;
        Ok(Reactor {
            epoll,
            interrupt,
            slots: Slots::new(),
            vigil: Vigil::new(),
            stand_in: OnceLock::new(),
            registered: AtomicUsize::new(0),
            glanced_ns: AtomicU64::new(0),
            generation: driver::fork_generation(),
            broken: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
        })
    }

    /// This, unless it is the parent's.
    fn here(&self) -> io::Result<&Reactor> {
        if self.is_here() {
            Ok(self)
        } else {
            Err(io::Error::other(
                "the process was forked after it had used sockets, which its child cannot: \
                 exec first, or make the first socket after the fork",
            ))
        }
    }

    /// Whether this is the process that made it.
    #[inline]
    fn is_here(&self) -> bool {
        driver::fork_generation() == self.generation
    }

    /// Registers a descriptor, of which this much is known already.
    pub(crate) fn register(&'static self, fd: impl AsFd, known: Bits) -> io::Result<Registration> {
        let (index, slot) = self.slots.take().ok_or(Errno::EMFILE)?;
        let generation = slot.renew(known);
        let flags = EpollFlags::EPOLLIN
            | EpollFlags::EPOLLOUT
            | EpollFlags::EPOLLPRI
            | EpollFlags::EPOLLRDHUP
            | EpollFlags::EPOLLET;
        let name = u64::from(generation) << 32 | u64::from(index);
        if let Err(error) = self.epoll.add(fd, EpollEvent::new(flags, name)) {
            self.slots.put_back(index);
            return Err(error.into());
        }
        // Relaxed: a hint for `glance`, and a count for tests.
        self.registered.fetch_add(1, Ordering::Relaxed);
        Ok(Registration {
            reactor: self,
            slot,
            index,
        })
    }

    /// Takes what there is, within the limit; the caller has the vigil. True: there is something to
    /// deliver.
    fn take_events(&self, limit: Option<Duration>) -> bool {
        FOUND.with_borrow_mut(|found| {
            found.room.resize(EVENTS, EpollEvent::empty());
            let answer = driver::epoll_wait(self.epoll.0.as_fd(), &mut found.room, limit);
            // Relaxed: who misses it is refused as well.
            self.broken.fetch_or(answer.is_err(), Ordering::Relaxed);
            found.len = answer.unwrap_or(0);
            let is_interrupt = |event: &EpollEvent| event.data() == INTERRUPT;
            !found.room[..found.len].iter().all(is_interrupt)
        })
    }

    /// The vigil is over.
    fn leave(&self) {
        if self.vigil.release() {
            if let Some(stand_in) = self.stand_in.get() {
                stand_in.unpark();
            }
        }
    }

    /// Descriptors registered now.
    #[cfg(test)]
    pub(crate) fn registered(&self) -> usize {
        // Relaxed: a count for tests.
        self.registered.load(Ordering::Relaxed)
    }
}

impl Poller for Reactor {
    fn claim(&self) -> bool {
        // Relaxed: see `take_events`.
        self.is_here() && !self.broken.load(Ordering::Relaxed) && self.vigil.claim()
    }

    fn abandon(&self) {
        self.leave();
    }

    fn wait(&self, limit: Option<Duration>) -> bool {
        let found = self.take_events(limit);
        self.leave();
        found
    }

    fn interrupt(&self) {
        if self.is_here() {
            // It fails only at 2^64 - 1 writes.
            let _ = self.interrupt.write(1);
        }
    }

    fn deliver(&self) -> bool {
        let mut found = FOUND.replace(Found::new());
        let mut woken = false;
        for event in &found.room[..found.len] {
            let (generation, index) = ((event.data() >> 32) as u32, event.data() as u32);
            let slot = (event.data() != INTERRUPT).then(|| self.slots.get(index));
            if let Some(slot) = slot.flatten() {
                woken |= slot.deliver(generation, bits_of(event.events()));
            }
        }
        // Kept for its room.
        found.len = 0;
        FOUND.set(found);
        woken
    }

    fn pass_on(&self) {
        // Relaxed: the wake-up orders it.
        self.wanted.store(true, Ordering::Relaxed);
        if let Some(stand_in) = self.stand_in.get() {
            stand_in.unpark();
        }
    }

    fn peek(&self) -> bool {
        // Relaxed: a hint.
        let found = self.registered.load(Ordering::Relaxed) > 0
            && self.claim()
            && self.wait(Some(Duration::ZERO));
        if found {
            self.deliver();
        }
        found
    }

    fn glance(&self, now_ns: u64) {
        // Relaxed, here and below: a hint.
        let glanced_ns = self.glanced_ns.load(Ordering::Relaxed);
        if now_ns.wrapping_sub(glanced_ns) >= GLANCE_EVERY_NS {
            self.glanced_ns.store(now_ns, Ordering::Relaxed);
            self.peek();
        }
    }
}

/// What an event says.
fn bits_of(flags: EpollFlags) -> Bits {
    let mut bits = 0;
    if flags.contains(EpollFlags::EPOLLIN) {
        bits |= READABLE;
    }
    if flags.contains(EpollFlags::EPOLLPRI) {
        bits |= READABLE | URGENT;
    }
    if flags.contains(EpollFlags::EPOLLOUT) {
        bits |= WRITABLE;
    }
    if flags.intersects(EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP) {
        bits |= READ_CLOSED;
    }
    if flags.contains(EpollFlags::EPOLLHUP) {
        bits |= WRITE_CLOSED;
    }
    if flags.contains(EpollFlags::EPOLLERR) {
        // The next attempt, either way, gets the error. It may be over then, as a datagram's is.
        bits |= READABLE | WRITABLE;
    }
    bits
}

/// A registered descriptor. Its drop, which comes before the descriptor is closed, ends that.
#[derive(Debug)]
pub(crate) struct Registration {
    reactor: &'static Reactor,
    slot: &'static Slot,
    index: u32,
}

impl Registration {
    /// Its place.
    #[inline]
    pub(crate) fn slot(&self) -> &'static Slot {
        self.slot
    }

    /// Ends the registration of `fd`, which must be the one that was registered.
    pub(crate) fn end(&self, fd: impl AsFd) {
        if !self.reactor.is_here() {
            // It would be the parent's.
            return;
        }
        // It fails if the descriptor is not there any more, which is as good.
        let _ = self.reactor.epoll.delete(fd);
        self.slot.renew(0);
        self.reactor.slots.put_back(self.index);
        // Relaxed: see `register`.
        self.reactor.registered.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::io::Async;

    /// Goal: a registration ends with its descriptor, given back or dropped, and a descriptor that
    /// cannot be registered takes no place. Method: counts; no other unit test registers any.
    #[test]
    fn registrations_end() {
        let reactor = Reactor::get().expect("a reactor");
        let (one, other) = UnixStream::pair().expect("two streams");
        let (one, other) = (Async::new(one), Async::new(other));
        assert_eq!(reactor.registered(), 2);
        let back = one.expect("registered").into_inner().expect("given back");
        assert_eq!(reactor.registered(), 1);
        drop(other);
        assert_eq!(reactor.registered(), 0);
        let file = std::fs::File::open("/proc/self/exe").expect("a file");
        let refused = Async::new(file).expect_err("files on disk are always ready");
        assert_eq!(refused.raw_os_error(), Some(nix::libc::EPERM));
        assert_eq!(reactor.registered(), 0);
        drop(Async::new(back).expect("may be registered again"));
        assert_eq!(reactor.slots.take().map(|(index, _)| index < 2), Some(true));
    }
}
