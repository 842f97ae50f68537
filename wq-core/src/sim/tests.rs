//! The timelines of the kernel's documentation. Random programs: `sim::fuzz`.

mod flags;
mod found;
mod placement;
mod promises;
mod timelines;
