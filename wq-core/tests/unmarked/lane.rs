//! One lane of some kind of queue, and a task that blocks on it until a later one makes it go on.

use std::sync::{Arc, mpsc};

use wq_core::{JoinHandle, Queue, System, Workqueue};

use crate::harness::{Scenario, scenario};

/// A kind of queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Unbound,
    Percpu,
    Highpri,
    Ordered,
}

/// All of them.
pub(crate) const KINDS: [Kind; 4] = [Kind::Unbound, Kind::Percpu, Kind::Highpri, Kind::Ordered];

/// A scenario for each kind.
pub(crate) fn on_each_kind(name: &str, body: fn(&Lane)) -> Vec<Scenario> {
    let named = |kind| scenario(format!("{name}, {kind:?}"), move || body(&Lane::new(kind)));
    KINDS.into_iter().map(named).collect()
}

/// One lane, the queue of the tasks that block on it, and the queue of those that help.
///
/// On an ordered queue nothing starts behind an item that blocks, by promise; helpers then come
/// from another queue of the same lane.
#[derive(Clone)]
pub(crate) struct Lane {
    pub(crate) system: System,
    kind: Kind,
    cpu: usize,
    blockers: Arc<Workqueue>,
    helpers: Queue,
}

impl Lane {
    /// The lane of a new System.
    pub(crate) fn new(kind: Kind) -> Lane {
        let system = System::builder().workers(1).build().expect("a System");
        let blockers = match kind {
            Kind::Unbound => Workqueue::unbound("b").system(&system).build(),
            Kind::Percpu => Workqueue::percpu("b").system(&system).build(),
            Kind::Highpri => Workqueue::percpu("b").system(&system).highpri().build(),
            Kind::Ordered => Workqueue::ordered("b").system(&system).build(),
        };
        let blockers = Arc::new(blockers.expect("a queue"));
        let helpers = match kind {
            Kind::Ordered => system.default_queue(),
            _ => (**blockers).clone(),
        };
        let cpu = system.topology().allowed().iter().next();
        Lane {
            system,
            kind,
            cpu: cpu.expect("there is a CPU"),
            blockers,
            helpers,
        }
    }

    /// The queue that the blocking tasks are on.
    pub(crate) fn queue(&self) -> &Workqueue {
        &self.blockers
    }

    /// Queues a task that may block.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.spawn_to(&self.blockers, body)
    }

    /// Queues a helper.
    pub(crate) fn help<T: Send + 'static>(
        &self,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.spawn_to(&self.helpers, body)
    }

    /// Queues a task on the lane's CPU.
    fn spawn_to<T: Send + 'static>(
        &self,
        queue: &Queue,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        match self.kind {
            Kind::Percpu | Kind::Highpri => queue.spawn_on(self.cpu, async move { body() }),
            Kind::Unbound | Kind::Ordered => queue.spawn_fn(body),
        }
    }

    /// Runs a task on the lane which queues `helper` behind itself and then blocks in `block`,
    /// which ends only when the helper has run.
    pub(crate) fn until_helped<T: Send + 'static>(
        &self,
        block: impl FnOnce() -> T + Send + 'static,
        helper: impl FnOnce() + Send + 'static,
    ) -> T {
        let lane = self.clone();
        let task = self.spawn(move || {
            drop(lane.help(helper));
            block()
        });
        task.wait().expect("the task does not panic")
    }

    /// Runs `hold` in a task, which must call its argument once what it holds is held, and goes on
    /// when a later task lets it; meanwhile another task blocks in `want`.
    pub(crate) fn until_released(
        &self,
        hold: impl FnOnce(Box<dyn FnOnce()>) + Send + 'static,
        want: impl FnOnce() + Send + 'static,
    ) {
        let lane = self.clone();
        let (release, released) = mpsc::channel();
        // A helper: on an ordered queue the one who wants would never start.
        let holder = self.help(move || {
            hold(Box::new(move || {
                let helped = lane.clone();
                drop(lane.spawn(move || {
                    drop(helped.help(move || release.send(()).expect("it waits")));
                    want();
                }));
                released.recv().expect("it is released");
            }));
        });
        holder.wait().expect("the holder does not panic");
        self.queue().flush().wait().expect("the other one ends");
    }
}
