//! Seeing to it that tokio's events are waited for while one of its threads is inside a task.
//!
//! Of the threads of a tokio runtime one at a time waits for events (it "has the driver"), the
//! others sleep until there are tasks for them. When the one that waited finds an event it runs the
//! task; if that task blocks or burns CPU, nobody waits for events until it is over, while the
//! others sleep on. So a thread looks, once in a millisecond while any of tokio's is awake, whether
//! one has been at it all the time with nobody moving, and wakes a sleeping one, which finds
//! nothing to run and waits for events in its place. That is wq's own way with its pollers; tokio
//! has it as an unstable option.
//!
//! A lock and not atomics: it is taken when a thread goes to sleep or wakes up, beside a system
//! call, and holds for a few instructions.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often the watcher looks: how late events may be seen when a task of tokio's blocks.
const ROUND: Duration = Duration::from_millis(1);

/// After so many rounds in which all slept, the watcher sleeps until one wakes up.
const QUIET_ROUNDS: u32 = 16;

/// What is known of tokio's threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Threads {
    /// How many there are.
    all: usize,
    /// How many of them sleep, the one that waits for events included.
    asleep: usize,
    /// How often one has gone to sleep or woken up.
    moves: u64,
}

/// What the watcher does after a look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// Nobody is awake.
    Quiet,
    /// They come and go, or nobody is left to be woken.
    Busy,
    /// One is awake, and nobody has moved since the last look: wake another one.
    StandsStill,
}

/// Judges a look, given how often somebody had moved by the last one.
fn judge(now: Threads, moves_before: u64) -> Verdict {
    if now.asleep == now.all {
        Verdict::Quiet
    } else if now.asleep > 0 && now.moves == moves_before {
        Verdict::StandsStill
    } else {
        Verdict::Busy
    }
}

/// What the watcher and tokio's threads share.
#[derive(Debug)]
struct State {
    threads: Threads,
    /// The watcher sleeps until somebody wakes up.
    dozes: bool,
    /// The watcher is to leave.
    over: bool,
}

/// The watcher's side and that of the watched.
#[derive(Debug)]
pub(super) struct Watch {
    state: Mutex<State>,
    /// Where the watcher sleeps.
    news: Condvar,
}

impl Watch {
    /// For so many threads, all awake at first.
    pub(super) fn new(threads: usize) -> Watch {
        Watch {
            state: Mutex::new(State {
                threads: Threads {
                    all: threads,
                    asleep: 0,
                    moves: 0,
                },
                dozes: false,
                over: false,
            }),
            news: Condvar::new(),
        }
    }

    /// One of tokio's threads is about to sleep.
    pub(super) fn note_sleep(&self) {
        let mut state = self.lock();
        state.threads.asleep += 1;
        state.threads.moves += 1;
    }

    /// One of tokio's threads is up again.
    pub(super) fn note_waking(&self) {
        let mut state = self.lock();
        state.threads.asleep = state.threads.asleep.saturating_sub(1);
        state.threads.moves += 1;
        if state.dozes {
            state.dozes = false;
            self.news.notify_one();
        }
    }

    /// Has the watcher leave.
    pub(super) fn end(&self) {
        self.lock().over = true;
        self.news.notify_one();
    }

    /// The watcher's work, until [`Watch::end`]. `wake_one` wakes a sleeping thread of tokio's.
    pub(super) fn run(&self, wake_one: impl Fn()) {
        let (mut quiet, mut moves) = (0, 0);
        while let Some(seen) = self.next_look(quiet >= QUIET_ROUNDS) {
            match judge(seen, moves) {
                Verdict::Quiet => quiet += 1,
                Verdict::Busy => quiet = 0,
                Verdict::StandsStill => {
                    quiet = 0;
                    wake_one();
                }
            }
            moves = seen.moves;
        }
    }

    /// Waits for the next round, or first for somebody to wake up; `None`: it is over.
    fn next_look(&self, doze: bool) -> Option<Threads> {
        let mut state = self.lock();
        // Somebody may have woken up since the look that said that all slept.
        state.dozes = doze && state.threads.asleep == state.threads.all;
        let waiting = |state: &mut State| state.dozes && !state.over;
        let state = self.news.wait_while(state, waiting);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        let unless_over = |state: &mut State| !state.over;
        let round = self.news.wait_timeout_while(state, ROUND, unless_over);
        let (state, _) = round.unwrap_or_else(PoisonError::into_inner);
        (!state.over).then_some(state.threads)
    }

    /// The state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    /// Goal: somebody is woken if and only if one is awake, another sleeps, and none has moved.
    #[test]
    fn only_a_standstill_calls_for_a_waking() {
        let seen = |asleep, moves| Threads {
            all: 4,
            asleep,
            moves,
        };
        assert_eq!(judge(seen(4, 7), 7), Verdict::Quiet);
        assert_eq!(judge(seen(4, 8), 7), Verdict::Quiet);
        assert_eq!(judge(seen(3, 8), 7), Verdict::Busy);
        assert_eq!(judge(seen(3, 7), 7), Verdict::StandsStill);
        assert_eq!(judge(seen(0, 7), 7), Verdict::Busy);
    }

    /// Goal: a watcher that dozes wakes one up soon after a thread stands still. Method: all sleep
    /// until the watcher dozes; then one wakes up and does not move again.
    #[test]
    fn a_dozing_watcher_is_woken() {
        let watch = Arc::new(Watch::new(2));
        watch.note_sleep();
        watch.note_sleep();
        let (woken, wakings) = channel();
        let watcher = {
            let watch = Arc::clone(&watch);
            thread::spawn(move || watch.run(|| woken.send(()).expect("the test listens")))
        };
        while !watch.lock().dozes {
            thread::yield_now();
        }
        assert!(wakings.try_recv().is_err(), "nobody was awake");
        watch.note_waking();
        wakings.recv().expect("the watcher acts");
        watch.end();
        watcher.join().expect("the watcher ends");
    }

    /// Goal: the end is seen also by a watcher that dozes.
    #[test]
    fn a_dozing_watcher_ends() {
        let watch = Arc::new(Watch::new(1));
        watch.note_sleep();
        let watcher = {
            let watch = Arc::clone(&watch);
            thread::spawn(move || watch.run(|| panic!("nobody is to be woken")))
        };
        while !watch.lock().dozes {
            thread::yield_now();
        }
        watch.end();
        watcher.join().expect("the watcher ends");
    }
}
