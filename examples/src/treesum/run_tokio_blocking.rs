//! The job on tokio, written as its guide asks: what may block goes to the blocking pool.

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Builder;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::interval_at;

use super::heartbeat::{Beat, PERIOD};
use super::job::Job;
use super::runner::RunError;
use super::watch::Watch;

/// Runs the job; `watch` keeps the calling thread until the end.
pub(super) fn run(job: &Arc<Job>, watch: &mut Watch) -> Result<(), RunError> {
    let runtime = Builder::new_multi_thread().enable_time().build()?;
    let body = runtime.spawn(sum(Arc::clone(job)));
    watch.until_end(job);
    if job.wait_for_end(Watch::NOT_AT_ALL) {
        runtime.block_on(body)?
    } else {
        // A read is stuck: its thread is left behind.
        runtime.shutdown_background();
        Ok(())
    }
}

/// Reads every file, at most `limit` at a time, while two heartbeats tick.
async fn sum(job: Arc<Job>) -> Result<(), RunError> {
    let _finish = job.begin();
    // Tokio has no priorities: both heartbeats are ordinary tasks.
    let beats = Beat::ALL.map(|beat| tokio::spawn(tick(Arc::clone(&job), beat)));
    let limit = Arc::new(Semaphore::new(job.limit()));
    let (journal, mut entries) = mpsc::unbounded_channel();
    let writer = Arc::clone(&job);
    let writer = spawn_blocking(move || {
        while let Some(entry) = entries.blocking_recv() {
            writer.record(entry);
        }
    });
    for file in 0..job.files() {
        let (job, limit, journal) = (Arc::clone(&job), Arc::clone(&limit), journal.clone());
        tokio::spawn(async move {
            let _permit = limit.acquire().await;
            let reader = Arc::clone(&job);
            // A read that panicked has no result; the report misses it.
            if let Ok(Some(reading)) = spawn_blocking(move || reader.read(file)).await {
                job.accept(reading, |entry| {
                    // The receiver goes last: it ends when all senders have.
                    let _ = journal.send(entry);
                });
            }
        });
    }
    drop(journal);
    writer.await?;
    job.stop_ticking();
    for beat in beats {
        beat.await?;
    }
    Ok(())
}

/// Wakes each millisecond and records when that was.
async fn tick(job: Arc<Job>, beat: Beat) {
    let heart = job.heart(beat);
    let mut ticks = interval_at(heart.next().into(), PERIOD);
    while job.ticking() {
        ticks.tick().await;
        heart.woke(Instant::now());
    }
}
