//! What a plan acts upon: queues, re-queueable items, events, and handles of tasks. Whoever acts,
//! the driving thread or an item, tells the model first and compares the answer after.

use std::future::Future;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::counts::Transition;
use super::event::Event;
use super::item;
use super::ledger::{ItemId, Leave, Ledger, QueueId, Rules, WorkId};
use super::plan::{DELAYED, EVENTS, How, Kind, Plan, QueuePlan, Step, WORKS};
use crate::current::Current;
use crate::sim::machine::Here;
use crate::system::SystemInner;
use crate::{DelayedWork, JoinHandle, Queue, System, Work, Workqueue};

/// Requests that items may make in a run: one that asks for itself would never end.
const FUEL: u32 = 60;

/// A queue in its place, which others may have had before.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) owner: Arc<Workqueue>,
    pub(super) id: QueueId,
}

impl Place {
    /// Whether a flush of the queue waits for a colour.
    pub(super) fn colourless(&self) -> bool {
        let queue: &Queue = &self.owner;
        lock(&queue.0.queue.get().waiters).colourless() > 0
    }

    /// Whether the caller is inside an item of this queue.
    fn is_callers(&self) -> bool {
        let queue: &Queue = &self.owner;
        Current::with(|c| c.and_then(Current::queue)) == Some(queue.0.queue)
    }
}

/// A re-queueable item in its place.
#[derive(Clone, Debug)]
pub(super) enum Again {
    Work(WorkId, Work),
    Delayed(WorkId, DelayedWork),
}

impl Again {
    /// Its number in the model.
    pub(super) fn id(&self) -> WorkId {
        match self {
            Again::Work(id, _) | Again::Delayed(id, _) => *id,
        }
    }

    /// The item.
    pub(super) fn work(&self) -> Work {
        match self {
            Again::Work(_, work) => work.clone(),
            Again::Delayed(_, delayed) => delayed.work(),
        }
    }
}

/// Everything.
#[derive(Debug)]
pub(super) struct World {
    pub(super) ledger: Ledger,
    pub(super) plan: Plan,
    pub(super) system: Arc<SystemInner>,
    pub(super) events: [Arc<Event>; EVENTS],
    places: Mutex<Vec<Place>>,
    again: Mutex<Vec<Again>>,
    /// Handles that were kept.
    pub(super) tasks: Mutex<Vec<(ItemId, JoinHandle<()>)>>,
    fuel: AtomicU32,
    /// Until when threads may be missing, ns.
    pub(super) distress_until_ns: Arc<AtomicU64>,
    /// CPUs are away.
    pub(super) astray: Arc<AtomicBool>,
    /// Threads that wait for something.
    pub(super) asides: AtomicU32,
}

