//! What the kernel lets this process do with its threads, found by trying on a thread that ends
//! right after: its class and priority are nobody else's.

use std::io;
use std::sync::OnceLock;
use std::thread;

use nix::errno::Errno;

use super::super::Trial;
use super::{
    block_all_signals, enter_idle_class, get_affinity, set_affinity, set_nice, set_short_slice,
};
use crate::CpuSet;

/// The slice that is asked for, ns; any that differs from the default would do.
const SLICE_NS: u64 = 200_000;

/// Tries once in the life of the process; `nice` is the value that high priority needs.
///
/// Makes a short-lived thread, which inherits the caller's mask and class: not for a spotter.
pub(crate) fn try_abilities(nice: i8) -> Trial {
    /// What the first call found.
    static TRIED: OnceLock<Trial> = OnceLock::new();

    *TRIED.get_or_init(|| {
        let builder = thread::Builder::new().name("wq/trial".into());
        let tried = builder.spawn(move || try_all(nice));
        // The trial has nothing that could panic; without a thread nothing else will work either.
        let tried = tried.map(|trial| trial.join().ok());
        tried.ok().flatten().unwrap_or(Trial::NOTHING_WORKS)
    })
}

/// The tries. The idle class comes last: there may be no way back.
fn try_all(nice: i8) -> Trial {
    block_all_signals();
    let placement = number_of(get_affinity(0).and_then(|own| {
        let one = own.iter().next().ok_or(Errno::EINVAL)?;
        set_affinity(0, &CpuSet::from_iter([one]))
    }));
    let slices = number_of(set_short_slice(SLICE_NS));
    let high_priority = number_of(set_nice(0, nice));
    let idle_class = number_of(enter_idle_class());
    Trial {
        placement,
        slices,
        high_priority,
        idle_class,
    }
}

/// The outcome as a number, which can be kept.
fn number_of(outcome: io::Result<()>) -> Result<(), i32> {
    outcome.map_err(|error| error.raw_os_error().unwrap_or(Errno::EINVAL as i32))
}
