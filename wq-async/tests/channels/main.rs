//! Channels and locks of others on wq, those that suspend a task and those that block its thread:
//! what `docs/channels.md` promises of each.

#[cfg(all(target_os = "linux", not(wq_portable)))]
mod block;
#[path = "../deadline/mod.rs"]
mod deadline;
mod suspend;

/// What each producer sends, from 1 on.
const SENT: u64 = 300;
const PRODUCERS: u64 = 3;
/// What the consumers get, in sum.
const SUM: u64 = PRODUCERS * SENT * (SENT + 1) / 2;
