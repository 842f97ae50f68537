//! What a seed does, as data: a machine, queues, and a list of operations.
//!
//! All chance is here and in the machine's own choices. An operation refers to queues, items and
//! tasks by number, modulo what there is, and stands on its own, so that a list from which some
//! were taken out is a plan as well: that is how a failing one is made short.

use std::time::Duration;

use super::random::Random;
use crate::{AffinityScope, FakeSpec};

/// Queues of a plan.
pub(super) const QUEUES: usize = 4;
/// Re-queueable items of a plan.
pub(super) const WORKS: usize = 3;
/// The same with a timer.
pub(super) const DELAYED: usize = 3;
/// Events that items wait for.
pub(super) const EVENTS: usize = 3;
/// Items of a crowd at most.
const CROWD: usize = 40;
/// Steps of an item at most.
const STEPS: usize = 5;

/// A machine and a System on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shape {
    /// NUMA nodes, caches in each, cores in each, threads in each.
    pub(super) parts: [usize; 4],
    /// CPUs' worth of lanes, if fewer than CPUs.
    pub(super) lanes: Option<usize>,
    /// Workers of a pool, if bounded tightly.
    pub(super) max_workers: Option<usize>,
}

impl Shape {
    /// Number of CPUs.
    pub(super) fn cpus(&self) -> usize {
        self.parts.iter().product()
    }

    /// For the topology.
    pub(super) fn spec(&self) -> FakeSpec {
        let [nodes, caches, cores, threads] = self.parts;
        FakeSpec::new()
            .nodes(nodes)
            .caches(caches)
            .cores(cores)
            .threads(threads)
    }
}

/// The machines; the first ones are taken more often, since a seed there takes less time.
const MACHINES: [[usize; 4]; 14] = [
    [1, 1, 1, 1],
    [1, 1, 2, 1],
    [1, 1, 3, 1],
    [2, 1, 2, 1],
    [1, 2, 2, 1],
    [1, 2, 2, 2],
    [1, 1, 1, 2],
    [3, 1, 1, 1],
    [2, 2, 2, 1],
    [1, 4, 1, 3],
    [1, 4, 4, 2],
    [1, 8, 4, 2],
    [1, 16, 4, 2],
    [4, 4, 4, 2],
];

/// Those from here on take long.
const LARGE: usize = 10;

/// What kind of queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Percpu,
    Unbound,
    Ordered,
}

/// A queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct QueuePlan {
    pub(super) kind: Kind,
    pub(super) max_active: Option<usize>,
    pub(super) max_pending: Option<usize>,
    pub(super) highpri: bool,
    /// Only the first so many CPUs.
    pub(super) first_cpus: Option<usize>,
    pub(super) freezable: bool,
    pub(super) rescuer: bool,
    /// Which CPUs share a pool, if the queue is unbound, and whether workers stay on them.
    pub(super) scope: AffinityScope,
    pub(super) strict: bool,
    /// Its items hold no other item back, if it is per CPU.
    pub(super) cpu_intensive: bool,
}

/// The scopes, the usual ones more often.
const SCOPES: [AffinityScope; 8] = [
    AffinityScope::Default,
    AffinityScope::Default,
    AffinityScope::System,
    AffinityScope::Numa,
    AffinityScope::Cache,
    AffinityScope::CacheShard,
    AffinityScope::Smt,
    AffinityScope::Cpu,
];

/// How an item is queued.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum How {
    /// A closure.
    Closure,
    /// A future.
    Future,
    /// A future, for the CPU with this number.
    On(usize),
    /// A future, for the NUMA node with this number.
    Node(usize),
    /// A future, if the queue has room.
    Try,
    /// The same, into a place that was reserved before.
    Permit,
}

/// How somebody waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Waiting {
    /// The thread that drives the plan, which does nothing else meanwhile.
    Here,
    /// A thread of its own.
    Aside,
    /// The driving thread, for so long at most.
    Limited(Duration),
    /// Nobody: the wait is dropped at once.
    Dropped,
}

