//! Which request may be sent next: those of a conversation one after the other, different conversations side by side.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::Uuid;
use crate::contact_centre::Request;

/// Names a request between [`Order::next`] and [`Order::done`].
pub(super) type Ticket = u64;

/// What [`Order::next`] says.
#[derive(Debug)]
pub(super) enum Next {
    /// Send this now.
    Send(Ticket, Request),
    /// Nothing may be sent before something else is done.
    Wait,
    /// All requests are done.
    End,
}

/// Takes requests from an iterator and holds back those that have to wait for another one.
pub(super) struct Order<I> {
    requests: I,
    /// Requests that were taken in and are not done, at most.
    window: usize,
    /// Without order every request may be sent at once.
    in_order: bool,
    exhausted: bool,
    taken: Ticket,
    waiting: HashMap<Ticket, Waiting>,
    /// The requests of each conversation that are not done, first to last.
    lanes: HashMap<Uuid, VecDeque<Ticket>>,
    ready: VecDeque<Ticket>,
}

struct Waiting {
    /// Present until it is sent.
    request: Option<Request>,
    lanes: BTreeSet<Uuid>,
    /// In how many lanes another request is ahead of it.
    behind: usize,
}

impl<I: Iterator<Item = Request>> Order<I> {
    pub(super) fn new(requests: I, window: usize, in_order: bool) -> Self {
        Self {
            requests,
            window,
            in_order,
            exhausted: false,
            taken: 0,
            waiting: HashMap::new(),
            lanes: HashMap::new(),
            ready: VecDeque::new(),
        }
    }

    pub(super) fn next(&mut self) -> Next {
        loop {
            if let Some(ticket) = self.ready.pop_front() {
                if let Some(request) = self.waiting.get_mut(&ticket).and_then(|waiting| waiting.request.take()) {
                    return Next::Send(ticket, request);
                }
            } else if self.exhausted || self.waiting.len() >= self.window {
                return if self.waiting.is_empty() { Next::End } else { Next::Wait };
            } else {
                match self.requests.next() {
                    Some(request) => self.take_in(request),
                    None => self.exhausted = true,
                }
            }
        }
    }

    fn take_in(&mut self, request: Request) {
        let ticket = self.taken;
        self.taken += 1;
        let lanes: BTreeSet<Uuid> =
            if self.in_order { request.events.iter().map(|tag| tag.conversation()).collect() } else { BTreeSet::new() };
        let mut behind = 0;
        for lane in &lanes {
            let lane = self.lanes.entry(*lane).or_default();
            behind += usize::from(!lane.is_empty());
            lane.push_back(ticket);
        }
        if behind == 0 {
            self.ready.push_back(ticket);
        }
        self.waiting.insert(ticket, Waiting { request: Some(request), lanes, behind });
    }

    /// The request has its answer; returns how many others may be sent now because of that.
    pub(super) fn done(&mut self, ticket: Ticket) -> usize {
        let Some(Waiting { lanes, .. }) = self.waiting.remove(&ticket) else {
            return 0;
        };
        let mut released = 0;
        for name in lanes {
            let Some(lane) = self.lanes.get_mut(&name) else {
                continue;
            };
            lane.pop_front();
            let Some(&next) = lane.front() else {
                self.lanes.remove(&name);
                continue;
            };
            if let Some(waiting) = self.waiting.get_mut(&next) {
                waiting.behind -= 1;
                if waiting.behind == 0 {
                    self.ready.push_back(next);
                    released += 1;
                }
            }
        }
        released
    }

    /// Requests that were handed out or wait to be.
    pub(super) fn pending(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::Tag;
    use crate::contact_centre::Source;

    fn request(number: u64, conversations: &[u128]) -> Request {
        let events = conversations.iter().map(|&bits| Tag::new(Uuid::from_bits(bits), number as u32)).collect();
        Request { number, source: Source::Genesys, body: Bytes::new(), events, duplicate_of: None }
    }

    fn order(requests: &[&[u128]], window: usize, in_order: bool) -> Order<impl Iterator<Item = Request>> {
        let requests: Vec<_> = requests.iter().zip(0..).map(|(events, number)| request(number, events)).collect();
        Order::new(requests.into_iter(), window, in_order)
    }

    /// The numbers of all that may be sent now.
    fn send_all(order: &mut Order<impl Iterator<Item = Request>>) -> Vec<u64> {
        std::iter::from_fn(|| match order.next() {
            Next::Send(ticket, request) => {
                assert_eq!(ticket, request.number);
                Some(ticket)
            }
            Next::Wait | Next::End => None,
        })
        .collect()
    }

    #[test]
    fn a_conversation_waits_for_its_own_only() {
        let mut order = order(&[&[1], &[1], &[2], &[1, 2], &[3]], 10, true);
        assert_eq!(send_all(&mut order), [0, 2, 4]);
        assert_eq!(order.done(0), 1);
        assert_eq!(send_all(&mut order), [1]);
        assert_eq!(order.done(2), 0, "the batch still waits for the other conversation");
        assert_eq!(order.done(1), 1);
        assert_eq!(send_all(&mut order), [3]);
        order.done(3);
        assert!(matches!(order.next(), Next::Wait));
        order.done(4);
        assert!(matches!(order.next(), Next::End));
    }

    #[test]
    fn takes_in_no_more_than_the_window() {
        let mut order = order(&[&[1], &[1], &[1], &[2]], 3, true);
        assert_eq!(send_all(&mut order), [0], "the fourth is not seen yet");
        order.done(0);
        assert_eq!(send_all(&mut order), [1, 3]);
    }

    #[test]
    fn without_order_nothing_waits() {
        assert_eq!(send_all(&mut order(&[&[1], &[1], &[1, 1]], 10, false)), [0, 1, 2]);
    }

    proptest! {
        #[test]
        fn everything_is_sent_once_and_each_conversation_in_order(
            conversations in prop::collection::vec(prop::collection::vec(0u128..6, 1..4), 0..60),
            window in 1usize..20,
            picks in prop::collection::vec(any::<prop::sample::Index>(), 60),
        ) {
            let requests: Vec<_> = conversations.iter().zip(0..).map(|(events, number)| request(number, events)).collect();
            let mut order = Order::new(requests.into_iter(), window, true);
            let (mut out, mut done) = (Vec::new(), Vec::new());
            for pick in picks {
                while let Next::Send(ticket, _) = order.next() {
                    let clash = out.iter().any(|&other: &u64| {
                        conversations[other as usize].iter().any(|name| conversations[ticket as usize].contains(name))
                    });
                    prop_assert!(!clash, "two of one conversation at once");
                    out.push(ticket);
                    prop_assert!(out.len() <= window);
                }
                if out.is_empty() {
                    break;
                }
                let ticket = out.swap_remove(pick.index(out.len()));
                order.done(ticket);
                done.push(ticket);
            }
            prop_assert_eq!(done.len(), conversations.len());
            for name in 0..6 {
                let of_name: Vec<_> = done.iter().filter(|&&n| conversations[n as usize].contains(&name)).collect();
                prop_assert!(of_name.is_sorted());
            }
        }
    }
}
