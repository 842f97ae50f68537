//! Files whose every read takes its time: a file system in user space, served by one thread.
//!
//! It speaks the kernel's FUSE protocol over `/dev/fuse`, as much of it as opening and reading
//! takes. The mount lies in a mount namespace of its own, whose only member is a thread that ends
//! once the files are open: nothing is left behind, however the process ends. That takes the right
//! to mount; without it the reason is told.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::thread;
use std::time::{Duration, Instant};

use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::time::TimeSpec;

use super::Poison;

/// Length of the header of each request.
const REQUEST: usize = 40;
/// More than the kernel asks a reader to have room for.
const ROOM: usize = 1 << 16;
/// The node that is the root folder.
const ROOT: u64 = 1;
/// The first node that is a file; file `n` is node `FIRST + n`.
const FIRST: u64 = 2;
/// For how many seconds the kernel may keep what it was told about a node.
const VALID_S: u64 = 3600;
/// Nothing of a file is kept by the kernel: `FOPEN_DIRECT_IO`.
const DIRECT_IO: u32 = 1;
/// Version that the answers are written for.
const VERSION: [u32; 2] = [7, 31];
/// Kind and rights of the root folder.
const FOLDER_MODE: u32 = libc::S_IFDIR | 0o555;
/// Kind and rights of a file.
const FILE_MODE: u32 = libc::S_IFREG | 0o444;
/// What a file seems to hold.
const FILE_SIZE: u64 = 1;

/// Requests that are known, by the kernel's numbers.
mod opcode {
    pub(super) const LOOKUP: u32 = 1;
    pub(super) const FORGET: u32 = 2;
    pub(super) const GETATTR: u32 = 3;
    pub(super) const OPEN: u32 = 14;
    pub(super) const READ: u32 = 15;
    pub(super) const RELEASE: u32 = 18;
    pub(super) const FLUSH: u32 = 25;
    pub(super) const INIT: u32 = 26;
    pub(super) const INTERRUPT: u32 = 36;
    pub(super) const DESTROY: u32 = 38;
    pub(super) const BATCH_FORGET: u32 = 42;
}

/// See the module: open files, by place.
pub(super) struct SlowFiles(Vec<File>);

impl SlowFiles {
    /// Mounts the file system and opens a file for each place.
    pub(super) fn mount(time: Duration, places: usize) -> Result<Self, String> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK);
        let device = options.open("/dev/fuse");
        let device = device.map_err(|error| format!("/dev/fuse cannot be opened: {error}"))?;
        let opener = thread::spawn(move || {
            // Anywhere will do: nobody else sees the mount.
            let folder = std::env::temp_dir();
            mount_privately(&device, &folder)?;
            thread::spawn(move || serve(time, &device));
            let open = |place: usize| File::open(folder.join(place.to_string()));
            let files: io::Result<Vec<_>> = (0..places).map(open).collect();
            files.map_err(|error| format!("the FUSE files cannot be opened: {error}"))
        });
        opener.join().expect("nothing panics there").map(Self)
    }
}

impl Poison for SlowFiles {
    fn block(&self, place: usize) {
        let read = self.0[place].read_exact_at(&mut [0], 0);
        read.expect("the server answers");
    }
}

/// Mounts over a folder, for the calling thread alone.
fn mount_privately(device: &File, folder: &std::path::Path) -> Result<(), String> {
    let nothing: Option<&str> = None;
    let told = |error| format!("a FUSE file system cannot be mounted: {error}");
    unshare(CloneFlags::CLONE_NEWNS).map_err(told)?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(nothing, "/", nothing, private, nothing).map_err(told)?;
    let options = format!(
        "fd={},rootmode=40000,user_id={},group_id={}",
        device.as_raw_fd(),
        nix::unistd::getuid(),
        nix::unistd::getgid(),
    );
    let flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
    mount(
        Some("slow"),
        folder,
        Some("fuse"),
        flags,
        Some(options.as_str()),
    )
    .map_err(told)
}

/// The server's life: it ends with the file system.
fn serve(time: Duration, device: &File) {
    let mut room = vec![0; ROOM];
    // Reads that wait, by their ends, and their requests' numbers.
    let mut waiting: VecDeque<(Instant, u64)> = VecDeque::new();
    loop {
        let now = Instant::now();
        while waiting.front().is_some_and(|(due, _)| *due <= now) {
            let (_, unique) = waiting.pop_front().expect("it was just looked at");
            answer(device, unique, Ok(&[0; FILE_SIZE as usize]));
        }
        let left = waiting.front().map(|(due, _)| TimeSpec::from(*due - now));
        let mut watched = [PollFd::new(device.as_fd(), PollFlags::POLLIN)];
        // A signal or the end of the time: look again either way.
        let _ = ppoll(&mut watched, left, None);
        match (&*device).read(&mut room) {
            Ok(length) => {
                let due = Instant::now() + time;
                let request = Request::parse(&room[..length]);
                if request.opcode == opcode::READ {
                    waiting.push_back((due, request.unique));
                } else {
                    request.serve(device);
                }
            }
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return,
            Err(error) => match error.kind() {
                // Nothing there, interrupted, or a request taken back.
                ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotFound => {}
                _ => panic!("the FUSE device: {error}"),
            },
        }
    }
}

