//! Digests: of one file as it streams by, and of a whole tree whatever the order of its files.
//!
//! The tree's digest covers each path and each file's digest in path order, so it does not
//! depend on which file was read first. It leaves out times, modes and owners: two checkouts
//! of one revision are equal.

use std::fmt;
use std::io::{self, ErrorKind, Read};

/// How much of a file is read at once: large enough that a cached read is few syscalls, small
/// enough that hundreds of readers stay below the memory of one browser tab.
const CHUNK: usize = 64 * 1024;

/// 256 bits that stand for a file or a tree; shown in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// What reading one file to its end gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summed {
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many bytes were read, which may differ from what a directory listing said.
    pub bytes: u64,
}

/// Reads to the end and hashes; `None` when `stop` asked to give up between two chunks.
///
/// # Errors
///
/// Whatever the reader reports, except interrupted calls, which are made again.
pub fn sum(mut reader: impl Read, stop: impl Fn() -> bool) -> io::Result<Option<Summed>> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; CHUNK];
    let mut bytes = 0;
    while !stop() {
        match reader.read(&mut buffer) {
            Ok(0) => {
                let digest = Digest(*hasher.finalize().as_bytes());
                return Ok(Some(Summed { digest, bytes }));
            }
            Ok(read) => {
                hasher.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The digest of a tree: the hash of its `path NUL digest` records, sorted by path.
///
/// A path holds no NUL and a digest has a fixed length, so no two trees share their records.
#[must_use]
pub fn tree<'a>(files: impl IntoIterator<Item = (&'a [u8], Digest)>) -> Digest {
    let mut files: Vec<_> = files.into_iter().collect();
    files.sort_unstable_by_key(|&(path, _)| path);
    let mut hasher = blake3::Hasher::new();
    for (path, digest) in files {
        hasher.update(path).update(&[0]).update(&digest.0);
    }
    Digest(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The digest of bytes in memory.
    fn digest(bytes: &[u8]) -> Digest {
        sum(bytes, || false).unwrap().unwrap().digest
    }

    /// Goal: the hash is the published one. Method: BLAKE3's own vector for no input.
    #[test]
    fn an_empty_file_has_the_published_digest() {
        let hex = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(digest(b"").to_string(), hex);
    }

    /// Goal: chunks leave no trace. Method: a reader of odd pieces against one slice.
    #[test]
    fn pieces_do_not_change_the_digest() {
        let bytes: Vec<u8> = (0..3 * CHUNK + 17).map(|n| (n % 251) as u8).collect();
        let pieces = bytes[..CHUNK + 1].chain(&bytes[CHUNK + 1..]);
        let summed = sum(pieces, || false).unwrap().unwrap();
        assert_eq!(
            summed,
            Summed {
                digest: digest(&bytes),
                bytes: bytes.len() as u64
            }
        );
    }

    /// Goal: order is not part of a tree. Method: the same records forwards and backwards.
    #[test]
    fn a_tree_is_independent_of_the_order_of_its_files() {
        let records = [
            (&b"a"[..], digest(b"1")),
            (b"b", digest(b"2")),
            (b"c/d", digest(b"3")),
        ];
        assert_eq!(tree(records), tree(records.into_iter().rev()));
    }

    /// Goal: names and contents both count. Method: swap the contents of two names.
    #[test]
    fn a_tree_depends_on_which_name_has_which_content() {
        let (one, two) = (digest(b"1"), digest(b"2"));
        let swapped = tree([(&b"a"[..], two), (b"b", one)]);
        assert_ne!(tree([(&b"a"[..], one), (b"b", two)]), swapped);
        assert_ne!(tree([(&b"a"[..], one)]), tree([(&b"A"[..], one)]));
    }

    /// Goal: giving up is prompt. Method: an endless reader and a `stop` that says yes.
    #[test]
    fn stop_ends_an_endless_read() {
        assert_eq!(sum(io::repeat(1), || true).unwrap(), None);
    }
}
