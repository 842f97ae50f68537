//! A name that takes long to be resolved, and which a task behind the one that asks lets go on.
//!
//! The resolver stands in the C library and blocks where no mark could be. Without a network and
//! without rights it is made to wait by the file of aliases: `HOSTALIASES` names one, which it
//! reads before it asks a server for a name without dots. Here that is a FIFO: whoever opens it
//! waits for the other end. The alias that comes is no valid name, so that no server is asked.
//!
//! A C library or a machine whose names come from elsewhere does not read the file; there the
//! scenarios say so.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::ToSocketAddrs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;

use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::harness::{self, SKIPPED};
use crate::lane::{Lane, on_each_kind};

/// Names the file of aliases; the C library knows it.
const ALIASES: &str = "HOSTALIASES";

/// A host that there is not.
const NAME: &str = "wq-late-name";

/// Goal: a name that resolves late lets the lane go on. Method: a task asks for one, and a task
/// behind it opens the other end of the file that the resolver opens; on each kind of queue, in a
/// process of its own.
#[test]
fn a_name_lets_the_lane_go_on() {
    let scenarios = on_each_kind("name", resolve);
    let file = std::env::temp_dir().join(format!("wq-names-{}", std::process::id()));
    let test = "names::a_name_lets_the_lane_go_on";
    harness::run_each_with(test, &scenarios, &[(ALIASES, file.as_os_str())]);
    let _ = fs::remove_file(file);
}

/// The scenario.
fn resolve(lane: &Lane) {
    let file = PathBuf::from(std::env::var_os(ALIASES).expect("the test names it"));
    if !reads_aliases(&file) {
        return eprintln!("{SKIPPED}: names are resolved here without a file of aliases");
    }
    make_fifo(&file);
    let open = move || answer(File::create(&file).expect("a FIFO"), &file);
    let found = lane.until_helped(ask, open);
    assert!(!found, "an alias that is no name has no address");
}

/// Asks for the name; whether it has an address.
fn ask() -> bool {
    (NAME, 80).to_socket_addrs().is_ok()
}

/// Whether the resolver reads the file: asks on a thread, until that has come to the file, or to
/// an end without it.
fn reads_aliases(file: &Path) -> bool {
    make_fifo(file);
    let asks = thread::spawn(ask);
    let mut at_once = OpenOptions::new();
    at_once.write(true).custom_flags(libc::O_NONBLOCK);
    let opened = loop {
        // Refused while nobody has opened it for reading.
        match at_once.open(file) {
            Ok(opened) => break Some(opened),
            Err(_) if asks.is_finished() => break None,
            Err(_) => thread::yield_now(),
        }
    };
    let reads = opened.is_some();
    if let Some(opened) = opened {
        answer(opened, file);
    }
    let _ = asks.join();
    reads
}

/// Puts a FIFO in the place of the file.
fn make_fifo(file: &Path) {
    let _ = fs::remove_file(file);
    mkfifo(file, Mode::S_IRUSR | Mode::S_IWUSR).expect("a FIFO");
}

/// Lets the resolver go on, which waits at the other end of `opened`, with an alias: a label longer
/// than any that there is. If it reads the file once more, it finds an ordinary one.
fn answer(mut opened: File, file: &Path) {
    let alias = format!("{NAME} {}\n", "x".repeat(64));
    let next = file.with_extension("next");
    fs::write(&next, &alias).expect("a file");
    fs::rename(&next, file).expect("in the FIFO's place");
    opened.write_all(alias.as_bytes()).expect("it reads");
}
