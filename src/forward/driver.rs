//! The forwarder's thread: reads the queue, hands tickets to the broker, brings back what it says.
//!
//! Owns the order of things and no decision: what is sent, released or parked is said by a [`Core`], which is pure.
//! Promises to sleep until something happens or a deadline of the core's is over; to read nothing that is not durable;
//! to post progress soon after a report, but once for all reports that came together; and to end within the time it is
//! given. Must not know any broker's library, spans or lanes.
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
use crate::clock::{Clock, Mono};
use crate::queue::cursor::{Cursor, Step};
use crate::queue::mailbox::Progress;
use crate::queue::spool::{OutputStart, Spool};
use crate::queue::types::RowNo;
use crate::reading::{SensorDef, SensorNo};
use crate::ticket::{Report, Ticket};

/// More than a few hundred lanes report at once; beyond it the client's own thread waits a moment.
const CHANNEL: usize = 1024;
/// Rows that are read before the next look at the channel.
const ROWS: usize = 64;
/// Between two attempts to make a client.
const RENEW_AGAIN: Duration = Duration::from_secs(1);

/// Which of an output's two cursors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// The one that walks all rows.
    Main,
    /// The one that parked lanes share until they have caught up.
    CatchUp,
}

/// What a cursor knows beside the row itself.
#[derive(Debug)]
pub struct Definitions<'a>(&'a Cursor);

impl<'a> Definitions<'a> {
    /// What a sensor is at this place of the log.
    #[must_use]
    pub fn of(&self, sensor: SensorNo) -> Option<&'a Arc<SensorDef>> {
        self.0.def(sensor)
    }
}

/// What the core wants done.
#[derive(Debug)]
pub enum Action {
    /// Hand it to the broker; it will be reported once.
    Send(Arc<Ticket>),
    /// Hand it to the queue.
    Post(Progress),
    /// Begin, or begin anew, to read with the catch-up cursor at that row.
    CatchUp(RowNo),
    /// Let go of the catch-up cursor.
    CaughtUp,
}

/// The deciding half of the forwarder.
///
/// Every call may ask for actions, which are done in order. Nothing here may block or read a clock.
pub trait Core: Send + 'static {
    /// What it tells about itself for `status`.
    type Status: Send + 'static;

    /// Where the queue says that this output goes on; called once, first.
    fn begin(&mut self, start: OutputStart, now: Mono, actions: &mut Vec<Action>);
    /// Whose next row is wanted; `None` while the budget is full or nobody needs any. The main cursor's is not to be had
    /// while it stands at the durable tail. This is where a full budget makes room.
    fn wants(&mut self, main_at_tail: bool, actions: &mut Vec<Action>) -> Option<Reader>;
    /// The queue gave up readings; these watermarks hold now.
    fn given_up(&mut self, now: &OutputStart);
    /// A step of a cursor that was wanted; `None` when it stands at the durable tail.
    fn step(
        &mut self,
        reader: Reader,
        step: Option<Step>,
        definitions: &Definitions<'_>,
        now: Mono,
        actions: &mut Vec<Action>,
    );
    /// What became of a ticket.
    fn report(&mut self, report: Report, now: Mono, actions: &mut Vec<Action>);
    /// The broker can be reached, or no more.
    fn link(&mut self, up: bool, now: Mono, actions: &mut Vec<Action>);
    /// A deadline may be over; `synchronized` is what the kernel says of the clock.
    fn tick(&mut self, now: Mono, synchronized: bool, actions: &mut Vec<Action>);
    /// When [`Core::tick`] has to be called at the latest; `None` when time alone changes nothing.
    fn deadline(&self) -> Option<Mono>;
    /// The figures for `status`.
    fn status(&self, now: Mono) -> Self::Status;
}

/// What `status` shows of an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status<S> {
    /// The broker.
    pub broker: BrokerStatus,
    /// The core.
    pub core: S,
    /// Tickets that the broker has.
    pub under_way: usize,
    /// Tickets that wait for room.
    pub waiting: usize,
    /// The row that the main cursor reads next.
    pub position: RowNo,
}

/// What a forwarder is made of.
pub struct Parts<C> {
    /// Decides.
    pub core: C,
    /// The queue's reading handle.
    pub spool: Spool,
    /// The clocks.
    pub clock: Arc<Clock>,
    /// Called when progress waits for a commit and none was on its way; must return at once.
    pub nudge: Box<dyn Fn() + Send>,
}

enum Event<S> {
    Broker(BrokerEvent),
    /// Look at the flag.
    Tail,
    Status(SyncSender<Status<S>>),
    Stop(Duration),
}

/// The handle to a running forwarder.
#[derive(Debug)]
pub struct Forwarder<S> {
    events: SyncSender<Event<S>>,
    thread: JoinHandle<()>,
}

