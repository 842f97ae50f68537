//! What the items of a plan do, and how they tell the model.

use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::counts::Transition;
use super::event::{Await, YieldNow};
use super::ledger::{ItemId, Leave, Ledger};
use super::plan::Step;
use super::world::World;
use crate::sim::{burn, delay, sleep};

/// A future that tells the model of each poll, and of its end.
pub(super) struct Told<F> {
    memory: Memory,
    future: Pin<Box<F>>,
}

/// Tells the model when it goes.
pub(super) struct Memory {
    ledger: Ledger,
    id: ItemId,
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.ledger.dropped(self.id);
    }
}

/// The item's code runs, until this goes.
struct Inside<'a> {
    ledger: &'a Ledger,
    id: ItemId,
    how: Leave,
}

impl<'a> Inside<'a> {
    /// It begins, or goes on.
    fn enter(ledger: &'a Ledger, id: ItemId) -> Inside<'a> {
        ledger.enter(id);
        Inside {
            ledger,
            id,
            how: Leave::Panicked,
        }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.ledger.leave(self.id, self.how);
    }
}

impl<F: Future<Output = ()>> Future for Told<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Told { memory, future } = &mut *self;
        let mut inside = Inside::enter(&memory.ledger, memory.id);
        let polled = future.as_mut().poll(cx);
        inside.how = if polled.is_ready() {
            Leave::Returned
        } else {
            Leave::Suspended
        };
        polled
    }
}

/// An item's future.
pub(super) fn future(
    world: &Arc<World>,
    id: ItemId,
    slot: usize,
    steps: Vec<Step>,
) -> Told<impl Future<Output = ()> + Send + use<>> {
    let memory = Memory {
        ledger: world.ledger.clone(),
        id,
    };
    let world = Arc::clone(world);
    let future = Box::pin(async move {
        for step in &steps {
            match step {
                Step::Delay(time) => delay(*time).await,
                Step::Yield => YieldNow(false).await,
                Step::Await(event, time) => {
                    if Await::new(&world.events[*event], *time).await {
                        world.ledger.count(Transition::WokenByEvent);
                    }
                }
                other => act(&world, id, slot, other),
            }
        }
    });
    Told { memory, future }
}

/// An item's closure.
pub(super) fn closure(
    world: &Arc<World>,
    id: ItemId,
    slot: usize,
    steps: Vec<Step>,
) -> impl FnOnce() + Send + 'static {
    let memory = Memory {
        ledger: world.ledger.clone(),
        id,
    };
    let world = Arc::clone(world);
    move || {
        let memory = memory;
        let mut inside = Inside::enter(&memory.ledger, id);
        run(&world, id, slot, &steps);
        inside.how = Leave::Returned;
    }
}

/// All steps, by a function.
pub(super) fn run(world: &Arc<World>, id: ItemId, slot: usize, steps: &[Step]) {
    for step in steps {
        act(world, id, slot, step);
    }
}

/// A step of a function, or one of a future that does not suspend. `slot` is the place of the
/// item's queue.
fn act(world: &Arc<World>, id: ItemId, slot: usize, step: &Step) {
    let ledger = &world.ledger;
    match step {
        Step::Burn(time) => burn(*time),
        Step::Block(time) | Step::Delay(time) | Step::Await(_, time) => {
            ledger.blocks(id);
            sleep(*time);
        }
        Step::Marked(time) => {
            ledger.blocks(id);
            crate::blocking(|| sleep(*time));
        }
        Step::BlockOn(time) => {
            ledger.blocks(id);
            crate::block::block_on(delay(*time));
        }
        Step::Yield => {}
        Step::Signal(event) => {
            world.events[*event].signal();
        }
        Step::Spawn(queue, how, steps) => {
            world.spawn(*queue, *how, steps, false);
        }
        Step::Request(item, queue) if world.has_fuel() => world.request(*item, *queue, None),
        Step::Arm(item, queue, delay) if world.has_fuel() => world.arm(*item, *queue, *delay),
        Step::Request(..) | Step::Arm(..) => {}
        Step::WaitForItself => world.wait_for_itself(slot),
        Step::FlushLower(queue) if *queue < slot => {
            ledger.blocks(id);
            world.flush_from_inside(*queue);
        }
        Step::FlushLower(_) => {}
        Step::Panic => resume_unwind(Box::new("planned")),
    }
}
