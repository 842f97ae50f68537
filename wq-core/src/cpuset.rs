//! Sets of CPUs: a fixed bitmap, and the kernel's text form of it, `0-3,8`.
//!
//! The set has room for [`CpuSet::MAX_CPUS`] CPUs, which is what the C library's affinity
//! calls take. It is a plain value: no set operation allocates, none fails. Only text fails,
//! with a [`CpuListError`] that says what was wrong and what is allowed.
//!
//! It is *not* for talking to the kernel (that is `os`), nor does it know which CPUs exist
//! (that is [`Topology`](crate::Topology)).

#![forbid(unsafe_code)]

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Bits in one word of the bitmap.
const WORD_BITS: usize = u64::BITS as usize;

/// Words of the bitmap.
pub(crate) const WORDS: usize = CpuSet::MAX_CPUS / WORD_BITS;

/// A set of CPU numbers from 0 to 1023.
///
/// The text form, read by [`FromStr`] and written by [`Display`](fmt::Display), is the kernel's
/// *cpulist*: numbers and inclusive ranges, separated by commas. The kernel's strided ranges
/// (`0-31:2/8`: the first two of every eight) are read too. The empty text is the empty set.
///
/// ```
/// use wq_core::CpuSet;
///
/// let mut cpus: CpuSet = "0-3,8".parse()?;
/// assert_eq!(cpus.count(), 5);
/// cpus.remove(3);
/// assert_eq!(cpus.to_string(), "0-2,8");
/// assert_eq!(cpus.and(&CpuSet::from(2..9)), [2, 8].into_iter().collect());
/// # Ok::<(), wq_core::CpuListError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct CpuSet {
    /// Bit `cpu % 64` of word `cpu / 64` says that `cpu` is in the set.
    words: [u64; WORDS],
}

impl CpuSet {
    /// How many CPU numbers a set can hold: 0 up to 1023.
    pub const MAX_CPUS: usize = 1024;

    /// Makes the empty set.
    ///
    /// ```
    /// assert!(wq_core::CpuSet::new().is_empty());
    /// ```
    pub const fn new() -> CpuSet {
        CpuSet { words: [0; WORDS] }
    }

    /// The set as words, 64 CPUs in each.
    pub(crate) fn words(&self) -> &[u64; WORDS] {
        &self.words
    }

    /// The set of these words.
    pub(crate) fn from_words(words: [u64; WORDS]) -> CpuSet {
        CpuSet { words }
    }

    /// Adds a CPU; says whether it was new.
    ///
    /// # Panics
    ///
    /// If `cpu` is [`MAX_CPUS`](CpuSet::MAX_CPUS) or more.
    ///
    /// ```
    /// let mut cpus = wq_core::CpuSet::new();
    /// assert!(cpus.insert(7));
    /// assert!(!cpus.insert(7));
    /// ```
    pub fn insert(&mut self, cpu: usize) -> bool {
        assert!(
            cpu < CpuSet::MAX_CPUS,
            "a CPU number is at most {}",
            CpuSet::MAX_CPUS - 1
        );
        let new = !self.contains(cpu);
        self.words[cpu / WORD_BITS] |= 1 << (cpu % WORD_BITS);
        new
    }

    /// Takes a CPU out; says whether it was there. A number beyond the end never is.
    ///
    /// ```
    /// let mut cpus = wq_core::CpuSet::from(0..2);
    /// assert!(cpus.remove(1));
    /// assert!(!cpus.remove(1) && !cpus.remove(9999));
    /// ```
    pub fn remove(&mut self, cpu: usize) -> bool {
        let was_there = self.contains(cpu);
        if was_there {
            self.words[cpu / WORD_BITS] &= !(1 << (cpu % WORD_BITS));
        }
        was_there
    }

    /// Says whether a CPU is in the set; false for a number beyond the end.
    ///
    /// ```
    /// assert!(wq_core::CpuSet::from(0..4).contains(3));
    /// ```
    pub fn contains(&self, cpu: usize) -> bool {
        let word = self.words.get(cpu / WORD_BITS).copied().unwrap_or(0);
        word & (1 << (cpu % WORD_BITS)) != 0
    }

