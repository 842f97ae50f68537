//! What is to be started.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};

use wq_core::{driver, may_block, process};

use super::{Child, orphan};

/// A program to be started: `std`'s, whose children tasks can wait for.
///
/// What has no method here is set through [`as_std_mut`](Self::as_std_mut), or before
/// `Command::from(..)`.
///
/// # Examples
/// ```
/// use wq::process::Command;
///
/// # wq::block_on(async {
/// let mut greet = Command::new("sh");
/// greet.args(["-c", "echo $GREETING"]).env("GREETING", "hello");
/// assert_eq!(greet.output().await?.stdout, b"hello\n");
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "a command does nothing until `spawn`, `status` or `output`"]
pub struct Command {
    std: std::process::Command,
    kill_on_drop: bool,
    /// Its children are told to take the program's settings.
    outside: bool,
    /// Which of input, output and error the user has set; `output` sets the others.
    set: [bool; 3],
}

impl Command {
    /// To start this program, looked for in `PATH` if it has no `/`.
    ///
    /// # Examples
    /// ```
    /// assert!(wq::process::Command::new("true").spawn()?.wait().wait()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        std::process::Command::new(program).into()
    }

    /// Adds an argument.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let output = wq::process::Command::new("echo").arg("-n").arg("two words").output().await?;
    /// assert_eq!(output.stdout, b"two words");
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Command {
        self.std.arg(arg);
        self
    }

    /// Adds arguments.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let output = wq::process::Command::new("printf").args(["%s-%s", "a", "b"]).output().await?;
    /// assert_eq!(output.stdout, b"a-b");
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn args<I, S>(&mut self, args: I) -> &mut Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.std.args(args);
        self
    }

    /// Sets a variable of its environment.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let mut command = wq::process::Command::new("sh");
    /// command.args(["-c", "echo $WHO"]).env("WHO", "ann");
    /// assert_eq!(command.output().await?.stdout, b"ann\n");
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Command {
        self.std.env(key, value);
        self
    }

    /// Sets variables of its environment.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let mut command = wq::process::Command::new("sh");
    /// command.args(["-c", "echo $A$B"]).envs([("A", "1"), ("B", "2")]);
    /// assert_eq!(command.output().await?.stdout, b"12\n");
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn envs<I, K, V>(&mut self, variables: I) -> &mut Command
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.std.envs(variables);
        self
    }

    /// Takes a variable from its environment.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let mut command = wq::process::Command::new("sh");
    /// command.args(["-c", "echo ${WHO-nobody}"]).env("WHO", "ann").env_remove("WHO");
    /// assert_eq!(command.output().await?.stdout, b"nobody\n");
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Command {
        self.std.env_remove(key);
        self
    }

    /// Takes all variables from its environment.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let mut command = wq::process::Command::new("env");
    /// command.env_clear().env("ONLY", "this");
    /// assert_eq!(command.output().await?.stdout, b"ONLY=this\n");
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn env_clear(&mut self) -> &mut Command {
        self.std.env_clear();
        self
    }

    /// Sets the directory that it starts in.
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let mut command = wq::process::Command::new("pwd");
    /// command.current_dir("/");
    /// assert_eq!(command.output().await?.stdout, b"/\n");
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn current_dir(&mut self, dir: impl AsRef<Path>) -> &mut Command {
        self.std.current_dir(dir);
        self
    }

    /// Sets its standard input: the program's by default, nothing for [`output`](Self::output).
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let mut command = wq::process::Command::new("cat");
    /// command.stdin(std::fs::File::open("/dev/null")?);
    /// assert_eq!(command.output().await?.stdout, b"");
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Command {
        self.std.stdin(stdin);
        self.set[0] = true;
        self
    }

    /// Sets its standard output: the program's by default, kept by [`output`](Self::output).
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let mut command = wq::process::Command::new("echo");
    /// command.arg("nobody reads this").stdout(std::process::Stdio::null());
    /// assert!(command.status().await?.success());
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Command {
        self.std.stdout(stdout);
        self.set[1] = true;
        self
    }

    /// Sets its standard error: the program's by default, kept by [`output`](Self::output).
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let mut command = wq::process::Command::new("cat");
    /// command.arg("/none").stderr(std::process::Stdio::null()); // no complaint
    /// assert!(!command.status().await?.success());
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Command {
        self.std.stderr(stderr);
        self.set[2] = true;
        self
    }

    /// Whether children are killed when their [`Child`] is dropped before their end was seen; they
    /// are not by default.
    ///
    /// # Examples
    /// ```
    /// let mut command = wq::process::Command::new("sleep");
    /// let child = command.arg("60").kill_on_drop(true).spawn()?;
    /// drop(child); // killed, and reaped when it has ended
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Command {
        self.kill_on_drop = kill;
        self
    }

    /// Starts a child. May be called again.
    ///
    /// The call blocks until the child has become another program, as `std`'s does. On a worker
    /// with settings of its own (one CPU, a priority) it costs a fork; else `std` may do with less.
    ///
    /// # Errors
    /// Those of [`std::process::Command::spawn`]. Also if the machine refuses to watch a pipe: the
    /// child is killed then.
    ///
    /// # Examples
    /// ```
    /// let mut child = wq::process::Command::new("true").spawn()?;
    /// assert!(child.wait().wait()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn(&mut self) -> io::Result<Child> {
        orphan::sweep();
        if !self.outside && driver::children_would_differ() {
            process::outside(&mut self.std);
            self.outside = true;
        }
        Child::new(may_block(|| self.std.spawn())?, self.kill_on_drop)
    }

    /// Starts a child and waits for its end. Pipes that were set are closed here at once: the child
    /// reads the end, and writes to nobody.
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn) and of [`Child::wait`].
    ///
    /// # Cancellation
    /// Nothing is started before the first poll. A drop after it drops the child: see [`Child`].
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// assert!(!wq::process::Command::new("false").status().await?.success());
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn status(&mut self) -> io::Result<ExitStatus> {
        let mut child = self.spawn()?;
        // A child whose pipe is full would not end; the wait closes the input.
        drop((child.stdout.take(), child.stderr.take()));
        child.wait().await
    }

    /// Starts a child, waits for its end, and keeps what it writes in memory. Its input is empty,
    /// unless [`stdin`](Self::stdin) was set.
    ///
    /// For input, output and error use the methods. What was set through
    /// [`as_std_mut`](Self::as_std_mut), or of a command of `std` before it was converted, is not
    /// seen here and is lost: all three are set anew.
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn) and of [`Child::wait_with_output`].
    ///
    /// # Cancellation
    /// As for [`status`](Self::status).
    ///
    /// # Examples
    /// ```
    /// # wq::block_on(async {
    /// let output = wq::process::Command::new("echo").arg("hello").output().await?;
    /// assert_eq!(output.stdout, b"hello\n");
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn output(&mut self) -> io::Result<Output> {
        self.default_stdio([Stdio::null(), Stdio::piped(), Stdio::piped()]);
        let child = self.spawn();
        // What `spawn` has by default.
        self.default_stdio([Stdio::inherit(), Stdio::inherit(), Stdio::inherit()]);
        child?.wait_with_output().await
    }

    /// Sets those of input, output and error that the user has not.
    fn default_stdio(&mut self, [stdin, stdout, stderr]: [Stdio; 3]) {
        let set = self.set;
        if !set[0] {
            self.std.stdin(stdin);
        }
        if !set[1] {
            self.std.stdout(stdout);
        }
        if !set[2] {
            self.std.stderr(stderr);
        }
    }

    /// The command as `std` has it.
    ///
    /// # Examples
    /// ```
    /// let command = wq::process::Command::new("true");
    /// assert_eq!(command.as_std().get_program(), "true");
    /// ```
    pub fn as_std(&self) -> &std::process::Command {
        &self.std
    }

    /// The command as `std` has it, to set what has no method here, also with the extensions of
    /// [`std::os`].
    ///
    /// # Examples
    /// ```
    /// use std::os::unix::process::CommandExt;
    ///
    /// # wq::block_on(async {
    /// let mut command = wq::process::Command::new("true");
    /// command.as_std_mut().process_group(0); // Ctrl-C is not for the child
    /// assert!(command.status().await?.success());
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        &mut self.std
    }
}

impl From<std::process::Command> for Command {
    fn from(std: std::process::Command) -> Command {
        Command {
            std,
            kill_on_drop: false,
            outside: false,
            set: [false; 3],
        }
    }
}
