//! Child processes: `std::process` with ends that tasks can wait for.
//!
//! | to | use |
//! |---|---|
//! | run a program to its end | [`Command::status`], [`Command::output`] |
//! | talk to it meanwhile | [`Command::spawn`], [`ChildStdin`], [`ChildStdout`], [`ChildStderr`] |
//! | wait for its end, or end it | [`Child::wait`], [`Child::kill`], [`Command::kill_on_drop`] |
//! | use `std::process::Command` in an item of a per-CPU queue | [`outside`] |
//!
//! `std::process` may be used in tasks as well: a wait that blocks gives its lane to another
//! worker. But it keeps a thread; here a wait is a suspended task and one descriptor.
//!
//! # How a wait works
//! The kernel tells the end of a child through a descriptor (a `pidfd`, since Linux 5.3), opened by
//! the first wait that finds the child alive, and closed with its end. Where the machine refuses it
//! (an older kernel, a filter of system calls, no descriptors left), an item of the current System
//! blocks until the child has ended. No handler for `SIGCHLD` is installed, and no other children
//! of the program are waited for.
//!
//! # What a child inherits
//! Started by a worker, it has the program's CPUs and priority and not the worker's, also in items
//! of per-CPU queues and of those with another priority; any other thread passes its own on.
//! Signals are blocked that the thread blocked which has built the System: `std` leaves them as
//! they are, and so do workers. The settings are those of the System whose worker starts the first
//! child of the [`Command`].
//!
//! # Who reaps
//! A [`Child`] that is dropped before its end was seen runs on, unless
//! [`kill_on_drop`](Command::kill_on_drop) says otherwise, and leaves no zombie unless descriptors
//! have run out: its own stays open in the reactor, whose threads reap it when it ends. That takes
//! no task, no thread and no System, and as many descriptors as there are such children alive. If
//! a descriptor is refused, the child is on a list instead, a zombie from its end on until a child
//! is next started or dropped. Both are bounded by the number of children that the machine allows.
//!
//! A program that ignores `SIGCHLD`, or waits for all of its children elsewhere, takes their ends
//! away from here, and their numbers may become other processes'. Once that is known of a child,
//! here or through its descriptor, its number is not used any more: no stranger is waited for or
//! sent a signal. It cannot be known of a child that has no descriptor yet, or was refused one, and
//! whose number has gone to another child of the program: that one is taken for it.
//!
//! # Platforms
//! Linux. Elsewhere, use `std::process` in the task.
//!
//! # Examples
//! ```
//! use futures::io::{AsyncReadExt, AsyncWriteExt};
//! use std::process::Stdio;
//! use wq::process::Command;
//!
//! # wq::block_on(async {
//! let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
//! let (mut stdin, mut stdout) = (cat.stdin.take().unwrap(), cat.stdout.take().unwrap());
//! stdin.write_all(b"hello").await?;
//! stdin.close().await?; // the child reads the end
//! let mut text = String::new();
//! stdout.read_to_string(&mut text).await?;
//! assert_eq!(text, "hello");
//! assert!(cat.wait().await?.success());
//! # Ok::<(), std::io::Error>(())
//! # }).unwrap();
//! ```

#![forbid(unsafe_code)]

mod child;
mod command;
mod ending;
mod orphan;
mod pidfd;
mod pipe;

pub use wq_core::process::outside;

pub use self::child::{Child, ChildWait};
pub use self::command::Command;
pub use self::pipe::{ChildStderr, ChildStdin, ChildStdout};
