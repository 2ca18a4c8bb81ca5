//! The thread with a core that does the simplest thing: every run is a ticket, every delivery a release.

use std::sync::mpsc::sync_channel;

use super::*;
use crate::clock::BootId;
use crate::forward::broker::scripted::{Script, scripted};
use crate::queue::appender::Commit;
use crate::queue::memory_store::MemoryStore;
use crate::queue::open::{Queue, Settings, open};
use crate::queue::types::{Entry, OutputNo, Release, Run};
use crate::reading::{
    Epoch, Measurement, Quality, Reading, SensorId, Stamp, TimeQuality, Value, ValueKind, Values,
};
use crate::ticket::{Outcome, Piece, Span, TicketId};

const PATIENCE: Duration = Duration::from_secs(60);
const STAMP: Stamp = Stamp {
    wall: 1,
    mono: 1,
    quality: TimeQuality::Synchronized,
};

/// Reads as long as fewer readings than that are not acknowledged.
#[derive(Default)]
struct Simple {
    tickets: Vec<Arc<Ticket>>,
    budget: usize,
    ticks: u64,
    due: Option<Mono>,
    links: Vec<bool>,
}

impl Core for Simple {
    type Status = (usize, u64, Vec<bool>);

    fn begin(&mut self, start: OutputStart, now: Mono, _: &mut Vec<Action>) {
        assert!(start.head >= 1);
        self.due = Some(now.after(Duration::from_millis(1)));
    }

    fn wants(&mut self, main_at_tail: bool, _: &mut Vec<Action>) -> Option<Reader> {
        let open = self.tickets.iter().filter(|ticket| !ticket.is_empty()).count();
        (!main_at_tail && open < self.budget).then_some(Reader::Main)
    }

    fn given_up(&mut self, _: &OutputStart) {}

    fn step(
        &mut self,
        _: Reader,
        step: Option<Step>,
        definitions: &Definitions<'_>,
        _: Mono,
        actions: &mut Vec<Action>,
    ) {
        let Some(Step::Row(row)) = step else { return };
        for run in row.runs {
            let run: Arc<Run> = Arc::new(run);
            let ticket = Arc::new(Ticket {
                id: TicketId(run.first),
                output: OutputNo(0),
                sensor: run.sensor,
                def: definitions.of(run.sensor).expect("defined").clone(),
                epoch: row.epoch,
                spans: vec![Span {
                    pieces: vec![Piece {
                        row: row.number,
                        from: 0,
                        to: run.len(),
                        run,
                    }],
                }],
            });
            self.tickets.push(ticket.clone());
            actions.push(Action::Send(ticket));
        }
    }

    fn report(&mut self, report: Report, _: Mono, actions: &mut Vec<Action>) {
        let at = self.tickets.iter().position(|ticket| ticket.id == report.ticket);
        let ticket = self.tickets.remove(at.expect("a ticket that was sent, once"));
        if report.outcome != Outcome::Delivered {
            self.tickets.push(ticket.clone());
            return actions.push(Action::Send(ticket));
        }
        let release = Entry::Release(Release {
            output: ticket.output,
            sensor: ticket.sensor,
            epoch: ticket.epoch,
            through: ticket.last(),
        });
        actions.push(Action::Post(Progress {
            entries: vec![release],
            ..Progress::default()
        }));
    }

    fn link(&mut self, up: bool, _: Mono, _: &mut Vec<Action>) {
        self.links.push(up);
    }

    fn tick(&mut self, _: Mono, _: bool, _: &mut Vec<Action>) {
        self.ticks += 1;
        self.due = None;
    }

    fn deadline(&self) -> Option<Mono> {
        self.due
    }

    fn status(&self, _: Mono) -> Self::Status {
        (self.tickets.len(), self.ticks, self.links.clone())
    }
}

struct Bench {
    queue: Queue,
    store: MemoryStore,
    script: Script,
    forwarder: Forwarder<(usize, u64, Vec<bool>)>,
    nudged: Receiver<()>,
}

fn queue(store: &MemoryStore) -> Queue {
    let settings = Settings {
        generation_bytes: 1 << 20,
        limits: Default::default(),
        outputs: 1,
        boot: BootId::default(),
        fresh_epoch: Epoch(7),
    };
    open(Arc::new(store.clone()), &settings, STAMP).unwrap()
}

impl Bench {
    /// `room` is the broker's, in tickets; `budget` the core's.
    fn new(room: usize, budget: usize) -> Self {
        let store = MemoryStore::new();
        let mut queue = queue(&store);
        let (nudge, nudged) = sync_channel(1000);
        let parts = Parts {
            core: Simple {
                budget,
                ..Simple::default()
            },
            spool: queue.spools.remove(0),
            clock: Arc::new(Clock::new()),
            nudge: Box::new(move || nudge.send(()).unwrap_or_default()),
        };
        let mut script = None;
        let forwarder = Forwarder::start(parts, |events| {
            let (broker, handle) = scripted(room, events);
            script = Some(handle);
            Ok(Box::new(broker))
        })
        .unwrap();
        Self {
            queue,
            store,
            script: script.unwrap(),
            forwarder,
            nudged,
        }
    }

