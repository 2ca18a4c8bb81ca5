//! All lanes of one output: what to read next, what to send next, what is released.
//!
//! Owns the memory budget, the allowance of what is under way, fairness between lanes, parking, and the progress that the
//! queue stores. Promises (I7) that memory is bounded by the budget and one row, never by the backlog; that every lane stays
//! in order; and that the head never passes a row that a lane on the main cursor needs.
//!
//! When the budget is full and there is more to read: lanes are parked that are halted, that keep failing while others
//! progress, or that the broker says nothing of while others progress; else, if nothing is under way or ready to go, the
//! oldest open spans end (the third exception of I3); else nothing is read until the broker acknowledges. A parked lane
//! forgets its unsent readings (they are durable) and remembers the row to resume at; parked lanes that are ready again
//! share one catch-up cursor, which runs up to the main cursor, where they join.
//!
//! Pure: (event, now) to actions. Must not know cursors, clients, threads or clocks.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::backoff::Dice;
use super::gate::Gate;
use super::lane::{Lane, State, Stored};
use super::needs::{Needs, Side};
use crate::clock::Mono;
use crate::planted::{self, Bug};
use crate::queue::mailbox::Progress;
use crate::queue::spool::OutputStart;
use crate::queue::types::{Entry, OutputNo, Row, RowNo};
use crate::reading::{Epoch, SensorDef, SensorNo};
use crate::span::Rules;
use crate::ticket::{Outcome, Report, Ticket, TicketId};
use schedule::Schedule;

mod ends;
mod parking;
mod room;
mod schedule;
mod sending;
mod shares;
mod view;

pub use shares::Destination;
pub use view::{LaneView, View};

/// Bytes that are read and not released, in memory; about 80,000 readings of one number.
pub const MEMORY: usize = 2 * 1024 * 1024;
/// Readings under way at once: enough for 100,000/s at 80 ms a round trip, and well below the client's own bound.
pub const UNDER_WAY: usize = 8_192;
/// How often the clock is asked about while readings wait for it, and how soon a span that could not end is looked at again.
const CLOCK_PACE: Duration = Duration::from_secs(1);

/// How one output works.
pub struct Settings {
    /// Which output.
    pub output: OutputNo,
    /// Bytes that are read and not released at most, but for one row.
    pub memory: usize,
    /// Readings under way at most, but for one ticket.
    pub under_way: usize,
    /// How long readings of a clock that was not synchronized wait.
    pub hold: Duration,
    /// How each sensor's readings are cut.
    pub rules: Box<dyn Fn(&SensorDef) -> Rules + Send>,
    /// Where a sensor's records go, as far as it fails as one.
    pub destination: Box<dyn Fn(&SensorDef) -> Destination + Send>,
    /// Where the jitter begins.
    pub seed: u64,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}

/// What the output wants to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// The next row of the main cursor.
    Main,
    /// That row, of the catch-up cursor.
    CatchUp(RowNo),
    /// Nothing now.
    Nothing,
}

/// One output.
#[derive(Debug)]
pub struct Output {
    settings: Settings,
    lanes: BTreeMap<SensorNo, Lane>,
    released: HashMap<SensorNo, (Epoch, u64)>,
    epochs: Vec<Epoch>,
    needs: Needs,
    gate: Gate,
    dice: Dice,
    /// Where each lane's records go.
    destinations: HashMap<SensorNo, (Arc<SensorDef>, Destination)>,
    shares: shares::Shares,
    /// Lanes with something to send for which their destination has no room.
    blocked: HashMap<Destination, VecDeque<SensorNo>>,
    /// Lanes with something to send, in turn.
    ready: VecDeque<SensorNo>,
    is_ready: BTreeSet<SensorNo>,
    /// Lanes whose first readings wait for the clock.
    held: BTreeSet<SensorNo>,
    /// Lanes that halt or back off.
    waiting: BTreeSet<SensorNo>,
    timers: Schedule,
    /// When the spans opened that can be ended to make room.
    opens: Schedule,
    /// When the tickets were sent that are under way, but for those of parked lanes.
    sent: Schedule,
    tickets: HashMap<TicketId, SensorNo>,
    next_ticket: u64,
    under_way: usize,
    main: RowNo,
    at_tail: bool,
    parking: parking::Parking,
    /// Lanes that joined the main cursor and still need rows before the head.
    trailing: BTreeSet<SensorNo>,
    last_delivery: Option<Mono>,
    /// When the latest ticket was sent that is acknowledged.
    overtaken: Mono,
    /// Of the last event.
    now: Mono,
    reachable: bool,
    /// When the clock was last asked about.
    observed: Mono,
    sends: Vec<Arc<Ticket>>,
    entries: Vec<Entry>,
    parks: BTreeMap<SensorNo, RowNo>,
    head: RowNo,
}

