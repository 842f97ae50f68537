//! Building queues: one builder for each kind, so that senseless combinations do not compile.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::CpuSet;
use crate::pool::HIGHPRI_NICE;
use crate::system::pools::TooManyPools;
use crate::system::{System, SystemInner, SystemRef};
use crate::topology::AffinityScope;

use super::attrs::{Attrs, Changing};
use super::handle::{Queue, Workqueue};
use super::limit::UNLIMITED;
use super::map::PoolMap;
use super::{CLOSED, QueueInner, QueueParts, QueueRef};

/// Longest name of a queue, bytes (kernel: `WQ_NAME_LEN` less the end mark).
const MAX_NAME: usize = 31;

/// What is wrong with a builder's fields.
#[derive(Debug, Default)]
pub(crate) struct Complaints(Vec<(&'static str, String)>);

impl Complaints {
    /// Nothing yet.
    pub(crate) fn new() -> Complaints {
        Complaints::default()
    }

    /// One more bad field.
    pub(crate) fn add(&mut self, field: &'static str, why: impl fmt::Display) {
        self.0.push((field, why.to_string()));
    }

    /// An error if anything was wrong.
    pub(crate) fn into_result(self) -> Result<(), BuildError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(BuildError(Kind::Fields(self.0)))
        }
    }
}

/// Complains of a name that is empty, too long, or not printable.
pub(crate) fn check_name(complaints: &mut Complaints, name: &str, max: usize) {
    if name.is_empty() {
        complaints.add("name", "it is empty; a name is what dumps and errors show");
    } else if name.len() > max {
        let len = name.len();
        complaints.add(
            "name",
            format!("\"{name}\" has {len} bytes; at most {max} are allowed"),
        );
    } else if name.chars().any(char::is_control) {
        complaints.add("name", format!("{name:?} has control characters"));
    }
}

/// A queue or System could not be built or changed. Names every bad field, with what is allowed.
///
/// # Examples
/// ```
/// let error = wq_core::Workqueue::unbound("").nice(40).build().unwrap_err();
/// assert_eq!(error.fields().collect::<Vec<_>>(), ["name", "nice"]);
/// assert!(!error.is_thread_refused() && !error.is_closed());
/// println!("{error}"); // name: it is empty; ...; nice: 40 is outside -20 to 19
/// ```
#[derive(Debug)]
pub struct BuildError(Kind);

