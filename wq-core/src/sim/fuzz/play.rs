//! The thread that drives a plan: one operation after the other, and what must hold at the end.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::counts::{Counts, Transition};
use super::ledger::{Note, Stage};
use super::plan::{Act, DELAYED, End, How, Kind, Plan, QUEUES, WORKS, Waiting};
use super::watch::Watch;
use super::world::{Again, Place, World, lock};
use crate::sim::{Sim, sleep};
use crate::{AffinityScope, JoinError, System, WaitError};

/// Items may take so many virtual milliseconds to end after the last operation.
const END_TRIES: u32 = 20_000;

/// Waiting for the end looks so often.
const END_PAUSE: Duration = Duration::from_millis(1);

/// A waiting thread's name.
const ASIDE: &str = "aside";

/// Drives a plan on a machine. What goes wrong is told to the machine.
pub(super) fn play(sim: &Sim, plan: &Plan, note_world: impl FnOnce(&Arc<World>)) -> Counts {
    let world = World::new(plan, &sim.here, &sim.system);
    note_world(&world);
    // Said once, and known: nobody reads it here. Relaxed: a switch.
    let said = &sim.system.inner.said_no_thread;
    said.store(true, Ordering::Relaxed);
    let mut watch = Watch::new(&world);
    sim.here
        .check_at_rest(Box::new(move |rest| watch.look(rest)));
    let player = Player { sim, world: &world };
    for (at, op) in plan.ops.iter().enumerate() {
        if sim.here.machine().has_failed() {
            break;
        }
        sim.here.stand_on(op.cpu);
        world.ledger.note(Note::Op(at));
        player.act(&op.act);
        world.check_items();
    }
    if !sim.here.machine().has_failed() {
        player.end(plan.end);
    }
    let mut counts = world.ledger.counts();
    counts.add_stats(&sim.system.stats());
    let (made, gone) = sim.here.workers_made_and_gone();
    counts.add(Transition::Made, made);
    counts.add(Transition::Culled, gone);
    if !sim.here.machine().has_failed() {
        world.clear();
    }
    counts
}

/// The driving thread.
struct Player<'a> {
    sim: &'a Sim,
    world: &'a Arc<World>,
}

