//! The process's pin stripes: see `proto::pin`.

use crate::sync::plain::{AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

use crate::proto::pin::{Pin, PinStripe};

/// Stripes, so that foreign wakers on different CPUs rarely write the same line.
const STRIPES: usize = 16;

/// The stripes.
static PINS: [CachePadded<PinStripe>; STRIPES] =
    [const { CachePadded::new(PinStripe::new()) }; STRIPES];

/// Those who abort an item and follow its pointer to the queue.
static LOOKERS: CachePadded<PinStripe> = CachePadded::new(PinStripe::new());

/// Spreads threads over the stripes.
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// This thread's stripe.
    static STRIPE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
}

/// Pins all Systems until the guard drops; for a few instructions only.
pub(crate) fn pin() -> Pin<'static> {
    // A thread whose thread-locals are gone takes the first stripe.
    PINS[STRIPE.try_with(|stripe| *stripe).unwrap_or(0)].pin()
}

/// Keeps every queue that has waiting items until the guard drops; for a few instructions only.
pub(crate) fn pin_to_look() -> Pin<'static> {
    LOOKERS.pin_to_look()
}

/// In a forked child: those who pinned are not there.
pub(crate) fn forget() {
    PINS.iter().for_each(|stripe| stripe.forget());
    LOOKERS.forget();
}

/// Waits until nobody looks at queues whose items have ended.
pub(crate) fn wait_for_lookers() {
    while !LOOKERS.no_lookers() {
        crate::os::sched_yield();
    }
}

/// Waits until all pins taken before the call are gone.
pub(crate) fn wait_for_all() {
    for stripe in &PINS {
        while !stripe.quiescent() {
            crate::os::sched_yield();
        }
    }
}