/// The reasons.
#[derive(Debug)]
enum Kind {
    /// Fields, with what is wrong with each.
    Fields(Vec<(&'static str, String)>),
    /// A service thread.
    Thread(io::Error),
    /// The System shuts down.
    Closed,
    /// The thread of a queue's rescuer.
    Rescuer(io::Error),
    /// Too many sets of attributes.
    Pools,
}

impl BuildError {
    /// A complaint of one field.
    pub(crate) fn of(field: &'static str, why: &str) -> BuildError {
        BuildError(Kind::Fields(vec![(field, why.to_owned())]))
    }

    /// The System shuts down, or is another process's.
    pub(crate) fn closed() -> BuildError {
        BuildError(Kind::Closed)
    }

    /// The machine refused a thread.
    pub(crate) fn thread_refused(error: io::Error) -> BuildError {
        BuildError(Kind::Thread(error))
    }

    /// The fields that cannot be used.
    pub fn fields(&self) -> impl Iterator<Item = &'static str> + '_ {
        let fields = match &self.0 {
            Kind::Fields(fields) => fields.as_slice(),
            _ => &[],
        };
        fields.iter().map(|(field, _)| *field)
    }

    /// Whether the machine refused a thread that every System needs, or a queue's rescuer.
    pub fn is_thread_refused(&self) -> bool {
        matches!(self.0, Kind::Thread(_) | Kind::Rescuer(_))
    }

    /// Whether the System is shutting down.
    pub fn is_closed(&self) -> bool {
        matches!(self.0, Kind::Closed)
    }
}

impl From<TooManyPools> for BuildError {
    fn from(_: TooManyPools) -> BuildError {
        BuildError(Kind::Pools)
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Fields(fields) => {
                for (n, (field, why)) in fields.iter().enumerate() {
                    write!(f, "{}{field}: {why}", if n == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
            Kind::Thread(error) => {
                write!(
                    f,
                    "the machine refused a thread that every System needs: {error}"
                )
            }
            Kind::Rescuer(error) => {
                write!(f, "the machine refused the queue's rescuer thread: {error}")
            }
            Kind::Closed => {
                f.write_str("the System is shutting down, or this is a forked child of its process")
            }
            Kind::Pools => write!(
                f,
                "a CPU has the most worker pools it may have ({}): use fewer different \
                 combinations of `nice`, `cpus`, `affinity` and `strict`",
                crate::system::pools::MAX_POOLS_PER_CPU
            ),
        }
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Kind::Thread(error) | Kind::Rescuer(error) => Some(error),
            _ => None,
        }
    }
}

/// What all builders have.
#[derive(Clone, Debug)]
pub(super) struct Common {
    name: String,
    system: Option<System>,
    max_active: Option<usize>,
    max_pending: Option<usize>,
    ordered: bool,
    freezable: bool,
    cpu_intensive: bool,
    rescuer: bool,
}

impl Common {
    /// The defaults.
    pub(super) fn new(name: String) -> Common {
        Common {
            name,
            system: None,
            max_active: None,
            max_pending: None,
            ordered: false,
            freezable: false,
            cpu_intensive: false,
            rescuer: false,
        }
    }

    /// The System to build on.
    pub(super) fn set_system(&mut self, system: &System) {
        self.system = Some(system.clone());
    }

    /// So many items in flight. However many that are, it is a limit: one that can be changed, and
    /// beside which `max_pending` counts what waits.
    fn limit(&mut self, max_active: usize) {
        self.max_active = Some(max_active.min(UNLIMITED - 1));
    }

    /// The System to build on, if no field is bad.
    pub(super) fn checked(&self) -> Result<Arc<SystemInner>, BuildError> {
        let mut complaints = Complaints::new();
        self.check(&mut complaints);
        complaints.into_result()?;
        self.system()
    }

    /// Complains of bad fields; the System to build on.
    fn check(&self, complaints: &mut Complaints) {
        check_name(complaints, &self.name, MAX_NAME);
        if self.max_active == Some(0) {
            complaints.add(
                "max_active",
                "0 would run nothing; take 1 or more, or leave it out",
            );
        }
        if self.max_pending == Some(0) && self.max_active.is_none() {
            complaints.add(
                "max_pending",
                "0 without `max_active` would accept nothing; take 1 or more",
            );
        }
    }

    /// The System to build on, unless it was left behind by a fork.
    fn system(&self) -> Result<Arc<SystemInner>, BuildError> {
        let system = self
            .system
            .as_ref()
            .map_or_else(|| System::current().inner, |s| Arc::clone(&s.inner));
        if system.is_forked() {
            return Err(BuildError(Kind::Closed));
        }
        Ok(system)
    }

    /// Makes the queue.
    pub(super) fn finish(
        self,
        system: &Arc<SystemInner>,
        changing: Changing<'_>,
        map: Arc<PoolMap>,
        attrs: Option<Attrs>,
    ) -> Result<Workqueue, BuildError> {
        let queue = register(
            system,
            QueueParts {
                name: self.name,
                system: SystemRef::new(system),
                map,
                attrs,
                max_active: self.max_active,
                max_pending: self.max_pending,
                ordered: self.ordered,
                freezable: self.freezable,
                cpu_intensive: self.cpu_intensive,
            },
        );
        // It is in the System's table now; what follows may wait for a thread, or panic where
        // nobody may wait. The owner then has it go again.
        let owner = Workqueue::own(Queue::of_new(Arc::clone(system), queue));
        drop(changing);
        let rescued = if self.rescuer {
            system.ask_rescuer(queue)
        } else {
            Ok(())
        };
        let fault = if system.is_closing() {
            // A shutdown that began meanwhile may not have seen the queue.
            Some(Kind::Closed)
        } else {
            rescued.err().map(Kind::Rescuer)
        };
        match fault {
            Some(fault) => Err(BuildError(fault)),
            None => Ok(owner),
        }
    }
}

/// Enters a new queue into the System's table.
fn register(system: &Arc<SystemInner>, parts: QueueParts) -> QueueRef {
    let queue = QueueRef::new(QueueInner::new(parts));
    queue.get().share_out();
    system.enter_queue(queue);
    queue
}

/// One of the System's own queues.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    /// Its name.
    pub(crate) name: &'static str,
    /// Which pools serve it.
    pub(crate) service: Service,
    /// It takes part in freezes.
    pub(crate) freezable: bool,
}

/// Which pools serve a queue with no attributes of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Service {
    /// The normal unbound one.
    Unbound,
    /// The BH ones.
    Bh {
        /// Those of high priority.
        highpri: bool,
    },
    /// The per-CPU ones.
    Percpu {
        /// Those of high priority.
        highpri: bool,
    },
}

/// Makes one of the System's own queues.
pub(crate) fn make_own(system: &Arc<SystemInner>, own: Own) -> Result<QueueRef, BuildError> {
    // Until the queue is in the System's table, which a change of all queues goes through.
    let changing = system.change_attrs();
    let (map, attrs) = match own.service {
        Service::Percpu { highpri } => (system.percpu_map(highpri)?, None),
        Service::Bh { highpri } => (system.bh_map(highpri)?, None),
        Service::Unbound => {
            let attrs = Attrs::new(system.all_cpus());
            let map = system.map_for(&changing, &attrs);
            (map.or_else(|full| system.default_map(full))?, Some(attrs))
        }
    };
    let parts = QueueParts {
        name: own.name.to_owned(),
        system: SystemRef::new(system),
        map,
        attrs,
        max_active: None,
        max_pending: None,
        ordered: false,
        freezable: own.freezable,
        cpu_intensive: false,
    };
    let queue = register(system, parts);
    if system.is_closing() {
        // A shutdown that began meanwhile may not have seen the queue.
        queue.get().set_flags(CLOSED);
    }
    Ok(queue)
}

/// The setters that several builders share.
macro_rules! common_setters {
    () => {
        /// The System to build on; default: the current one.
        pub fn system(mut self, system: &System) -> Self {
            self.common.system = Some(system.clone());
            self
        }

        /// How many accepted items may wait for a slot; on a queue without `max_active`, how
        /// many may be in flight. Beyond that the queue is full.
        pub fn max_pending(mut self, items: usize) -> Self {
            self.common.max_pending = Some(items);
            self
        }

        /// Has a thread of its own, made with it, for when no worker can be made: the *rescuer*. It
        /// then polls this queue's items, one poll at a time, so that the queue goes on while the
        /// machine refuses threads, or its pool has all that it may have and they are blocked.
        ///
        /// While such a poll blocks there is no other rescuer: items that wait for each other
        /// belong on queues of their own, as in the kernel, and so do items that wait for queues
        /// without one. [`current_is_rescuer`](crate::current_is_rescuer) tells where an item runs,
        /// and [`QueueStats::rescued`](crate::QueueStats::rescued) counts.
        ///
        /// # Examples
        /// ```
        /// let queue = wq_core::Workqueue::unbound("writeback").rescuer().build()?;
        /// assert_eq!(queue.spawn(async { 7 }).wait().unwrap(), 7);
        /// println!("{} times there was no worker", queue.stats().rescued);
        /// # Ok::<(), wq_core::BuildError>(())
        /// ```
        #[doc(alias = "WQ_MEM_RECLAIM")]
        pub fn rescuer(mut self) -> Self {
            self.common.rescuer = true;
            self
        }

        /// It takes part in freezes ([`System::freeze`], [`Workqueue::freeze`]): while frozen it
        /// starts nothing.
        ///
        /// Its items need a slot each, as on a queue with a limit, which costs a short lock at the
        /// start and at the end.
        #[doc(alias = "WQ_FREEZABLE")]
        #[doc(alias = "create_freezable_workqueue")]
        pub fn freezable(mut self) -> Self {
            self.common.freezable = true;
            self
        }
    };
}

/// Builds an unbound queue. Setters never fail; `build` names every bad field.
///
/// # Examples
/// ```
/// let queue = wq_core::Workqueue::unbound("backup")
///     .cpus("0-3") // those of them that are in use
///     .nice(10)
///     .max_active(4)
///     .max_pending(1000)
///     .build()?;
/// assert_eq!(queue.name(), "backup");
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct UnboundBuilder {
    common: Common,
    cpus: Option<String>,
    nice: i8,
    affinity: AffinityScope,
    strict: bool,
}

impl UnboundBuilder {
    common_setters!();

