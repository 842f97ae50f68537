//! The timelines of the kernel's documentation, and the engine's promises under random load.

mod promises;
mod timelines;
