//! The process's default System: there is one, and whoever comes second is told so.
//!
//! A test binary of its own, since the default belongs to the process.

use wq_core::{System, Workqueue};

/// The first one is installed and used; another one is refused with a typed error that says what
/// to do, and works all the same for who enters it.
#[test]
fn a_second_default_system_is_refused() {
    let first = System::builder().workers(1).name("first").build().unwrap();
    first.install_default().unwrap();
    let second = System::builder().workers(1).name("secnd").build().unwrap();
    let error: wq_core::DefaultSystemError = second.install_default().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the process has a default System already; install yours before anything is spawned, or \
         enter it"
    );
    assert!(first.install_default().is_err(), "once is enough");
    let thread_name = || {
        let queue = Workqueue::unbound("where").build().unwrap();
        let name = || std::thread::current().name().map(str::to_owned);
        queue.spawn_fn(name).wait().unwrap().unwrap()
    };
    assert!(thread_name().starts_with("first/"));
    {
        let _entered = second.enter();
        assert!(thread_name().starts_with("secnd/"));
    }
    assert!(thread_name().starts_with("first/"));
}