impl Player<'_> {
    /// One operation.
    fn act(&self, act: &Act) {
        let (world, ledger) = (self.world, &self.world.ledger);
        match act {
            Act::Pass(time) => sleep(*time),
            Act::Spawn {
                queue,
                how,
                steps,
                keep,
            } => world.spawn(*queue, *how, steps, *keep),
            Act::Crowd {
                queue,
                count,
                steps,
            } => {
                for n in 0..*count {
                    let how = if n % 2 == 0 {
                        How::Future
                    } else {
                        How::Closure
                    };
                    world.spawn(*queue, how, steps, false);
                }
            }
            Act::Request { work, queue, on } => world.request(*work, *queue, *on),
            Act::Arm { item, queue, delay } => world.arm(*item, *queue, *delay),
            Act::Modify { item, queue, delay } => world.modify(*item, *queue, *delay),
            Act::Signal { event, late } => {
                let event = &world.events[*event];
                event.signal();
                if *late && event.wake_late() > 0 {
                    ledger.count(Transition::WokenLate);
                }
            }
            Act::Abort { task } => self.abort(*task),
            Act::Join { task, wait } => self.join(*task, *wait),
            Act::Limit { queue, max_active } => self.limit(*queue, *max_active),
            Act::Order { queue, ordered } => self.order(*queue, *ordered),
            Act::Allow { cpus } => self.allow(*cpus),
            Act::Flush { queue, wait } => self.flush(&world.place(*queue), *wait),
            Act::Drain { queue, wait } => self.drain(&world.place(*queue), *wait),
            Act::Destroy { queue, wait } => self.destroy(*queue, *wait),
            Act::Freeze { queue, wait } => self.freeze(*queue, *wait),
            Act::Thaw { queue } => self.thaw(*queue),
            Act::Attrs {
                queue,
                first_cpus,
                scope,
                nice,
            } => self.change(*queue, *first_cpus, *scope, *nice),
            Act::Refuse { threads } => self.refuse(*threads),
            Act::Close { queue } => {
                self.refuse(false);
                let old = world.replace_queue(*queue, &self.sim.system);
                ledger.close(old.id, false);
                drop(old);
            }
            other => self.act_on_item(other),
        }
    }

    /// An operation on a re-queueable item.
    fn act_on_item(&self, act: &Act) {
        let (world, ledger) = (self.world, &self.world.ledger);
        match *act {
            Act::Cancel { item } => {
                let item = world.item(item);
                let expected = ledger.cancel(item.id());
                let got = match &item {
                    Again::Work(_, work) => work.cancel(),
                    Again::Delayed(_, delayed) => delayed.cancel(),
                };
                self.must("a cancel", got, expected);
            }
            Act::Disable { item } => {
                let item = world.item(item);
                let expected = ledger.cancel(item.id());
                ledger.disable(item.id());
                // A delayed item's timer is taken back by its own cancel.
                let got = match &item {
                    Again::Work(_, work) => work.disable(),
                    Again::Delayed(_, delayed) => {
                        let pending = delayed.cancel();
                        let disabled = delayed.work().disable();
                        pending || disabled
                    }
                };
                self.must("a disable", got, expected);
            }
            Act::Enable { item } => {
                let item = world.item(item);
                if ledger.enable_would_meddle(item.id()) {
                    return;
                }
                let expected = ledger.enable(item.id());
                let got = item.work().enable();
                self.must("an enable", got, expected);
            }
            Act::Renew { item } => world.renew_item(item),
            Act::CancelWait { item, wait } => self.cancel_and_wait(item, wait),
            Act::FlushItem { item, wait } => self.flush_item(item, wait),
            _ => unreachable!("`act` does the others"),
        }
    }

    /// An answer is as the model says.
    fn must<T: PartialEq + std::fmt::Debug>(&self, what: &str, got: T, expected: T) {
        if got != expected {
            let fault = format!("{what} was answered {got:?}, and must be {expected:?}");
            self.world.ledger.fault(fault);
        }
    }

    /// Waits in one of the ways: `wait` waits, `limited` for so long at most; each tells the model.
    fn wait<W: Send + 'static>(
        &self,
        how: Waiting,
        waited: W,
        wait: impl FnOnce(W) + Send + 'static,
        limited: impl FnOnce(W, Duration),
        dropped: impl FnOnce(W),
    ) {
        // What is frozen is thawed by this thread, and threads are given again by it.
        let ledger = &self.world.ledger;
        let may_wait = !ledger.is_anything_frozen() && !ledger.is_refusing();
        match how {
            Waiting::Here if may_wait => wait(waited),
            Waiting::Limited(limit) => limited(waited, limit),
            Waiting::Dropped => dropped(waited),
            Waiting::Here | Waiting::Aside => {
                let world = Arc::clone(self.world);
                // Relaxed: one thread of the machine runs at a time.
                world.asides.fetch_add(1, Ordering::Relaxed);
                let body = move || {
                    wait(waited);
                    world.asides.fetch_sub(1, Ordering::Relaxed);
                };
                crate::os::spawn_thread(ASIDE.to_owned(), body).expect("a thread");
            }
        }
    }

    /// Flushes a queue.
    fn flush(&self, place: &Place, how: Waiting) {
        let ledger = self.world.ledger.clone();
        let mut covered = ledger.flush_begins(place.id);
        let flush = place.owner.flush();
        if place.colourless() {
            ledger.overflows(&mut covered);
        }
        let (told, later) = (ledger.clone(), ledger.clone());
        let (covered_here, covered_later) = (covered.clone(), covered.clone());
        self.wait(
            how,
            flush,
            move |flush| {
                let waited = flush.wait();
                check_wait(&told, "a flush", &waited.map(drop));
                told.flush_ends(&covered_here, true, true);
            },
            move |mut flush, limit| {
                let waited = flush.wait_timeout(limit);
                drop(flush);
                let over = waited.is_ok();
                check_limited(&later, "a flush", &waited.map(drop));
                later.flush_ends(&covered_later, over, true);
            },
            |flush| {
                drop(flush);
                ledger.flush_ends(&covered, false, true);
            },
        );
    }

    /// Drains a queue.
    fn drain(&self, place: &Place, how: Waiting) {
        let ledger = self.world.ledger.clone();
        let id = place.id;
        let number = ledger.drain_begins(id);
        let drain = place.owner.drain();
        let (told, later) = (ledger.clone(), ledger.clone());
        self.wait(
            how,
            drain,
            move |drain| {
                let waited = drain.wait();
                check_wait(&told, "a drain", &waited.map(drop));
                told.drain_ends(id, number, true);
            },
            move |mut drain, limit| {
                let waited = drain.wait_timeout(limit);
                drop(drain);
                let over = waited.is_ok();
                check_limited(&later, "a drain", &waited.map(drop));
                later.drain_ends(id, number, over);
            },
            |drain| {
                drop(drain);
                ledger.drain_ends(id, number, false);
            },
        );
    }

    /// Ends a queue, and makes another one in its place.
    fn destroy(&self, at: usize, how: Waiting) {
        // A rescuer could not be made.
        self.refuse(false);
        let ledger = self.world.ledger.clone();
        let Place { owner, id } = self.world.replace_queue(at, &self.sim.system);
        let covered = ledger.flush_begins(id);
        let Ok(owner) = Arc::try_unwrap(owner) else {
            // An item is about to flush it at this very instant.
            ledger.close(id, false);
            return ledger.flush_ends(&covered, false, false);
        };
        let timers = ledger.close(id, true);
        let destroy = owner.destroy();
        let (told, later, covered_later) = (ledger.clone(), ledger.clone(), covered.clone());
        let covered_here = covered.clone();
        self.wait(
            how,
            destroy,
            move |destroy| {
                let waited = destroy.wait();
                if let Ok(report) = &waited {
                    if report.cancelled < timers {
                        told.fault(format!("{timers} delays taken back, reported: {report:?}"));
                    }
                }
                check_wait(&told, "a destroy", &waited.map(drop));
                told.flush_ends(&covered_here, true, false);
            },
            move |mut destroy, limit| {
                let waited = destroy.wait_timeout(limit);
                drop(destroy);
                let over = waited.is_ok();
                check_limited(&later, "a destroy", &waited.map(drop));
                later.flush_ends(&covered_later, over, false);
            },
            |destroy| {
                drop(destroy);
                ledger.flush_ends(&covered, false, false);
            },
        );
    }

    /// Changes a limit; queues that have none, or must keep theirs, refuse.
    fn limit(&self, at: usize, max_active: usize) {
        let place = self.world.place(at);
        let plan = &self.world.plan.queues[at];
        let may = plan.kind != Kind::Ordered && plan.max_active.is_some();
        if may {
            self.world.ledger.set_limit(place.id, max_active);
        }
        let got = place.owner.set_max_active(max_active).is_ok();
        self.must("a new limit", got, may);
    }

    /// Makes a queue ordered, or no longer; only unbound ones with a limit can be either.
    fn order(&self, at: usize, ordered: bool) {
        let place = self.world.place(at);
        let plan = &self.world.plan.queues[at];
        // What is so already is granted to whoever has attributes.
        let may = match plan.kind {
            Kind::Percpu => false,
            Kind::Ordered => ordered,
            Kind::Unbound => !ordered || plan.max_active.is_some(),
        };
        if may {
            self.world.ledger.set_order(place.id, ordered);
        }
        let got = place.owner.set_ordered(ordered).is_ok();
        self.must("another order", got, may);
    }

    /// The program may use these CPUs and no others.
    fn allow(&self, cpus: Option<(usize, usize)>) {
        let all = self.world.plan.shape.cpus();
        let (first, count) = cpus.unwrap_or((0, all));
        let astray = count < all;
        self.world.ledger.set_astray(astray);
        // Relaxed: one thread of the machine runs at a time.
        self.world.astray.store(astray, Ordering::Relaxed);
        let list = format!("{first}-{}", first + count - 1);
        crate::driver::allow_cpus(&self.sim.system, &list);
    }

    /// Freezes a queue, or all that can be frozen. The thread goes on: it is to thaw them.
    fn freeze(&self, queue: Option<usize>, how: Waiting) {
        let ledger = self.world.ledger.clone();
        let place = queue.map(|at| (self.world.place(at), self.world.plan.queues[at].freezable));
        let (freeze, id) = match &place {
            None => (self.sim.system.freeze(), None),
            Some((place, true)) => {
                let freeze = place.owner.freeze();
                (freeze.expect("it can be frozen"), Some(place.id))
            }
            Some((place, false)) => {
                let refused = place.owner.freeze().is_err();
                return self.must("a freeze of what cannot be frozen", refused, true);
            }
        };
        let thaws = ledger.freeze(id);
        let told = ledger.clone();
        let how = if how == Waiting::Here {
            Waiting::Aside
        } else {
            how
        };
        self.wait(
            how,
            freeze,
            move |freeze| {
                let ended = freeze.wait().map_err(|error| error.to_string());
                told.freeze_ends(id, thaws, ended);
            },
            move |freeze, limit| match freeze.wait_timeout(limit) {
                Err(error) if error.is_timeout() => {}
                ended => {
                    ledger.freeze_ends(id, thaws, ended.map_err(|error| error.to_string()));
                }
            },
            drop,
        );
    }

    /// Undoes one freeze.
    fn thaw(&self, queue: Option<usize>) {
        let place = queue.map(|at| self.world.place(at));
        let expected = self.world.ledger.thaw(place.as_ref().map(|place| place.id));
        let got = match &place {
            Some(place) => place.owner.thaw(),
            None => self.sim.system.thaw(),
        };
        self.must("a thaw", got, expected);
    }

    /// Undoes all freezes.
    fn thaw_all(&self) {
        while self.world.ledger.is_anything_frozen() {
            (0..QUEUES).for_each(|queue| self.thaw(Some(queue)));
            self.thaw(None);
        }
    }

    /// Changes the attributes of a queue, all or nothing; those of a per-CPU one are fixed.
    fn change(&self, at: usize, first_cpus: usize, scope: AffinityScope, nice: i8) {
        let place = self.world.place(at);
        let may = self.world.plan.queues[at].kind != Kind::Percpu;
        let Some(mut attrs) = place.owner.attrs() else {
            return self.must("whether there are attributes", false, may);
        };
        let cpus = first_cpus.min(self.world.plan.shape.cpus());
        attrs.cpus = crate::CpuSet::from_iter(0..cpus);
        (attrs.affinity, attrs.nice) = (scope, nice);
        self.world.ledger.set_cpus(place.id, cpus);
        let changed = place.owner.apply(&attrs);
        self.must("whether attributes are applied", changed.is_ok(), may);
    }

    /// The machine refuses threads, or gives them again.
    fn refuse(&self, threads: bool) {
        let until_ns = self.world.ledger.set_refuses(threads);
        crate::driver::refuse_threads(&self.sim.system, threads);
        let told = &self.world.distress_until_ns;
        // Relaxed: one thread of the machine runs at a time.
        told.store(until_ns, Ordering::Relaxed);
    }

    /// Waits until the maker must have made the threads that were refused: without one, a shutdown
    /// has nobody who drops what is left, and leaves it.
    fn let_distress_pass(&self) {
        // Relaxed: one thread of the machine runs at a time.
        let until_ns = self.world.distress_until_ns.load(Ordering::Relaxed);
        let now_ns = self.sim.here.now_ns();
        sleep(Duration::from_nanos(until_ns.saturating_sub(now_ns)));
    }

    /// Aborts a task.
    fn abort(&self, task: usize) {
        let tasks = lock(&self.world.tasks);
        let Some((id, handle)) = tasks.get(task % tasks.len().max(1)) else {
            return;
        };
        self.world.ledger.abort(*id);
        handle.abort();
    }

    /// Waits for a task, and compares how it ended.
    fn join(&self, task: usize, how: Waiting) {
        let mut tasks = lock(&self.world.tasks);
        if tasks.is_empty() {
            return;
        }
        let at = task % tasks.len();
        let (id, handle) = tasks.swap_remove(at);
        drop(tasks);
        let (told, later) = (self.world.ledger.clone(), self.world.ledger.clone());
        self.wait(
            how,
            handle,
            move |handle| {
                let ended = handle.wait();
                check_join(&told, id, &ended);
            },
            |handle, limit| match handle.wait_timeout(limit) {
                Ok(ended) => check_join(&later, id, &ended),
                Err(handle) => lock(&self.world.tasks).push((id, handle)),
            },
            drop,
        );
    }

    /// Takes back and waits.
    fn cancel_and_wait(&self, item: usize, how: Waiting) {
        let item = self.world.item(item);
        let ledger = self.world.ledger.clone();
        let id = item.id();
        let expected = ledger.cancel(id);
        ledger.cancel_begins(id);
        let wait = match &item {
            Again::Work(_, work) => work.cancel_and_wait(),
            Again::Delayed(_, delayed) => delayed.cancel_and_wait(),
        };
        let (told, later) = (ledger.clone(), ledger.clone());
        self.wait(
            how,
            wait,
            move |wait| {
                let was_pending = wait.wait();
                told.cancel_ends(id, true);
                if was_pending != Ok(expected) {
                    told.fault(format!(
                        "a cancel of work {id} waited: {was_pending:?}, must be {expected}"
                    ));
                }
                told.count(Transition::CancelWaited);
            },
            move |mut wait, limit| {
                let waited = wait.wait_timeout(limit);
                drop(wait);
                later.cancel_ends(id, waited.is_ok());
                check_limited(&later, "a cancel", &waited.map(drop));
            },
            |wait| {
                drop(wait);
                ledger.cancel_ends(id, false);
            },
        );
    }

    /// Waits for a re-queueable item.
    fn flush_item(&self, item: usize, how: Waiting) {
        let item = self.world.item(item);
        let ledger = self.world.ledger.clone();
        let id = item.id();
        let is_known = ledger.fire_now(id);
        let mut awaited = ledger.awaited(id);
        let flush = match &item {
            Again::Work(_, work) => work.flush(),
            Again::Delayed(_, delayed) => delayed.flush(),
        };
        if !is_known {
            ledger.fired_now(id);
            awaited = ledger.awaited(id);
        }
        let told = ledger.clone();
        self.wait(
            how,
            flush,
            move |flush| {
                let waited = flush.wait();
                if waited != Ok(awaited.is_some()) {
                    told.fault(format!("a flush of work {id}: {waited:?}, for {awaited:?}"));
                }
                let over = |item| matches!(told.item(item).stage, Stage::Ended | Stage::Dropped);
                if !awaited.is_none_or(over) && !told.is_shut_down() {
                    told.fault(format!("a flush of work {id} did not wait for {awaited:?}"));
                }
                told.count(Transition::ItemFlushed);
            },
            move |mut flush, limit| {
                let waited = flush.wait_timeout(limit).map(drop);
                drop(flush);
                check_limited(&ledger, "a flush of an item", &waited);
            },
            drop,
        );
    }

    /// Lets all end, or does not, and holds the sums against each other.
    fn end(&self, end: End) {
        self.refuse(false);
        self.allow(None);
        if let End::Shutdown(grace) = end {
            self.let_distress_pass();
            return self.shut_down(grace);
        }
        self.thaw_all();
        let busy = || {
            // Relaxed: one thread of the machine runs at a time.
            let asides = self.world.asides.load(Ordering::Relaxed);
            self.world.ledger.open() > 0 || asides > 0
        };
        for _ in 0..END_TRIES {
            if !busy() || self.sim.here.machine().has_failed() {
                break;
            }
            sleep(END_PAUSE);
        }
        // What was taken back is in flight until a worker reaches it; the flush waits for that.
        for at in 0..QUEUES {
            self.flush(&self.world.place(at), Waiting::Here);
        }
        if busy() {
            let open = self.world.ledger.open();
            self.world.ledger.fault(format!("{open} items never end"));
        }
        for at in 0..QUEUES {
            self.check_queue(&self.world.place(at));
        }
        self.world.check_items();
        self.check_joins();
        self.world.ledger.check_end();
        let rescues = self.sim.system.stats().rescues;
        self.must("how many wake-ups were lost", rescues, 0);
        if end == End::Idle {
            self.check_idle();
        }
    }

    /// The engine's figures of a queue are the model's.
    fn check_queue(&self, place: &Place) {
        let stats = place.owner.stats();
        let tally = &self.world.ledger;
        tally.count_by(Transition::RescuerCalled, stats.maydays);
        tally.count_by(Transition::Rescued, stats.rescued);
        let got = [
            stats.accepted,
            stats.completed,
            stats.panicked,
            stats.cancelled,
        ];
        self.must(
            "a queue's statistics",
            got,
            self.world.ledger.totals(place.id),
        );
        let open = (stats.in_flight, stats.active, stats.waiting);
        self.must("what is in flight", open, (0, 0, 0));
    }

    /// Handles that are left say how their tasks ended.
    fn check_joins(&self) {
        let tasks = std::mem::take(&mut *lock(&self.world.tasks));
        for (id, handle) in tasks {
            if handle.is_finished() {
                check_join(&self.world.ledger, id, &handle.wait());
            } else {
                let fault = format!("item {id} is over, and its handle says that it is not");
                self.world.ledger.fault(fault);
            }
        }
    }

    /// When the keep-alive is over, surplus workers are gone, and nobody holds a lane.
    fn check_idle(&self) {
        let inner = &self.sim.system.inner;
        sleep(inner.keep_alive * IDLE_TIMES);
        let pools = inner.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let pools = pools.clone();
        for pool in pools {
            let mut load = pool.load(false, 0);
            // Who goes to sleep as the last one that may stay is not told when there are fewer.
            load.nr_idle = load.nr_idle.saturating_sub(1);
            let held = pool.lanes().iter().filter(|lane| !lane.view().is_vacant());
            // A worker may keep the lane that it used last, parked on it.
            let held = held.count() as u32;
            if crate::policy::too_many_workers(load) || held > load.nr_workers {
                let label = pool.label();
                self.world.ledger.fault(format!(
                    "pool {label} keeps too many workers when idle: {load:?}, {held} lanes held"
                ));
            }
        }
    }

    /// Ends the System at once: every accepted item is accounted for.
    fn shut_down(&self, grace: Duration) {
        let ledger = &self.world.ledger;
        ledger.shut_down();
        let report = self.sim.system.shutdown(grace);
        let asides = || self.world.asides.load(Ordering::Relaxed);
        for _ in 0..END_TRIES {
            // Relaxed: one thread of the machine runs at a time.
            if (!ledger.any_open_task() && asides() == 0) || self.sim.here.machine().has_failed() {
                break;
            }
            sleep(END_PAUSE);
        }
        if report.only_begun || report.detached as usize != report.detached_threads.len() {
            ledger.fault(format!("a shutdown reports {report:?}"));
        }
        self.must("waits that a shutdown leaves", asides(), 0);
        ledger.check_end();
        // Queues that are gone have taken their figures with them.
        if ledger.queues() == QUEUES {
            let told = report.completed + report.dropped + report.detached;
            let accepted: u64 = (0..QUEUES).map(|queue| ledger.totals(queue)[0]).sum();
            self.must("what became of all items", told, accepted);
        }
    }
}

