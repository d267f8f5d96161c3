//! What the window keeps in memory stays small.

use bytes::Bytes;
use event::{Event, EventId};
use queue::{ConsumerId, LeaseToken, Seq};

use super::*;

const TIMES: Times = Times { lease: Times::LEASE, longest_wait: Times::LONGEST_WAIT };

fn stored(seq: u64, conversation: &str, bytes: usize) -> Arc<Stored> {
    let event = Event {
        id: EventId::from_hash([0; 16]),
        source: Arc::from("test"),
        topic: Arc::from("test"),
        conversation: Some(Arc::from(conversation)),
        received: Timestamp::default(),
        conflict_of: None,
        body: Bytes::from(vec![0; bytes]),
    };
    Arc::new(Stored::new(Seq(seq), event))
}

fn add(window: &mut Window, seq: u64, conversation: &str, bytes: usize) {
    window.add(stored(seq, conversation, bytes), 0, Order::Conversation, None);
}

#[test]
fn one_slow_delivery_does_not_make_the_ends_of_leases_pile_up() {
    let mut window = Window::default();
    let at = Timestamp::from_millis(1);
    add(&mut window, 1, "slow", 1);
    assert_eq!(window.take(1, at, TIMES).len(), 1);
    for seq in 2..20_000 {
        add(&mut window, seq, &seq.to_string(), 1);
        let taken = window.take(1, at, TIMES);
        let token = LeaseToken { consumer: ConsumerId(1), seq: Seq(seq), generation: taken[0].generation };
        assert!(window.begin_settle(token));
        window.finish_settle(seq, Advance::Next);
    }
    assert!(window.lease_ends.len() <= MAX_STALE_ENDS + 4, "{}", window.lease_ends.len());
    assert_eq!(window.next_due(), Some(at.plus(TIMES.lease)));
}

#[test]
fn a_redriven_event_that_was_due_before_the_clock_was_set_is_due_again() {
    let mut window = Window::default();
    let (due, hour) = (Timestamp::from_millis(100_000_000), std::time::Duration::from_secs(3_600));
    for seq in 1..3 {
        let waiting = Some((due, Attempts { made: 1, ..Attempts::default() }));
        window.add_redriven(&stored(seq, &seq.to_string(), 1), Order::Conversation, waiting);
    }
    // Further ahead than anybody waits, so both are due; there is room for one.
    assert_eq!(window.take_redriven(1, due.minus(hour * 2), TIMES).len(), 1);
    // By the clock as it is now the other has to wait, and then it has its turn.
    assert!(window.take_redriven(1, due.minus(hour / 2), TIMES).is_empty());
    assert_eq!(window.take_redriven(1, due, TIMES).len(), 1);
}

#[test]
fn a_conversation_of_large_events_leaves_room_for_others() {
    let mut window = Window::default();
    for seq in 1..9 {
        add(&mut window, seq, "large", 1 << 20);
    }
    assert!(window.is_low());
    add(&mut window, 9, "small", 1);
    let taken = window.take(10, Timestamp::default(), TIMES);
    assert_eq!(taken.iter().map(|taken| taken.seq).collect::<Vec<_>>(), [1, 9]);
}

#[test]
fn a_backlog_of_held_conversations_costs_bits_and_blocks_no_other() {
    const EVENTS: u64 = 210_000;
    let (mut window, at) = (Window::default(), Timestamp::from_millis(1));
    window.set_behind_dead(queue::BehindDead::Hold);
    let key = conversation_key("held");
    window.mark(key, 1, 1, true);
    for seq in 2..2 + EVENTS {
        add(&mut window, seq, "held", 1);
    }
    assert!(window.is_low() && window.has_room(), "others have all the room");
    assert_eq!((window.held(), window.about(key, 1)), ((1, EVENTS), (false, EVENTS)));
    add(&mut window, EVENTS + 2, "other", 1);
    assert_eq!(window.take(10, at, TIMES).len(), 1);
    window.unmark_dead(key, 1);
    let mut delivered = 1;
    loop {
        while window.wants_overflow() {
            for seq in window.next_overflow(256) {
                let stored = stored(seq, "held", 1);
                assert!(window.take_back(&stored, Order::Conversation));
                window.enter(key, seq, 1, None);
            }
        }
        let Some(taken) = window.take(1, at, TIMES).pop() else { break };
        assert_eq!(taken.seq, delivered + 1);
        let token = LeaseToken { consumer: ConsumerId(1), seq: Seq(taken.seq), generation: taken.generation };
        assert!(window.begin_settle(token));
        window.finish_settle(taken.seq, Advance::Next);
        delivered += 1;
    }
    assert_eq!((delivered, window.held()), (1 + EVENTS, (0, 0)));
}
