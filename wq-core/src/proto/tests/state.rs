//! Models of the word of a re-queueable work item.

use loom::model;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use loom::thread;

use super::Guarded;
use crate::proto::state::{Begin, Request, Requested, WakeDeferred, WorkState};

/// An item, its function's data, and its entries on the way to a worker.
struct Item {
    state: WorkState,
    /// What each requester stores before it asks.
    inputs: [AtomicUsize; 2],
    /// What the executions found there, one bit per requester. Touched by the function alone, so
    /// that loom sees an overlap.
    seen: Guarded<usize>,
    /// Number of executions.
    runs: AtomicUsize,
    /// The entries that requesters made: request plus one, 0 for none.
    entries: [AtomicU64; 2],
}

impl Item {
    /// An idle item.
    fn new() -> Arc<Item> {
        Arc::new(Item {
            state: WorkState::new(),
            inputs: [AtomicUsize::new(0), AtomicUsize::new(0)],
            seen: Guarded::new(0),
            runs: AtomicUsize::new(0),
            entries: [AtomicU64::new(0), AtomicU64::new(0)],
        })
    }

    /// Stores requester `who`'s input, then asks; queues the entry if it was granted.
    fn ask(&self, who: usize) -> Requested {
        // Relaxed: the item's word is all that orders it.
        self.inputs[who].store(1, Ordering::Relaxed);
        let answer = self.state.request();
        if let Requested::Granted(request) = answer {
            // Relaxed: so that the queue, which would order too, hides nothing.
            self.entries[who].store(u64::from(request) + 1, Ordering::Relaxed);
        }
        answer
    }

    /// Takes an entry, if it has come.
    fn take(&self, who: usize) -> Option<Request> {
        let entry = self.entries[who].swap(0, Ordering::Relaxed);
        entry.checked_sub(1).map(|request| request as Request)
    }

    /// The function: looks at all inputs.
    fn run(&self) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        let found = (0..2).filter(|who| self.inputs[*who].load(Ordering::Relaxed) == 1);
        let found: usize = found.map(|who| 1 << who).sum();
        self.seen.write(|seen| *seen |= found);
    }

    /// A worker has reached `request`'s entry. The entry that is to be woken, if any.
    fn process(&self, request: Request) -> Begin {
        let begin = self.state.begin(request);
        if begin == Begin::Run {
            self.run();
        }
        begin
    }
}

/// Goal: whatever a requester stored before its request, granted or refused, is seen by an
/// execution (G2); requests coalesce; executions do not overlap. Method: two requesters, and a
/// worker that processes what has come; the rest is processed at the end.
#[test]
fn loom_refused_request_is_seen_by_the_execution() {
    model(|| {
        let item = Item::new();
        let first = item.ask(0);
        let second = {
            let item = Arc::clone(&item);
            thread::spawn(move || item.ask(1))
        };
        let Requested::Granted(request) = first else {
            panic!("an idle item grants");
        };
        assert_eq!(item.process(request), Begin::Run);
        let woken = item.state.end();
        assert_eq!(woken, WakeDeferred(false), "no entry was deferred");
        let second = second.join().unwrap();
        if let Some(request) = item.take(1) {
            assert_eq!(item.process(request), Begin::Run);
            assert_eq!(item.state.end(), WakeDeferred(false));
        }
        let granted = usize::from(second != Requested::AlreadyPending);
        assert_eq!(item.runs.load(Ordering::Relaxed), 1 + granted);
        assert_eq!(item.seen.read(|seen| *seen), 3, "an input was not seen");
    });
}

/// Goal: a request during the run leads to exactly one more run, never at the same time, and a
/// deferred entry is woken exactly once. Method: two workers, each with an entry of its own: the
/// first is running when the second entry comes up at any moment.
#[test]
fn loom_request_during_the_run_runs_once_more() {
    model(|| {
        let item = Item::new();
        let Requested::Granted(first) = item.ask(0) else {
            panic!("an idle item grants");
        };
        assert_eq!(item.process(first), Begin::Run);
        let other = {
            let item = Arc::clone(&item);
            thread::spawn(move || {
                let Requested::Granted(second) = item.ask(1) else {
                    panic!("the pending bit was cleared by the run");
                };
                let begin = item.process(second);
                if begin == Begin::Run {
                    assert_eq!(item.state.end(), WakeDeferred(false));
                }
                (second, begin)
            })
        };
        let WakeDeferred(woken) = item.state.end();
        let (second, begin) = other.join().unwrap();
        assert_eq!(woken, begin == Begin::Wait, "a deferred entry is woken");
        if woken {
            assert_eq!(item.process(second), Begin::Run);
            assert_eq!(item.state.end(), WakeDeferred(false));
        }
        assert_eq!(item.runs.load(Ordering::Relaxed), 2);
        assert_eq!(item.seen.read(|seen| *seen), 3);
    });
}

