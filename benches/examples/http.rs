//! The same HTTP service by hyper on wq and on tokio, under `wrk`, in turns.
//!
//! `cargo run --release -p wq-benches --example http -- [SECONDS] [ROUNDS] [CONNECTIONS..]`
//!
//! Each round starts each server once, as a process of its own, and has `wrk` ask it over the
//! loopback device for SECONDS (5) with two threads; medians of ROUNDS (3), at 64 and 512
//! connections. wq has two lanes, tokio two workers, or the one of its current-thread scheduler.
//! A second table has every hundredth request sleep in its thread for 20 ms: on wq as it is, on
//! tokio as it is and in `spawn_blocking`. There the quantile is that of the other requests. *CPU*
//! is the server's time for each request, of all its threads. Errors of any kind are counted, and
//! should be none.

#![expect(clippy::print_stdout, reason = "a program's answer")]

use std::convert::Infallible;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// How long a slow request sleeps in its thread.
const NAP: Duration = Duration::from_millis(20);
/// One request in so many is slow, where any is.
const SLOW_EVERY: usize = 100;
/// Threads of a server that takes a number.
const WORKERS: usize = 2;

/// What a program fails with.
type Failure = Box<dyn Error + Send + Sync>;

/// A server's command-line name, and whether it has slow requests.
const ROWS: [(&str, bool); 6] = [
    ("wq", false),
    ("tokio", false),
    ("tokio-ct", false),
    ("wq", true),
    ("tokio-wrapped", true),
    ("tokio", true),
];

/// Whether the present request is a slow one.
fn is_slow() -> bool {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    // Relaxed: it orders nothing.
    COUNT.fetch_add(1, Ordering::Relaxed) % SLOW_EVERY == SLOW_EVERY - 1
}

/// Answers; slow requests sleep where they are.
async fn answer<const SLOW: bool>(_: Request<Incoming>) -> Result<Response<String>, Infallible> {
    if SLOW && is_slow() {
        std::thread::sleep(NAP);
    }
    Ok(Response::new("Hello, world!".to_owned()))
}

/// Answers; slow requests sleep on a thread for such things.
async fn answer_wrapped(_: Request<Incoming>) -> Result<Response<String>, Infallible> {
    if is_slow() {
        let nap = tokio::task::spawn_blocking(|| std::thread::sleep(NAP));
        nap.await.expect("it does not panic");
    }
    Ok(Response::new("Hello, world!".to_owned()))
}

/// Serves on wq.
async fn on_wq(slow: bool) -> io::Result<()> {
    let listener = wq::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let io = wq::hyper::Io::new(stream).vectored();
        // Who serves a connection does not mind how it ends: wrk counts errors.
        drop(wq::spawn(async move {
            let http = http1::Builder::new();
            if slow {
                http.serve_connection(io, service_fn(answer::<true>)).await
            } else {
                http.serve_connection(io, service_fn(answer::<false>)).await
            }
        }));
    }
}

/// Serves on tokio.
async fn on_tokio(slow: bool, wrapped: bool) -> io::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let io = TokioIo::new(stream);
        drop(tokio::spawn(async move {
            let http = http1::Builder::new();
            if wrapped {
                http.serve_connection(io, service_fn(answer_wrapped)).await
            } else if slow {
                http.serve_connection(io, service_fn(answer::<true>)).await
            } else {
                http.serve_connection(io, service_fn(answer::<false>)).await
            }
        }));
    }
}

/// A server's process: prints its address, serves until its input ends, prints its CPU time.
fn serve(name: &str, slow: bool) -> Result<(), Failure> {
    std::thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        let usage = getrusage(UsageWho::RUSAGE_SELF).expect("it is ours");
        let cpu = usage.user_time() + usage.system_time();
        println!("{}", cpu.num_microseconds());
        let _ = io::stdout().flush();
        std::process::exit(0);
    });
    let mut tokio = match name {
        "wq" => {
            let system = wq::System::builder().workers(WORKERS).build()?;
            return Ok(system.run(on_wq(slow))?);
        }
        "tokio-ct" => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let tokio = tokio.worker_threads(WORKERS).enable_all().build()?;
    // As a task: the root of a runtime is polled with less attention.
    let served =
        tokio.block_on(async { tokio::spawn(on_tokio(slow, name == "tokio-wrapped")).await });
    Ok(served??)
}

/// What wrk said of a server, and its CPU time.
#[derive(Clone, Copy, Debug)]
struct Figures {
    requests_per_s: f64,
    p99_us: f64,
    errors: u64,
    cpu_us_per_request: f64,
}

