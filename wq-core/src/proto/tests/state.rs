//! Models of the word of a re-queueable work item.

use loom::sync::atomic::{AtomicUsize, Ordering};

use super::{Guarded, race};
use crate::proto::state::{Begin, Request, Requested, WakeDeferred, WorkState};

/// An item and its function's data.
struct Item {
    state: WorkState,
    /// The request that was made before the model begins.
    first: Request,
    /// What each requester stores before it asks. Relaxed: the item's word is all that orders it.
    inputs: [AtomicUsize; 2],
    /// What the executions found there, one bit per requester. Touched by the function alone, so
    /// that loom sees an overlap.
    seen: Guarded<usize>,
    /// Number of executions. Relaxed: only counted.
    runs: AtomicUsize,
}

/// What one side of a model met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Met {
    /// Its entry was executed.
    Ran,
    /// Its entry waits behind a running execution.
    Waits(Request),
    /// Its entry was cancelled before.
    Stale,
    /// Its request was refused, because another one is pending.
    Refused,
    /// It ended or cancelled; there is, or there is not, a deferred entry to wake.
    Wakes(bool),
    /// It had nothing to cancel.
    Nothing,
}

impl Item {
    /// An item that requester 0 has requested.
    fn requested() -> Item {
        let mut item = Item {
            state: WorkState::new(),
            first: 0,
            inputs: [AtomicUsize::new(0), AtomicUsize::new(0)],
            seen: Guarded::new(0),
            runs: AtomicUsize::new(0),
        };
        item.first = match item.ask(0) {
            Requested::Granted(request) => request,
            other => panic!("{other:?} by an idle item"),
        };
        item
    }

    /// An item that is inside its first execution.
    fn running() -> Item {
        let item = Item::requested();
        assert_eq!(item.state.begin(item.first), Begin::Run);
        item.run();
        item
    }

    /// Stores requester `who`'s input, then asks.
    fn ask(&self, who: usize) -> Requested {
        self.inputs[who].store(1, Ordering::Relaxed);
        self.state.request()
    }

    /// Asks as requester 1; if granted, a worker reaches the entry at once.
    fn ask_and_process(&self) -> Met {
        match self.ask(1) {
            Requested::Granted(request) => self.process(request),
            Requested::AlreadyPending => Met::Refused,
            Requested::Disabled => panic!("nobody disables"),
        }
    }

    /// The function: looks at all inputs.
    fn run(&self) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        let found = (0..2).filter(|who| self.inputs[*who].load(Ordering::Relaxed) == 1);
        let found: usize = found.map(|who| 1 << who).sum();
        self.seen.write(|seen| *seen |= found);
    }

    /// A worker has reached `request`'s entry, and executes it to the end if it may.
    fn process(&self, request: Request) -> Met {
        match self.state.begin(request) {
            Begin::Run => {
                self.run();
                self.end();
                Met::Ran
            }
            Begin::Wait => Met::Waits(request),
            Begin::Stale => Met::Stale,
        }
    }

    /// The execution is over.
    fn end(&self) -> Met {
        let WakeDeferred(wakes) = self.state.end();
        Met::Wakes(wakes)
    }

    /// What the executions found so far.
    fn seen(&self) -> usize {
        self.seen.read(|seen| *seen)
    }

    /// How many executions there were.
    fn runs(&self) -> usize {
        self.runs.load(Ordering::Relaxed)
    }
}

/// Goal: whatever a requester stored before its request, granted or refused, is seen by an
/// execution (G2), and a refused request adds none. Method: a worker executes a pending request
/// while another requester asks.
#[test]
fn loom_refused_request_is_seen_by_the_execution() {
    race::<Item, Met, _>(
        Item::requested,
        [
            |item| item.process(item.first),
            |item| match item.ask(1) {
                Requested::Granted(request) => Met::Waits(request),
                _ => Met::Refused,
            },
        ],
        |item, [first, second]| {
            assert_eq!(first, Met::Ran);
            if let Met::Waits(request) = second {
                assert_eq!(item.process(request), Met::Ran);
            }
            assert_eq!(item.seen(), 3, "an input was not seen");
            let refused = second == Met::Refused;
            assert_eq!(item.runs(), if refused { 1 } else { 2 });
        },
    );
}

/// Goal: a request during the run leads to exactly one more run, never at the same time, and a
/// deferred entry is woken exactly once. Method: the item runs; the second entry comes up at any
/// moment before or after its end.
#[test]
fn loom_request_during_the_run_runs_once_more() {
    race::<Item, Met, _>(
        Item::running,
        [Item::end, Item::ask_and_process],
        |item, [end, second]| {
            match second {
                Met::Waits(request) => {
                    assert_eq!(end, Met::Wakes(true), "a deferred entry is woken");
                    assert_eq!(item.process(request), Met::Ran);
                }
                other => {
                    assert_eq!(other, Met::Ran);
                    assert_eq!(end, Met::Wakes(false), "nobody waits");
                }
            }
            assert_eq!(item.runs(), 2);
            assert_eq!(item.seen(), 3);
        },
    );
}

/// Goal: executions never overlap and see each other, on whatever worker. Method: one worker
/// executes the pending request; another requester asks, and executes if it was granted.
#[test]
fn loom_executions_see_each_other() {
    race::<Item, Met, _>(
        Item::requested,
        [|item| item.process(item.first), Item::ask_and_process],
        |item, [first, second]| {
            assert_eq!(first, Met::Ran, "nobody cancels");
            if let Met::Waits(request) = second {
                assert_eq!(item.process(request), Met::Ran);
            }
            assert_eq!(item.seen(), 3);
        },
    );
}

