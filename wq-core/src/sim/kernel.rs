//! The scheduler of a virtual machine: who runs on which virtual CPU, and when the clock moves.
//!
//! Code takes no time; only what is burnt does. Highest priority first, preemptive between the
//! levels, first come first served inside one, no slices. A thread whose burn is over is not
//! preempted before it has said what it does next, since that takes no time. At one instant,
//! first the service threads act, then sleepers wake, then CPUs go on in an order that the seed
//! chooses. Nothing else is left to chance.

use std::time::Duration;

use crate::CpuSet;

/// A thread may look so often at others at one instant; then each look takes time.
const FREE_LOOKS: u32 = 16;

/// A thread that reads the clock so often at one instant waits for something in a loop, and would
/// do so for ever.
const CLOCK_READS: u32 = 100_000;

/// Index of a virtual thread.
pub(crate) type ThreadId = usize;

/// How urgent a thread is; less is more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Class {
    /// Runs at once, on a CPU of its own: service threads, and whoever drives the test.
    Outside,
    /// Competes for the CPUs.
    Nice(i8),
    /// Runs when nobody else wants the CPU.
    Idle,
}

/// What a thread does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Run {
    /// Waits for a CPU.
    Ready,
    /// Has a CPU (or needs none), and burns its time there or runs code.
    Running,
    /// Sleeps on a futex word, or for a time, or both.
    Blocked {
        /// Address of the word; 0 for none.
        word: usize,
        /// When to wake up at the latest.
        until_ns: u64,
    },
    /// Has ended.
    Done,
}

/// A virtual thread.
#[derive(Debug)]
pub(super) struct Thread {
    /// What its maker called it.
    pub(super) name: String,
    pub(super) run: Run,
    pub(super) class: Class,
    /// Where it may run.
    pub(super) mask: CpuSet,
    /// Where it runs, or last did.
    pub(super) cpu: usize,
    /// CPU time to burn before its code goes on.
    left_ns: u64,
    /// When the present stretch of burning began.
    since_ns: u64,
    /// CPU time burnt in earlier stretches.
    burnt_ns: u64,
    /// It has not asked for CPUs yet: it is set up outside, then competes in this class.
    booting: Option<Class>,
    /// An instant at which it looked at other threads, and how often.
    looks: (u64, u32),
    /// An instant at which it read the clock, and how often.
    clock_reads: (u64, u32),
    /// Order among equals: when it came into its state.
    seq: u64,
    /// The last sleep ended by a wake-up, not by its limit.
    pub(super) woken: bool,
}

impl Thread {
    /// When its burn will be over.
    fn end_ns(&self) -> u64 {
        self.since_ns + self.left_ns
    }

    /// Whether it has a CPU and code to run, at time `now_ns`.
    fn is_at_code(&self, now_ns: u64) -> bool {
        self.run == Run::Running && self.end_ns() <= now_ns
    }
}

/// What happens next in a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// This thread's code runs.
    Code(ThreadId),
    /// All code of this instant has run; the clock may move.
    Rest,
}

/// The scheduler's state.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) now_ns: u64,
    pub(super) threads: Vec<Thread>,
    /// Who has which CPU.
    cpus: Vec<Option<ThreadId>>,
    seq: u64,
    random: u64,
}

impl Kernel {
    /// A machine with so many CPUs and no thread.
    pub(super) fn new(cpus: usize, seed: u64) -> Kernel {
        // Splitmix64 wants no particular seed.
        Kernel {
            now_ns: 0,
            threads: Vec::new(),
            cpus: vec![None; cpus],
            seq: 0,
            random: seed,
        }
    }

    /// Adds a thread that is ready to run.
    pub(super) fn add(&mut self, name: String, class: Class) -> ThreadId {
        let seq = self.next_seq();
        self.threads.push(Thread {
            name,
            run: Run::Ready,
            class,
            mask: CpuSet::from_iter(0..self.cpus.len()),
            cpu: 0,
            left_ns: 0,
            since_ns: self.now_ns,
            burnt_ns: 0,
            booting: None,
            looks: (0, 0),
            clock_reads: (0, 0),
            seq,
            woken: false,
        });
        self.threads.len() - 1
    }

    /// Adds a thread that a maker has made: it starts at once, and competes for CPUs from the
    /// moment when it says on which it may run.
    pub(super) fn add_booting(&mut self, name: String) -> ThreadId {
        let id = self.add(name, Class::Outside);
        self.threads[id].booting = Some(Class::Nice(0));
        id
    }

    /// A running thread looks at another one. True: it has looked so often at this instant that
    /// it waits for something, and time must pass.
    pub(super) fn looks_too_often(&mut self, id: ThreadId) -> bool {
        count_at(&mut self.threads[id].looks, self.now_ns) > FREE_LOOKS
    }

