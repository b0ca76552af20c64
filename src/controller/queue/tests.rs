//! Who has a turn when.

use futures_util::FutureExt as _;
use tokio::time::{advance, timeout};

use super::*;

/// The objects that have their turns now, which end at once.
fn drain(queue: &Queue<&'static str>) -> Vec<&'static str> {
    std::iter::from_fn(|| queue.next().now_or_never())
        .map(|turn| *turn.object())
        .collect()
}

#[tokio::test]
async fn what_was_edited_comes_first_and_everything_else_in_the_order_of_arrival() {
    let queue = Queue::new(1);
    for object in ["a", "b", "c", "a", "d"] {
        queue.push(&object, Rank::Ordinary);
    }
    queue.push(&"c", Rank::Edited);
    queue.push(&"c", Rank::Ordinary);
    assert_eq!(drain(&queue), ["c", "a", "b", "d"]);
}

#[tokio::test]
async fn an_object_is_never_reconciled_twice_at_once_and_comes_again_when_pushed_meanwhile() {
    let queue = Queue::new(4);
    queue.push(&"a", Rank::Ordinary);
    let turn = queue.next().await;
    queue.push(&"a", Rank::Ordinary);
    assert!(queue.next().now_or_never().is_none());
    drop(turn);
    assert_eq!(drain(&queue), ["a"]);
    assert!(drain(&queue).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_comes_again_by_itself_waits_for_its_time_and_for_one_turn_only() {
    let queue = Queue::new(1);
    queue.push(&"a", Rank::Ordinary);
    queue.next().await.again_after(Duration::from_mins(1));
    assert!(drain(&queue).is_empty());
    let turn = timeout(Duration::from_secs(61), queue.next()).await;
    turn.unwrap().again_after(Duration::from_mins(1));

    // Pushed before its time: then the time begins anew.
    queue.push(&"a", Rank::Ordinary);
    queue.next().await.again_after(Duration::from_secs(90));
    advance(Duration::from_secs(70)).await;
    assert!(drain(&queue).is_empty());
    advance(Duration::from_secs(21)).await;
    assert_eq!(drain(&queue), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn many_reminders_are_one_turn_and_one_during_a_turn_is_not_lost() {
    let queue = Queue::new(1);
    let second = Duration::from_secs(1);
    for _ in 0..3 {
        queue.push_within(&"a", second);
        advance(second / 4).await;
    }
    assert!(drain(&queue).is_empty());
    advance(second / 4).await;
    let turn = queue.next().await;
    queue.push_within(&"a", second);
    turn.again_after(60 * second);
    drop(turn);
    advance(second).await;
    assert_eq!(drain(&queue), ["a"]);
    advance(60 * second).await;
    assert!(drain(&queue).is_empty());
}

#[tokio::test]
async fn who_works_keeps_others_out_and_who_waits_for_a_write_does_not() {
    let queue = Queue::new(1);
    for object in ["a", "b", "c"] {
        queue.push(&object, Rank::Ordinary);
    }
    let first = queue.next().await;
    assert!(queue.next().now_or_never().is_none());

    let (written, write) = oneshot::channel();
    let mut waiting = Box::pin(first.lend(write));
    assert!((&mut waiting).now_or_never().is_none());
    let second = queue.next().await;
    written.send(()).unwrap();
    assert!((&mut waiting).now_or_never().is_none(), "no place is free");
    drop(second);
    assert!(
        queue.next().now_or_never().is_none(),
        "who comes back goes before who begins"
    );
    waiting.await.unwrap();
    drop(first);
    assert_eq!(drain(&queue), ["c"]);
}

#[tokio::test]
async fn one_that_is_cut_off_while_it_waits_takes_no_place_with_it() {
    let queue = Queue::new(1);
    for object in ["a", "b", "c"] {
        queue.push(&object, Rank::Ordinary);
    }
    let first = queue.next().await;
    let (written, write) = oneshot::channel::<()>();
    let mut waiting = Box::pin(first.lend(write));
    assert!((&mut waiting).now_or_never().is_none());
    let second = queue.next().await;
    written.send(()).unwrap();
    assert!((&mut waiting).now_or_never().is_none(), "no place is free");
    drop(waiting);
    drop(second);
    drop(first);
    assert_eq!(drain(&queue), ["c"]);
    assert_eq!(queue.lock().free, 1, "one place, and not two");
}

#[tokio::test]
async fn many_that_wait_for_writes_leave_room_for_what_was_edited() {
    let queue: Queue<usize> = Queue::new(8);
    let mut turns = Vec::new();
    for object in 0..=UNDER_WAY {
        queue.push(&object, Rank::Ordinary);
    }
    while let Some(turn) = queue.next().now_or_never() {
        turn.hold(None);
        turns.push(turn);
    }
    assert_eq!(turns.len(), UNDER_WAY, "the last one waits");
    queue.push(&UNDER_WAY, Rank::Edited);
    let edited = queue.next().now_or_never().unwrap();
    assert_eq!(*edited.object(), UNDER_WAY);
}
