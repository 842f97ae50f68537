//! Which sensors a System uses, what the machine lets it do, and the report of both.
//!
//! Every ability is found by trying, none is required, and what is missing is said here. For
//! decisions see [`Sensors`]; nothing else in this file decides anything.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;

use crate::CpuSet;
use crate::os::{ProbeKind, Trial};

/// Who is to notice that a task blocks or burns CPU.
///
/// # Examples
/// ```
/// use wq_core::{Sensing, System};
///
/// let system = System::builder().sensing(Sensing::Monitor).build()?;
/// assert_eq!(system.sensors().sensing, Sensing::Monitor);
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Sensing {
    /// Everybody that can: spotters, siblings, the monitor.
    #[default]
    Auto,
    /// No spotters: siblings and the monitor, which then looks more often. For machines where a
    /// thread for each CPU is too many.
    Monitor,
    /// Nobody. Only blocks that code declares ([`blocking`](crate::blocking), `block_on`, waits of
    /// wq) hand over; any other one, and every burner, holds up what waits on its lane. The
    /// monitor only repairs lost wake-ups. For measuring what the sensors cost.
    Declared,
}

impl fmt::Display for Sensing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sensing::Auto => "auto",
            Sensing::Monitor => "monitor",
            Sensing::Declared => "declared",
        })
    }
}

/// How threads of the process are seen from outside.
///
/// # Examples
/// ```
/// let system = wq_core::System::builder().build()?;
/// println!("blocked threads are seen by {}", system.sensors().thread_states);
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ThreadStates {
    /// `/proc/self/task/TID/syscall`: exact and cheap.
    Syscall,
    /// `/proc/self/task/TID/stat`: exact, and three times as dear.
    Stat,
    /// Not at all: clocks tell, after milliseconds.
    Unseen,
}

impl fmt::Display for ThreadStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ThreadStates::Syscall => "/proc/self/task/*/syscall",
            ThreadStates::Stat => "/proc/self/task/*/stat",
            ThreadStates::Unseen => "clocks alone (no procfs)",
        })
    }
}

/// What came of trying something that the machine may refuse.
///
/// # Examples
/// ```
/// use wq_core::Ability;
///
/// let system = wq_core::System::builder().build()?;
/// if let Ability::Refused { errno } = system.sensors().high_priority {
///     println!("high priority queues run at normal priority: error {errno}");
/// }
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Ability {
    /// Not wanted, or not needed so far.
    Untried,
    /// It works.
    Works,
    /// The machine refused.
    Refused {
        /// The system's error number; `ENOSYS` where the platform has no such thing.
        errno: i32,
    },
}

impl Ability {
    /// Whether it was tried and works.
    ///
    /// # Examples
    /// ```
    /// assert!(!wq_core::Ability::Untried.works());
    /// ```
    pub fn works(self) -> bool {
        self == Ability::Works
    }

    /// As the trial had it.
    pub(crate) fn of(tried: Result<(), i32>) -> Ability {
        tried.map_or_else(|errno| Ability::Refused { errno }, |()| Ability::Works)
    }
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ability::Untried => f.write_str("not used"),
            Ability::Works => f.write_str("yes"),
            Ability::Refused { errno } => write!(f, "refused ({:?})", Errno::from_raw(*errno)),
        }
    }
}

/// An ability as found out by use; the last try counts.
#[derive(Debug)]
pub(crate) struct Found(AtomicI32);

/// Nobody has tried.
const UNTRIED: i32 = -1;
/// The last try worked.
const WORKS: i32 = 0;

impl Found {
    /// Nothing was tried.
    pub(crate) fn new() -> Found {
        Found(AtomicI32::new(UNTRIED))
    }

    /// A try.
    pub(crate) fn note(&self, tried: &io::Result<()>) {
        let word = tried.as_ref().map_or_else(error_number, |()| WORKS);
        // Relaxed: it carries no data.
        self.0.store(word, Ordering::Relaxed);
    }

    /// What came of it.
    pub(crate) fn get(&self) -> Ability {
        // Relaxed: as above.
        match self.0.load(Ordering::Relaxed) {
            UNTRIED => Ability::Untried,
            WORKS => Ability::Works,
            errno => Ability::Refused { errno },
        }
    }

    /// What came of it; what the trial at the start said, if nobody has tried since.
    fn or(&self, trial: Result<(), i32>) -> Ability {
        match self.get() {
            Ability::Untried => Ability::of(trial),
            known => known,
        }
    }
}

/// The system's number of an error; never 0.
pub(crate) fn error_number(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(Errno::ENOSYS as i32)
}

/// The sensors of a System.
#[derive(Debug)]
pub(crate) struct Sensors {
    /// What was asked for.
    pub(crate) sensing: Sensing,
    /// What a thread's state is read from.
    pub(crate) probe: ProbeKind,
    /// What the process may do, as tried when the System was made.
    pub(crate) trial: Trial,
    /// Slices of workers.
    pub(crate) slices: Found,
    /// Priority of workers of high priority.
    pub(crate) high_priority: Found,
    /// Placing of workers that are bound.
    pub(crate) placement: Found,
}

impl Sensors {
    /// Those that were asked for, of a machine that answered so.
    pub(crate) fn new(sensing: Sensing, probe: ProbeKind, trial: Trial) -> Sensors {
        Sensors {
            sensing,
            probe,
            trial,
            slices: Found::new(),
            high_priority: Found::new(),
            placement: Found::new(),
        }
    }

