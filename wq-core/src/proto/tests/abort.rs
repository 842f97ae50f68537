//! Models of the abort word.

use loom::sync::Mutex;

use super::race;
use crate::proto::abort::AbortWord;

/// The slot under which the model's task registers.
const SLOT: u32 = 7;

/// A task, and the table in which it registers when it suspends.
struct Task {
    word: AbortWord,
    table: Mutex<u32>,
}

impl Task {
    /// Not suspended, not aborted.
    fn new() -> Task {
        Task {
            word: AbortWord::new(),
            table: Mutex::new(0),
        }
    }

    /// The first suspension. True: it has heard the request.
    fn suspend(&self) -> bool {
        *self.table.lock().unwrap() = SLOT;
        self.word.publish(SLOT)
    }

    /// An abort. True: it has found the suspended task.
    fn abort(&self) -> bool {
        let Some(slot) = self.word.request() else {
            return false;
        };
        assert_eq!(slot, *self.table.lock().unwrap(), "the slot is registered");
        true
    }
}

/// Goal: no abort goes unheard: the aborter finds the suspended task, or the task, about to
/// suspend, finds the request. Method: a suspension and two aborts at once; an aborter finds in
/// the table what the slot promises.
#[test]
fn loom_abort_meets_the_first_suspension() {
    race::<Task, bool, _>(
        Task::new,
        [Task::suspend, Task::abort, Task::abort],
        |task, [heard, first, second]| {
            assert!(heard || (first && second), "a request was not heard");
            assert!(task.word.is_requested());
            assert_eq!(task.word.slot(), Some(SLOT));
            task.word.clear();
            assert_eq!(task.word.request(), None);
        },
    );
}
