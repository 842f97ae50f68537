//! The few threads that serve a System, and nothing of the user's.
//!
//! `maker` (the kernel's manager role, `kthreadd` and grave digger in one) makes all other
//! threads, because a thread inherits mask, priority and class from its maker; `monitor` looks
//! when nobody else does; `spotter` is one per CPU in use, at idle priority; `timer` fires delays.

pub(crate) mod maker;
mod monitor;
mod spotter;

use std::io;
use std::sync::Arc;

use crate::os;
use crate::system::SystemInner;

/// A service thread should get the CPU soon after a wake-up and needs it for a moment: this
/// slice gives it an early deadline, ns.
const SHORT_SLICE_NS: u64 = 100_000;

/// Starts the threads that every System has.
pub(crate) fn start(system: &Arc<SystemInner>) -> io::Result<()> {
    spawn(system, "threadd", maker::run)?;
    spawn(system, "monitor", monitor::run)?;
    spawn(system, "timer", serve_timers)
}

/// Fires delays.
fn serve_timers(system: &Arc<SystemInner>) {
    #[cfg(not(feature = "test-util"))]
    system.timers.run();
    #[cfg(feature = "test-util")]
    system.timers.run_and_turn(|| system.is_at_rest());
}

/// Starts one service thread.
fn spawn(system: &Arc<SystemInner>, name: &str, body: fn(&Arc<SystemInner>)) -> io::Result<()> {
    let served = Arc::clone(system);
    let name = format!("{}/{name}", system.tag);
    system.note_thread();
    let spawned = os::spawn_thread(name, move || {
        be_service_thread();
        body(&served);
        served.note_thread_gone();
    });
    if let Err(error) = spawned {
        system.note_thread_gone();
        return Err(error);
    }
    Ok(())
}

/// Signals are the program's business; delays should be exact; a short turn comes soon.
pub(crate) fn be_service_thread() {
    os::block_all_signals();
    os::set_timer_slack_ns(1);
    // Where the kernel does not know slices, the usual one serves.
    let _ = os::set_short_slice(SHORT_SLICE_NS);
}