    /// The CPUs that are in both sets.
    ///
    /// ```
    /// use wq_core::CpuSet;
    /// assert_eq!(CpuSet::from(0..4).and(&CpuSet::from(2..9)), CpuSet::from(2..4));
    /// ```
    #[must_use]
    pub fn and(&self, other: &CpuSet) -> CpuSet {
        self.zip(other, |a, b| a & b)
    }

    /// The CPUs that are in one of the sets or in both.
    ///
    /// ```
    /// use wq_core::CpuSet;
    /// assert_eq!(CpuSet::from(0..2).or(&CpuSet::from(2..4)), CpuSet::from(0..4));
    /// ```
    #[must_use]
    pub fn or(&self, other: &CpuSet) -> CpuSet {
        self.zip(other, |a, b| a | b)
    }

    /// Says whether no CPU is in the set.
    ///
    /// ```
    /// assert!(!wq_core::CpuSet::from(0..1).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.words == [0; WORDS]
    }

    /// How many CPUs are in the set.
    ///
    /// ```
    /// assert_eq!(wq_core::CpuSet::from(3..10).count(), 7);
    /// ```
    pub fn count(&self) -> usize {
        self.words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// The lowest CPU of the set.
    ///
    /// ```
    /// assert_eq!(wq_core::CpuSet::from(3..10).first(), Some(3));
    /// ```
    pub fn first(&self) -> Option<usize> {
        self.iter().next()
    }

    /// The CPUs of the set, ascending.
    ///
    /// ```
    /// let cpus: wq_core::CpuSet = "8,0-1".parse().unwrap();
    /// assert_eq!(cpus.iter().collect::<Vec<_>>(), [0, 1, 8]);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.words.iter().enumerate().flat_map(|(index, &word)| {
            // Clears the lowest set bit at each step, so that an empty word costs one test.
            let rest = std::iter::successors(Some(word), |&word| Some(word & word.checked_sub(1)?));
            rest.take_while(|&word| word != 0)
                .map(move |word| index * WORD_BITS + word.trailing_zeros() as usize)
        })
    }

    /// Joins two bitmaps word by word.
    fn zip(&self, other: &CpuSet, join: impl Fn(u64, u64) -> u64) -> CpuSet {
        CpuSet {
            words: std::array::from_fn(|index| join(self.words[index], other.words[index])),
        }
    }
}

/// A range of CPUs, its end excluded. Panics if the range goes beyond 1023.
impl From<Range<usize>> for CpuSet {
    fn from(range: Range<usize>) -> CpuSet {
        range.collect()
    }
}

/// Panics if an item is greater than 1023.
impl FromIterator<usize> for CpuSet {
    fn from_iter<I: IntoIterator<Item = usize>>(cpus: I) -> CpuSet {
        let mut set = CpuSet::new();
        for cpu in cpus {
            set.insert(cpu);
        }
        set
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut cpus = self.iter().peekable();
        while let Some(start) = cpus.next() {
            let mut end = start;
            while let Some(next) = cpus.next_if_eq(&(end + 1)) {
                end = next;
            }
            write!(f, "{separator}{start}")?;
            if end > start {
                write!(f, "-{end}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuSet({self})")
    }
}

impl FromStr for CpuSet {
    type Err = CpuListError;

    fn from_str(list: &str) -> Result<CpuSet, CpuListError> {
        let mut set = CpuSet::new();
        if list.trim().is_empty() {
            return Ok(set);
        }
        for part in list.split(',') {
            let part = part.trim();
            insert_part(&mut set, part).map_err(|kind| CpuListError::new(list, part, kind))?;
        }
        Ok(set)
    }
}

/// Adds what one comma-separated part means: `7`, `0-3` or `0-31:2/8`.
fn insert_part(set: &mut CpuSet, part: &str) -> Result<(), Fault> {
    if part.is_empty() {
        return Err(Fault::EmptyPart);
    }
    let Some((start, rest)) = part.split_once('-') else {
        set.insert(cpu_number(part)?);
        return Ok(());
    };
    let (end, stride) = match rest.split_once(':') {
        Some((end, stride)) => (end, Some(stride)),
        None => (rest, None),
    };
    let (start, end) = (cpu_number(start)?, cpu_number(end)?);
    if start > end {
        return Err(Fault::Backwards);
    }
    let (used, group) = stride.map_or(Ok((1, 1)), parse_stride)?;
    for cpu in (start..=end).filter(|cpu| (cpu - start) % group < used) {
        set.insert(cpu);
    }
    Ok(())
}

/// Reads the `used/group` of a strided range.
fn parse_stride(stride: &str) -> Result<(usize, usize), Fault> {
    let (used, group) = stride.split_once('/').ok_or(Fault::Stride)?;
    let (used, group) = (number(used)?, number(group)?);
    if used == 0 || used > group {
        Err(Fault::Stride)
    } else {
        Ok((used, group))
    }
}

/// Reads a CPU number within the limit.
fn cpu_number(text: &str) -> Result<usize, Fault> {
    let cpu = number(text)?;
    if cpu < CpuSet::MAX_CPUS {
        Ok(cpu)
    } else {
        Err(Fault::TooLarge)
    }
}

/// Reads decimal digits and nothing else; the integer parser alone would take a plus sign.
fn number(text: &str) -> Result<usize, Fault> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::NotANumber);
    }
    // Digits only, so that the one possible failure is overflow.
    text.parse().map_err(|_| Fault::TooLarge)
}

