//! A worker: the record of one thread of a pool.
//!
//! Records live as long as the System, because owner words and the spare stack name workers by
//! number and a sensor may look at any time. A record whose thread has ended is used again.

mod placement;
mod shown;

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crossbeam_utils::CachePadded;

use crate::kind::{Doing, Kind};
use crate::pool::Pool;
use crate::proto::assign::Assignment;
use crate::proto::owner::taking::Standing;
use crate::proto::owner::{Mark, WorkerId};
use crate::proto::park::Parker;
use crate::proto::spares::SpareSlot;
use crate::{CpuSet, os};

pub(crate) use placement::Placement;
use shown::Shown;

/// The tid of a worker whose thread has not come up yet.
const NO_TID: os::Tid = 0;

/// A worker.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Its number; never 0.
    pub(crate) id: WorkerId,
    /// "Inside a section".
    pub(crate) mark: CachePadded<Mark>,
    /// What it writes for each item.
    progress: CachePadded<Progress>,
    /// Its item's code said that it may block: an idle CPU needs no other proof.
    may_block: AtomicBool,
    /// Its item is inside a block that it declared.
    in_block: AtomicBool,
    /// The pool whose turn to burn it has, and one; 0 for none.
    turn: AtomicU32,
    /// Which item was marked CPU intensive last, by the count of starts; 0 for none.
    marked: AtomicU64,
    /// Its place on the pool's stack of spares.
    pub(crate) spare: SpareSlot,
    /// The lane that it was given.
    pub(crate) assignment: Assignment,
    /// Where it sleeps, as spare or with a parked lane.
    pub(crate) parker: Parker,
    /// The placement for which its mask is narrowed to the lane's CPU; 0 for none. An odd number is
    /// one under way: the mask may be narrowed at any moment.
    placed: AtomicU32,
    /// Placements so far.
    placements: AtomicU32,
    /// It sleeps, or is about to: its mask may be narrowed.
    asleep: AtomicBool,
    /// The CPU where it fell asleep last.
    slept_on: AtomicU32,
    /// Kernel thread id.
    tid: AtomicI32,
    /// The state file of the thread, opened at the first look. Nobody waits for the lock: its
    /// holder may be a spotter that does not get a CPU.
    probe: Mutex<Option<(os::Tid, os::ThreadProbe)>>,
    /// When its lane was taken from it, ns; 0 for never. For telling wasted hand-overs.
    displaced_ns: AtomicU64,
    /// Its item does not move although work waits: the thread's CPU time when that item was first
    /// seen, ns; 0 for never. The item burns if its poll uses much from there on.
    stood_still_ns: AtomicU64,
    /// Which item that is, by the count of starts.
    stood_still_item: AtomicU64,
    /// The futex on which it was seen asleep when its lane was taken; 0 for none.
    waits_on: AtomicUsize,
    /// Its item and its CPU time at the last look at it while it waited on one.
    seen_item: AtomicU64,
    seen_cpu_ns: AtomicU64,
    /// What people are shown of its item.
    pub(crate) shown: Shown,
    /// The name of its thread.
    name: Mutex<String>,
    /// The pool of its thread.
    pool: Mutex<Weak<Pool>>,
}

/// What a worker writes for each item, and others read.
#[derive(Debug)]
struct Progress {
    /// Items started, counted by the worker alone; with `in_item` the sensors' stamp.
    starts: AtomicU64,
    /// Whether it runs user code now.
    in_item: AtomicBool,
    /// What that is, or was last.
    doing: Doing,
    /// Of which queue it is, by address.
    queue: AtomicUsize,
    /// Where its metadata are.
    item: AtomicUsize,
}

/// The item that a worker runs, as seen from outside: addresses and not references, since it may be
/// over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct InItem {
    /// Which one, by the worker's count.
    pub(crate) starts: u64,
    /// Address of its queue.
    pub(crate) queue: usize,
    /// Address of its metadata.
    pub(crate) item: usize,
}

