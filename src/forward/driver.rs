//! The forwarder's thread: reads the queue, hands tickets to the broker, brings back what it says.
//!
//! Owns the order of things and no decision: what is read, sent, released or parked is said by the [`Output`], which is
//! pure. Promises to sleep until something happens or a deadline is over; to read nothing that is not durable; to post
//! progress soon after a report, but once for all reports that came together; and to end within the time it is given.
//! Must not know any broker's library, spans or lanes.
//!
//! One bounded channel brings everything: reports, room, the link, status questions, the end. That the tail moved is a
//! flag beside it, so that the commit thread never waits; all else may wait, for nobody here ever waits for them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::broker::{Broker, BrokerError, BrokerEvent, BrokerStatus, Events};
use super::needs::Side;
use super::output::{Output, Settings, View, Want};
use crate::clock::{Clock, Mono};
use crate::queue::cursor::{Cursor, Step};
use crate::queue::spool::Spool;
use crate::queue::types::RowNo;
use crate::ticket::{Report, Ticket};

/// More than a few hundred lanes report at once; beyond it the client's own thread waits a moment.
const CHANNEL: usize = 1024;
/// Rows that are read before the next look at the channel.
const ROWS: usize = 64;
/// Between two attempts to make a client.
const RENEW_AGAIN: Duration = Duration::from_secs(1);

/// What `status` shows of an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The broker.
    pub broker: BrokerStatus,
    /// The lanes.
    pub view: View,
    /// Bytes that are read and not released.
    pub memory: usize,
    /// Tickets that the broker has.
    pub under_way: usize,
    /// Tickets that wait for room.
    pub waiting: usize,
    /// The row that the main cursor reads next.
    pub position: RowNo,
}

/// What a forwarder is made of.
pub struct Parts {
    /// How the output works.
    pub settings: Settings,
    /// The queue's reading handle.
    pub spool: Spool,
    /// The clocks.
    pub clock: Arc<Clock>,
    /// Called when progress waits for a commit and none was on its way; must return at once.
    pub nudge: Box<dyn Fn() + Send>,
}

enum Event {
    Broker(BrokerEvent),
    /// Look at the flag.
    Tail,
    Status(SyncSender<Status>),
    Stop(Duration),
}

/// The handle to a running forwarder.
#[derive(Debug)]
pub struct Forwarder {
    events: SyncSender<Event>,
    thread: JoinHandle<()>,
}

impl Forwarder {
    /// Starts the thread; `broker` makes the broker, given where its events go.
    ///
    /// # Errors
    /// When there is no broker, or no thread.
    pub fn start(
        parts: Parts,
        broker: impl FnOnce(Events) -> Result<Box<dyn Broker>, BrokerError>,
    ) -> Result<Self, BrokerError> {
        let (events, inbox) = sync_channel(CHANNEL);
        let to_us = events.clone();
        let broker = broker(Arc::new(move |event| {
            // Nobody listens only when the forwarder has ended; then nothing matters any more.
            drop(to_us.send(Event::Broker(event)));
        }))?;
        let tail_moved = Arc::new(AtomicBool::new(true));
        let (flag, to_us) = (tail_moved.clone(), events.clone());
        parts.spool.on_commit(Box::new(move || {
            if !flag.swap(true, Ordering::AcqRel) {
                // A full channel wakes it up as well, and it looks at the flag each time.
                drop(to_us.try_send(Event::Tail));
            }
        }));
        let body = move || Driver::new(parts, broker, tail_moved).run(&inbox);
        let thread = thread::Builder::new().name("forward".to_owned()).spawn(body);
        let thread = thread.map_err(BrokerError::Thread)?;
        Ok(Self { events, thread })
    }

    /// How it is; `None` when it does not answer in that time.
    #[must_use]
    pub fn status(&self, patience: Duration) -> Option<Status> {
        let (reply, answer) = sync_channel(1);
        // Whoever asks must not wait longer than said, not even for room in the channel.
        self.events.try_send(Event::Status(reply)).ok()?;
        answer.recv_timeout(patience).ok()
    }

    /// Whether the thread has ended: without [`Forwarder::stop`], by a panic.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Sends nothing more, waits at most `patience` for reports of what is under way, posts what they release, and ends.
    /// The broker is left as it is: the process is expected to end. True when the thread ended in order.
    pub fn stop(self, patience: Duration) -> bool {
        self.events.send(Event::Stop(patience)).is_ok() && self.thread.join().is_ok()
    }
}

struct Driver {
    output: Output,
    spool: Spool,
    clock: Arc<Clock>,
    nudge: Box<dyn Fn() + Send>,
    broker: Box<dyn Broker>,
    main: Cursor,
    /// Kept while parked lanes catch up: it holds a generation open.
    catch_up: Option<Cursor>,
    tail_moved: Arc<AtomicBool>,
    /// Tickets for which the broker had no room, in order.
    waiting: VecDeque<Arc<Ticket>>,
    under_way: usize,
    /// When to try to make a client; `None` while there is one.
    renew: Option<Mono>,
    /// When to end at the latest; `None` while nobody said so.
    end: Option<Mono>,
}

