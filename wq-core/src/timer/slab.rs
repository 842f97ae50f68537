//! Storage for armed timers: entries found by index, reused through a free list.
//!
//! For one wheel, which owns it; not a general container. Memory grows in chunks that never move,
//! so growing costs one allocation of a fixed size however many timers are armed, and a warm slab
//! allocates nothing. Chunks are kept until the slab is dropped.
//!
//! Invariant: an entry is free exactly if its ticket is [`NO_TICKET`]. Tickets are never issued
//! twice, so a [`TimerKey`] can't name a later user of the same index, however long it is kept.

#![forbid(unsafe_code)]

use std::mem;

/// Most timers armed at once in one wheel.
///
/// Indices are 32 bit wide to keep the links small; at 56 bytes an entry this many take 3.5 GiB,
/// where a program that arms ever more timers should hear of it rather than be killed.
pub const MAX_TIMERS: usize = 1 << 26;

/// Entries in one chunk: large enough that warming up is rare, small enough to fill quickly.
const CHUNK: usize = 1 << CHUNK_SHIFT;

/// How far an index is shifted to find its chunk.
const CHUNK_SHIFT: u32 = 9;

/// The end of a list of indices.
pub(super) const NIL: u32 = u32::MAX;

/// The ticket of a free entry; the first one issued is 1.
const NO_TICKET: u64 = 0;

/// Names one armed timer; worthless once that timer has fired or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey {
    /// Where the entry lies.
    index: u32,
    /// Which of the entry's users is meant.
    ticket: u64,
}

impl TimerKey {
    /// Where the entry lies or lay.
    pub(super) fn index(self) -> u32 {
        self.index
    }
}

/// Which list of the wheel an entry hangs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In none: free, or on its way from one to another.
    Nowhere,
    /// In the list of this slot of this level.
    Slot { level: u8, slot: u8 },
    /// In the list of a slot that is being spread over lower levels.
    Falling,
    /// In the heap of the current tick, which is not a list.
    Current,
}

/// One timer, or a free place for one.
#[derive(Debug)]
pub(super) struct Entry<T> {
    /// What the timer carries; `None` in a free entry.
    payload: Option<T>,
    /// When the timer is due.
    pub(super) deadline_ns: u64,
    /// Rank of arming, which orders equal deadlines; `NO_TICKET` in a free entry.
    pub(super) ticket: u64,
    /// The entry before this one in its list.
    pub(super) previous: u32,
    /// The entry after this one in its list, also in the free list.
    pub(super) next: u32,
    /// Which list that is.
    pub(super) place: Place,
}

/// A growing set of entries.
#[derive(Debug)]
pub(super) struct Slab<T> {
    /// Every chunk has room for `CHUNK` entries, and only the last may have unused room.
    chunks: Vec<Vec<Entry<T>>>,
    /// First entry of the free list, linked through `next`.
    free: u32,
    /// Entries in use.
    len: usize,
    /// The ticket issued last.
    issued: u64,
    /// Entries that may be in use at once; `MAX_TIMERS` but in tests.
    limit: usize,
}

impl<T> Slab<T> {
    /// An empty slab that holds at most `limit` entries; allocates nothing.
    pub(super) fn new(limit: usize) -> Self {
        debug_assert!(limit <= MAX_TIMERS, "an index must fit into 32 bits");
        Self {
            chunks: Vec::new(),
            free: NIL,
            len: 0,
            issued: NO_TICKET,
            limit,
        }
    }

    /// Entries in use.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Stores a timer that hangs nowhere yet, or gives its payload back when the slab is full.
    pub(super) fn insert(&mut self, deadline_ns: u64, payload: T) -> Result<TimerKey, T> {
        if self.len >= self.limit {
            return Err(payload);
        }
        // 64 bits last for five centuries at a timer each nanosecond.
        self.issued += 1;
        let entry = Entry {
            payload: Some(payload),
            deadline_ns,
            ticket: self.issued,
            previous: NIL,
            next: NIL,
            place: Place::Nowhere,
        };
        let index = self.store(entry);
        self.len += 1;
        Ok(TimerKey {
            index,
            ticket: self.issued,
        })
    }

    /// Puts `entry` into a free place, growing if there is none, and says where.
    fn store(&mut self, entry: Entry<T>) -> u32 {
        if self.free != NIL {
            let index = self.free;
            self.free = self[index].next;
            self[index] = entry;
            return index;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let last = self
            .chunks
            .last_mut()
            .expect("a chunk with room was added above");
        last.push(entry);
        u32::try_from(before + last.len() - 1).expect("the limit keeps indices within 32 bits")
    }

    /// Frees the entry, which must hang nowhere, and returns what it carried.
    pub(super) fn remove(&mut self, index: u32) -> T {
        let free = self.free;
        let entry = &mut self[index];
        debug_assert_eq!(
            entry.place,
            Place::Nowhere,
            "a linked entry must not be freed"
        );
        let payload = entry
            .payload
            .take()
            .expect("an entry in use carries a payload");
        entry.ticket = NO_TICKET;
        entry.next = free;
        self.free = index;
        self.len -= 1;
        payload
    }

    /// What the timer carries, unless `key` is out of date.
    pub(super) fn payload_mut(&mut self, key: TimerKey) -> Option<&mut T> {
        if !self.holds(key) {
            return None;
        }
        self[key.index].payload.as_mut()
    }

    /// Is the timer that `key` names still here?
    pub(super) fn holds(&self, key: TimerKey) -> bool {
        let chunk = self.chunks.get(chunk_of(key.index));
        let entry = chunk.and_then(|chunk| chunk.get(offset_of(key.index)));
        entry.is_some_and(|entry| entry.ticket == key.ticket)
    }

    /// Empties the slab and frees its memory: all payloads, by deadline, and by age among equals.
    /// Tickets go on, so that keys stay out of date.
    pub(super) fn drain(&mut self) -> Vec<T> {
        self.free = NIL;
        self.len = 0;
        let entries = mem::take(&mut self.chunks).into_iter().flatten();
        let mut armed: Vec<_> = entries
            .filter_map(|entry| Some((entry.deadline_ns, entry.ticket, entry.payload?)))
            .collect();
        armed.sort_unstable_by_key(|&(deadline_ns, ticket, _)| (deadline_ns, ticket));
        armed.into_iter().map(|(_, _, payload)| payload).collect()
    }

    /// Chunks allocated so far.
    #[cfg(test)]
    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = Entry<T>;

    fn index(&self, index: u32) -> &Entry<T> {
        &self.chunks[chunk_of(index)][offset_of(index)]
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, index: u32) -> &mut Entry<T> {
        &mut self.chunks[chunk_of(index)][offset_of(index)]
    }
}

/// The chunk an index lies in.
fn chunk_of(index: u32) -> usize {
    (index >> CHUNK_SHIFT) as usize
}

/// The place inside its chunk that an index means.
fn offset_of(index: u32) -> usize {
    index as usize % CHUNK
}
