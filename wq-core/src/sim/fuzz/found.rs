//! Plans that failed once, made short: each was a fault of the engine. Where a fault has a short
//! story it is told as a timeline (`sim/tests/found.rs`); these depend on each turn of the machine.

use std::time::Duration;

use super::plan::{Act, End, How, Kind, Op, Plan, QueuePlan, Shape, Step, Waiting};
use crate::AffinityScope;

/// An unlimited unbound queue.
fn unbound(scope: AffinityScope) -> QueuePlan {
    QueuePlan {
        kind: Kind::Unbound,
        max_active: None,
        max_pending: None,
        highpri: false,
        first_cpus: None,
        freezable: false,
        rescuer: false,
        scope,
        strict: false,
        cpu_intensive: false,
    }
}

/// Queues one item.
fn spawn(queue: usize, how: How, keep: bool, steps: Vec<Step>) -> Act {
    Act::Spawn {
        queue,
        how,
        steps,
        keep,
    }
}

/// A pool at its bound calls a rescuer, which passes on what is not its queue's, while the last
/// worker that was made waits for a CPU: the thread maker and the rescuer must not call each other
/// in a loop in which no time passes.
#[test]
fn the_maker_and_a_rescuer_do_not_call_each_other() {
    let us = Duration::from_micros;
    let op = |(cpu, act)| Op { cpu, act };
    let crowd = Act::Crowd {
        queue: 0,
        count: 8,
        steps: vec![Step::BlockOn(us(10))],
    };
    let request = Act::Request {
        work: 1,
        queue: 1,
        on: None,
    };
    let destroy = Act::Destroy {
        queue: 1,
        wait: Waiting::Here,
    };
    let plan = Plan {
        seed: 1_009_238,
        shape: Shape {
            parts: [1, 1, 2, 1],
            lanes: None,
            max_workers: Some(4),
        },
        queues: [
            QueuePlan {
                first_cpus: Some(2),
                ..unbound(AffinityScope::System)
            },
            unbound(AffinityScope::Default),
            QueuePlan {
                freezable: true,
                rescuer: true,
                ..unbound(AffinityScope::CacheShard)
            },
            QueuePlan {
                kind: Kind::Percpu,
                ..unbound(AffinityScope::Smt)
            },
        ],
        bodies: std::array::from_fn(|_| Vec::new()),
        ops: [
            (0, request),
            (
                1,
                spawn(2, How::Closure, false, vec![Step::Await(1, us(300))]),
            ),
            (0, crowd),
            (0, spawn(2, How::Try, true, Vec::new())),
            (1, destroy),
            (1, spawn(0, How::Future, true, vec![Step::Burn(us(1))])),
            (0, spawn(2, How::On(118), true, Vec::new())),
        ]
        .map(op)
        .to_vec(),
        end: End::Empty,
    };
    if let Err(fault) = super::attempt(&plan).result {
        panic!("{fault}");
    }
}
