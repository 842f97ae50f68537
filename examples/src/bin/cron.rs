//! Jobs at set times: delayed work that arms itself again, is put forward, cancelled, and late.
//!
//! A [`Job`] keeps to a grid: its runs are due at multiples of its period from its start, however
//! long each run takes and however late it comes. What it could not run in time it leaves out, and
//! counts. No task sleeps between two runs, and no thread waits.

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use wq::{DelayedWork, Queue, Queued, Workqueue};
use wq_examples::arguments;

/// Between two runs of the report.
const PERIOD: Duration = Duration::from_millis(10);

/// Between two beats.
const BEAT: Duration = Duration::from_millis(1);

/// Longer than anybody waits for this program.
const HOUR: Duration = Duration::from_secs(3600);

/// What a job has done.
#[derive(Clone, Debug, Default)]
struct Log {
    /// For when each run was scheduled, counted in periods from the start.
    due: Vec<u32>,
    /// Runs that began before they were due.
    early: usize,
    /// Runs left out because another one took too long.
    missed: u32,
}

/// Something that is done again and again.
struct Job {
    item: DelayedWork,
    log: Arc<Mutex<Log>>,
}

impl Job {
    /// Runs `task` every `period` on this queue, for the first time one period from now.
    fn every(period: Duration, queue: &Queue, mut task: impl FnMut() + Send + 'static) -> Job {
        let log = Arc::new(Mutex::new(Log::default()));
        let (noted, itself) = (Arc::clone(&log), queue.clone());
        let (start, mut turn) = (Instant::now(), 1);
        // One item, which knows itself: it never runs twice at a time, whoever queues it.
        let item = DelayedWork::with_self(move |this| {
            let began = Instant::now();
            task();
            // The first multiple of the period that has not passed.
            let passed = start.elapsed().as_nanos() / period.as_nanos();
            let next = u32::try_from(passed).unwrap_or(u32::MAX).max(turn) + 1;
            {
                let mut log = noted.lock().unwrap_or_else(PoisonError::into_inner);
                log.early += usize::from(began < start + period * turn);
                log.missed += next - turn - 1;
                log.due.push(turn);
            }
            turn = next;
            let left = (start + period * next).saturating_duration_since(Instant::now());
            // `AlreadyPending`: somebody has put the next run forward meanwhile.
            let _ = itself.queue_after(this, left);
        });
        let _ = queue.queue_after(&item, period);
        Job { item, log }
    }

    /// What it has done so far.
    fn log(&self) -> Log {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.clone()
    }
}

#[wq::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    arguments::none("cron");
    let jobs = Workqueue::unbound("jobs").build()?;
    let urgent = Workqueue::percpu("urgent").highpri().build()?;

    // A heartbeat, at high priority: what the jobs do is not to hold it up.
    let heartbeat = Job::every(BEAT, &urgent, || ());

    // A report whose second run takes three periods and a half, blocked.
    let (ran, runs) = async_channel::unbounded();
    let mut number = 0;
    let report = Job::every(PERIOD, &jobs, move || {
        number += 1;
        if number == 2 {
            thread::sleep(PERIOD * 7 / 2);
        }
        let _ = ran.try_send(number);
    });
    for _ in 0..5 {
        runs.recv().await?;
    }
    // Waits for a run under way. Before it arms itself again it finds itself disabled.
    report.item.cancel_and_wait().await?;
    let log = report.log();
    println!("ran 5 times or more: {}", log.due.len() >= 5);
    println!(
        "on its grid, each turn once: {}",
        log.due.is_sorted_by(|a, b| a < b)
    );
    println!("never early: {}", log.early == 0);
    println!("left out what it missed: {}", log.missed >= 3);
    println!("pending after the cancel: {}", report.item.is_pending());

    // A nightly job that is wanted now: its delay is set anew.
    let (ran, runs) = async_channel::unbounded();
    let nightly = DelayedWork::new(move || {
        let _ = ran.try_send("cleaned up");
    });
    println!("tonight: {:?}", jobs.queue_after(&nightly, HOUR));
    println!("now: {:?}", jobs.modify_after(&nightly, Duration::ZERO));
    println!("{}", runs.recv().await?);

    // What is not to be: it is armed, taken back, and refused until it is enabled again.
    let _ = jobs.queue_after(&nightly, HOUR);
    println!("switched off, it was armed: {}", nightly.disable());
    let refused = jobs.queue_after(&nightly, HOUR);
    println!("refused: {}", refused == Queued::Disabled);
    println!("switched on: {:?}", nightly.enable());

    heartbeat.item.cancel_and_wait().await?;
    let beats = heartbeat.log();
    println!(
        "the heart has beaten: {}",
        !beats.due.is_empty() && beats.early == 0
    );
    // Time for some more, if there were any.
    wq::time::sleep(BEAT * 10).await;
    let after = heartbeat.log().due.len();
    println!(
        "and stands still: {}",
        after == beats.due.len() && !heartbeat.item.is_pending()
    );
    // What is armed when a queue goes is taken back with it.
    let _ = jobs.queue_after(&nightly, HOUR);
    jobs.destroy().await?;
    println!("destroyed, pending: {}", nightly.is_pending());
    Ok(())
}
