//! The attributes of wq: `#[wq::main]` and `#[wq::test]`. No runtime logic lives here.
//!
//! Depend on `wq-async`, which re-exports both; what they expand to names its items.

#![forbid(unsafe_code)]

mod entry;

use proc_macro::TokenStream;

/// Runs an `async fn main` as a task of a System, which becomes the process's default and is shut
/// down, with a second of grace, when `main` returns.
///
/// Keys, all optional:
/// - `workers = 4`: lanes of the default queue, which is how many of its items are polled at a time
///   while none blocks. Default: the CPUs, at most the container's quota.
/// - `cpus = "0-3"`: the CPUs to use, as the kernel writes lists. Default: all that the process may
///   use.
/// - `local = true`: poll the body on the main thread instead of on a worker. It may then hold what
///   is not `Send`, and use `wq::spawn_local`: it runs in a `wq::LocalSet`, which is dropped when
///   it returns.
/// - `tokio = true`: a tokio context for all tasks, and for the body; needs wq's feature `tokio`.
///   See `wq::tokio`.
/// - `crate = "path"`: where `wq` is found, if it was renamed or re-exported. Default: `"::wq"`.
///
/// What `main` returns is reported as the standard library does for a plain `main`: an `Err` is
/// printed and makes the exit code 1. The error need not be `Send`.
///
/// # Panics
/// The program ends with a panic if the machine refuses the threads of a System, if there is a
/// default System already (something was spawned before), or if the body panics.
#[proc_macro_attribute]
pub fn main(args: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand(args.into(), item.into(), entry::Kind::Main).into()
}

/// Runs an `async fn` as a test, on a System of its own that is shut down when it returns.
///
/// Keys as for `#[wq::main]`, and `start_paused = true`: the clock stands still, and goes on when
/// nothing else does; needs wq's feature `test-util`. See `wq::time::pause`. Other attributes
/// (`#[should_panic]`, `#[ignore]`) work as usual. Tasks that the test leaves behind get a second
/// to end and are then dropped.
///
/// # Panics
/// The test fails if its body panics or returns an error, or if the machine refuses the threads.
#[proc_macro_attribute]
pub fn test(args: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand(args.into(), item.into(), entry::Kind::Test).into()
}
