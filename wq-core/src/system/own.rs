//! The System's own queues: the kernel's, under its names (`events`, `events_long`, ...).
//!
//! They belong to everybody, so nobody owns them: there are handles only, which cannot flush,
//! drain or destroy. Three are made with the System, because everything spawns on them; each of
//! the others when somebody first asks for it. All but the BH ones are served by pools that the
//! System has anyhow; the BH pools are made with the first queue that needs them.

use std::sync::{Arc, OnceLock};

use crate::queue::QueueRef;
use crate::queue::bh::BhQueue;
use crate::queue::builder::{BuildError, Own, Service, make_own};
use crate::queue::handle::Queue;

use super::{System, SystemInner};

/// Queues that every System has.
#[derive(Debug)]
pub(crate) struct OwnQueues {
    /// Unbound, unlimited: where `spawn` goes.
    pub(crate) default: QueueRef,
    /// Per CPU.
    pub(crate) percpu: QueueRef,
    /// Per CPU, high priority.
    pub(crate) highpri: QueueRef,
    /// The others, in the order of [`Lazy`].
    lazy: [OnceLock<QueueRef>; 7],
}

/// Those that are made when somebody asks for them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lazy {
    /// Long items, per CPU.
    Long,
    /// Long items, unbound.
    DefaultLong,
    /// Freezable, per CPU.
    Freezable,
    /// Per CPU or unbound, as the System was built.
    PowerEfficient,
    /// Both.
    FreezablePowerEfficient,
    /// BH.
    Bh,
    /// BH, high priority.
    BhHighpri,
}

impl Lazy {
    /// What it is made of.
    fn spec(self, system: &SystemInner) -> Own {
        let percpu = Service::Percpu { highpri: false };
        let thrifty = if system.power_efficient {
            Service::Unbound
        } else {
            percpu
        };
        let (name, service, freezable) = match self {
            Lazy::Bh => ("events_bh", Service::Bh { highpri: false }, false),
            Lazy::BhHighpri => ("events_bh_highpri", Service::Bh { highpri: true }, false),
            Lazy::Long => ("events_long", percpu, false),
            Lazy::DefaultLong => ("events_dfl_long", Service::Unbound, false),
            Lazy::Freezable => ("events_freezable", percpu, true),
            Lazy::PowerEfficient => ("events_power_efficient", thrifty, false),
            Lazy::FreezablePowerEfficient => ("events_freezable_pwr_efficient", thrifty, true),
        };
        Own {
            name,
            service,
            freezable,
        }
    }
}

impl System {
    /// Makes those of the System's own queues that it has from the start.
    pub(super) fn make_own_queues(&self) -> Result<(), BuildError> {
        let make = |name, service| {
            let freezable = false;
            make_own(
                &self.inner,
                Own {
                    name,
                    service,
                    freezable,
                },
            )
        };
        let own = OwnQueues {
            default: make("events_unbound", Service::Unbound)?,
            percpu: make("events", Service::Percpu { highpri: false })?,
            highpri: make("events_highpri", Service::Percpu { highpri: true })?,
            lazy: Default::default(),
        };
        let _ = self.inner.own.set(own);
        Ok(())
    }

    /// A handle to one of them.
    fn own_queue(&self, queue: QueueRef) -> Queue {
        Queue::of_system(Arc::clone(&self.inner), queue)
    }

    /// A handle to one that may have to be made.
    fn lazy_queue(&self, which: Lazy) -> Queue {
        let own = self.inner.own();
        let place = &own.lazy[which as usize];
        if self.inner.is_forked() {
            // The lock around its making may be held for ever; all queues refuse alike here.
            return self.own_queue(own.default);
        }
        let made = place.get_or_init(|| {
            let made = make_own(&self.inner, which.spec(&self.inner));
            made.expect(
                "what serves it, but BH, was made with the System, and BH's is there or fits",
            )
        });
        self.own_queue(*made)
    }

    /// The unbound queue without limits to which `spawn` goes.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// assert_eq!(system.default_queue().name(), "events_unbound");
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "system_dfl_wq")]
    #[doc(alias = "system_unbound_wq")]
    pub fn default_queue(&self) -> Queue {
        self.own_queue(self.inner.own().default)
    }

    /// The System's per-CPU queue, for short items.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// assert_eq!(system.percpu_queue().name(), "events");
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "system_percpu_wq")]
    #[doc(alias = "system_wq")]
    pub fn percpu_queue(&self) -> Queue {
        self.own_queue(self.inner.own().percpu)
    }

    /// The System's per-CPU queue of high priority.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// assert_eq!(system.highpri_queue().name(), "events_highpri");
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "system_highpri_wq")]
    pub fn highpri_queue(&self) -> Queue {
        self.own_queue(self.inner.own().highpri)
    }

    /// The System's per-CPU queue for items that may take long. It has the same workers as the one
    /// for short items; whose it is tells people what to expect, and has counts of its own.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// assert_eq!(system.long_queue().name(), "events_long");
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "system_long_wq")]
    pub fn long_queue(&self) -> Queue {
        self.lazy_queue(Lazy::Long)
    }

    /// The System's unbound queue for items that may take long.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// assert_eq!(system.default_long_queue().name(), "events_dfl_long");
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "system_dfl_long_wq")]
    pub fn default_long_queue(&self) -> Queue {
        self.lazy_queue(Lazy::DefaultLong)
    }

    /// The System's freezable per-CPU queue: see [`System::freeze`].
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// drop(system.freeze());
    /// assert!(system.freezable_queue().is_frozen());
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "system_freezable_wq")]
    pub fn freezable_queue(&self) -> Queue {
        self.lazy_queue(Lazy::Freezable)
    }

    /// The System's queue for items that have no need to run on the CPU where they were queued, but
    /// do where that costs no power: per CPU, or unbound if the System was built with
    /// [`power_efficient`](crate::SystemBuilder::power_efficient).
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// assert_eq!(system.power_efficient_queue().name(), "events_power_efficient");
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "system_power_efficient_wq")]
    pub fn power_efficient_queue(&self) -> Queue {
        self.lazy_queue(Lazy::PowerEfficient)
    }

    /// As [`System::power_efficient_queue`], and freezable.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().power_efficient().build()?;
    /// let queue = system.freezable_power_efficient_queue();
    /// assert_eq!(queue.name(), "events_freezable_pwr_efficient");
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    #[doc(alias = "system_freezable_power_efficient_wq")]
    pub fn freezable_power_efficient_queue(&self) -> Queue {
        self.lazy_queue(Lazy::FreezablePowerEfficient)
    }

    /// The System's BH queue: for short closures that never block. See [`BhQueue`].
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// assert_eq!(system.bh_queue().name(), "events_bh");
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    ///
    /// # Panics
    /// If there are 63 other pools of workers on a CPU already.
    #[doc(alias = "system_bh_wq")]
    pub fn bh_queue(&self) -> BhQueue {
        BhQueue::of(self.lazy_queue(Lazy::Bh))
    }

    /// The System's BH queue of high priority: its items go before those of the other one.
    ///
    /// # Examples
    /// ```
    /// let system = wq_core::System::builder().build()?;
    /// assert_eq!(system.bh_highpri_queue().name(), "events_bh_highpri");
    /// # Ok::<(), wq_core::BuildError>(())
    /// ```
    ///
    /// # Panics
    /// As for [`System::bh_queue`].
    #[doc(alias = "system_bh_highpri_wq")]
    pub fn bh_highpri_queue(&self) -> BhQueue {
        BhQueue::of(self.lazy_queue(Lazy::BhHighpri))
    }
}
