//! The attributes of wq: `#[wq::main]` and `#[wq::test]`. No runtime logic lives here.

mod entry;

use proc_macro::TokenStream;

/// Runs an `async fn main` as a task of a System, which becomes the process's default and is shut
/// down (with a second of grace) when `main` returns.
///
/// Keys, all optional: `workers = 4` (lanes), `cpus = "0-3"`, `crate = "wq"` (the path of the
/// crate, if it was renamed). The body must be `Send`, since it runs on a worker; with
/// `local = true` it is polled on the main thread instead and may hold what is not.
///
/// ```ignore
/// #[wq::main(workers = 2)]
/// async fn main() {
///     println!("{}", wq::spawn(async { 1 + 1 }).await.unwrap());
/// }
/// ```
#[proc_macro_attribute]
pub fn main(args: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand(args.into(), item.into(), entry::Kind::Main).into()
}

/// Runs an `async fn` as a test, on a System of its own. Keys as for [`macro@main`].
///
/// ```ignore
/// #[wq::test]
/// async fn adds() {
///     assert_eq!(wq::spawn(async { 1 + 1 }).await.unwrap(), 2);
/// }
/// ```
#[proc_macro_attribute]
pub fn test(args: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand(args.into(), item.into(), entry::Kind::Test).into()
}
