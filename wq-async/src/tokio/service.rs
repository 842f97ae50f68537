//! The thread that makes a tokio runtime, watches it, and ends it.
//!
//! It is this thread that drops the runtime, because that waits, and whoever lets the last handle
//! go may be a task of some runtime, where tokio forbids it.

use std::future::poll_fn;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use ::tokio::runtime::{Builder, Handle, Runtime};
use wq_core::driver;

use super::watch::Watch;

/// The runtime's threads are given this long to leave.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// What the service needs to know.
#[derive(Debug)]
pub(super) struct Plan {
    /// What the names of its threads begin with.
    pub(super) tag: String,
    /// How many threads run tokio's tasks.
    pub(super) threads: usize,
}

/// The service, for the one who ends it.
#[derive(Debug)]
pub(super) struct Service {
    /// The runtime's handle.
    pub(super) handle: Handle,
    watch: Arc<Watch>,
    thread: Option<JoinHandle<()>>,
    /// The process that it was made in.
    process: u32,
}

impl Service {
    /// Starts the thread, which makes the runtime.
    pub(super) fn start(plan: Plan) -> io::Result<Service> {
        let watch = Arc::new(Watch::new(plan.threads));
        let (answer, answered) = sync_channel(1);
        let (its_watch, name) = (Arc::clone(&watch), format!("{}/tokio-watch", plan.tag));
        // Not `std`'s: the caller may be a worker that is bound to a CPU.
        let thread = wq_core::thread::Builder::new()
            .name(name)
            .spawn(move || serve(&plan, &its_watch, &answer))?;
        let handle = match answered.recv() {
            Ok(made) => made?,
            Err(_) => return Err(io::Error::other("the thread that makes it has panicked")),
        };
        Ok(Service {
            handle,
            watch,
            thread: Some(thread),
            process: std::process::id(),
        })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            // A forked child has none of the threads: their lock may be held for ever, and to join
            // or detach one is undefined.
            std::mem::forget(self.thread.take());
            return;
        }
        self.watch.end();
        if let Some(thread) = self.thread.take() {
            // On a thread of the runtime itself this lasts for as long as threads have to leave.
            // An error means that a destructor of tokio's has panicked, and has been reported.
            let _ = wq_core::blocking(|| thread.join());
        }
    }
}

/// The body of the thread.
fn serve(plan: &Plan, watch: &Arc<Watch>, answer: &SyncSender<io::Result<Handle>>) {
    let runtime = match make(plan, watch) {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = answer.send(Err(error));
            return;
        }
    };
    let pulse = Pulse::start(&runtime);
    let _ = answer.send(Ok(runtime.handle().clone()));
    watch.run(|| pulse.beat());
    runtime.shutdown_timeout(LEAVE_TIME);
}

/// Makes the runtime. Its threads take after the calling one, whoever starts them: tokio has those
/// for blocking calls made by the caller, which may be a worker with a CPU and a priority.
fn make(plan: &Plan, watch: &Arc<Watch>) -> io::Result<Runtime> {
    let settle = driver::settings_of_caller();
    let (sleeper, waker) = (Arc::clone(watch), Arc::clone(watch));
    Builder::new_multi_thread()
        .worker_threads(plan.threads)
        .thread_name(format!("{}/tokio", plan.tag))
        .on_thread_start(settle)
        .on_thread_park(move || sleeper.note_sleep())
        .on_thread_unpark(move || waker.note_waking())
        .enable_all()
        .build()
}

/// A task of the runtime that never ends and does nothing: waking it wakes one of the threads.
struct Pulse(Arc<Mutex<Option<Waker>>>);

impl Pulse {
    /// Spawns it.
    fn start(runtime: &Runtime) -> Pulse {
        let waker = Arc::new(Mutex::new(None));
        let its = Arc::clone(&waker);
        drop(runtime.spawn(poll_fn(move |cx| {
            let mut kept = its.lock().unwrap_or_else(PoisonError::into_inner);
            kept.get_or_insert_with(|| cx.waker().clone());
            Poll::<()>::Pending
        })));
        Pulse(waker)
    }

    /// Wakes it.
    fn beat(&self) {
        let waker = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // None before its first poll: all threads are awake then.
        let waker = waker.clone();
        waker.iter().for_each(Waker::wake_by_ref);
    }
}
