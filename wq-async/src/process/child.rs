//! A running child.

#![forbid(unsafe_code)]

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::process::{ExitStatus, Output};
use std::task::{Context, Poll};
use std::time::Duration;

use wq_core::driver;

use super::ending::Ending;
use super::orphan;
use super::pipe::{ChildStderr, ChildStdin, ChildStdout, ReadAll};

/// A child process.
///
/// Its drop closes the pipes that are still in it. The child runs on, or is killed if
/// [`kill_on_drop`](super::Command::kill_on_drop) was set; in either case it is reaped when it
/// ends: see [the module](super).
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use wq::process::Command;
///
/// # wq::block_on(async {
/// let mut child = Command::new("sleep").arg("60").spawn()?;
/// if wq::time::timeout(Duration::from_millis(5), child.wait()).await.is_err() {
///     child.kill()?;
/// }
/// assert_eq!(child.wait().await?.code(), None); // a signal
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Child {
    /// Its standard input, if that is a pipe.
    pub stdin: Option<ChildStdin>,
    /// Its standard output, if that is a pipe.
    pub stdout: Option<ChildStdout>,
    /// Its standard error, if that is a pipe.
    pub stderr: Option<ChildStderr>,
    /// Always there until the drop.
    ending: Option<Ending>,
    kill_on_drop: bool,
}

impl Child {
    /// Of a child that was started; if its pipes cannot be registered it is killed.
    pub(super) fn new(mut std: std::process::Child, kill_on_drop: bool) -> io::Result<Child> {
        let (stdin, stdout, stderr) = (std.stdin.take(), std.stdout.take(), std.stderr.take());
        let mut child = Child {
            stdin: None,
            stdout: None,
            stderr: None,
            ending: Some(Ending::new(std)),
            kill_on_drop: true,
        };
        child.stdin = stdin.map(TryInto::try_into).transpose()?;
        child.stdout = stdout.map(TryInto::try_into).transpose()?;
        child.stderr = stderr.map(TryInto::try_into).transpose()?;
        child.kill_on_drop = kill_on_drop;
        Ok(child)
    }

    /// What knows of its end.
    fn ending(&mut self) -> &mut Ending {
        let Some(ending) = &mut self.ending else {
            unreachable!("only the drop takes it");
        };
        ending
    }

    /// Its number; `None` once its end was seen, when the system may give it to another process.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let mut child = wq::process::Command::new("true").spawn()?;
    /// assert!(child.id().is_some());
    /// child.wait().await?;
    /// assert_eq!(child.id(), None);
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn id(&self) -> Option<u32> {
        self.ending.as_ref().and_then(Ending::id)
    }

    /// Closes its standard input, if that is still here, and waits for its end: a future, which can
    /// also block. May be called again, also after the end.
    ///
    /// A child that writes more than a pipe holds does not end before that is read: see
    /// [`wait_with_output`](Self::wait_with_output).
    ///
    /// # Errors
    /// The future's: if somebody else has reaped the child, as happens in programs that ignore
    /// `SIGCHLD` or wait for all of their children. How it has ended is not known then, and a kill
    /// does nothing.
    ///
    /// # Cancellation
    /// A dropped wait leaves the input closed, and to the next wait what tells of the end: a
    /// descriptor, or a blocked item (see [the module](super)).
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let mut child = wq::process::Command::new("true").spawn()?;
    /// assert!(child.wait().await?.success());
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn wait(&mut self) -> ChildWait<'_> {
        drop(self.stdin.take());
        ChildWait(self)
    }

    /// How it has ended, if it has. Leaves its input open.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let mut child = wq::process::Command::new("sleep").arg("60").kill_on_drop(true).spawn()?;
    /// assert_eq!(child.try_wait()?, None);
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.ending().try_wait()
    }

    /// Sends it `SIGKILL` and does not wait; nothing happens if it has ended, or if somebody else
    /// is known to have reaped it: see [the module](super).
    ///
    /// # Errors
    /// If the program may not, because the child runs as another user.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let mut child = wq::process::Command::new("sleep").arg("60").spawn()?;
    /// child.kill()?;
    /// assert!(!child.wait().await?.success());
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    #[doc(alias = "start_kill")]
    pub fn kill(&mut self) -> io::Result<()> {
        self.ending().kill()
    }

    /// Closes its standard input, if that is still here, reads what it writes to both of the other
    /// pipes at once, and waits for its end. What it writes is kept in memory, however much it is.
    ///
    /// As long as a process that the child has started keeps a pipe open, this does not end.
    ///
    /// # Errors
    /// Those of [`wait`](Self::wait).
    ///
    /// # Cancellation
    /// Dropping the future loses what was read, and drops the child: see [`Child`].
    ///
    /// # Examples
    /// ```
    /// use std::process::Stdio;
    ///
    /// # wq::block_on(async {
    /// let mut echo = wq::process::Command::new("echo");
    /// let child = echo.arg("hello").stdout(Stdio::piped()).spawn()?;
    /// assert_eq!(child.wait_with_output().await?.stdout, b"hello\n");
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    #[doc(alias = "output")]
    pub async fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (stdout, stderr) = (self.stdout.take(), self.stderr.take());
        let mut stdout = stdout.map_or_else(ReadAll::none, ChildStdout::read_all);
        let mut stderr = stderr.map_or_else(ReadAll::none, ChildStderr::read_all);
        poll_fn(|cx| {
            // Both, since a child may wait for room in either.
            let polled = (stdout.poll(cx)?, stderr.poll(cx)?);
            match polled {
                (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(io::Result::Ok(())),
                _ => Poll::Pending,
            }
        })
        .await?;
        Ok(Output {
            status: self.wait().await?,
            stdout: stdout.into_bytes(),
            stderr: stderr.into_bytes(),
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(mut ending) = self.ending.take() {
            if self.kill_on_drop {
                // It fails for a child of another user, which runs on.
                let _ = ending.kill();
            }
            orphan::reap(ending);
        }
    }
}

/// Waits for the end of a child: see [`Child::wait`].
///
/// # Examples
/// ```
/// let mut child = wq::process::Command::new("true").spawn()?;
/// let wait: wq::process::ChildWait<'_> = child.wait();
/// assert!(wait.wait()?.success()); // on a thread, without a future
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a wait does nothing for who drops it; await it, or call `wait`"]
pub struct ChildWait<'a>(&'a mut Child);

impl ChildWait<'_> {
    /// Waits on the calling thread, which counts as sleeping.
    ///
    /// # Errors
    /// As for [`Child::wait`].
    pub fn wait(self) -> io::Result<ExitStatus> {
        driver::block_on(self)
    }

    /// As [`wait`](Self::wait), for at most `limit`; `None` if the child has not ended.
    ///
    /// # Errors
    /// As for [`Child::wait`].
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// let mut child = wq::process::Command::new("sleep").arg("60").kill_on_drop(true).spawn()?;
    /// assert_eq!(child.wait().wait_timeout(Duration::from_millis(1))?, None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_timeout(self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        driver::block_on_timeout(self, limit).transpose()
    }
}

impl Future for ChildWait<'_> {
    type Output = io::Result<ExitStatus>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.ending().poll_wait(cx)
    }
}
