//! The engine of wq.

#[cfg_attr(
    loom,
    expect(dead_code, reason = "the models use a part of each protocol")
)]
mod proto;
mod sync;
#[doc(hidden)]
pub mod driver;
pub mod timer;