/// Locks; nobody gives up the baton meanwhile.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// The queues and items of a plan.
    pub(super) fn new(plan: &Plan, here: &Here, system: &System) -> Arc<World> {
        let world = Arc::new(World {
            ledger: Ledger::new(here),
            plan: plan.clone(),
            system: Arc::clone(&system.inner),
            events: std::array::from_fn(|_| Arc::default()),
            places: Mutex::default(),
            again: Mutex::default(),
            tasks: Mutex::default(),
            fuel: AtomicU32::new(FUEL),
            distress_until_ns: Arc::default(),
            astray: Arc::default(),
            asides: AtomicU32::new(0),
        });
        let places = plan
            .queues
            .iter()
            .map(|plan| world.make_queue(plan, system));
        let places = places.collect();
        *lock(&world.places) = places;
        let again = (0..WORKS + DELAYED).map(|at| world.make_item(at)).collect();
        *lock(&world.again) = again;
        world
    }

    /// Breaks the cycles: items refer to the world and the world to them.
    pub(super) fn clear(&self) {
        let gone = (
            std::mem::take(&mut *lock(&self.again)),
            std::mem::take(&mut *lock(&self.tasks)),
            std::mem::take(&mut *lock(&self.places)),
        );
        drop(gone);
        self.events.iter().for_each(|event| event.clear());
    }

    /// A queue as planned.
    fn make_queue(&self, plan: &QueuePlan, system: &System) -> Place {
        let built = match plan.kind {
            Kind::Percpu => percpu(plan, system),
            Kind::Unbound => unbound(plan, system),
            Kind::Ordered => ordered(plan, system),
        };
        let ordered = plan.kind == Kind::Ordered;
        let max_active = plan.max_active.unwrap_or(usize::MAX);
        let rules = Rules {
            max_active: if ordered { 1 } else { max_active },
            max_pending: plan.max_pending.unwrap_or(usize::MAX),
            ordered,
            percpu: plan.kind == Kind::Percpu,
            cpus: plan.first_cpus.unwrap_or(usize::MAX),
            freezable: plan.freezable,
        };
        Place {
            owner: Arc::new(built),
            id: self.ledger.add_queue(rules),
        }
    }

    /// Puts another queue into a place; the one that was there.
    pub(super) fn replace_queue(&self, at: usize, system: &System) -> Place {
        let new = self.make_queue(&self.plan.queues[at], system);
        std::mem::replace(&mut lock(&self.places)[at], new)
    }

    /// A re-queueable item that does what is planned.
    fn make_item(self: &Arc<World>, at: usize) -> Again {
        // The function needs the number that the item gets.
        let number = Arc::new(std::sync::OnceLock::new());
        let (world, own) = (Arc::clone(self), Arc::clone(&number));
        let function = move || {
            let id: WorkId = *own.get().expect("numbered before it is queued");
            run_again(&world, id, at);
        };
        let again = if at < WORKS {
            let id = self.ledger.add_work(std::sync::Weak::new());
            // One of them gets a handle to itself at each run, and lets it go.
            let work = match at {
                0 => Work::with_self(move |this| {
                    function();
                    drop(this.clone());
                }),
                _ => Work::new(function),
            };
            Again::Work(id, work)
        } else {
            let delayed = match at {
                WORKS => DelayedWork::with_self(move |this| {
                    function();
                    drop(this.clone());
                }),
                _ => DelayedWork::new(function),
            };
            let timer = Arc::downgrade(delayed.inner());
            Again::Delayed(self.ledger.add_work(timer), delayed)
        };
        let _ = number.set(again.id());
        again
    }

    /// Puts another item into a place, and drops the handles of the one that was there.
    pub(super) fn renew_item(self: &Arc<World>, at: usize) {
        let new = self.make_item(at);
        let old = std::mem::replace(&mut lock(&self.again)[at], new);
        drop(old);
    }

    /// The queue in a place.
    pub(super) fn place(&self, at: usize) -> Place {
        lock(&self.places)[at].clone()
    }

    /// The handle of the queue in a place, and its number.
    fn queue(&self, at: usize) -> (Queue, QueueId) {
        let places = lock(&self.places);
        (Queue::clone(&places[at].owner), places[at].id)
    }

    /// The item in a place.
    pub(super) fn item(&self, at: usize) -> Again {
        lock(&self.again)[at].clone()
    }

    /// The CPU on which an item is accepted by whoever is on this one.
    fn home(&self, cpu: usize) -> usize {
        self.system.cpus[self.system.ordinal(cpu)].cpu
    }

    /// The same for the calling thread.
    fn home_here(&self) -> usize {
        self.home(Here::get().map_or(0, |here| here.current_cpu()))
    }

    /// The CPU on which an item for this node is accepted: the caller's own, if it is one of the
    /// node's, else the first of it that may be used, else as without a node.
    fn home_in_node(&self, node: usize) -> usize {
        let here = self.home_here();
        let Some(cpus) = self.system.topology.nodes().get(node) else {
            return here;
        };
        if cpus.contains(here) {
            return here;
        }
        let usable = cpus.and(&self.system.limits.now().allowed);
        let mut in_use = self.system.cpus.iter().map(|record| record.cpu);
        in_use.find(|cpu| usable.contains(*cpu)).unwrap_or(here)
    }

    /// Whether items may ask for more runs.
    pub(super) fn has_fuel(&self) -> bool {
        // Relaxed: one thread of the machine runs at a time.
        let burn = |left: u32| left.checked_sub(1);
        self.fuel
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, burn)
            .is_ok()
    }

    /// Queues an item.
    pub(super) fn spawn(self: &Arc<World>, at: usize, how: How, steps: &[Step], keep: bool) {
        let (queue, queue_id) = self.queue(at);
        let home = match how {
            How::On(cpu) => self.home(cpu),
            How::Node(node) => self.home_in_node(node),
            _ => self.home_here(),
        };
        let (id, expected) = self.ledger.submit(queue_id, home);
        let steps = steps.to_vec();
        let handle = match how {
            How::Closure => Some(queue.spawn_fn(item::closure(self, id, at, steps))),
            How::Future => Some(queue.spawn(item::future(self, id, at, steps))),
            How::On(cpu) => Some(queue.spawn_on(cpu, item::future(self, id, at, steps))),
            How::Node(node) => {
                self.ledger.count(Transition::ForNode);
                Some(queue.spawn_on_node(node, item::future(self, id, at, steps)))
            }
            How::Try => queue.try_spawn(item::future(self, id, at, steps)).ok(),
            How::Permit => self.spawn_permitted(&queue, item::future(self, id, at, steps)),
        };
        self.ledger.submitted(id, expected);
        match handle {
            Some(handle) if keep => lock(&self.tasks).push((id, handle)),
            handle => drop(handle),
        }
    }

    /// Queues a future into a place that is reserved for it, if there is one at once.
    fn spawn_permitted(
        &self,
        queue: &Queue,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> Option<JoinHandle<()>> {
        let mut cx = Context::from_waker(Waker::noop());
        match pin!(queue.reserve()).poll(&mut cx) {
            Poll::Ready(Ok(permit)) => {
                self.ledger.count(Transition::Permitted);
                Some(permit.spawn(future))
            }
            _ => {
                self.ledger.count(Transition::NoPermit);
                None
            }
        }
    }

    /// Asks for a run.
    pub(super) fn request(&self, item: usize, at: usize, on: Option<usize>) {
        let (queue, queue_id) = self.queue(at);
        let item = self.item(item);
        let home = on.map_or_else(|| self.home_here(), |cpu| self.home(cpu));
        let expected = self
            .ledger
            .request(item.id(), queue_id, home, Duration::ZERO);
        let got = match on {
            Some(cpu) => queue.queue_on(cpu, &item.work()),
            None => queue.queue(&item.work()),
        };
        self.ledger.requested(item.id(), expected, got);
    }

    /// Asks for a run after a delay; at once, if the item has no timer.
    pub(super) fn arm(&self, item: usize, at: usize, delay: Duration) {
        let Again::Delayed(id, delayed) = self.item(item) else {
            return self.request(item, at, None);
        };
        let (queue, queue_id) = self.queue(at);
        let expected = self.ledger.request(id, queue_id, self.home_here(), delay);
        let got = queue.queue_after(&delayed, delay);
        self.ledger.requested(id, expected, got);
    }

    /// Sets the delay anew.
    pub(super) fn modify(&self, item: usize, at: usize, delay: Duration) {
        let Again::Delayed(id, delayed) = self.item(item) else {
            return self.request(item, at, None);
        };
        let (queue, queue_id) = self.queue(at);
        let was_pending = self.ledger.cancel(id);
        let expected = self.ledger.request(id, queue_id, self.home_here(), delay);
        let got = queue.modify_after(&delayed, delay);
        match Ledger::modified(was_pending, got) {
            Some(answer) => self.ledger.requested(id, expected, answer),
            None => self.ledger.fault(format!(
                "work {id} was pending ({was_pending}), and setting its delay was answered {got:?}"
            )),
        }
    }

    /// An item waits for its own queue: an error at once.
    pub(super) fn wait_for_itself(&self, slot: usize) {
        // The place may have another queue by now.
        let place = self.place(slot);
        if !place.is_callers() {
            return;
        }
        let waited = place.owner.flush();
        drop(place);
        match waited.wait() {
            Err(error) if error.is_deadlock() => self.ledger.count(Transition::Itself),
            other => self
                .ledger
                .fault(format!("an item waited for its own queue: {other:?}")),
        }
    }

    /// An item waits on its thread for another queue.
    pub(super) fn flush_from_inside(&self, at: usize) {
        let place = self.place(at);
        if place.is_callers() {
            return;
        }
        let covered = self.ledger.flush_begins(place.id);
        let flush = place.owner.flush();
        drop(place);
        let waited = flush.wait();
        if let Err(error) = &waited {
            self.ledger.fault(format!("a flush from inside: {error}"));
        }
        self.ledger.flush_ends(&covered, waited.is_ok(), false);
    }

    /// What each kind of answer to a request means, for the checks at the end.
    pub(super) fn check_items(&self) {
        for at in 0..WORKS + DELAYED {
            let item = self.item(at);
            self.ledger.check_state(item.id(), &item.work());
        }
    }
}

