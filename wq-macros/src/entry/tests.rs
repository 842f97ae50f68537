//! What the attributes say to misuse, and where.

use proc_macro2::TokenStream;

use super::{Kind, expand, try_expand};

/// The complaint about `#[wq::main(ARGS)] ITEM` (or `test`), and the text that it points at.
fn complaint(kind: Kind, args: &str, item: &str) -> (String, String) {
    let parse = |text: &str| text.parse::<TokenStream>().expect("tokens");
    let Err(error) = try_expand(parse(args), parse(item), kind) else {
        panic!("`{args}` on `{item}` is accepted");
    };
    (
        error.to_string(),
        error.span().source_text().unwrap_or_default(),
    )
}

/// Asserts that the complaint has these words and points at this text.
#[track_caller]
fn assert_complaint(kind: Kind, args: &str, item: &str, words: &str, place: &str) {
    let (said, at) = complaint(kind, args, item);
    assert!(said.contains(words), "it says \"{said}\"");
    assert_eq!(at, place, "it points at the wrong place (\"{said}\")");
}

/// Each wrong key is named, at its place.
#[test]
fn keys_are_checked() {
    let main = "async fn main() {}";
    let assert = |args, words, place| assert_complaint(Kind::Main, args, main, words, place);
    assert(
        "flavor = \"multi_thread\"",
        "unknown key `flavor`; allowed are `workers`, `cpus`, `local`, `tokio`, `start_paused`, \
         `crate`",
        "flavor",
    );
    assert(
        "workers = 1, workers = 2",
        "the key `workers` is given twice",
        "workers",
    );
    assert("workers = \"two\"", "expected integer literal", "\"two\"");
    assert("cpus = 2", "expected string literal", "2");
    assert("local = 1", "expected boolean literal", "1");
    assert("tokio = 1", "expected boolean literal", "1");
    assert("start_paused = 1", "expected boolean literal", "1");
    assert(
        "start_paused = true",
        "`start_paused` belongs to #[wq::test]",
        "true",
    );
    assert("crate = wq", "expected string literal", "wq");
    assert(
        "crate = \"not a path\"",
        "unexpected token",
        "\"not a path\"",
    );
    assert("workers", "expected `=`", "");
    assert("workers = 1 cpus = \"0\"", "expected `,`", "cpus");
}

/// Functions that cannot be an entry are refused, with what is wanted.
#[test]
fn functions_are_checked() {
    let assert = |item, words, place| assert_complaint(Kind::Main, "", item, words, place);
    assert("fn main() {}", "#[wq::main] wants an `async fn`", "fn");
    assert("async fn main(n: u8) {}", "without arguments", "n: u8");
    assert("async fn main<T>() {}", "without type parameters", "<T>");
    assert(
        "async fn serve() {}",
        "for other functions use `wq::run`",
        "serve",
    );
    assert("struct Main;", "expected `fn`", "struct");
    let assert = |item, words, place| assert_complaint(Kind::Test, "", item, words, place);
    assert("fn adds() {}", "#[wq::test] wants an `async fn`", "fn");
    assert(
        "async fn adds(n: u8) {}",
        "#[wq::test] wants a function without arguments",
        "n: u8",
    );
}

/// A complaint keeps the function, inside one that the compiler accepts as `main`.
#[test]
fn complaints_come_alone() {
    let item: TokenStream = "async fn main() { work().await }".parse().unwrap();
    let expanded = expand("wrong = 1".parse().unwrap(), item, Kind::Main).to_string();
    let expanded: syn::File = syn::parse_str(&expanded).expect("items");
    let [_, syn::Item::Fn(outer)] = expanded.items.as_slice() else {
        panic!("an error and a function were expected");
    };
    assert!(outer.sig.asyncness.is_none() && outer.sig.ident == "main");
}