impl Driver {
    fn new(parts: Parts, broker: Box<dyn Broker>, tail_moved: Arc<AtomicBool>) -> Self {
        let output = Output::new(parts.settings, &parts.spool.start());
        let main = parts.spool.cursor(output.main_row());
        Self {
            output,
            spool: parts.spool,
            clock: parts.clock,
            nudge: parts.nudge,
            broker,
            main,
            catch_up: None,
            tail_moved,
            waiting: VecDeque::new(),
            under_way: 0,
            renew: None,
            end: None,
        }
    }

    fn run(mut self, events: &Receiver<Event>) {
        loop {
            loop {
                match events.try_recv() {
                    Ok(event) => self.event(event),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            let now = self.clock.mono();
            self.pass_time(now);
            let read_all = self.end.is_some() || self.read(now);
            self.post();
            if self.end.is_some_and(|end| self.under_way == 0 || end <= now) {
                break;
            }
            if read_all && !self.wait(events) {
                return;
            }
        }
        self.broker.leave();
    }

    /// Sleeps until something happens; false when nobody is left who could want anything.
    fn wait(&mut self, events: &Receiver<Event>) -> bool {
        let now = self.clock.mono();
        let deadlines = [self.output.next_deadline(now), self.renew, self.end];
        let event = match deadlines.into_iter().flatten().min() {
            None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(until) => events.recv_timeout(until.since(now)),
        };
        match event {
            Ok(event) => self.event(event),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        true
    }

    fn event(&mut self, event: Event) {
        let now = self.clock.mono();
        match event {
            Event::Tail | Event::Broker(BrokerEvent::Link(_)) => {}
            Event::Broker(BrokerEvent::Report(report)) => self.report(report, now),
            Event::Broker(BrokerEvent::Room) => {
                self.broker.resume();
                self.send(now);
            }
            Event::Broker(BrokerEvent::Lost(why)) => {
                tracing::warn!(why = &*why, "making a new client");
                self.renew = Some(now);
            }
            #[expect(
                clippy::panic,
                reason = "a bug elsewhere: this thread's end is how the agent learns of it"
            )]
            Event::Broker(BrokerEvent::Panicked) => panic!("a thread of the broker's client panicked"),
            Event::Status(reply) => drop(reply.try_send(self.status())),
            Event::Stop(patience) => self.end = Some(now.after(patience)),
        }
    }

    fn report(&mut self, report: Report, now: Mono) {
        self.under_way = self.under_way.saturating_sub(1);
        self.output.report(report, now);
        self.send(now);
    }

    fn pass_time(&mut self, now: Mono) {
        let synchronized = self.clock.is_synchronized();
        self.output.observe(synchronized, self.broker.reachable(), now);
        self.output.tick(now);
        if self.renew.is_some_and(|at| at <= now) && self.end.is_none() {
            self.renew = match self.broker.renew() {
                Ok(()) => None,
                Err(error) => {
                    tracing::error!(%error, "no new client");
                    Some(now.after(RENEW_AGAIN))
                }
            };
        }
        self.send(now);
    }

    /// Hands over what the output sends, until the broker has no room, and brings back what was reported meanwhile.
    fn send(&mut self, now: Mono) {
        loop {
            self.waiting.extend(self.output.take_sends());
            while self.end.is_none()
                && let Some(ticket) = self.waiting.front()
                && self.broker.send(ticket.clone()).is_ok()
            {
                self.under_way += 1;
                self.waiting.pop_front();
            }
            let Some(report) = self.broker.ready() else {
                return;
            };
            self.under_way = self.under_way.saturating_sub(1);
            self.output.report(report, now);
        }
    }

    fn post(&mut self) {
        if let Some(progress) = self.output.take_progress()
            && self.spool.post(progress)
        {
            (self.nudge)();
        }
    }

    /// Reads what is wanted, but not for long; true when there is nothing more to read now.
    fn read(&mut self, now: Mono) -> bool {
        if self.tail_moved.swap(false, Ordering::AcqRel) {
            self.output.at_tail(false, now);
        }
        for _ in 0..ROWS {
            match self.output.wants() {
                Want::Nothing => {
                    if !self.output.is_catching_up() {
                        self.catch_up = None;
                    }
                    // Making room may have ended a span.
                    self.send(now);
                    return true;
                }
                Want::Main => step(&mut self.output, Side::Main, &mut self.main, now),
                Want::CatchUp(row) => {
                    let spool = &self.spool;
                    let cursor = self.catch_up.take().filter(|cursor| cursor.position() == row);
                    let cursor = self.catch_up.insert(cursor.unwrap_or_else(|| spool.cursor(row)));
                    step(&mut self.output, Side::CatchUp, cursor, now);
                }
            }
            self.send(now);
        }
        false
    }

    fn status(&self) -> Status {
        Status {
            broker: self.broker.status(),
            view: self.output.view(),
            memory: self.output.memory(),
            under_way: self.under_way,
            waiting: self.waiting.len(),
            position: self.main.position(),
        }
    }
}

/// One step of a cursor.
fn step(output: &mut Output, side: Side, cursor: &mut Cursor, now: Mono) {
    match cursor.step() {
        Some(Step::Row(row)) => output.row(side, row, |sensor| cursor.def(sensor), now),
        Some(Step::Damaged { from, through, why }) => {
            tracing::error!(from, through, why, "rows of the queue cannot be read");
            output.damaged(side, through);
        }
        None => output.at_tail(true, now),
    }
}

#[cfg(test)]
mod tests;