/// What an item does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// Uses its CPU.
    Burn(Duration),
    /// Blocks its thread, and does not say so.
    Block(Duration),
    /// Blocks its thread, and says so.
    Marked(Duration),
    /// Blocks its thread in the library, until a future is ready.
    BlockOn(Duration),
    /// Suspends until then; a closure blocks instead.
    Delay(Duration),
    /// Suspends and is woken at once; a closure does nothing.
    Yield,
    /// Suspends until the event, or until then; a closure blocks for that long.
    Await(usize, Duration),
    /// Wakes all that wait for the event.
    Signal(usize),
    /// Queues an item without children.
    Spawn(usize, How, Vec<Step>),
    /// Asks for a run of a re-queueable item.
    Request(usize, usize),
    /// The same, later.
    Arm(usize, usize, Duration),
    /// Waits for its own queue, which is an error at once.
    WaitForItself,
    /// Waits on its thread for all items of a queue with a lower number.
    FlushLower(usize),
    /// Panics.
    Panic,
}

/// One operation of the thread that drives a plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Act {
    /// Time passes.
    Pass(Duration),
    /// Queues an item; its handle is kept, or dropped.
    Spawn {
        queue: usize,
        how: How,
        steps: Vec<Step>,
        keep: bool,
    },
    /// Queues many at once.
    Crowd {
        queue: usize,
        count: usize,
        steps: Vec<Step>,
    },
    /// Asks for a run of a re-queueable item, perhaps on a CPU.
    Request {
        work: usize,
        queue: usize,
        on: Option<usize>,
    },
    /// The same after a delay.
    Arm {
        item: usize,
        queue: usize,
        delay: Duration,
    },
    /// Sets the delay anew.
    Modify {
        item: usize,
        queue: usize,
        delay: Duration,
    },
    /// Takes a request back.
    Cancel { item: usize },
    /// Takes it back and waits for a run.
    CancelWait { item: usize, wait: Waiting },
    /// Waits for a re-queueable item.
    FlushItem { item: usize, wait: Waiting },
    /// Refuses requests until enabled.
    Disable { item: usize },
    /// One disable less.
    Enable { item: usize },
    /// Drops all handles of a re-queueable item, whatever it does, and makes another one.
    Renew { item: usize },
    /// Waits for what a queue has accepted.
    Flush { queue: usize, wait: Waiting },
    /// Waits until it is empty.
    Drain { queue: usize, wait: Waiting },
    /// Ends it, and makes another one in its place.
    Destroy { queue: usize, wait: Waiting },
    /// Drops its owner, and makes another one in its place.
    Close { queue: usize },
    /// Stops starts, of a queue or of all that can be frozen.
    Freeze { queue: Option<usize>, wait: Waiting },
    /// Lets them begin again.
    Thaw { queue: Option<usize> },
    /// Changes the CPUs, the pods and the priority of an unbound queue.
    Attrs {
        queue: usize,
        first_cpus: usize,
        scope: AffinityScope,
        nice: i8,
    },
    /// The machine refuses threads from now on, or gives them again.
    Refuse { threads: bool },
    /// Changes its limit.
    Limit { queue: usize, max_active: usize },
    /// One item at a time from now on, or no longer.
    Order { queue: usize, ordered: bool },
    /// The program may use so many CPUs, from this one on, and no others; `None`: all of them.
    Allow { cpus: Option<(usize, usize)> },
    /// Aborts a task whose handle was kept.
    Abort { task: usize },
    /// Waits for one.
    Join { task: usize, wait: Waiting },
    /// Wakes all that wait for an event, perhaps those too that waited once.
    Signal { event: usize, late: bool },
}

/// An operation, and the CPU on which the driving thread then is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Op {
    pub(super) cpu: usize,
    pub(super) act: Act,
}

/// How a plan ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// When all has ended.
    Empty,
    /// The same, and the machine is left alone until surplus workers are gone.
    Idle,
    /// The System is shut down at once, with this grace.
    Shutdown(Duration),
}

/// A plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) shape: Shape,
    pub(super) queues: [QueuePlan; QUEUES],
    /// What each re-queueable item does in a run; those with a timer come last.
    pub(super) bodies: [Vec<Step>; WORKS + DELAYED],
    pub(super) ops: Vec<Op>,
    pub(super) end: End,
}

impl Plan {
    /// The plan of a seed, with so many operations.
    pub(super) fn of(seed: u64, ops: usize) -> Plan {
        let mut dice = Dice {
            random: Random::new(seed),
            waits: true,
        };
        let shape = dice.shape();
        dice.waits = shape.max_workers.is_none();
        Plan {
            seed,
            shape,
            queues: std::array::from_fn(|_| dice.queue(&shape)),
            bodies: std::array::from_fn(|_| dice.body()),
            ops: dice.ops(&shape, ops),
            end: dice.end(),
        }
    }
}

/// Chance, with what it must keep to.
struct Dice {
    random: Random,
    /// Items may wait for other items, which needs a thread for each.
    waits: bool,
}