/// Goal: an execution sees what the one before it did, on whatever worker. Method: the first run
/// ends while another worker begins the second; the function's data is plain memory.
#[test]
fn loom_executions_see_each_other() {
    model(|| {
        let item = Item::new();
        let Requested::Granted(first) = item.ask(0) else {
            panic!("an idle item grants");
        };
        let worker = {
            let item = Arc::clone(&item);
            thread::spawn(move || {
                if item.process(first) == Begin::Run {
                    let _ = item.state.end();
                }
            })
        };
        if let Requested::Granted(second) = item.ask(1) {
            if item.process(second) == Begin::Run {
                let _ = item.state.end();
            }
        }
        worker.join().unwrap();
        assert!(item.runs.load(Ordering::Relaxed) >= 1);
    });
}

/// Goal: a request is executed or cancelled, not both and not neither, and the entry of a
/// cancelled one is stale even if the item was requested again. Method: cancel, then request
/// anew, against the worker that reaches the first entry.
#[test]
fn loom_cancel_meets_the_beginning() {
    model(|| {
        let item = Item::new();
        let Requested::Granted(first) = item.ask(0) else {
            panic!("an idle item grants");
        };
        let worker = {
            let item = Arc::clone(&item);
            thread::spawn(move || {
                let begin = item.process(first);
                if begin == Begin::Run {
                    let _ = item.state.end();
                }
                begin
            })
        };
        let (cancelled, woken) = item.state.withdraw();
        assert_eq!(woken, WakeDeferred(false), "no entry was deferred");
        let again = item.ask(1);
        let begin = worker.join().unwrap();
        assert_eq!(
            begin,
            if cancelled { Begin::Stale } else { Begin::Run },
            "executed or cancelled"
        );
        let Requested::Granted(second) = again else {
            panic!("nothing was pending");
        };
        assert_eq!(item.process(second), Begin::Run);
        assert_eq!(item.state.end(), WakeDeferred(false));
        assert_eq!(item.seen.read(|seen| *seen & 2), 2);
    });
}

/// Goal: a deferred entry is woken by the end of the run or by the cancellation, by one of them.
/// Method: the item runs with a deferred entry behind it; end against cancel.
#[test]
fn loom_deferred_entry_is_woken_once() {
    model(|| {
        let item = Item::new();
        let Requested::Granted(first) = item.ask(0) else {
            panic!("an idle item grants");
        };
        assert_eq!(item.process(first), Begin::Run);
        let Requested::Granted(second) = item.ask(1) else {
            panic!("the run has cleared the pending bit");
        };
        assert_eq!(item.process(second), Begin::Wait);
        let canceller = {
            let item = Arc::clone(&item);
            thread::spawn(move || item.state.withdraw())
        };
        let WakeDeferred(by_end) = item.state.end();
        let (cancelled, WakeDeferred(by_cancel)) = canceller.join().unwrap();
        assert!(cancelled, "nobody else began it");
        assert!(by_end != by_cancel, "the entry is woken once");
        assert_eq!(item.process(second), Begin::Stale);
    });
}

/// Goal: who sees the item neither pending nor running sees the execution (G4). Method: a worker
/// executes a request while another thread asks both questions and reads the data.
#[test]
fn loom_idle_item_shows_its_execution() {
    model(|| {
        let item = Item::new();
        let Requested::Granted(request) = item.ask(0) else {
            panic!("an idle item grants");
        };
        let worker = {
            let item = Arc::clone(&item);
            thread::spawn(move || {
                assert_eq!(item.process(request), Begin::Run);
                assert_eq!(item.state.end(), WakeDeferred(false));
            })
        };
        if !item.state.is_pending() && !item.state.is_running() {
            assert_eq!(item.seen.read(|seen| *seen), 1);
        }
        worker.join().unwrap();
    });
}

/// Goal: a disabled item grants nothing, and levels are counted. Method: disable against a
/// request; then enable.
#[test]
fn loom_disabled_item_grants_nothing() {
    model(|| {
        let item = Item::new();
        let requester = {
            let item = Arc::clone(&item);
            thread::spawn(move || item.ask(0))
        };
        assert!(item.state.disable());
        let (cancelled, _) = item.state.withdraw();
        let answer = requester.join().unwrap();
        let granted = matches!(answer, Requested::Granted(_));
        assert_eq!(
            granted, cancelled,
            "granted before the disabling, or not at all"
        );
        assert_eq!(item.state.request(), Requested::Disabled);
        assert_eq!(item.state.enable(), Some(true));
        assert_eq!(item.state.enable(), None);
    });
}
