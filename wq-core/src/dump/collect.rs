//! Looking: the parts of a dump, without stopping anybody.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::cycles;
use crate::kind::Kind;
use crate::os::{self, ThreadState};
use crate::pool::Pool;
use crate::queue::handle::QueueHandle;
use crate::queue::limit::UNLIMITED;
use crate::queue::{CLOSED, DRAINING, QueueInner, QueueRef};
use crate::registry;
use crate::stats::PoolStats;
use crate::system::SystemInner;
use crate::task::label;
use crate::worker::Worker;

use super::{Dump, QueueDump, QueueKind, RunningItem, SuspendedItems, ThreadIs};

/// Items with a number or a name that are told one by one, for each queue; further ones are counted
/// with those of their type. A page of text is what people read.
const MOST_LISTED: usize = 100;

/// Items that wait for a slot, of each slot domain, among which names are looked for: a million of
/// them would hold the lock for long that their queue's items need.
const MOST_LOOKED_AT: usize = 1_000;

/// What a type without one is called: the poll was over when we looked.
const NO_TYPE: &str = "?";

/// Running and suspended items, by the addresses of their queues.
struct Seen {
    running: HashMap<usize, Vec<RunningItem>>,
    suspended: HashMap<usize, Suspensions>,
}

/// The suspended items of a queue.
#[derive(Default)]
struct Suspensions {
    by_type: HashMap<&'static str, SuspendedItems>,
    listed: Vec<SuspendedItems>,
}

/// Everything. The System's locks are taken one after another.
pub(crate) fn of_system(system: &SystemInner) -> Dump {
    let queues = system.all_queues();
    let mut seen = look(system, None);
    let mut by_age: Vec<QueueRef> = queues.refs().collect();
    by_age.sort_by_key(|queue| queue.get().id);
    let pools = system.lock_pools().clone();
    let pools = pools.iter().map(|pool| PoolStats::of(system, pool));
    Dump {
        system: system.tag.clone(),
        // Relaxed: a count for people.
        threads: system.threads.load(Ordering::Relaxed) as usize,
        queues: by_age
            .into_iter()
            .map(|queue| seen.of(queue, None))
            .collect(),
        pools: pools.collect(),
        hogs: system.hogs.table.list(),
    }
}

/// One queue, which the caller keeps, by this handle or otherwise.
pub(crate) fn of_queue(
    system: &SystemInner,
    queue: QueueRef,
    handle: Option<&QueueHandle>,
) -> QueueDump {
    look(system, Some(queue)).of(queue, handle)
}

/// Looks at what runs and what is suspended, of all queues or one.
fn look(system: &SystemInner, only: Option<QueueRef>) -> Seen {
    let wanted = |address: usize| only.is_none_or(|queue| queue.address() == address);
    let mut seen = Seen {
        running: HashMap::new(),
        suspended: HashMap::new(),
    };
    let now_ns = os::monotonic_ns();
    for worker in system.records() {
        if let Some((queue, item)) = running_item(system, worker, now_ns).filter(|r| wanted(r.0)) {
            seen.running.entry(queue).or_default().push(item);
        }
    }
    let now_ms = os::coarse_ms();
    registry::look_at_all(system.id, |task| {
        let queue = task.queue.address();
        if wanted(queue) {
            let queue = seen.suspended.entry(queue).or_default();
            queue.add(task, now_ms);
        }
    });
    seen
}

/// What the workers of a pool are inside of, the oldest first.
pub(crate) fn running_in(system: &SystemInner, pool: &Pool) -> Vec<RunningItem> {
    let now_ns = os::monotonic_ns();
    let workers = system.records().filter(|worker| worker.is_of(pool));
    let items = workers.filter_map(|worker| running_item(system, worker, now_ns));
    let mut items: Vec<RunningItem> = items.map(|(_, item)| item).collect();
    items.sort_by_key(|item| std::cmp::Reverse(item.lasts));
    items
}

