//! Models of the abort word.

use loom::model;
use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::proto::abort::AbortWord;

/// The slot under which the model's task registers.
const SLOT: u32 = 7;

/// Goal: an abort never goes unheard: the aborter finds the suspended task, or the task, about to
/// suspend, finds the request. Method: both at once; the aborter must find in the table what the
/// slot promises.
#[test]
fn loom_abort_meets_the_first_suspension() {
    model(|| {
        let shared = Arc::new((AbortWord::new(), Mutex::new(0)));
        let aborter = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let Some(slot) = shared.0.request() else {
                    return false;
                };
                assert_eq!(slot, *shared.1.lock().unwrap(), "the slot is registered");
                true
            })
        };
        *shared.1.lock().unwrap() = SLOT;
        let asked = shared.0.publish(SLOT);
        let woken = aborter.join().unwrap();
        assert!(asked || woken, "the request was not heard");
        assert!(shared.0.is_requested());
    });
}

/// Goal: of two aborters and a suspension nobody is overlooked. Method: two requests at once; if
/// the task sees none, both must have found it.
#[test]
fn loom_each_abort_is_heard() {
    model(|| {
        let word = Arc::new(AbortWord::new());
        let aborters = [(); 2].map(|()| {
            let word = Arc::clone(&word);
            thread::spawn(move || word.request().is_some())
        });
        let asked = word.publish(SLOT);
        let found = aborters.map(|aborter| aborter.join().unwrap());
        assert!(asked || found == [true, true], "a request was not heard");
        word.clear();
        assert_eq!(word.slot(), None);
        assert_eq!(word.request(), None);
    });
}