    /// Whether anybody looks at threads or items at all.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.sensing != Sensing::Declared
    }

    /// Whether a thread's state can, and is to, be seen from outside.
    pub(crate) fn can_see(&self) -> bool {
        self.any() && self.probe != ProbeKind::None
    }

    /// Whether CPUs get spotters: someone wants them, they can see, and could be bound to a CPU and
    /// of idle class. One that competes with the workers would be worse than none.
    pub(crate) fn spotters(&self) -> bool {
        self.sensing == Sensing::Auto && self.can_see() && self.trial.spotter().is_ok()
    }
}

/// Which sensors work on this machine, and what it lets the workers do: `System::sensors`.
///
/// # Examples
/// ```
/// let system = wq_core::System::builder().build()?;
/// println!("{}", system.sensors());
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct SensorReport {
    /// Which ones were asked for.
    pub sensing: Sensing,
    /// How a thread's state is read.
    pub thread_states: ThreadStates,
    /// Whether CPUs can have spotters; `Untried` if none are wanted.
    pub spotters: Ability,
    /// CPUs whose spotter is up. A CPU gets one with the first worker that may run there.
    pub spotted: CpuSet,
    /// CPUs whose spotter was refused; the monitor looks more often for their sake.
    pub unspotted: CpuSet,
    /// Whether the kernel's barrier is used (`membarrier`); else every section has a fence, which
    /// costs some nanoseconds for each item.
    pub expedited_barrier: bool,
    /// Whether workers may be bound to CPUs.
    pub placement: Ability,
    /// Whether workers get short slices, which lets one that was woken run soon.
    pub slices: Ability,
    /// Whether workers of high priority get it.
    pub high_priority: Ability,
    /// CPUs' worth of time that the control groups grant, if they limit it; followed while there is
    /// work.
    pub quota: Option<f64>,
    /// CPUs of the System that it may use now; followed as well.
    pub cpus: CpuSet,
    /// Lanes in use of a pool that may use all of them.
    pub lanes: usize,
}

impl SensorReport {
    /// What the sensors themselves know; the rest is the System's to fill in.
    pub(crate) fn of(sensors: &Sensors) -> SensorReport {
        SensorReport {
            sensing: sensors.sensing,
            thread_states: match sensors.probe {
                ProbeKind::Syscall => ThreadStates::Syscall,
                ProbeKind::Stat => ThreadStates::Stat,
                ProbeKind::None => ThreadStates::Unseen,
            },
            spotters: if sensors.sensing == Sensing::Auto && sensors.can_see() {
                Ability::of(sensors.trial.spotter())
            } else {
                Ability::Untried
            },
            spotted: CpuSet::new(),
            unspotted: CpuSet::new(),
            expedited_barrier: crate::proto::asym::is_expedited(),
            placement: sensors.placement.or(sensors.trial.placement),
            slices: sensors.slices.or(sensors.trial.slices),
            high_priority: sensors.high_priority.or(sensors.trial.high_priority),
            quota: None,
            cpus: CpuSet::new(),
            lanes: 0,
        }
    }
}

impl fmt::Display for SensorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "sensing: {}; threads seen by {}",
            self.sensing, self.thread_states
        )?;
        write!(f, "spotters: {}", self.spotters)?;
        if !self.spotted.is_empty() {
            write!(f, ", up on CPUs {}", self.spotted)?;
        }
        if !self.unspotted.is_empty() {
            write!(f, ", refused on CPUs {}", self.unspotted)?;
        }
        writeln!(
            f,
            "; expedited barrier: {}",
            if self.expedited_barrier { "yes" } else { "no" }
        )?;
        writeln!(
            f,
            "placement: {}; slices: {}; high priority: {}",
            self.placement, self.slices, self.high_priority
        )?;
        write!(f, "CPUs {}, quota ", self.cpus)?;
        match self.quota {
            Some(quota) => write!(f, "{quota}")?,
            None => f.write_str("none")?,
        }
        write!(f, ", lanes {}", self.lanes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last try counts, and a use counts for more than the trial.
    #[test]
    fn a_use_overrides_the_trial() {
        let found = Found::new();
        assert_eq!(found.or(Err(1)), Ability::Refused { errno: 1 });
        found.note(&Ok(()));
        assert_eq!(found.or(Err(1)), Ability::Works);
        found.note(&Err(io::ErrorKind::Unsupported.into()));
        let errno = Errno::ENOSYS as i32;
        assert_eq!(found.or(Ok(())), Ability::Refused { errno });
        assert_eq!(found.get().to_string(), "refused (ENOSYS)");
    }

    /// Spotters exist only where somebody wants them, can see, and may be of idle class.
    #[test]
    fn spotters_need_sight_and_the_idle_class() {
        let trial = |idle_class| Trial {
            idle_class,
            ..Trial::ALL_WORKS
        };
        let spotters = |sensing, probe, idle| Sensors::new(sensing, probe, trial(idle)).spotters();
        assert!(spotters(Sensing::Auto, ProbeKind::Stat, Ok(())));
        assert!(!spotters(Sensing::Auto, ProbeKind::None, Ok(())));
        assert!(!spotters(Sensing::Auto, ProbeKind::Syscall, Err(1)));
        assert!(!spotters(Sensing::Monitor, ProbeKind::Syscall, Ok(())));
        assert!(!spotters(Sensing::Declared, ProbeKind::Syscall, Ok(())));
        assert!(!Sensors::new(Sensing::Declared, ProbeKind::Syscall, trial(Ok(()))).can_see());
    }
}
