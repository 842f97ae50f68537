//! Empty pipes that a foreign thread writes to in time.

use std::fs::File;
use std::io::{Read, Write};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::Poison;
use super::feeder::{Feed, Feeder};

/// See the module.
pub(super) struct Pipes {
    /// Reading ends, by place.
    readers: Vec<File>,
    /// Writes.
    feeder: Feeder,
}

impl Pipes {
    /// Pipes for a number of places.
    ///
    /// # Panics
    /// When the process has no descriptors left.
    pub(super) fn new(time: Duration, places: usize) -> Self {
        let pipes = (0..places).map(|_| pipe2(OFlag::O_CLOEXEC).expect("a pipe"));
        let ends = pipes.map(|(reader, writer)| (File::from(reader), File::from(writer)));
        let (readers, writers) = ends.unzip();
        let feeder = Feeder::start(time, move || Writers(writers));
        Self { readers, feeder }
    }
}

impl Poison for Pipes {
    fn block(&self, place: usize) {
        self.feeder.announce(place);
        let read = (&self.readers[place]).read_exact(&mut [0]);
        read.expect("the feeder writes");
    }
}

/// The feeder's side: writing ends, by place.
struct Writers(Vec<File>);

impl Feed for Writers {
    fn let_through(&mut self, place: usize) {
        self.0[place].write_all(&[0]).expect("the reader is there");
    }
}
