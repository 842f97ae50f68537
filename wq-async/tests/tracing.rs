//! Spans around tasks: what is logged inside a task says of which one.

use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::dispatcher::DefaultGuard;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Instrument, Subscriber, info, info_span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};
use wq::{System, Workqueue};

/// What was logged: text, and the spans around it from the outermost, as `name{field=value ..}`.
type Lines = Arc<Mutex<Vec<(String, Vec<String>)>>>;

/// Writes down events with their spans, and the spans that were closed.
#[derive(Clone, Default)]
struct Log {
    lines: Lines,
    closed: Arc<Mutex<Vec<String>>>,
}

/// A span's text.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0 += &format!(" {field}={value:?}");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0 += &format!(" {field}={value}");
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut text = Text(attributes.metadata().name().to_owned());
        attributes.record(&mut text);
        let span = context.span(id).expect("it is new");
        span.extensions_mut().insert(text);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let spans = context
            .event_scope(event)
            .into_iter()
            .flat_map(|scope| scope.from_root());
        let spans = spans.map(|span| {
            span.extensions()
                .get::<Text>()
                .map_or("", |t| &t.0)
                .to_owned()
        });
        let line = (
            text.0.trim_start_matches(" message=").to_owned(),
            spans.collect(),
        );
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).expect("it closes now");
        let text = span
            .extensions()
            .get::<Text>()
            .map_or("", |text| &text.0)
            .to_owned();
        self.closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(text);
    }
}

/// A System of two lanes, whose workers tell a log of their own; as does the calling thread, until
/// the guard goes.
fn system() -> (System, Log, DefaultGuard) {
    let log = Log::default();
    let dispatch = tracing::Dispatch::new(Registry::default().with(log.clone()));
    let here = tracing::dispatcher::set_default(&dispatch);
    let builder = System::builder().workers(2).on_thread_start(move || {
        // For the thread's life.
        std::mem::forget(tracing::dispatcher::set_default(&dispatch));
    });
    (builder.build().expect("a System"), log, here)
}

/// The one line with this text: its spans.
#[track_caller]
fn spans_of(log: &Log, text: &str) -> Vec<String> {
    let lines = log.lines.lock().unwrap();
    let mut found = lines.iter().filter(|(line, _)| line == text);
    let (_, spans) = found
        .next()
        .unwrap_or_else(|| panic!("no \"{text}\" in {lines:?}"));
    assert!(found.next().is_none(), "\"{text}\" twice");
    spans.clone()
}

/// Logs before and after it suspends.
async fn work(name: &'static str) {
    info!("{name} begins");
    wq::yield_now().await;
    info!("{name} ends");
}

/// Goal: every poll of a task is inside its span, which names its queue and its type; nothing of
/// another task's is. Method: two tasks that take turns on one lane, spawned by a third.
#[test]
fn what_a_task_logs_names_the_task() {
    let (system, log, _here) = system();
    system.run(async {
        let queue = Workqueue::unbound("jobs").max_active(2).build().unwrap();
        info!("root");
        let first = queue.spawn(work("first"));
        let second = queue.builder().name("the second").spawn(work("second"));
        let third = queue.spawn_fn(|| info!("third"));
        first.await.unwrap();
        second.await.unwrap();
        third.await.unwrap();
        queue.flush().await.unwrap();
    });
    let root = spans_of(&log, "root");
    assert_eq!(root.len(), 1, "{root:?}");
    assert!(root[0].starts_with("runtime.spawn kind=task queue=events_unbound"));
    for text in ["first begins", "first ends"] {
        let spans = spans_of(&log, text);
        assert_eq!(spans.len(), 1, "a task's span has no parent: {spans:?}");
        assert!(
            spans[0].starts_with("runtime.spawn kind=task queue=jobs"),
            "{spans:?}"
        );
        assert!(spans[0].contains("tracing::work::"), "{spans:?}");
    }
    for text in ["second begins", "second ends"] {
        let spans = spans_of(&log, text);
        assert!(spans[0].contains("task.name=the second"), "{spans:?}");
    }
    let third = spans_of(&log, "third");
    assert!(
        third[0].starts_with("runtime.spawn kind=blocking queue=jobs"),
        "{third:?}"
    );
    let closed = log.closed.lock().unwrap();
    let of_jobs = closed.iter().filter(|span| span.contains("queue=jobs"));
    assert_eq!(of_jobs.count(), 3, "what was flushed is closed: {closed:?}");
}

/// A span of the user's that is made inside a task stands inside the task's; one that was made
/// outside, and goes with the future, keeps what was around it there.
#[test]
fn users_spans_stand_where_they_were_made() {
    let (system, log, _here) = system();
    system.run(async {
        let queue = Workqueue::unbound("jobs").build().unwrap();
        let outside = work("outside").instrument(info_span!("http", path = "/"));
        queue.spawn(outside).await.unwrap();
        let inside = async { work("inside").instrument(info_span!("sql")).await };
        queue.spawn(inside).await.unwrap();
    });
    for (task, queue, span) in [
        ("outside", "queue=events_unbound", "http path=/"),
        ("inside", "queue=jobs", "sql"),
    ] {
        for end in ["begins", "ends"] {
            let spans = spans_of(&log, &format!("{task} {end}"));
            assert_eq!(spans.len(), 2, "{spans:?}");
            assert!(spans[0].contains(queue) && spans[1] == span, "{spans:?}");
        }
    }
}

/// A task that is aborted logs its destructors inside its span.
#[test]
fn destructors_are_inside_too() {
    /// Says so when it goes.
    struct Goes;
    impl Drop for Goes {
        fn drop(&mut self) {
            info!("it goes");
        }
    }
    let (system, log, _here) = system();
    system.run(async {
        let queue = Workqueue::unbound("jobs").build().unwrap();
        let goes = Goes;
        let task = queue.spawn(async move {
            let _goes = goes;
            pending::<()>().await;
        });
        wq::yield_now().await;
        task.abort();
        queue.flush().await.unwrap();
    });
    assert!(spans_of(&log, "it goes")[0].contains("queue=jobs"));
}
