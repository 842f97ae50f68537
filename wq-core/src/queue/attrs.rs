//! Attributes of unbound queues: priority, CPUs, pods; changed while items run, all or nothing.
//!
//! Whoever changes something, for one queue or for all, does it under one lock, the System's: first
//! all pools are found or made, which can fail, then the queues get their new maps, which cannot.
//! Items that wait in a lane stay there; what is queued, starts or is woken afterwards goes to the
//! new pools. What a queue counts is its own, so nothing of it moves.
//!
//! Not for limits of items in flight (`limit`), nor for per-CPU queues, whose pools are fixed.

#![forbid(unsafe_code)]

use std::sync::{Arc, MutexGuard, PoisonError};

use crate::system::pools::TooManyPools;
use crate::system::{System, SystemInner};
use crate::topology::AffinityScope;
use crate::{CpuListError, CpuSet};

use super::QueueInner;
use super::builder::{BuildError, Complaints};
use super::handle::Workqueue;
use super::map::{MapSpec, PoolMap};

/// Nice values.
const NICE: std::ops::RangeInclusive<i8> = -20..=19;

/// The attributes of an unbound or ordered queue, as they were asked for.
///
/// [`Workqueue::attrs`] gives them, [`Workqueue::apply`] makes them true.
///
/// # Examples
/// ```
/// use wq_core::AffinityScope;
///
/// let queue = wq_core::Workqueue::unbound("jobs").build()?;
/// let mut attrs = queue.attrs().expect("it is unbound");
/// attrs.nice = 5;
/// attrs.affinity = AffinityScope::Cache;
/// queue.apply(&attrs)?;
/// assert_eq!(queue.attrs(), Some(attrs));
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[doc(alias = "workqueue_attrs")]
#[doc(alias = "alloc_workqueue_attrs")]
#[doc(alias = "free_workqueue_attrs")]
#[non_exhaustive]
pub struct Attrs {
    /// Nice value of the workers, -20 to 19. Values below 0 need a right.
    pub nice: i8,
    /// CPUs on which items may run. Those that [`System::set_unbound_cpus`] leaves are used; if
    /// none is left, all that it allows.
    #[doc(alias = "cpumask")]
    pub cpus: CpuSet,
    /// Which CPUs share a pool. An item goes to the pool of the CPU where it is queued.
    #[doc(alias = "affn_scope")]
    pub affinity: AffinityScope,
    /// Whether workers stay on the CPUs of their pool. If not, each is brought there when it is
    /// woken for it, and then may roam on all of `cpus`.
    #[doc(alias = "affn_strict")]
    pub strict: bool,
    /// One item at a time, in order of acceptance: see [`Workqueue::set_ordered`]. Its items then
    /// share one pool, whatever `affinity` says.
    pub ordered: bool,
}

impl Attrs {
    /// Normal priority, these CPUs, the default pods.
    pub(crate) fn new(cpus: CpuSet) -> Attrs {
        Attrs {
            nice: 0,
            cpus,
            affinity: AffinityScope::Default,
            strict: false,
            ordered: false,
        }
    }

    /// Complains of values that cannot be; leaves CPUs out that are not in use.
    pub(super) fn check(&mut self, complaints: &mut Complaints, system: &SystemInner) {
        if !NICE.contains(&self.nice) {
            complaints.add("nice", format!("{} is outside -20 to 19", self.nice));
        }
        let in_use = system.all_cpus();
        let usable = self.cpus.and(&in_use);
        if usable.is_empty() {
            complaints.add(
                "cpus",
                format!(
                    "none of \"{}\" is in use; this System uses \"{in_use}\"",
                    self.cpus
                ),
            );
        }
        self.cpus = usable;
    }
}

/// What concerns all unbound queues of a System.
#[derive(Clone, Debug)]
pub(crate) struct UnboundPolicy {
    /// CPUs that their items may use; not empty.
    cpus: CpuSet,
    /// What `AffinityScope::Default` stands for; not that itself.
    scope: AffinityScope,
}

impl UnboundPolicy {
    /// All CPUs, in pods of this scope.
    pub(crate) fn new(cpus: CpuSet, scope: AffinityScope) -> UnboundPolicy {
        UnboundPolicy { cpus, scope }
    }

    /// What the pools of a queue are made after.
    pub(crate) fn spec(&self, system: &SystemInner, attrs: &Attrs) -> MapSpec {
        let left = attrs.cpus.and(&self.cpus);
        let cpus = if left.is_empty() { &self.cpus } else { &left };
        let scope = match attrs.affinity {
            // One item at a time: there is nothing to spread.
            _ if attrs.ordered => AffinityScope::System,
            AffinityScope::Default => self.scope,
            scope => scope,
        };
        let in_use = system.all_cpus();
        let pods = system.topology.pods(scope, &in_use);
        let pod_of = |cpu: usize| pods.iter().find(|pod| pod.contains(cpu));
        let pod_of = |cpu: usize| pod_of(cpu).unwrap_or(&in_use).clone();
        MapSpec {
            nice: attrs.nice,
            cpus: cpus.clone(),
            pods: in_use.iter().map(pod_of).collect(),
            strict: attrs.strict,
            unbound: self.cpus.clone(),
        }
    }
}