impl Worker {
    /// A record without a thread.
    pub(crate) fn new(id: WorkerId) -> Worker {
        Worker {
            id,
            mark: CachePadded::new(Mark::new()),
            progress: CachePadded::new(Progress {
                starts: AtomicU64::new(0),
                in_item: AtomicBool::new(false),
                doing: Doing::new(),
                queue: AtomicUsize::new(0),
                item: AtomicUsize::new(0),
            }),
            shown: Shown::new(),
            may_block: AtomicBool::new(false),
            in_block: AtomicBool::new(false),
            turn: AtomicU32::new(0),
            marked: AtomicU64::new(0),
            spare: SpareSlot::new(),
            assignment: Assignment::new(),
            parker: Parker::new(),
            placed: AtomicU32::new(0),
            placements: AtomicU32::new(2),
            asleep: AtomicBool::new(false),
            slept_on: AtomicU32::new(u32::MAX),
            tid: AtomicI32::new(NO_TID),
            probe: Mutex::new(None),
            displaced_ns: AtomicU64::new(0),
            stood_still_ns: AtomicU64::new(0),
            stood_still_item: AtomicU64::new(0),
            waits_on: AtomicUsize::new(0),
            seen_item: AtomicU64::new(0),
            seen_cpu_ns: AtomicU64::new(0),
            name: Mutex::new(String::new()),
            pool: Mutex::new(Weak::new()),
        }
    }

    /// The worker is about to sleep.
    pub(crate) fn fall_asleep(&self) {
        // Relaxed: a hint.
        self.slept_on
            .store(os::current_cpu() as u32, Ordering::Relaxed);
        self.restore_name();
        // Relaxed: a placer that misses it does not place.
        self.asleep.store(true, Ordering::Relaxed);
    }

    /// Whether this is the CPU where it fell asleep last.
    pub(crate) fn was_on(&self, cpu: usize) -> bool {
        // Relaxed: a hint.
        self.slept_on.load(Ordering::Relaxed) == cpu as u32
    }

    /// Whether it fell asleep last on one of these CPUs. A new one did so nowhere.
    pub(crate) fn was_on_one_of(&self, cpus: &CpuSet) -> bool {
        // Relaxed: a hint.
        cpus.contains(self.slept_on.load(Ordering::Relaxed) as usize)
    }

    /// The pool's mask has changed: gives it to the thread, if there is one.
    pub(crate) fn set_mask_anew(&self) {
        let pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((tid, pool)) = self.tid().zip(pool.upgrade()) {
            // A refusal leaves it where the kernel has put it.
            let _ = os::set_affinity(tid, &pool.mask.load());
        }
    }

    /// Whether its thread is, or was last, of this pool.
    pub(crate) fn is_of(&self, pool: &Pool) -> bool {
        let its = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        std::ptr::eq(its.as_ptr(), pool)
    }

    /// The pool that the thread is to be of, from now on.
    pub(crate) fn set_pool(&self, pool: &Arc<Pool>) {
        *self.pool.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(pool);
    }

    /// Its lane is about to be taken from it, because it sleeps or because its item does not end,
    /// which was first seen when the thread had used so much CPU time. Before the change of hands:
    /// a victim that returns at once reads it.
    pub(crate) fn note_displaced(&self, stood_still: Option<u64>) {
        self.note_standing_still(self.starts(), stood_still.unwrap_or(0));
        // Relaxed: a statistic.
        self.displaced_ns
            .store(os::monotonic_ns(), Ordering::Relaxed);
    }

    /// Its item with this number does not move although work waits, and was first seen when the
    /// thread had used so much CPU time, ns.
    pub(crate) fn note_standing_still(&self, item: u64, cpu_ns: u64) {
        // Relaxed: hints; one that comes too late names an item that is over.
        self.stood_still_item.store(item, Ordering::Relaxed);
        self.stood_still_ns.store(cpu_ns, Ordering::Relaxed);
    }

