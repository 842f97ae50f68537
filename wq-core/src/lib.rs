//! The engine of wq.

mod cpuset;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the engine that calls these is to come")
)]
mod os;
mod topology;

pub use self::cpuset::{CpuListError, CpuSet};
pub use self::topology::{AffinityScope, AffinityScopeError, FakeSpec, Topology};
