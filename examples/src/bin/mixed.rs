//! Requests and heavy queries in one program: the queries on a queue of their own, with a limit and
//! a lower priority, and the requests stay punctual.
//!
//! A database engine in a server needs the CPUs for queries, for seconds at a time, and answers
//! over sockets meanwhile. On one pool of threads a query that does not `await` holds up whatever
//! shares its thread; so people run a second runtime for queries, with channels in between. Here
//! that is a queue. A client sends a request each millisecond, on a fixed grid, and measures from
//! when it was due to when the answer is there.
//!
//! The third row shows what happens without a queue of their own: a query that shares the default
//! queue is found out after a millisecond and loses its lane, and its kind is remembered.

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use wq::net::{TcpListener, TcpStream};
use wq::{Queue, System, Workqueue};
use wq_examples::arguments;
use wq_examples::treesum::heartbeat::Lateness;

/// Requests of each row.
const REQUESTS: u32 = 300;

/// Between two requests.
const PERIOD: Duration = Duration::from_millis(1);

/// Bytes of a request, and of its answer.
const MESSAGE: usize = 64;

/// Rows that a query looks at between two `await`s, of which it has none.
const ROWS: u64 = 2_000_000;

/// What may go wrong.
type Fault = Box<dyn Error + Send + Sync>;

/// One row of the table.
struct Measured {
    name: &'static str,
    lateness: Lateness,
    queries: u32,
    /// How long one took beside the requests, on average; `None` if there were none.
    query: Option<Duration>,
}

/// Queries while a row is measured.
#[derive(Default)]
struct Load {
    /// The last requests were answered.
    over: AtomicBool,
    done: AtomicU32,
    /// What they took in sum.
    busy_ns: AtomicU64,
}

#[wq::main]
async fn main() -> Result<(), Fault> {
    arguments::none("mixed");
    let cpus = System::current().topology().cpus();
    // That queries burn is no news here; elsewhere a line on standard error would tell of it.
    System::current().set_cpu_intensive_warning_thresh(0);
    // As many queries at a time as there are CPUs; those below wait in line, which costs nothing.
    let queries = Workqueue::unbound("queries")
        .nice(10)
        .max_active(cpus)
        .build()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = wq::spawn(serve(listener));

    let alone = Instant::now();
    black_box(query(0));
    let alone = alone.elapsed();

    let default = System::current().default_queue();
    let rows = [
        measure("no queries", address, None).await?,
        measure("on their own queue", address, Some((&*queries, cpus * 4))).await?,
        measure("among the requests", address, Some((&default, cpus))).await?,
    ];
    server.abort();

    print(&rows);
    println!("one query alone: {alone:.0?}");
    Ok(())
}

/// The table.
fn print(rows: &[Measured]) {
    println!(
        "{:<20}{:>9}{:>10}{:>10}{:>10}{:>9}{:>10}",
        "queries", "requests", "p50", "p99", "max", "done", "each"
    );
    for row in rows {
        let lateness = &row.lateness;
        let [p50, p99, max] = [
            lateness.quantile(0.5),
            lateness.quantile(0.99),
            lateness.max(),
        ]
        .map(|late| format!("{late:.0?}"));
        let each = row.query.map_or("-".into(), |each| format!("{each:.0?}"));
        println!(
            "{:<20}{:>9}{p50:>10}{p99:>10}{max:>10}{:>9}{each:>10}",
            row.name,
            lateness.beats(),
            row.queries
        );
    }
}

/// Sends requests while so many queries are kept in line on this queue.
async fn measure(
    name: &'static str,
    address: SocketAddr,
    load: Option<(&Queue, usize)>,
) -> Result<Measured, Fault> {
    let queries = Arc::new(Load::default());
    let (queue, count) = load.unzip();
    let lines: Vec<_> = (0..count.unwrap_or(0))
        .filter_map(|line| Some(queue?.spawn(keep_busy(line as u64, Arc::clone(&queries)))))
        .collect();
    let lateness = wq::spawn(client(address)).await??;
    // Relaxed: who sees it late does one query more.
    queries.over.store(true, Ordering::Relaxed);
    for line in lines {
        line.await?;
    }
    // Relaxed: all of them are over.
    let done = queries.done.load(Ordering::Relaxed);
    let busy = Duration::from_nanos(queries.busy_ns.load(Ordering::Relaxed));
    Ok(Measured {
        name,
        lateness,
        queries: done,
        query: busy.checked_div(done),
    })
}

/// Queries, one after the other; at least one.
async fn keep_busy(seed: u64, load: Arc<Load>) {
    loop {
        let start = Instant::now();
        black_box(query(seed));
        // Relaxed, all: a flag and two sums, with no data behind them.
        let took = start.elapsed().as_nanos() as u64;
        load.busy_ns.fetch_add(took, Ordering::Relaxed);
        load.done.fetch_add(1, Ordering::Relaxed);
        if load.over.load(Ordering::Relaxed) {
            return;
        }
        wq::yield_now().await;
    }
}

/// Looks at many rows, and awaits nothing.
fn query(seed: u64) -> u64 {
    (0..ROWS).fold(seed, |sum, row| {
        let hash = black_box(row ^ sum).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        sum.wrapping_add(hash >> 33)
    })
}

/// Answers each connection until it ends.
async fn serve(listener: TcpListener) -> Result<(), Fault> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        drop(wq::spawn(async move {
            let mut message = [0; MESSAGE];
            while stream.read_exact(&mut message).await.is_ok() {
                message.reverse();
                if stream.write_all(&message).await.is_err() {
                    break;
                }
            }
        }));
    }
}

/// Sends requests on the grid, and records how late each answer was. A late answer delays the
/// requests behind it, which are counted from when they were due.
async fn client(address: SocketAddr) -> Result<Lateness, Fault> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut lateness, start) = (Lateness::default(), Instant::now());
    for number in 1..=REQUESTS {
        let due = start + PERIOD * number;
        wq::time::sleep_until(due).await;
        // No two bytes are equal, so that the answer tells how the request arrived.
        let mut request: [u8; MESSAGE] = std::array::from_fn(|at| number as u8 ^ at as u8);
        stream.write_all(&request).await?;
        let mut answer = [0; MESSAGE];
        stream.read_exact(&mut answer).await?;
        request.reverse();
        if answer != request {
            return Err("a wrong answer".into());
        }
        lateness.record(due.elapsed());
    }
    Ok(lateness)
}
