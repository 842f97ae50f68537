//! What `callgrind` writes: the cost of each function, and the calls that it made.
//!
//! Read is the plain form (no compression of names or positions). A line of numbers behind a
//! `calls=` line is what the calls cost inside, which stands with the callee too; each other one is
//! a cost of the function and the object whose names came last.

/// How functions that allocate are called by those who want memory.
const ALLOCATORS: [&str; 5] = [
    "malloc",
    "calloc",
    "realloc",
    "posix_memalign",
    "aligned_alloc",
];

/// What a thread did between two marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Profile {
    /// Instructions of the program's own code.
    pub(super) own: u64,
    /// Those of everything else: the C library.
    pub(super) other: u64,
    /// Calls for memory that the program's own code made.
    pub(super) allocations: u64,
}

impl Profile {
    /// Reads one dump; `program` is the object whose code is our own.
    pub(super) fn parse(text: &str, program: &str) -> Self {
        let mut profile = Self::default();
        let (mut is_own, mut allocates, mut inside_call) = (false, false, false);
        for line in text.lines() {
            if let Some(object) = line.strip_prefix("ob=") {
                is_own = object == program;
            } else if let Some(callee) = line.strip_prefix("cfn=") {
                allocates = is_own && ALLOCATORS.contains(&callee);
            } else if let Some(calls) = line.strip_prefix("calls=") {
                let count = calls.split(' ').next().and_then(|it| it.parse().ok());
                profile.allocations += count.filter(|_| allocates).unwrap_or(0);
                inside_call = true;
            } else if let Some(cost) = cost_of(line) {
                match (inside_call, is_own) {
                    (true, _) => inside_call = false,
                    (false, true) => profile.own += cost,
                    (false, false) => profile.other += cost,
                }
            }
        }
        profile
    }
}

/// The cost on a line of numbers: behind the position, which is absolute or relative.
fn cost_of(line: &str) -> Option<u64> {
    let is_position = |first: char| first.is_ascii_digit() || "+-*".contains(first);
    line.starts_with(is_position).then_some(())?;
    // A line whose cost is nothing has a position alone.
    let cost = line.split(' ').nth(1).unwrap_or("0");
    cost.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Own and other code are told apart by the object; what is inside a call is counted once.
    #[test]
    fn costs_belong_to_objects_and_calls_are_counted_once() {
        let text = "# callgrind format\npositions: line\nsummary: 99\n\nob=/t/p\nfn=spawn\n0 7\n\
                    cob=/lib/libc.so\ncfn=malloc\ncalls=3 0\n0 50\n+1 2\ncfn=poll\ncalls=1 0\n* 5\n\
                    \nob=/lib/libc.so\nfn=malloc\n0 50\n5\ncfn=malloc\ncalls=9 0\n0 1\n";
        let expected = Profile {
            own: 9,
            other: 50,
            allocations: 3,
        };
        assert_eq!(Profile::parse(text, "/t/p"), expected);
    }
}
