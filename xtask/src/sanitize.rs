//! `cargo xtask asan` and `tsan`: the stress tests with the compiler's own detectors built in.
//!
//! Models show that a handshake is right; the stress tests under these show that the code around
//! it frees nothing twice, leaks nothing and shares nothing without one.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::{Failure, Outcome};
use crate::process::Cmd;
use crate::source::Source;
use crate::{debian, output};

/// The only target whose runtimes the recipes know.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Where the stress tests stand.
const TESTS: &str = "wq-core/tests";

/// How their names begin.
const PREFIX: &str = "stress_";

/// What ThreadSanitizer needs: a compiler with the sources of its standard library, a runtime of a
/// recent clang, and a symbolizer of the same age.
const PACKAGES: [&str; 4] = ["rustc-web", "rust-web-src", "libclang-rt-19-dev", "llvm-22"];

/// A look at the package database is quick.
const LOOK_LIMIT: Duration = Duration::from_secs(60);

/// Runs the stress tests under AddressSanitizer, which brings LeakSanitizer along.
pub(crate) fn asan(root: &Path) -> Outcome {
    require_stress_tests(root)?;
    require_nightly()?;
    let cmd = tests("asan", "*").env("RUSTFLAGS", "-Zsanitizer=address");
    finish(&cmd.env("ASAN_OPTIONS", "detect_leaks=1"), root)
}

/// Runs the stress tests under ThreadSanitizer, the standard library instrumented too.
pub(crate) fn tsan(root: &Path) -> Outcome {
    require_stress_tests(root)?;
    finish(&tsan_tests("*")?, root)
}

/// The command that runs integration tests of this name under ThreadSanitizer, without a filter.
pub(crate) fn tsan_tests(name: &str) -> Outcome<Cmd> {
    require_nightly()?;
    let tools = Tools::find()?;
    let runtime = tools.runtime.display();
    let folder = tools.runtime.parent().unwrap_or(Path::new("/")).display();
    // The runtime must come before libc in link order: else the first intercepted call is null.
    // The detector does not follow fences; `wq_tsan` lets code offer it an operation that it does.
    let flags = format!(
        "--cfg wq_tsan --cfg wq_hooks -Zsanitizer=thread -Zexternal-clangrt \
         -Zpre-link-args=-Wl,--no-as-needed \
         -Zpre-link-args={runtime} -Clink-arg=-Wl,-rpath,{folder}"
    );
    let symbolizer = format!("external_symbolizer_path={}", tools.symbolizer.display());
    Ok(tests("tsan", name)
        .words("-Zbuild-std")
        .env("RUSTC", tools.compiler.to_string_lossy())
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", flags)
        .env("TSAN_OPTIONS", symbolizer))
}

/// Whether the machine has what ThreadSanitizer needs; installs nothing.
pub(crate) fn tsan_is_there() -> Outcome {
    require_nightly()?;
    Tools::look().map(drop)
}

/// Whether the machine has, or can be given, what ThreadSanitizer needs.
pub(crate) fn tsan_is_possible() -> Outcome {
    Tools::find().map(drop)
}

/// The common part of both: integration tests only, in a target folder of their own.
fn tests(name: &str, test: &str) -> Cmd {
    Cmd::cargo("+nightly test -p wq-core --test")
        .arg(test)
        .arg("--target")
        .words(TARGET)
        .words(&format!("--target-dir target/{name}"))
        // Of the toolchain that runs us: its libraries are not those of the other compiler.
        .without_env("LD_LIBRARY_PATH")
}

/// Adds the filter, shows the command and runs it.
fn finish(cmd: &Cmd, root: &Path) -> Outcome {
    let cmd = cmd.clone().words("--").arg(PREFIX).dir(root);
    output::line(&cmd.to_string());
    cmd.run()
}

/// An error unless there is a stress test: a run of no test proves nothing.
fn require_stress_tests(root: &Path) -> Outcome {
    let folder = root.join(TESTS);
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let has_stress = |path: PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_default();
        Source::new(&text)
            .functions()
            .iter()
            .any(|(name, _)| name.starts_with(PREFIX))
    };
    if entries.map(|entry| entry.path()).any(has_stress) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "no test in {TESTS}/*.rs begins with `{PREFIX}`: nothing to check"
    )))
}

/// An error unless there is a nightly toolchain: sanitizers are not stable yet.
fn require_nightly() -> Outcome {
    let version = Cmd::cargo("+nightly --version").capture(LOOK_LIMIT)?;
    if version.success {
        return Ok(());
    }
    Err(Failure::new(
        "no nightly toolchain: `rustup toolchain install nightly`",
    ))
}

/// The parts of the packages that the recipe needs.
struct Tools {
    /// The compiler whose standard library's sources are there.
    compiler: PathBuf,
    /// The shared library with the detector.
    runtime: PathBuf,
    /// Makes file names and lines of addresses.
    symbolizer: PathBuf,
}

impl Tools {
    /// Finds them; if something is missing and we may, installs the packages first.
    fn find() -> Outcome<Self> {
        match Self::look() {
            Ok(tools) => Ok(tools),
            Err(missing) => {
                debian::install(&PACKAGES)
                    .map_err(|cause| Failure::new(format!("{missing}; {cause}")))?;
                Self::look()
            }
        }
    }

    /// Finds them among the files of the installed packages.
    fn look() -> Outcome<Self> {
        Ok(Self {
            compiler: packaged("rustc-web", "/bin/rustc")?,
            runtime: packaged("libclang-rt-19-dev", "libclang_rt.tsan-x86_64.so")?,
            symbolizer: packaged("llvm-22", "/bin/llvm-symbolizer")?,
        })
    }
}

/// The file of an installed package whose path ends so.
fn packaged(package: &str, ending: &str) -> Outcome<PathBuf> {
    let missing = || {
        Failure::new(format!(
            "no file `..{ending}` of a Debian package {package}"
        ))
    };
    let listed = Cmd::new("dpkg")
        .words("-L")
        .arg(package)
        .capture(LOOK_LIMIT)?;
    let path = listed
        .stdout
        .lines()
        .find(|line| line.ends_with(ending))
        .map(PathBuf::from);
    path.filter(|path| path.exists()).ok_or_else(missing)
}
