//! The System's own queues: each runs items as its kind says, all have their kernel's names, and
//! none outlives its System's shutdown.

use std::thread;
use std::time::Duration;

use wq_core::{Queue, Queued, System, Work, Workqueue};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// What a queue is expected to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Kind {
    percpu: bool,
    highpri: bool,
    freezable: bool,
}

/// Every queue of a System that saves no power, with its name and kind.
fn all(system: &System) -> Vec<(&'static str, Kind, Queue)> {
    let kind = |percpu, highpri, freezable| Kind {
        percpu,
        highpri,
        freezable,
    };
    vec![
        ("events", kind(true, false, false), system.percpu_queue()),
        (
            "events_highpri",
            kind(true, true, false),
            system.highpri_queue(),
        ),
        ("events_long", kind(true, false, false), system.long_queue()),
        (
            "events_unbound",
            kind(false, false, false),
            system.default_queue(),
        ),
        (
            "events_dfl_long",
            kind(false, false, false),
            system.default_long_queue(),
        ),
        (
            "events_freezable",
            kind(true, false, true),
            system.freezable_queue(),
        ),
        (
            "events_power_efficient",
            kind(true, false, false),
            system.power_efficient_queue(),
        ),
        (
            "events_freezable_pwr_efficient",
            kind(true, false, true),
            system.freezable_power_efficient_queue(),
        ),
    ]
}

/// The name of the thread that runs an item of the queue on CPU `cpu`.
fn thread_of(queue: &Queue, cpu: usize) -> String {
    let name = queue.spawn_on(cpu, async {
        thread::current()
            .name()
            .expect("workers have names")
            .to_owned()
    });
    name.wait().expect("it runs")
}

/// Kinds are told from the names of the threads that run their items: those of per-CPU pools begin
/// with the CPU's number, and end with H where priority is high.
#[test]
fn system_queues_run_items_as_their_kind_does() {
    let system = System::builder().name("own").build().unwrap();
    let cpu = system.topology().allowed().iter().next().expect("a CPU");
    let before = system.stats().queues;
    for (name, kind, queue) in all(&system) {
        assert_eq!((queue.name(), queue.is_percpu()), (name, kind.percpu));
        let thread = thread_of(&queue, cpu);
        let rest = thread.strip_prefix("own/").expect("the System's thread");
        assert_eq!(
            rest.starts_with(&format!("{cpu}:")),
            kind.percpu,
            "{name}: {thread}"
        );
        assert_eq!(rest.starts_with('u'), !kind.percpu, "{name}: {thread}");
        assert_eq!(rest.ends_with('H'), kind.highpri, "{name}: {thread}");
        drop(system.freeze());
        assert_eq!(queue.is_frozen(), kind.freezable, "{name}");
        system.thaw();
        let work = Work::new(|| ());
        assert_eq!(queue.queue(&work), Queued::New);
        work.flush().wait_timeout(FOR_EVER).unwrap();
    }
    // Made when first asked for, and once.
    assert_eq!((before, system.stats().queues), (3, 8));
    assert_eq!(all(&system).len(), 8);
    assert_eq!(system.stats().queues, 8);
    assert_eq!(system.long_queue().stats().accepted, 2);
}

/// On a System that saves power the queues that are per CPU for locality alone are unbound, and no
/// others.
#[test]
fn power_efficient_queues_follow_their_system() {
    let thrifty = System::builder().power_efficient().build().unwrap();
    for (name, kind, queue) in all(&thrifty) {
        let efficient = name.ends_with("efficient");
        assert_eq!(queue.is_percpu(), kind.percpu && !efficient, "{name}");
    }
    drop(thrifty.freeze());
    assert!(thrifty.freezable_power_efficient_queue().is_frozen());
    assert!(!thrifty.power_efficient_queue().is_frozen());
    let plain = System::builder().build().unwrap();
    for (system, is_percpu) in [(&thrifty, false), (&plain, true)] {
        let build = |highpri| {
            let queue = Workqueue::percpu("stats").power_efficient().system(system);
            let queue = if highpri { queue.highpri() } else { queue };
            queue.build().unwrap()
        };
        let (normal, urgent) = (build(false), build(true));
        assert_eq!(
            (normal.is_percpu(), urgent.is_percpu()),
            (is_percpu, is_percpu)
        );
        assert!(thread_of(&urgent, 0).ends_with('H'));
        assert!(!thread_of(&normal, 0).ends_with('H'));
    }
}

/// A queue that is first asked for after the shutdown refuses like the others.
#[test]
fn late_system_queues_are_closed() {
    let system = System::builder().build().unwrap();
    let early = system.long_queue();
    system.shutdown(Duration::ZERO);
    for queue in [early, system.default_long_queue(), system.freezable_queue()] {
        assert!(queue.is_closed(), "{}", queue.name());
        assert!(queue.spawn(async {}).wait().unwrap_err().is_rejected());
    }
}

/// Threads that ask for a queue at the same time get the same one.
#[test]
fn a_system_queue_is_made_once() {
    let system = System::builder().build().unwrap();
    let askers: Vec<_> = (0..8)
        .map(|_| {
            let system = system.clone();
            thread::spawn(move || drop(system.long_queue().spawn(async {})))
        })
        .collect();
    askers.into_iter().for_each(|asker| asker.join().unwrap());
    assert_eq!(system.long_queue().stats().accepted, 8);
    assert_eq!(system.stats().queues, 4);
}
