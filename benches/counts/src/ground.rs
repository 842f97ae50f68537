//! What every case stands on: one System with one lane, which senses nothing by itself.

use std::future::Future;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use wq::{Sensing, System, Workqueue};

/// So many items are enough to learn from.
const LESSONS: usize = 64;

/// The System of the process.
pub(crate) struct Ground {
    /// One lane; the process's default.
    pub(crate) system: System,
    /// A queue without limits; it lives as long as the process.
    pub(crate) queue: &'static Workqueue,
}

impl Ground {
    /// Starts the System.
    ///
    /// Under valgrind one thread runs at a time, and an item takes fifty times as long: whoever
    /// looked at the clock or at what threads do would see burning and blocking everywhere.
    pub(crate) fn prepare() -> Self {
        let never = Duration::ZERO;
        let system = System::builder()
            .workers(1)
            .sensing(Sensing::Declared)
            .handoff_grace(never)
            .cpu_intensive_thresh(never)
            .watchdog_thresh(never)
            .build()
            .expect("the System starts");
        system.install_default().expect("it is the first System");
        let queue = Workqueue::unbound("counted").build();
        let queue = Box::leak(Box::new(queue.expect("the queue is made")));
        Self { system, queue }
    }

    /// Runs a task to its end; before it begins the lane has learnt what its items cost.
    pub(crate) fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.system.run(async {
            learn().await;
            task.await;
        });
    }

    /// Runs a closure on this thread while the lane is inside of an item; then `last` runs inside
    /// of that item, before anything else runs on the lane.
    pub(crate) fn beside_a_busy_lane(&self, foreign: impl FnOnce(), last: fn()) {
        let (inside, is_inside) = mpsc::channel();
        let (release, is_released): (Sender<()>, _) = mpsc::channel();
        let item = self.system.spawn(async move {
            learn().await;
            inside.send(()).expect("the other thread waits");
            // It ends when the sender is dropped.
            let _ = is_released.recv();
            last();
        });
        is_inside.recv().expect("the item runs");
        foreign();
        drop(release);
        item.wait().expect("the item ends");
    }
}

/// A worker looks at the clock behind each item until it knows what they cost, and where nothing
/// waits it learns nothing. Whether it slept before, and forgot, is no business of a case.
async fn learn() {
    for _ in 0..LESSONS {
        drop(wq::spawn(async {}));
    }
    wq::yield_now().await;
}
