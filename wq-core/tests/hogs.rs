//! Items that burn CPU while others wait behind them.

use std::future::poll_fn;
use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use wq_core::System;

/// Goal: an item that was found burning frees its lane from the beginning of its next poll.
/// Method: one lane; in each of its polls the burner spins until a short item has run, which takes
/// another worker. The first time somebody has to notice; later the lane is declared free.
#[test]
fn known_burners_free_their_lane_at_once() {
    const POLLS: usize = 5;
    let system = System::builder().workers(1).build().unwrap();
    let queue = system.default_queue().clone();
    let shorts = Arc::new(AtomicUsize::new(0));
    let burner = {
        let (shorts, queue) = (Arc::clone(&shorts), queue.clone());
        let mut polls = 0;
        poll_fn(move |cx| {
            polls += 1;
            let short = Arc::clone(&shorts);
            // Relaxed, here and below: a count, waited for.
            drop(queue.spawn_fn(move || short.fetch_add(1, Ordering::Relaxed)));
            while shorts.load(Ordering::Relaxed) < polls {
                hint::spin_loop();
            }
            if polls == POLLS {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    };
    queue.spawn(burner).wait().unwrap();
    let stats = system.stats();
    assert_eq!(shorts.load(Ordering::Relaxed), POLLS);
    assert!(stats.handovers_marked >= POLLS as u64 - 2, "{stats:?}");
    assert!(stats.cpu_intensive <= 2, "{stats:?}");
}
