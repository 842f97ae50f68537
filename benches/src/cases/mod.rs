//! The cases: what is measured, on which runtimes, and the small parts that they share.
//!
//! A case is a function generic over [`Runtime`]; [`ALL`] is the registry. The shapes of other
//! projects' benchmarks are written anew here: what they do is kept, their text is not.

mod executor_set;
mod floor;
mod queues;
mod sensing;
mod spawning;
mod timers;
mod tokio_set;

use std::fmt;
use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::harness::child::Bench;
use crate::runtime::{
    AsyncExecutor, Runtime, RuntimeId, Smol, TokioBlocking, TokioCt, TokioMt, TokioPinned,
    WqBlockOn, WqRun,
};

/// One thing to measure.
pub(crate) struct Case {
    /// Its name on the command line and in tables.
    pub(crate) name: &'static str,
    /// The table it stands in.
    pub(crate) group: Group,
    /// One line for `--list`.
    pub(crate) summary: &'static str,
    /// Which runtimes have use for it.
    suits: Suits,
    /// Measures it on one runtime, in a child.
    pub(crate) run: fn(RuntimeId, &mut Bench),
}

/// The tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// The shapes of tokio's `rt_multi_threaded`.
    Tokio,
    /// The shapes of async-executor's benchmarks.
    AsyncExecutor,
    /// Spawns and joins that the above leave out.
    Spawning,
    /// Order, limits and waiting for many.
    Queues,
    /// Lateness of timers.
    Timers,
    /// Lateness of short tasks among tasks that block or burn without a word.
    Sensing,
    /// What the machine and the task cell cost without any runtime.
    Floor,
}

/// Which runtimes have use for a case.
#[derive(Clone, Copy)]
enum Suits {
    /// Every runtime in its plain form.
    Plain,
    /// And wq's second way to start a root: the root does the work that is measured.
    Roots,
    /// And tokio with marked blocking: the case blocks.
    Blocking,
    /// None: a floor row.
    Bare,
}

impl Group {
    /// All, in the order of tables.
    pub(crate) const ALL: &[Self] = &[
        Self::Tokio,
        Self::AsyncExecutor,
        Self::Spawning,
        Self::Queues,
        Self::Timers,
        Self::Sensing,
        Self::Floor,
    ];

    /// The name on the command line and in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::AsyncExecutor => "async-executor",
            Self::Spawning => "spawning",
            Self::Queues => "queues",
            Self::Timers => "timers",
            Self::Sensing => "sensing",
            Self::Floor => "floor",
        }
    }

    /// The line above the table.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Tokio => "the shapes of tokio's own scheduler benchmarks",
            Self::AsyncExecutor => "the shapes of async-executor's own benchmarks",
            Self::Spawning => "spawns and joins that these leave out",
            Self::Queues => "order, limits, waiting for many",
            Self::Timers => "lateness of timers",
            Self::Sensing => "lateness of short tasks among others that block or burn unmarked",
            Self::Floor => "what the machine and the task cell cost without a runtime",
        }
    }

    /// Whether its cases measure lateness rather than time for each operation.
    pub(crate) fn is_about_lateness(self) -> bool {
        matches!(self, Self::Timers | Self::Sensing)
    }
}

impl Case {
    /// Whether a filter means this case.
    pub(crate) fn is(&self, filter: &str) -> bool {
        self.name.contains(filter) || self.group.name().contains(filter)
    }

