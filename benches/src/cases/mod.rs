//! The cases: what is measured, on which runtimes, and the small parts that they share.
//!
//! A case is a function generic over [`Runtime`]; [`ALL`] is the registry. The shapes of other
//! projects' benchmarks are written anew here: what they do is kept, their text is not.

mod executor_set;
mod floor;
mod growth;
mod net;
mod pool;
mod queues;
mod sensing;
mod spawning;
mod timers;
mod tokio_set;

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use wq_benches::poison::Kind;
use wq_benches::{Bench, Case, Group, Needs, RuntimeId, Suits};

use crate::runtime::{
    AsyncExecutor, Runtime, Smol, Threads, TokioBlocking, TokioCt, TokioMt, TokioPinned, WqBlockOn,
    WqDeclared, WqMarked, WqPercpu, WqRun,
};
use net::Echo;
use sensing::Shape;

/// An entry of the registry whose function is generic over the runtime; what else it takes stands
/// in brackets, and after `or` what a row without a runtime measures.
macro_rules! case {
    ($name:literal, $group:ident, $suits:ident, $function:expr, $summary:literal) => {
        case!($name, $group, $suits, $function, [], or |_: &mut Bench| unreachable!(), $summary)
    };
    ($name:literal, $group:ident, $suits:ident, $function:expr, [$($more:expr)?],
        or $bare:expr, $summary:literal) => {
        Case {
            name: $name,
            group: Group::$group,
            summary: $summary,
            suits: Suits::$suits,
            needs: Needs::Nothing,
            run: |id, bench| match id {
                RuntimeId::Wq => $function(WqRun::start(), bench $(, $more)?),
                RuntimeId::WqBlockOn => $function(WqBlockOn::start(), bench $(, $more)?),
                RuntimeId::WqDeclared => $function(WqDeclared::start(), bench $(, $more)?),
                RuntimeId::WqMarked => $function(WqMarked::start(), bench $(, $more)?),
                RuntimeId::WqPercpu => $function(WqPercpu::start(), bench $(, $more)?),
                RuntimeId::TokioMt => $function(TokioMt::start(), bench $(, $more)?),
                RuntimeId::TokioPinned => $function(TokioPinned::start(), bench $(, $more)?),
                RuntimeId::TokioBlocking => $function(TokioBlocking::start(), bench $(, $more)?),
                RuntimeId::TokioCt => $function(TokioCt::start(), bench $(, $more)?),
                RuntimeId::AsyncExecutor => $function(AsyncExecutor::start(), bench $(, $more)?),
                RuntimeId::Smol => $function(Smol::start(), bench $(, $more)?),
                RuntimeId::Bare => $bare(bench $(, $more)?),
            },
        }
    };
}

/// Tasks that block among short ones: from a runtime's first moments, or after them.
macro_rules! poison {
    ($name:literal, first_moments, $kind:ident, $tasks:literal, $summary:literal) => {
        poison!($name, SensingCold, first_moments, $kind, $tasks, $summary)
    };
    ($name:literal, steady, $kind:ident, $tasks:literal, $summary:literal) => {
        poison!($name, Sensing, steady, $kind, $tasks, $summary)
    };
    ($name:literal, $group:ident, $when:ident, $kind:ident, $tasks:literal, $summary:literal) => {
        case!($name, $group, Poison, sensing::$when, [Shape::blocks(Kind::$kind, $tasks)],
            or |_: &mut Bench, _| unreachable!(), $summary)
    };
}

/// Urgent tasks that sleep among urgent short ones.
macro_rules! urgent {
    ($name:literal, $tasks:literal, $needs:ident, $summary:literal) => {
        case!($name, SensingHighpri, Highpri, sensing::steady,
            [Shape::blocks(Kind::Sleep, $tasks).urgent()],
            or |_: &mut Bench, _| unreachable!(), $summary)
        .needing(Needs::$needs)
    };
}

/// Tasks that burn CPU among short ones.
macro_rules! hogs {
    ($name:literal, $ms:literal, $tasks:literal, $summary:literal) => {
        case!(
            $name,
            SensingHogs,
            Hogs,
            sensing::steady,
            [Shape::burns($ms, $tasks)],
            or | bench,
            shape | sensing::steady(Threads, bench, shape),
            $summary
        )
    };
}