    /// A thread reads the clock. True: it does nothing else.
    pub(super) fn reads_the_clock_too_often(&mut self, id: ThreadId) -> bool {
        count_at(&mut self.threads[id].clock_reads, self.now_ns) > CLOCK_READS
    }

    /// A running thread wants to burn CPU time before its code goes on.
    pub(super) fn burn(&mut self, id: ThreadId, time: Duration) {
        let now_ns = self.now_ns;
        let thread = &mut self.threads[id];
        (thread.left_ns, thread.since_ns) = (time.as_nanos() as u64, now_ns);
    }

    /// A running thread goes to sleep.
    pub(super) fn block(&mut self, id: ThreadId, word: usize, until_ns: u64) {
        self.set_run(id, Run::Blocked { word, until_ns });
        self.threads[id].woken = false;
    }

    /// Wakes up to `n` threads that sleep on `word`, the longest sleeper first.
    pub(super) fn wake(&mut self, word: usize, n: u32) -> usize {
        let sleeps = |t: &Thread| matches!(t.run, Run::Blocked { word: w, .. } if w == word);
        for count in 0..n as usize {
            let Some(id) = self.first(sleeps) else {
                return count;
            };
            self.set_run(id, Run::Ready);
            self.threads[id].woken = true;
            self.bring_into_mask(id);
        }
        n as usize
    }

    /// A thread that wakes up outside of its mask is brought to a CPU of that, a free one if there
    /// is any, and prefers it from then on.
    fn bring_into_mask(&mut self, id: ThreadId) {
        let thread = &self.threads[id];
        if thread.class == Class::Outside || thread.mask.contains(thread.cpu) {
            return;
        }
        let nr_cpus = self.cpus.len();
        let mask = thread.mask.iter().filter(|&cpu| cpu < nr_cpus);
        let (free, taken): (Vec<_>, Vec<_>) = mask.partition(|&cpu| self.cpus[cpu].is_none());
        let among = if free.is_empty() { taken } else { free };
        if !among.is_empty() {
            self.threads[id].cpu = among[self.choose(among.len())];
        }
    }

    /// A thread leaves its CPU, or comes into another state without one.
    pub(super) fn set_run(&mut self, id: ThreadId, run: Run) {
        let seq = self.next_seq();
        for place in &mut self.cpus {
            if *place == Some(id) {
                *place = None;
            }
        }
        let thread = &mut self.threads[id];
        (thread.run, thread.seq) = (run, seq);
    }

    /// Changes where a thread may run; if it runs elsewhere, it moves.
    pub(super) fn set_mask(&mut self, id: ThreadId, mask: CpuSet) {
        self.threads[id].mask = mask;
        if let Some(class) = self.threads[id].booting.take() {
            self.set_class(id, class);
        }
        let thread = &self.threads[id];
        let misplaced = thread.run == Run::Running && !thread.mask.contains(thread.cpu);
        if misplaced && thread.class != Class::Outside {
            self.preempt(id);
        }
    }

    /// Changes a thread's class. One that leaves the CPUs' competition frees its CPU.
    pub(super) fn set_class(&mut self, id: ThreadId, class: Class) {
        if let Some(later) = &mut self.threads[id].booting {
            *later = class;
            return;
        }
        self.threads[id].class = class;
        if self.threads[id].run == Run::Running {
            self.preempt(id);
        }
    }

    /// CPU time that a thread has burnt.
    pub(super) fn cpu_time_ns(&self, id: ThreadId) -> u64 {
        let thread = &self.threads[id];
        let burning = thread.run == Run::Running && thread.left_ns > 0;
        let stretch = if burning {
            self.now_ns - thread.since_ns
        } else {
            0
        };
        thread.burnt_ns + stretch.min(thread.left_ns)
    }

    /// Who has a CPU, other than the idle class.
    pub(super) fn runs_on(&self, cpu: usize) -> Option<&Thread> {
        let thread = &self.threads[self.cpus[cpu]?];
        (thread.class != Class::Idle).then_some(thread)
    }

    /// Number of CPUs.
    pub(super) fn nr_cpus(&self) -> usize {
        self.cpus.len()
    }

    /// The threads that have not ended, a line for each.
    pub(super) fn describe(&self) -> String {
        let left = self.threads.iter().filter(|t| t.run != Run::Done);
        let line =
            |t: &Thread| format!("  {}: {:?}, {:?}, CPU {}\n", t.name, t.run, t.class, t.cpu);
        left.map(line).collect()
    }