impl<S: Send + 'static> Forwarder<S> {
    /// Starts the thread; `broker` makes the broker, given where its events go.
    ///
    /// # Errors
    /// When there is no broker, or no thread.
    pub fn start<C: Core<Status = S>>(
        parts: Parts<C>,
        broker: impl FnOnce(Events) -> Result<Box<dyn Broker>, BrokerError>,
    ) -> Result<Self, BrokerError> {
        let (events, inbox) = sync_channel(CHANNEL);
        let to_us = events.clone();
        let broker = broker(Arc::new(move |event| {
            // Nobody listens only when the forwarder has ended; then nothing matters any more.
            drop(to_us.send(Event::Broker(event)));
        }))?;
        let to_us = events.clone();
        let tail_moved = watch_tail(&parts.spool, move || {
            // A full channel wakes it up as well, and it looks at the flag each time.
            drop(to_us.try_send(Event::Tail));
        });
        let body = move || Driver::new(parts, broker, tail_moved).run(&inbox);
        let thread = thread::Builder::new().name("forward".to_owned()).spawn(body);
        let thread = thread.map_err(BrokerError::Thread)?;
        Ok(Self { events, thread })
    }

    /// How it is; `None` when it does not answer in that time.
    #[must_use]
    pub fn status(&self, patience: Duration) -> Option<Status<S>> {
        let (reply, answer) = sync_channel(1);
        self.events.send(Event::Status(reply)).ok()?;
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

/// A flag that each commit raises, and `wake` when it was down.
pub fn watch_tail(spool: &Spool, wake: impl Fn() + Send + Sync + 'static) -> Arc<AtomicBool> {
    let raised = Arc::new(AtomicBool::new(true));
    let flag = raised.clone();
    spool.on_commit(Box::new(move || {
        if !flag.swap(true, Ordering::AcqRel) {
            wake();
        }
    }));
    raised
}

/// What a round of the forwarder came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Round {
    /// There is more to do at once.
    Again,
    /// Nothing happens before that moment, or before an event; `None` when time alone changes nothing.
    Wait(Option<Mono>),
    /// It was told to end, and has.
    Ended,
}

/// The forwarder without its thread: steps that wait for nothing.
pub struct Driver<C: Core> {
    core: C,
    spool: Spool,
    clock: Arc<Clock>,
    nudge: Box<dyn Fn() + Send>,
    broker: Box<dyn Broker>,
    main: Cursor,
    catch_up: Option<Cursor>,
    tail_moved: Arc<AtomicBool>,
    /// The main cursor stands at the durable tail as it was last.
    at_tail: bool,
    actions: Vec<Action>,
    /// Tickets for which the broker had no room, in order.
    waiting: VecDeque<Arc<Ticket>>,
    under_way: usize,
    progress: Progress,
    /// When to try to make a client; `None` while there is one.
    renew: Option<Mono>,
    /// When to end at the latest; `None` while nobody said so.
    end: Option<Mono>,
}

impl<C: Core> Driver<C> {
    /// Takes up where the queue says; `tail_moved` is what [`watch_tail`] gave.
    #[must_use]
    pub fn new(parts: Parts<C>, broker: Box<dyn Broker>, tail_moved: Arc<AtomicBool>) -> Self {
        let start = parts.spool.start();
        let main = parts.spool.cursor(start.head);
        let mut driver = Self {
            core: parts.core,
            spool: parts.spool,
            clock: parts.clock,
            nudge: parts.nudge,
            broker,
            main,
            catch_up: None,
            tail_moved,
            at_tail: false,
            actions: Vec::new(),
            waiting: VecDeque::new(),
            under_way: 0,
            progress: Progress::default(),
            renew: None,
            end: None,
        };
        let now = driver.clock.mono();
        driver.core.begin(start, now, &mut driver.actions);
        driver
    }

