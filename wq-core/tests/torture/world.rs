//! What the threads act upon, and the sums that must come out.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use wq_core::{BhWorkqueue, Queue, System, Workqueue};

use crate::deeds::DEEDS;
use crate::dice::Dice;
use crate::item::{Does, Item, Takings, burn};
use crate::{FOR_EVER, THREADS};

/// Places of the queues. The last one is destroyed and made anew again and again.
pub(crate) const FREE: usize = 0;
/// One of high priority, per CPU, with a limit.
pub(crate) const HIGH: usize = 2;
/// A limited one with a rescuer.
pub(crate) const LIMITED: usize = 3;
/// An ordered one.
pub(crate) const ORDERED: usize = 4;
/// One that is full soon.
pub(crate) const SMALL: usize = 5;

/// Everything.
pub(crate) struct World {
    pub(crate) system: System,
    pub(crate) cpus: usize,
    pub(crate) queues: Vec<Workqueue>,
    pub(crate) bh: BhWorkqueue,
    pub(crate) scratch: Mutex<Workqueue>,
    pub(crate) items: Vec<Item>,
    pub(crate) tasks: Arc<Tasks>,
    /// Drains and destroys take back what is armed.
    pub(crate) takings: Takings,
    /// What destroyed queues have counted as cancelled.
    pub(crate) lost: AtomicU64,
    /// One at a time imposes CPUs.
    pub(crate) imposing: Mutex<()>,
    /// How often each deed was done.
    pub(crate) done: Vec<AtomicU64>,
    /// What each thread does, and how much it has done.
    pub(crate) threads: [Thread; THREADS],
    pub(crate) over: AtomicBool,
    pub(crate) errors: Mutex<Vec<String>>,
}

/// A thread, for whoever looks for a hang.
#[derive(Default)]
pub(crate) struct Thread {
    pub(crate) deeds: AtomicU64,
    pub(crate) deed: AtomicU64,
    pub(crate) has_left: AtomicBool,
}

/// What became of the tasks.
#[derive(Default)]
pub(crate) struct Tasks {
    pub(crate) made: AtomicU64,
    pub(crate) returned: AtomicU64,
    pub(crate) panicked: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) rejected: AtomicU64,
    /// The number of the next task in order, and whose turn it is.
    pub(crate) next: Mutex<u64>,
    turn: AtomicU64,
    pub(crate) errors: AtomicU64,
}

thread_local! {
    /// The thread is about to queue a task: one that is dropped now was refused.
    static SPAWNS: Cell<bool> = const { Cell::new(false) };
}

/// A task's own count, in its future or closure.
pub(crate) struct Life {
    tasks: Arc<Tasks>,
    returned: bool,
    panics: bool,
}

impl Life {
    /// One more task.
    pub(crate) fn new(tasks: &Arc<Tasks>) -> Life {
        tasks.made.fetch_add(1, Ordering::SeqCst);
        Life {
            tasks: Arc::clone(tasks),
            returned: false,
            panics: false,
        }
    }

    /// It returns now.
    pub(crate) fn returns(mut self) {
        self.returned = true;
    }

    /// It panics now.
    pub(crate) fn panics(mut self) {
        self.panics = true;
        drop(self);
        std::panic::resume_unwind(Box::new("as planned"));
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let Tasks {
            returned,
            panicked,
            dropped,
            rejected,
            ..
        } = &*self.tasks;
        let count = match (self.returned, self.panics, SPAWNS.get()) {
            (true, ..) => returned,
            (_, true, _) => panicked,
            (.., true) => rejected,
            _ => dropped,
        };
        count.fetch_add(1, Ordering::SeqCst);
    }
}

impl Tasks {
    /// Queues a task: what is dropped meanwhile was refused.
    pub(crate) fn queueing<R>(queue: impl FnOnce() -> R) -> R {
        SPAWNS.set(true);
        let answer = queue();
        SPAWNS.set(false);
        answer
    }

    /// Those that are over.
    pub(crate) fn over(&self) -> u64 {
        let counts = [
            &self.returned,
            &self.panicked,
            &self.dropped,
            &self.rejected,
        ];
        counts
            .iter()
            .map(|count| count.load(Ordering::SeqCst))
            .sum()
    }

