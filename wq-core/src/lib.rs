//! The engine of wq: work items, workqueues and managed worker pools.

#[cfg_attr(
    loom,
    expect(dead_code, reason = "the models use a part of each protocol")
)]
mod proto;
mod sync;

/// Declares what is left out of the models' build.
macro_rules! engine {
    ($($item:item)*) => { $(#[cfg(not(loom))] $item)* };
}

engine! {
    mod block;
    mod cpuset;
    mod current;
    mod entry;
    mod lane;
    mod list;
    mod os;
    mod policy;
    mod pool;
    mod queue;
    mod registry;
    mod route;
    mod run;
    mod sense;
    mod service;
    mod spin;
    mod stats;
    mod system;
    mod task;
    mod topology;
    #[cfg(test)]
    mod sim;
    mod work;
    mod worker;
    #[doc(hidden)]
    pub mod driver;
    pub mod timer;

    pub use self::block::blocking;
    pub use self::cpuset::{CpuListError, CpuSet};
    pub use self::queue::builder::{BuildError, OrderedBuilder, PercpuBuilder, UnboundBuilder};
    pub use self::queue::flush::FlushReport;
    pub use self::queue::handle::{Queue, TrySpawnError, Workqueue};
    pub use self::queue::wait::{Destroy, Drain, Flush, WaitError};
    pub use self::stats::{QueueStats, SystemStats};
    pub use self::system::builder::SystemBuilder;
    pub use self::system::shutdown::ShutdownReport;
    pub use self::system::{DefaultSystemError, EnterGuard, System};
    pub use self::task::join::{AbortHandle, AbortOnDrop, JoinError, JoinHandle};
    pub use self::topology::{AffinityScope, AffinityScopeError, FakeSpec, Topology};
    pub use self::work::delayed::{DelayedWork, Modified};
    pub use self::work::{CancelWait, Queued, Work, WorkFlush};
}