/// A run of a re-queueable item.
fn run_again(world: &Arc<World>, id: WorkId, at: usize) {
    /// The run is over, also if it panics.
    struct Over<'a>(&'a Ledger, WorkId, ItemId, Leave);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.run_ends(self.1, self.2, self.3);
        }
    }
    let Some(item) = world.ledger.run_begins(id) else {
        return;
    };
    let mut over = Over(&world.ledger, id, item, Leave::Panicked);
    // Its place among the queues matters to steps that these items do not have.
    item::run(world, item, 0, &world.plan.bodies[at]);
    over.3 = Leave::Returned;
}

/// A per-CPU queue.
fn percpu(plan: &QueuePlan, system: &System) -> Workqueue {
    let mut builder = Workqueue::percpu("percpu").system(system);
    if let Some(items) = plan.max_active {
        builder = builder.max_active(items);
    }
    if let Some(items) = plan.max_pending {
        builder = builder.max_pending(items);
    }
    if plan.highpri {
        builder = builder.highpri();
    }
    if plan.freezable {
        builder = builder.freezable();
    }
    if plan.rescuer {
        builder = builder.rescuer();
    }
    if plan.cpu_intensive {
        builder = builder.cpu_intensive();
    }
    builder.build().unwrap_or_else(refused)
}

