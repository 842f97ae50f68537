//! Takes rights away from the calling thread and all that it starts, as sandboxes do.

use std::ffi::CString;

use nix::errno::Errno;
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Uid, geteuid, setresuid};

/// The kernel answers these system calls of the calling thread, and of all that it starts, with an
/// error and does nothing.
///
/// # Panics
/// If the kernel has no filters at all.
pub(crate) fn refuse(calls: &[libc::c_long], errno: Errno) {
    install(calls, errno, 0).expect("a kernel with filters");
}

/// As [`refuse`], of all threads of the process.
///
/// # Errors
/// What the kernel says.
pub(crate) fn refuse_everywhere(calls: &[libc::c_long], errno: Errno) -> nix::Result<()> {
    install(calls, errno, libc::SECCOMP_FILTER_FLAG_TSYNC)
}

/// Installs a filter.
fn install(calls: &[libc::c_long], errno: Errno, flags: libc::c_ulong) -> nix::Result<()> {
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for &call in calls {
        // The next one if it is this call, else the one after that.
        program.push(libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: call as u32,
        });
        let answer = libc::SECCOMP_RET_ERRNO | errno as u32;
        program.push(statement(libc::BPF_RET | libc::BPF_K, answer));
    }
    let allow = statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW);
    program.push(allow);
    nix::sys::prctl::set_no_new_privs()?;
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the kernel copies `len` instructions from `filter`, which is a live vector of that
    // many, and keeps no pointer.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const filter,
        )
    };
    Errno::result(result).map(drop)
}

/// An instruction without jumps.
fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}

/// Puts an empty directory over `/proc`, for this thread and what it starts.
///
/// # Errors
/// Needs the right to mount.
pub(crate) fn hide_procfs() -> nix::Result<()> {
    let nothing = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS)?;
    // What is mounted below stays ours.
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(nothing, "/", nothing, private, nothing)?;
    mount(
        Some("none"),
        "/proc",
        Some("tmpfs"),
        MsFlags::empty(),
        nothing,
    )
}

/// Becomes a user without rights (if the process is root), whose process may not be looked into.
///
/// # Errors
/// What the kernel says.
pub(crate) fn become_undumpable_nobody() -> nix::Result<()> {
    let nobody = Uid::from_raw(65_534);
    if geteuid().is_root() {
        setresuid(nobody, nobody, nobody)?;
    }
    nix::sys::prctl::set_dumpable(false)
}

/// Whether a file of a thread's state can be opened by this process.
pub(crate) fn can_open(file: &str) -> bool {
    let path = CString::new(format!("/proc/thread-self/{file}")).expect("no zero in it");
    let flags = nix::fcntl::OFlag::O_RDONLY;
    nix::fcntl::open(path.as_c_str(), flags, nix::sys::stat::Mode::empty()).is_ok()
}
