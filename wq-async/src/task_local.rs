//! Values that belong to a task: [`task_local!`](crate::task_local!), [`TaskLocal`].
//!
//! The value travels with the future that was given it: while that is polled, the value is in a
//! thread-local cell of whichever worker does it, and between two polls in the future. So nothing
//! is looked up by task, and it works in every executor.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::LocalKey;

use pin_project::{pin_project, pinned_drop};

/// Declares values that belong to tasks: statics of type [`TaskLocal`], which have a value inside
/// of [`TaskLocal::scope`] and [`TaskLocal::sync_scope`], and nowhere else.
///
/// # Examples
/// ```
/// wq::task_local! {
///     /// Whose request this is.
///     static USER: String;
///     pub static DEPTH: u32;
/// }
///
/// async fn greet() -> String {
///     wq::yield_now().await; // may go on on another worker
///     USER.with(|user| format!("hello {user}"))
/// }
///
/// # fn main() {
/// let ann = wq::spawn(USER.scope("ann".to_owned(), greet()));
/// let ben = wq::spawn(USER.scope("ben".to_owned(), greet()));
/// assert_eq!(ann.wait().unwrap(), "hello ann");
/// assert_eq!(ben.wait().unwrap(), "hello ben");
/// assert!(USER.try_with(String::clone).is_err(), "not outside");
/// assert_eq!(DEPTH.sync_scope(3, || DEPTH.get()), 3);
/// # }
/// ```
#[macro_export]
macro_rules! task_local {
    () => {};
    ($(#[$attr:meta])* $vis:vis static $name:ident: $type:ty; $($rest:tt)*) => {
        $crate::task_local!($(#[$attr])* $vis static $name: $type);
        $crate::task_local!($($rest)*);
    };
    ($(#[$attr:meta])* $vis:vis static $name:ident: $type:ty) => {
        $(#[$attr])*
        $vis static $name: $crate::TaskLocal<$type> = {
            ::std::thread_local! {
                static CELL: ::std::cell::RefCell<::std::option::Option<$type>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }
            $crate::TaskLocal::__new(CELL)
        };
    };
}

/// A value that belongs to a task; [`task_local!`](crate::task_local!) declares one.
///
/// A task that is spawned inside of a scope does not inherit the value: give it a scope of its own.
/// What is polled inside of one has it: a future of [`block_on`](crate::block_on) there, and so the
/// tasks of a [`LocalSet`](crate::LocalSet) that is run there, whoever spawned them.
///
/// # Examples
/// ```
/// wq::task_local!(static USER: u32);
///
/// /// Whose request the caller serves, if it serves one.
/// fn user(local: &'static wq::TaskLocal<u32>) -> Option<u32> {
///     local.try_get().ok()
/// }
///
/// # fn main() {
/// assert_eq!(user(&USER), None);
/// assert_eq!(USER.sync_scope(7, || user(&USER)), Some(7));
/// # }
/// ```
pub struct TaskLocal<T: 'static> {
    /// Where the value is while its future is polled.
    cell: LocalKey<RefCell<Option<T>>>,
}

impl<T: 'static> fmt::Debug for TaskLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskLocal").finish_non_exhaustive()
    }
}

impl<T: 'static> TaskLocal<T> {
    /// For the macro.
    #[doc(hidden)]
    pub const fn __new(cell: LocalKey<RefCell<Option<T>>>) -> Self {
        Self { cell }
    }

    /// Runs `future` with this value, which is dropped with it. Scopes nest; the innermost counts.
    ///
    /// # Panics
    /// The returned future panics if it is polled inside of a [`with`](Self::with) of the same
    /// value, and when it is polled after its end.
    ///
    /// # Examples
    /// ```
    /// wq::task_local!(static ID: u32);
    ///
    /// # fn main() {
    /// let id = wq::block_on(ID.scope(7, async { ID.get() }));
    /// assert_eq!(id, 7);
    /// # }
    /// ```
    pub fn scope<F: Future>(&'static self, value: T, future: F) -> TaskLocalFuture<T, F> {
        TaskLocalFuture {
            local: self,
            value: Some(value),
            future: Some(future),
        }
    }

    /// Runs `f` with this value.
    ///
    /// # Panics
    /// Inside of a [`with`](Self::with) of the same value; and as `f` does.
    ///
    /// # Examples
    /// ```
    /// wq::task_local!(static ID: u32);
    ///
    /// # fn main() {
    /// let ids = ID.sync_scope(1, || (ID.get(), ID.sync_scope(2, || ID.get()), ID.get()));
    /// assert_eq!(ids, (1, 2, 1));
    /// # }
    /// ```
    #[track_caller]
    pub fn sync_scope<R>(&'static self, value: T, f: impl FnOnce() -> R) -> R {
        let mut value = Some(value);
        let _inside = self.enter(&mut value);
        f()
    }

    /// What `f` makes of the value.
    ///
    /// # Panics
    /// Outside of a scope.
    ///
    /// # Examples
    /// ```
    /// wq::task_local!(static NAME: String);
    ///
    /// # fn main() {
    /// let length = NAME.sync_scope("ann".to_owned(), || NAME.with(String::len));
    /// assert_eq!(length, 3);
    /// # }
    /// ```
    #[track_caller]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        match self.try_with(f) {
            Ok(answer) => answer,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`with`](Self::with), where there may be no scope.
    ///
    /// # Errors
    /// Outside of a scope.
    ///
    /// # Examples
    /// ```
    /// wq::task_local!(static NAME: String);
    ///
    /// # fn main() {
    /// assert!(NAME.try_with(String::len).is_err());
    /// # }
    /// ```
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, TaskLocalError> {
        let look = |cell: &RefCell<Option<T>>| cell.borrow().as_ref().map(f);
        // A thread that ends has no values any more.
        self.cell
            .try_with(look)
            .ok()
            .flatten()
            .ok_or(TaskLocalError(()))
    }

    /// A clone of the value.
    ///
    /// # Panics
    /// Outside of a scope; and if the value's `clone`, which runs inside of the look at it, begins
    /// a scope of the same task-local value.
    ///
    /// # Examples
    /// ```
    /// wq::task_local!(static NAME: String);
    ///
    /// # fn main() {
    /// assert_eq!(NAME.sync_scope("ann".to_owned(), || NAME.get()), "ann");
    /// # }
    /// ```
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Clone,
    {
        self.with(T::clone)
    }

    /// As [`get`](Self::get), where there may be no scope.
    ///
    /// # Errors
    /// Outside of a scope.
    ///
    /// # Panics
    /// If the value's `clone` begins a scope: see [`get`](Self::get).
    ///
    /// # Examples
    /// ```
    /// wq::task_local!(static NAME: String);
    ///
    /// # fn main() {
    /// assert!(NAME.try_get().is_err());
    /// # }
    /// ```
    pub fn try_get(&'static self) -> Result<T, TaskLocalError>
    where
        T: Clone,
    {
        self.try_with(T::clone)
    }

    /// Exchanges `value` for what the thread has, until the guard is dropped.
    #[track_caller]
    fn enter<'a>(&'static self, value: &'a mut Option<T>) -> Inside<'a, T> {
        self.exchange(value);
        Inside { local: self, value }
    }

    /// Exchanges two values; what has none is none.
    #[track_caller]
    fn exchange(&'static self, value: &mut Option<T>) {
        self.cell.with(|cell| match cell.try_borrow_mut() {
            Ok(mut here) => mem::swap(&mut *here, value),
            Err(_) => panic!("a scope of a task-local value begins inside of a look at it"),
        });
    }
}

/// While it lives, the thread has a scope's value, and the scope what the thread had.
struct Inside<'a, T: 'static> {
    local: &'static TaskLocal<T>,
    value: &'a mut Option<T>,
}

impl<T: 'static> Drop for Inside<'_, T> {
    fn drop(&mut self) {
        // Nobody looks at the value here: a look ends before the code that it is called from.
        self.local.exchange(self.value);
    }
}

/// The future that [`TaskLocal::scope`] returns.
#[pin_project(PinnedDrop)]
#[must_use = "a scope does nothing unless it is awaited"]
pub struct TaskLocalFuture<T: 'static, F> {
    local: &'static TaskLocal<T>,
    /// The value, between two polls.
    value: Option<T>,
    /// None after its end.
    #[pin]
    future: Option<F>,
}