/// Goal: a request is executed or cancelled, not both and not neither, and the entry of a
/// cancelled one is stale even if the item was requested again. Method: cancel, then request
/// anew, against the worker that reaches the first entry.
#[test]
fn loom_cancel_meets_the_beginning() {
    race::<Item, Met, _>(
        Item::requested,
        [
            |item| item.process(item.first),
            |item| {
                let (cancelled, WakeDeferred(wakes)) = item.state.withdraw();
                assert!(!wakes, "no entry was deferred");
                match (item.ask(1), cancelled.is_some()) {
                    (Requested::Granted(_), true) => Met::Wakes(false),
                    (Requested::Granted(_), false) => Met::Nothing,
                    (other, _) => panic!("{other:?} by an item with nothing pending"),
                }
            },
        ],
        |item, [first, cancel]| {
            match cancel {
                Met::Nothing => assert_eq!(first, Met::Ran),
                _ => assert_eq!(first, Met::Stale),
            }
            let second = item.first.wrapping_add(1);
            assert_eq!(item.process(second), Met::Ran);
            assert_eq!(item.seen() & 2, 2);
        },
    );
}

/// Goal: who drops one entry withdraws that request and no later one. Method: the first entry is
/// dropped while somebody cancels it and asks again.
#[test]
fn loom_dropped_entry_leaves_later_requests() {
    race::<Item, bool, _>(
        Item::requested,
        [
            |item| item.state.withdraw_request(item.first).0,
            |item| {
                let (cancelled, _) = item.state.withdraw();
                let again = item.ask(1);
                assert!(
                    matches!(again, Requested::Granted(_)),
                    "nothing was pending"
                );
                cancelled.is_some()
            },
        ],
        |item, [dropped, cancelled]| {
            assert!(dropped != cancelled, "the first request is over once");
            let second = item.first.wrapping_add(1);
            assert_eq!(item.state.latest(), second);
            assert_eq!(
                item.process(second),
                Met::Ran,
                "it was taken back with the first"
            );
        },
    );
}

/// Goal: who cancels knows which request that was, so that nobody is told of the end of another.
/// Method: a worker executes the first request, which is asked for again then, against somebody who
/// cancels whatever is pending.
#[test]
fn loom_cancel_knows_its_request() {
    race::<Item, Option<Request>, _>(
        Item::requested,
        [
            |item| match item.process(item.first) {
                Met::Ran => match item.ask(1) {
                    Requested::Granted(request) => Some(request),
                    other => panic!("{other:?} by an item with nothing pending"),
                },
                met => {
                    assert_eq!(met, Met::Stale);
                    None
                }
            },
            |item| item.state.withdraw().0,
        ],
        |item, [second, cancelled]| {
            let first_ran = second.is_some();
            match cancelled {
                Some(request) if request == item.first => assert!(!first_ran, "it was executed"),
                Some(request) => assert_eq!(Some(request), second),
                None => assert!(first_ran, "the first one was pending"),
            }
            if let Some(second) = second {
                let stale = cancelled == Some(second);
                let expected = if stale { Met::Stale } else { Met::Ran };
                assert_eq!(item.process(second), expected);
            }
        },
    );
}

/// Goal: a deferred entry is woken by the end of the run or by the cancellation, by one of them.
/// Method: the item runs with a deferred entry behind it; end against cancel.
#[test]
fn loom_deferred_entry_is_woken_once() {
    race::<Item, bool, _>(
        || {
            let item = Item::running();
            assert!(matches!(item.ask_and_process(), Met::Waits(_)));
            item
        },
        [
            |item| item.end() == Met::Wakes(true),
            |item| {
                let (cancelled, WakeDeferred(wakes)) = item.state.withdraw();
                assert!(cancelled.is_some(), "nobody else begins it");
                wakes
            },
        ],
        |item, [by_end, by_cancel]| {
            assert!(by_end != by_cancel, "the entry is woken once");
            assert_eq!(item.process(item.first.wrapping_add(1)), Met::Stale);
        },
    );
}

/// Goal: who sees the item neither pending nor running sees the execution (G4). Method: a worker
/// executes a request while another thread asks both questions and reads the data.
#[test]
fn loom_idle_item_shows_its_execution() {
    race::<Item, (), _>(
        Item::requested,
        [
            |item| assert_eq!(item.process(item.first), Met::Ran),
            |item| {
                if !item.state.is_pending() && !item.state.is_running() {
                    assert_eq!(item.seen(), 1);
                }
            },
        ],
        |_, _| (),
    );
}

/// Goal: who sees that a request is no longer pending sees what was done before it was cancelled.
/// Method: a canceller writes and cancels; another thread asks, then reads.
#[test]
fn loom_cancelled_item_shows_its_canceller() {
    race::<Item, (), _>(
        Item::requested,
        [
            |item| {
                item.seen.write(|seen| *seen = 4);
                assert!(item.state.withdraw().0.is_some(), "nobody begins it");
            },
            |item| {
                if !item.state.is_pending() {
                    assert_eq!(item.seen(), 4);
                }
            },
        ],
        |_, _| (),
    );
}

/// Goal: a disabled item grants nothing, and levels are counted. Method: disable and cancel
/// against a request; then enable.
#[test]
fn loom_disabled_item_grants_nothing() {
    race::<Item, bool, _>(
        || {
            let item = Item::requested();
            assert!(item.state.withdraw().0.is_some());
            item
        },
        [
            |item| matches!(item.ask(1), Requested::Granted(_)),
            |item| {
                assert!(item.state.disable());
                item.state.withdraw().0.is_some()
            },
        ],
        |item, [granted, cancelled]| {
            assert_eq!(granted, cancelled, "granted before the disabling, or never");
            assert_eq!(item.ask(1), Requested::Disabled);
            assert_eq!(item.state.enable(), Some(true));
            assert_eq!(item.state.enable(), None);
        },
    );
}
