//! Who gives a request back gives back that one: between the steps of one thread, another may have
//! cancelled it and armed the item anew. The other's steps are played at exactly that place.

use std::time::Duration;

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

/// Has a request granted.
fn granted(item: &DelayedWork) -> Request {
    match item.0.work.state().request() {
        Requested::Granted(request) => request,
        other => panic!("{other:?} by an idle item"),
    }
}

/// The request for which the item is armed for this queue, and listed there.
fn armed_for(item: &DelayedWork, queue: &Queue) -> Option<Request> {
    let timer = item.0.timer();
    let armed = timer.as_ref()?;
    let listed = list(queue).get(&item.0.id).map(|(request, _)| *request);
    (listed == Some(armed.request)).then_some(armed.request)
}

/// Goal: who finds its queue closed leaves a later request alone. Method: between the grant and the
/// look at the queue, somebody cancels and arms the item for another queue.
#[test]
fn a_closed_queue_takes_back_its_own_request() {
    let system = system();
    let (closed, open) = (queue_on(&system), queue_on(&system));
    closed.0.queue.get().set_flags(crate::queue::CLOSED);
    let item = DelayedWork::new(|| ());
    let first = granted(&item);
    assert!(item.cancel());
    assert_eq!(open.queue_after(&item, HOUR), Queued::New);
    let answer = item.0.arm(&closed, None, HOUR, first);
    assert_eq!(answer, Queued::Closed);
    assert!(item.is_pending(), "the later request was withdrawn");
    assert!(armed_for(&item, &open).is_some());
    assert!(item.cancel());
}

/// Goal: the same for who has armed already and finds that the queue was closed meanwhile. Method:
/// what it does then, after somebody has set the delay anew on another queue.
#[test]
fn disarming_leaves_a_later_request() {
    let system = system();
    let (one, other) = (queue_on(&system), queue_on(&system));
    let item = DelayedWork::new(|| ());
    assert_eq!(one.queue_after(&item, HOUR), Queued::New);
    let first = armed_for(&item, &one).expect("it is armed");
    assert_eq!(other.modify_after(&item, HOUR), Modified::Rearmed);
    assert!(!item.0.disarm(first));
    let second = armed_for(&item, &other).expect("it is armed");
    assert!(first != second && item.is_pending());
    assert!(item.0.disarm(second));
    assert!(!item.is_pending() && !item.0.is_armed());
    assert!(list(&other).is_empty());
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