impl Dice {
    /// A machine.
    fn shape(&mut self) -> Shape {
        let random = &mut self.random;
        let at = random.below(MACHINES.len());
        // The largest ones seldom.
        let at = if at >= LARGE && !random.one_in(6) {
            random.below(6)
        } else {
            at
        };
        let parts = MACHINES[at];
        let cpus: usize = parts.iter().product();
        Shape {
            parts,
            lanes: (cpus > 1 && random.one_in(5)).then(|| 1 + random.below(cpus)),
            max_workers: random.one_in(8).then(|| cpus + 2 + random.below(4)),
        }
    }

    /// A queue.
    fn queue(&mut self, shape: &Shape) -> QueuePlan {
        let random = &mut self.random;
        let kind = random.pick(&[Kind::Percpu, Kind::Unbound, Kind::Unbound, Kind::Ordered]);
        // Among several nodes the limit of an unbound queue is divided, which the model does not
        // know.
        let divided = kind == Kind::Unbound && shape.parts[0] > 1;
        let limited = kind != Kind::Ordered && random.one_in(2) && !divided;
        let narrow = kind != Kind::Percpu && random.one_in(4);
        QueuePlan {
            kind,
            max_active: limited.then(|| 1 + random.below(3)),
            max_pending: (random.one_in(5) && !divided).then(|| 1 + random.below(8)),
            highpri: random.one_in(4),
            first_cpus: narrow.then(|| 1 + random.below(shape.cpus())),
            freezable: random.one_in(3) && !divided,
            rescuer: random.one_in(5),
            scope: random.pick(&SCOPES),
            strict: random.one_in(4),
            cpu_intensive: random.one_in(6),
        }
    }

    /// What a re-queueable item does: nothing that suspends, since it is a function.
    fn body(&mut self) -> Vec<Step> {
        let n = self.random.below(3);
        (0..n)
            .map(|_| match self.random.below(7) {
                0 | 1 => Step::Burn(self.random.time()),
                2 => Step::Block(self.random.time()),
                3 => Step::Marked(self.random.time()),
                4 => Step::Signal(self.random.below(EVENTS)),
                5 => Step::Panic,
                _ => Step::Request(self.random.below(WORKS + DELAYED), self.queue_number()),
            })
            .collect()
    }

    /// A queue's number.
    fn queue_number(&mut self) -> usize {
        self.random.below(QUEUES)
    }

    /// A re-queueable item's number.
    fn item_number(&mut self) -> usize {
        self.random.below(WORKS + DELAYED)
    }

    /// How an item is queued.
    fn how(&mut self) -> How {
        match self.random.below(9) {
            0..=2 => How::Closure,
            3..=5 => How::Future,
            6 if self.random.one_in(3) => How::Node(self.random.below(5)),
            6 => How::On(self.random.below(128)),
            7 => How::Permit,
            _ => How::Try,
        }
    }

    /// How somebody waits.
    fn waiting(&mut self) -> Waiting {
        match self.random.below(6) {
            0 => Waiting::Here,
            1 => Waiting::Limited(self.random.time()),
            2 => Waiting::Dropped,
            _ => Waiting::Aside,
        }
    }

    /// What an item does.
    fn steps(&mut self, may_spawn: bool) -> Vec<Step> {
        let n = self.random.below(STEPS + 1);
        (0..n).map(|_| self.step(may_spawn)).collect()
    }

    /// One thing that it does.
    fn step(&mut self, may_spawn: bool) -> Step {
        let kinds = if may_spawn { 22 } else { 17 };
        let random = &mut self.random;
        match random.below(kinds) {
            0..=2 => Step::Burn(random.time()),
            3 => Step::Block(random.time()),
            4 => Step::Marked(random.time()),
            5 => Step::BlockOn(random.time()),
            6..=8 => Step::Delay(random.time()),
            9 | 10 => Step::Yield,
            11 | 12 => Step::Await(random.below(EVENTS), random.time()),
            13 => Step::Signal(random.below(EVENTS)),
            14 if random.one_in(3) => Step::Panic,
            15 if self.waits => Step::FlushLower(random.below(QUEUES)),
            16 if random.one_in(3) => Step::WaitForItself,
            14..=16 => Step::Yield,
            17 => Step::Request(self.item_number(), self.queue_number()),
            18 => Step::Arm(self.item_number(), self.queue_number(), self.delay()),
            _ => {
                let (queue, how) = (self.queue_number(), self.how());
                Step::Spawn(queue, how, self.steps(false))
            }
        }
    }