/// A text that is not a CPU list: says which part is wrong, why, and what is allowed.
///
/// ```
/// let error = "0-3,x".parse::<wq_core::CpuSet>().unwrap_err();
/// assert!(!error.is_out_of_range());
/// assert!(error.to_string().contains("\"x\" is not a CPU number"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuListError {
    /// The whole text, as the user wrote it.
    list: String,
    /// The part between two commas that is at fault.
    part: String,
    /// What is wrong with `part`.
    fault: Fault,
}

/// What can be wrong with one part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Nothing between two commas, or a comma at an end.
    EmptyPart,
    /// Something else than digits where a number belongs.
    NotANumber,
    /// A number beyond the last CPU a set can hold.
    TooLarge,
    /// A range whose end is below its start.
    Backwards,
    /// A `used/group` suffix that is malformed, or uses none or more than its group.
    Stride,
}

impl CpuListError {
    /// Keeps copies of the texts, so that the error outlives its input.
    fn new(list: &str, part: &str, fault: Fault) -> CpuListError {
        CpuListError {
            list: list.to_owned(),
            part: part.to_owned(),
            fault,
        }
    }

    /// Says whether the list is well formed up to a CPU number that is too large.
    ///
    /// ```
    /// assert!("0-4096".parse::<wq_core::CpuSet>().unwrap_err().is_out_of_range());
    /// ```
    pub fn is_out_of_range(&self) -> bool {
        self.fault == Fault::TooLarge
    }
}

impl fmt::Display for CpuListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CpuListError { list, part, fault } = self;
        write!(f, "invalid CPU list {list:?}: ")?;
        match fault {
            Fault::EmptyPart => write!(f, "nothing between two commas"),
            Fault::NotANumber => write!(f, "{part:?} is not a CPU number or a range of them"),
            Fault::TooLarge => write!(f, "{part:?} goes beyond CPU {}", CpuSet::MAX_CPUS - 1),
            Fault::Backwards => write!(f, "the range {part:?} ends before it starts"),
            Fault::Stride => write!(f, "{part:?} does not end in a stride like \":2/8\""),
        }?;
        let last = CpuSet::MAX_CPUS - 1;
        write!(
            f,
            " (allowed: numbers from 0 to {last} and ranges of them, such as \"0-3,8\")"
        )
    }
}

