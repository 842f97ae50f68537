//! Pages that are not there and are served late, through `userfaultfd`.
//!
//! A page is dropped by the thread that is about to touch it, which then faults and waits in the
//! kernel until the feeder maps a page of zeroes. Only faults of user code are asked for, which
//! needs no privilege.

use std::ffi::c_void;
use std::fs::File;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::ptr::NonNull;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous};

use super::Poison;
use super::feeder::{Feed, Feeder};

/// Size of a page; a larger one of the machine is refused by the kernel, and the row skipped.
const PAGE: usize = 4096;
/// Version of the interface: `UFFD_API`.
const API: u64 = 0xAA;
/// Ask for faults of user code only: `UFFD_USER_MODE_ONLY`.
const USER_MODE_ONLY: libc::c_int = 1;
/// Ask for pages that are missing: `UFFDIO_REGISTER_MODE_MISSING`.
const MISSING: u64 = 1;

/// `struct uffdio_api`.
#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_register`.
#[repr(C)]
struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

/// `struct uffdio_zeropage`.
#[repr(C)]
struct ZeroPage {
    start: u64,
    len: u64,
    mode: u64,
    zeroed: i64,
}

nix::ioctl_readwrite!(uffdio_api, API as u8, 0x3F, Api);
nix::ioctl_readwrite!(uffdio_register, API as u8, 0x00, Register);
nix::ioctl_readwrite!(uffdio_zeropage, API as u8, 0x04, ZeroPage);

/// See the module.
pub(super) struct LatePages {
    /// The first page's address. Invariant: `places` pages of this process's own, which nobody
    /// else knows of and which stay mapped for ever.
    first: usize,
    /// How many pages there are.
    places: usize,
    /// Maps them.
    feeder: Feeder,
}

impl LatePages {
    /// A page for each place; the pages are never given back.
    pub(super) fn map(time: Duration, places: usize) -> Result<Self, String> {
        let faults = open().map_err(|error| format!("userfaultfd is refused: {error}"))?;
        let len = NonZeroUsize::new(places * PAGE).ok_or("no places")?;
        let (prot, flags) = (ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE);
        // SAFETY: unsafe because a fixed mapping could replace memory that is in use; this one
        // lies where the kernel finds room.
        let mapped = unsafe { mmap_anonymous(None, len, prot, flags) };
        let first = mapped.map_err(|error| format!("no memory to fault in: {error}"))?;
        let first = first.as_ptr() as usize;
        register(faults.as_raw_fd(), first, len.get())
            .map_err(|error| format!("userfaultfd does not take anonymous memory: {error}"))?;
        let feeder = Feeder::start(time, move || Server { faults, first });
        Ok(Self {
            first,
            places,
            feeder,
        })
    }
}

/// Opens the descriptor and agrees upon the version.
fn open() -> Result<File, Errno> {
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK | USER_MODE_ONLY;
    // SAFETY: unsafe because any call could be meant; this one takes one number and no memory.
    let descriptor = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) };
    let descriptor = Errno::result(descriptor)? as RawFd;
    // SAFETY: unsafe because a descriptor must have one owner; the kernel made this one a line ago.
    let faults = unsafe { File::from_raw_fd(descriptor) };
    let mut api = Api {
        api: API,
        features: 0,
        ioctls: 0,
    };
    // SAFETY: unsafe because the kernel writes through the pointer; it points to the structure
    // that the request is about, which lives until the call is over.
    unsafe { uffdio_api(faults.as_raw_fd(), &raw mut api) }?;
    Ok(faults)
}

/// Asks for the faults of a range.
fn register(descriptor: RawFd, start: usize, len: usize) -> Result<(), Errno> {
    let mut range = Register {
        start: start as u64,
        len: len as u64,
        mode: MISSING,
        ioctls: 0,
    };
    // SAFETY: as in `open`; the range is the caller's own memory, which only it touches.
    unsafe { uffdio_register(descriptor, &raw mut range) }?;
    Ok(())
}

impl Poison for LatePages {
    fn block(&self, place: usize) {
        assert!(place < self.places, "each place has a page");
        let page = self.first + place * PAGE;
        let start = NonNull::new(page as *mut c_void).expect("memory is not at zero");
        // SAFETY: unsafe because the page's content is lost; nobody put anything there.
        let dropped = unsafe { madvise(start, PAGE, MmapAdvise::MADV_DONTNEED) };
        dropped.expect("own memory can be dropped");
        self.feeder.announce(place);
        let byte = start.as_ptr() as *const u8;
        // SAFETY: unsafe because the pointer must be readable; by the field's invariant it is
        // mapped for ever, and a fault is served by the feeder.
        let zero = unsafe { byte.read_volatile() };
        assert_eq!(zero, 0, "a page of zeroes was mapped");
    }
}

/// The feeder's side.
struct Server {
    /// The descriptor that faults belong to.
    faults: File,
    /// Address of the first page.
    first: usize,
}

impl Feed for Server {
    fn let_through(&mut self, place: usize) {
        let mut page = ZeroPage {
            start: (self.first + place * PAGE) as u64,
            len: PAGE as u64,
            mode: 0,
            zeroed: 0,
        };
        // SAFETY: as in `open`; the page is one of `LatePages`, which holds nothing.
        let served = unsafe { uffdio_zeropage(self.faults.as_raw_fd(), &raw mut page) };
        served.expect("a missing page can be mapped");
    }
}
