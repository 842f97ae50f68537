//! What the threads do with tasks.

use std::sync::Arc;

use wq_core::{JoinHandle, Queue};

use crate::FOR_EVER;
use crate::deeds::Hand;
use crate::world::{FREE, LIMITED, Life, ORDERED, SMALL, Tasks, body, lock};

/// Handles that a thread keeps at most.
const KEPT: usize = 32;

/// A task, whose handle may be kept.
pub(crate) fn spawn(hand: &Hand<'_>) {
    let world = hand.world;
    let queue = Queue::clone(&world.queues[hand.place()]);
    let life = Life::new(&world.tasks);
    let child_on = (hand.below(2) == 0).then(|| Queue::clone(&world.queues[FREE]));
    let future = body(life, hand.dice(), child_on);
    let handle = Tasks::queueing(|| match hand.below(5) {
        0 => Some(queue.spawn_on(hand.cpu(), future)),
        1 => Some(queue.spawn_on_node(hand.cpu(), future)),
        // The future that comes back with an error is dropped here.
        2 => queue.try_spawn(future).ok(),
        _ => Some(queue.spawn(future)),
    });
    keep(hand, handle);
}

/// Keeps a handle, or does not.
pub(crate) fn keep(hand: &Hand<'_>, handle: Option<JoinHandle<()>>) {
    let mut kept = hand.kept.borrow_mut();
    if let Some(handle) = handle {
        if hand.below(2) == 0 && kept.len() < KEPT {
            kept.push(handle);
        }
    }
}

/// The next task of the ordered queue.
pub(crate) fn spawn_in_order(hand: &Hand<'_>) {
    let tasks = &hand.world.tasks;
    let life = Life::new(tasks);
    let time = hand.time(30);
    let body = async move {
        crate::item::burn(time);
        crate::world::yield_once().await;
        life.returns();
    };
    let mut next = lock(&tasks.next);
    let numbered = Arc::clone(tasks).in_order(*next, body);
    *next += 1;
    drop(hand.world.queues[ORDERED].spawn(numbered));
}

/// Many at once.
pub(crate) fn crowd(hand: &Hand<'_>) {
    let queue = &hand.world.queues[hand.place()];
    for _ in 0..32 {
        let life = Life::new(&hand.world.tasks);
        Tasks::queueing(|| drop(queue.spawn_fn(move || life.returns())));
    }
}

/// A kept handle.
pub(crate) fn one_kept(hand: &Hand<'_>) -> Option<JoinHandle<()>> {
    let mut kept = hand.kept.borrow_mut();
    let at = hand.below(kept.len().max(1) as u64) as usize;
    (!kept.is_empty()).then(|| kept.swap_remove(at))
}

/// Aborts a task; it may be over.
pub(crate) fn abort(hand: &Hand<'_>) {
    if let Some(handle) = one_kept(hand) {
        handle.abort();
        keep(hand, Some(handle));
    }
}

/// Waits for a task.
pub(crate) fn join(hand: &Hand<'_>) {
    if let Some(handle) = one_kept(hand) {
        let waited = handle.wait_timeout(FOR_EVER);
        drop(hand.ends("a join", waited));
    }
}

/// Asks for a place, and uses it or does not.
pub(crate) fn reserve(hand: &Hand<'_>) {
    let queue = &hand.world.queues[[SMALL, LIMITED][hand.below(2) as usize]];
    let mut reserve = queue.reserve();
    let Ok(permit) = reserve.wait_timeout(hand.time(300)) else {
        return;
    };
    if hand.below(4) != 0 {
        let future = body(Life::new(&hand.world.tasks), hand.dice(), None);
        let handle = Tasks::queueing(|| permit.spawn(future));
        keep(hand, Some(handle));
    }
}

/// A closure for a BH thread.
pub(crate) fn bh(hand: &Hand<'_>) {
    let life = Life::new(&hand.world.tasks);
    let time = hand.time(20);
    let item = move || {
        crate::item::burn(time);
        life.returns();
    };
    let handle = Tasks::queueing(|| hand.world.bh.spawn_fn_on(hand.cpu(), item));
    keep(hand, Some(handle));
}
