//! The documents say what is true, as far as a program can tell.
//!
//! The table "Coming from tokio" of the README: each cell of the right-hand column is used here, so
//! that it compiles and does what it says. The programs of the README are doc tests of `lib.rs`.

use std::time::Duration;

use wq::{System, Workqueue};

/// The page.
const README: &str = include_str!("../../README.md");

/// This file.
const HERE: &str = include_str!("readme.rs");

/// What the table promises, in its order. The spellings are those of the table.
#[wq::test(workers = 4)]
async fn the_right_hand_column_works() -> Result<(), Box<dyn std::error::Error>> {
    let f = async { 1 };
    assert_eq!(wq::spawn(f).await?, 1);
    let f = || 2;
    assert_eq!(wq::spawn_fn(f).await?, 2);
    assert_eq!(wq::blocking(f), 2);
    let f = async { 3 };
    assert_eq!(wq::block_on(f), 3);
    let queue = Workqueue::unbound("n").max_active(8).build()?;
    let ordered = Workqueue::ordered("n").build()?;
    drop((queue.spawn(async {}), ordered.spawn(async {})));
    assert_eq!(wq::flush(&queue).await?.completed, 1);
    let handle = wq::spawn(std::future::pending::<()>());
    handle.abort();
    drop(handle.abort_on_drop());
    wq::yield_now().await;
    wq::time::sleep(Duration::ZERO).await;
    use wq::time::{interval, timeout};
    assert_eq!(timeout(Duration::from_secs(60), async { 4 }).await?, 4);
    interval(Duration::from_secs(60)).tick().await;
    let (send, receive) = tokio::sync::oneshot::channel();
    drop(wq::spawn(async { send.send(5) }));
    assert_eq!(receive.await?, 5);
    assert!(std::fs::metadata("Cargo.toml").is_ok());
    assert!(async_net::TcpListener::bind("127.0.0.1:0").await.is_ok());
    futures::executor::LocalPool::new().run();
    Ok(())
}

/// The same of groups, permits, names and tasks that stay on their thread.
#[wq::test(workers = 2)]
async fn the_right_hand_column_works_on() -> Result<(), Box<dyn std::error::Error>> {
    let queue = Workqueue::unbound("n").max_pending(100).build()?;
    let permit = queue.reserve().await?;
    assert_eq!(permit.spawn(async { 6 }).await?, 6);
    let named = queue.builder().name("n").spawn(async { wq::task::id() });
    let id = named.id();
    assert_eq!(named.await?, id);
    let mut group = wq::TaskGroup::new();
    group.spawn(async { 7 });
    assert!(matches!(group.join_next().await, Some(Ok(7))));
    let mut borrowed = 0;
    wq::scope(|s| {
        s.spawn_fn(|| borrowed = 8);
    });
    assert_eq!(borrowed, 8);
    assert!(!System::current().dump().to_string().is_empty());
    let local = wq::spawn_fn(|| {
        wq::LocalSet::new().block_on(async {
            let it = std::rc::Rc::new(9);
            wq::spawn_local(async move { *it }).await.unwrap()
        })
    });
    assert_eq!(local.await?, 9);
    Ok(())
}

/// The same of sockets, which are Linux's.
#[cfg(all(target_os = "linux", not(wq_portable)))]
#[wq::test]
async fn sockets_of_the_right_hand_column_work() -> std::io::Result<()> {
    let listener = wq::net::TcpListener::bind("127.0.0.1:0").await?;
    assert!(listener.local_addr()?.port() > 0);
    let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
    drop(wq::io::Async::new(ours)?);
    Ok(())
}

/// The same of signals and children.
#[cfg(all(target_os = "linux", not(wq_portable)))]
#[wq::test]
async fn signals_and_children_of_the_right_hand_column_work() -> std::io::Result<()> {
    let asked = wq::signal::ctrl_c();
    nix::sys::signal::raise(nix::sys::signal::Signal::SIGINT)?;
    wq::time::timeout(Duration::from_secs(60), asked).await??;
    let status = wq::process::Command::new("true").status().await?;
    assert!(status.success());
    Ok(())
}

/// The two attributes of the table.
mod attributes {
    #[wq::test(local = true)]
    async fn local() {
        let it = std::rc::Rc::new("here");
        wq::yield_now().await;
        assert_eq!(*it, "here");
    }
}

/// The report of the table's last row.
#[test]
fn a_shutdown_reports() {
    let system = System::builder().workers(2).build().unwrap();
    system.default_queue().spawn(async {}).wait().unwrap();
    let d = Duration::from_secs(1);
    assert_eq!(system.shutdown(d).completed, 1);
}

/// Every name in the right-hand column is used above.
#[test]
fn the_table_says_what_is_tested() {
    let rows = README
        .lines()
        .skip_while(|line| !line.starts_with("| there | here |"))
        .skip(2);
    let mut cells = 0;
    for row in rows.take_while(|line| line.starts_with('|')) {
        let here = row.split('|').nth(2).expect("three columns");
        for code in here.split('`').skip(1).step_by(2) {
            let name = code.split('(').next().expect("a name");
            let name = name.trim_start_matches("#[").trim_start_matches("System::");
            let name = name.trim_start_matches("handle").replace("main", "test");
            assert!(
                HERE.contains(&name),
                "the README names `{code}`, which no test uses"
            );
            cells += 1;
        }
    }
    assert!(cells > 15, "the table was not found");
}

/// All Rust files below a directory of the repository, as one text.
fn sources_below(directory: &std::path::Path, into: &mut String) {
    for entry in std::fs::read_dir(directory).expect("a directory of this repository") {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources_below(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// Every test that a document names exists. Names of tests have an underscore and stand between
/// backticks: in the last column of a table, or after "Test:" or "Tests:".
#[test]
fn the_tests_that_documents_name_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut sources = String::new();
    ["wq-core", "wq-async/tests", "wq-async/src", "examples"]
        .iter()
        .for_each(|directory| sources_below(&root.join(directory), &mut sources));
    let is_name = |word: &&str| word.contains('_') && !word.contains(['/', ':', '(', '.']);
    let mut names = 0;
    let pages = [
        ("semantics.md", true),
        ("divergences.md", false),
        ("libraries.md", true),
    ];
    for (page, is_table) in pages {
        let text = std::fs::read_to_string(root.join("docs").join(page)).unwrap();
        let places: Vec<&str> = if is_table {
            let rows = text.lines().filter(|line| line.starts_with('|'));
            rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next())
                .collect()
        } else {
            let parts = text.split("Test").skip(1);
            parts
                .map(|part| part.split("\n\n").next().unwrap_or(part))
                .collect()
        };
        for place in places {
            for name in place.split('`').skip(1).step_by(2).filter(is_name) {
                let is_there = sources.contains(&format!("fn {name}("));
                assert!(
                    is_there,
                    "docs/{page} names the test `{name}`, which does not exist"
                );
                names += 1;
            }
        }
    }
    assert!(names > 80, "only {names} names of tests were found");
}
