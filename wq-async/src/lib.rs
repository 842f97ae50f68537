//! The async layer of wq.

#[cfg(feature = "time")]
pub mod time;