    /// Whether a runtime has use for this case.
    pub(crate) fn suits(&self, id: RuntimeId) -> bool {
        match id {
            RuntimeId::Bare => matches!(self.suits, Suits::Bare),
            RuntimeId::TokioBlocking => matches!(self.suits, Suits::Blocking),
            RuntimeId::WqBlockOn => matches!(self.suits, Suits::Roots),
            _ => !matches!(self.suits, Suits::Bare),
        }
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// An entry of the registry whose function is generic over the runtime.
macro_rules! case {
    ($name:literal, $group:ident, $suits:ident, $function:expr, $summary:literal) => {
        Case {
            name: $name,
            group: Group::$group,
            summary: $summary,
            suits: Suits::$suits,
            run: |id, bench| match id {
                RuntimeId::Wq => $function(WqRun::start(), bench),
                RuntimeId::WqBlockOn => $function(WqBlockOn::start(), bench),
                RuntimeId::TokioMt => $function(TokioMt::start(), bench),
                RuntimeId::TokioPinned => $function(TokioPinned::start(), bench),
                RuntimeId::TokioBlocking => $function(TokioBlocking::start(), bench),
                RuntimeId::TokioCt => $function(TokioCt::start(), bench),
                RuntimeId::AsyncExecutor => $function(AsyncExecutor::start(), bench),
                RuntimeId::Smol => $function(Smol::start(), bench),
                RuntimeId::Bare => unreachable!("only floor rows are bare"),
            },
        }
    };
}

/// An entry of the registry without a runtime.
macro_rules! floor {
    ($name:literal, $function:expr, $summary:literal) => {
        Case {
            name: $name,
            group: Group::Floor,
            summary: $summary,
            suits: Suits::Bare,
            run: |_, bench| $function(bench),
        }
    };
}

/// The registry, in the order of tables.
#[rustfmt::skip]
pub(crate) static ALL: &[Case] = &[
    case!("spawn_many_local", Tokio, Roots, tokio_set::spawn_many_local,
        "the root spawns 10 000 tasks and waits for the last"),
    case!("spawn_many_remote_idle", Tokio, Plain, tokio_set::spawn_many_remote_idle,
        "a foreign thread spawns 10 000 tasks"),
    case!("spawn_many_remote_busy1", Tokio, Plain, tokio_set::spawn_many_remote_busy1,
        "the same while 4 tasks work 10 us and yield, for ever"),
    case!("spawn_many_remote_busy2", Tokio, Plain, tokio_set::spawn_many_remote_busy2,
        "1 000 tasks while 4 chains work 10 us and spawn their successor, for ever"),
    case!("yield_many", Tokio, Plain, tokio_set::yield_many,
        "200 tasks yield 1 000 times each"),
    case!("ping_pong", Tokio, Roots, tokio_set::ping_pong,
        "1 000 tasks spawn a partner each and exchange two messages"),
    case!("chained_spawn", Tokio, Plain, tokio_set::chained_spawn,
        "a task spawns its successor, 1 000 deep"),
    case!("ae_spawn_one", AsyncExecutor, Roots, executor_set::spawn_one,
        "the root spawns an empty task and joins it"),
    case!("ae_spawn_many_local", AsyncExecutor, Roots, executor_set::spawn_many_local,
        "the root spawns 25 000 empty tasks, then joins them"),
    case!("ae_spawn_recursively", AsyncExecutor, Plain, executor_set::spawn_recursively,
        "300 tasks spawn and join a child, 300 deep"),
    case!("ae_yield_now", AsyncExecutor, Plain, executor_set::yield_now,
        "300 tasks yield 300 times each"),
    case!("ae_channels", AsyncExecutor, Plain, executor_set::channels,
        "300 tokens pass through 300 tasks by channels of capacity 1"),
    case!("ae_web_server", AsyncExecutor, Plain, executor_set::web_server,
        "300 requests ask a database task over and over"),
    case!("spawn_many_worker", Spawning, Plain, spawning::spawn_many_worker,
        "a task spawns 10 000 tasks"),
    case!("spawn_join_local", Spawning, Plain, spawning::spawn_join_local,
        "a task spawns an empty task and joins it, 1 000 times"),
    case!("spawn_join_remote", Spawning, Plain, spawning::spawn_join_remote,
        "a foreign thread spawns an empty task and waits for it"),
    case!("ordered_queue", Queues, Plain, queues::ordered_queue,
        "10 000 futures run one after the other in order"),
    case!("limited_queue", Queues, Plain, queues::limited_queue,
        "1 000 futures that yield once, 16 at a time"),
    case!("flush_1000", Queues, Plain, queues::flush_1000,
        "1 000 futures are submitted and waited for together"),
    case!("tick_under_load", Timers, Plain, timers::tick_under_load,
        "a 1 ms interval while 4 tasks work 10 us and yield, for ever"),
    case!("naps_k2", Sensing, Blocking, sensing::naps::<_, 2>,
        "2 tasks sleep 50 ms in the thread, for ever; short tasks arrive 1 000/s"),
    case!("naps_k8", Sensing, Blocking, sensing::naps::<_, 8>,
        "8 tasks do"),
    case!("naps_k64", Sensing, Blocking, sensing::naps::<_, 64>,
        "64 tasks do"),
    case!("burns_k2", Sensing, Blocking, sensing::burns::<_, 2>,
        "2 tasks burn 20 ms of CPU, for ever; short tasks arrive 1 000/s"),
    case!("burns_k8", Sensing, Blocking, sensing::burns::<_, 8>,
        "8 tasks do"),
    floor!("floor_task_local", floor::task_local,
        "async-task on a bare thread-local queue: spawn, run, drop"),
    floor!("floor_malloc_local", floor::malloc_local,
        "allocate and free 80 bytes on one thread"),
    floor!("floor_malloc_remote", floor::malloc_remote,
        "allocate 80 bytes on one thread, free them on another"),
    floor!("floor_wake_one_cpu", floor::wake_one_cpu,
        "two threads on one CPU unpark each other: a round trip"),
    floor!("floor_wake_two_cpus", floor::wake_two_cpus,
        "two threads on two CPUs unpark each other: a round trip"),
    floor!("floor_handover_spin", floor::handover_spin,
        "two threads on two CPUs spin on one word: a round trip"),
];

/// Counts tasks down and wakes whoever waits for the last.
///
/// Each task holds a clone, as the tasks of tokio's benchmarks hold a sender and a counter; it is
/// built from runtime-neutral parts, so it costs every runtime the same.
struct Latch {
    /// Arrivals still missing.
    missing: AtomicUsize,
    /// Told by the last arrival.
    last: Notify,
}

impl Latch {
    /// A latch that nobody is missing from.
    fn new() -> Arc<Self> {
        Arc::new(Self {
            missing: AtomicUsize::new(0),
            last: Notify::new(),
        })
    }

    /// Asks for arrivals; only between waits.
    fn expect(&self, arrivals: usize) {
        // Relaxed: the tasks are spawned later, and spawning orders this before them.
        self.missing.store(arrivals, Ordering::Relaxed);
    }

    /// One arrives.
    fn arrive(&self) {
        // AcqRel pairs with the other arrivals: the last one has seen what all others did before,
        // and passes it on through the notification.
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.last.notify_one();
        }
    }

    /// Waits for the last arrival; an arrival that came first is remembered.
    async fn wait(&self) {
        self.last.notified().await;
    }
}

/// Tasks that keep every worker busy in short pieces until they are told to stop.
const BUSY_TASKS: usize = 2 * crate::runtime::WORKERS;
/// One piece of their work.
const PIECE: Duration = Duration::from_micros(10);

/// Uses the CPU for one piece, by the clock.
fn work_a_piece() {
    let start = Instant::now();
    while start.elapsed() < PIECE {
        hint::spin_loop();
    }
}
