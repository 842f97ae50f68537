//! The handle of a tokio runtime that serves Systems.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread::available_parallelism;

use wq_core::SystemBuilder;

use super::Compat;
use super::service::{Plan, Service};

/// With fewer threads than this, two tasks of libraries that block would leave nobody to wait for
/// tokio's events on a small machine. Threads that sleep cost little.
const FEWEST_BY_DEFAULT: usize = 4;

/// More is a mistake: threads of tokio's that run tasks are meant to be as many as CPUs.
const MOST_THREADS: usize = 1024;

/// Longest tag: thread names have 15 bytes, and must say more than that.
const MAX_TAG: usize = 5;

/// A tokio runtime with threads of its own, for the libraries that ask for one.
///
/// A cheap handle. The runtime ends when the last handle is gone and the Systems that it was
/// attached to have stopped; see [the module](super) for what runs where.
///
/// # Forks
/// In a forked child the runtime's threads are missing: nothing may be spawned there, and dropping
/// the handle does nothing.
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// let tokio = wq::tokio::Driver::new()?;
/// let system = tokio.attach(wq::System::builder()).build()?;
/// drop(tokio); // the System keeps it
/// system.run(async { tokio::time::sleep(Duration::from_millis(1)).await });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Driver {
    service: Arc<Service>,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

impl Driver {
    /// One with the defaults.
    ///
    /// # Errors
    /// If the machine refuses its threads or descriptors.
    ///
    /// # Examples
    /// ```
    /// let tokio = wq::tokio::Driver::new()?;
    /// # drop(tokio);
    /// # Ok::<(), wq::tokio::DriverError>(())
    /// ```
    pub fn new() -> Result<Driver, DriverError> {
        Driver::builder().build()
    }

    /// A builder with the defaults.
    ///
    /// # Examples
    /// ```
    /// let tokio = wq::tokio::Driver::builder().threads(2).build()?;
    /// # drop(tokio);
    /// # Ok::<(), wq::tokio::DriverError>(())
    /// ```
    pub fn builder() -> DriverBuilder {
        DriverBuilder {
            tag: "wq".to_owned(),
            threads: None,
        }
    }

    /// Gives every worker of the System that `builder` makes this runtime's context, for as long as
    /// the worker lives. The System keeps the runtime until it has stopped.
    ///
    /// # Examples
    /// ```
    /// let tokio = wq::tokio::Driver::new()?;
    /// let system = tokio.attach(wq::System::builder().workers(2)).build()?;
    /// let task = system.spawn(async { tokio::runtime::Handle::try_current().is_ok() });
    /// assert!(task.wait()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn attach(&self, builder: SystemBuilder) -> SystemBuilder {
        let driver = self.clone();
        builder.on_thread_start(move || {
            // Never left: the thread's end forgets the context, which is what leaving would do, and
            // a guard in a thread-local could outlive tokio's own.
            std::mem::forget(driver.service.handle.enter());
        })
    }

    /// Gives the calling thread this runtime's context until the guard is dropped: for threads
    /// that are no workers of a System that it is attached to.
    ///
    /// # Examples
    /// ```
    /// let tokio = wq::tokio::Driver::new()?;
    /// let _entered = tokio.enter();
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// listener.set_nonblocking(true)?;
    /// let listener = tokio::net::TcpListener::from_std(listener)?;
    /// # drop(listener);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn enter(&self) -> EnterGuard<'_> {
        EnterGuard(self.service.handle.enter())
    }

    /// Gives a future this runtime's context wherever it is polled and dropped: on a System that
    /// the runtime is not attached to, or on any other executor.
    ///
    /// # Cancellation
    /// As that of the future.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let tokio = wq::tokio::Driver::new()?;
    /// let nap = tokio.compat(async { tokio::time::sleep(Duration::from_millis(1)).await });
    /// futures::executor::block_on(nap);
    /// # Ok::<(), wq::tokio::DriverError>(())
    /// ```
    pub fn compat<F: Future>(&self, future: F) -> Compat<F> {
        Compat::new(future, self.clone())
    }
}

/// Keeps a [`Driver`]'s context on the calling thread until it is dropped.
///
/// # Panics
/// Guards must be dropped in the reverse order of their making; tokio panics otherwise.
///
/// # Examples
/// ```
/// let tokio = wq::tokio::Driver::new()?;
/// let entered = tokio.enter();
/// assert!(tokio::runtime::Handle::try_current().is_ok());
/// drop(entered);
/// assert!(tokio::runtime::Handle::try_current().is_err());
/// # Ok::<(), wq::tokio::DriverError>(())
/// ```
#[derive(Debug)]
#[must_use = "the context ends when the guard is dropped"]
pub struct EnterGuard<'driver>(
    #[expect(dead_code, reason = "kept for its destructor")] ::tokio::runtime::EnterGuard<'driver>,
);

