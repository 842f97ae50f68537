//! Limits of a queue, changed while it is in use: how many items, at least and at most, and whether
//! one at a time.
//!
//! On a machine with several NUMA nodes an unbound queue's `max_active` is divided: each node has
//! its part of it by CPUs, and `min_active` at least. A change of limits, CPUs or pods deals the
//! parts out anew, under the lock of attributes; what may start then is started after it.

#![forbid(unsafe_code)]

use crate::entry::Entry;

use super::QueueInner;
use super::builder::BuildError;
use super::handle::Workqueue;
use super::limit::{Charge, Limiter, UNLIMITED};

/// Why a limit cannot be set.
const NO_LIMIT: &str = "the queue was built without a limit; build it with `.max_active(n)`";

impl QueueInner {
    /// What the slot of an item is charged to that is queued for this CPU.
    #[inline]
    pub(crate) fn charge(&self, limiter: &Limiter<Entry>, home: usize) -> Charge {
        if limiter.is_divided() {
            self.pool(home).charge
        } else {
            0
        }
    }

    /// Deals the nodes' parts of the limit out anew. The caller has the right to change attributes,
    /// and calls `start_what_may` afterwards.
    pub(super) fn share_out(&self) {
        self.change_limiters(|_| {});
    }

    /// Other limits, set by `set` in each of its limiters. The caller has the same right and duty.
    ///
    /// The parts are dealt out under the lock under which the limit was set, so that no node ever
    /// has all of it.
    fn change_limiters(&self, set: impl Fn(&mut Limiter<Entry>)) {
        if !self.is_limited() {
            return;
        }
        let system = self.system.get();
        let nodes = system.topology.nodes();
        let cpus = self.map().all_cpus().and(&system.limits.now().allowed);
        self.each_limiter(|mut limiter| {
            set(&mut limiter);
            if limiter.is_divided() {
                limiter.share_out(cpus.count(), |node| cpus.and(&nodes[node]).count());
            }
        });
    }

    /// Other limits, set by `set` in each of its limiters, and what may start for them.
    fn change_limits(&self, set: impl Fn(&mut Limiter<Entry>)) {
        let changing = self.system.get().change_attrs();
        self.change_limiters(set);
        drop(changing);
        self.start_what_may();
    }
}

impl Workqueue {
    /// Changes how many items may be in flight. Raising starts waiting items at once; lowering
    /// interrupts nothing, but lowers what was set by [`Workqueue::set_min_active`], too.
    ///
    /// Of a queue that was made ordered while in use it is the limit for when it is no longer.
    ///
    /// # Errors
    /// If `max_active` is 0, or the queue was built ordered or without a limit.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("jobs").max_active(1).build()?;
    /// queue.set_max_active(4)?;
    /// assert!(queue.set_max_active(0).is_err());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "workqueue_set_max_active")]
    pub fn set_max_active(&self, max_active: usize) -> Result<(), BuildError> {
        let q = self.inner();
        if max_active == 0 {
            return Err(BuildError::of(
                "max_active",
                "0 would run nothing; take 1 or more",
            ));
        }
        if q.ordered {
            let why = "an ordered queue runs one item at a time; build an unbound one instead";
            return Err(BuildError::of("max_active", why));
        }
        self.check_limited("max_active")?;
        let max_active = max_active.min(UNLIMITED - 1);
        q.change_limits(|limiter| limiter.set_max_active(max_active));
        Ok(())
    }

    /// Changes how many items each NUMA node may have in flight at least, however small its part
    /// of `max_active` is; default 8, or `max_active` if that is less. So many items of a node may
    /// wait for each other. On a machine with one node it means nothing.
    ///
    /// A node's part is `max_active` times the queue's CPUs in the node, divided by all its CPUs,
    /// rounded up, and 1 at least; of pools that span nodes (see [`Workqueue::set_affinity`]) it is
    /// all of it. The sum may exceed `max_active`.
    ///
    /// # Errors
    /// If it is more than `max_active`, or the queue is per-CPU, was built ordered, or without
    /// a limit.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("jobs").max_active(16).build()?;
    /// queue.set_min_active(2)?;
    /// assert!(queue.set_min_active(17).is_err());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "workqueue_set_min_active")]
    pub fn set_min_active(&self, min_active: usize) -> Result<(), BuildError> {
        let q = self.inner();
        let refuse = |why: &str| Err(BuildError::of("min_active", why));
        if q.is_percpu() || q.ordered {
            return refuse("only an unbound queue that is not ordered is divided among nodes");
        }
        self.check_limited("min_active")?;
        let max_active = q.slots(0).lock_as_is().max_active();
        if min_active > max_active {
            let why = format!("{min_active} is more than `max_active`, which is {max_active}");
            return refuse(&why);
        }
        q.change_limits(|limiter| limiter.set_min_active(min_active));
        Ok(())
    }

    /// Runs one item at a time, in order of acceptance, from now on; or no longer, and then with
    /// the limit that it was built with or got since. When it is switched on, what is in flight
    /// goes on to its end first; when off, what may start does so at once.
    ///
    /// # Errors
    /// If the queue is per-CPU, or was built without a limit, or ordered (which it stays). To ask
    /// an unbound or ordered queue for what is so already is no error.
    ///
    /// # Examples
    /// ```
    /// let queue = wq_core::Workqueue::unbound("journal").max_active(8).build()?;
    /// queue.set_ordered(true)?;
    /// queue.spawn_fn(|| println!("first"));
    /// queue.spawn_fn(|| println!("second"));
    /// queue.flush().wait()?;
    /// queue.set_ordered(false)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "ordered")]
    pub fn set_ordered(&self, ordered: bool) -> Result<(), BuildError> {
        self.change(|attrs| {
            attrs.ordered = ordered;
            Ok(())
        })
    }

    /// An error if there is no limit that could be changed: slots that a queue has for freezes, or
    /// to bound what waits, are for everybody.
    fn check_limited(&self, field: &'static str) -> Result<(), BuildError> {
        self.check_here()?;
        if self.inner().makes_wait() {
            Ok(())
        } else if self.0.system.is_closing() {
            // A shutdown has lifted it.
            Err(BuildError::closed())
        } else {
            Err(BuildError::of(field, NO_LIMIT))
        }
    }

    /// An error in a forked child, where locks may be held for ever.
    pub(super) fn check_here(&self) -> Result<(), BuildError> {
        if self.0.system.is_forked() {
            return Err(BuildError::closed());
        }
        Ok(())
    }
}
