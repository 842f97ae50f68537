//! Looking for the entries of one queue in a lane, one at a time, in the order in which they wait.
//!
//! For the rescuer, which leaves all others where they are. A section walks over few entries, so
//! that a lane can be taken from the one who looks; what it has passed by then stands beside the
//! lists, and goes back to the front of its own before anything is polled. If the lane is lost
//! half-way, whoever has it next begins with that ([`Lane::begin`](crate::lane::Lane::begin)):
//! nothing that waits is anywhere but in the lane.

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
    /// It has come half-way.
    goes_on: bool,
}

impl Search {
    /// For entries of this queue, from the beginning.
    pub(crate) fn new(queue: QueueRef) -> Search {
        Search {
            queue,
            goes_on: false,
        }
    }

    /// Whether it has passed entries that are to go back: it must go on, in this lane.
    pub(crate) fn goes_on(&self) -> bool {
        self.goes_on
    }
}

impl LaneQueue {
    /// One step of a search: the next entry, or `None`; then ask [`Search::goes_on`].
    pub(crate) fn search(&mut self, inbox: &Inbox, search: &mut Search) -> Option<Entry> {
        let wanted = |entry: &Entry| entry.meta().queue == search.queue;
        if !search.goes_on {
            self.pops = self.pops.wrapping_add(1);
            self.put_back();
            self.take_in(inbox);
            if self.slot.as_ref().is_some_and(wanted) {
                return self.slot.take();
            }
        }
        let mut left = MOST_GIVEN;
        while self.searched < LISTS {
            let (mut found, mut is_over) = (None, false);
            while found.is_none() && !is_over && left > 0 {
                match self.searched_list().pop_front() {
                    Some(entry) if wanted(&entry) => found = Some(entry),
                    Some(entry) => self.passed.push_back(entry),
                    None => is_over = true,
                }
                left -= 1;
            }
            if found.is_none() && !is_over {
                search.goes_on = true;
                return None;
            }
            let next = self.searched + 1;
            self.put_back();
            if found.is_some() {
                search.goes_on = false;
                return found;
            }
            self.searched = next;
        }
        self.searched = 0;
        search.goes_on = false;
        None
    }

    /// The list that a search has come to.
    fn searched_list(&mut self) -> &mut List<Entry> {
        match self.searched {
            0 => &mut self.resumes,
            1 => &mut self.children,
            _ => &mut self.worklist,
        }
    }

    /// Ends a search, wherever it has come to: what it has passed by goes back to where it waited.
    pub(crate) fn put_back(&mut self) {
        if self.passed.is_empty() && self.searched == 0 {
            return;
        }
        let mut passed = std::mem::replace(&mut self.passed, List::new());
        let list = self.searched_list();
        passed.append(list);
        std::mem::swap(&mut passed, list);
        self.searched = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::super::Place;
    use super::*;
    use crate::current::Current;
    use crate::policy::LaneClock;
    use crate::{System, Workqueue, task};

    /// What a search has passed by when it loses the lane is where the lane's next holder looks, in
    /// order and counted: a worker that takes all of it, or another search.
    #[test]
    fn a_search_that_loses_its_lane_takes_nothing_along() {
        let system = System::builder().build().expect("a System");
        let build = |name: &str| Workqueue::unbound(name).system(&system).build();
        let (mine, other) = (
            build("mine").expect("a queue"),
            build("other").expect("one"),
        );
        for searches_again in [false, true] {
            let (mut queue, inbox) = (LaneQueue::new(true), Inbox::new());
            let mut waiting = Vec::new();
            for _ in 0..2 * MOST_GIVEN {
                let (entry, _handle) = task::build(other.0.queue, 0, async {});
                waiting.push(entry.meta().address());
                queue.push(entry, Place::Worklist);
            }
            let mut first = Search::new(mine.0.queue);
            assert!(queue.search(&inbox, &mut first).is_none() && first.goes_on());
            assert_eq!(queue.len(), waiting.len(), "nothing is out of sight");
            if !searches_again {
                // As every worker that gets a lane.
                queue.put_back();
            }
            let mut second = Search::new(other.0.queue);
            for (n, address) in waiting.into_iter().enumerate() {
                let next = match searches_again && n % 2 == 0 {
                    true => queue.search(&inbox, &mut second),
                    false => queue.next(&inbox),
                };
                assert_eq!(next.map(|entry| entry.meta().address()), Some(address));
            }
            assert_eq!(queue.len(), 0);
        }
    }

    /// What a lane gives away is the oldest half of all that waits there, also of what a search has
    /// passed by that lost the lane half-way.
    #[test]
    fn what_was_passed_by_is_given_away_in_its_turn() {
        let system = System::builder().build().expect("a System");
        let build = |name: &str| Workqueue::unbound(name).system(&system).build();
        let (mine, other) = (
            build("mine").expect("a queue"),
            build("other").expect("one"),
        );
        let (mut queue, inbox) = (LaneQueue::new(true), Inbox::new());
        let mut waiting = Vec::new();
        for _ in 0..MOST_GIVEN + 8 {
            let (entry, _handle) = task::build(other.0.queue, 0, async {});
            waiting.push(entry.meta().address());
            queue.push(entry, Place::Worklist);
        }
        let mut search = Search::new(mine.0.queue);
        assert!(queue.search(&inbox, &mut search).is_none() && search.goes_on());
        let (mut given, half) = (queue.give_half(), waiting.len() / 2);
        assert_eq!((given.len(), queue.len()), (half, half));
        for address in waiting.into_iter().take(half) {
            let next = given.pop_front();
            assert_eq!(next.map(|entry| entry.meta().address()), Some(address));
        }
    }

    /// Goal: who gets a lane in which a search has passed something by begins with that, so that a
    /// bound lane stays first in, first out. Method: an item searches the lane of its worker as a
    /// rescuer would, which is lost half-way because the item blocks; the lane takes its items for
    /// so cheap that it would not listen to its inbox before the next one.
    #[test]
    fn a_new_holder_begins_with_what_was_passed_by() {
        let system = System::builder().workers(1).build().expect("a System");
        let build = |name: &str| Workqueue::percpu(name).system(&system).build();
        let (mine, other) = (
            build("mine").expect("a queue"),
            build("other").expect("one"),
        );
        let (search_for, queue) = (mine.0.queue, crate::Queue::clone(&other));
        let searcher = other.spawn_fn(move || {
            let (done, all_done) = mpsc::channel();
            for n in 0..MOST_GIVEN + 16 {
                let done = done.clone();
                drop(queue.spawn_fn(move || done.send(n).expect("somebody listens")));
            }
            drop(done);
            let goes_on = Current::with(|current| {
                let (lane, holder) = current.and_then(Current::holding).expect("a lane");
                let mut search = Search::new(search_for);
                let look = |queue: &mut LaneQueue| {
                    (queue.clock, queue.pops) = (LaneClock::new(), 1_000);
                    queue.search(&lane.inbox, &mut search)
                };
                let found = lane.section(holder, look).expect("it is not lost");
                found.is_none() && search.goes_on()
            });
            assert!(goes_on, "it has passed all that a section may");
            crate::blocking(|| all_done.iter().collect::<Vec<_>>())
        });
        let order = searcher.wait().expect("it does not panic");
        assert_eq!(order, Vec::from_iter(0..MOST_GIVEN + 16));
    }
}
