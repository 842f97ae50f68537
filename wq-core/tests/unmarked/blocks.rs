//! Whatever blocks inside a task works, unmarked: the tasks behind it run meanwhile.
//!
//! In each scenario there is one lane, and a task blocks on it until a task that is queued behind
//! it has run. Nothing says that it blocks, so an engine that does not see it hangs.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, OnceLock, RwLock, mpsc};
use std::thread;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, pipe, read, write};
use wq_core::Workqueue;

use crate::harness::{self, Scenario, scenario};
use crate::lane::{KINDS, Kind, Lane};

/// How a task blocks.
type Block = fn(&Lane);

/// All ways to block.
const BLOCKS: [(&str, Block); 21] = [
    ("join handle", join_handle),
    ("block_on", block_on),
    ("flush of another queue", flush),
    ("mutex", mutex),
    ("rwlock", rwlock),
    ("once lock", once_lock),
    ("condvar", condvar),
    ("barrier", barrier),
    ("channel", channel),
    ("rendezvous", rendezvous),
    ("sleep", sleep),
    ("thread join", thread_join),
    ("park", park),
    ("fifo", fifo),
    ("tcp accept", tcp_accept),
    ("tcp read", tcp_read),
    ("udp", udp),
    ("child process", child_process),
    ("poll", poll_pipe),
    ("read", read_pipe),
    ("file lock", file_lock),
];

/// Goal: no way to block holds up the tasks behind. Method: each on each kind of queue, in a
/// process of its own.
#[test]
fn whatever_blocks_lets_the_lane_go_on() {
    let each = |kind: Kind| {
        let named = move |(name, block): (&str, Block)| {
            scenario(format!("{name}, {kind:?}"), move || block(&Lane::new(kind)))
        };
        BLOCKS.into_iter().map(named)
    };
    let scenarios: Vec<Scenario> = KINDS.into_iter().flat_map(each).collect();
    harness::run_each("blocks::whatever_blocks_lets_the_lane_go_on", &scenarios);
}

/// A blocking wait for a task of the same lane.
fn join_handle(lane: &Lane) {
    let inner = lane.clone();
    let task = lane.spawn(move || inner.help(|| 7).wait().expect("it ends"));
    assert_eq!(task.wait().expect("it ends"), 7);
}

/// A future, driven on the task's thread.
fn block_on(lane: &Lane) {
    let inner = lane.clone();
    let task = lane.spawn(move || {
        let handle = inner.help(|| 7);
        inner.system.block_on(handle).expect("it ends")
    });
    assert_eq!(task.wait().expect("it ends"), 7);
}

/// A flush of another queue whose item is behind.
fn flush(lane: &Lane) {
    let other = Workqueue::unbound("other").system(&lane.system).build();
    let (other, inner) = (other.expect("a queue"), lane.clone());
    let task = lane.spawn(move || {
        drop(other.spawn_fn(move || inner.help(|| ()).wait().expect("it ends")));
        other
            .flush()
            .wait()
            .expect("the other queue ends")
            .completed
    });
    assert_eq!(task.wait().expect("it ends"), 1);
}

/// A mutex that a task holds which waits for one behind the one that wants it.
fn mutex(lane: &Lane) {
    let (lock, wanted) = shared(Mutex::new(0));
    lane.until_released(
        move |held| {
            let mut guard = lock.lock().expect("not poisoned");
            held();
            *guard += 1;
        },
        move || assert_eq!(*wanted.lock().expect("not poisoned"), 1),
    );
}

/// A read lock behind a write lock.
fn rwlock(lane: &Lane) {
    let (lock, wanted) = shared(RwLock::new(0));
    lane.until_released(
        move |held| {
            let mut guard = lock.write().expect("not poisoned");
            held();
            *guard += 1;
        },
        move || assert_eq!(*wanted.read().expect("not poisoned"), 1),
    );
}

/// A value that somebody else computes.
fn once_lock(lane: &Lane) {
    let (lock, wanted) = shared(OnceLock::new());
    lane.until_released(
        move |held| {
            let _ = lock.get_or_init(|| {
                held();
                7
            });
        },
        move || assert_eq!(*wanted.get_or_init(|| 0), 7),
    );
}

/// A condition that the helper makes true.
fn condvar(lane: &Lane) {
    let (ready, helper) = shared((Mutex::new(false), Condvar::new()));
    lane.until_helped(
        move || {
            let guard = ready.0.lock().expect("not poisoned");
            drop(ready.1.wait_while(guard, |ready| !*ready));
        },
        move || {
            *helper.0.lock().expect("not poisoned") = true;
            helper.1.notify_one();
        },
    );
}

/// A barrier for two.
fn barrier(lane: &Lane) {
    let (barrier, helper) = shared(Barrier::new(2));
    lane.until_helped(
        move || barrier.wait().is_leader(),
        move || {
            let _ = helper.wait();
        },
    );
}

/// A message from the helper.
fn channel(lane: &Lane) {
    let (send, receive) = mpsc::channel();
    let got = lane.until_helped(
        move || receive.recv(),
        move || send.send(7).expect("it waits"),
    );
    assert_eq!(got, Ok(7));
}

