//! The timelines of the kernel's documentation, and the engine's promises under random load.

mod flags;
mod ledger;
mod placement;
mod promises;
mod random;
mod timelines;
mod watch;