/// Has wrk say in one line what is asked of it: requests, microseconds, errors, quantile.
const SCRIPT: &str = "done = function(s, latency)
  local e = s.errors
  local errors = e.connect + e.read + e.write + e.status + e.timeout
  local p = tonumber(os.getenv('QUANTILE'))
  io.write(string.format('FIGURES %d %d %d %d\\n', s.requests, s.duration, errors,
    latency:percentile(p)))
end
";

/// A server under load.
struct Server(Child);

impl Server {
    /// Starts it, and gives its address.
    fn start(name: &str, slow: bool) -> Result<(Server, String), Failure> {
        let slow = if slow { "slow" } else { "fast" };
        let child = Command::new(std::env::current_exe()?)
            .args(["serve", name, slow])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut server = Server(child);
        let line = server.line()?;
        Ok((server, line))
    }

    /// The next line that it prints.
    fn line(&mut self) -> Result<String, Failure> {
        let stdout = self.0.stdout.as_mut().ok_or("it has an output")?;
        let mut line = String::new();
        // It prints a line and nothing more until it is asked.
        BufReader::with_capacity(1, stdout).read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// Ends it; its CPU time in microseconds.
    fn end(mut self) -> Result<f64, Failure> {
        drop(self.0.stdin.take());
        let cpu = self.line()?.parse()?;
        self.0.wait()?;
        Ok(cpu)
    }
}

/// One measurement.
fn measure(row: (&str, bool), connections: usize, seconds: u64) -> Result<Figures, Failure> {
    let (name, slow) = row;
    let script = std::env::temp_dir().join(format!("wq-http-{}.lua", std::process::id()));
    std::fs::write(&script, SCRIPT)?;
    let (server, address) = Server::start(name, slow)?;
    // The slowest hundredth are the slow requests: the others' 99 % end before them.
    let quantile = if slow { "98.01" } else { "99" };
    let wrk = Command::new("wrk")
        .args(["-t", "2", "-c", &connections.to_string()])
        .args(["-d", &format!("{seconds}s"), "-s"])
        .arg(&script)
        .arg(format!("http://{address}/"))
        .env("QUANTILE", quantile)
        .output()
        .map_err(|error| format!("wrk cannot be run: {error}"))?;
    let cpu_us = server.end()?;
    let _ = std::fs::remove_file(&script);
    let said = String::from_utf8_lossy(&wrk.stdout);
    let figures = said.lines().find_map(|line| line.strip_prefix("FIGURES "));
    let figures = figures.ok_or_else(|| format!("wrk said: {said}"))?;
    let figures: Vec<f64> = figures
        .split(' ')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let [requests, us, errors, p99_us] = figures[..] else {
        return Err(format!("wrk said: {said}").into());
    };
    Ok(Figures {
        requests_per_s: requests / (us / 1e6),
        p99_us,
        errors: errors as u64,
        cpu_us_per_request: cpu_us / requests,
    })
}

/// The median of one of the figures.
fn median(rounds: &[Figures], of: impl Fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures all rows in turns, and prints their medians.
fn compare(connections: usize, seconds: u64, rounds: usize) -> Result<(), Failure> {
    let mut found = vec![Vec::new(); ROWS.len()];
    for _ in 0..rounds {
        for (row, found) in ROWS.into_iter().zip(&mut found) {
            found.push(measure(row, connections, seconds)?);
        }
    }
    println!("{connections} connections, medians of {rounds} rounds of {seconds} s in turns:");
    let head = ["requests/s", "p99 us", "CPU us", "errors"];
    println!(
        "{:<28} {:>12} {:>10} {:>8} {:>8}",
        "", head[0], head[1], head[2], head[3]
    );
    for ((name, slow), rounds) in ROWS.into_iter().zip(&found) {
        let what = format!("{name}{}", if slow { ", 1 in 100 naps" } else { "" });
        println!(
            "{what:<28} {:>12.0} {:>10.0} {:>8.1} {:>8}",
            median(rounds, |f| f.requests_per_s),
            median(rounds, |f| f.p99_us),
            median(rounds, |f| f.cpu_us_per_request),
            rounds.iter().map(|f| f.errors).sum::<u64>(),
        );
    }
    println!();
    Ok(())
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, name, slow] = &arguments[..] {
        if first == "serve" {
            return serve(name, slow == "slow");
        }
    }
    let numbers: Vec<u64> = arguments
        .iter()
        .map(|text| text.parse())
        .collect::<Result<_, _>>()?;
    let seconds = numbers.first().copied().unwrap_or(5);
    let rounds = numbers.get(1).copied().unwrap_or(3) as usize;
    let connections = numbers.get(2..).filter(|given| !given.is_empty());
    for &connections in connections.unwrap_or(&[64, 512]) {
        compare(connections as usize, seconds, rounds)?;
    }
    Ok(())
}
