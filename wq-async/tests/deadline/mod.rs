//! A limit for the tests of a process, with all that a test waits for once its body is over, the
//! end of its System included: if no body begins or ends for too long, something waits for ever.
//! The process is ended then and says which bodies are not over. If none is, it is a System that
//! does not end; of which test, the harness tells, which names those that take long.

use std::io::{self, Write};
use std::panic::Location;
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// No test takes as long, on a slow machine either.
const LIMIT: Duration = Duration::from_secs(120);

/// Where a test stands.
type Place = &'static Location<'static>;

/// A body has begun (true), or is over.
type Event = (Place, bool);

/// The body of the test is over when this is dropped.
#[must_use = "the body counts as one that goes on for as long as this lives"]
pub(crate) struct Deadline {
    events: Sender<Event>,
    test: Place,
}

impl Deadline {
    /// Limits the calling test.
    #[track_caller]
    pub(crate) fn start() -> Deadline {
        static EVENTS: OnceLock<Sender<Event>> = OnceLock::new();
        let events = EVENTS.get_or_init(|| {
            let (send, receive) = mpsc::channel();
            thread::spawn(move || watch(&receive));
            send
        });
        let (events, test) = (events.clone(), Location::caller());
        let _ = events.send((test, true));
        Deadline { events, test }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let _ = self.events.send((self.test, false));
    }
}

/// Ends the process when nothing has been heard for too long.
fn watch(events: &Receiver<Event>) {
    let mut going_on: Vec<Place> = Vec::new();
    loop {
        match events.recv_timeout(LIMIT) {
            Ok((test, true)) => going_on.push(test),
            Ok((test, false)) => {
                let at = going_on.iter().position(|other| *other == test);
                going_on.swap_remove(at.expect("it has begun"));
            }
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    // Not `eprintln`, which the harness catches and would lose.
    let mut err = io::stderr();
    let _ = writeln!(err, "for {LIMIT:?} no test has begun or ended");
    for test in &going_on {
        let _ = writeln!(err, "{test}: not over");
    }
    if going_on.is_empty() {
        let _ = writeln!(err, "all bodies are over: a System does not end");
    }
    std::process::abort();
}