    /// A delay; never a round number, so that few things happen at one instant by design.
    fn delay(&mut self) -> Duration {
        if self.random.one_in(6) {
            return Duration::ZERO;
        }
        self.random.time() + Duration::from_nanos(1 + self.random.below(997) as u64)
    }

    /// So many operations.
    fn ops(&mut self, shape: &Shape, ops: usize) -> Vec<Op> {
        // Now and then all is about a queue or two.
        let queues = self.random.pick(&[1, 2, QUEUES, QUEUES]);
        (0..ops)
            .map(|_| Op {
                cpu: self.random.below(shape.cpus()),
                act: if self.random.one_in(25) {
                    self.change(shape, queues)
                } else {
                    self.act(queues)
                },
            })
            .collect()
    }

    /// One operation that changes what the queues are, or what the machine gives. What freezes or
    /// refuses is undone by a later one, or at the end.
    fn change(&mut self, shape: &Shape, queues: usize) -> Act {
        let random = &mut self.random;
        let queue = random.below(queues);
        match random.below(23) {
            16 => {
                let first = random.below(shape.cpus());
                let more = random.below(shape.cpus() - first);
                Act::Allow {
                    cpus: Some((first, 1 + more)),
                }
            }
            17 | 18 => Act::Allow { cpus: None },
            19..=22 => Act::Order {
                queue,
                ordered: random.one_in(2),
            },
            0..=2 => Act::Freeze {
                queue: (!random.one_in(3)).then_some(queue),
                wait: self.waiting(),
            },
            3..=7 => Act::Thaw {
                queue: (!random.one_in(3)).then_some(queue),
            },
            8..=12 => Act::Attrs {
                queue,
                first_cpus: 1 + random.below(shape.cpus()),
                scope: random.pick(&SCOPES),
                nice: random.pick(&[0, 0, 5, -10]),
            },
            13 => Act::Refuse { threads: true },
            _ => Act::Refuse { threads: false },
        }
    }

    /// One operation, on one of the first `queues` queues.
    fn act(&mut self, queues: usize) -> Act {
        let queue = self.random.below(queues);
        match self.random.below(100) {
            0..=17 => Act::Pass(self.random.time()),
            18..=44 => Act::Spawn {
                queue,
                how: self.how(),
                keep: self.random.one_in(2),
                steps: self.steps(true),
            },
            45 => Act::Crowd {
                queue,
                count: 2 + self.random.below(CROWD),
                steps: self.steps(false),
            },
            46..=53 => Act::Request {
                work: self.random.below(WORKS),
                queue,
                on: self.random.one_in(3).then(|| self.random.below(128)),
            },
            54..=58 => Act::Arm {
                item: self.item_number(),
                queue,
                delay: self.delay(),
            },
            59..=61 => Act::Modify {
                item: self.item_number(),
                queue,
                delay: self.delay(),
            },
            other => self.rarer_act(other, queue),
        }
    }

    /// One of the operations that act upon what is there.
    fn rarer_act(&mut self, which: usize, queue: usize) -> Act {
        let item = self.item_number();
        match which {
            62..=64 => Act::Cancel { item },
            65 | 66 => Act::CancelWait {
                item,
                wait: self.waiting(),
            },
            67 | 68 => Act::FlushItem {
                item,
                wait: self.waiting(),
            },
            69 => Act::Disable { item },
            70 | 71 => Act::Enable { item },
            72 => Act::Renew { item },
            73..=80 => Act::Flush {
                queue,
                wait: self.waiting(),
            },
            81 => Act::Drain {
                queue,
                wait: self.waiting(),
            },
            82 if self.random.one_in(2) => Act::Destroy {
                queue,
                wait: self.waiting(),
            },
            82 => Act::Close { queue },
            83..=85 => Act::Limit {
                queue,
                max_active: 1 + self.random.below(4),
            },
            86..=90 => Act::Abort {
                task: self.random.below(1 << 16),
            },
            91..=94 => Act::Join {
                task: self.random.below(1 << 16),
                wait: self.waiting(),
            },
            _ => Act::Signal {
                event: self.random.below(EVENTS),
                late: self.random.one_in(3),
            },
        }
    }

    /// How it ends.
    fn end(&mut self) -> End {
        match self.random.below(8) {
            0 => End::Shutdown(self.random.time()),
            1 => End::Idle,
            _ => End::Empty,
        }
    }
}