    /// Commits so many rows of one reading each.
    fn commit(&mut self, rows: u64) {
        for _ in 0..rows {
            let def = SensorDef {
                id: SensorId::new("s").unwrap(),
                measurements: vec![Measurement {
                    name: "t".into(),
                    kind: ValueKind::Number,
                    unit: None,
                }],
                tags: vec![],
            };
            let commit = Commit {
                definitions: vec![(SensorNo(0), Arc::new(def))],
                readings: vec![Reading {
                    sensor: SensorNo(0),
                    time: STAMP,
                    quality: Quality::Good,
                    values: Values::One(Value::Number(1.0)),
                }],
                ..Commit::default()
            };
            self.queue.appender.commit(commit, STAMP).unwrap();
        }
    }

    fn until(&self, reached: impl Fn(&Self) -> bool) {
        let patience = crate::clock::mono().after(PATIENCE);
        while !reached(self) {
            assert!(
                crate::clock::mono() < patience,
                "{:?}",
                self.forwarder.status(PATIENCE)
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn sent(&self) -> Vec<u64> {
        self.script.under_way().iter().map(|ticket| ticket.id.0).collect()
    }

    /// How many readings are released, with what is posted by now.
    fn delivered(&mut self) -> u64 {
        self.queue.appender.commit(Commit::default(), STAMP).unwrap();
        self.queue.observer.figures().ledger.delivered
    }

    /// A report is posted soon, not at once: status may be asked before that.
    fn until_delivered(&mut self, readings: u64) {
        let patience = crate::clock::mono().after(PATIENCE);
        while self.delivered() != readings {
            assert!(
                crate::clock::mono() < patience,
                "{:?}",
                self.forwarder.status(PATIENCE)
            );
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn what_is_committed_is_sent_and_what_is_acknowledged_is_released() {
    let mut bench = Bench::new(10, 10);
    bench.commit(3);
    bench.until(|bench| bench.sent() == [1, 2, 3]);
    assert_eq!(bench.delivered(), 0);
    for id in 1..=3 {
        assert!(bench.script.report(TicketId(id), Outcome::Delivered));
    }
    bench
        .nudged
        .recv_timeout(PATIENCE)
        .expect("a nudge, for there may be no reading");
    bench.until_delivered(3);
    bench.commit(1);
    bench.until(|bench| bench.sent() == [4]);
}

#[test]
fn reading_stops_at_the_cores_budget_and_sending_at_the_brokers_room() {
    let mut bench = Bench::new(2, 5);
    bench.commit(20);
    bench.until(|bench| bench.sent().len() == 2);
    let status = bench.forwarder.status(PATIENCE).unwrap();
    assert_eq!((status.under_way, status.waiting, status.core.0), (2, 3, 5));
    for id in 1..=20 {
        bench.until(|bench| bench.sent().first() == Some(&id));
        assert!(bench.script.report(TicketId(id), Outcome::Delivered));
    }
    bench.until_delivered(20);
}

#[test]
fn a_lost_client_is_replaced_and_its_tickets_are_sent_again() {
    let mut bench = Bench::new(10, 10);
    bench.commit(2);
    bench.until(|bench| bench.sent() == [1, 2]);
    bench.script.lose_client("out of sequence");
    bench.until(|bench| bench.script.clients() == 2 && bench.sent() == [1, 2]);
    bench.commit(1);
    bench.until(|bench| bench.sent() == [1, 2, 3]);
}

#[test]
fn the_link_and_deadlines_reach_the_core() {
    let bench = Bench::new(10, 10);
    bench.script.set_reachable(false);
    bench.script.set_reachable(true);
    bench.until(|bench| {
        let (_, ticks, links) = bench.forwarder.status(PATIENCE).unwrap().core;
        ticks == 1 && links == [false, true]
    });
}

#[test]
fn stopping_waits_for_reports_and_posts_what_they_release() {
    let mut bench = Bench::new(1, 10);
    bench.commit(3);
    bench.until(|bench| bench.sent() == [1]);
    let script = bench.script.clone();
    let stopped = thread::scope(|scope| {
        let forwarder = bench.forwarder;
        let stopping = scope.spawn(move || forwarder.stop(PATIENCE));
        thread::sleep(Duration::from_millis(20));
        assert!(script.report(TicketId(1), Outcome::Delivered));
        stopping.join().unwrap()
    });
    assert!(stopped && script.left());
    assert_eq!(script.under_way(), [], "nothing more was sent");
    bench.queue.appender.commit(Commit::default(), STAMP).unwrap();
    assert_eq!(bench.queue.observer.figures().ledger.delivered, 1);
    drop(bench.store);
}

#[test]
fn stopping_ends_although_nothing_is_reported() {
    let mut bench = Bench::new(10, 10);
    bench.commit(3);
    bench.until(|bench| bench.sent().len() == 3);
    assert!(bench.forwarder.stop(Duration::from_millis(20)));
    assert!(bench.script.left());
}
