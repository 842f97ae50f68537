//! The servers, run as built, with clients of `std`.

#![forbid(unsafe_code)]

mod common;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use common::{Running, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Goal: the server echoes to many at once and ends when told. Method: several threads with
/// several connections each on std's sockets, then the end of its input.
#[test]
fn echo_serves_many_connections_and_ends_with_its_input() {
    let mut server = Running::start(
        Command::new(env!("CARGO_BIN_EXE_echo"))
            .arg("127.0.0.1:0")
            .stdin(Stdio::piped()),
    );
    let address = address_of(&mut server);
    thread::scope(|scope| {
        for thread in 0..4 {
            let address = &address;
            scope.spawn(move || (0..5).for_each(|n| talk(address, thread * 5 + n)));
        }
    });
    drop(server.child.stdin.take());
    let ended = server.end();
    assert!(ended.status.success(), "{ended:?}");
    let bytes: usize = (0..20).map(|n| message(n).len()).sum();
    let last = format!("20 connections served, 0 failed, {bytes} bytes echoed");
    assert_eq!(ended.stdout.lines().last(), Some(&last[..]), "{ended:?}");
}

/// Goal: arguments that servers do not understand are errors that say how they are called, and no
/// hang. Method: nonsense, and too much of it.
#[test]
fn servers_refuse_bad_arguments_and_say_how_they_are_called() {
    for (name, program) in [
        ("echo", env!("CARGO_BIN_EXE_echo")),
        ("http_api", env!("CARGO_BIN_EXE_http_api")),
        ("graceful", env!("CARGO_BIN_EXE_graceful")),
    ] {
        for arguments in [&["nowhere"][..], &["127.0.0.1:0", "what"], &["--what"]] {
            let ended = run(Command::new(program).args(arguments));
            assert!(!ended.status.success(), "{ended:?}");
            let culprit = arguments.last().unwrap();
            assert!(ended.stderr.contains(culprit), "{ended:?}");
            let usage = format!("usage: {name} [");
            assert!(ended.stderr.contains(&usage), "{ended:?}");
        }
    }
}

/// Goal: a server serves as many connections as it was told, and the next when one of them has
/// ended. Method: two of three are answered, in turn and so often that the request of the third,
/// which came first, would have been answered meanwhile.
#[test]
fn servers_keep_to_their_limit_of_connections() {
    let http = "GET /nothing HTTP/1.1\r\nhost: here\r\n\r\n";
    for (program, request, last) in [
        (env!("CARGO_BIN_EXE_echo"), "a\n", "a\n"),
        (env!("CARGO_BIN_EXE_graceful"), "a\n", "A\n"),
        (env!("CARGO_BIN_EXE_http_api"), http, "\r\n"),
    ] {
        let mut server = Command::new(program);
        server.args(["--connections", "2"]).stdin(Stdio::piped());
        let mut server = Running::start(&mut server);
        let address = address_of(&mut server);
        let address = address.trim_start_matches("http://");
        let connect = |_| BufReader::new(TcpStream::connect(address).unwrap());
        let [mut first, mut second, mut third] = [1, 2, 3].map(connect);
        third.get_mut().write_all(request.as_bytes()).unwrap();
        for _ in 0..100 {
            exchange(&mut first, request, last);
            exchange(&mut second, request, last);
        }
        third.get_ref().set_nonblocking(true).unwrap();
        let early = third.get_mut().read(&mut [0]);
        let error = early.expect_err("there are two already");
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "{program}: {error}");
        third.get_ref().set_nonblocking(false).unwrap();
        drop(first);
        exchange(&mut third, "", last);
    }
}

/// Goal: a server that runs out of descriptors says so and goes on. Method: its limit lies below
/// the connections that are opened, and they are closed again.
#[test]
fn echo_goes_on_after_it_could_not_accept() {
    let mut server = Command::new("sh");
    server.args([
        "-c",
        "ulimit -n 40; exec \"$0\"",
        env!("CARGO_BIN_EXE_echo"),
    ]);
    let mut server = Running::start(server.stdin(Stdio::piped()));
    let address = address_of(&mut server);
    let crowd: Vec<_> = (0..60)
        .map(|_| TcpStream::connect(&address).unwrap())
        .collect();
    server.wait_for(|_, err| err.contains("a connection was not accepted"));
    drop(crowd);
    talk(&address, 3);
    drop(server.child.stdin.take());
    let ended = server.end();
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stdout.contains("connections served"), "{ended:?}");
}