    /// The defaults.
    pub(super) fn new(name: String) -> UnboundBuilder {
        UnboundBuilder {
            common: Common::new(name),
            cpus: None,
            nice: 0,
            affinity: AffinityScope::Default,
            strict: false,
        }
    }

    /// How many items may be in flight, suspended ones included. Default: no limit.
    pub fn max_active(mut self, items: usize) -> UnboundBuilder {
        self.common.limit(items);
        self
    }

    /// The CPUs on which its items may run, as a list like `"0-3,8"`.
    #[doc(alias = "cpumask")]
    pub fn cpus(mut self, list: impl Into<String>) -> UnboundBuilder {
        self.cpus = Some(list.into());
        self
    }

    /// Which CPUs share a pool of workers; default: what the System says
    /// ([`System::set_default_affinity`]).
    ///
    /// An item goes to the pool of the CPU where it is queued, or that [`Queue::spawn_on`] and
    /// [`Queue::queue_on`] name, and starts on one of the pool's CPUs. Narrow pools keep items near
    /// to what queued them; wide ones let any CPU help. Each pool has workers of its own.
    ///
    /// # Examples
    /// ```
    /// use wq_core::AffinityScope;
    ///
    /// let queue = wq_core::Workqueue::unbound("dsp").affinity(AffinityScope::Cache).build()?;
    /// # drop(queue);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "affinity_scope")]
    pub fn affinity(mut self, scope: AffinityScope) -> UnboundBuilder {
        self.affinity = scope;
        self
    }

