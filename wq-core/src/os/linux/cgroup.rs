//! The CPU quota: how many CPUs' worth of time the process's control groups grant it.
//!
//! A quota of any group on the way from the mount point to the process's own group binds, so
//! the answer is the least of them. Version 2 (`cpu.max`) and version 1 (`cpu.cfs_quota_us`)
//! are both read, for a machine may have both. A group that is not visible from here (another
//! namespace's) counts as unlimited; nothing here fails.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// CPUs' worth of quota of this process, `None` if it is unlimited.
pub(crate) fn cgroup_cpu_quota() -> Option<f64> {
    quota_in(Path::new("/"))
}

/// The same for a file tree below `root`, which holds `proc/self/cgroup`,
/// `proc/self/mountinfo` and what is mounted according to it.
fn quota_in(root: &Path) -> Option<f64> {
    let groups = read_text(&root.join("proc/self/cgroup"))?;
    let mounts = read_text(&root.join("proc/self/mountinfo"))?;
    let mounts: Vec<Mount> = mounts.lines().filter_map(Mount::parse).collect();
    let quotas = groups
        .lines()
        .filter_map(Membership::parse)
        .filter_map(|group| {
            let mount = mounts.iter().find(|mount| mount.version == group.version)?;
            least_quota(root, mount, &group.path)
        });
    quotas.reduce(f64::min)
}

/// Which of the two control group interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// A hierarchy per controller; here always the one of the CPU controller.
    One,
    /// The unified hierarchy.
    Two,
}

impl Version {
    /// The quota that a group's own directory states.
    fn quota_of(self, group: &Path) -> Option<f64> {
        let (quota, period) = match self {
            Version::One => (
                read_text(&group.join("cpu.cfs_quota_us"))?,
                read_text(&group.join("cpu.cfs_period_us"))?,
            ),
            Version::Two => {
                let limit = read_text(&group.join("cpu.max"))?;
                let (quota, period) = limit.trim().split_once(' ')?;
                (quota.to_owned(), period.to_owned())
            }
        };
        // Unlimited is "max" in version 2, which is no number, and -1 in version 1.
        let quota: f64 = quota.trim().parse().ok()?;
        let period: f64 = period.trim().parse().ok()?;
        (quota > 0.0 && period > 0.0).then_some(quota / period)
    }
}

/// A line of `/proc/self/cgroup` that matters for the CPU quota.
struct Membership {
    /// Which interface the line is about.
    version: Version,
    /// The process's group, as a path in the hierarchy.
    path: PathBuf,
}

impl Membership {
    /// Reads `ID:CONTROLLERS:PATH`, where version 2 has no controllers.
    fn parse(line: &str) -> Option<Membership> {
        let mut fields = line.splitn(3, ':');
        let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let version = if id == "0" && controllers.is_empty() {
            Version::Two
        } else {
            controllers
                .split(',')
                .find(|&name| name == "cpu")
                .map(|_| Version::One)?
        };
        Some(Membership {
            version,
            path: PathBuf::from(path),
        })
    }
}

/// A mounted hierarchy that has, or may have, the CPU controller.
struct Mount {
    /// Which interface it shows.
    version: Version,
    /// The group that is seen at the mount point.
    group: PathBuf,
    /// Where it is mounted.
    point: PathBuf,
}

impl Mount {
    /// Reads `ID PARENT DEVICE ROOT POINT OPTIONS [TAGS..] - TYPE SOURCE SUPER_OPTIONS`.
    fn parse(line: &str) -> Option<Mount> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (group, point) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let (kind, _source, options) = (after.next()?, after.next()?, after.next()?);
        let version = match kind {
            "cgroup2" => Version::Two,
            "cgroup" if options.split(',').any(|option| option == "cpu") => Version::One,
            _ => return None,
        };
        Some(Mount {
            version,
            group: unescape(group),
            point: unescape(point),
        })
    }
}

/// The least quota between a mount point and a group below it.
fn least_quota(root: &Path, mount: &Mount, group: &Path) -> Option<f64> {
    // A group outside of what is mounted: the limits at the mount point are all we can see.
    let below = group.strip_prefix(&mount.group).unwrap_or(Path::new(""));
    let top = root.join(mount.point.strip_prefix("/").ok()?);
    let mut groups = vec![top];
    for component in below.components() {
        // A path that leads upwards leaves our namespace.
        let Component::Normal(name) = component else {
            break;
        };
        groups.push(groups[groups.len() - 1].join(name));
    }
    groups
        .iter()
        .filter_map(|group| mount.version.quota_of(group))
        .reduce(f64::min)
}

/// Undoes the octal escapes (`\040` for a space) of mountinfo.
fn unescape(field: &str) -> PathBuf {
    let mut parts = field.split('\\');
    let mut path = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                path.push(char::from(code));
                path.push_str(&part[3..]);
            }
            None => {
                path.push('\\');
                path.push_str(part);
            }
        }
    }
    PathBuf::from(path)
}

