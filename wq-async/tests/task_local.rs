//! Values that belong to tasks, wherever these run.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::mpsc;

use futures::FutureExt;
use futures::future::join;
use wq::{LocalSet, System, yield_now};

wq::task_local! {
    static NUMBER: u32;
    /// With a destructor, and not `Sync`.
    static NAME: RefCell<String>;
}
wq::task_local!(static LAST: u8);

/// Goal: tasks that change workers, share them, and suspend keep their own values. Method: hundreds
/// on a few lanes, some of which lose theirs in between.
#[test]
fn each_task_has_its_value() {
    let system = System::builder().workers(3).build().unwrap();
    system.run(async {
        let tasks: Vec<_> = (0..300u32)
            .map(|n| {
                let body = async move {
                    for round in 0..20 {
                        assert_eq!(NUMBER.get(), n);
                        NAME.with(|name| name.borrow_mut().push('x'));
                        if round % 7 == 6 {
                            std::thread::yield_now();
                        }
                        yield_now().await;
                    }
                    NAME.with(|name| name.borrow().len())
                };
                let named = NAME.scope(RefCell::default(), body);
                wq::spawn(NUMBER.scope(n, named))
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), 20);
        }
        assert!(NUMBER.try_with(|_| ()).is_err(), "it stayed on a worker");
    });
}

/// Scopes nest, in futures and in closures; what is spawned inside inherits nothing.
#[wq::test(workers = 2)]
async fn scopes_nest() {
    let inner = async {
        let seen = NUMBER.scope(2, async { NUMBER.get() }).await;
        let spawned = wq::spawn(async { NUMBER.try_with(|n| *n).is_err() });
        assert!(spawned.await.unwrap());
        let blocked = wq::block_on(NUMBER.scope(3, async { NUMBER.get() }));
        let closure = NUMBER.sync_scope(4, || NUMBER.get());
        (NUMBER.get(), seen, blocked, closure)
    };
    assert_eq!(NUMBER.scope(1, inner).await, (1, 2, 3, 4));
    // Two futures of one task that take turns.
    let turn = |n| {
        NUMBER.scope(n, async move {
            for _ in 0..10 {
                assert_eq!(NUMBER.get(), n);
                yield_now().await;
            }
        })
    };
    join(turn(5), turn(6)).await;
    assert_eq!(LAST.sync_scope(7, || LAST.get()), 7);
}

/// What is no task of its own has the value of the place where it is polled: that is so for a set's
/// tasks, also those from outside of the scope.
#[test]
fn a_local_set_has_the_value_of_where_it_runs() {
    let set = LocalSet::new();
    let before = set.spawn_local(async { NUMBER.try_get() });
    let inside = NUMBER.scope(1, async {
        let spawned = wq::spawn_local(async { NUMBER.try_get() });
        (before.await.unwrap(), spawned.await.unwrap())
    });
    // The scope is around the future alone, not around the set: its tasks are polled beside it.
    let (before, spawned) = set.block_on(inside);
    assert!(before.is_err() && spawned.is_err());
    let task = set.spawn_local(async { NUMBER.try_get() });
    let run = set.run_until(task);
    assert_eq!(wq::block_on(NUMBER.scope(2, run)).unwrap(), Ok(2));
}

/// Goal: values are cloned, not moved. Method: one that is no `Copy`.
#[test]
fn a_value_is_cloned() {
    wq::task_local!(static TITLE: String);
    assert!(TITLE.try_get().is_err());
    let twice = || (TITLE.get(), TITLE.try_get());
    let (one, other) = TITLE.sync_scope("x".to_owned(), twice);
    assert_eq!((one.as_str(), other.as_deref()), ("x", Ok("x")));
}

/// Notes what value there is when it is dropped.
struct Witness(mpsc::Sender<Option<u32>>);

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.0.send(NUMBER.try_with(|n| *n).ok());
    }
}

/// Goal: destructors see the value, however the future ends. Method: a witness in one that ends,
/// one that is dropped half-way, one that was never polled, one that panics.
#[test]
fn destructors_see_the_value() {
    let (saw, seen) = mpsc::channel();
    let system = System::builder().workers(1).build().unwrap();
    let witness = || Witness(saw.clone());
    let (ends, dropped, unpolled, panics) = (witness(), witness(), witness(), witness());
    system.run(NUMBER.scope(1, async move { drop(ends) }));
    assert_eq!(seen.recv(), Ok(Some(1)));
    let task = system.spawn(NUMBER.scope(2, async move {
        let _kept = dropped;
        pending::<()>().await;
    }));
    task.abort();
    assert!(task.wait().is_err());
    assert_eq!(seen.recv(), Ok(Some(2)));
    drop(NUMBER.scope(3, async move { drop(unpolled) }));
    assert_eq!(seen.recv(), Ok(Some(3)));
    let task = system.spawn(NUMBER.scope(4, async move {
        let _kept = panics;
        panic!("on purpose");
    }));
    assert!(task.wait().unwrap_err().is_panic());
    assert_eq!(seen.recv(), Ok(Some(4)));
    assert!(NUMBER.try_with(|_| ()).is_err());
}

/// A panic inside gives the thread back what it had.
#[test]
fn a_panic_leaves_nothing_behind() {
    let failed = |f: &dyn Fn()| catch_unwind(AssertUnwindSafe(f)).is_err();
    NUMBER.sync_scope(1, || {
        assert!(failed(&|| NUMBER.sync_scope(2, || panic!("on purpose"))));
        let polled = async { panic!("on purpose") };
        let polled = Cell::new(Some(NUMBER.scope(3, polled)));
        assert!(failed(&|| {
            let mut polled = pin!(polled.take().unwrap());
            let _: Option<()> = polled.as_mut().now_or_never();
        }));
        assert_eq!(NUMBER.get(), 1);
    });
}

/// What cannot be is told: a look outside of scopes, and a scope inside of a look.
#[test]
fn misuse_is_told() {
    let told = |f: &dyn Fn()| {
        let payload = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
        let text = payload.downcast_ref::<&str>().map(ToString::to_string);
        text.or_else(|| payload.downcast_ref::<String>().cloned())
    };
    assert!(told(&|| NUMBER.with(|_| ())).is_some_and(|text| text.contains("call `scope`")));
    let inside = || NUMBER.sync_scope(1, || NUMBER.with(|_| NUMBER.sync_scope(2, || ())));
    assert!(told(&inside).is_some_and(|text| text.contains("inside of a look")));
}