    /// The worker knows that its lane was taken: when, ns; 0 if it has never been since.
    pub(crate) fn take_displaced_ns(&self) -> u64 {
        self.forget_standing_still();
        // Relaxed: as above.
        self.displaced_ns.swap(0, Ordering::Relaxed)
    }

    /// Its lane is about to be taken while it waits on this futex; 0 for none.
    pub(crate) fn note_wait(&self, futex: usize) {
        // Relaxed: a hint.
        self.waits_on.store(futex, Ordering::Relaxed);
    }

    /// It sleeps: has it been up since the last such look, in the same item?
    pub(crate) fn was_up(&self) -> bool {
        let (item, cpu_ns) = (self.starts(), self.cpu_ns());
        // Relaxed: a hint.
        let same = self.seen_item.swap(item, Ordering::Relaxed) == item;
        let before = self.seen_cpu_ns.swap(cpu_ns, Ordering::Relaxed);
        same && cpu_ns > before
    }

    /// The futex on which it was seen asleep since the last call; 0 for none.
    pub(crate) fn take_wait(&self) -> usize {
        // Relaxed: as above.
        self.waits_on.swap(0, Ordering::Relaxed)
    }

    /// The same for the present item, whose poll is about to end.
    pub(crate) fn take_stood_still_ns(&self) -> Option<u64> {
        let since = self.stood_still_ns();
        self.forget_standing_still();
        // Relaxed: as above.
        let item = self.stood_still_item.load(Ordering::Relaxed);
        (since != 0 && item == self.starts()).then_some(since)
    }

    /// Its present item is over.
    fn forget_standing_still(&self) {
        // Relaxed: as above.
        self.stood_still_ns.store(0, Ordering::Relaxed);
    }

    /// See [`Worker::note_standing_still`]; 0 for never.
    #[inline]
    pub(crate) fn stood_still_ns(&self) -> u64 {
        // Relaxed: as above.
        self.stood_still_ns.load(Ordering::Relaxed)
    }

    /// CPU time of the thread so far, ns; 0 where that is not known.
    pub(crate) fn cpu_ns(&self) -> u64 {
        let time = self.tid().and_then(|tid| os::thread_cpu_time(tid).ok());
        time.map_or(0, |time| time.as_nanos() as u64)
    }

    /// The thread of this record is the calling one.
    pub(crate) fn adopt_thread(&self) {
        // Relaxed: sensors re-read it at each look.
        self.tid.store(os::gettid(), Ordering::Relaxed);
    }

    /// The thread has ended or ends now.
    pub(crate) fn abandon_thread(&self) {
        // Relaxed: as above.
        self.tid.store(NO_TID, Ordering::Relaxed);
    }

    /// Kernel thread id, if the thread is up.
    pub(crate) fn tid(&self) -> Option<os::Tid> {
        // Relaxed: a sensor that sees an old value looks at a thread that is not there.
        let tid = self.tid.load(Ordering::Relaxed);
        (tid != NO_TID).then_some(tid)
    }