impl std::error::Error for CpuListError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses a list that the test knows to be good.
    fn cpus(list: &str) -> CpuSet {
        list.parse().expect("the list is well formed")
    }

    /// A small xorshift: the tests need variety and repeatability, not quality.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        /// A set whose CPUs come with a probability of about `density` in 256.
        fn set(&mut self, density: u64) -> CpuSet {
            (0..CpuSet::MAX_CPUS)
                .filter(|_| self.next() % 256 < density)
                .collect()
        }
    }

    /// Goal: the forms the kernel writes are read. Method: lists with their expected members.
    #[test]
    fn kernel_cpulists_are_read() {
        let cases: [(&str, &[usize]); 9] = [
            ("", &[]),
            ("\n", &[]),
            ("0", &[0]),
            ("0-3,8\n", &[0, 1, 2, 3, 8]),
            (" 5 , 2-3", &[2, 3, 5]),
            ("1023", &[1023]),
            ("007,7-7", &[7]),
            ("0-9:2/4", &[0, 1, 4, 5, 8, 9]),
            ("62-65", &[62, 63, 64, 65]),
        ];
        for (list, members) in cases {
            assert_eq!(cpus(list).iter().collect::<Vec<_>>(), members, "{list:?}");
        }
    }

    /// Goal: every kind of bad input is refused for the right reason, naming the bad part and
    /// what is allowed. Method: a table.
    #[test]
    fn bad_lists_are_refused_with_a_reason() {
        let cases = [
            ("0,,2", Fault::EmptyPart, ""),
            (",", Fault::EmptyPart, ""),
            ("0-1,", Fault::EmptyPart, ""),
            ("x", Fault::NotANumber, "x"),
            ("0,0x10", Fault::NotANumber, "0x10"),
            ("+3", Fault::NotANumber, "+3"),
            ("-3", Fault::NotANumber, "-3"),
            ("3-", Fault::NotANumber, "3-"),
            ("1 2", Fault::NotANumber, "1 2"),
            ("1-2-3", Fault::NotANumber, "1-2-3"),
            ("\u{0663}", Fault::NotANumber, "\u{0663}"),
            ("1,1024", Fault::TooLarge, "1024"),
            (
                "0-99999999999999999999999",
                Fault::TooLarge,
                "0-99999999999999999999999",
            ),
            ("3-1", Fault::Backwards, "3-1"),
            ("0-7:2", Fault::Stride, "0-7:2"),
            ("0-7:0/4", Fault::Stride, "0-7:0/4"),
            ("0-7:5/4", Fault::Stride, "0-7:5/4"),
            ("0-7:1/", Fault::NotANumber, "0-7:1/"),
            ("5:1/2", Fault::NotANumber, "5:1/2"),
        ];
        for (list, fault, part) in cases {
            let error = list.parse::<CpuSet>().expect_err(list);
            assert_eq!(
                (error.fault, error.part.as_str()),
                (fault, part),
                "{list:?}"
            );
            assert_eq!(error.is_out_of_range(), fault == Fault::TooLarge);
            let text = error.to_string();
            assert!(text.contains(&format!("{list:?}")), "{text}");
            assert!(
                text.contains("0 to 1023") && text.contains("0-3,8"),
                "{text}"
            );
        }
    }

    /// Goal: text and set say the same. Method: random sets of all densities, there and back.
    #[test]
    fn text_round_trips() {
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        for round in 0..200 {
            let set = random.set(round * 256 / 199);
            assert_eq!(cpus(&set.to_string()), set);
        }
        assert_eq!(CpuSet::from(0..1024).to_string(), "0-1023");
        assert_eq!(format!("{:?}", cpus("1,3-4")), "CpuSet(1,3-4)");
    }

    /// Goal: the bitmap agrees with a model. Method: random changes against a sorted set.
    #[test]
    fn operations_agree_with_a_model() {
        let mut random = Random(42);
        let mut set = CpuSet::new();
        let mut model = std::collections::BTreeSet::new();
        for _ in 0..5_000 {
            let cpu = random.next() as usize % CpuSet::MAX_CPUS;
            match random.next() % 3 {
                0 => assert_eq!(set.remove(cpu), model.remove(&cpu)),
                _ => assert_eq!(set.insert(cpu), model.insert(cpu)),
            }
            assert_eq!(set.first(), model.first().copied());
        }
        assert_eq!(set.count(), model.len());
        assert_eq!(set.is_empty(), model.is_empty());
        assert!(set.iter().eq(model.iter().copied()));
    }

    /// Goal: `and` and `or` are intersection and union. Method: membership of each CPU.
    #[test]
    fn and_is_intersection_or_is_union() {
        let mut random = Random(7);
        let (a, b) = (random.set(100), random.set(100));
        for cpu in 0..CpuSet::MAX_CPUS + 64 {
            assert_eq!(a.and(&b).contains(cpu), a.contains(cpu) && b.contains(cpu));
            assert_eq!(a.or(&b).contains(cpu), a.contains(cpu) || b.contains(cpu));
        }
    }

    /// Goal: a CPU number that cannot be held is a programming error. Method: the first such.
    #[test]
    #[should_panic(expected = "at most 1023")]
    fn cpu_1024_cannot_be_inserted() {
        CpuSet::new().insert(1024);
    }
}
