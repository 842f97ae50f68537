//! The waits of a group: futures that can also block, with and without a limit.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use wq_core::{JoinError, WaitError, driver};

use super::TaskGroup;

/// Waits for the next task of a group to end: see [`TaskGroup::join_next`].
///
/// # Examples
/// ```
/// let mut group = wq::TaskGroup::new();
/// group.spawn(async { 7 });
/// let next: wq::JoinNext<'_, u32> = group.join_next();
/// assert_eq!(next.wait().unwrap().unwrap(), 7);
/// ```
#[derive(Debug)]
#[must_use = "a wait does nothing for who drops it; await it, or call `wait`"]
pub struct JoinNext<'a, T>(&'a mut TaskGroup<T>);

impl<'a, T> JoinNext<'a, T> {
    /// For this group.
    pub(super) fn new(group: &'a mut TaskGroup<T>) -> JoinNext<'a, T> {
        JoinNext(group)
    }

    /// Waits on the calling thread, which counts as sleeping.
    pub fn wait(self) -> Option<Result<T, JoinError>> {
        driver::block_on(self)
    }

    /// Waits on the calling thread for at most `limit`.
    ///
    /// # Errors
    /// If no task has ended in time; all of them go on.
    pub fn wait_timeout(
        mut self,
        limit: Duration,
    ) -> Result<Option<Result<T, JoinError>>, WaitError> {
        driver::block_on_timeout(&mut self, limit).ok_or_else(|| stuck(self.0))
    }
}

impl<T> Future for JoinNext<'_, T> {
    type Output = Option<Result<T, JoinError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_join_next(cx)
    }
}

/// Waits until all tasks of a group have ended: see [`TaskGroup::join_all`].
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// let mut group = wq::TaskGroup::new();
/// group.spawn(std::future::pending::<()>());
/// let error = group.join_all().wait_timeout(Duration::from_millis(1)).unwrap_err();
/// assert_eq!(error.to_string(), "the time was over: 1 tasks of the group have not ended");
/// group.abort_all();
/// assert!(group.join_all().wait()[0].as_ref().unwrap_err().is_cancelled());
/// ```
#[derive(Debug)]
#[must_use = "a wait does nothing for who drops it; await it, or call `wait`"]
pub struct JoinAll<'a, T>(&'a mut TaskGroup<T>);

impl<'a, T> JoinAll<'a, T> {
    /// For this group.
    pub(super) fn new(group: &'a mut TaskGroup<T>) -> JoinAll<'a, T> {
        JoinAll(group)
    }

    /// Waits on the calling thread, which counts as sleeping.
    pub fn wait(self) -> Vec<Result<T, JoinError>> {
        driver::block_on(self)
    }

    /// Waits on the calling thread for at most `limit`.
    ///
    /// # Errors
    /// If some tasks have not ended in time. All results are in the group then, and those tasks go
    /// on.
    pub fn wait_timeout(mut self, limit: Duration) -> Result<Vec<Result<T, JoinError>>, WaitError> {
        driver::block_on_timeout(&mut self, limit).ok_or_else(|| stuck(self.0))
    }
}

impl<T> Future for JoinAll<'_, T> {
    type Output = Vec<Result<T, JoinError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0.poll_done(cx, |_| false) {
            Poll::Ready(()) => Poll::Ready(self.0.done.drain(..).collect()),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Waits until all tasks of a group have succeeded, or one has not: see
/// [`TaskGroup::try_join_all`].
///
/// # Examples
/// ```
/// let mut group = wq::TaskGroup::new();
/// group.spawn_fn(|| "7".parse::<u32>());
/// assert_eq!(group.try_join_all().wait()?, [7]);
/// # Ok::<(), wq::GroupError<std::num::ParseIntError>>(())
/// ```
#[derive(Debug)]
#[must_use = "a wait does nothing for who drops it; await it, or call `wait`"]
pub struct TryJoinAll<'a, T, E> {
    group: &'a mut TaskGroup<Result<T, E>>,
    /// As many of its results are known to be good.
    good: usize,
    /// The one after those is not, and the tasks were aborted for it.
    failed: bool,
}

impl<'a, T, E> TryJoinAll<'a, T, E> {
    /// For this group.
    pub(super) fn new(group: &'a mut TaskGroup<Result<T, E>>) -> TryJoinAll<'a, T, E> {
        TryJoinAll {
            group,
            good: 0,
            failed: false,
        }
    }

    /// Waits on the calling thread, which counts as sleeping.
    ///
    /// # Errors
    /// The first failure.
    pub fn wait(self) -> Result<Vec<T>, GroupError<E>> {
        driver::block_on(self)
    }

    /// Waits on the calling thread for at most `limit`.
    ///
    /// # Errors
    /// If some tasks have not ended in time. All results are in the group then, and those tasks go
    /// on, unless one has failed.
    pub fn wait_timeout(
        mut self,
        limit: Duration,
    ) -> Result<Result<Vec<T>, GroupError<E>>, WaitError> {
        driver::block_on_timeout(&mut self, limit).ok_or_else(|| stuck(self.group))
    }
}

impl<T, E> Future for TryJoinAll<'_, T, E> {
    type Output = Result<Vec<T>, GroupError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let TryJoinAll {
            group,
            good,
            failed,
        } = &mut *self;
        let polled = group.poll_done(cx, |group| {
            let is_good = |result: &Result<_, _>| matches!(result, Ok(Ok(_)));
            *good += group
                .done
                .iter()
                .skip(*good)
                .take_while(|r| is_good(r))
                .count();
            if *good < group.done.len() && !*failed {
                *failed = true;
                group.abort_all();
            }
            false
        });
        if polled.is_pending() {
            return Poll::Pending;
        }
        // The first failure is also the first in the list: aborts came after it.
        Poll::Ready(group.done.drain(..).map(value_or_error).collect())
    }
}

/// What a task's end means for the group.
fn value_or_error<T, E>(ended: Result<Result<T, E>, JoinError>) -> Result<T, GroupError<E>> {
    match ended {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(GroupError::Failed(error)),
        Err(error) => Err(GroupError::Join(error)),
    }
}

/// The error of a wait for tasks that have not ended.
fn stuck<T>(group: &TaskGroup<T>) -> WaitError {
    let running = group.nr_running();
    driver::timed_out(format!("{running} tasks of the group have not ended"))
}

/// Why a group of tasks did not succeed.
///
/// # Examples
/// ```
/// let mut group = wq::TaskGroup::new();
/// group.spawn(async { Err::<(), _>("no such thing") });
/// match group.try_join_all().wait() {
///     Err(wq::GroupError::Failed(error)) => assert_eq!(error, "no such thing"),
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum GroupError<E> {
    /// A task returned this error.
    Failed(E),
    /// A task did not return: it panicked, was aborted, or was refused by its queue.
    Join(JoinError),
}

impl<E: fmt::Display> fmt::Display for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupError::Failed(error) => error.fmt(f),
            GroupError::Join(error) => error.fmt(f),
        }
    }
}

impl<E: Error + 'static> Error for GroupError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            GroupError::Failed(error) => error.source(),
            GroupError::Join(error) => error.source(),
        }
    }
}