    /// Names the record after its new thread.
    pub(crate) fn set_name(&self, name: &str) {
        name.clone_into(&mut self.name.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The name of its thread.
    pub(crate) fn name(&self) -> String {
        self.name
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// An item begins, which is at these addresses.
    #[inline(always)]
    pub(crate) fn begin_item(&self, queue: usize, item: usize) {
        // Relaxed: the worker alone writes; sensors compare two looks.
        let starts = self.progress.starts.load(Ordering::Relaxed);
        self.progress
            .starts
            .store(starts.wrapping_add(1), Ordering::Relaxed);
        self.progress.queue.store(queue, Ordering::Relaxed);
        self.progress.item.store(item, Ordering::Relaxed);
        self.progress.in_item.store(true, Ordering::Relaxed);
    }

    /// The item that it runs now. What is read with it from elsewhere belongs to it if the answer
    /// is the same afterwards.
    pub(crate) fn in_item(&self) -> Option<InItem> {
        // Relaxed: hints. A mixture of two items is no danger: addresses are compared alone.
        let item = InItem {
            starts: self.starts(),
            queue: self.progress.queue.load(Ordering::Relaxed),
            item: self.progress.item.load(Ordering::Relaxed),
        };
        self.is_in_item().then_some(item)
    }

    /// The item's poll is over.
    #[inline(always)]
    pub(crate) fn end_item(&self) {
        // Relaxed: as in `begin_item`.
        self.progress.in_item.store(false, Ordering::Relaxed);
    }

    /// Number of items started: unchanged between two looks means the same item.
    pub(crate) fn starts(&self) -> u64 {
        // Relaxed: see `begin_item`.
        self.progress.starts.load(Ordering::Relaxed)
    }

    /// Whether it runs user code now.
    pub(crate) fn is_in_item(&self) -> bool {
        // Relaxed: see `begin_item`.
        self.progress.in_item.load(Ordering::Relaxed)
    }

    /// A future or closure of this kind is about to be polled.
    #[inline(always)]
    pub(crate) fn note_kind(&self, kind: &'static Kind) {
        self.progress.doing.set(kind);
    }

    /// The kind of what it runs, or ran last.
    pub(crate) fn kind(&self) -> Option<&'static Kind> {
        self.progress.doing.get()
    }

    /// The type of the future or closure that it runs, if it runs one. A look: it may be the one
    /// before, or be over when this returns. Waits for nothing and takes no memory.
    pub(crate) fn doing(&self) -> Option<&'static str> {
        self.kind().filter(|_| self.is_in_item()).map(Kind::name)
    }

    /// The item says that it may block from here on, or not any more. True: it had said so before.
    pub(crate) fn set_may_block(&self, may: bool) -> bool {
        // Relaxed: the worker alone writes; a hint for the spotter, which looks again later.
        let before = self.may_block.load(Ordering::Relaxed);
        self.may_block.store(may, Ordering::Relaxed);
        before
    }

    /// The item is inside a block that it declared, or not any more.
    pub(crate) fn set_in_block(&self, inside: bool) {
        // Relaxed: the worker alone writes; who reads it looks again later.
        self.in_block.store(inside, Ordering::Relaxed);
    }

    /// Whether the item is inside a block that it declared.
    pub(crate) fn is_in_block(&self) -> bool {
        // Relaxed: see `set_in_block`.
        self.in_block.load(Ordering::Relaxed)
    }

    /// Its item has a turn to burn in this pool.
    pub(crate) fn take_turn(&self, pool: u32) {
        // Relaxed: a number; what it counts for is behind the lock of `burners`.
        self.turn.store(pool + 1, Ordering::Relaxed);
    }

    /// Whether its item has a turn to burn in this pool.
    pub(crate) fn has_turn(&self, pool: u32) -> bool {
        // Relaxed: as above.
        self.turn.load(Ordering::Relaxed) == pool + 1
    }

    /// Takes the turn from its item; true for the one who did, who must pass it on.
    pub(crate) fn end_turn(&self) -> bool {
        // Relaxed: as above.
        self.turn.swap(0, Ordering::Relaxed) != 0
    }

    /// Whether the item with this number was marked CPU intensive.
    #[inline]
    pub(crate) fn is_marked(&self, starts: u64) -> bool {
        // Relaxed: a statistic.
        self.marked.load(Ordering::Relaxed) == starts
    }

    /// Marks the item with this number; true for the one who did it first.
    pub(crate) fn claim_mark(&self, starts: u64) -> bool {
        // Relaxed: as above.
        self.marked.swap(starts, Ordering::Relaxed) != starts
    }

    /// Whether the item said that it may block.
    pub(crate) fn may_block(&self) -> bool {
        // Relaxed: see `set_may_block`.
        self.may_block.load(Ordering::Relaxed)
    }

    /// Looks at the worker once more, its lane claimed: for who was seen asleep that look stands
    /// for the barrier, at a fifth of its price.
    pub(crate) fn standing(&self) -> Standing {
        match self.look().state {
            os::ThreadState::Asleep => Standing::Asleep,
            os::ThreadState::Running => Standing::Awake,
            os::ThreadState::Blocked | os::ThreadState::Unknown => Standing::Unknown,
        }
    }

    /// What the kernel says of the thread: one read of a file that stays open.
    pub(crate) fn look(&self) -> os::Sight {
        let Some(tid) = self.tid() else {
            return os::ThreadState::Unknown.into();
        };
        // Two readers of one open file would wait for each other in the kernel.
        let Ok(mut kept) = self.probe.try_lock() else {
            return os::ThreadProbe::look_once(tid);
        };
        if kept.as_ref().is_none_or(|(of, _)| *of != tid) {
            *kept = os::ThreadProbe::open(tid).ok().map(|probe| (tid, probe));
        }
        let Some((_, probe)) = &*kept else {
            return os::ThreadProbe::look_once(tid);
        };
        let sight = probe.look();
        if sight.state == os::ThreadState::Unknown {
            // The file may be that of an earlier thread with this number.
            *kept = None;
        }
        sight
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use crate::{DelayedWork, System, Work};

    /// What the only busy worker of `system` does.
    fn doing(system: &System) -> Option<&'static str> {
        system.inner.records().find_map(|worker| worker.doing())
    }

    /// Something for an item to do: says that it runs, and waits until it may end.
    fn held() -> (impl FnOnce() + Send + 'static, Receiver<()>, Sender<()>) {
        let ((began, begins), (go, may_go)) = (channel(), channel());
        let hold = move || {
            began.send(()).expect("the test waits");
            may_go.recv().expect("the test lets it go");
        };
        (hold, begins, go)
    }

    /// Runs one item, and returns what its worker is said to do meanwhile.
    fn seen(queue_it: impl FnOnce(&System, Box<dyn FnOnce() + Send>)) -> &'static str {
        let system = System::builder().workers(1).build().expect("a System");
        let (hold, begins, go) = held();
        queue_it(&system, Box::new(hold));
        begins.recv().expect("it runs");
        let seen = doing(&system).expect("a worker runs it");
        go.send(()).expect("it waits");
        drop(system);
        seen
    }

