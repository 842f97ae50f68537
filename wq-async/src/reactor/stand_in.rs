//! The thread that waits for the outside world when no worker does.
//!
//! Workers that are idle wait themselves, and those that run short items look in between. When
//! nobody does, this thread looks now and then whether somebody began to wait since its last look.
//! If not, it waits in their place, and goes on to until a worker waits again. It sleeps without
//! limit while a worker waits all the time, so an idle program is idle; and it looks less often
//! while each look finds that workers see to it.

#![forbid(unsafe_code)]

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use wq_core::driver::{self, Poller};

use super::Reactor;

/// Shortest and longest time between two looks: an event waits for twice that, if all workers are
/// inside long items for the first time. Each look takes a CPU from a worker.
const ROUND: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(2));
/// Claims within a round that make the next one longer: who claims so often runs short items.
const MANY_CLAIMS: u32 = 8;
/// It sleeps after so many rounds in which a worker has waited all the time, and is woken when that
/// one leaves: a wake-up for each pause longer than that is no cost.
const QUIET_ROUNDS: u32 = 8;

/// Starts the thread, which the reactor knows when this returns.
pub(super) fn start(reactor: &'static Reactor) -> io::Result<()> {
    let builder = thread::Builder::new().name("wq/io".into());
    let spawned = builder.spawn(move || {
        // Both set it: whoever is sooner, it is the same.
        let _ = reactor.stand_in.set(thread::current());
        driver::be_service_thread();
        run(reactor);
    })?;
    let _ = reactor.stand_in.set(spawned.thread().clone());
    Ok(())
}

/// The thread's life, which is the process's, or as long as there is something to wait in.
fn run(reactor: &Reactor) {
    let mut claims = reactor.vigil.look().claims;
    let mut quiet = 0;
    let mut round = ROUND.0;
    // Relaxed: a flag that orders nothing.
    while !reactor.broken.load(Ordering::Relaxed) {
        thread::park_timeout(round);
        // Relaxed: ordered by the wake-up.
        let wanted = reactor.wanted.swap(false, Ordering::Relaxed);
        let now = reactor.vigil.look();
        let same = now.claims == claims;
        // Their number has 30 bits, and so few pass in a round that this is right modulo 2^30.
        let many = now.claims.wrapping_sub(claims) % (1 << 30) >= MANY_CLAIMS;
        claims = now.claims;
        round = if many && !wanted { ROUND.1 } else { ROUND.0 };
        quiet = if same && now.is_held { quiet + 1 } else { 0 };
        if quiet >= QUIET_ROUNDS {
            quiet = 0;
            if reactor.vigil.stand_in_sleeps() {
                thread::park();
            }
        } else if (same || wanted) && !now.is_held {
            wait(reactor);
            claims = reactor.vigil.look().claims;
        }
    }
}

/// Waits until something has happened, and delivers it; again, until a worker waits or has.
fn wait(reactor: &Reactor) {
    let mut claims = reactor.vigil.look().claims;
    loop {
        // Not in the reactor itself: a worker that becomes idle is to wait there at once.
        let mut fds = [PollFd::new(reactor.epoll.0.as_fd(), PollFlags::POLLIN)];
        // An error is a signal that came in between.
        let _ = poll(&mut fds, PollTimeout::NONE);
        // It cannot be claimed if it is broken, either.
        if reactor.vigil.look().claims != claims || !reactor.claim() {
            return;
        }
        claims = reactor.vigil.look().claims;
        if reactor.wait(Some(Duration::ZERO)) {
            reactor.deliver();
        }
    }
}
