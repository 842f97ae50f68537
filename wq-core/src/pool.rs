//! A worker pool: lanes, spare workers, and the attributes that its workers share.
//!
//! Per CPU there is a normal and a high priority pool with one lane each; unbound pools are made
//! on demand, one for each set of attributes, with a lane for each CPU they may use. A pool has
//! no thread until it is used, and its memory stays as long as its System: a waker may look.

use crate::sync::plain::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use crate::CpuSet;
use crate::bh::Fifo;
use crate::burners::Burners;
use crate::cpuset::WORDS;
use crate::lane::Lane;
use crate::policy::Load;
use crate::proto::arm::Armed;
use crate::proto::spares::Spares;
use crate::queue::limit::Charge;
use crate::rescuer::Distress;
use crate::resumer::Resumer;
use crate::sense::convoy::Convoys;

/// Threads of one pool, if nobody says otherwise: a System whose tasks all block should end as a
/// report, not as a machine without memory.
pub(crate) const MAX_POOL_WORKERS: u32 = 512;

/// Nice value of high priority pools (tried; needs a right).
pub(crate) const HIGHPRI_NICE: i8 = -20;

/// What tells pools apart.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct PoolAttrs {
    /// Nice value of the workers.
    pub(crate) nice: i8,
    /// CPUs that the workers may use: those of the queue, or (strict) of the pod.
    pub(crate) cpus: CpuSet,
    /// CPUs that it has a lane for: those that share the pool, a part of `cpus`.
    pub(crate) pod: CpuSet,
    /// Workers never leave the pod.
    pub(crate) strict: bool,
    /// Bound to one CPU and managed there.
    pub(crate) percpu: bool,
    /// For BH items, which one thread of the CPU runs: no worker is ever given its lane.
    pub(crate) bh: bool,
}

/// Where the indices of a pool's lanes are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family {
    /// See `Pool::family`.
    pub(crate) id: u32,
    /// Index of the pool's first lane.
    pub(crate) first: usize,
    /// Lanes of the whole family.
    pub(crate) lanes: usize,
}

/// Where a lane is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LanePlace<'a> {
    /// The kernel's number of the CPU.
    pub(crate) cpu: usize,
    /// The CPU's place among those in use.
    pub(crate) ordinal: usize,
    /// Whether somebody looks at that CPU.
    pub(crate) armed: &'a Arc<CachePadded<Armed>>,
}

/// A pool.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Number within the System; shown in the names of its threads.
    pub(crate) id: u32,
    /// Pools whose lanes share an index space: all normal per-CPU pools, all high priority
    /// ones, or the unbound pools that were made together, for one queue's pods.
    pub(crate) family: u32,
    /// Size of that space.
    pub(crate) family_lanes: usize,
    /// Attributes.
    pub(crate) attrs: PoolAttrs,
    /// What the slots of items are charged to that are queued for it.
    pub(crate) charge: Charge,
    lanes: Box<[Lane]>,
    /// Lanes that get work from outside, from the first on: see `system/limits.rs`.
    in_use: AtomicUsize,
    /// CPUs that the workers may use now.
    pub(crate) mask: SharedMask,
    /// Locks that many of its items want.
    pub(crate) convoys: Convoys,
    /// Workers without a lane.
    pub(crate) spares: Spares,
    /// Threads, spare ones included.
    pub(crate) nr_workers: AtomicU32,
    /// Spare workers.
    pub(crate) nr_idle: AtomicU32,
    /// Workers that are about to be spares: made and not up yet, or on their way back.
    pub(crate) wanted: AtomicU32,
    /// The maker has this pool on its list.
    pub(crate) managing: AtomicBool,
    /// Lanes that nobody runs (vacant, or the owner sleeps), a bit each; a hint.
    unused: Box<[CachePadded<AtomicU64>]>,
    /// Workers that came back from an item whose lane another one has; a statistic, and what the
    /// thread maker tells progress by.
    pub(crate) returns: AtomicU32,
    /// Threads that it has without hesitation; see `policy::room`.
    pub(crate) bound: u32,
    /// Numbers the workers for their names.
    pub(crate) next_serial: AtomicU32,
    /// Who of the known burners may burn.
    pub(crate) burners: Burners,
    /// The worker that only resumes, for a pool that has no other left.
    pub(crate) resumer: Resumer,
    /// A worker was needed, and none could be made.
    pub(crate) distress: Distress,
    /// What the CPU's BH thread has taken out of the lane's inbox, in a BH pool.
    pub(crate) fifo: Fifo,
    /// Times that nothing ended for a while although it had all its workers.
    pub(crate) stalls: AtomicU32,
}

