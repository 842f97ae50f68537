//! A future that has a tokio context wherever it is polled.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::{pin_project, pinned_drop};

use super::Driver;

/// The future that [`Driver::compat`] returns.
#[pin_project(PinnedDrop)]
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Compat<F> {
    /// The user's future; `None` only while this is dropped.
    #[pin]
    future: Option<F>,
    /// Whose context it gets; keeps that running.
    driver: Driver,
}

impl<F> Compat<F> {
    /// For [`Driver::compat`].
    pub(super) fn new(future: F, driver: Driver) -> Compat<F> {
        Compat {
            future: Some(future),
            driver,
        }
    }
}

impl<F: Future> Future for Compat<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = this.driver.enter();
        match this.future.as_pin_mut() {
            Some(future) => future.poll(cx),
            None => unreachable!("the future goes with its wrapper"),
        }
    }
}

#[pinned_drop]
impl<F> PinnedDrop for Compat<F> {
    fn drop(self: Pin<&mut Self>) {
        let mut this = self.project();
        // Destructors of libraries spawn their farewells.
        let _entered = this.driver.enter();
        this.future.set(None);
    }
}