impl Output {
    /// An output that has not been told yet where to go on.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let (gate, dice) = (Gate::new(settings.hold), Dice::new(settings.seed));
        Self {
            destinations: HashMap::new(),
            shares: shares::Shares::new(settings.under_way),
            blocked: HashMap::new(),
            settings,
            lanes: BTreeMap::new(),
            released: HashMap::new(),
            epochs: Vec::new(),
            needs: Needs::default(),
            gate,
            dice,
            ready: VecDeque::new(),
            is_ready: BTreeSet::new(),
            held: BTreeSet::new(),
            waiting: BTreeSet::new(),
            timers: Schedule::default(),
            opens: Schedule::default(),
            sent: Schedule::default(),
            tickets: HashMap::new(),
            next_ticket: 1,
            under_way: 0,
            main: 1,
            at_tail: false,
            parking: parking::Parking::default(),
            trailing: BTreeSet::new(),
            last_delivery: None,
            overtaken: Mono(0),
            now: Mono(0),
            reachable: false,
            observed: Mono(0),
            sends: Vec::new(),
            entries: Vec::new(),
            parks: BTreeMap::new(),
            head: 0,
        }
    }

    /// Goes on where the queue says; called once, before anything is read.
    pub fn begin(&mut self, start: &OutputStart) {
        let watermarks = start.released.iter();
        self.released = watermarks
            .map(|(sensor, epoch, through)| (*sensor, (*epoch, *through)))
            .collect();
        self.epochs.clone_from(&start.epochs);
        self.main = start.head.max(1);
        self.head = start.head;
        self.parking = parking::Parking::new(&start.parked);
        self.join_if_met();
    }

    /// The row that the main cursor reads next.
    #[must_use]
    pub fn main_row(&self) -> RowNo {
        self.main
    }

    /// What to read next. When the budget is full, this is where room is made.
    pub fn wants(&mut self) -> Want {
        if self.is_full() {
            self.relieve();
        }
        let room = !self.is_full();
        match self.parking.next(self.main).filter(|_| !self.only_tries()) {
            Some(row) if room && (self.at_tail || self.parking.takes_turn()) => Want::CatchUp(row),
            _ if room && !self.at_tail => Want::Main,
            _ => Want::Nothing,
        }
    }

    /// A row was read by the cursor that [`Output::wants`] named. `def` is what a sensor is at that place of the log.
    pub fn row<'d>(
        &mut self,
        side: Side,
        row: Row,
        def: impl Fn(SensorNo) -> Option<&'d Arc<SensorDef>>,
        now: Mono,
    ) {
        self.now = now;
        if !self.epochs.contains(&row.epoch) {
            self.epochs.push(row.epoch);
        }
        self.checkpoint(side, row.epoch, &row.entries);
        for run in row.runs {
            let sensor = run.sensor;
            // The log defines a sensor before its first reading; a lost definition is damage that the queue reported.
            let Some(def) = def(sensor) else { continue };
            if self.parking.follows(sensor) != (side == Side::CatchUp) || self.parking.is_parked(sensor) {
                continue;
            }
            let run = Arc::new(run);
            self.destine(sensor, def);
            let lane = lane_of(&mut self.lanes, &self.settings, &self.released, sensor, def);
            lane.side = side;
            let stored = Stored {
                row: row.number,
                epoch: row.epoch,
                run: &run,
                def,
            };
            lane.feed(stored, &self.epochs, now, &mut self.needs);
            self.settle(sensor);
        }
        self.moved(side, row.number + 1);
    }

    /// Rows that cannot be read: their readings show as gaps when their sensors' next readings come, or a checkpoint.
    pub fn damaged(&mut self, side: Side, through: RowNo) {
        self.moved(side, through + 1);
    }

    /// The queue gave up readings: what is behind these watermarks is no gap.
    pub fn given_up(&mut self, now: &OutputStart) {
        self.epochs.clone_from(&now.epochs);
        for &(sensor, epoch, through) in &now.released {
            self.released.insert(sensor, (epoch, through));
            if let Some(lane) = self.lanes.get_mut(&sensor) {
                lane.given_up(epoch, through, &self.epochs);
            }
        }
    }

    fn moved(&mut self, side: Side, next: RowNo) {
        match side {
            Side::Main => self.main = next,
            Side::CatchUp => self.parking.moved(next),
        }
        self.join_if_met();
        self.dispatch();
    }

    /// The main cursor is at the durable tail, or (`false`) there is more to read again.
    pub fn at_tail(&mut self, at_tail: bool, now: Mono) {
        self.now = now;
        self.at_tail = at_tail;
        if at_tail {
            self.tick(now);
        }
    }

    /// As [`Output::at_tail`], without ending anything: whether there is more to read.
    pub fn note_tail(&mut self, at_tail: bool) {
        self.at_tail = at_tail;
    }

    /// Whether parked lanes are being brought back.
    #[must_use]
    pub fn is_catching_up(&self) -> bool {
        self.parking.next(self.main).is_some()
    }

    /// What is known of the clock and of the broker.
    pub fn observe(&mut self, synchronized: bool, reachable: bool, now: Mono) {
        (self.now, self.observed, self.reachable) = (now, now, reachable);
        if self.gate.observe(synchronized, reachable, now) {
            self.held.clear();
            for sensor in self.lanes.keys().copied().collect::<Vec<_>>() {
                self.settle(sensor);
            }
            self.dispatch();
        }
    }

    /// The broker's word on a ticket. A word on a ticket that is not under way changes nothing.
    pub fn report(&mut self, report: Report, now: Mono) {
        self.now = now;
        let mut ticket = report.ticket;
        if planted::has(Bug::WrongTicket) {
            ticket = self.tickets.keys().min().copied().unwrap_or(ticket);
        }
        let Some(sensor) = self.tickets.remove(&ticket) else {
            return;
        };
        let Some(lane) = self.lanes.get_mut(&sensor) else {
            return;
        };
        let delivered = matches!(report.outcome, Outcome::Delivered | Outcome::RecordAtFault(_));
        if let Some(to) = self.shares.reported(report.ticket, delivered, now)
            && let Some(blocked) = self.blocked.remove(&to)
        {
            blocked
                .into_iter()
                .rev()
                .for_each(|sensor| self.ready.push_front(sensor));
        }
        if let State::InFlight(ticket) = &lane.state
            && let Some(sent) = self.sent.at(sensor)
        {
            self.under_way = self.under_way.saturating_sub(ticket.len());
            self.sent.set(sensor, None);
            if delivered {
                self.overtaken = self.overtaken.max(sent);
            }
        }
        if delivered {
            self.last_delivery = Some(now);
        }
        lane.report(
            report.outcome,
            now,
            &mut self.dice,
            &mut self.needs,
            &mut self.entries,
        );
        self.note_report(sensor);
        self.settle(sensor);
        self.dispatch();
    }

    /// Time has passed: spans end, waits are over.
    pub fn tick(&mut self, now: Mono) {
        self.now = now;
        while let Some(sensor) = self.timers.pop_due(now) {
            if self.parking.wake(sensor, now) {
                continue;
            }
            let Some(lane) = self.lanes.get_mut(&sensor) else {
                continue;
            };
            lane.tick(self.at_tail && lane.side == Side::Main, now);
            if let Some(ticket) = lane.retry(now) {
                self.send(ticket);
            }
            self.settle(sensor);
            self.look_again(sensor, now);
        }
        self.next_round();
        self.dispatch();
    }

    /// When [`Output::tick`] is wanted; `None` while nothing happens by itself.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        let timer = self.timers.first().map(|(due, _)| due);
        let clock = (!self.held.is_empty()).then(|| self.observed.after(CLOCK_PACE));
        timer.into_iter().chain(clock).chain(self.look_for_room()).min()
    }

    /// Tickets to send, in order.
    pub fn take_sends(&mut self) -> Vec<Arc<Ticket>> {
        std::mem::take(&mut self.sends)
    }

    /// What the queue should store; `None` when nothing changed since the last call.
    pub fn take_progress(&mut self) -> Option<Progress> {
        let lowest = self.needs.lowest().filter(|_| !planted::has(Bug::HeadTooFar));
        let head = lowest.unwrap_or(self.main);
        let entries = std::mem::take(&mut self.entries);
        let parks: Vec<_> = std::mem::take(&mut self.parks).into_iter().collect();
        // A head alone moves with every row of definitions or progress: it waits for company.
        if entries.is_empty() && parks.is_empty() {
            return None;
        }
        let head = (head > self.head).then_some(head);
        self.head = head.unwrap_or(self.head);
        Some(Progress { entries, head, parks })
    }

    /// Readings under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way
    }

    /// Bytes that are read and not released.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.needs.memory()
    }

    /// Brings the sets in line with a lane after it changed.
    fn settle(&mut self, sensor: SensorNo) {
        let Some(lane) = self.lanes.get(&sensor) else {
            return;
        };
        let held = !self.gate.is_open() && lane.is_held();
        if held {
            self.held.insert(sensor);
        }
        if lane.is_ready() && !held && self.is_ready.insert(sensor) {
            self.ready.push_back(sensor);
        }
        if lane.is_waiting() {
            self.waiting.insert(sensor);
        } else {
            self.waiting.remove(&sensor);
        }
        let due = if self.parking.is_parked(sensor) {
            self.parking.due(sensor)
        } else {
            lane.deadline(true)
        };
        self.timers.set(sensor, due);
        let helps = lane.holds_only_open() && (self.gate.is_open() || !lane.opens_unsynced());
        self.opens.set(sensor, lane.opened().filter(|_| helps));
    }

    /// Silence does not end a span while a backlog is read: look again a little later.
    fn look_again(&mut self, sensor: SensorNo, now: Mono) {
        if self.timers.at(sensor).is_some_and(|due| due <= now) {
            let later = now.after(CLOCK_PACE);
            let due = self.lanes.get(&sensor).and_then(|lane| lane.deadline(false));
            self.timers
                .set(sensor, Some(due.map_or(later, |due| due.min(later))));
        }
    }
}

fn lane_of<'l>(
    lanes: &'l mut BTreeMap<SensorNo, Lane>,
    settings: &Settings,
    released: &HashMap<SensorNo, (Epoch, u64)>,
    sensor: SensorNo,
    def: &SensorDef,
) -> &'l mut Lane {
    lanes.entry(sensor).or_insert_with(|| {
        Lane::new(
            settings.output,
            sensor,
            (settings.rules)(def),
            released.get(&sensor).copied(),
        )
    })
}

#[cfg(test)]
mod model;
#[cfg(test)]
#[path = "output/tests.rs"]
mod tests;
