//! Children: their pipes, their ends, what they inherit, and who reaps them.

#![cfg(all(target_os = "linux", not(wq_portable)))]

mod deadline;

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use wq::process::{Child, Command};
use wq::time::timeout;
use wq::{Queue, System};
use wq_core::driver;

use deadline::Deadline;

/// Nothing in here takes as long.
const LIMIT: Duration = Duration::from_secs(60);

/// More than two pipes hold.
const MUCH: usize = 1 << 20;

/// A shell with a script.
fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// A child that ends when its input does.
fn cat() -> Command {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    command
}

/// A child that does not care for its input.
fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("600").stdin(Stdio::piped());
    command
}

/// The child's number.
fn pid(child: &Child) -> Pid {
    let id = child.id().expect("its end was not seen");
    Pid::from_raw(i32::try_from(id).expect("a number"))
}

/// Waits until there is no such process, not even a zombie.
fn wait_until_reaped(pid: Pid) {
    let end = Instant::now() + LIMIT;
    while Path::new(&format!("/proc/{pid}")).exists() {
        assert!(Instant::now() < end, "{pid} is still there");
        thread::yield_now();
    }
}

/// Goal: a child that fills both pipes in turn is read to its end. Method: more than a pipe holds
/// goes to the one that is read last, first.
#[wq::test]
async fn both_pipes_are_read_at_once() {
    let _deadline = Deadline::start();
    let script = format!("head -c {MUCH} /dev/zero >&2; head -c {MUCH} /dev/zero; exit 3");
    let output = timeout(LIMIT, shell(&script).output()).await;
    let output = output.expect("in time").expect("started");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!((output.stdout.len(), output.stderr.len()), (MUCH, MUCH));
}

/// Goal: a closed input is the end that a child reads, while its [`Child`] and its handles live.
#[wq::test]
async fn a_close_is_the_end_of_the_input() {
    let _deadline = Deadline::start();
    let mut child = cat().stdout(Stdio::piped()).spawn().expect("started");
    let stdin = child.stdin.as_mut().unwrap();
    stdin.write_all(b"text").await.expect("it reads");
    stdin.close().await.expect("closed");
    let mut heard = Vec::new();
    let read = child.stdout.as_mut().unwrap().read_to_end(&mut heard);
    timeout(LIMIT, read).await.expect("in time").expect("read");
    assert_eq!(heard, b"text");
}

/// Goal: what goes in comes out, in order, while both sides are full. Method: `cat`.
#[wq::test]
async fn a_pipe_there_and_one_back() {
    let _deadline = Deadline::start();
    let mut child = cat().stdout(Stdio::piped()).spawn().expect("started");
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let sent: Vec<u8> = (0..MUCH).map(|n| (n % 251) as u8).collect();
    let copy = sent.clone();
    let writer = wq::spawn(async move {
        stdin.write_all(&copy).await?;
        stdin.close().await?;
        // Closed is closed.
        let error = stdin.write(b"more").await.expect_err("closed");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        std::io::Result::Ok(())
    });
    let mut heard = Vec::new();
    let read = timeout(LIMIT, stdout.read_to_end(&mut heard)).await;
    read.expect("in time").expect("read");
    writer.await.expect("no panic").expect("written");
    assert!(heard == sent, "{} bytes came back", heard.len());
    assert!(child.wait().await.expect("waited").success());
}

/// Goal: a child that ignores the end of its input is waited for, in vain, and killed; a wait that
/// was given up loses nothing, and the end is told again and again.
#[wq::test]
async fn a_child_that_ignores_its_input_is_killed() {
    let _deadline = Deadline::start();
    let mut child = sleeper().spawn().expect("started");
    let number = pid(&child);
    for _ in 0..3 {
        let waited = timeout(Duration::from_millis(2), child.wait()).await;
        assert!(waited.is_err(), "{waited:?}");
    }
    assert!(child.stdin.is_none(), "the wait has closed it");
    assert_eq!(child.try_wait().expect("asked"), None);
    child.kill().expect("killed");
    let status = timeout(LIMIT, child.wait()).await.expect("in time");
    assert_eq!(status.expect("waited").signal(), Some(9));
    assert_eq!(child.id(), None);
    assert!(!Path::new(&format!("/proc/{number}")).exists(), "reaped");
    child.kill().expect("nothing to do");
    let again = child.wait().await.expect("known");
    assert_eq!(again.signal(), Some(9));
    assert_eq!(child.try_wait().expect("known"), Some(again));
}

