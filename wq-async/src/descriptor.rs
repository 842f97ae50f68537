//! The descriptor of what waits for one, as `std`'s traits have it.
//!
//! It is the same for every socket and pipe, so it stands here. For code that looks at a
//! descriptor, not for code that reads it: the reactor's types do that.

#![forbid(unsafe_code)]

/// Implements `AsFd` and `AsRawFd` for types whose field `io` is an `Async`.
macro_rules! descriptor {
    ($($name:ident),+) => {$(
        impl std::os::fd::AsFd for $name {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                std::os::fd::AsFd::as_fd(&self.io)
            }
        }

        impl std::os::fd::AsRawFd for $name {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                std::os::fd::AsRawFd::as_raw_fd(self.io.get_ref())
            }
        }
    )+};
}

pub(crate) use descriptor;