impl Pool {
    /// A pool with a vacant lane at each of `places`.
    pub(crate) fn new<'a>(
        id: u32,
        family: Family,
        attrs: PoolAttrs,
        charge: Charge,
        places: impl Iterator<Item = LanePlace<'a>>,
        bound: u32,
    ) -> Pool {
        let percpu = attrs.percpu;
        let mask = SharedMask::new(&attrs.cpus);
        let lanes: Box<[Lane]> = places
            .enumerate()
            .map(|(n, place)| Lane::new(family.first + n, place, percpu))
            .collect();
        let nr_lanes = lanes.len();
        let words = nr_lanes.div_ceil(64);
        Pool {
            id,
            family: family.id,
            family_lanes: family.lanes,
            attrs,
            charge,
            lanes,
            in_use: AtomicUsize::new(nr_lanes),
            mask,
            convoys: Convoys::new(),
            spares: Spares::new(),
            nr_workers: AtomicU32::new(0),
            nr_idle: AtomicU32::new(0),
            wanted: AtomicU32::new(0),
            managing: AtomicBool::new(false),
            unused: (0..words)
                .map(|word| all_unused(nr_lanes - word * 64))
                .collect(),
            next_serial: AtomicU32::new(0),
            returns: AtomicU32::new(0),
            bound,
            burners: Burners::new(nr_lanes),
            resumer: Resumer::none(),
            distress: Distress::none(),
            fifo: Fifo::new(),
            stalls: AtomicU32::new(0),
        }
    }

    /// The same pool, whose lanes no sensor is to look at.
    pub(crate) fn unwatched(mut self) -> Pool {
        self.lanes.iter_mut().for_each(Lane::never_watch);
        self
    }

    /// The lanes, in order of their slots.
    #[inline(always)]
    pub(crate) fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// How many lanes, from the first on, get work from outside; at least one.
    pub(crate) fn in_use(&self) -> usize {
        // Relaxed: routing alone depends on it; a lane out of use is served all the same.
        self.in_use.load(Ordering::Relaxed)
    }

    /// Takes lanes out of use, or back into it.
    pub(crate) fn set_in_use(&self, lanes: usize) {
        // Relaxed: as above.
        self.in_use
            .store(lanes.clamp(1, self.lanes.len()), Ordering::Relaxed);
    }

    /// The slot of a lane within the pool.
    #[inline(always)]
    pub(crate) fn slot_of(&self, lane: &Lane) -> usize {
        lane.index - self.lanes[0].index
    }

    /// The slot of the lane on this CPU.
    pub(crate) fn slot_on(&self, cpu: usize) -> Option<usize> {
        self.lanes.binary_search_by_key(&cpu, |lane| lane.cpu).ok()
    }

    /// The lane on the CPU with this ordinal, or one that stands for it.
    #[inline(always)]
    pub(crate) fn lane_at(&self, ordinal: usize) -> &Lane {
        let slot = ordinal.wrapping_sub(self.lanes[0].ordinal);
        match self.lanes.get(slot) {
            Some(lane) if lane.ordinal == ordinal => lane,
            _ => self.search_lane(ordinal),
        }
    }

    /// Where the CPUs are not neighbours, or the CPU is not one of the pool's.
    #[cold]
    fn search_lane(&self, ordinal: usize) -> &Lane {
        let found = self.lanes.binary_search_by_key(&ordinal, |l| l.ordinal);
        &self.lanes[found.unwrap_or(0)]
    }

    /// Whether the pool belongs to one CPU.
    #[inline(always)]
    pub(crate) fn is_percpu(&self) -> bool {
        self.attrs.percpu
    }

    /// Notes that nobody runs a lane: its owner is about to sleep, or gives it up.
    pub(crate) fn note_unused(&self, slot: usize) {
        // Relaxed: a hint; the owner word decides.
        self.unused[slot / 64].fetch_or(1 << (slot % 64), Ordering::Relaxed);
    }

    /// Notes that somebody runs a lane.
    pub(crate) fn note_used(&self, slot: usize) {
        // Relaxed: as above.
        self.unused[slot / 64].fetch_and(!(1 << (slot % 64)), Ordering::Relaxed);
    }

    /// A lane in use other than `not` (which need not exist) that nobody runs, as far as the hints
    /// tell.
    #[inline]
    pub(crate) fn unused_lane(&self, not: usize) -> Option<&Lane> {
        let in_use = self.in_use();
        for (word, bits) in self.unused.iter().enumerate() {
            // Relaxed: as above.
            let mut bits = bits.load(Ordering::Relaxed) & first_bits(in_use, word);
            if word == not / 64 {
                bits &= !(1 << (not % 64));
            }
            if bits != 0 {
                return self.lanes.get(word * 64 + bits.trailing_zeros() as usize);
            }
        }
        None
    }

    /// Whether somebody runs a lane other than `not`, as far as the hints tell.
    pub(crate) fn others_run(&self, not: usize) -> bool {
        // Relaxed: as above.
        let unused: u32 = self
            .unused
            .iter()
            .map(|bits| bits.load(Ordering::Relaxed).count_ones())
            .sum();
        // Relaxed: as above.
        let own = self.unused[not / 64].load(Ordering::Relaxed) >> (not % 64) & 1;
        (unused - (own as u32).min(unused)) as usize + 1 < self.lanes.len()
    }

    /// Workers that lost their lane inside an item and are not back, as far as the counts tell.
    pub(crate) fn away(&self) -> u32 {
        let held = |lane: &&Lane| !lane.view().is_vacant();
        let held = self.lanes.iter().filter(held).count() as u32;
        // Relaxed: policy counts.
        let home =
            held + self.nr_idle.load(Ordering::Relaxed) + self.wanted.load(Ordering::Relaxed);
        self.nr_workers.load(Ordering::Relaxed).saturating_sub(home)
    }

    /// Whether it has half of the workers that it may have, so that the machine or the bound may
    /// soon leave it without one to spare.
    pub(crate) fn nears_bound(&self) -> bool {
        // Relaxed: a count for policy.
        self.nr_workers.load(Ordering::Relaxed) >= self.bound.div_ceil(2)
    }

    /// The snapshot that the predicates decide on.
    pub(crate) fn load(&self, has_work: bool, nr_running: u32) -> Load {
        // Relaxed: the decisions made from it are looked at again when they are performed.
        Load {
            has_work,
            nr_running,
            nr_idle: self.nr_idle.load(Ordering::Relaxed),
            nr_workers: self.nr_workers.load(Ordering::Relaxed),
            managing: self.managing.load(Ordering::Relaxed)
                || self.wanted.load(Ordering::Relaxed) > 0,
        }
    }

    /// What the names of its threads begin with, after the System's tag: the kernel's scheme.
    pub(crate) fn label(&self) -> String {
        if self.attrs.bh {
            format!("bh{}", self.lanes[0].cpu)
        } else if self.attrs.percpu {
            format!("{}", self.lanes[0].cpu)
        } else {
            format!("u{}", self.id)
        }
    }

    /// Whether its workers are to be placed when they get a lane: they may use several CPUs.
    pub(crate) fn floats(&self) -> bool {
        !self.attrs.percpu && self.attrs.cpus.count() > 1
    }

    /// Whether its workers may be outside of its pod when they get a lane.
    pub(crate) fn roams(&self) -> bool {
        self.attrs.pod != self.attrs.cpus
    }
}