/// Goal: a child that somebody else has reaped is nobody's any more: its number may be a
/// stranger's, so it is neither told nor sent a signal. Method: the test reaps, before anybody
/// waits, and under a wait that has a descriptor.
#[wq::test]
async fn a_child_that_somebody_else_has_reaped_is_let_go() {
    let _deadline = Deadline::start();
    for has_descriptor in [false, true] {
        let mut child = sleeper().kill_on_drop(true).spawn().expect("started");
        let number = pid(&child);
        if has_descriptor {
            let waited = timeout(Duration::from_millis(2), child.wait()).await;
            assert!(waited.is_err(), "{waited:?}");
        }
        kill(number, Signal::SIGTERM).expect("sent");
        waitpid(number, None).expect("reaped");
        if !has_descriptor {
            child.kill().expect("nothing to do");
            assert_eq!(child.id(), None);
        }
        for _ in 0..2 {
            let waited = timeout(LIMIT, child.wait()).await.expect("in time");
            let error = waited.expect_err("its end is not known here");
            assert_eq!(error.raw_os_error(), Some(nix::libc::ECHILD), "{error}");
        }
        assert_eq!(child.id(), None);
        child.kill().expect("nothing to do");
        child.try_wait().expect_err("nothing is known");
    }
}

/// Goal: `status` reads nothing, so a child that writes does not wait for it for ever. Method: more
/// than a pipe holds; the child is told by `SIGPIPE` that nobody reads.
#[wq::test]
async fn a_status_keeps_no_pipe_open() {
    let _deadline = Deadline::start();
    let mut command = shell(&format!("exec head -c {MUCH} /dev/zero"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let status = timeout(LIMIT, command.status()).await.expect("in time");
    assert_eq!(status.expect("run").signal(), Some(13));
    let mut command = shell(&format!("exec head -c {MUCH} /dev/zero >&2"));
    let status = timeout(LIMIT, command.stderr(Stdio::piped()).status()).await;
    assert_eq!(status.expect("in time").expect("run").signal(), Some(13));
}

/// Goal: a write to a child that reads no more is an error and no signal. Method: the child closes
/// its input, says so, and lives on; more than a pipe holds, since a child of another test that
/// starts at this moment has the other end too, until its program begins.
#[wq::test]
async fn a_child_that_reads_no_more_breaks_the_pipe() {
    let _deadline = Deadline::start();
    let mut child = shell("exec 0<&-; echo closed; exec sleep 600");
    child
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut child = child.spawn().expect("started");
    let mut line = [0; 7];
    let stdout = child.stdout.as_mut().unwrap();
    stdout.read_exact(&mut line).await.expect("it says so");
    let stdin = child.stdin.as_mut().unwrap();
    let written = stdin.write_all(&[b'.'; MUCH]).await;
    let error = written.expect_err("nobody reads");
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

/// Goal: a wait ends when somebody else kills the child, in a task, in a nested `block_on`, on a
/// thread that is no worker, and under an executor that is not ours.
#[test]
fn waits_end_wherever_they_are() {
    let _deadline = Deadline::start();
    let children = [(); 4].map(|()| sleeper().spawn().expect("started"));
    let pids = children.each_ref().map(pid);
    let [mut in_task, mut nested, mut on_thread, mut elsewhere] = children;
    let tasks = [
        wq::spawn(async move { in_task.wait().await }),
        wq::spawn(async move { wq::block_on(nested.wait()) }),
    ];
    let threads = [
        thread::spawn(move || on_thread.wait().wait()),
        thread::spawn(move || futures::executor::block_on(elsewhere.wait())),
    ];
    for pid in pids {
        kill(pid, Signal::SIGTERM).expect("sent");
    }
    for task in tasks {
        let ended = task.wait_timeout(LIMIT).expect("in time");
        let status = ended.expect("no panic").expect("waited");
        assert_eq!(status.signal(), Some(15));
    }
    for thread in threads {
        let status = thread.join().expect("no panic").expect("waited");
        assert_eq!(status.signal(), Some(15));
    }
}

/// Goal: a limited wait on a thread says that the time is over, or how the child has ended.
#[test]
fn waits_can_be_limited() {
    let _deadline = Deadline::start();
    let mut child = cat().spawn().expect("started");
    let stdin = child.stdin.take();
    let early = child.wait().wait_timeout(Duration::from_millis(2));
    assert_eq!(early.expect("waited"), None);
    drop(stdin);
    let status = child.wait().wait_timeout(LIMIT).expect("waited");
    assert!(status.expect("in time").success());
}

/// Goal: children that nobody waits for leave no zombie, whether they had ended before the drop,
/// end after it, or are killed by it; with and without a System.
#[test]
fn dropped_children_are_reaped() {
    let _deadline = Deadline::start();
    let inside = wq::spawn_fn(drop_children).wait().expect("no panic");
    let outside = drop_children();
    inside
        .into_iter()
        .chain(outside)
        .for_each(wait_until_reaped);
}

/// Drops four; their numbers.
fn drop_children() -> [Pid; 4] {
    let ended = Command::new("true").spawn().expect("started");
    let mut running = cat().spawn().expect("started");
    let stdin = running.stdin.take();
    let killed = sleeper().kill_on_drop(true).spawn().expect("started");
    let mut waited = sleeper().kill_on_drop(true).spawn().expect("started");
    // It has a descriptor already.
    let early = waited.wait().wait_timeout(Duration::from_millis(1));
    assert_eq!(early.expect("waited"), None);
    let pids = [&ended, &running, &killed, &waited].map(pid);
    drop((ended, running, killed, waited));
    // This one ends after its owner has gone.
    drop(stdin);
    pids
}

/// Goal: without `kill_on_drop` a child outlives its owner. Method: it writes after that.
#[wq::test]
async fn a_dropped_child_runs_on() {
    let _deadline = Deadline::start();
    let mut child = shell("read word; echo $word");
    child.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.spawn().expect("started");
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    drop(child);
    stdin.write_all(b"alive\n").await.expect("it reads");
    let mut text = String::new();
    stdout.read_to_string(&mut text).await.expect("it writes");
    assert_eq!(text, "alive\n");
}

/// Goal: a command may be used again, and `output` leaves its children's defaults alone. Method:
/// the second child has no pipes.
#[wq::test]
async fn a_command_can_be_used_again() {
    let _deadline = Deadline::start();
    let mut command = shell("exit 0");
    assert!(command.output().await.expect("run").status.success());
    let mut child = command.spawn().expect("started");
    assert!(child.stdin.is_none() && child.stdout.is_none() && child.stderr.is_none());
    assert!(child.wait().await.expect("waited").success());
    // What was set is kept: here nothing comes back.
    let output = shell("echo text").stdout(Stdio::null()).output().await;
    assert_eq!(output.expect("run").stdout, b"");
    // Of a command of `std` that cannot be known: `output` sets all three.
    let mut std = std::process::Command::new("echo");
    std.arg("text").stdout(Stdio::null());
    let output = Command::from(std).output().await;
    assert_eq!(output.expect("run").stdout, b"text\n");
    let none = Command::new("/no/such/program").output().await;
    assert_eq!(none.expect_err("there is none").kind(), ErrorKind::NotFound);
}

/// Goal: many waits at once, each told its own child's end.
#[wq::test]
async fn each_wait_gets_its_own_status() {
    let _deadline = Deadline::start();
    let children = (0..20).map(|n| async move {
        let status = shell(&format!("read line; exit {n}"))
            .stdin(Stdio::piped())
            .status()
            .await;
        assert_eq!(status.expect("run").code(), Some(n));
    });
    let all = join(futures::future::join_all(children), async {});
    timeout(LIMIT, all).await.expect("in time");
}

/// CPUs, nice value and blocked signals, as the kernel tells them of a process or thread.
fn settings(stat: &str, status: &str) -> [String; 3] {
    let field = |name: &str| {
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix(name));
        line.expect("the kernel tells it").trim().to_owned()
    };
    // Behind the name, which is in parentheses: the state, and fifteen fields later the nice value.
    let behind = stat.rsplit(')').next().expect("a name");
    let nice = behind.split_whitespace().nth(16).expect("nice").to_owned();
    [field("Cpus_allowed_list:"), nice, field("SigBlk:")]
}

/// Those of a child that an item of this queue starts, and whether it needed help.
fn settings_of_child(queue: &Queue) -> ([String; 3], bool) {
    let task = queue.spawn(async {
        let differs = driver::children_would_differ();
        let mut command = Command::new("cat");
        command.args(["/proc/self/stat", "/proc/self/status"]);
        // Twice, since a command remembers what it was told.
        let mut output = command.output().await.expect("cat is there");
        for _ in 0..2 {
            output = command.output().await.expect("cat is there");
        }
        let text = String::from_utf8(output.stdout).expect("text");
        let (stat, status) = text.split_once('\n').expect("two files");
        (settings(stat, status), differs)
    });
    task.wait().expect("no panic")
}

/// Goal: children get the program's CPUs, priority and blocked signals, on every queue. Method:
/// what the kernel tells of a child beside what it tells of the System's maker, which blocks a
/// signal; only where a worker has settings of its own does that cost a fork.
#[test]
fn children_have_the_programs_settings() {
    let _deadline = Deadline::start();
    let blocked = SigSet::from(Signal::SIGWINCH);
    blocked.thread_block().expect("it may");
    let system = System::builder().build().expect("a System");
    let read = |file| std::fs::read_to_string(format!("/proc/thread-self/{file}"));
    let own = settings(&read("stat").unwrap(), &read("status").unwrap());
    let mask = u64::from_str_radix(&own[2], 16).expect("a mask");
    assert_eq!(mask >> (Signal::SIGWINCH as u32 - 1) & 1, 1, "{mask:x}");
    assert!(!driver::children_would_differ(), "this is no worker");
    let (child, differed) = settings_of_child(&system.default_queue());
    assert_eq!((child, differed), (own.clone(), false), "an unbound queue");
    let many_cpus = own[0].contains([',', '-']);
    for queue in [system.percpu_queue(), system.highpri_queue()] {
        let (child, differed) = settings_of_child(&queue);
        assert_eq!(child, own, "{}", queue.name());
        assert!(differed || !many_cpus, "{}", queue.name());
    }
}
