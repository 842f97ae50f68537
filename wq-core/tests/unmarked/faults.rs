//! A page fault that is served late, by a task behind the one that faults; and faults without end,
//! none of which is late.
//!
//! `userfaultfd` lets a program serve its own faults. Where the kernel refuses it, the test says
//! so.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc;
use wq_core::JoinHandle;

use crate::harness;
use crate::lane::{Lane, on_each_kind};

/// Goal: a fault that lasts lets the lane go on. Method: a task touches a page that a task behind
/// it fills; on each kind of queue, in a process of its own.
#[test]
fn a_page_fault_lets_the_lane_go_on() {
    let scenarios = on_each_kind("page fault", fault);
    if let Err(refused) = Served::new() {
        eprintln!("SKIPPED: this machine has no userfaultfd for us: {refused}");
        return;
    }
    harness::run_each("faults::a_page_fault_lets_the_lane_go_on", &scenarios);
}

/// The scenario.
fn fault(lane: &Lane) {
    let served = Served::new().expect("there was one a moment ago");
    let page = served.page;
    let (inner, fault) = (lane.clone(), served.file);
    let task: JoinHandle<u8> = lane.spawn(move || {
        drop(inner.help(move || serve(&fault, page)));
        // SAFETY: the page is mapped, readable, and stays so.
        unsafe { std::ptr::read_volatile(page as *const u8) }
    });
    assert_eq!(task.wait().expect("it ends"), 7);
}

/// Goal: a task that does nothing but fault pages lets the lane go on. None of the faults is a
/// block: the task has its CPU all the time, and most of that inside the kernel. Method: it gives
/// its pages back and touches them anew until a task behind it has run; on each kind of queue, in a
/// process of its own.
#[test]
fn a_storm_of_faults_lets_the_lane_go_on() {
    let scenarios = on_each_kind("storm of faults", storm);
    harness::run_each("faults::a_storm_of_faults_lets_the_lane_go_on", &scenarios);
}

/// Pages that are touched in a row.
const PAGES: usize = 64;

/// The scenario.
fn storm(lane: &Lane) {
    let pages = map(PAGES * PAGE).expect("memory");
    let ran = Arc::new(AtomicBool::new(false));
    let helper = Arc::clone(&ran);
    let faults = move || {
        while !ran.load(Ordering::Acquire) {
            touch_anew(pages);
        }
    };
    lane.until_helped(faults, move || helper.store(true, Ordering::Release));
}

/// Gives all pages back and touches each: a fault apiece.
fn touch_anew(pages: usize) {
    let start = pages as *mut libc::c_void;
    // SAFETY: the pages are a mapping of our own, to which nothing refers.
    let given = unsafe { libc::madvise(start, PAGES * PAGE, libc::MADV_DONTNEED) };
    assert_eq!(given, 0, "{}", io::Error::last_os_error());
    for page in 0..PAGES {
        let byte = (pages + page * PAGE) as *mut u8;
        // SAFETY: the page is mapped, writable, and stays so; nobody else touches it.
        unsafe { std::ptr::write_volatile(byte, 7) };
    }
}

/// A mapping of fresh pages, which stays until the process ends.
fn map(bytes: usize) -> io::Result<usize> {
    let (prot, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
    );
    // SAFETY: a new mapping of nobody's addresses.
    let pages = unsafe { libc::mmap(std::ptr::null_mut(), bytes, prot, flags, -1, 0) };
    if pages == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(pages as usize)
}

/// A page whose faults are ours to serve.
struct Served {
    page: usize,
    file: File,
}

/// Bytes in the page; what the machine's pages really have is a multiple.
const PAGE: usize = 4096;

/// Faults of user code only: needs no right since Linux 5.11.
const USER_MODE_ONLY: libc::c_int = 1;
/// The first agreement on features.
const UFFDIO_API: libc::c_ulong = 0xc018_aa3f;
/// A range of addresses is to be served.
const UFFDIO_REGISTER: libc::c_ulong = 0xc020_aa00;
/// Fills a page and wakes who waits for it.
const UFFDIO_COPY: libc::c_ulong = 0xc028_aa03;
/// Version, features, calls.
const API: [u64; 3] = [0xaa, 0, 0];
/// Pages that are missing.
const MODE_MISSING: u64 = 1;

impl Served {
    /// A page that is not there yet.
    fn new() -> io::Result<Served> {
        // SAFETY: makes a descriptor and touches no memory.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | USER_MODE_ONLY) };
        let fd = i32::try_from(fd).map_err(io::Error::other)?;
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        let file = unsafe { File::from_raw_fd(fd) };
        control(&file, UFFDIO_API, &mut API.clone())?;
        let page = map(PAGE)?;
        let mut range = [page as u64, PAGE as u64, MODE_MISSING, 0];
        control(&file, UFFDIO_REGISTER, &mut range)?;
        Ok(Served { page, file })
    }
}

/// Waits for the fault and fills the page with sevens.
fn serve(mut file: &File, page: usize) {
    let mut event = [0; 32];
    file.read_exact(&mut event).expect("somebody faults");
    let filling = [7_u8; PAGE];
    let mut copy = [page as u64, filling.as_ptr() as u64, PAGE as u64, 0, 0];
    control(file, UFFDIO_COPY, &mut copy).expect("the page is filled");
}

/// One call about the descriptor.
fn control<const N: usize>(
    file: &File,
    call: libc::c_ulong,
    argument: &mut [u64; N],
) -> io::Result<()> {
    // SAFETY: each call reads and writes as many words as its argument has here.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), call, argument.as_mut_ptr()) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
