//! The thread that ends waits when their time has come.
//!
//! Who is about to block leaves a word that says when it is to be let through, which wakes nobody.
//! The feeder needs no wake: all waits are equally long, so none that it has not heard of ends
//! within that time.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

/// What a feeder does for its kind of block; lives on the feeder's thread.
pub(super) trait Feed {
    /// A thread is about to block in `place`, or has begun to.
    fn heard_of(&mut self, _place: usize) {}

    /// Ends the wait in `place`.
    fn let_through(&mut self, place: usize);
}

/// One announced wait.
struct Wait {
    /// Where.
    place: usize,
    /// When it is to end.
    due: Instant,
}

/// What those who block hold; the feeder ends when it is dropped.
pub(super) struct Feeder {
    /// Announcements, in about the order of their ends.
    waits: Sender<Wait>,
    /// How long waits are.
    time: Duration,
}

impl Feeder {
    /// Starts a feeder; returns once `make` has run on its thread.
    pub(super) fn start<F: Feed>(
        time: Duration,
        make: impl FnOnce() -> F + Send + 'static,
    ) -> Self {
        let (waits, announced) = mpsc::channel();
        let (ready, is_ready) = mpsc::channel();
        thread::spawn(move || {
            let feed = make();
            // The starter waits for this word.
            let _ = ready.send(());
            serve(time, &announced, feed);
        });
        is_ready.recv().expect("the feeder starts");
        Self { waits, time }
    }

    /// Announces a wait that begins now; the caller blocks next.
    pub(super) fn announce(&self, place: usize) {
        let due = Instant::now() + self.time;
        let heard = self.waits.send(Wait { place, due });
        heard.expect("the feeder lives while somebody may ask");
    }
}

/// The feeder's life.
fn serve(time: Duration, announced: &Receiver<Wait>, mut feed: impl Feed) {
    let mut waits: VecDeque<Wait> = VecDeque::new();
    loop {
        loop {
            match announced.try_recv() {
                Ok(wait) => {
                    feed.heard_of(wait.place);
                    waits.push_back(wait);
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        let now = Instant::now();
        while waits.front().is_some_and(|wait| wait.due <= now) {
            let wait = waits.pop_front().expect("it was just looked at");
            feed.let_through(wait.place);
        }
        // Whoever announces itself from now on is not due before `now + time`.
        let next = waits.front().map_or(now + time, |wait| wait.due);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}
