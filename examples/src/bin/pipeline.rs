//! A pipeline: blocks of a file are read, hashed and written, each stage with a limit of its own.
//!
//! No stage knows a thread. Reading blocks its tasks, four at a time; hashing burns the CPU, as
//! many at a time as there are CPUs; the third stage is an ordered queue, so results come in the
//! order of the blocks, whichever was hashed first. What holds the whole back is its end: who
//! feeds the pipeline first reserves a place in the last queue, and waits while that has none.

#![expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]

use std::error::Error;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use wq::{JoinHandle, Queue, System, Workqueue};
use wq_examples::arguments;
use wq_examples::gauge::Gauge;

/// Bytes of a block.
const BLOCK: usize = 16 * 1024;

/// Blocks. The file is this program, whose size is nobody's business: those behind its end are
/// empty.
const BLOCKS: usize = 200;

/// Blocks read at a time.
const READERS: usize = 4;

/// Blocks that may wait for each of the first two stages.
const WAITING: usize = 4;

/// Blocks that may be anywhere between the feeder and the end of the pipeline.
const WINDOW: usize = 24;

/// Every so many blocks one is hashed slowly, for this long, as if its pages had to be fetched.
/// Then the stages before it fill up, and their limits are put to the test.
const SLOW_EVERY: usize = 4;
const SLOW: Duration = Duration::from_millis(2);

/// What may go wrong on the way.
type Fault = Box<dyn Error + Send + Sync>;

/// How full each part was.
#[derive(Default)]
struct Gauges {
    reading: Gauge,
    hashing: Gauge,
    inside: Gauge,
}

#[wq::main]
async fn main() -> Result<(), Fault> {
    arguments::none("pipeline");
    let cpus = System::current().topology().cpus();
    let read = Workqueue::unbound("read")
        .max_active(READERS)
        .max_pending(WAITING)
        .build()?;
    let hash = Workqueue::unbound("hash")
        .nice(5) // those who read and write go first
        .max_active(cpus)
        .max_pending(WAITING)
        .build()?;
    let write = Workqueue::ordered("write")
        .max_pending(WINDOW - 1)
        .build()?;

    let file = Arc::new(File::open(std::env::current_exe()?)?);
    let gauges = Arc::new(Gauges::default());
    let (out, written) = async_channel::bounded(BLOCKS);
    for number in 0..BLOCKS {
        // The back-pressure: without a place at the end nothing enters.
        let place = write.reserve().await?;
        gauges.inside.enter();
        let stages = (Arc::clone(&file), Queue::clone(&hash), Arc::clone(&gauges));
        let hashed = read.reserve().await?.spawn(read_block(number, stages));
        let (out, inside) = (out.clone(), Arc::clone(&gauges));
        drop(place.spawn(async move {
            // The next block is not looked at before this one has ended; those before it go on.
            let result = digest_of(hashed).await.map(|digest| (number, digest));
            inside.inside.leave();
            let _ = out.try_send(result);
        }));
    }
    let report = wq::flush(&write).await?;
    drop(out);

    let mut digests = Vec::new();
    while let Ok(result) = written.recv().await {
        digests.push(result?);
    }
    println!(
        "all {BLOCKS} blocks went through: {}",
        digests.len() == BLOCKS
    );
    println!("writers that panicked: {}", report.panicked);
    let in_order = digests.iter().map(|(number, _)| *number).eq(0..BLOCKS);
    println!("in the order of the file: {in_order}");
    println!(
        "read at most {READERS} at a time: {}",
        gauges.reading.kept(READERS)
    );
    println!("hashed at most one per CPU: {}", gauges.hashing.kept(cpus));
    println!("at most {WINDOW} inside: {}", gauges.inside.kept(WINDOW));
    let same = digests.iter().all(|&(number, digest)| {
        block(&file, number).is_ok_and(|block| blake3::hash(&block) == digest)
    });
    println!("as if done one after the other: {same}");
    Ok(())
}

/// What comes out of the first two stages.
type Hashed = JoinHandle<Result<JoinHandle<blake3::Hash>, Fault>>;

/// Waits for both of them.
async fn digest_of(hashed: Hashed) -> Result<blake3::Hash, Fault> {
    Ok(hashed.await??.await?)
}

/// The first stage: reads a block and hands it on. It keeps its own slot until the next stage has
/// room, so that a slow stage slows those before it.
async fn read_block(
    number: usize,
    (file, hash, gauges): (Arc<File>, Queue, Arc<Gauges>),
) -> Result<JoinHandle<blake3::Hash>, Fault> {
    gauges.reading.enter();
    let block = block(&file, number)?; // blocks, unmarked
    let permit = hash.reserve().await?;
    gauges.reading.leave();
    Ok(permit.spawn_fn(move || {
        gauges.hashing.enter();
        if number % SLOW_EVERY == 0 {
            thread::sleep(SLOW);
        }
        let digest = blake3::hash(&block);
        gauges.hashing.leave();
        digest
    }))
}

/// One block of the file; less at its end.
fn block(file: &File, number: usize) -> io::Result<Vec<u8>> {
    let mut block = vec![0; BLOCK];
    let read = file.read_at(&mut block, (number * BLOCK) as u64)?;
    block.truncate(read);
    Ok(block)
}