/// The keep-alive must be over for this many times as long before a machine counts as idle: one
/// worker leaves at a time.
const IDLE_TIMES: u32 = 8;

/// A wait from outside ends well.
fn check_wait(ledger: &super::ledger::Ledger, what: &str, waited: &Result<(), WaitError>) {
    if let Err(error) = waited {
        ledger.fault(format!("{what} from outside: {error}"));
    }
}

/// A limited one ends well, or by its limit.
fn check_limited(ledger: &super::ledger::Ledger, what: &str, waited: &Result<(), WaitError>) {
    if let Err(error) = waited {
        if !error.is_timeout() {
            ledger.fault(format!("{what} with a limit: {error}"));
        }
    }
}

/// A task's handle says what the model knows.
fn check_join(ledger: &super::ledger::Ledger, id: usize, ended: &Result<(), JoinError>) {
    let item = ledger.item(id);
    let right = match ended {
        Ok(()) => item.stage == Stage::Ended && !item.panicked,
        Err(error) if error.is_panic() => item.stage == Stage::Ended && item.panicked,
        Err(error) if error.is_rejected() => item.stage == Stage::Dropped && !item.aborted,
        Err(_) => item.stage == Stage::Dropped,
    };
    if !right {
        ledger.fault(format!("the handle of item {id} says {ended:?}: {item:?}"));
    }
}

/// Keeps the types of the plan's parts together for readers of a failure.
pub(super) fn describe(plan: &Plan) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    let _ = writeln!(text, "  machine: {:?}", plan.shape);
    for (at, queue) in plan.queues.iter().enumerate() {
        let _ = writeln!(text, "  queue {at}: {queue:?}");
    }
    for (at, body) in plan.bodies.iter().enumerate().take(WORKS + DELAYED) {
        let _ = writeln!(text, "  item {at}: {body:?}");
    }
    for (at, op) in plan.ops.iter().enumerate() {
        let _ = writeln!(text, "  {at}: on CPU {}: {:?}", op.cpu, op.act);
    }
    let _ = writeln!(text, "  end: {:?}", plan.end);
    text
}

/// The System of a plan.
pub(super) fn build_system(plan: &Plan) -> System {
    let mut builder = System::builder().topology(crate::Topology::fake(plan.shape.spec()));
    if let Some(lanes) = plan.shape.lanes {
        builder = builder.workers(lanes);
    }
    if let Some(threads) = plan.shape.max_workers {
        builder = builder.max_workers(threads);
    }
    // What people would read on standard error, nobody does here.
    builder = builder.cpu_intensive_warning_thresh(0);
    builder.build().expect("nothing is refused")
}