impl<T: 'static, F> fmt::Debug for TaskLocalFuture<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskLocalFuture")
            .field("is_over", &self.future.is_none())
            .finish_non_exhaustive()
    }
}

impl<T: 'static, F: Future> Future for TaskLocalFuture<T, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let inside = this.local.enter(this.value);
        let Some(future) = this.future.as_mut().as_pin_mut() else {
            panic!("a scope was polled after its end");
        };
        let polled = future.poll(cx);
        if polled.is_ready() {
            // With the value, which its destructors may ask for.
            this.future.set(None);
        }
        drop(inside);
        polled
    }
}

#[pinned_drop]
impl<T: 'static, F> PinnedDrop for TaskLocalFuture<T, F> {
    fn drop(self: Pin<&mut Self>) {
        let mut this = self.project();
        // With the value, unless the thread has none any more or looks at its own.
        let can = |cell: &RefCell<Option<T>>| cell.try_borrow_mut().is_ok();
        if this.future.is_some() && this.local.cell.try_with(can).unwrap_or(false) {
            let _inside = this.local.enter(this.value);
            this.future.set(None);
        }
    }
}

/// There is no value here: the caller is outside of every scope.
///
/// # Examples
/// ```
/// wq::task_local!(static USER: u32);
///
/// # fn main() {
/// let error: wq::TaskLocalError = USER.try_get().unwrap_err();
/// println!("{error}"); // the task-local value has none here: ...
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TaskLocalError(());

impl fmt::Display for TaskLocalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task-local value has none here: call `scope` or `sync_scope` around it")
    }
}

impl Error for TaskLocalError {}
