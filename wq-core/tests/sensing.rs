//! Who notices can be chosen, and the report says who does.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use wq_core::{Ability, Sensing, System, ThreadStates, blocking};

/// Long enough for anything that happens at all on a crowded machine.
const FOR_EVER: Duration = Duration::from_secs(60);

/// A System with one lane.
fn system(sensing: Sensing) -> System {
    let builder = System::builder().workers(1).sensing(sensing);
    builder.build().expect("a System")
}

/// Queues a task that blocks in a read without saying so, ten times one after another, each with a
/// short task behind it that must run meanwhile.
fn unmarked_blocks_do_not_stall(system: &System) {
    for round in 0..10 {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let (tell, told) = mpsc::channel();
        let behind = system.default_queue();
        let stuck = system.default_queue().spawn_fn(move || {
            drop(behind.spawn_fn(move || tell.send(round).unwrap()));
            ours.read(&mut [0]).unwrap()
        });
        assert_eq!(told.recv_timeout(FOR_EVER), Ok(round));
        assert!(!stuck.is_finished());
        theirs.write_all(b"x").unwrap();
        let ended = stuck.wait_timeout(FOR_EVER).expect("it ends in time");
        assert_eq!(ended.unwrap(), 1);
    }
}

/// Goal: an unmarked block is noticed with all sensors, and without spotters.
#[test]
fn blocks_are_noticed_with_and_without_spotters() {
    for sensing in [Sensing::Auto, Sensing::Monitor] {
        let system = system(sensing);
        unmarked_blocks_do_not_stall(&system);
        let (stats, report) = (system.stats(), system.sensors());
        assert_eq!(report.sensing, sensing);
        if sensing == Sensing::Monitor {
            assert_eq!(report.spotters, Ability::Untried, "{report}");
            assert!(report.spotted.is_empty(), "{report}");
            assert_eq!(stats.handovers_spotter, 0);
        } else if report.spotters.works() {
            assert!(!report.spotted.is_empty(), "{report}");
        }
    }
}

/// Goal: with declared blocks only, nobody looks at threads, and a lane stays with its worker; a
/// declared block hands it over all the same.
#[test]
fn declared_blocks_are_all_that_counts_if_so_chosen() {
    let system = system(Sensing::Declared);
    let queue = system.default_queue();
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    let (tell, told) = mpsc::channel();
    let (second, behind) = (tell.clone(), queue.clone());
    drop(queue.spawn_fn(move || {
        drop(behind.spawn_fn(move || second.send("behind").unwrap()));
        // Much longer than any sensor takes.
        std::thread::sleep(Duration::from_millis(100));
        tell.send("unmarked").unwrap();
        blocking(|| ours.read(&mut [0]).unwrap());
        tell.send("marked").unwrap();
    }));
    assert_eq!(told.recv_timeout(FOR_EVER), Ok("unmarked"));
    assert_eq!(told.recv_timeout(FOR_EVER), Ok("behind"));
    theirs.write_all(b"x").unwrap();
    assert_eq!(told.recv_timeout(FOR_EVER), Ok("marked"));
    queue_is_empty(&system);
    let stats = system.stats();
    let noticed = stats.handovers_spotter
        + stats.handovers_monitor
        + stats.handovers_sibling
        + stats.cpu_intensive
        + stats.fruitless_looks;
    assert_eq!((stats.handovers_marked, noticed), (1, 0), "{stats:?}");
    assert!(system.sensors().spotted.is_empty());
}

/// Waits until nothing of the default queue is in flight.
fn queue_is_empty(system: &System) {
    let begun = Instant::now();
    while system.default_queue().stats().in_flight > 0 {
        let stats = system.default_queue().stats();
        assert!(begun.elapsed() < FOR_EVER, "{stats:?}");
        std::thread::yield_now();
    }
}

/// Goal: the report tells what there is, in a few lines.
#[test]
fn the_report_is_short() {
    let system = System::builder().build().expect("a System");
    system.run(async {});
    let report = system.sensors();
    assert_eq!(&report.cpus, system.topology().allowed());
    assert!((1..=report.cpus.count()).contains(&report.lanes));
    let text = report.to_string();
    assert_eq!(text.lines().count(), 4, "{text}");
    if report.thread_states == ThreadStates::Unseen {
        assert!(report.spotted.is_empty(), "{text}");
    }
}
