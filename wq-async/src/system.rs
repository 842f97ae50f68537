//! The current System's own queues, under the kernel's names.
//!
//! They are everybody's: each function gives a [`Queue`] (or [`BhQueue`]), which only submits.
//! Flushing a queue that strangers use does not compile; wait for your own items, or build a queue
//! of your own. What the kernel calls `schedule_work(work)` is `wq::system::percpu().queue(&work)`
//! here.
//!
//! The current System is that of the worker that calls, else the one that was entered, else the
//! process's default, which is made when it is first needed. The same queues are methods of
//! [`System`].
//!
//! ```
//! use wq::{Queued, Work};
//!
//! let work = Work::new(|| println!("on the CPU where it was queued"));
//! assert_eq!(wq::system::percpu().queue(&work), Queued::New);
//! work.flush().wait()?;
//! # Ok::<(), wq::WaitError>(())
//! ```
//!
//! ```compile_fail
//! let _ = wq::system::percpu().flush(); // whose items?
//! ```

use wq_core::{BhQueue, Queue, System};

/// The current System's per-CPU queue, for short items.
///
/// # Examples
/// ```
/// assert_eq!(wq::system::percpu().name(), "events");
/// ```
///
/// # Panics
/// If the default System must be made and the machine refuses its threads.
#[doc(alias = "system_percpu_wq")]
#[doc(alias = "system_wq")]
pub fn percpu() -> Queue {
    System::current().percpu_queue()
}

/// The current System's per-CPU queue of high priority.
///
/// # Examples
/// ```
/// assert_eq!(wq::system::highpri().name(), "events_highpri");
/// ```
///
/// # Panics
/// If the default System must be made and the machine refuses its threads.
#[doc(alias = "system_highpri_wq")]
pub fn highpri() -> Queue {
    System::current().highpri_queue()
}

/// The current System's per-CPU queue for items that may take long.
///
/// # Examples
/// ```
/// assert_eq!(wq::system::long().name(), "events_long");
/// ```
///
/// # Panics
/// If the default System must be made and the machine refuses its threads.
#[doc(alias = "system_long_wq")]
pub fn long() -> Queue {
    System::current().long_queue()
}

/// The current System's unbound queue, to which [`spawn`](crate::spawn()) goes.
///
/// # Examples
/// ```
/// assert_eq!(wq::system::unbound().name(), "events_unbound");
/// ```
///
/// # Panics
/// If the default System must be made and the machine refuses its threads.
#[doc(alias = "system_unbound_wq")]
pub fn unbound() -> Queue {
    System::current().default_queue()
}

/// The current System's default queue, which is the unbound one.
///
/// # Examples
/// ```
/// assert_eq!(wq::system::dfl().name(), "events_unbound");
/// ```
///
/// # Panics
/// If the default System must be made and the machine refuses its threads.
#[doc(alias = "system_dfl_wq")]
pub fn dfl() -> Queue {
    System::current().default_queue()
}

/// The current System's unbound queue for items that may take long.
///
/// # Examples
/// ```
/// assert_eq!(wq::system::dfl_long().name(), "events_dfl_long");
/// ```
///
/// # Panics
/// If the default System must be made and the machine refuses its threads.
#[doc(alias = "system_dfl_long_wq")]
pub fn dfl_long() -> Queue {
    System::current().default_long_queue()
}

/// The current System's freezable per-CPU queue: see [`System::freeze`](crate::System::freeze).
///
/// # Examples
/// ```
/// assert_eq!(wq::system::freezable().name(), "events_freezable");
/// ```
///
/// # Panics
/// If the default System must be made and the machine refuses its threads.
#[doc(alias = "system_freezable_wq")]
pub fn freezable() -> Queue {
    System::current().freezable_queue()
}

/// The current System's queue that is per CPU unless it was built to save power.
///
/// # Examples
/// ```
/// assert_eq!(wq::system::power_efficient().name(), "events_power_efficient");
/// ```
///
/// # Panics
/// If the default System must be made and the machine refuses its threads.
#[doc(alias = "system_power_efficient_wq")]
pub fn power_efficient() -> Queue {
    System::current().power_efficient_queue()
}

/// The current System's queue that is both freezable and [`power_efficient`].
///
/// # Examples
/// ```
/// assert_eq!(wq::system::freezable_power_efficient().name(), "events_freezable_pwr_efficient");
/// ```
///
/// # Panics
/// If the default System must be made and the machine refuses its threads.
#[doc(alias = "system_freezable_power_efficient_wq")]
pub fn freezable_power_efficient() -> Queue {
    System::current().freezable_power_efficient_queue()
}

/// The current System's BH queue: for short closures that never block.
///
/// # Examples
/// ```
/// assert_eq!(wq::system::bh().name(), "events_bh");
/// ```
///
/// # Panics
/// If the default System must be made and the machine refuses its threads, or there are too many
/// pools of workers ([`System::bh_queue`](crate::System::bh_queue)).
#[doc(alias = "system_bh_wq")]
pub fn bh() -> BhQueue {
    System::current().bh_queue()
}

/// The current System's BH queue of high priority.
///
/// # Examples
/// ```
/// assert_eq!(wq::system::bh_highpri().name(), "events_bh_highpri");
/// ```
///
/// # Panics
/// As for [`bh`].
#[doc(alias = "system_bh_highpri_wq")]
pub fn bh_highpri() -> BhQueue {
    System::current().bh_highpri_queue()
}
