//! The promise, in the form that holds whatever is missing: nobody waits for ever, all ends.

use std::hint::spin_loop;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use wq_core::{Queue, System, Workqueue};

/// Long enough for anything that happens at all on a crowded machine.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(60);

/// Blocks more tasks than the queue has lanes, without a mark, with short tasks behind them that
/// must all run meanwhile; then all end.
pub(crate) fn blocked_tasks_do_not_stall(queue: &Queue) {
    let mut wires = Vec::new();
    let stuck: Vec<_> = (0..6)
        .map(|_| {
            let (mut ours, theirs) = UnixStream::pair().expect("a pair of sockets");
            wires.push(theirs);
            queue.spawn_fn(move || ours.read(&mut [0]).expect("a byte"))
        })
        .collect();
    let (tell, told) = mpsc::channel();
    for n in 0..20 {
        let tell = tell.clone();
        drop(queue.spawn(async move { tell.send(n).expect("somebody listens") }));
    }
    let ran: Result<Vec<i32>, _> = (0..20).map(|_| told.recv_timeout(FOR_EVER)).collect();
    let mut ran = ran.expect("short tasks run although others block");
    ran.sort_unstable();
    assert_eq!(ran, (0..20).collect::<Vec<_>>());
    assert!(stuck.iter().all(|task| !task.is_finished()));
    for wire in &mut wires {
        wire.write_all(b"x").expect("somebody reads");
    }
    for task in stuck {
        let ended = task.wait_timeout(FOR_EVER).expect("a released task ends");
        assert_eq!(ended.expect("it was not cancelled"), 1);
    }
}

/// Burns on every lane until short tasks behind have run.
pub(crate) fn burners_do_not_stall(queue: &Queue, burners: usize) {
    let enough = Arc::new(AtomicBool::new(false));
    let burning: Vec<_> = (0..burners)
        .map(|_| {
            let enough = Arc::clone(&enough);
            queue.spawn_fn(move || {
                // Relaxed: a flag and nothing more.
                while !enough.load(Ordering::Relaxed) {
                    spin_loop();
                }
            })
        })
        .collect();
    let (tell, told) = mpsc::channel();
    for _ in 0..10 {
        let tell = tell.clone();
        drop(queue.spawn(async move { tell.send(()).expect("somebody listens") }));
    }
    for _ in 0..10 {
        told.recv_timeout(FOR_EVER)
            .expect("short tasks run although others burn");
    }
    enough.store(true, Ordering::Relaxed);
    for task in burning {
        task.wait_timeout(FOR_EVER)
            .expect("a burner ends")
            .expect("it was not cancelled");
    }
}

/// The promise on queues of every kind; afterwards the System ends in good order.
pub(crate) fn is_kept(system: System) {
    let unbound = Workqueue::unbound("u").system(&system).build().expect("u");
    let percpu = Workqueue::percpu("p").system(&system).build().expect("p");
    let highpri = Workqueue::percpu("h").highpri().system(&system).build();
    let highpri = highpri.expect("h");
    let queues: [&Queue; 3] = [&unbound, &percpu, &highpri];
    for queue in queues {
        blocked_tasks_do_not_stall(queue);
    }
    burners_do_not_stall(&unbound, system.sensors().lanes + 1);
    let report = system.shutdown(FOR_EVER);
    assert_eq!((report.dropped, report.detached), (0, 0), "{report:?}");
}
