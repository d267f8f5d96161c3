//! One thread of load: waits for its connections and keeps each of them busy.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::lane::{Done, Lane};
use super::pace::Pace;
use super::template::{Sequence, Template};
use super::{Options, Report};
use crate::SimulatorError;

/// How long the last answers are waited for when the time is over.
const GRACE: Duration = Duration::from_secs(10);
/// Pause before a broken connection is made again.
const RECONNECT_AFTER: Duration = Duration::from_millis(20);
/// The longest sleep, after which clocks and broken connections are looked at.
const SLEEP_MAX: Duration = Duration::from_millis(20);

/// One thread's part of the whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    first_lane: usize,
    lanes: usize,
    rate: Option<f64>,
    requests_max: u64,
}

impl Share {
    pub(super) fn of(options: &Options, thread: usize, threads: usize) -> Self {
        let first_lane = options.connections * thread / threads;
        let lanes = options.connections * (thread + 1) / threads - first_lane;
        let (thread, threads) = (thread as u64, threads as u64);
        let up_to = |thread| {
            options.requests_max.map(|max| (u128::from(max) * u128::from(thread) / u128::from(threads)) as u64)
        };
        Self {
            first_lane,
            lanes,
            rate: options.rate.map(|rate| rate * lanes as f64 / options.connections as f64),
            requests_max: up_to(thread + 1).zip(up_to(thread)).map_or(u64::MAX, |(end, begin)| end - begin),
        }
    }
}

/// A place for a connection.
enum Slot {
    /// Made again at that time, to go on with that sequence.
    Down(Instant, Sequence),
    /// Made, though it may still be connecting.
    Up(Lane),
}

struct Worker<'a> {
    options: &'a Options,
    share: Share,
    template: Template,
    poll: Poll,
    slots: Vec<Slot>,
    /// How many of them are down.
    down: usize,
    /// Connections without a request, at a fixed rate only; the longest idle first.
    idle: VecDeque<usize>,
    pace: Option<Pace>,
    /// When what happens begins and ceases to count.
    measure: (Instant, Instant),
    under_way: usize,
    report: Report,
}

/// Runs one thread's share; returns what it came to.
pub(super) fn work(options: &Options, share: &Share, template: Template) -> Result<Report, SimulatorError> {
    let poll = Poll::new().map_err(SimulatorError::io("starting to poll"))?;
    let now = Instant::now();
    let begin = now + options.warm_up;
    let worker = Worker {
        options,
        share: *share,
        template,
        poll,
        slots: (0..share.lanes).map(|lane| Slot::Down(now, Sequence::new(options, share.first_lane + lane))).collect(),
        down: share.lanes,
        idle: VecDeque::new(),
        pace: share.rate.map(|rate| Pace::new(now, rate)),
        measure: (begin, begin + options.duration),
        under_way: 0,
        report: Report::default(),
    };
    worker.run().map_err(SimulatorError::io("polling the connections"))
}

impl Worker<'_> {
    fn run(mut self) -> io::Result<Report> {
        let mut events = Events::with_capacity(self.slots.len().clamp(64, 4_096));
        let give_up = self.measure.1 + GRACE;
        loop {
            let now = Instant::now();
            if now >= give_up || (self.is_over(now) && self.under_way == 0) {
                break;
            }
            self.bring_up(now);
            self.send_what_is_due(now);
            if let Err(error) = self.poll.poll(&mut events, Some(self.sleep(now))) {
                if error.kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(error);
            }
            for event in &events {
                self.attend(event.token().0);
            }
        }
        self.report.unanswered += self.under_way as u64;
        self.report.given_up = self.pace.as_ref().map_or(0, Pace::never_sent);
        self.report.elapsed = Instant::now().min(self.measure.1).saturating_duration_since(self.measure.0);
        self.report.cpu = cpu_of_this_thread();
        Ok(self.report)
    }

    /// Whether nothing more is to be sent.
    fn is_over(&self, now: Instant) -> bool {
        now >= self.measure.1 || self.report.sent >= self.share.requests_max
    }

    fn sleep(&self, now: Instant) -> Duration {
        match &self.pace {
            Some(pace) if !self.idle.is_empty() => pace.next_due().saturating_duration_since(now).min(SLEEP_MAX),
            _ => SLEEP_MAX,
        }
    }

    fn bring_up(&mut self, now: Instant) {
        if self.down == 0 {
            return;
        }
        for index in 0..self.slots.len() {
            let Slot::Down(at, sequence) = &mut self.slots[index] else {
                continue;
            };
            if *at > now {
                continue;
            }
            match Lane::connect(self.poll.registry(), Token(index), self.options.target, sequence.clone()) {
                Ok(lane) => {
                    self.slots[index] = Slot::Up(lane);
                    self.down -= 1;
                }
                Err(_) => *at = now + RECONNECT_AFTER,
            }
        }
    }

    fn send_what_is_due(&mut self, now: Instant) {
        while self.pace.is_some() && !self.is_over(now) {
            let Some(&index) = self.idle.front() else {
                if let Some(pace) = &mut self.pace {
                    pace.no_connection(now);
                }
                return;
            };
            let Some(since) = self.pace.as_mut().and_then(|pace| pace.take(now)) else {
                return;
            };
            self.idle.pop_front();
            self.send(index, since);
        }
    }

    fn send(&mut self, index: usize, since: Instant) {
        let Some(Slot::Up(lane)) = self.slots.get_mut(index) else {
            return;
        };
        self.report.sent += 1;
        self.under_way += 1;
        if lane.send(&mut self.template, since).is_err() {
            self.take_down(index);
        }
    }

    /// Something happened on this connection.
    fn attend(&mut self, index: usize) {
        let Some(Slot::Up(lane)) = self.slots.get_mut(index) else {
            return;
        };
        if !lane.is_connected() {
            match lane.connected() {
                Ok(true) => self.next(index, Instant::now()),
                Ok(false) => {}
                Err(_) => self.take_down(index),
            }
            return;
        }
        match lane.go_on_writing().and_then(|()| lane.receive()) {
            Ok(None) => {}
            Ok(Some(done)) => self.finish(index, done),
            Err(_) => self.take_down(index),
        }
    }

    fn finish(&mut self, index: usize, done: Done) {
        let now = Instant::now();
        self.under_way -= 1;
        self.report.accepted = self.report.accepted.saturating_add(done.accepted);
        self.report.duplicates = self.report.duplicates.saturating_add(done.duplicates);
        if (200..300).contains(&done.status) {
            self.report.ok += 1;
            if now >= self.measure.0 && now < self.measure.1 {
                self.report.measured += 1;
                self.report.latency.record(now - done.since);
            }
        } else {
            self.report.other += 1;
            self.report.other_status = Some(done.status);
        }
        self.next(index, now);
    }

    /// The connection is free for another request.
    fn next(&mut self, index: usize, now: Instant) {
        if self.pace.is_some() {
            self.idle.push_back(index);
        } else if !self.is_over(now) {
            self.send(index, now);
        }
    }

    fn take_down(&mut self, index: usize) {
        let Slot::Up(lane) = &self.slots[index] else {
            return;
        };
        if lane.busy() {
            self.under_way -= 1;
            self.report.unanswered += 1;
        }
        let sequence = lane.sequence();
        // Closing the socket takes it out of the poll.
        self.slots[index] = Slot::Down(Instant::now() + RECONNECT_AFTER, sequence);
        self.down += 1;
        self.idle.retain(|&other| other != index);
    }
}

/// Processor time of this thread: the first number of its `schedstat`, in nanoseconds.
fn cpu_of_this_thread() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}
