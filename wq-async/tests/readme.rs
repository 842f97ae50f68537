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