/// Those bits of a hint word that belong to the first `lanes` lanes.
fn first_bits(lanes: usize, word: usize) -> u64 {
    let here = lanes.saturating_sub(word * 64);
    if here >= 64 {
        u64::MAX
    } else {
        (1 << here) - 1
    }
}

/// A set of CPUs that one thread changes and all may read, without a lock: a spotter does. A reader
/// may get a part of the old and a part of the new set, and the one who changes it sets the masks
/// of all workers anew afterwards.
#[derive(Debug)]
pub(crate) struct SharedMask([AtomicU64; WORDS]);

impl SharedMask {
    /// Begins with these.
    pub(crate) fn new(cpus: &CpuSet) -> SharedMask {
        SharedMask(cpus.words().map(AtomicU64::new))
    }

    /// What it is now.
    pub(crate) fn load(&self) -> CpuSet {
        // Relaxed: see the type.
        CpuSet::from_words(self.0.each_ref().map(|word| word.load(Ordering::Relaxed)))
    }

    /// Changes it.
    pub(crate) fn store(&self, cpus: &CpuSet) {
        for (word, value) in self.0.iter().zip(cpus.words()) {
            // Relaxed: see the type.
            word.store(*value, Ordering::Relaxed);
        }
    }
}

/// The hint word of up to 64 of `lanes` lanes that nobody runs.
fn all_unused(lanes: usize) -> CachePadded<AtomicU64> {
    let bits = if lanes >= 64 {
        u64::MAX
    } else {
        (1 << lanes) - 1
    };
    CachePadded::new(AtomicU64::new(bits))
}