/// What a worker is inside of, and the address of its queue.
fn running_item(
    system: &SystemInner,
    worker: &Worker,
    now_ns: u64,
) -> Option<(usize, RunningItem)> {
    let seen = worker.in_item()?;
    let type_name = worker.kind().map_or(NO_TYPE, Kind::name);
    let label = label::peek(seen.item);
    let state = system.look(worker).state;
    let lasts_ns = worker.shown.lasts_ns(seen.starts, now_ns);
    let waits_for = cycles::waits_for(seen.item);
    if worker.in_item() != Some(seen) {
        // What was read may be another item's.
        return None;
    }
    let id = label.as_ref().map(|label| label.id);
    let (name, description) = label.map_or((None, None), |l| (l.name, l.description));
    let item = RunningItem {
        thread: worker.name(),
        type_name,
        id,
        name,
        description,
        lasts: Duration::from_nanos(lasts_ns),
        thread_state: match state {
            ThreadState::Running => ThreadIs::Running,
            ThreadState::Blocked | ThreadState::Asleep => ThreadIs::Asleep,
            // Who says that it blocks does, mostly.
            ThreadState::Unknown if worker.is_in_block() => ThreadIs::Asleep,
            ThreadState::Unknown => ThreadIs::Unknown,
        },
        waits_for,
    };
    Some((seen.queue, item))
}

impl Suspensions {
    /// One more, which is registered while this runs.
    fn add(&mut self, task: &registry::Suspended, now_ms: u64) {
        let type_name = task.kind.map_or(NO_TYPE, Kind::name);
        let oldest = Duration::from_millis(now_ms.saturating_sub(task.since_ms));
        let label = label::peek(task.item).filter(|_| self.listed.len() < MOST_LISTED);
        if let Some(label) = label {
            self.listed.push(SuspendedItems {
                count: 1,
                type_name,
                id: Some(label.id),
                name: label.name,
                description: label.description,
                oldest,
            });
            return;
        }
        let of_type = self.by_type.entry(type_name).or_insert(SuspendedItems {
            count: 0,
            type_name,
            id: None,
            name: None,
            description: None,
            oldest,
        });
        of_type.count += 1;
        of_type.oldest = of_type.oldest.max(oldest);
    }
}

impl Seen {
    /// The dump of a queue that the caller keeps; the handle is looked for if none is given.
    fn of(&mut self, queue: QueueRef, handle: Option<&QueueHandle>) -> QueueDump {
        let q = queue.get();
        let flags = q.flags();
        let limits = limits(q);
        let found = q.handle.get().and_then(Weak::upgrade);
        let own = q.handle.get().is_none();
        let handle = handle.or(found.as_deref()).filter(|_| !own);
        let mut running = self.running.remove(&queue.address()).unwrap_or_default();
        running.sort_by_key(|item| std::cmp::Reverse(item.lasts));
        let suspended = self.suspended.remove(&queue.address()).unwrap_or_default();
        let mut suspended: Vec<SuspendedItems> = suspended
            .listed
            .into_iter()
            .chain(suspended.by_type.into_values())
            .collect();
        suspended.sort_by_key(|items| std::cmp::Reverse(items.oldest));
        QueueDump {
            name: q.name.clone(),
            kind: if q.is_ordered() {
                QueueKind::Ordered
            } else if q.pool(0).attrs.bh {
                QueueKind::Bh
            } else if q.is_percpu() {
                QueueKind::Percpu
            } else {
                QueueKind::Unbound
            },
            nice: q.pool(0).attrs.nice,
            max_active: limits.max_active,
            max_pending: limits.max_pending,
            closed: flags & CLOSED != 0,
            draining: flags & DRAINING != 0,
            frozen: limits.frozen,
            stats: q.stats(),
            delayed: handle.map(QueueHandle::nr_armed),
            running,
            suspended,
            waiting_names: limits.waiting_names,
        }
    }
}

/// The bounds of a queue, and the names of those that wait.
#[derive(Default)]
struct Limits {
    max_active: Option<usize>,
    max_pending: Option<usize>,
    frozen: bool,
    waiting_names: Vec<Arc<str>>,
}

/// What a queue's limiters tell.
fn limits(q: &QueueInner) -> Limits {
    let bounded = |limit: usize| (limit != UNLIMITED).then_some(limit);
    let mut limits = Limits::default();
    for limiter in q.limiters() {
        let limiter = limiter.lock();
        limits.max_active = bounded(limiter.max_active());
        limits.max_pending = bounded(limiter.max_pending());
        limits.frozen |= limiter.is_frozen();
        let waiting = limiter.waiting().take(MOST_LOOKED_AT);
        let labelled = waiting.filter(|entry| entry.meta().is_labelled());
        let named = labelled.filter_map(|entry| label::peek(entry.meta().address())?.name);
        let names = &mut limits.waiting_names;
        let room = MOST_LISTED - names.len();
        names.extend(named.take(room));
    }
    limits
}