    /// A function of the user's.
    async fn serve(hold: Box<dyn FnOnce() + Send>) {
        hold();
    }

    /// Goal: who looks at a worker learns the type of the user's future or closure. Method: every
    /// way to queue something, looked at while it runs.
    #[test]
    fn a_worker_names_what_it_runs() {
        let here = |name: &str| name.contains("worker::tests::") && name.contains("{{closure}}");
        let future = seen(|system, hold| drop(system.default_queue().spawn(serve(hold))));
        assert!(future.contains("::serve"), "{future}");
        let function = seen(|system, hold| {
            let hold = move || {
                hold();
            };
            drop(system.default_queue().spawn_fn(hold));
        });
        assert!(
            here(function) && !function.contains("spawn_fn"),
            "{function}"
        );
        let work = seen(|system, hold| {
            let mut hold = Some(hold);
            let work = Work::new(move || hold.take().map_or((), |hold| hold()));
            let _ = system.default_queue().queue(&work);
        });
        assert!(here(work), "{work}");
        let delayed = seen(|system, hold| {
            let mut hold = Some(hold);
            let work = DelayedWork::new(move || hold.take().map_or((), |hold| hold()));
            let _ = system
                .default_queue()
                .queue_after(&work, std::time::Duration::ZERO);
        });
        assert!(here(delayed), "{delayed}");
        let boxed = seen(|system, hold| {
            let boxed: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(serve(hold));
            drop(system.default_queue().spawn(boxed));
        });
        assert!(boxed.contains("dyn"), "{boxed}");
    }

    /// Goal: a worker between items does nothing that has a name. Method: waits until it says so,
    /// which is a moment after the item's handle knows.
    #[test]
    fn an_idle_worker_names_nothing() {
        let system = System::builder().workers(1).build().expect("a System");
        system.run(async {});
        while doing(&system).is_some() {
            std::thread::yield_now();
        }
    }
}
