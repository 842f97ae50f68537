//! What a thread of the torture does: one deed after the other, drawn by its dice.

use std::cell::RefCell;
use std::sync::atomic::Ordering;
use std::time::Duration;

use wq_core::{JoinHandle, Queue, Queued};

use crate::dice::Dice;
use crate::item::{Handle, Item};
use crate::world::{World, lock};
use crate::{changes, requests, tasks};

/// A deed: its name, how many chances it has, what it is.
type Deed = (&'static str, u64, fn(&Hand<'_>));

/// All deeds.
pub(crate) const DEEDS: &[Deed] = &[
    ("publish", 30, requests::publish),
    ("request", 60, requests::request),
    ("later", 30, requests::later),
    ("modify", 30, requests::modify),
    ("cancel", 20, requests::cancel),
    ("cancel and wait", 10, requests::cancel_and_wait),
    ("give up a cancel", 4, requests::give_up_a_cancel),
    ("disable and enable", 12, requests::disable_and_enable),
    ("flush an item", 10, requests::flush_an_item),
    ("flush", 12, changes::flush),
    ("give up a flush", 4, changes::give_up_a_flush),
    ("drain", 3, changes::drain),
    ("destroy", 3, changes::destroy),
    ("spawn", 60, tasks::spawn),
    ("spawn in order", 20, tasks::spawn_in_order),
    ("crowd", 4, tasks::crowd),
    ("abort", 10, tasks::abort),
    ("join", 20, tasks::join),
    ("reserve", 12, tasks::reserve),
    ("bh", 12, tasks::bh),
    ("limit", 6, changes::limit),
    ("order", 4, changes::order),
    ("attributes", 8, changes::attributes),
    ("CPUs of all", 4, changes::cpus_of_all),
    ("CPUs lost and back", 4, changes::cpus_lost_and_back),
    ("freeze and thaw", 4, changes::freeze_and_thaw),
    ("take a lane", 20, changes::take_a_lane),
    ("refuse threads", 1, changes::refuse),
    ("look", 2, changes::look),
];

/// A thread.
pub(crate) struct Hand<'a> {
    pub(crate) world: &'a World,
    pub(crate) me: usize,
    pub(crate) dice: RefCell<Dice>,
    pub(crate) kept: RefCell<Vec<JoinHandle<()>>>,
}

impl<'a> Hand<'a> {
    /// The thread with this number.
    pub(crate) fn new(world: &'a World, me: usize, seed: u64) -> Hand<'a> {
        Hand {
            world,
            me,
            dice: RefCell::new(Dice(seed)),
            kept: RefCell::default(),
        }
    }

    /// Does deeds until it is over.
    pub(crate) fn work(&self) {
        let chances: u64 = DEEDS.iter().map(|deed| deed.1).sum();
        let own = &self.world.threads[self.me];
        while !self.world.over.load(Ordering::Relaxed) {
            let mut chance = self.below(chances);
            let drawn = DEEDS.iter().position(|deed| {
                let hit = chance < deed.1;
                chance = chance.saturating_sub(deed.1);
                hit
            });
            let nth = drawn.expect("the chances add up");
            own.deed.store(nth as u64, Ordering::Relaxed);
            DEEDS[nth].2(self);
            self.world.done[nth].fetch_add(1, Ordering::Relaxed);
            own.deeds.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A number below `n`.
    pub(crate) fn below(&self, n: u64) -> u64 {
        self.dice.borrow_mut().below(n)
    }

    /// A dice for an item.
    pub(crate) fn dice(&self) -> Dice {
        Dice(self.dice.borrow_mut().roll() | 1)
    }

    /// Some microseconds, below this.
    pub(crate) fn time(&self, below_us: u64) -> Duration {
        Duration::from_micros(self.below(below_us))
    }

    /// A CPU; some do not exist.
    pub(crate) fn cpu(&self) -> usize {
        self.below(self.world.cpus as u64 + 1) as usize
    }

    /// A list of CPUs with one at least.
    pub(crate) fn cpus(&self) -> String {
        let (from, more) = (self.below(self.world.cpus as u64), self.below(3));
        let last = (from + more).min(self.world.cpus as u64 - 1);
        format!("{from}-{last}")
    }

    /// An item.
    pub(crate) fn item(&self) -> &'a Item {
        let items = &self.world.items;
        &items[self.below(items.len() as u64) as usize]
    }

    /// A queue's place.
    pub(crate) fn place(&self) -> usize {
        self.below(self.world.queues.len() as u64) as usize
    }

    /// A handle of any queue for all kinds of items.
    pub(crate) fn queue(&self) -> Queue {
        if self.below(8) == 0 {
            return Queue::clone(&lock(&self.world.scratch));
        }
        Queue::clone(&self.world.queues[self.place()])
    }

    /// Asks for a run in one of the ways.
    pub(crate) fn ask(&self, item: &Item) -> Queued {
        if item.is_quick && self.below(6) == 0 {
            return self.world.bh.queue_on(self.cpu(), &item.work());
        }
        let queue = self.queue();
        match (self.below(5), &item.handle) {
            (0, _) => queue.queue_on(self.cpu(), &item.work()),
            (1, _) => queue.queue_on_node(self.cpu(), &item.work()),
            (2, Handle::Delayed(timed)) => queue.queue_after(timed, Duration::ZERO),
            _ => queue.queue(&item.work()),
        }
    }

    /// Waits; the System is told of where that takes too long.
    pub(crate) fn ends<T, E>(&self, what: &str, waited: Result<T, E>) -> T {
        waited.unwrap_or_else(|_| self.world.hangs(what))
    }
}
