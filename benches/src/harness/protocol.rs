//! The lines between parent and child.
//!
//! The child says `ready` once it is warm. The parent says `run`; the child measures one round
//! and answers with [`Round::encode`]'s line. The end of the child's standard input ends it.

/// The child's first line.
pub(crate) const READY: &str = "ready";
/// The parent's only request.
pub(crate) const RUN: &str = "run";

/// What a child measured in one round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Round {
    /// Operations, or samples of lateness.
    pub(crate) ops: u64,
    /// Time on the wall.
    pub(crate) wall_ns: u64,
    /// CPU time of the child's process.
    pub(crate) cpu_ns: u64,
    /// Most threads seen so far.
    pub(crate) threads: u64,
    /// Only in cases about lateness.
    pub(crate) lateness: Option<Lateness>,
}

/// How late things were.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lateness {
    /// 99th percentile of this round alone; rounds are paired by it.
    pub(crate) round_p99_ns: u64,
    /// Median of all rounds so far.
    pub(crate) p50_ns: u64,
    /// 99th percentile of all rounds so far.
    pub(crate) p99_ns: u64,
    /// 99.9th percentile of all rounds so far.
    pub(crate) p999_ns: u64,
    /// Largest of all rounds so far.
    pub(crate) max_ns: u64,
    /// Thousandths of what else the case did in a second of this round: naps, burns, ticks.
    pub(crate) millirate: u64,
}

impl Round {
    /// The figure that rows are compared by: ns for each operation, or the round's p99.
    pub(crate) fn figure(&self) -> f64 {
        match self.lateness {
            Some(lateness) => lateness.round_p99_ns as f64,
            None => self.wall_ns as f64 / self.ops as f64,
        }
    }

    /// The round as a line of numbers.
    pub(crate) fn encode(&self) -> String {
        let mut line = format!(
            "round {} {} {} {}",
            self.ops, self.wall_ns, self.cpu_ns, self.threads
        );
        if let Some(l) = self.lateness {
            let all = [
                l.round_p99_ns,
                l.p50_ns,
                l.p99_ns,
                l.p999_ns,
                l.max_ns,
                l.millirate,
            ];
            all.iter().for_each(|number| line += &format!(" {number}"));
        }
        line
    }

    /// Reads the line back.
    pub(crate) fn decode(line: &str) -> Result<Self, String> {
        let wrong = || format!("the child answered `{line}`");
        let words = line.strip_prefix("round ").ok_or_else(wrong)?;
        let numbers: Result<Vec<u64>, _> = words.split(' ').map(str::parse).collect();
        let numbers = numbers.map_err(|_| wrong())?;
        let lateness = match numbers[..] {
            [_, _, _, _] => None,
            [
                _,
                _,
                _,
                _,
                round_p99_ns,
                p50_ns,
                p99_ns,
                p999_ns,
                max_ns,
                millirate,
            ] => Some(Lateness {
                round_p99_ns,
                p50_ns,
                p99_ns,
                p999_ns,
                max_ns,
                millirate,
            }),
            _ => return Err(wrong()),
        };
        let (ops, wall_ns, cpu_ns, threads) = (numbers[0], numbers[1], numbers[2], numbers[3]);
        if ops == 0 {
            Err(wrong())
        } else {
            Ok(Self {
                ops,
                wall_ns,
                cpu_ns,
                threads,
                lateness,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both kinds of round come back as they went.
    #[test]
    fn rounds_survive_the_line() {
        let plain = Round {
            ops: 10,
            wall_ns: 1200,
            cpu_ns: 2300,
            threads: 4,
            lateness: None,
        };
        assert_eq!(Round::decode(&plain.encode()), Ok(plain));
        let lateness = Lateness {
            round_p99_ns: 1,
            p50_ns: 2,
            p99_ns: 3,
            p999_ns: 4,
            max_ns: 5,
            millirate: 6,
        };
        let late = Round {
            lateness: Some(lateness),
            ..plain
        };
        assert_eq!(Round::decode(&late.encode()), Ok(late));
        assert_eq!((plain.figure(), late.figure()), (120.0, 1.0));
    }

    /// Anything else is refused and quoted.
    #[test]
    fn other_lines_are_refused() {
        for line in [
            "",
            "round",
            "round 1 2 3",
            "round 1 2 3 x",
            "round 0 2 3 4",
            "hello",
        ] {
            let told = Round::decode(line).expect_err("the line is wrong");
            assert!(told.contains(line), "{told}");
        }
    }
}