/// Builds a [`Driver`]. Setters never fail; [`DriverBuilder::build`] names a bad field.
///
/// # Examples
/// ```
/// let tokio = wq::tokio::Driver::builder().name("db").threads(2).build()?;
/// # drop(tokio);
/// # Ok::<(), wq::tokio::DriverError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct DriverBuilder {
    tag: String,
    /// `None`: as many as CPUs, and no fewer than the constant above.
    threads: Option<usize>,
}

impl DriverBuilder {
    /// What the names of its threads begin with, 1 to 5 bytes; default `wq`.
    ///
    /// # Examples
    /// ```
    /// let tokio = wq::tokio::Driver::builder().name("db").build()?;
    /// # drop(tokio);
    /// # Ok::<(), wq::tokio::DriverError>(())
    /// ```
    pub fn name(mut self, tag: impl Into<String>) -> DriverBuilder {
        self.tag = tag.into();
        self
    }

    /// How many threads run what is spawned on tokio, and wait for its events: 1 to 1024. Default:
    /// as many as CPUs, but no fewer than 4.
    ///
    /// While tasks of tokio's block as many threads, tokio's sockets and timers stand still.
    ///
    /// # Examples
    /// ```
    /// let tokio = wq::tokio::Driver::builder().threads(1).build()?;
    /// assert!(wq::tokio::Driver::builder().threads(0).build().is_err());
    /// # drop(tokio);
    /// # Ok::<(), wq::tokio::DriverError>(())
    /// ```
    #[doc(alias = "worker_threads")]
    pub fn threads(mut self, threads: usize) -> DriverBuilder {
        self.threads = Some(threads);
        self
    }

    /// Makes the runtime and its threads.
    ///
    /// # Errors
    /// If a field cannot be used, or if the machine refuses threads or descriptors.
    pub fn build(self) -> Result<Driver, DriverError> {
        let threads = self.threads.unwrap_or_else(default_threads);
        if !(1..=MOST_THREADS).contains(&threads) {
            return Err(DriverError(Kind::Threads(threads)));
        }
        let tag_is_good =
            (1..=MAX_TAG).contains(&self.tag.len()) && !self.tag.contains(['/', '\0']);
        if !tag_is_good {
            return Err(DriverError(Kind::Name(self.tag)));
        }
        let tag = self.tag;
        let service = Service::start(Plan { tag, threads });
        let service = Arc::new(service.map_err(|error| DriverError(Kind::Refused(error)))?);
        Ok(Driver { service })
    }
}

/// As many threads as CPUs, and no fewer than [`FEWEST_BY_DEFAULT`].
fn default_threads() -> usize {
    let cpus = available_parallelism().map_or(1, usize::from);
    cpus.clamp(FEWEST_BY_DEFAULT, MOST_THREADS)
}

/// Why there is no [`Driver`].
///
/// # Examples
/// ```
/// let error = wq::tokio::Driver::builder().threads(0).build().unwrap_err();
/// assert!(!error.is_refused());
/// assert_eq!(error.to_string(), "threads: 0; take 1 to 1024");
/// ```
#[derive(Debug)]
pub struct DriverError(Kind);

/// What was wrong.
#[derive(Debug)]
enum Kind {
    /// So many threads.
    Threads(usize),
    /// This name.
    Name(String),
    /// The machine said no.
    Refused(io::Error),
}

impl DriverError {
    /// Whether the machine refused threads or descriptors; otherwise a field was wrong.
    ///
    /// # Examples
    /// ```
    /// let error = wq::tokio::Driver::builder().name("").build().unwrap_err();
    /// assert!(!error.is_refused());
    /// ```
    pub fn is_refused(&self) -> bool {
        matches!(self.0, Kind::Refused(_))
    }
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Threads(threads) => write!(f, "threads: {threads}; take 1 to {MOST_THREADS}"),
            Kind::Name(tag) => write!(
                f,
                "name: {tag:?}; take 1 to {MAX_TAG} bytes without slashes and zeros"
            ),
            Kind::Refused(error) => write!(f, "the machine refused a tokio runtime: {error}"),
        }
    }
}

impl std::error::Error for DriverError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Kind::Refused(error) => Some(error),
            Kind::Threads(_) | Kind::Name(_) => None,
        }
    }
}
