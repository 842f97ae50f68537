//! Looking for the entries of one queue in a lane, one at a time, in the order in which they wait.
//!
//! For the rescuer, which leaves all others where they are. A section walks over few entries, so
//! that a lane can be taken from the one who looks; what it has passed by then stands in the
//! search, in front of what is still to be looked at, and goes back before anything is polled.

use crate::entry::Entry;
use crate::list::List;
use crate::proto::inbox::Inbox;
use crate::queue::QueueRef;

use super::{LaneQueue, MOST_GIVEN};

/// Lists of a lane that are looked through.
const LISTS: usize = 3;

/// A look through a lane.
#[derive(Debug)]
pub(crate) struct Search {
    queue: QueueRef,
    /// Which list it has come to.
    list: usize,
    /// Entries of that list that were passed, in order.
    passed: List<Entry>,
}

impl Search {
    /// For entries of this queue, from the beginning.
    pub(crate) fn new(queue: QueueRef) -> Search {
        Search {
            queue,
            list: 0,
            passed: List::new(),
        }
    }

    /// Whether it has passed entries that are to go back: it must go on, in this lane.
    pub(crate) fn goes_on(&self) -> bool {
        self.list != 0 || !self.passed.is_empty()
    }

    /// The lane was lost half-way: what was passed, for its inbox. Its order among what is there
    /// is gone, which nobody was promised.
    pub(crate) fn give_up(&mut self) -> List<Entry> {
        self.list = 0;
        std::mem::replace(&mut self.passed, List::new())
    }
}

impl LaneQueue {
    /// One step of a search: the next entry, or `None`; then ask [`Search::goes_on`].
    pub(crate) fn search(&mut self, inbox: &Inbox, search: &mut Search) -> Option<Entry> {
        let wanted = |entry: &Entry| entry.meta().queue == search.queue;
        if !search.goes_on() {
            self.pops = self.pops.wrapping_add(1);
            self.take_in(inbox);
            if self.slot.as_ref().is_some_and(wanted) {
                return self.slot.take();
            }
        }
        let mut left = MOST_GIVEN;
        while search.list < LISTS {
            let list = match search.list {
                0 => &mut self.resumes,
                1 => &mut self.children,
                _ => &mut self.worklist,
            };
            let mut found = None;
            while found.is_none() && left > 0 {
                match list.pop_front() {
                    Some(entry) if wanted(&entry) => found = Some(entry),
                    Some(entry) => search.passed.push_back(entry),
                    None => break,
                }
                left -= 1;
            }
            if found.is_none() && left == 0 {
                return None;
            }
            search.passed.append(list);
            std::mem::swap(&mut search.passed, list);
            if found.is_some() {
                search.list = 0;
                return found;
            }
            search.list += 1;
        }
        search.list = 0;
        None
    }
}
