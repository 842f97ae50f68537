//! The load on tokio, written as its guide asks: what may block goes to the blocking pool.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::RunError;
use super::load::Load;

/// Runs the load on the calling thread, which sends the pings.
pub(super) fn run(load: &Arc<Load>) -> Result<(), RunError> {
    let runtime = Builder::new_multi_thread().enable_time().build()?;
    for _ in 0..load.handlers() {
        drop(runtime.spawn(handler(Arc::clone(load))));
    }
    load.send_pings(|ping| drop(runtime.spawn(async move { ping.arrive() })));
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}

/// Handles one request after the other.
async fn handler(load: Arc<Load>) {
    while load.goes_on() {
        let blocking = Arc::clone(&load);
        if spawn_blocking(move || blocking.handle()).await.is_err() {
            return;
        }
        sleep(Load::PAUSE).await;
    }
}