    /// Workers never leave the CPUs of their pool. Without this they are brought there when they
    /// are woken for an item, and may then roam on all CPUs of the queue.
    ///
    /// # Examples
    /// ```
    /// use wq_core::AffinityScope;
    ///
    /// let builder = wq_core::Workqueue::unbound("dsp").affinity(AffinityScope::Numa).strict();
    /// let queue = builder.build()?;
    /// # drop(queue);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "affinity_strict")]
    pub fn strict(mut self) -> UnboundBuilder {
        self.strict = true;
        self
    }

    /// Nice value of its workers, -20 to 19. Values below 0 need a right; without it the workers
    /// run at normal priority, which is reported once.
    pub fn nice(mut self, nice: i8) -> UnboundBuilder {
        self.nice = nice;
        self
    }

    /// The highest priority: nice -20.
    #[doc(alias = "WQ_HIGHPRI")]
    pub fn highpri(self) -> UnboundBuilder {
        self.nice(HIGHPRI_NICE)
    }

    /// Makes the queue.
    ///
    /// # Errors
    /// A [`BuildError`] that names every field that cannot be used, or says that the System is
    /// shutting down.
    pub fn build(self) -> Result<Workqueue, BuildError> {
        let mut complaints = Complaints::new();
        self.common.check(&mut complaints);
        let system = self.common.system()?;
        let attrs = self.attrs(&mut complaints, &system);
        complaints.into_result()?;
        // Until the queue is in the System's table, which a change of all queues goes through.
        let changing = system.change_attrs();
        let map = system.map_for(&changing, &attrs)?;
        self.common.finish(&system, changing, map, Some(attrs))
    }

    /// The attributes; complains of bad ones.
    fn attrs(&self, complaints: &mut Complaints, system: &SystemInner) -> Attrs {
        let mut attrs = Attrs::new(system.all_cpus());
        attrs.nice = self.nice;
        attrs.affinity = self.affinity;
        attrs.strict = self.strict;
        attrs.ordered = self.common.ordered;
        let cpus = self.cpus.as_deref().map(str::parse::<CpuSet>);
        if let Some(Ok(cpus)) = &cpus {
            attrs.cpus.clone_from(cpus);
        }
        attrs.check(complaints, system);
        if let Some(Err(error)) = cpus {
            complaints.add("cpus", error);
        }
        attrs
    }
}

/// Builds a per-CPU queue. Setters never fail; `build` names every bad field.
///
/// # Examples
/// ```
/// let queue = wq_core::Workqueue::percpu("urgent").highpri().max_active(16).build()?;
/// assert_eq!(queue.name(), "urgent");
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct PercpuBuilder {
    common: Common,
    highpri: bool,
    power_efficient: bool,
}

impl PercpuBuilder {
    common_setters!();

    /// The defaults.
    pub(super) fn new(name: String) -> PercpuBuilder {
        PercpuBuilder {
            common: Common::new(name),
            highpri: false,
            power_efficient: false,
        }
    }

    /// How many items may be in flight on each CPU, suspended ones included. Default: no limit.
    pub fn max_active(mut self, items: usize) -> PercpuBuilder {
        self.common.limit(items);
        self
    }

    /// Served by the high priority pools (nice -20 where allowed), which share nothing with the
    /// normal ones.
    #[doc(alias = "WQ_HIGHPRI")]
    pub fn highpri(mut self) -> PercpuBuilder {
        self.highpri = true;
        self
    }

