//! Running futures from threads, and blocking inside tasks.

use std::future::Future;

use wq_core::System;

/// Polls a future on the calling thread until it is ready. May be called anywhere, inside a task
/// too: the worker hands its lane over while it sleeps.
///
/// # Examples
/// ```
/// assert_eq!(wq::block_on(async { 1 + 1 }), 2);
/// // Inside a task it works as well.
/// let nested = wq::spawn(async { wq::block_on(wq::spawn(async { 3 })).unwrap() });
/// assert_eq!(nested.wait().unwrap(), 3);
/// ```
///
/// # Panics
/// If the default System must be made and the machine refuses its threads.
pub fn block_on<F: Future>(future: F) -> F::Output {
    System::current().block_on(future)
}

/// Runs a future as a task of the default queue and waits for it: what `#[wq::main]` does. Faster
/// than [`block_on`] for a root that spawns and awaits, because it runs on a lane itself.
///
/// # Examples
/// ```
/// assert_eq!(wq::run(async { 1 + 1 }), 2);
/// ```
///
/// # Panics
/// If the future panics, with its payload.
pub fn run<F>(future: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    System::current().run(future)
}

/// Runs `f`, which is going to block, and lets another worker run the calling one's lane
/// meanwhile: [`wq_core::blocking`]. Never needed for correctness; it makes the hand-over
/// immediate.
///
/// # Examples
/// ```
/// let text = wq::spawn(async { wq::blocking(|| std::fs::read_to_string("Cargo.toml")) });
/// assert!(text.wait().unwrap().is_ok());
/// ```
pub fn blocking<R>(f: impl FnOnce() -> R) -> R {
    wq_core::blocking(f)
}