/// A message that the helper must take.
fn rendezvous(lane: &Lane) {
    let (send, receive) = mpsc::sync_channel(0);
    let sent = lane.until_helped(
        move || send.send(7),
        move || assert_eq!(receive.recv(), Ok(7)),
    );
    assert_eq!(sent, Ok(()));
}

/// Sleeps until the helper has run; which it does during one of them, for the task has the lane
/// else.
fn sleep(lane: &Lane) {
    let (ran, helper) = shared(AtomicBool::new(false));
    lane.until_helped(
        move || {
            while !ran.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(5));
            }
        },
        move || helper.store(true, Ordering::Release),
    );
}

/// A thread that waits for the helper.
fn thread_join(lane: &Lane) {
    let (send, receive) = mpsc::channel();
    let waiter = thread::spawn(move || receive.recv());
    let got = lane.until_helped(
        move || waiter.join().expect("it does not panic"),
        move || send.send(7).expect("it waits"),
    );
    assert_eq!(got, Ok(7));
}

/// A thread that is parked until the helper unparks it.
fn park(lane: &Lane) {
    let (ran, helper) = shared((AtomicBool::new(false), OnceLock::new()));
    lane.until_helped(
        move || {
            let _ = ran.1.set(thread::current());
            while !ran.0.load(Ordering::Acquire) {
                thread::park();
            }
        },
        move || {
            helper.0.store(true, Ordering::Release);
            // Who has not said its name by now sees the flag before it parks.
            if let Some(parked) = helper.1.get() {
                parked.unpark();
            }
        },
    );
}

/// Opening a FIFO blocks until the other end is opened.
fn fifo(lane: &Lane) {
    let path = scratch("fifo");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).expect("a FIFO");
    let (mine, helpers) = (path.clone(), path.clone());
    let text = lane.until_helped(
        move || fs::read_to_string(mine).expect("the other end writes"),
        move || fs::write(helpers, "seven").expect("the other end reads"),
    );
    let _ = fs::remove_file(path);
    assert_eq!(text, "seven");
}

/// A listener without a client.
fn tcp_accept(lane: &Lane) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has an address");
    lane.until_helped(
        move || drop(listener.accept().expect("a client")),
        move || drop(TcpStream::connect(address).expect("a server")),
    );
}

/// A connection on which nothing comes.
fn tcp_read(lane: &Lane) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has an address");
    let mut client = TcpStream::connect(address).expect("a server");
    let (mut server, _) = listener.accept().expect("a client");
    let got = lane.until_helped(
        move || {
            let mut byte = [0];
            client.read_exact(&mut byte).map(|()| byte[0])
        },
        move || server.write_all(&[7]).expect("it reads"),
    );
    assert_eq!(got.expect("a byte"), 7);
}

/// A datagram that has not been sent.
fn udp(lane: &Lane) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("it has an address");
    let other = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let got = lane.until_helped(
        move || socket.recv(&mut [0; 8]),
        move || assert_eq!(other.send_to(&[7], address).expect("it is sent"), 1),
    );
    assert_eq!(got.expect("a datagram"), 1);
}

/// A child that ends when its input is closed.
fn child_process(lane: &Lane) {
    let mut command = Command::new("cat");
    let command = command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().expect("there is a `cat`");
    let input = child.stdin.take();
    let status = lane.until_helped(move || child.wait(), move || drop(input));
    assert!(status.expect("it ends").success());
}

/// A C function that waits for events.
fn poll_pipe(lane: &Lane) {
    let (output, input) = pipe().expect("a pipe");
    lane.until_helped(
        move || {
            let mut polled = [PollFd::new(output.as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut polled, PollTimeout::NONE), Ok(1));
        },
        move || assert_eq!(write(input, &[7]), Ok(1)),
    );
}

/// A C function that reads.
fn read_pipe(lane: &Lane) {
    let (output, input) = pipe().expect("a pipe");
    let got = lane.until_helped(
        move || read(output, &mut [0; 8]),
        move || assert_eq!(write(input, &[7]), Ok(1)),
    );
    assert_eq!(got, Ok(1));
}

/// A lock on a file that another descriptor holds.
fn file_lock(lane: &Lane) {
    let path = scratch("lock");
    let open = |path: &PathBuf| -> File {
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(path);
        file.expect("a file")
    };
    let held = Flock::lock(open(&path), FlockArg::LockExclusive).map_err(|(_, e)| e);
    let (held, wanted) = (held.expect("nobody else has it"), open(&path));
    lane.until_helped(
        move || {
            let lock = Flock::lock(wanted, FlockArg::LockExclusive).map_err(|(_, e)| e);
            drop(lock.expect("the lock is free in the end"));
        },
        move || drop(held),
    );
    let _ = fs::remove_file(path);
}

/// Two owners of one thing.
fn shared<T>(thing: T) -> (Arc<T>, Arc<T>) {
    let thing = Arc::new(thing);
    (Arc::clone(&thing), thing)
}

/// A path of this process where nothing is.
fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("wq-blocks-{name}-{}", std::process::id()));
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => panic!("{error}"),
        _ => path,
    }
}
