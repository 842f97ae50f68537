//! hyper's time limits, on the timers of wq.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::time;

/// Waits for hyper: header time limits, keep-alive pings, idle connections of clients.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// use hyper::server::conn::http1;
/// use wq::hyper::Timer;
///
/// let mut http = http1::Builder::new();
/// http.timer(Timer).header_read_timeout(Duration::from_secs(10));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Timer;

impl hyper::rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(time::sleep(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep(time::sleep_until(deadline)))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, new_deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            Some(sleep) => Pin::new(&mut sleep.get_mut().0).reset(new_deadline),
            None => *sleep = self.sleep_until(new_deadline),
        }
    }
}

/// What hyper awaits.
struct Sleep(time::Sleep);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl hyper::rt::Sleep for Sleep {}

#[cfg(test)]
mod tests {
    use hyper::rt::Timer as _;

    use super::*;

    /// A wait of somebody else's that never ends.
    struct Foreign;
    impl Future for Foreign {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }
    impl hyper::rt::Sleep for Foreign {}

    /// A wait lasts as long as asked.
    #[test]
    fn waits_have_the_deadline_that_was_asked_for() {
        let deadline = |mut wait: Pin<Box<dyn hyper::rt::Sleep>>| {
            let wait = wait.as_mut().downcast_mut_pin::<Sleep>();
            wait.expect("it is ours").0.deadline()
        };
        let hour = Duration::from_secs(3600);
        let before = Instant::now();
        let asked = deadline(Timer.sleep(hour));
        assert!((before + hour..=Instant::now() + hour).contains(&asked));
        assert_eq!(deadline(Timer.sleep_until(before + hour)), before + hour);
    }

    /// Goal: a moved wait ends at its new deadline, whoever made it. Method: waits of an hour, and
    /// one that never ends, are moved to a moment that has passed.
    #[test]
    fn waits_are_moved() {
        let hour = Duration::from_secs(3600);
        let waits = [Timer.sleep(hour), Timer.sleep_until(Instant::now() + hour)];
        let foreign: Pin<Box<dyn hyper::rt::Sleep>> = Box::pin(Foreign);
        for mut wait in waits.into_iter().chain([foreign]) {
            Timer.reset(&mut wait, Instant::now());
            wq_core::System::builder()
                .build()
                .expect("a System")
                .block_on(wait);
        }
    }
}
