//! The shapes of async-executor's own benchmarks, written anew.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;

use smol::channel::{self, Receiver, Sender};
use wq_benches::{Bench, XorShift};

use crate::runtime::Runtime;

/// Tasks of most cases.
const TASKS: usize = 300;
/// Steps of each.
const STEPS: usize = 300;
/// Tasks that do nothing else.
const LIGHT_TASKS: usize = 25_000;
/// Seed of the web server's dice; every runtime and iteration throws the same.
const SEED: u64 = 0x1234_5678;

/// The root spawns an empty task and joins it.
pub(super) fn spawn_one<R: Runtime>(runtime: R, bench: &mut Bench) {
    bench.iter(1, || {
        runtime.run_root(async { R::join(R::spawn(async {})).await });
    });
}

/// The root spawns empty tasks, keeps the handles, and joins them in order.
pub(super) fn spawn_many_local<R: Runtime>(runtime: R, bench: &mut Bench) {
    bench.iter(LIGHT_TASKS as u64, || {
        runtime.run_root(async {
            let tasks: Vec<_> = (0..LIGHT_TASKS).map(|_| R::spawn(async {})).collect();
            join_all::<R>(tasks).await;
        });
    });
}

/// Tasks spawn a child and join it, to a depth; one operation is a child.
pub(super) fn spawn_recursively<R: Runtime>(runtime: R, bench: &mut Bench) {
    bench.iter((TASKS * STEPS) as u64, || {
        runtime.run_root(async {
            let tasks = (0..TASKS).map(|_| R::spawn(descend::<R>(STEPS))).collect();
            join_all::<R>(tasks).await;
        });
    });
}

/// Spawns and joins a child that does the same, `left` deep.
fn descend<R: Runtime>(left: usize) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if left > 0 {
            R::join(R::spawn(descend::<R>(left - 1))).await;
        }
    })
}

/// Tasks yield; one operation is a yield.
pub(super) fn yield_now<R: Runtime>(runtime: R, bench: &mut Bench) {
    let yielding = || async {
        for _ in 0..STEPS {
            R::yield_now().await;
        }
    };
    bench.iter((TASKS * STEPS) as u64, || {
        runtime.run_root(async move {
            let tasks = (0..TASKS).map(|_| R::spawn(yielding())).collect();
            join_all::<R>(tasks).await;
        });
    });
}

/// Tokens pass through a row of tasks; one operation is a token's step through one task.
pub(super) fn channels<R: Runtime>(runtime: R, bench: &mut Bench) {
    bench.iter((TASKS * STEPS) as u64, || {
        runtime.run_root(async {
            let (first, mut last) = channel::bounded(1);
            let mut tasks = Vec::new();
            for _ in 0..TASKS {
                let (sender, receiver) = channel::bounded(1);
                let from = std::mem::replace(&mut last, receiver);
                tasks.push(R::spawn(pass_on(from, sender)));
            }
            for _ in 0..STEPS {
                first.send(()).await.expect("the row listens");
                last.recv().await.expect("the row sends");
            }
            join_all::<R>(tasks).await;
        });
    });
}

/// A task of the row.
async fn pass_on(from: Receiver<()>, to: Sender<()>) {
    for _ in 0..STEPS {
        from.recv().await.expect("the task before lives");
        to.send(()).await.expect("the task behind lives");
    }
}

/// Requests, half of which are answered at once while the others ask a database task some two
/// hundred times each; one operation is a request.
pub(super) fn web_server<R: Runtime>(runtime: R, bench: &mut Bench) {
    bench.iter(TASKS as u64, || {
        runtime.run_root(async {
            let (questions, asked) = channel::bounded(TASKS / 5);
            let database = R::spawn(answer_questions::<R>(asked));
            let server = R::spawn(accept_requests::<R>(questions));
            R::join(server).await;
            // The last request drops the last sender, which ends the database.
            R::join(database).await;
        });
    });
}

/// The accepting task: a task for each request.
async fn accept_requests<R: Runtime>(questions: Sender<Sender<usize>>) {
    let mut dice = XorShift::new(SEED);
    for _ in 0..TASKS {
        if dice.below(17) == 0 {
            R::yield_now().await;
        }
        let of_request = XorShift::new(dice.below(usize::MAX) as u64);
        R::detach(R::spawn(serve_request::<R>(questions.clone(), of_request)));
    }
}

/// One request.
async fn serve_request<R: Runtime>(questions: Sender<Sender<usize>>, mut dice: XorShift) {
    if dice.below(2) == 0 {
        R::yield_now().await;
        return;
    }
    for _ in 0..STEPS / 2 + dice.below(STEPS / 2) {
        let (answer, answered) = channel::bounded(1);
        questions.send(answer).await.expect("the database lives");
        black_box(answered.recv().await.expect("the database answers"));
    }
    for _ in 0..3 + dice.below(13) {
        R::yield_now().await;
    }
}

/// The database: some yields for each question.
async fn answer_questions<R: Runtime>(asked: Receiver<Sender<usize>>) {
    let mut dice = XorShift::new(SEED + 1);
    while let Ok(answer) = asked.recv().await {
        for _ in 0..dice.below(10) {
            R::yield_now().await;
        }
        answer
            .send(dice.below(1000))
            .await
            .expect("the request waits");
    }
}

/// Joins tasks in the order they were spawned.
async fn join_all<R: Runtime>(tasks: Vec<R::Join<()>>) {
    for task in tasks {
        R::join(task).await;
    }
}