/// The right to change attributes; everything that a change depends on stands still meanwhile.
pub(crate) type Changing<'a> = MutexGuard<'a, UnboundPolicy>;

impl SystemInner {
    /// Locks the attributes of all queues; nothing panics under the lock.
    pub(crate) fn change_attrs(&self) -> Changing<'_> {
        self.unbound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All CPUs in use.
    pub(crate) fn all_cpus(&self) -> CpuSet {
        self.cpus.iter().map(|record| record.cpu).collect()
    }

    /// The map for these attributes.
    pub(super) fn map_for(
        &self,
        policy: &UnboundPolicy,
        attrs: &Attrs,
    ) -> Result<Arc<PoolMap>, TooManyPools> {
        self.unbound_map(&policy.spec(self, attrs))
    }

    /// Makes `new` the policy, if all queues find pools under it.
    fn set_policy(&self, mut policy: Changing<'_>, new: UnboundPolicy) -> Result<(), BuildError> {
        let queues = self.all_queues();
        let prepared: Result<Vec<_>, TooManyPools> = queues
            .iter()
            .filter_map(|queue| {
                let attrs = queue.attrs_now()?;
                Some((queue, self.map_for(&new, &attrs)))
            })
            .map(|(queue, map)| Ok((queue, map?)))
            .collect();
        for (queue, map) in prepared? {
            queue.set_map(&map);
        }
        *policy = new;
        drop(policy);
        queues.iter().for_each(QueueInner::start_what_may);
        Ok(())
    }

    /// CPUs were taken away or came back: queues whose pods are affected get other maps. Where
    /// there is no room for the pools a queue keeps its map, which serves it on the CPUs there are.
    pub(crate) fn remap_all(&self) {
        let (policy, queues) = (self.change_attrs(), self.all_queues());
        for queue in queues.iter() {
            let Some(attrs) = queue.attrs_now() else {
                continue;
            };
            match self.map_for(&policy, &attrs) {
                Ok(map) => queue.set_map(&map),
                // Its CPUs are not those that they were, all the same.
                Err(TooManyPools) => queue.share_out(),
            }
        }
        drop(policy);
        queues.iter().for_each(QueueInner::start_what_may);
    }
}

impl System {
    /// Sets the CPUs that the items of all unbound queues may use, now and from now on, as a list
    /// like `"0-3,8"`. Those beyond the CPUs in use are left out. A queue's own CPUs are taken from
    /// among these; a queue of which none is left uses all of these. Per-CPU queues are not
    /// concerned.
    ///
    /// All queues change, or on an error none does. What waits in a pool already, and is no run
    /// that was suspended, still runs there.
    ///
    /// # Errors
    /// If the list is bad, none of the CPUs is in use, or a CPU would have too many pools.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// let first = system.topology().allowed().first().expect("there is one");
    /// system.set_unbound_cpus(&first.to_string())?;
    /// assert_eq!(system.unbound_cpus().to_string(), first.to_string());
    /// assert!(system.set_unbound_cpus("").is_err());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "workqueue_set_unbound_cpumask")]
    pub fn set_unbound_cpus(&self, list: &str) -> Result<(), BuildError> {
        let inner = &self.inner;
        if inner.is_forked() {
            return Err(BuildError::closed());
        }
        let in_use = inner.all_cpus();
        let cpus = parse(list)?.and(&in_use);
        if cpus.is_empty() {
            let why = format!("none of \"{list}\" is in use; this System uses \"{in_use}\"");
            return Err(BuildError::of("cpus", &why));
        }
        let policy = inner.change_attrs();
        let new = UnboundPolicy {
            cpus,
            ..policy.clone()
        };
        inner.set_policy(policy, new)
    }

    /// The CPUs that the items of unbound queues may use.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// assert_eq!(&system.unbound_cpus(), system.topology().allowed());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "wq_unbound_cpumask")]
    pub fn unbound_cpus(&self) -> CpuSet {
        self.inner.change_attrs().cpus.clone()
    }

    /// Sets what [`AffinityScope::Default`] stands for. Queues that have it change with it: all of
    /// them, or on an error none.
    ///
    /// # Errors
    /// If `scope` is `Default` itself, or a CPU would have too many pools.
    ///
    /// # Examples
    /// ```
    /// use wq_core::AffinityScope;
    ///
    /// let system = wq_core::System::builder().build()?;
    /// system.set_default_affinity(AffinityScope::CacheShard)?;
    /// assert_eq!(system.default_affinity(), AffinityScope::CacheShard);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "default_affinity_scope")]
    pub fn set_default_affinity(&self, scope: AffinityScope) -> Result<(), BuildError> {
        if self.inner.is_forked() {
            return Err(BuildError::closed());
        }
        check_default(scope).into_result()?;
        let policy = self.inner.change_attrs();
        let new = UnboundPolicy {
            scope,
            ..policy.clone()
        };
        self.inner.set_policy(policy, new)
    }

