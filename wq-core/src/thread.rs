//! Threads for code inside items: they get the program's CPUs, priority and signal mask.
//!
//! On an unbound queue of normal priority `std::thread` does the same: its workers keep the whole
//! mask and the usual priority. A worker of a per-CPU queue is bound to its CPU, and a thread that
//! it starts with `std` stays there; so use these inside items of such queues. The same holds for
//! queues of high priority in a program that does not run at nice 0 itself: a thread of `std` does
//! there. Outside of workers they are `std`'s.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::current::Current;
use crate::system::SystemInner;

/// Starts a thread that inherits nothing of the calling worker.
///
/// # Panics
/// If the machine refuses the thread, as `std::thread::spawn` does.
///
/// # Examples
/// ```
/// let system = wq_core::System::builder().build()?;
/// let task = system.percpu_queue().spawn_fn(|| {
///     wq_core::thread::spawn(|| 7).join().expect("it does not panic")
/// });
/// assert_eq!(task.wait().unwrap(), 7);
/// # Ok::<(), wq_core::BuildError>(())
/// ```
pub fn spawn<F, T>(body: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let spawned = Builder::new().spawn(body);
    spawned.unwrap_or_else(|error| panic!("the machine refused a thread: {error}"))
}

/// As `std::thread::Builder`, for threads that inherit nothing of the calling worker.
///
/// # Examples
/// ```
/// let thread = wq_core::thread::Builder::new().name("aide".into()).spawn(|| 7)?;
/// assert_eq!(thread.join().unwrap(), 7);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until `spawn`"]
pub struct Builder(thread::Builder);

impl Builder {
    /// The defaults.
    ///
    /// # Examples
    /// ```
    /// let thread = wq_core::thread::Builder::new().spawn(|| 7)?;
    /// # thread.join().unwrap();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[expect(clippy::new_without_default, reason = "as in std")]
    pub fn new() -> Builder {
        Builder(thread::Builder::new())
    }

    /// Names the thread.
    ///
    /// # Examples
    /// ```
    /// let builder = wq_core::thread::Builder::new().name("aide".into());
    /// # drop(builder);
    /// ```
    pub fn name(self, name: String) -> Builder {
        Builder(self.0.name(name))
    }

    /// Sets the size of its stack in bytes.
    ///
    /// # Examples
    /// ```
    /// let builder = wq_core::thread::Builder::new().stack_size(1 << 20);
    /// # drop(builder);
    /// ```
    pub fn stack_size(self, bytes: usize) -> Builder {
        Builder(self.0.stack_size(bytes))
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// If the machine refuses it.
    ///
    /// # Examples
    /// ```
    /// let thread = wq_core::thread::Builder::new().spawn(|| 7)?;
    /// assert_eq!(thread.join().unwrap(), 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn<F, T>(self, body: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let Some(system) = system_of_worker() else {
            return self.0.spawn(body);
        };
        let home = system.home.clone();
        self.0.spawn(move || {
            home.restore();
            body()
        })
    }
}

/// The System whose worker the caller is.
pub(crate) fn system_of_worker() -> Option<Arc<SystemInner>> {
    Current::with(|current| current.map(|c| Arc::clone(&c.system)))
}
