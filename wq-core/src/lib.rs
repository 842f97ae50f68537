//! The engine of wq: work items, workqueues and managed worker pools.

#[cfg_attr(loom, expect(dead_code, reason = "the models use a part of each protocol"))]
mod proto;
mod sync;

#[cfg(not(loom))]
mod engine;
#[cfg(not(loom))]
pub use engine::*;
