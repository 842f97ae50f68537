//! The job on wq: reads are made inside tasks, and the limit and the order belong to queues.

use std::sync::Arc;
use std::time::Instant;

use wq::time::interval_at;
use wq::{System, Workqueue};

use super::heartbeat::{Beat, PERIOD};
use super::job::Job;
use super::runner::RunError;
use super::watch::Watch;

/// Runs the job; `watch` keeps the calling thread until the end.
pub(super) fn run(job: &Arc<Job>, watch: &mut Watch) -> Result<(), RunError> {
    let system = System::builder().name("sum").build()?;
    let body = system.default_queue().spawn(sum(Arc::clone(job)));
    watch.until_end(job);
    let ended = if job.wait_for_end(Watch::NOT_AT_ALL) {
        body.wait()?
    } else {
        Ok(())
    };
    watch.note_engine(system.stats().threads_peak);
    // A read that is stuck keeps its thread, which is left behind and named.
    watch.note_detached(system.shutdown(Watch::GRACE).detached_threads);
    ended
}

/// Reads every file, at most `limit` at a time, while two heartbeats tick.
async fn sum(job: Arc<Job>) -> Result<(), RunError> {
    let _finish = job.begin();
    let reads = Workqueue::unbound("reads")
        .max_active(job.limit())
        .build()?;
    let journal = Workqueue::ordered("journal").build()?;
    let urgent = Workqueue::percpu("urgent").highpri().build()?;
    let beats = [
        wq::spawn(tick(Arc::clone(&job), Beat::Ordinary)),
        urgent.spawn(tick(Arc::clone(&job), Beat::Urgent)),
    ];
    for file in 0..job.files() {
        let (job, journal) = (Arc::clone(&job), journal.clone());
        drop(reads.spawn_fn(move || {
            if let Some(reading) = job.read(file) {
                let writer = Arc::clone(&job);
                job.accept(reading, |entry| {
                    drop(journal.spawn_fn(move || writer.record(entry)));
                });
            }
        }));
    }
    wq::flush(&reads).await?;
    wq::flush(&journal).await?;
    job.stop_ticking();
    for beat in beats {
        beat.await?;
    }
    Ok(())
}

/// Wakes each millisecond and records when that was.
async fn tick(job: Arc<Job>, beat: Beat) {
    let heart = job.heart(beat);
    let mut ticks = interval_at(heart.next(), PERIOD);
    while job.ticking() {
        ticks.tick().await;
        heart.woke(Instant::now());
    }
}
