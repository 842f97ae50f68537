//! What threads and children that items start inherit: the program's settings, not a lane's.
#![cfg(all(target_os = "linux", not(wq_portable)))]

use std::fs::read_to_string;
use std::process::Command;
use std::thread;

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use wq_core::{Queue, System, process};

/// What can be seen of a thread's, or a program's, settings.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Settings {
    cpus: String,
    blocked_signals: String,
    nice: String,
}

impl Settings {
    /// From the texts of `status` and `stat`.
    fn parse(status: &str, stat: &str) -> Settings {
        let field = |name: &str| {
            let mut lines = status.lines();
            let line = lines.find_map(|line| line.strip_prefix(name));
            line.expect("the kernel tells it").trim().to_owned()
        };
        // Behind the name, which is in parentheses: the state, and fifteen fields later the nice
        // value.
        let behind = stat.rsplit(')').next().expect("a name");
        Settings {
            cpus: field("Cpus_allowed_list:"),
            blocked_signals: field("SigBlk:"),
            nice: behind.split_whitespace().nth(16).expect("nice").to_owned(),
        }
    }

    /// The calling thread's.
    fn of_thread() -> Settings {
        let read = |file| read_to_string(format!("/proc/thread-self/{file}")).expect("procfs");
        Settings::parse(&read("status"), &read("stat"))
    }

    /// Those that a child of `command` has.
    fn of_child(command: &mut Command) -> Settings {
        let output = command.output().expect("cat is there");
        let text = String::from_utf8(output.stdout).expect("text");
        let (stat, status) = text.split_once('\n').expect("two files");
        Settings::parse(status, stat)
    }
}

/// A program that prints its own settings.
fn teller() -> Command {
    let mut command = Command::new("cat");
    command.args(["/proc/self/stat", "/proc/self/status"]);
    command
}

/// A System made by a thread that blocks a signal and has a timer slack of its own.
fn peculiar_system() -> (System, Settings) {
    let maker = thread::spawn(|| {
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGUSR1);
        blocked.thread_block().expect("a good set");
        prctl::set_timerslack(70_000).expect("any slack is allowed");
        let system = System::builder().build().expect("a System");
        (system, Settings::of_thread())
    });
    maker.join().expect("it does not panic")
}

/// Runs `f` in an item and gives its result.
fn inside<R: Send + 'static>(queue: &Queue, f: impl FnOnce() -> R + Send + 'static) -> R {
    queue.spawn_fn(f).wait().expect("it does not panic")
}

/// Goal: signal mask and timer slack of workers, on all queues, are the program's, and so are
/// those of what they start.
#[test]
fn signals_and_timer_slack_are_the_programs() {
    let (system, own) = peculiar_system();
    let queues = [
        system.default_queue(),
        system.percpu_queue(),
        system.highpri_queue(),
    ];
    let slack = || prctl::get_timerslack().expect("it is told");
    for queue in &queues {
        let (signals, slacks) = inside(queue, move || {
            let child = thread::spawn(move || (Settings::of_thread(), slack()));
            let (child, childs_slack) = child.join().expect("it does not panic");
            (
                [Settings::of_thread().blocked_signals, child.blocked_signals],
                [slack(), childs_slack],
            )
        });
        assert_eq!(signals, [&own.blocked_signals; 2].map(Clone::clone));
        assert_eq!(slacks, [70_000; 2]);
    }
}

/// Goal: what an item of the default queue starts may use all CPUs at the usual priority, with
/// nobody's help.
#[test]
fn nothing_is_needed_on_unbound_queues() {
    let (system, own) = peculiar_system();
    let (thread, child) = inside(&system.default_queue(), || {
        let thread = thread::spawn(Settings::of_thread).join();
        let child = Settings::of_child(&mut teller());
        (thread.expect("it does not panic"), child)
    });
    assert_eq!(thread, own);
    assert_eq!((child.cpus, child.nice), (own.cpus, own.nice));
}

/// Goal: a rayon pool that a task of the default queue is the first to touch has a thread for each
/// of the program's CPUs, and each of its threads may use all of them, at the program's priority
/// and with its signals. Method: the global pool, which takes its size and all settings from who
/// touches it first, so no other test of this process may; every thread of it reports.
#[test]
fn rayons_pool_is_the_programs() {
    let (system, own) = peculiar_system();
    let queue = system.default_queue();
    let touch = async { rayon::broadcast(|_| Settings::of_thread()) };
    let pool = queue.spawn(touch).wait().expect("it does not panic");
    let cpus = thread::available_parallelism().expect("it is told").get();
    let expected = vec![own; cpus];
    assert_eq!(pool, expected, "RAYON_NUM_THREADS would tell another size");
}

/// Goal: on a per-CPU queue of high priority the wrappers give the program's settings. A thread
/// of `std` stays on the CPU and has nice 0 by itself: the kernel takes back a raised priority
/// on the way, and with it what a program may have been given from outside (`nice -n -10 ...`).
#[test]
fn wrappers_help_on_bound_queues() {
    let (system, own) = peculiar_system();
    let (worker, plain, thread, child) = inside(&system.highpri_queue(), || {
        let plain = thread::spawn(Settings::of_thread).join();
        let thread = wq_core::thread::spawn(Settings::of_thread).join();
        let child = Settings::of_child(process::outside(&mut teller()));
        (
            Settings::of_thread(),
            plain.expect("it does not panic"),
            thread.expect("it does not panic"),
            child,
        )
    });
    assert_eq!(thread, own);
    assert_eq!((&child.cpus, &child.nice), (&own.cpus, &own.nice));
    let is_raised = worker.nice != own.nice && worker.nice.starts_with('-');
    let plains = if is_raised { "0" } else { &worker.nice };
    assert_eq!((&*plain.cpus, &*plain.nice), (&*worker.cpus, plains));
    if worker.nice == own.nice {
        eprintln!("SKIPPED the priority: the machine does not let it be raised");
    }
}
