//! Children of code inside items: they get the program's CPUs and priority.
//!
//! A child that a worker of a per-CPU queue starts would stay on the worker's CPU, and that of a
//! worker of an unbound queue uses all, as it should. Its signal mask is the program's in any case:
//! `std` leaves a child that of the thread, and a worker has that of its System's maker.

use std::process::Command;

use crate::{os, thread};

/// Has the children of `command` inherit nothing of the worker that calls this, and whose System's
/// maker they take after. Outside of workers it changes nothing.
///
/// Call it where the child is started, since the worker's System decides. It keeps `std` from using
/// `posix_spawn`, which costs a fork.
///
/// # Examples
/// ```
/// use std::process::Command;
///
/// let system = wq_core::System::builder().build()?;
/// let task = system.highpri_queue().spawn_fn(|| {
///     wq_core::process::outside(&mut Command::new("true")).status()
/// });
/// assert!(task.wait().unwrap().is_ok_and(|status| status.success()));
/// # Ok::<(), wq_core::BuildError>(())
/// ```
pub fn outside(command: &mut Command) -> &mut Command {
    if let Some(system) = thread::system_of_worker() {
        let home = system.home.clone();
        os::before_exec(command, home);
    }
    command
}
