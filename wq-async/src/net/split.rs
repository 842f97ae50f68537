//! The two halves of a stream.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use futures_io::{AsyncRead, AsyncWrite};

use crate::by_ref::{reads_by_ref, writes_by_ref};

/// A stream whose direction for writing can be closed.
#[expect(unnameable_types, reason = "streams of this crate alone are split")]
pub trait Close {
    /// The peer reads the end.
    #[doc(hidden)]
    fn close_writing(&self);
}

/// The half of a borrowed stream that reads; derefs to the stream.
#[derive(Debug)]
pub struct ReadHalf<'a, S>(&'a S);

/// The half of a borrowed stream that writes; derefs to the stream.
#[derive(Debug)]
pub struct WriteHalf<'a, S>(&'a S);

/// The half of a stream that reads, with a life of its own; derefs to the stream.
#[derive(Debug)]
pub struct OwnedReadHalf<S>(Arc<S>);

/// The half of a stream that writes, with a life of its own; derefs to the stream.
///
/// Its drop closes the direction for writing.
#[derive(Debug)]
pub struct OwnedWriteHalf<S: Close> {
    stream: Arc<S>,
    /// The drop is to leave the stream as it is.
    forgets: bool,
}

/// Makes both owned halves.
pub(super) fn owned<S: Close>(stream: S) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
    let stream = Arc::new(stream);
    let writing = OwnedWriteHalf {
        stream: Arc::clone(&stream),
        forgets: false,
    };
    (OwnedReadHalf(stream), writing)
}

impl<'a, S> ReadHalf<'a, S> {
    /// The half of this stream.
    pub(super) fn new(stream: &'a S) -> Self {
        ReadHalf(stream)
    }
}

impl<'a, S> WriteHalf<'a, S> {
    /// The half of this stream.
    pub(super) fn new(stream: &'a S) -> Self {
        WriteHalf(stream)
    }
}

impl<S: Close> OwnedReadHalf<S> {
    /// Puts the stream together again.
    ///
    /// # Errors
    /// Gives both back if they are not of the same stream.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let (stream, _peer) = wq::net::UnixStream::pair()?;
    /// let (reading, writing) = stream.into_split();
    /// let whole: wq::net::UnixStream = reading.reunite(writing).expect("halves of one stream");
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn reunite(self, writing: OwnedWriteHalf<S>) -> Result<S, ReuniteError<S>> {
        if !Arc::ptr_eq(&self.0, &writing.stream) {
            return Err(ReuniteError(self, writing));
        }
        writing.forget();
        let Some(stream) = Arc::into_inner(self.0) else {
            unreachable!("there are two halves, and both are here");
        };
        Ok(stream)
    }
}

impl<S: Close> OwnedWriteHalf<S> {
    /// Drops the half and leaves the direction for writing open, until the other half is dropped.
    ///
    /// # Examples
    /// ```
    /// use futures::FutureExt;
    /// use futures::io::AsyncReadExt;
    ///
    /// # wq::block_on(async {
    /// let (one, mut other) = wq::net::UnixStream::pair()?;
    /// let (reading, writing) = one.into_split();
    /// writing.forget(); // the peer reads no end yet
    /// assert!(other.read(&mut [0]).now_or_never().is_none());
    /// drop(reading);
    /// assert_eq!(other.read(&mut [0]).await?, 0);
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn forget(mut self) {
        self.forgets = true;
    }
}

impl<S: Close> Drop for OwnedWriteHalf<S> {
    fn drop(&mut self) {
        if !self.forgets {
            self.stream.close_writing();
        }
    }
}

/// Two halves are not of the same stream; here they are.
///
/// # Examples
/// ```
/// # wq::block_on(async {
/// let (one, other) = wq::net::UnixStream::pair()?;
/// let ((reading, _), (_, writing)) = (one.into_split(), other.into_split());
/// let wq::net::ReuniteError(_reading, _writing) = reading.reunite(writing).unwrap_err();
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub struct ReuniteError<S: Close>(pub OwnedReadHalf<S>, pub OwnedWriteHalf<S>);

impl<S: Close> fmt::Debug for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReuniteError").finish_non_exhaustive()
    }
}

impl<S: Close> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the two halves are not of the same stream; the error holds both")
    }
}

impl<S: Close> Error for ReuniteError<S> {}

/// Has a half show its stream.
macro_rules! shows {
    ([$($generics:tt)*] $name:ty, |$half:ident| $stream:expr) => {
        impl<$($generics)*> Deref for $name {
            type Target = S;

            fn deref(&self) -> &S {
                let $half = self;
                $stream
            }
        }
    };
}

shows!([S] ReadHalf<'_, S>, |half| half.0);
shows!([S] OwnedReadHalf<S>, |half| &half.0);
shows!([S] WriteHalf<'_, S>, |half| half.0);
shows!([S: Close] OwnedWriteHalf<S>, |half| &half.stream);

reads_by_ref!([S] ReadHalf<'_, S>, [for<'s> &'s S: AsyncRead], |half| &**half);
reads_by_ref!([S] OwnedReadHalf<S>, [for<'s> &'s S: AsyncRead], |half| &**half);
writes_by_ref!([S] WriteHalf<'_, S>, [for<'s> &'s S: AsyncWrite], |half| &**half);
writes_by_ref!([S: Close] OwnedWriteHalf<S>, [for<'s> &'s S: AsyncWrite], |half| &**half);
