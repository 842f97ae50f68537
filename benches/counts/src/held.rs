//! Tasks that are suspended until somebody calls the wakers they left.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use crate::ground::Ground;
use crate::tally::Tally;

/// The wakers of suspended tasks.
#[derive(Default)]
pub(crate) struct Held(Mutex<Vec<Waker>>);

impl Held {
    /// As many tasks, all of them suspended.
    pub(crate) fn tasks(
        ground: &Ground,
        tasks: usize,
        last: fn(),
    ) -> (&'static Self, &'static Tally) {
        let held: &'static Self = Box::leak(Box::default());
        let tally = Tally::of(tasks, last);
        let suspended = Tally::of(tasks, || ());
        for _ in 0..tasks {
            let task = ground.system.spawn(async move {
                Once {
                    held,
                    suspended: Some(suspended),
                }
                .await;
                tally.one();
            });
            drop(task);
        }
        suspended.wait();
        // The last one has said so inside of its poll: behind an item that follows it has returned.
        ground.system.run(async {});
        (held, tally)
    }

    /// The wakers.
    pub(crate) fn take(&self) -> Vec<Waker> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics under it"))
    }
}

/// Suspends once.
struct Once {
    /// Where the waker goes.
    held: &'static Held,
    /// Told of the first poll; nothing after it.
    suspended: Option<&'static Tally>,
}

impl Future for Once {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(suspended) = self.suspended.take() else {
            return Poll::Ready(());
        };
        let wakers = &self.held.0;
        let waker = context.waker().clone();
        wakers.lock().expect("nobody panics under it").push(waker);
        suspended.one();
        Poll::Pending
    }
}
