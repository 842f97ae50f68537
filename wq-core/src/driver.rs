//! What the async layer needs of the engine and users don't: no stable interface.

#![forbid(unsafe_code)]

use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Instant;

use crate::timer::Timers;

/// The timers that a delay made here and now should use.
///
/// # Panics
///
/// If they are the process-wide ones, these are needed for the first time, and the machine refuses
/// a thread for them.
pub fn timers() -> Arc<Timers> {
    process_timers()
}

/// What the clock of [`timers`] shows, without the cost of a handle to them.
pub fn now() -> Instant {
    Instant::now()
}

/// Timers that live as long as the process and are never stopped, with a thread of their own that
/// is started at the first call: for delays outside any System, and for those that outlive theirs.
///
/// # Panics
///
/// If the first call is refused a thread by the machine.
pub fn process_timers() -> Arc<Timers> {
    static TIMERS: OnceLock<Arc<Timers>> = OnceLock::new();
    Arc::clone(TIMERS.get_or_init(|| {
        let timers = Timers::new();
        let served = Arc::clone(&timers);
        thread::Builder::new()
            .name("wq/timer".into())
            .spawn(move || served.run())
            .expect("the process-wide timers need a thread");
        timers
    }))
}