    /// What [`AffinityScope::Default`] stands for; unless it was set, `System`: one pool for all
    /// CPUs of a queue, whose lanes share work among them.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// assert_eq!(system.default_affinity(), wq_core::AffinityScope::System);
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn default_affinity(&self) -> AffinityScope {
        self.inner.change_attrs().scope
    }
}

/// Complains of a default scope that says nothing.
pub(crate) fn check_default(scope: AffinityScope) -> Complaints {
    let mut complaints = Complaints::new();
    if scope == AffinityScope::Default {
        let why = "\"default\" says nothing here; take one of the other scopes";
        complaints.add("default_affinity", why);
    }
    complaints
}

/// A list of CPUs.
fn parse(list: &str) -> Result<CpuSet, BuildError> {
    list.parse()
        .map_err(|error: CpuListError| BuildError::of("cpus", &error.to_string()))
}

impl Workqueue {
    /// The attributes that were asked for last; `None` for a per-CPU queue, which has none.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("jobs").nice(3).build()?;
    /// assert_eq!(queue.attrs().map(|attrs| attrs.nice), Some(3));
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn attrs(&self) -> Option<Attrs> {
        self.inner().attrs_now()
    }

    /// Gives the queue other attributes while it is in use. Everything takes effect at once, or on
    /// an error nothing does.
    ///
    /// What is queued, starts, or is woken from now on goes to the new pools; what stands in a pool
    /// already to be started runs there. A queue that was built ordered stays so. CPUs that are not
    /// in use are left out as long as one remains.
    ///
    /// # Errors
    /// A [`BuildError`] that names every bad field; also for a per-CPU queue, and if a CPU would
    /// have too many pools.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("jobs").build()?;
    /// let mut attrs = queue.attrs().expect("it is unbound");
    /// attrs.nice = 10;
    /// queue.apply(&attrs)?;
    /// attrs.nice = 20;
    /// assert_eq!(queue.apply(&attrs).unwrap_err().fields().next(), Some("nice"));
    /// assert_eq!(queue.attrs().map(|attrs| attrs.nice), Some(10));
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "apply_workqueue_attrs")]
    pub fn apply(&self, attrs: &Attrs) -> Result<(), BuildError> {
        self.change(|now| {
            now.clone_from(attrs);
            Ok(())
        })
    }

    /// Changes the nice value of the queue's workers: see [`Workqueue::apply`].
    ///
    /// # Errors
    /// As for [`Workqueue::apply`].
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("jobs").build()?;
    /// queue.set_nice(10)?;
    /// assert!(queue.set_nice(99).is_err());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn set_nice(&self, nice: i8) -> Result<(), BuildError> {
        self.change(|attrs| {
            attrs.nice = nice;
            Ok(())
        })
    }

    /// Changes the CPUs of the queue, to a list like `"0-3,8"`: see [`Workqueue::apply`].
    ///
    /// # Errors
    /// As for [`Workqueue::apply`]; or if the list is bad, or none of its CPUs is in use.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("jobs").build()?;
    /// queue.set_cpus("0-1023")?;
    /// assert!(queue.set_cpus("7-3").is_err());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn set_cpus(&self, list: &str) -> Result<(), BuildError> {
        self.change(|attrs| {
            attrs.cpus = parse(list)?;
            Ok(())
        })
    }

    /// Changes which CPUs share a pool: see [`Workqueue::apply`].
    ///
    /// # Errors
    /// As for [`Workqueue::apply`].
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("jobs").build()?;
    /// queue.set_affinity(wq_core::AffinityScope::Numa)?;
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    pub fn set_affinity(&self, scope: AffinityScope) -> Result<(), BuildError> {
        self.change(|attrs| {
            attrs.affinity = scope;
            Ok(())
        })
    }

    /// Makes a change that is prepared by `edit`, all or nothing.
    pub(super) fn change(
        &self,
        edit: impl FnOnce(&mut Attrs) -> Result<(), BuildError>,
    ) -> Result<(), BuildError> {
        self.check_here()?;
        let (system, queue) = (&self.0.system, self.inner());
        let policy = system.change_attrs();
        let Some(mut attrs) = queue.attrs_now() else {
            let why = "a per-CPU queue's pools are fixed; build an unbound one instead";
            return Err(BuildError::of("attrs", why));
        };
        edit(&mut attrs)?;
        let mut complaints = Complaints::new();
        attrs.check(&mut complaints, system);
        queue.check_order(&attrs, &mut complaints);
        complaints.into_result()?;
        let map = system.map_for(&policy, &attrs)?;
        queue.set_attrs(attrs, &map);
        drop(policy);
        queue.start_what_may();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
