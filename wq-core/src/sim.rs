//! The simulator: the engine on a machine that does not exist.
//!
//! Nothing of the engine is copied or imitated. Its worker loop, hand-overs, queues, monitor,
//! spotters and thread maker run unchanged on a virtual operating system (`os::virt`) with
//! virtual CPUs, virtual time and threads that take turns. Code takes no time; items burn
//! virtual CPU time ([`burn`]), block their thread ([`sleep`]) or suspend ([`delay`]). A run is
//! exact to the nanosecond and the same each time; where a real machine would be free, the seed
//! chooses, and a failing seed is printed.
//!
//! Not for data races, which the models explore (`proto/tests`): between two system calls a
//! virtual thread is never interrupted.

pub mod fuzz;
mod kernel;
pub(crate) mod machine;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trace;

use std::fmt;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::System;
use crate::current::Current;
use crate::timer::Fire;
#[cfg(test)]
use crate::{FakeSpec, Topology};

use machine::{Here, Machine};
#[cfg(test)]
use trace::Trace;

/// The shape of a run.
#[derive(Clone, Copy, Debug)]
struct Spec {
    /// Virtual CPUs.
    cpus: usize,
    /// What is free is chosen by this.
    seed: u64,
}

/// A run: the machine, a System on it, and what its items told.
struct Sim {
    here: Here,
    system: System,
    #[cfg(test)]
    trace: Trace,
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").finish_non_exhaustive()
    }
}

/// Runs `body` as a thread of a virtual machine that needs no CPU of its own. When it returns
/// the System is shut down, and every thread must leave.
///
/// # Panics
/// With the seed, if a check failed, if nobody ever runs again, or as `body` does.
#[cfg(test)]
#[track_caller]
fn simulate<R>(spec: Spec, body: impl FnOnce(&Sim) -> R) -> R {
    simulate_on(FakeSpec::new().cores(spec.cpus), spec.seed, body)
}

/// As [`simulate`], on a machine of this shape.
///
/// # Panics
/// As there.
#[cfg(test)]
#[track_caller]
fn simulate_on<R>(shape: FakeSpec, seed: u64, body: impl FnOnce(&Sim) -> R) -> R {
    let topology = Topology::fake(shape);
    let spec = Spec {
        cpus: topology.cpus(),
        seed,
    };
    let build = || {
        let system = System::builder().topology(topology).build();
        system.expect("nothing is refused")
    };
    match attempt(spec, build, body) {
        Ok(result) => result,
        Err(failure) => panic!("seed {seed}: {failure}"),
    }
}

/// The same with a System that `build` makes; what failed.
fn attempt<R>(
    spec: Spec,
    build: impl FnOnce() -> System,
    body: impl FnOnce(&Sim) -> R,
) -> Result<R, String> {
    Machine::run(spec.cpus, spec.seed, |here| {
        // Left behind when `body` unwinds: a shutdown would wait for a machine that stands.
        let sim = ManuallyDrop::new(Sim {
            here: here.clone(),
            system: build(),
            #[cfg(test)]
            trace: Trace::default(),
        });
        let result = body(&sim);
        drop(ManuallyDrop::into_inner(sim));
        result
    })
}

/// Milliseconds, the unit of the timelines.
#[cfg(test)]
fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Burns virtual CPU time, inside a closure or a poll.
///
/// # Panics
/// Outside a virtual machine.
fn burn(time: Duration) {
    Here::get()
        .expect("only virtual threads burn virtual time")
        .burn(time);
}

/// Blocks the calling virtual thread, as a system call that takes its time would.
///
/// # Panics
/// Outside a virtual machine.
fn sleep(time: Duration) {
    Here::get()
        .expect("only virtual threads sleep virtual time")
        .wait(0, Some(time));
}

/// Suspends the calling task, by a timer of its System.
fn delay(time: Duration) -> Delay {
    Delay { time, until: None }
}

/// See [`delay`]; the time begins with the first poll.
#[derive(Debug)]
struct Delay {
    time: Duration,
    until: Option<Instant>,
}

impl Future for Delay {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let now = crate::os::now();
        let end = now + self.time;
        let until = *self.until.get_or_insert(end);
        if now >= until {
            return Poll::Ready(());
        }
        let armed = Current::with(|current| {
            let timers = &current.expect("delays belong to tasks").system.timers;
            // A second poll before the time arms a second timer: a spurious wake-up, no harm.
            timers.arm(until, Fire::Wake(cx.waker().clone()))
        });
        if armed.is_err() {
            // The System shuts down: nobody would come.
            return Poll::Ready(());
        }
        Poll::Pending
    }
}
