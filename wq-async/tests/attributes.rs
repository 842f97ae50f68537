//! What `#[wq::main]` and `#[wq::test]` make of a function. What they say to misuse is tested where
//! they are made, and in the documentation of the attributes.

use std::time::Duration;

/// Another name for the crate, as a user might have given it.
mod renamed {
    pub(super) use wq as queues;
}

/// Says whether the caller is a worker of the System named `wq`.
fn on_a_worker() -> bool {
    std::thread::current()
        .name()
        .is_some_and(|name| name.starts_with("wq/u"))
}

/// The body is a task of a System of its own.
#[wq::test]
async fn the_body_runs_on_a_worker() {
    assert!(on_a_worker());
    assert_eq!(wq::current().name(), "events_unbound");
    assert_eq!(wq::spawn(async { 1 + 1 }).await.unwrap(), 2);
}

/// `workers` is the number of lanes: one lane runs one item at a time.
#[wq::test(workers = 1)]
async fn workers_are_lanes() {
    let handles: Vec<_> = (0..10).map(|n| wq::spawn(async move { n })).collect();
    assert!(
        handles.iter().all(|h| !h.is_finished()),
        "the only lane is here"
    );
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.await.unwrap(), n);
    }
}

/// `cpus` is a list as the kernel writes it; what is beyond the machine is left out.
#[wq::test(cpus = "0-1023", workers = 2)]
async fn cpus_are_a_list() {
    assert!(wq::System::current().topology().cpus() >= 1);
}

/// A local body stays on the test's thread and may hold what cannot be sent.
#[wq::test(local = true)]
async fn a_local_body_need_not_be_send() {
    let text = std::rc::Rc::new("here");
    wq::yield_now().await;
    assert!(!on_a_worker());
    assert!(wq::spawn(async { on_a_worker() }).await.unwrap());
    let inner = std::rc::Rc::clone(&text);
    let task = wq::spawn_local(async move { (on_a_worker(), *inner) });
    assert_eq!(task.await.unwrap(), (false, "here"));
    assert_eq!(*text, "here");
}

/// `local = false` is the default, spelled out.
#[wq::test(local = false)]
async fn not_local_is_the_default() {
    assert!(on_a_worker());
}

/// `crate` names the crate where it was renamed or re-exported.
#[wq::test(crate = "renamed::queues")]
async fn the_crate_may_have_another_name() {
    assert!(on_a_worker());
}

/// All keys at once.
#[wq::test(workers = 2, cpus = "0-1023", local = true, crate = "wq")]
async fn keys_go_together() {
    let local = std::rc::Rc::new(2);
    assert_eq!(wq::spawn(async { 1 + 1 }).await.unwrap(), *local);
}

/// A test may return a result, with an error that cannot be sent.
#[wq::test]
async fn a_test_may_return_a_result() -> Result<(), Box<dyn std::error::Error>> {
    let sum = wq::spawn(async { 1 + 1 }).await?;
    assert_eq!(sum, 2);
    Ok(())
}

/// A local body's result is returned as it is.
#[wq::test(local = true)]
async fn a_local_result_is_returned() -> Result<(), std::rc::Rc<str>> {
    Ok(())
}

/// A panic fails the test with its own message.
#[wq::test]
#[should_panic(expected = "in the body")]
async fn a_panic_fails_the_test() {
    panic!("in the body");
}

/// Attributes and `?` keep working; what was left over is dropped by the shutdown.
#[wq::test]
#[expect(unused_variables, reason = "the attribute must reach the function")]
async fn other_attributes_are_kept() {
    let unused = 1;
    drop(wq::spawn(std::future::pending::<()>()));
    assert!(
        wq::time::timeout(Duration::ZERO, std::future::pending::<()>())
            .await
            .is_err()
    );
}

/// `#[wq::main]` as a program has it, in a module of its own so that `main` is a free name.
mod program {
    /// Returns what a program may return.
    #[wq::main(workers = 2)]
    pub(super) async fn main() -> Result<(), Box<dyn std::error::Error>> {
        assert!(super::on_a_worker());
        let default = wq::System::current();
        assert!(
            default.install_default().is_err(),
            "the attribute has installed it"
        );
        assert_eq!(wq::spawn(async { 2 }).await?, 2);
        Ok(())
    }
}

/// The program installs its System as the process's default. The one test that may do so here.
#[test]
fn main_installs_the_default() {
    assert_eq!(program::main(), std::process::ExitCode::SUCCESS);
}

/// Names that the attributes use themselves, or might: the user's function may have them.
mod names {
    #[wq::test]
    async fn system() -> Result<(), std::io::Error> {
        Ok(())
    }

    #[wq::test(local = true)]
    async fn output() -> Result<(), std::io::Error> {
        Ok(())
    }

    #[cfg(feature = "tokio")]
    #[wq::test(tokio = true)]
    async fn tokio() {}

    #[cfg(feature = "tokio")]
    #[wq::test(tokio = true, local = true)]
    async fn entered() {}
}