/// Echo over so many connections, with messages of so many bytes.
macro_rules! echo {
    ($name:literal, $connections:literal, $len:literal, $summary:literal) => {
        case!($name, Net, Echo, net::echo,
            [Echo { connections: $connections, len: $len }],
            or net::echo_bare, $summary)
    };
}

/// So many of what grows.
macro_rules! growth {
    ($name:literal, $function:ident, $number:literal, $summary:literal) => {
        case!($name, Growth, Growth, growth::$function, [$number],
            or |_: &mut Bench, _| unreachable!(), $summary)
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
            needs: Needs::Nothing,
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
    growth!("grow_1_spawned", spawned, 1,
        "a task spawns 1 task and waits for it"),
    growth!("grow_10_spawned", spawned, 10,
        "a task spawns 10 tasks and waits for the last"),
    growth!("grow_1k_spawned", spawned, 1_000,
        "a task spawns 1 000 tasks and waits for the last"),
    growth!("grow_1m_spawned", spawned, 1_000_000,
        "a task spawns 1 000 000 tasks and waits for the last"),
    growth!("grow_1_woken", woken, 1,
        "a task wakes 1 suspended task and waits until it has run"),
    growth!("grow_10_woken", woken, 10,
        "a task wakes 10 suspended tasks and waits for the last"),
    growth!("grow_1k_woken", woken, 1_000,
        "a task wakes 1 000 suspended tasks and waits for the last"),
    growth!("grow_1m_woken", woken, 1_000_000,
        "a task wakes 1 000 000 suspended tasks and waits for the last"),
    growth!("grow_1_queue", queues, 1,
        "100 000 futures on 1 ordered queue"),
    growth!("grow_1k_queues", queues, 1_000,
        "100 000 futures on 1 000 ordered queues in turns"),
    growth!("grow_100k_queues", queues, 100_000,
        "100 000 futures on as many ordered queues"),
    growth!("grow_1_producer", producers, 1,
        "a foreign thread spawns 12 800 tasks"),
    growth!("grow_8_producers", producers, 8,
        "8 foreign threads spawn 12 800 tasks together"),
    growth!("grow_64_producers", producers, 64,
        "64 foreign threads spawn 12 800 tasks together"),
    echo!("echo_1", 1, 64, "64 bytes over 1 connection"),
    echo!("echo_64", 64, 64, "64 bytes over 64 connections"),
    echo!("echo_512", 512, 64, "64 bytes over 512 connections"),
    echo!("echo_1_16k", 1, 16_384, "16 KiB over 1 connection"),
    echo!("echo_64_16k", 64, 16_384, "16 KiB over 64 connections"),
    echo!("echo_512_16k", 512, 16_384, "16 KiB over 512 connections"),
    case!("tick_under_load", Timers, Plain, timers::tick_under_load,
        "a 1 ms interval while 4 tasks work 10 us and yield, for ever"),
    poison!("naps_k2", steady, Sleep, 2,
        "2 tasks sleep 50 ms in the thread"),
    poison!("naps_k8", steady, Sleep, 8,
        "8 tasks sleep 50 ms in the thread"),
    poison!("naps_k64", steady, Sleep, 64,
        "64 tasks sleep 50 ms in the thread"),
    poison!("mutex_k2", steady, Mutex, 2,
        "2 tasks wait 50 ms for a std mutex"),
    poison!("mutex_k8", steady, Mutex, 8,
        "8 tasks wait 50 ms for a std mutex"),
    poison!("mutex_k64", steady, Mutex, 64,
        "64 tasks wait 50 ms for a std mutex"),
    poison!("pipe_k2", steady, Pipe, 2,
        "2 tasks read a pipe that is empty for 50 ms"),
    poison!("pipe_k8", steady, Pipe, 8,
        "8 tasks read a pipe that is empty for 50 ms"),
    poison!("pipe_k64", steady, Pipe, 64,
        "64 tasks read a pipe that is empty for 50 ms"),
    poison!("file_k2", steady, File, 2,
        "2 tasks read a file that takes 50 ms (FUSE)"),
    poison!("file_k8", steady, File, 8,
        "8 tasks read a file that takes 50 ms (FUSE)"),
    poison!("file_k64", steady, File, 64,
        "64 tasks read a file that takes 50 ms (FUSE)"),
    poison!("fault_k2", steady, Fault, 2,
        "2 tasks touch a page that comes after 50 ms (userfaultfd)"),
    poison!("fault_k8", steady, Fault, 8,
        "8 tasks touch a page that comes after 50 ms (userfaultfd)"),
    poison!("fault_k64", steady, Fault, 64,
        "64 tasks touch a page that comes after 50 ms (userfaultfd)"),
    poison!("cold_naps_k2", first_moments, Sleep, 2,
        "2 tasks sleep 50 ms in the thread"),
    poison!("cold_naps_k8", first_moments, Sleep, 8,
        "8 tasks sleep 50 ms in the thread"),
    poison!("cold_naps_k64", first_moments, Sleep, 64,
        "64 tasks sleep 50 ms in the thread"),
    poison!("cold_mutex_k2", first_moments, Mutex, 2,
        "2 tasks wait 50 ms for a std mutex"),
    poison!("cold_mutex_k8", first_moments, Mutex, 8,
        "8 tasks wait 50 ms for a std mutex"),
    poison!("cold_mutex_k64", first_moments, Mutex, 64,
        "64 tasks wait 50 ms for a std mutex"),
    poison!("cold_pipe_k2", first_moments, Pipe, 2,
        "2 tasks read a pipe that is empty for 50 ms"),
    poison!("cold_pipe_k8", first_moments, Pipe, 8,
        "8 tasks read a pipe that is empty for 50 ms"),
    poison!("cold_pipe_k64", first_moments, Pipe, 64,
        "64 tasks read a pipe that is empty for 50 ms"),
    poison!("cold_file_k2", first_moments, File, 2,
        "2 tasks read a file that takes 50 ms (FUSE)"),
    poison!("cold_file_k8", first_moments, File, 8,
        "8 tasks read a file that takes 50 ms (FUSE)"),
    poison!("cold_file_k64", first_moments, File, 64,
        "64 tasks read a file that takes 50 ms (FUSE)"),
    poison!("cold_fault_k2", first_moments, Fault, 2,
        "2 tasks touch a page that comes after 50 ms (userfaultfd)"),
    poison!("cold_fault_k8", first_moments, Fault, 8,
        "8 tasks touch a page that comes after 50 ms (userfaultfd)"),
    poison!("cold_fault_k64", first_moments, Fault, 64,
        "64 tasks touch a page that comes after 50 ms (userfaultfd)"),
    urgent!("highpri_k2", 2, Priority,
        "2 urgent tasks sleep 50 ms in the thread; with the right to raise priority"),
    urgent!("highpri_k8", 8, Priority,
        "8 urgent tasks sleep 50 ms in the thread; with the right to raise priority"),
    urgent!("highpri_k64", 64, Priority,
        "64 urgent tasks sleep 50 ms in the thread; with the right to raise priority"),
    urgent!("highpri_k2_unraised", 2, NoPriority,
        "2 urgent tasks sleep 50 ms in the thread; without that right"),
    urgent!("highpri_k8_unraised", 8, NoPriority,
        "8 urgent tasks sleep 50 ms in the thread; without that right"),
    urgent!("highpri_k64_unraised", 64, NoPriority,
        "64 urgent tasks sleep 50 ms in the thread; without that right"),
    hogs!("burns_k2", 20, 2, "2 tasks burn 20 ms of CPU"),
    hogs!("burns_k8", 20, 8, "8 tasks do"),
    hogs!("burns100_k4", 100, 4, "4 tasks burn 100 ms"),
    case!("hot_mutex", SensingWork, Mutex, pool::hot_mutex, [], or pool::hot_mutex_bare,
        "64 tasks hammer one std mutex, held 20 us; bare: two threads do the same work"),
    case!("pool_1cpu", SensingWork, Pool, pool::pool, [], or pool::pool_bare,
        "10 000 items of 20 us of CPU, a tenth also sleeps 2 ms; one CPU; bare: no sleeps")
        .needing(Needs::OneCpu),
    case!("pool_2cpus", SensingWork, Pool, pool::pool, [], or pool::pool_bare,
        "the same with 20 000 items on two CPUs"),
    case!("crowd", SensingWork, Crowd, pool::crowd, [], or |_: &mut Bench| unreachable!(),
        "10 000 tasks sleep 10 ms in the thread"),
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
