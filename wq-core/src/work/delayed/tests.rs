//! Who gives a request back gives back that one: between the steps of one thread, another may have
//! cancelled it and armed the item anew. The other's steps are played at exactly that place.

use std::thread;
use std::time::Duration;

use super::super::tests::until;
use super::*;
use crate::{System, Workqueue};

/// A delay that does not end in a test.
const HOUR: Duration = Duration::from_secs(3600);

/// A System of one lane.
fn system() -> System {
    System::builder().workers(1).build().expect("a System")
}

/// A queue on it.
fn queue_on(system: &System) -> Workqueue {
    let built = Workqueue::unbound("delays").system(system).build();
    built.expect("a good queue")
}

/// The request for which the item is armed for this queue, and listed there.
fn armed_for(item: &DelayedWork, queue: &Queue) -> Option<Request> {
    let timer = item.0.timer();
    let armed = timer.armed.as_ref()?;
    let listed = list(queue).get(&item.0.id).map(|(request, _)| *request);
    (listed == Some(armed.request)).then_some(armed.request)
}

/// Goal: who destroys a queue takes back the requests for it, and leaves a later one alone. Method:
/// the list is taken as by a destroy, and before the item is cancelled somebody sets its delay anew
/// on another queue.
#[test]
fn a_destroy_leaves_a_later_request() {
    let system = system();
    let (one, other) = (queue_on(&system), queue_on(&system));
    let item = DelayedWork::new(|| ());
    assert_eq!(one.queue_after(&item, HOUR), Queued::New);
    let first = armed_for(&item, &one).expect("it is armed");
    list(&one).clear();
    assert_eq!(other.modify_after(&item, HOUR), Modified::Rearmed);
    assert!(!item.0.cancel_listed(first));
    let second = armed_for(&item, &other).expect("it is armed");
    assert!(first != second && item.is_pending());
    list(&other).clear();
    assert!(item.0.cancel_listed(second));
    assert!(!item.is_pending() && !item.0.is_armed());
    assert!(system.inner.timers.is_empty());
}

/// The item's delay ends while somebody cancels it and queues the item elsewhere, where nothing
/// starts: what is queued there must stay.
fn end_in_vain(item: &DelayedWork) {
    let elsewhere = system();
    let frozen = Workqueue::unbound("frozen").system(&elsewhere).freezable();
    let frozen = frozen.build().expect("a good queue");
    drop(frozen.freeze().expect("it is freezable"));
    item.0.expire(|_| {
        assert!(item.work().cancel());
        assert_eq!(frozen.queue(&item.work()), Queued::New);
        true
    });
    assert!(item.is_pending(), "the later request was withdrawn");
    let flush = item.flush();
    assert_eq!(frozen.thaw(), Some(true));
    assert!(flush.wait().expect("this is not inside of it"));
}

/// Goal: a delay that ends while its queue drains ends its own request. Method: a drain is under
/// way, and the item is queued elsewhere while the delay ends.
#[test]
fn a_draining_queue_takes_back_its_own_request() {
    let system = system();
    let queue = queue_on(&system);
    let item = DelayedWork::new(|| ());
    assert_eq!(queue.queue_after(&item, HOUR), Queued::New);
    let held = queue.spawn(std::future::pending::<()>());
    let drain = queue.drain();
    end_in_vain(&item);
    held.abort();
    drain.wait().expect("all that was in flight has ended");
    assert_eq!(queue.stats().cancelled, 2, "the one held, and the delay");
}

/// Goal: the same for a delay that ends when its System's timers have stopped. Method: as above.
#[test]
fn stopped_timers_take_back_their_own_request() {
    let system = system();
    let queue = queue_on(&system);
    let item = DelayedWork::new(|| ());
    assert_eq!(queue.queue_after(&item, HOUR), Queued::New);
    assert_eq!(system.inner.timers.stop().len(), 1);
    end_in_vain(&item);
    assert_eq!(queue.stats().accepted, 0);
}

/// Goal: a queue that is closed while an item is being armed for it has granted nothing, so that
/// nobody relied on a request that it then refuses. Method: it is closed between the place among
/// the timers and the request.
#[test]
fn a_queue_that_is_closed_meanwhile_grants_nothing() {
    let system = system();
    let queue = queue_on(&system);
    let item = DelayedWork::new(|| ());
    thread::scope(|threads| {
        let held = list(&queue);
        let arming = threads.spawn(|| queue.queue_after(&item, HOUR));
        until("it has its place", || system.inner.timers.len() == 1);
        queue.0.queue.get().set_flags(crate::queue::CLOSED);
        let is_pending = item.is_pending();
        drop(held);
        assert_eq!(arming.join().expect("no panic"), Queued::Closed);
        assert!(!is_pending, "it was granted before it was refused");
    });
    assert!(system.inner.timers.is_empty() && list(&queue).is_empty());
    assert!(!item.0.is_armed());
}

/// Goal: the same where there is no place among the timers. Method: they are stopped, and a request
/// that was granted and taken back would have a number.
#[test]
fn without_a_place_nothing_is_granted() {
    let system = system();
    let queue = queue_on(&system);
    let item = DelayedWork::new(|| ());
    let before = item.0.work.state().latest();
    drop(system.inner.timers.stop());
    assert_eq!(queue.queue_after(&item, HOUR), Queued::Closed);
    assert_eq!(item.0.work.state().latest(), before);
    assert!(!item.is_pending() && !item.0.is_armed() && list(&queue).is_empty());
}

/// Goal: a timer whose request was taken back by the item without it makes room for the next one.
/// Method: the item is armed anew, for the same queue and for another one.
#[test]
fn a_timer_without_a_request_makes_room() {
    let system = system();
    let (one, other) = (queue_on(&system), queue_on(&system));
    let item = DelayedWork::new(|| ());
    for queue in [&one, &one, &other] {
        assert_eq!(queue.queue_after(&item, HOUR), Queued::New);
        assert!(armed_for(&item, queue).is_some());
        assert_eq!(system.inner.timers.len(), 1);
        assert!(item.work().cancel());
    }
    assert!(list(&one).is_empty());
}
