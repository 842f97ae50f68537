//! The load on wq: handlers block where they stand.

use std::sync::Arc;
use std::time::Duration;

use wq::System;
use wq::time::sleep;

use super::RunError;
use super::load::Load;

/// Runs the load on the calling thread, which sends the pings.
pub(super) fn run(load: &Arc<Load>) -> Result<(), RunError> {
    // That handlers burn CPU is the point here, and not to be said in the live view.
    let builder = System::builder().cpu_intensive_warning_thresh(0);
    let runtime = builder.name("stall").build()?;
    let queue = runtime.default_queue();
    for _ in 0..load.handlers() {
        drop(queue.spawn(handler(Arc::clone(load))));
    }
    load.send_pings(|ping| drop(queue.spawn(async move { ping.arrive() })));
    runtime.shutdown(Duration::from_secs(1));
    Ok(())
}

/// Handles one request after the other.
async fn handler(load: Arc<Load>) {
    while load.goes_on() {
        load.handle();
        sleep(Load::PAUSE).await;
    }
}
