//! The names of the distances at which pools are shared.

#![forbid(unsafe_code)]

use std::fmt;
use std::str::FromStr;

/// How far apart CPUs may be that share a pool of workers.
///
/// The text form is the kernel's: `default`, `cpu`, `smt`, `cache_shard`, `cache`, `numa`,
/// `system`.
///
/// ```
/// use wq_core::AffinityScope;
///
/// let scope: AffinityScope = "cache_shard".parse()?;
/// assert_eq!(scope, AffinityScope::CacheShard);
/// assert_eq!(scope.to_string(), "cache_shard");
/// # Ok::<(), wq_core::AffinityScopeError>(())
/// ```
#[doc(alias = "wq_affn_scope")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AffinityScope {
    /// The System's default ([`System::default_affinity`](crate::System::default_affinity)), looked
    /// up when it is used: changing that moves the queues that have this scope.
    Default,
    /// Each CPU alone.
    Cpu,
    /// The SMT siblings of one core.
    Smt,
    /// A part of a last-level cache of about 8 cores. A cache of n cores has n / 8 parts, rounded
    /// to the nearest number; their sizes differ by one core at most, and no core is split.
    CacheShard,
    /// The CPUs that share a last-level cache.
    Cache,
    /// A NUMA node.
    Numa,
    /// All CPUs.
    System,
}

impl AffinityScope {
    /// All scopes: the default, then from the narrowest to the widest.
    const ALL: [AffinityScope; 7] = [
        AffinityScope::Default,
        AffinityScope::Cpu,
        AffinityScope::Smt,
        AffinityScope::CacheShard,
        AffinityScope::Cache,
        AffinityScope::Numa,
        AffinityScope::System,
    ];

    /// The kernel's name.
    const fn name(self) -> &'static str {
        match self {
            AffinityScope::Default => "default",
            AffinityScope::Cpu => "cpu",
            AffinityScope::Smt => "smt",
            AffinityScope::CacheShard => "cache_shard",
            AffinityScope::Cache => "cache",
            AffinityScope::Numa => "numa",
            AffinityScope::System => "system",
        }
    }
}

impl fmt::Display for AffinityScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for AffinityScope {
    type Err = AffinityScopeError;

    fn from_str(name: &str) -> Result<AffinityScope, AffinityScopeError> {
        // Whole names only: as a prefix, "cache" would also mean "cache_shard".
        let scope = AffinityScope::ALL
            .into_iter()
            .find(|scope| scope.name() == name);
        scope.ok_or_else(|| AffinityScopeError {
            name: name.to_owned(),
        })
    }
}

/// A text that is not the name of an [`AffinityScope`]; its message lists those that are.
///
/// ```
/// let error = "l3".parse::<wq_core::AffinityScope>().unwrap_err();
/// assert!(error.to_string().ends_with("default, cpu, smt, cache_shard, cache, numa, system"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffinityScopeError {
    /// What the user wrote.
    name: String,
}

impl fmt::Display for AffinityScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allowed = AffinityScope::ALL.map(AffinityScope::name).join(", ");
        write!(
            f,
            "unknown affinity scope {:?}; allowed are {allowed}",
            self.name
        )
    }
}

impl std::error::Error for AffinityScopeError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: each scope's name means that scope.
    #[test]
    fn names_round_trip() {
        for scope in AffinityScope::ALL {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
    }

    /// Goal: only exact names are taken, and the refusal teaches them.
    #[test]
    fn other_names_are_refused_with_the_allowed_ones() {
        for name in [
            "",
            "cach",
            "cache_",
            "cache_shards",
            "CPU",
            " cpu",
            "cpu\n",
            "defaults",
        ] {
            let error = name.parse::<AffinityScope>().expect_err(name).to_string();
            assert!(error.contains(&format!("{name:?}")), "{error}");
            for scope in AffinityScope::ALL {
                assert!(error.contains(scope.name()), "{error}");
            }
        }
    }
}