/// A request of the kernel.
struct Request<'a> {
    /// What it wants.
    opcode: u32,
    /// Its number, which the answer bears.
    unique: u64,
    /// What it is about.
    node: u64,
    /// What else it says.
    body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Takes a request apart.
    fn parse(bytes: &'a [u8]) -> Self {
        let word = |at: usize| bytes[at..at + 4].try_into().expect("four bytes");
        let long = |at: usize| bytes[at..at + 8].try_into().expect("eight bytes");
        Self {
            opcode: u32::from_ne_bytes(word(4)),
            unique: u64::from_ne_bytes(long(8)),
            node: u64::from_ne_bytes(long(16)),
            body: &bytes[REQUEST..],
        }
    }

    /// Answers whatever needs no time.
    fn serve(&self, device: &File) {
        let mut body = Vec::new();
        match self.opcode {
            opcode::FORGET | opcode::BATCH_FORGET | opcode::INTERRUPT => return,
            opcode::RELEASE | opcode::FLUSH | opcode::DESTROY => {}
            opcode::INIT => init(&mut body),
            opcode::GETATTR => {
                body.extend(VALID_S.to_ne_bytes());
                body.extend([0; 8]);
                attributes(&mut body, self.node);
            }
            opcode::LOOKUP => match file_named(self.body) {
                Some(node) => entry(&mut body, node),
                None => return answer(device, self.unique, Err(libc::ENOENT)),
            },
            opcode::OPEN => {
                body.extend([0; 8]);
                body.extend(DIRECT_IO.to_ne_bytes());
                body.extend([0; 4]);
            }
            _ => return answer(device, self.unique, Err(libc::ENOSYS)),
        }
        answer(device, self.unique, Ok(&body));
    }
}

/// The node of a file by its name, which is its number and ends with a zero byte.
fn file_named(name: &[u8]) -> Option<u64> {
    let name = name.split(|byte| *byte == 0).next()?;
    let number: u64 = std::str::from_utf8(name).ok()?.parse().ok()?;
    Some(FIRST + number)
}

/// `struct fuse_init_out`.
fn init(body: &mut Vec<u8>) {
    body.extend(VERSION.iter().flat_map(|word| word.to_ne_bytes()));
    // No read-ahead, no flags, the kernel's own limits in the background.
    body.extend([0; 12]);
    // Writes of a page, though there are none; times in nanoseconds.
    body.extend(4096_u32.to_ne_bytes());
    body.extend(1_u32.to_ne_bytes());
    body.extend([0; 36]);
}

/// `struct fuse_entry_out`.
fn entry(body: &mut Vec<u8>, node: u64) {
    body.extend(
        [node, 0, VALID_S, VALID_S]
            .iter()
            .flat_map(|word| word.to_ne_bytes()),
    );
    body.extend([0; 8]);
    attributes(body, node);
}

/// `struct fuse_attr`.
fn attributes(body: &mut Vec<u8>, node: u64) {
    let (mode, size) = if node == ROOT {
        (FOLDER_MODE, 0)
    } else {
        (FILE_MODE, FILE_SIZE)
    };
    body.extend(
        [node, size, 0, 0, 0, 0]
            .iter()
            .flat_map(|word| word.to_ne_bytes()),
    );
    // Nanoseconds of three times, mode, links, owner, group, device, block size, flags.
    let words = [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0];
    body.extend(words.iter().flat_map(|word: &u32| word.to_ne_bytes()));
}

/// Sends an answer; a request that was taken back meanwhile needs none.
fn answer(mut device: &File, unique: u64, result: Result<&[u8], i32>) {
    let (error, body) = match result {
        Ok(body) => (0, body),
        Err(errno) => (-errno, &[][..]),
    };
    let mut bytes = Vec::with_capacity(16 + body.len());
    bytes.extend((16 + body.len() as u32).to_ne_bytes());
    bytes.extend(error.to_ne_bytes());
    bytes.extend(unique.to_ne_bytes());
    bytes.extend(body);
    if let Err(error) = device.write(&bytes) {
        let gone = [libc::ENOENT, libc::ENODEV];
        assert!(
            error.raw_os_error().is_some_and(|no| gone.contains(&no)),
            "FUSE: {error}"
        );
    }
}