    /// The next task of the ordered queue, which looks whether it is its turn.
    pub(crate) fn in_order(
        self: Arc<Tasks>,
        number: u64,
        body: impl Future<Output = ()> + Send,
    ) -> impl Future<Output = ()> + Send {
        let tasks = self;
        async move {
            let early = tasks.turn.load(Ordering::SeqCst) != number;
            body.await;
            let overtaken = tasks.turn.swap(number + 1, Ordering::SeqCst) != number;
            if early || overtaken {
                tasks.errors.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}

/// What a task does: yields, blocks, burns, spawns another one, panics.
pub(crate) async fn body(life: Life, mut dice: Dice, child_on: Option<Queue>) {
    for _ in 0..dice.below(4) {
        let time = Duration::from_micros(dice.below(100));
        match dice.below(7) {
            0 => std::thread::sleep(time),
            1 => wq_core::blocking(|| std::thread::sleep(time)),
            2 | 3 => yield_once().await,
            4 if dice.below(8) == 0 => return life.panics(),
            5 => {
                if let Some(queue) = &child_on {
                    let child = Life::new(&life.tasks);
                    Tasks::queueing(|| drop(queue.spawn_fn(move || child.returns())));
                }
            }
            _ => burn(time),
        }
    }
    life.returns();
}

/// Returns `Pending` once, after waking itself.
pub(crate) async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Locks, whoever panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The queue that comes and goes.
pub(crate) fn scratch(system: &System) -> Workqueue {
    let scratch = Workqueue::unbound("scratch").system(system).max_active(2);
    scratch.build().expect("room for a queue")
}

/// The queues of a world, in their places.
fn queues(system: &System) -> Vec<Workqueue> {
    let (unbound, percpu) = (Workqueue::unbound, Workqueue::percpu);
    let ordered = Workqueue::ordered("ordered").system(system).freezable();
    let built = [
        unbound("free").system(system).build(),
        percpu("cpu").system(system).build(),
        percpu("high")
            .system(system)
            .highpri()
            .max_active(3)
            .freezable()
            .build(),
        unbound("limited")
            .system(system)
            .max_active(4)
            .freezable()
            .rescuer()
            .build(),
        ordered.rescuer().build(),
        unbound("small")
            .system(system)
            .max_active(3)
            .max_pending(16)
            .build(),
    ];
    built
        .into_iter()
        .map(|queue| queue.expect("a queue"))
        .collect()
}

impl World {
    /// A world on this System, whose CPUs have the numbers below `cpus`.
    pub(crate) fn new(system: &System, cpus: usize) -> World {
        let doers = [Does::Burns, Does::Blocks, Does::Suspends, Does::Burns];
        let items = doers.iter().map(|&does| Item::new(does));
        let timed = [Does::Burns, Does::Blocks, Does::Burns, Does::Blocks];
        let timed = timed.iter().map(|&does| Item::delayed(does));
        World {
            cpus,
            queues: queues(system),
            bh: Workqueue::bh("bh").system(system).build().expect("a queue"),
            scratch: Mutex::new(scratch(system)),
            items: items.chain(timed).collect(),
            tasks: Arc::default(),
            takings: Takings::default(),
            lost: AtomicU64::new(0),
            imposing: Mutex::new(()),
            done: DEEDS.iter().map(|_| AtomicU64::new(0)).collect(),
            threads: std::array::from_fn(|_| Thread::default()),
            over: AtomicBool::new(false),
            errors: Mutex::default(),
            system: system.clone(),
        }
    }

    /// Notes that something is wrong.
    pub(crate) fn complain(&self, what: impl Into<String>) {
        lock(&self.errors).push(what.into());
    }

    /// Something took too long: tells what there is, and gives up.
    #[expect(clippy::print_stderr, reason = "the report of a hang")]
    pub(crate) fn hangs(&self, what: &str) -> ! {
        self.over.store(true, Ordering::SeqCst);
        eprintln!("{what} does not end\n{}", self.system.dump());
        panic!("{what} does not end");
    }

    /// The sums, when all is over.
    pub(crate) fn check(&self) {
        self.settle();
        self.check_items();
        // The flush of an item may be over before its queue has counted the end.
        self.settle();
        let tasks = &self.tasks;
        let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        let queues = self.queues.iter().map(|queue| queue.stats());
        let stats: Vec<_> = queues.chain([self.bh.stats()]).collect();
        for stats in &stats {
            let ended = stats.completed + stats.panicked + stats.cancelled;
            assert_eq!(
                stats.accepted, ended,
                "accepted is not what has ended: {stats:?}"
            );
            let open = (stats.in_flight, stats.active, stats.waiting);
            assert_eq!(open, (0, 0, 0), "something is in flight: {stats:?}");
        }
        let panicked: u64 = stats.iter().map(|stats| stats.panicked).sum();
        assert_eq!(panicked, count(&tasks.panicked), "panics");
        let cancelled: u64 = stats.iter().map(|stats| stats.cancelled).sum();
        let aborted = count(&tasks.dropped);
        assert!(
            cancelled >= aborted,
            "{aborted} were dropped, {cancelled} counted"
        );
        self.check_timed(cancelled - aborted + count(&self.lost));
        assert_eq!(
            count(&tasks.errors),
            0,
            "tasks of the ordered queue out of turn"
        );
        assert_eq!(*lock(&self.errors), Vec::<String>::new());
        assert_eq!(self.system.stats().rescues, 0, "a wake-up was lost");
    }

    /// Each item: no run beside another, each request executed or taken back, and none of the last
    /// news lost.
    fn check_items(&self) {
        for (at, item) in self.items.iter().enumerate() {
            let books = &item.books;
            let news = books.store(0);
            let answer = self.queues[FREE].queue(&item.work());
            assert_eq!(
                answer,
                wq_core::Queued::New,
                "item {at} cannot be used any more"
            );
            books.granted.fetch_add(1, Ordering::SeqCst);
            item.work()
                .flush()
                .wait_timeout(FOR_EVER)
                .expect("a flush ends");
            assert!(
                books.has_seen(0, news),
                "item {at} did not see what was stored"
            );
            let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
            assert_eq!(count(&books.overlaps), 0, "item {at} ran beside itself");
            if matches!(item.handle, crate::item::Handle::Work(_)) {
                let (granted, taken) = (count(&books.granted), count(&books.taken));
                let runs = count(&books.runs);
                assert_eq!(granted, runs + taken, "item {at}: granted, executed, taken");
            }
        }
    }

    /// The same for those with timers, of which `lost` met a drain or a destroy.
    fn check_timed(&self, lost: u64) {
        let sum = |which: fn(&crate::item::Books) -> &AtomicU64| -> u64 {
            let timed = |item: &&Item| matches!(item.handle, crate::item::Handle::Delayed(_));
            let counts = self
                .items
                .iter()
                .filter(timed)
                .map(|item| which(&item.books));
            counts.map(|count| count.load(Ordering::SeqCst)).sum()
        };
        let (granted, taken) = (sum(|books| &books.granted), sum(|books| &books.taken));
        let (runs, unsure) = (sum(|books| &books.runs), sum(|books| &books.unsure));
        let over = runs + taken + lost;
        assert!(
            (over..=over + unsure).contains(&granted),
            "granted {granted}, executed {runs}, taken {taken}, lost {lost}, unsure {unsure}"
        );
    }

    /// Waits until nothing is armed, queued or running. Tasks spawn tasks, also in queues that were
    /// flushed a moment ago; but once none is alive none comes.
    fn settle(&self) {
        let flush_all = || {
            for queue in &self.queues {
                let flushed = queue.flush().wait_timeout(FOR_EVER);
                flushed.unwrap_or_else(|_| self.hangs("the last flush"));
            }
            let flushed = self.bh.flush().wait_timeout(FOR_EVER);
            flushed.unwrap_or_else(|_| self.hangs("the last flush of BH items"));
        };
        for item in &self.items {
            let flushed = match &item.handle {
                crate::item::Handle::Work(work) => work.flush().wait_timeout(FOR_EVER),
                crate::item::Handle::Delayed(timed) => timed.flush().wait_timeout(FOR_EVER),
            };
            flushed.unwrap_or_else(|_| self.hangs("the last flush of an item"));
        }
        loop {
            flush_all();
            // In this order: who is over by now was made by now.
            let over = self.tasks.over();
            if over == self.tasks.made.load(Ordering::SeqCst) {
                return flush_all();
            }
        }
    }
}