    /// Decides who runs code now.
    pub(super) fn next(&mut self) -> Next {
        let outside = |t: &Thread| {
            t.class == Class::Outside && (t.run == Run::Ready || t.run == Run::Running)
        };
        if let Some(id) = self.first(outside) {
            self.threads[id].run = Run::Running;
            return Next::Code(id);
        }
        self.place_ready();
        let at_code: Vec<ThreadId> = self
            .cpus
            .iter()
            .filter_map(|place| place.filter(|&id| self.threads[id].is_at_code(self.now_ns)))
            .collect();
        if at_code.is_empty() {
            return Next::Rest;
        }
        let id = at_code[self.choose(at_code.len())];
        let thread = &mut self.threads[id];
        thread.burnt_ns += std::mem::take(&mut thread.left_ns);
        Next::Code(id)
    }

    /// Moves the clock to the next thing that happens. False: nothing ever will.
    pub(super) fn advance(&mut self) -> bool {
        let moment = |t: &Thread| match t.run {
            Run::Running => Some(t.end_ns()),
            Run::Blocked { until_ns, .. } if until_ns != u64::MAX => Some(until_ns),
            _ => None,
        };
        let Some(now_ns) = self.threads.iter().filter_map(moment).min() else {
            return false;
        };
        self.now_ns = self.now_ns.max(now_ns);
        let over =
            move |t: &Thread| matches!(t.run, Run::Blocked { until_ns, .. } if until_ns <= now_ns);
        while let Some(id) = self.first(over) {
            self.set_run(id, Run::Ready);
        }
        true
    }

    /// Gives CPUs to the threads that wait for one, the most urgent first.
    fn place_ready(&mut self) {
        let mut waiting: Vec<ThreadId> = (0..self.threads.len())
            .filter(|&id| self.threads[id].run == Run::Ready)
            .collect();
        waiting.sort_by_key(|&id| (self.threads[id].class, self.threads[id].seq));
        for id in waiting {
            if let Some(cpu) = self.cpu_for(id) {
                if let Some(victim) = self.cpus[cpu] {
                    self.preempt(victim);
                }
                self.cpus[cpu] = Some(id);
                let now_ns = self.now_ns;
                let thread = &mut self.threads[id];
                (thread.run, thread.cpu, thread.since_ns) = (Run::Running, cpu, now_ns);
            }
        }
    }

    /// The CPU that a waiting thread gets: its last one if that is free, else any free one, else
    /// one that burns for somebody less urgent.
    fn cpu_for(&mut self, id: ThreadId) -> Option<usize> {
        let thread = &self.threads[id];
        let allowed: Vec<usize> = thread
            .mask
            .iter()
            .filter(|&cpu| cpu < self.cpus.len())
            .collect();
        let free: Vec<usize> = allowed
            .iter()
            .copied()
            .filter(|&cpu| self.cpus[cpu].is_none())
            .collect();
        if free.contains(&thread.cpu) {
            return Some(thread.cpu);
        }
        if !free.is_empty() {
            return Some(free[self.choose(free.len())]);
        }
        let class = thread.class;
        let victim = |&cpu: &usize| {
            let holder = &self.threads[self.cpus[cpu]?];
            let yields = holder.class > class && !holder.is_at_code(self.now_ns);
            yields.then_some((holder.class, cpu))
        };
        allowed
            .iter()
            .filter_map(victim)
            .max_by_key(|&(class, _)| class)
            .map(|(_, cpu)| cpu)
    }

    /// Takes the CPU from a thread; it waits in front of its equals.
    pub(super) fn preempt(&mut self, id: ThreadId) {
        let seq = self.threads[id].seq;
        self.set_run(id, Run::Ready);
        let now_ns = self.now_ns;
        let thread = &mut self.threads[id];
        let stretch = (now_ns - thread.since_ns).min(thread.left_ns);
        thread.left_ns -= stretch;
        thread.burnt_ns += stretch;
        thread.since_ns = now_ns;
        thread.seq = seq;
    }

    /// The thread that has been for longest in a state.
    fn first(&self, is: impl Fn(&Thread) -> bool) -> Option<ThreadId> {
        let ids = 0..self.threads.len();
        ids.filter(|&id| is(&self.threads[id]))
            .min_by_key(|&id| self.threads[id].seq)
    }

    /// The next number of the order of events.
    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// One of `n`, by the seed.
    pub(super) fn choose(&mut self, n: usize) -> usize {
        if n < 2 {
            return 0;
        }
        // Splitmix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// One more of what is counted at this instant; how many that are.
fn count_at(count: &mut (u64, u32), now_ns: u64) -> u32 {
    *count = if count.0 == now_ns {
        (now_ns, count.1 + 1)
    } else {
        (now_ns, 1)
    };
    count.1
}