/// A whole small file; bytes that are not text cannot spoil the lines around them.
fn read_text(path: &Path) -> Option<String> {
    fs::read(path)
        .ok()
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file tree in the temporary directory, removed at the end.
    struct Tree(PathBuf);

    impl Tree {
        /// Writes the files, whose paths are relative to the tree's root.
        fn new(name: &str, files: &[(&str, &str)]) -> Tree {
            let root = std::env::temp_dir().join(format!("wq-{name}-{}", std::process::id()));
            let tree = Tree(root);
            for (path, text) in files {
                let path = tree.0.join(path);
                fs::create_dir_all(path.parent().expect("a file in a directory")).unwrap();
                fs::write(path, text).unwrap();
            }
            tree
        }

        /// The quota that the tree's files mean.
        fn quota(&self) -> Option<f64> {
            quota_in(&self.0)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// The mount line of a usual version 2 machine.
    const V2: &str = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

    /// Goal: of the quotas on the way to our group, the least binds, also a parent's.
    #[test]
    fn least_quota_of_group_and_parents_binds() {
        let tree = Tree::new(
            "cgroup-v2",
            &[
                ("proc/self/cgroup", "0::/a.slice/b.service\n"),
                ("proc/self/mountinfo", V2),
                ("sys/fs/cgroup/a.slice/cpu.max", "150000 100000\n"),
                ("sys/fs/cgroup/a.slice/b.service/cpu.max", "400000 100000\n"),
                ("sys/fs/cgroup/a.slice/other/cpu.max", "1000 100000\n"),
            ],
        );
        assert_eq!(tree.quota(), Some(1.5));
    }

    /// Goal: "max" and a missing file are no limit.
    #[test]
    fn max_means_unlimited() {
        let tree = Tree::new(
            "cgroup-max",
            &[
                ("proc/self/cgroup", "0::/a/b\n"),
                ("proc/self/mountinfo", V2),
                ("sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
            ],
        );
        assert_eq!(tree.quota(), None);
    }

    /// Goal: version 1 in a container, where the mount shows the container's group as its root,
    /// at a path with a space; a hybrid machine's empty version 2 does not get in the way.
    #[test]
    fn version_1_in_a_container_is_read() {
        let tree = Tree::new(
            "cgroup-v1",
            &[
                (
                    "proc/self/cgroup",
                    "9:cpuset:/docker/x\n4:cpu,cpuacct:/docker/x/in\n1:name=systemd:/\n0::/\n",
                ),
                (
                    "proc/self/mountinfo",
                    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                     32 31 0:29 /docker/x /cg/my\\040cpu rw master:3 - cgroup none rw,cpuacct,cpu\n\
                     33 31 0:30 /docker/x /cg/cpuset rw - cgroup cgroup rw,cpuset\n\
                     41 31 0:38 / /cg/unified rw - cgroup2 cgroup2 rw\n",
                ),
                ("cg/my cpu/cpu.cfs_quota_us", "-1\n"),
                ("cg/my cpu/cpu.cfs_period_us", "100000\n"),
                ("cg/my cpu/in/cpu.cfs_quota_us", "50000\n"),
                ("cg/my cpu/in/cpu.cfs_period_us", "20000\n"),
            ],
        );
        assert_eq!(tree.quota(), Some(2.5));
    }

    /// Goal: a group that is outside of the mounted part still obeys the mount point's limit.
    #[test]
    fn group_outside_of_the_mount_sees_the_mount_points_limit() {
        let tree = Tree::new(
            "cgroup-outside",
            &[
                ("proc/self/cgroup", "0::/../elsewhere\n"),
                ("proc/self/mountinfo", V2),
                ("sys/fs/cgroup/cpu.max", "50000 100000\n"),
                ("sys/fs/cgroup/elsewhere/cpu.max", "1000 100000\n"),
            ],
        );
        assert_eq!(tree.quota(), Some(0.5));
    }

    /// Goal: no tree, empty files and nonsense are "unlimited", never a failure.
    #[test]
    fn nonsense_is_unlimited() {
        assert_eq!(quota_in(Path::new("/nonexistent/wq")), None);
        let tree = Tree::new(
            "cgroup-nonsense",
            &[
                ("proc/self/cgroup", "\n:\n0::\n0::/a\nx:cpu:/a\n"),
                (
                    "proc/self/mountinfo",
                    "a b\n1 2 3 - cgroup2\n - - -\n30 24 0:26 / /c rw - cgroup2 a b\n",
                ),
                ("c/cpu.max", "-5 x\n"),
                ("c/a/cpu.max", "100000 0\n"),
            ],
        );
        assert_eq!(tree.quota(), None);
    }

    /// Goal: the escapes of mountinfo are undone, and a lone backslash survives.
    #[test]
    fn octal_escapes_are_undone() {
        assert_eq!(unescape("/a\\040b\\134c"), PathBuf::from("/a b\\c"));
        assert_eq!(unescape("/a\\9"), PathBuf::from("/a\\9"));
    }
}