/// An unbound one.
fn unbound(plan: &QueuePlan, system: &System) -> Workqueue {
    let mut builder = Workqueue::unbound("unbound").system(system);
    if let Some(items) = plan.max_active {
        builder = builder.max_active(items);
    }
    if let Some(items) = plan.max_pending {
        builder = builder.max_pending(items);
    }
    if plan.highpri {
        builder = builder.highpri();
    }
    if plan.freezable {
        builder = builder.freezable();
    }
    if plan.rescuer {
        builder = builder.rescuer();
    }
    if let Some(cpus) = plan.first_cpus {
        builder = builder.cpus(format!("0-{}", cpus - 1));
    }
    if plan.strict {
        builder = builder.strict();
    }
    builder = builder.affinity(plan.scope);
    builder.build().unwrap_or_else(refused)
}

/// An ordered one.
fn ordered(plan: &QueuePlan, system: &System) -> Workqueue {
    let mut builder = Workqueue::ordered("ordered").system(system);
    if let Some(items) = plan.max_pending {
        builder = builder.max_pending(items);
    }
    if plan.highpri {
        builder = builder.highpri();
    }
    if plan.freezable {
        builder = builder.freezable();
    }
    if plan.rescuer {
        builder = builder.rescuer();
    }
    if let Some(cpus) = plan.first_cpus {
        builder = builder.cpus(format!("0-{}", cpus - 1));
    }
    if plan.strict {
        builder = builder.strict();
    }
    builder.build().unwrap_or_else(refused)
}

/// A queue as planned is never refused.
fn refused(error: crate::BuildError) -> Workqueue {
    resume_unwind(Box::new(format!("a queue was refused: {error}")))
}