    fn run(mut self, events: &Receiver<Event<C::Status>>) {
        loop {
            loop {
                match events.try_recv() {
                    Ok(event) => self.event(event),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            match self.round() {
                Round::Again => {}
                Round::Wait(until) if self.wait(events, until) => {}
                Round::Wait(_) => return,
                Round::Ended => break,
            }
        }
        self.broker.leave();
    }

    /// Does what is due, and reads what is wanted, but not for long.
    pub fn round(&mut self) -> Round {
        let now = self.clock.mono();
        self.pass_time(now);
        self.act(now);
        let read_all = self.end.is_some() || self.read(now);
        self.post();
        if self.has_ended(now) {
            return Round::Ended;
        }
        if !read_all {
            return Round::Again;
        }
        let deadlines = [self.core.deadline(), self.broker.deadline(), self.renew, self.end];
        Round::Wait(deadlines.into_iter().flatten().min())
    }

    /// Sleeps until something happens; false when nobody is left who could want anything.
    fn wait(&mut self, events: &Receiver<Event<C::Status>>, until: Option<Mono>) -> bool {
        let event = match until {
            None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(until) => events.recv_timeout(until.since(self.clock.mono())),
        };
        match event {
            Ok(event) => self.event(event),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        true
    }

    fn event(&mut self, event: Event<C::Status>) {
        match event {
            Event::Tail => {}
            Event::Broker(event) => self.hear(event),
            Event::Status(reply) => drop(reply.try_send(self.status())),
            Event::Stop(patience) => self.stop(patience),
        }
    }

    /// Takes what the broker tells.
    pub fn hear(&mut self, event: BrokerEvent) {
        let now = self.clock.mono();
        match event {
            BrokerEvent::Report(report) => self.report(report, now),
            BrokerEvent::Room => self.send_waiting(now),
            BrokerEvent::Link(up) => self.core.link(up, now, &mut self.actions),
            BrokerEvent::Lost(why) => {
                tracing::warn!(why = &*why, "making a new client");
                self.renew = Some(now);
            }
            #[expect(
                clippy::panic,
                reason = "a bug elsewhere: this thread's end is how the agent learns of it"
            )]
            BrokerEvent::Panicked => panic!("a thread of the broker's client panicked"),
        }
        self.act(now);
    }

    /// Sends nothing more, and ends when all is reported or `patience` is over.
    pub fn stop(&mut self, patience: Duration) {
        self.end = Some(self.clock.mono().after(patience));
    }

    fn report(&mut self, report: Report, now: Mono) {
        self.under_way = self.under_way.saturating_sub(1);
        self.core.report(report, now, &mut self.actions);
    }

    fn pass_time(&mut self, now: Mono) {
        if self.core.deadline().is_some_and(|deadline| deadline <= now) {
            let synchronized = self.clock.is_synchronized();
            self.core.tick(now, synchronized, &mut self.actions);
        }
        if self.broker.deadline().is_some_and(|deadline| deadline <= now) {
            self.send_waiting(now);
        }
        if self.renew.is_some_and(|at| at <= now) && self.end.is_none() {
            self.renew = match self.broker.renew() {
                Ok(()) => None,
                Err(error) => {
                    tracing::error!(%error, "no new client");
                    Some(now.after(RENEW_AGAIN))
                }
            };
            self.send_waiting(now);
        }
    }

    /// Does what the core asked for, and what comes of that.
    fn act(&mut self, now: Mono) {
        loop {
            for action in std::mem::take(&mut self.actions) {
                match action {
                    Action::Send(ticket) => self.waiting.push_back(ticket),
                    Action::Post(progress) => self.add_progress(progress),
                    Action::CatchUp(row) => {
                        self.catch_up = Some(self.spool.cursor(row));
                    }
                    Action::CaughtUp => self.catch_up = None,
                }
            }
            self.offer();
            while let Some(report) = self.broker.ready() {
                self.report(report, now);
            }
            if self.actions.is_empty() {
                return;
            }
        }
    }

    fn send_waiting(&mut self, now: Mono) {
        self.broker.resume();
        self.act(now);
    }

    /// Hands tickets to the broker until it has no room.
    fn offer(&mut self) {
        while self.end.is_none()
            && let Some(ticket) = self.waiting.front()
        {
            if self.broker.send(ticket.clone()).is_err() {
                return;
            }
            self.under_way += 1;
            self.waiting.pop_front();
        }
    }

    fn add_progress(&mut self, mut more: Progress) {
        self.progress.entries.append(&mut more.entries);
        self.progress.head = self.progress.head.max(more.head);
        self.progress.parks.append(&mut more.parks);
    }

    fn post(&mut self) {
        if self.progress != Progress::default() && self.spool.post(std::mem::take(&mut self.progress)) {
            (self.nudge)();
        }
    }

    /// Reads what is wanted, but not for long; true when there is nothing more to read now.
    fn read(&mut self, now: Mono) -> bool {
        if self.tail_moved.swap(false, Ordering::AcqRel) {
            self.at_tail = false;
            self.main.let_go();
            self.catch_up.iter_mut().for_each(Cursor::let_go);
        }
        for _ in 0..ROWS {
            let wanted = self.core.wants(self.at_tail, &mut self.actions);
            self.act(now);
            let Some(reader) = wanted else { return true };
            let cursor = match (reader, &mut self.catch_up) {
                (Reader::CatchUp, Some(cursor)) => cursor,
                _ => &mut self.main,
            };
            let step = cursor.step();
            if reader == Reader::Main {
                self.at_tail = step.is_none();
            }
            if let Some(Step::Damaged { from, through, why }) = &step {
                tracing::error!(
                    from,
                    through,
                    why,
                    "rows of the queue cannot be read; their readings are given up"
                );
            }
            if let Some(Step::GivenUp { .. }) = &step {
                self.core.given_up(&self.spool.start());
            }
            let definitions = Definitions(cursor);
            self.core.step(reader, step, &definitions, now, &mut self.actions);
            self.act(now);
        }
        false
    }

    fn has_ended(&self, now: Mono) -> bool {
        self.end.is_some_and(|end| self.under_way == 0 || end <= now)
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> Status<C::Status> {
        let now = self.clock.mono();
        Status {
            broker: self.broker.status(),
            core: self.core.status(now),
            under_way: self.under_way,
            waiting: self.waiting.len(),
            position: self.main.position(),
        }
    }
}

#[cfg(test)]
mod tests;
