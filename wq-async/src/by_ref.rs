//! Reading and writing by value, for types that can do so by a shared reference.
//!
//! A socket, a file or a half of a stream reads and writes through `&self`; the traits of
//! `futures-io` want `&mut self`. The forwarding is the same for all of them, so it stands here.

#![forbid(unsafe_code)]

/// Implements `AsyncRead` for a type by that of a shared reference, which the closure-like last
/// part makes of `&self`. Generic parameters stand in brackets, bounds before the type.
macro_rules! reads_by_ref {
    ([$($generics:tt)*] $name:ty, [$($bounds:tt)*], |$this:ident| $by_ref:expr) => {
        impl<$($generics)*> futures_io::AsyncRead for $name
        where
            $($bounds)*
        {
            #[inline]
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                std::pin::Pin::new(&mut { $by_ref }).poll_read(cx, buf)
            }

            fn poll_read_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                std::pin::Pin::new(&mut { $by_ref }).poll_read_vectored(cx, bufs)
            }
        }
    };
}

/// The same for `AsyncWrite`.
macro_rules! writes_by_ref {
    ([$($generics:tt)*] $name:ty, [$($bounds:tt)*], |$this:ident| $by_ref:expr) => {
        impl<$($generics)*> futures_io::AsyncWrite for $name
        where
            $($bounds)*
        {
            #[inline]
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                std::pin::Pin::new(&mut { $by_ref }).poll_write(cx, buf)
            }

            fn poll_write_vectored(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                bufs: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                let $this = &*self;
                std::pin::Pin::new(&mut { $by_ref }).poll_write_vectored(cx, bufs)
            }

            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                let $this = &*self;
                std::pin::Pin::new(&mut { $by_ref }).poll_flush(cx)
            }

            fn poll_close(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                let $this = &*self;
                std::pin::Pin::new(&mut { $by_ref }).poll_close(cx)
            }
        }
    };
}

pub(crate) use {reads_by_ref, writes_by_ref};
