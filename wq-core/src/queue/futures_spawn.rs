//! Queues where libraries expect somebody who spawns: `futures::task::Spawn`.

#![forbid(unsafe_code)]

use futures_task::{FutureObj, Spawn, SpawnError};

use super::handle::Queue;

/// With the feature `futures-spawn`.
///
/// The only error that the trait knows, "shut down", is given for a queue that is closed, draining
/// or full; [`Queue::try_spawn`] tells them apart.
///
/// # Examples
/// ```
/// use futures::task::SpawnExt;
///
/// let system = wq_core::System::builder().build()?;
/// let queue = wq_core::Workqueue::ordered("journal").system(&system).build()?;
/// let sum = queue.spawn_with_handle(async { 1 + 1 })?;
/// assert_eq!(system.block_on(sum), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Spawn for Queue {
    fn spawn_obj(&self, future: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        let spawned = self.try_spawn(future);
        spawned.map(drop).map_err(|_| SpawnError::shutdown())
    }

    fn status(&self) -> Result<(), SpawnError> {
        if self.is_closed() {
            Err(SpawnError::shutdown())
        } else {
            Ok(())
        }
    }
}