/// Goal: a server that is told to end answers what has begun, refuses what is new, cuts off what
/// does not end, and says so; with either signal. Method: one client that asks, one that is idle,
/// one that never finishes its line.
#[test]
fn graceful_ends_well() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server =
            Running::start(Command::new(env!("CARGO_BIN_EXE_graceful")).args(["--grace", "3000"]));
        let address = address_of(&mut server);
        let mut asking = BufReader::new(TcpStream::connect(&address).unwrap());
        // Begun before the signal, which the answer proves, and finished after it.
        assert_eq!(ask(&mut asking, "first\nsec"), "FIRST\n");
        let mut idle = BufReader::new(TcpStream::connect(&address).unwrap());
        assert_eq!(ask(&mut idle, "only\n"), "ONLY\n");
        let mut stuck = BufReader::new(TcpStream::connect(&address).unwrap());
        assert_eq!(ask(&mut stuck, "whole\nwithout an end"), "WHOLE\n");
        kill(Pid::from_raw(server.child.id() as i32), signal).unwrap();
        server.wait_for(|out, _| out.contains("no new connections"));
        assert_not_served(&address);
        assert_eq!(ask(&mut asking, "ond\n"), "SECOND\n");
        assert_eq!(ask(&mut asking, ""), "", "its connection is closed then");
        assert_eq!(ask(&mut idle, ""), "", "idle connections are closed");
        let ended = server.end();
        assert!(ended.status.success(), "{ended:?}");
        let lines: Vec<_> = ended.stdout.lines().skip(1).collect();
        let expected = [
            &*format!("{}: no new connections", signal.as_str()),
            "3000 ms are over",
            "3 connections: 2 ended, 1 open",
            "answered: yes",
            "1 tasks cut off, 0 threads left behind",
        ];
        assert_eq!(lines, expected, "{ended:?}");
    }
}

/// Goal: a server that has nothing left to do does not use its grace up, and a second signal ends
/// one that has. Method: the default grace, which is longer than patience would be.
#[test]
fn graceful_ends_at_once_when_it_can_or_must() {
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_graceful"))
            .args(["--grace", "600000"])
            .start()
    };
    let mut idle = start();
    let _ = address_of(&mut idle);
    kill(Pid::from_raw(idle.child.id() as i32), Signal::SIGTERM).unwrap();
    let ended = idle.end();
    assert!(ended.status.success(), "{ended:?}");
    assert!(
        ended.stdout.contains("all connections have ended"),
        "{ended:?}"
    );

    let mut held_up = start();
    let address = address_of(&mut held_up);
    let mut stuck = BufReader::new(TcpStream::connect(&address).unwrap());
    assert_eq!(ask(&mut stuck, "whole\nwithout an end"), "WHOLE\n");
    let pid = Pid::from_raw(held_up.child.id() as i32);
    kill(pid, Signal::SIGTERM).unwrap();
    held_up.wait_for(|out, _| out.contains("no new connections"));
    kill(pid, Signal::SIGTERM).unwrap();
    let ended = held_up.end();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stdout.contains("ended at once"), "{ended:?}");
}

/// Starts a command.
trait Start {
    /// With an empty input.
    fn start(&mut self) -> Running;
}

impl Start for Command {
    fn start(&mut self) -> Running {
        Running::start(self.stdin(Stdio::null()))
    }
}

/// What a server that has started prints as its address.
fn address_of(server: &mut Running) -> String {
    let mut address = String::new();
    server.wait_for(|out, _| {
        address = out.trim().rsplit(' ').next().unwrap_or_default().into();
        out.ends_with('\n')
    });
    address
}

/// Says something and gives the answer, which is empty if the connection was closed.
fn ask(client: &mut BufReader<TcpStream>, what: &str) -> String {
    client
        .get_ref()
        .set_read_timeout(Some(common::LIMIT))
        .unwrap();
    let _ = client.get_mut().write_all(what.as_bytes());
    let mut answer = String::new();
    match client.read_line(&mut answer) {
        Ok(_) => answer,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => String::new(),
        Err(error) => panic!("{error}"),
    }
}

/// Nobody listens there any more. The port is free then, so a program of another test may have it
/// by now: one that does not answer in capitals, or that answers again, as a server that is at its
/// end does not.
fn assert_not_served(address: &str) {
    let client = match TcpStream::connect(address) {
        Ok(client) => client,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return,
        Err(error) => panic!("{address} is not refused: {error}"),
    };
    let mut client = BufReader::new(client);
    let answer = ask(&mut client, "a\n");
    assert_ne!(answer, "", "{address} took a connection and closed it");
    if answer == "A\n" {
        let again = ask(&mut client, "a\n");
        assert_eq!(again, "A\n", "{address} is still served");
    }
}

/// Sends a request and reads its answer, of which this is the last line.
fn exchange(client: &mut BufReader<TcpStream>, request: &str, last: &str) {
    let mut line = ask(client, request);
    while line != last {
        assert_ne!(line, "", "closed before the answer to {request:?}");
        line = ask(client, "");
    }
}

/// What connection `n` says: from little to more than any buffer in between.
fn message(n: usize) -> Vec<u8> {
    (0..n * n * 3000).map(|at| (at + n) as u8).collect()
}

/// Says everything on one thread while another one listens, and compares.
fn talk(address: &str, n: usize) {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(common::LIMIT)).unwrap();
    let (mut to, mut from) = (stream.try_clone().unwrap(), stream);
    let speaker = thread::spawn(move || {
        to.write_all(&message(n)).unwrap();
        to.shutdown(Shutdown::Write).unwrap();
    });
    let mut heard = Vec::new();
    from.read_to_end(&mut heard).unwrap();
    speaker.join().unwrap();
    assert!(
        heard == message(n),
        "connection {n}: {} bytes came back",
        heard.len()
    );
}
