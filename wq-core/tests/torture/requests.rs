//! What the threads do with re-queueable items.

use std::sync::atomic::{AtomicU64, Ordering};

use wq_core::{Modified, Queued};

use crate::FOR_EVER;
use crate::deeds::Hand;
use crate::item::{Books, Handle};

/// One more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::SeqCst);
}

/// A request was answered.
pub(crate) fn note(books: &Books, answer: Queued) {
    if answer == Queued::New {
        count(&books.granted);
    }
}

/// Takes back in one of the ways, and notes what was.
pub(crate) fn take(books: &Books, take: impl FnOnce() -> bool) {
    if books.takings.during(take) {
        count(&books.taken);
    }
}

/// A store before a request that is granted, or coalesced, is seen by a run that a flush after it
/// waits for, unless somebody takes requests back meanwhile.
pub(crate) fn publish(hand: &Hand<'_>) {
    let (world, item) = (hand.world, hand.item());
    let quiet = || Some((item.books.takings.quiet()?, world.takings.quiet()?));
    let before = quiet();
    let news = item.books.store(hand.me);
    let answer = hand.ask(item);
    note(&item.books, answer);
    let flush = item.work().flush().wait_timeout(FOR_EVER);
    hand.ends("a flush of an item", flush);
    let heard = matches!(answer, Queued::New | Queued::AlreadyPending);
    let undisturbed = before.is_some() && quiet() == before;
    if heard && undisturbed && !item.books.has_seen(hand.me, news) {
        world.complain(format!(
            "{answer:?}, and no run has seen what was stored before"
        ));
    }
}

/// Asks for a run.
pub(crate) fn request(hand: &Hand<'_>) {
    let item = hand.item();
    note(&item.books, hand.ask(item));
}

/// The same, later.
pub(crate) fn later(hand: &Hand<'_>) {
    let item = hand.item();
    let Handle::Delayed(timed) = &item.handle else {
        return request(hand);
    };
    let (queue, delay) = (hand.queue(), hand.time(2_000));
    let answer = match hand.below(2) {
        0 => queue.queue_after(timed, delay),
        _ => queue.queue_after_on(hand.cpu(), timed, delay),
    };
    note(&item.books, answer);
}

/// Sets a delay anew.
pub(crate) fn modify(hand: &Hand<'_>) {
    let item = hand.item();
    let Handle::Delayed(timed) = &item.handle else {
        return request(hand);
    };
    let (queue, delay) = (hand.queue(), hand.time(2_000));
    let set = || match hand.below(2) {
        0 => queue.modify_after(timed, delay),
        _ => queue.modify_after_on(hand.cpu(), timed, delay),
    };
    match item.books.takings.during(set) {
        Modified::New => count(&item.books.granted),
        // One was taken back for another one; or somebody else was faster with that.
        Modified::Rearmed | Modified::Disabled | Modified::Closed => count(&item.books.unsure),
    }
}

/// Takes back.
pub(crate) fn cancel(hand: &Hand<'_>) {
    let item = hand.item();
    take(&item.books, || match &item.handle {
        Handle::Work(work) => work.cancel(),
        Handle::Delayed(timed) => timed.cancel(),
    });
}

/// Takes back, and waits.
pub(crate) fn cancel_and_wait(hand: &Hand<'_>) {
    let item = hand.item();
    take(&item.books, || {
        let mut wait = match &item.handle {
            Handle::Work(work) => work.cancel_and_wait(),
            Handle::Delayed(timed) => timed.cancel_and_wait(),
        };
        hand.ends("a cancel", wait.wait_timeout(FOR_EVER))
    });
}

/// Takes back, waits for a moment, and asks no more.
pub(crate) fn give_up_a_cancel(hand: &Hand<'_>) {
    let item = hand.item();
    let Handle::Delayed(timed) = &item.handle else {
        return cancel(hand);
    };
    let moment = hand.time(100);
    let waited = item
        .books
        .takings
        .during(|| timed.cancel_and_wait().wait_timeout(moment));
    match waited {
        Ok(true) => count(&item.books.taken),
        Ok(false) => {}
        Err(_) => count(&item.books.unsure),
    }
}

/// Nothing is granted for a while.
pub(crate) fn disable_and_enable(hand: &Hand<'_>) {
    let item = hand.item();
    take(&item.books, || match (&item.handle, hand.below(2)) {
        (Handle::Work(work), 0) => work.disable(),
        (Handle::Delayed(timed), 0) => timed.disable(),
        (Handle::Work(work), _) => {
            let waited = work.disable_and_wait().wait_timeout(FOR_EVER);
            hand.ends("a disable", waited)
        }
        (Handle::Delayed(timed), _) => {
            let waited = timed.disable_and_wait().wait_timeout(FOR_EVER);
            hand.ends("a disable", waited)
        }
    });
    if hand.below(4) == 0 {
        note(&item.books, hand.ask(item));
    }
    std::thread::sleep(hand.time(50));
    let enabled = if hand.below(2) == 0 {
        let answer = hand.queue().enable_and_queue(&item.work());
        note(&item.books, answer);
        true
    } else {
        item.work().enable().is_some()
    };
    if !enabled {
        hand.world
            .complain("an item that was disabled is said to be enabled");
    }
}

/// Waits for an item.
pub(crate) fn flush_an_item(hand: &Hand<'_>) {
    let waited = match &hand.item().handle {
        Handle::Work(work) => work.flush().wait_timeout(FOR_EVER),
        Handle::Delayed(timed) => timed.flush().wait_timeout(FOR_EVER),
    };
    hand.ends("a flush of an item", waited);
}
