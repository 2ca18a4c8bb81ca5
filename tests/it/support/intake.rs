//! The real intake over a queue in memory: what sources hand in to, and what became durable of it.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use edgespool::clock::{BootId, Clock};
use edgespool::intake::catalog::Catalog;
use edgespool::intake::committer::{Committer, Tally};
use edgespool::intake::inbox::{Inbox, NodePosition};
use edgespool::queue::appender::Appender;
use edgespool::queue::cursor::Step;
use edgespool::queue::memory_store::MemoryStore;
use edgespool::queue::open::{Settings, open};
use edgespool::queue::spool::Spool;
use edgespool::queue::store::StoreError;
use edgespool::reading::{Epoch, Quality, TimeQuality, Value};
use edgespool::source::{Context, Knowledge};

/// One reading as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    pub(crate) sensor: String,
    pub(crate) sequence: u64,
    pub(crate) wall: i64,
    pub(crate) quality: Quality,
    pub(crate) time_quality: TimeQuality,
    pub(crate) values: Vec<Value>,
}

/// One run of an agent's intake; what it stores outlives it in the store.
pub(crate) struct Intake {
    store: MemoryStore,
    inbox: Arc<Inbox>,
    clock: Arc<Clock>,
    spool: Spool,
    nodes: Vec<NodePosition>,
    waiting: Option<Appender>,
    thread: Option<JoinHandle<Result<Appender, StoreError>>>,
}

impl Intake {
    /// Opens the queue; nothing is committed before [`Intake::go`].
    pub(crate) fn held(store: &MemoryStore, max_sensors: usize) -> Self {
        let clock = Arc::new(Clock::new());
        let settings = Settings {
            generation_bytes: 1 << 22,
            limits: Default::default(),
            outputs: 1,
            boot: BootId::default(),
            fresh_epoch: Epoch(7),
        };
        let mut queue = open(Arc::new(store.clone()), &settings, clock.stamp()).unwrap();
        let inbox = Arc::new(Inbox::new(
            Duration::from_millis(20),
            Catalog::new(queue.sensors, max_sensors),
        ));
        Self {
            store: store.clone(),
            inbox,
            clock,
            spool: queue.spools.remove(0),
            nodes: queue.nodes,
            waiting: Some(queue.appender),
            thread: None,
        }
    }

    /// Opens the queue and commits.
    pub(crate) fn start(store: &MemoryStore) -> Self {
        let mut intake = Self::held(store, 1000);
        intake.go();
        intake
    }

    /// Begins to commit.
    pub(crate) fn go(&mut self) {
        let appender = self.waiting.take().unwrap();
        let interval = Duration::from_millis(20);
        let tally = Arc::new(Tally::default());
        let committer = Committer::new(self.inbox.clone(), appender, self.clock.clone(), interval, tally);
        self.thread = Some(std::thread::spawn(move || committer.run()));
    }

    /// A source's way in.
    pub(crate) fn context(&self, label: &str, knowledge: Knowledge) -> Context {
        Context::new(label, self.inbox.clone(), self.clock.clone(), Arc::new(knowledge))
    }

    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    /// How far nodes were durable at the start.
    pub(crate) fn nodes(&self) -> Vec<NodePosition> {
        self.nodes.clone()
    }

    /// All that is durable, in its order.
    pub(crate) fn stored(&self) -> Vec<Stored> {
        let (mut cursor, mut stored) = (self.spool.cursor(1), Vec::new());
        while let Some(step) = cursor.step() {
            let Step::Row(row) = step else { panic!("{step:?}") };
            for run in &row.runs {
                let sensor = cursor.def(run.sensor).unwrap().id.to_string();
                for (at, wall) in run.wall.iter().enumerate() {
                    let (quality, time_quality) = run.marks.at(at);
                    stored.push(Stored {
                        sensor: sensor.clone(),
                        sequence: run.first + at as u64,
                        wall: *wall,
                        quality,
                        time_quality,
                        values: run.columns.iter().map(|column| column.at(at)).collect(),
                    });
                }
            }
        }
        stored
    }

    /// The numbers of one sensor, in the order of their sequence, which has no holes.
    pub(crate) fn numbers(&self, sensor: &str) -> Vec<f64> {
        let of_it: Vec<_> = self
            .stored()
            .into_iter()
            .filter(|stored| stored.sensor == sensor)
            .collect();
        for (at, stored) in of_it.iter().enumerate() {
            assert_eq!(stored.sequence, at as u64 + 1, "{sensor}");
        }
        let number = |stored: &Stored| match stored.values[..] {
            [Value::Number(number)] => number,
            _ => panic!("{stored:?}"),
        };
        of_it.iter().map(number).collect()
    }

    /// Commits what waits and ends.
    pub(crate) fn stop(mut self) {
        self.inbox.close();
        self.thread.take().unwrap().join().unwrap().unwrap();
    }

    /// Ends as a killed process does: what was not durable is gone.
    pub(crate) fn kill(mut self) {
        self.store.fail_at_sync(self.store.syncs() + 1);
        self.inbox.close();
        if let Some(thread) = self.thread.take() {
            drop(thread.join().unwrap());
        }
        self.store.cut_power();
    }
}

/// Waits for something, generously, and says what it was if it does not come.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("this did not come: {what}");
}
