//! Scenarios that run one at a time, each in a process of its own, under a watchdog.
//!
//! What goes wrong here hangs, and a hang must end as a failure that names the scenario. So the
//! one test of a file starts its own program again for each scenario, and kills what takes too
//! long.

use std::env;
use std::ffi::OsStr;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

/// How a line begins by which a scenario says that it was not tried; it is passed on.
pub(crate) const SKIPPED: &str = "SKIPPED";

/// Variables of a scenario's environment.
pub(crate) type Environment<'a> = &'a [(&'a str, &'a OsStr)];

/// Tells the child which scenario is asked for.
const SCENARIO: &str = "WQ_TEST_SCENARIO";

/// A scenario needs milliseconds, or a second or two of a machine that does much else.
const LIMIT: Duration = Duration::from_secs(30);

/// The tests of this program take turns.
static TURN: Mutex<()> = Mutex::new(());

/// A name and what it runs.
pub(crate) type Scenario = (String, Box<dyn Fn()>);

/// A scenario with a name.
pub(crate) fn scenario(name: impl Into<String>, body: impl Fn() + 'static) -> Scenario {
    (name.into(), Box::new(body))
}

/// Runs every scenario in a child process, one after the other; in such a child, runs its own.
/// `test` is the name of the calling test.
pub(crate) fn run_each(test: &str, scenarios: &[Scenario]) {
    run_each_with(test, scenarios, &[]);
}

/// As [`run_each`], in this environment.
pub(crate) fn run_each_with(test: &str, scenarios: &[Scenario], environment: Environment<'_>) {
    if let Ok(name) = env::var(SCENARIO) {
        let found = scenarios.iter().find(|(known, _)| *known == name);
        let (_, body) = found.expect("there is such a scenario");
        return body();
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let faults: Vec<String> = scenarios
        .iter()
        .filter_map(|(name, _)| run_one(test, name, environment).err())
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Runs one scenario in a child; what it printed, if it failed or hung.
fn run_one(test: &str, name: &str, environment: Environment<'_>) -> Result<(), String> {
    let program = env::current_exe().expect("this program has a path");
    let mut child = Command::new(program)
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env(SCENARIO, name)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program starts once more");
    let out = collect(child.stdout.take());
    let err = collect(child.stderr.take());
    let status = watch(child);
    let (out, err) = (out.join().expect("read"), err.join().expect("read"));
    match status {
        Some(status) if status.success() => {
            for line in err.lines().filter(|line| line.starts_with(SKIPPED)) {
                eprintln!("{name}: {line}");
            }
            Ok(())
        }
        Some(status) => Err(format!("{name}: ended with {status}\n{out}{err}")),
        None => Err(format!("{name}: HANGS, killed after {LIMIT:?}\n{out}{err}")),
    }
}

/// Waits for the child, and kills it when its time is over.
fn watch(mut child: Child) -> Option<ExitStatus> {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a process number"));
    let (ended, wait) = mpsc::channel();
    let waiter = thread::spawn(move || {
        let status = child.wait().expect("a child can be waited for");
        let _ = ended.send(status);
    });
    let status = wait.recv_timeout(LIMIT).ok();
    if status.is_none() {
        // Not reaped yet, or the answer would be there: the number is still the child's.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
    }
    waiter.join().expect("the waiter ends with the child");
    status
}

/// Reads a stream to its end on a thread, so that a full pipe never stops the child.
fn collect(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What came before an error is still worth showing.
            let _ = stream.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
