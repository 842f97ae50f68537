//! The journal: one line a file, in the order in which the lines were accepted.
//!
//! A line is `ticket TAB ok TAB digest TAB bytes TAB path` or
//! `ticket TAB failed TAB reason TAB path`. Tickets are given out at acceptance, under the
//! same lock as the queueing, so a journal whose tickets do not count 1, 2, 3 .. was written
//! out of order. Ordering is the queue's promise; nothing here sorts.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::failure::{FailureKind, one_line};
use super::hash::Summed;

/// What came of one file.
#[derive(Debug)]
pub struct Reading {
    /// Its place in the listing.
    pub file: usize,
    /// Its digest, or the reason why it has none.
    pub result: Result<Summed, FailureKind>,
}

/// A reading on its way to the journal.
#[derive(Debug)]
pub struct Entry {
    /// Its place in the order of acceptance, from 1.
    pub ticket: u64,
    /// What is to be written.
    pub reading: Reading,
}

/// A journal being written.
#[derive(Debug)]
pub struct Journal {
    /// Buffered: a line is no syscall. [`Journal::flush`] ends every run, also an interrupted one.
    file: BufWriter<File>,
}

impl Journal {
    /// Begins a journal, replacing the last run's.
    ///
    /// # Errors
    ///
    /// When the file cannot be created.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: BufWriter::new(File::create(path)?),
        })
    }

    /// Writes one line.
    ///
    /// # Errors
    ///
    /// What writing to the file gives, for instance that the disk is full.
    pub fn write(&mut self, entry: &Entry, path: &Path) -> io::Result<()> {
        let (ticket, path) = (entry.ticket, one_line(path));
        match &entry.reading.result {
            Ok(Summed { digest, bytes }) => {
                writeln!(self.file, "{ticket}\tok\t{digest}\t{bytes}\t{path}")
            }
            Err(kind) => writeln!(self.file, "{ticket}\tfailed\t{}\t{path}", kind.tag()),
        }
    }

    /// Hands all lines to the system.
    ///
    /// # Errors
    ///
    /// What writing to the file gives.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::treesum::hash;

    /// Goal: both kinds of line are as documented. Method: write one of each and read back.
    #[test]
    fn lines_are_as_documented() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::create(&path).unwrap();
        let summed = hash::sum(&b"abc"[..], || false).unwrap().unwrap();
        let ok = Entry {
            ticket: 1,
            reading: Reading {
                file: 0,
                result: Ok(summed),
            },
        };
        let broken = Reading {
            file: 1,
            result: Err(FailureKind::BrokenLink),
        };
        let bad = Entry {
            ticket: 2,
            reading: broken,
        };
        journal.write(&ok, Path::new("a\tb")).unwrap();
        journal.write(&bad, Path::new("c")).unwrap();
        journal.flush().unwrap();
        let digest = summed.digest;
        let expected = format!("1\tok\t{digest}\t3\ta\\x09b\n2\tfailed\tbroken-link\tc\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    }

    /// Goal: a full disk is an error. Method: the device that is always full.
    #[test]
    fn a_full_disk_is_an_error() {
        let mut journal = Journal::create(Path::new("/dev/full")).unwrap();
        let entry = Entry {
            ticket: 1,
            reading: Reading {
                file: 0,
                result: Err(FailureKind::Lost),
            },
        };
        journal.write(&entry, Path::new("a")).unwrap();
        assert_eq!(
            journal.flush().unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );
    }
}