    /// For items that burn CPU for long. They start in turn, as all items of the CPU; once started
    /// they hold no other item back, of this queue or any other, from the beginning: each has a
    /// thread, and the operating system shares the CPU among them. Nothing marks or reports them as
    /// CPU intensive.
    ///
    /// Give such a queue a `max_active`: it is what bounds those threads. Items that burn CPU on
    /// other queues are found by themselves, later.
    ///
    /// # Examples
    /// ```
    /// let sums = wq_core::Workqueue::percpu("sums").cpu_intensive().max_active(4).build()?;
    /// let sum = sums.spawn_fn(|| (1..=1_000_000_u64).sum::<u64>());
    /// assert_eq!(sum.wait().unwrap(), 500_000_500_000);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "WQ_CPU_INTENSIVE")]
    pub fn cpu_intensive(mut self) -> PercpuBuilder {
        self.common.cpu_intensive = true;
        self
    }

    /// Per CPU for locality alone: on a System that was built with
    /// [`power_efficient`](crate::SystemBuilder::power_efficient) the queue is unbound, so that its
    /// items run where somebody is awake. `max_active` then counts for the whole queue.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::percpu("stats").power_efficient().build()?;
    /// assert!(queue.is_percpu()); // on a System that does not save power
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "WQ_POWER_EFFICIENT")]
    pub fn power_efficient(mut self) -> PercpuBuilder {
        self.power_efficient = true;
        self
    }

    /// Makes the queue.
    ///
    /// # Errors
    /// As for [`UnboundBuilder::build`].
    pub fn build(self) -> Result<Workqueue, BuildError> {
        let mut complaints = Complaints::new();
        self.common.check(&mut complaints);
        complaints.into_result()?;
        let system = self.common.system()?;
        // Until the queue is in the System's table, which a change of all queues goes through.
        let changing = system.change_attrs();
        let (map, attrs) = if self.power_efficient && system.power_efficient {
            let mut attrs = Attrs::new(system.all_cpus());
            attrs.nice = if self.highpri { HIGHPRI_NICE } else { 0 };
            (system.map_for(&changing, &attrs)?, Some(attrs))
        } else {
            (system.percpu_map(self.highpri)?, None)
        };
        self.common.finish(&system, changing, map, attrs)
    }
}

/// Builds an ordered queue: one item in flight, in order of acceptance.
///
/// It has no `max_active`: that is one.
///
/// # Examples
/// ```
/// let queue = wq_core::Workqueue::ordered("journal").max_pending(1000).nice(5).build()?;
/// assert_eq!(queue.name(), "journal");
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct OrderedBuilder(UnboundBuilder);

impl OrderedBuilder {
    /// The defaults.
    pub(super) fn new(name: String) -> OrderedBuilder {
        let mut inner = UnboundBuilder::new(name).max_active(1);
        inner.common.ordered = true;
        OrderedBuilder(inner)
    }

    /// The System to build on; default: the current one.
    pub fn system(self, system: &System) -> OrderedBuilder {
        OrderedBuilder(self.0.system(system))
    }

    /// As [`UnboundBuilder::freezable`].
    #[doc(alias = "WQ_FREEZABLE")]
    pub fn freezable(self) -> OrderedBuilder {
        OrderedBuilder(self.0.freezable())
    }

    /// As [`UnboundBuilder::rescuer`].
    #[doc(alias = "WQ_MEM_RECLAIM")]
    pub fn rescuer(self) -> OrderedBuilder {
        OrderedBuilder(self.0.rescuer())
    }

    /// How many accepted items may wait for their turn.
    pub fn max_pending(self, items: usize) -> OrderedBuilder {
        OrderedBuilder(self.0.max_pending(items))
    }

    /// As [`UnboundBuilder::cpus`].
    pub fn cpus(self, list: impl Into<String>) -> OrderedBuilder {
        OrderedBuilder(self.0.cpus(list))
    }

    /// As [`UnboundBuilder::strict`], of all its CPUs: they are one pool.
    pub fn strict(self) -> OrderedBuilder {
        OrderedBuilder(self.0.strict())
    }

    /// As [`UnboundBuilder::nice`].
    pub fn nice(self, nice: i8) -> OrderedBuilder {
        OrderedBuilder(self.0.nice(nice))
    }

    /// As [`UnboundBuilder::highpri`].
    pub fn highpri(self) -> OrderedBuilder {
        OrderedBuilder(self.0.highpri())
    }

    /// Makes the queue.
    ///
    /// # Errors
    /// As for [`UnboundBuilder::build`].
    pub fn build(self) -> Result<Workqueue, BuildError> {
        self.0.build()
    }
}
