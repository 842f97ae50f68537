//! Models of joining a line without its lock.

use loom::sync::{Mutex, MutexGuard};

use super::inbox::Boxed;
use super::race;
use crate::proto::crowd::{Crowd, Joined};

/// A line with one slot, as `queue/slots.rs` uses the crowd.
struct Line {
    crowd: Crowd,
    state: Mutex<State>,
}

/// What is decided under the lock.
struct State {
    /// An item has the slot.
    is_taken: bool,
    /// Those who wait for it.
    waiting: Vec<(usize, usize)>,
    /// Those who have had it, in order.
    started: Vec<(usize, usize)>,
}

impl Line {
    /// The slot is taken, and nobody waits.
    fn crowded() -> Line {
        let crowd = Crowd::new();
        crowd.gather();
        Line {
            crowd,
            state: Mutex::new(State {
                is_taken: true,
                waiting: Vec::new(),
                started: Vec::new(),
            }),
        }
    }

    /// Locks, and takes over who has arrived.
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().expect("nothing panics under the lock");
        self.take_arrivals(&mut state);
        state
    }

    /// Those who have come without the lock stand in line.
    fn take_arrivals(&self, state: &mut State) {
        if let Some(arrivals) = self.crowd.take::<Boxed>() {
            state.waiting.extend(arrivals.map(Boxed::open));
        }
    }

    /// Gives the slot to the first in line, if it is free. True: somebody got it.
    fn next(&self, state: &mut State) -> bool {
        loop {
            if !state.is_taken && !state.waiting.is_empty() {
                let first = state.waiting.remove(0);
                state.is_taken = true;
                state.started.push(first);
            } else if !state.is_taken {
                if self.crowd.is_over() {
                    return false;
                }
                self.take_arrivals(state);
                continue;
            } else {
                return false;
            }
            self.crowd.gather();
            return true;
        }
    }

    /// The item that has the slot ends, and so does each that gets it from this one.
    fn end(&self) {
        loop {
            let mut state = self.state.lock().expect("nothing panics under the lock");
            assert!(state.is_taken, "one at a time");
            state.is_taken = false;
            if !self.next(&mut state) {
                return;
            }
        }
    }

    /// Somebody looks at the line, as for statistics: arrivals stand in it afterwards.
    fn look(&self) {
        let state = self.lock();
        if state.is_taken {
            self.crowd.gather();
        }
    }

    /// Adds an item; runs it, and those after it, if there is a slot.
    fn add(&self, pusher: usize, nth: usize) {
        let item = Boxed::new(pusher, nth);
        let started = if self.crowd.is_there() {
            match self.crowd.join(item) {
                Joined::InLine => false,
                Joined::MustLook => self.next(&mut self.lock()),
            }
        } else {
            let mut state = self.lock();
            state.waiting.push(item.open());
            self.next(&mut state)
        };
        if started {
            self.end();
        }
    }

    /// All that were added have had the slot, and each pusher's in its order.
    fn assert_all_ran(&self, counts: [usize; 2]) {
        let state = self.lock();
        assert!(!state.is_taken && state.waiting.is_empty(), "one was lost");
        for (pusher, count) in counts.into_iter().enumerate() {
            let its = state.started.iter().filter(|(from, _)| *from == pusher);
            let places: Vec<usize> = its.map(|(_, nth)| *nth).collect();
            assert_eq!(places, (0..count).collect::<Vec<_>>());
        }
    }
}

/// Goal: who joins a crowd that ends meanwhile is started by whoever ends it, or looks itself.
/// Method: one pusher against the end of the item that has the slot.
#[test]
fn loom_crowd_that_ends_leaves_nobody() {
    race::<Line, (), _>(
        Line::crowded,
        [|line| line.add(0, 0), |line| line.end()],
        |line, _| line.assert_all_ran([1, 0]),
    );
}

/// Goal: the same beside somebody who only looks, and takes arrivals over for that. Method: one
/// pusher, the end, and a look.
#[test]
fn loom_crowd_may_be_looked_at() {
    race::<Line, (), _>(
        Line::crowded,
        [|line| line.add(0, 0), |line| line.end(), |line| line.look()],
        |line, _| line.assert_all_ran([1, 0]),
    );
}

/// Goal: the same with several, of whom all but the first leave the look to that one; and each
/// pusher's order is kept. Method: two pushers with two items and one against the end.
#[test]
fn loom_crowd_keeps_each_pushers_order() {
    race::<Line, (), _>(
        Line::crowded,
        [
            |line| {
                line.add(0, 0);
                line.add(0, 1);
            },
            |line| line.add(1, 0),
            |line| line.end(),
        ],
        |line, _| line.assert_all_ran([2, 1]),
    );
}
