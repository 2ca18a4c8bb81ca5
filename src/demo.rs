//! `edgespool demo`: the main job in one command, with everything that it needs.
//!
//! ```text
//!  nodes (firmware code) ═ pseudo-terminals ═ agent ─▶ Kafka (embedded, away for a while) ─▶ audit while it runs
//!        └── what each was told is durable ──────────────────────────────────────────────▶ compared at the end
//! ```
//! Owns the plot: start, outage, end, verdict. Promises that the agent is the real one, told what to do by a device file
//! alone, and that the verdict rests on what the nodes and the topic say, not on the agent's word. Must not know how the
//! agent works: it sees a [`Gateway`].

mod nodes;
mod oracle;
mod place;
mod pty;
mod verdict;
mod view;
mod walk;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::audit::{self, Report, Strictness, Tally};
use crate::clock::{self, Mono};
use crate::forward::kafka::consumer::{Consumer, ConsumerError, Event, Settings, Start};
use crate::forward::kafka::mock::{MockError, MockKafka};
use crate::forward::kafka::topics::{self, TopicError};
use crate::queue::fold::Ledger;
use nodes::{Counts, Nodes, NodesError};
use oracle::Oracle;
use place::{Contents, Place};
use pty::Pty;
use verdict::Found;
use view::{Frame, View};

pub use oracle::Comparison;
pub use verdict::Outcome;

/// Where the demo's readings go, in the embedded Kafka and in a real one.
pub const TOPIC: &str = "edgespool-demo";
/// The most nodes that one demo has.
pub const MAX_NODES: u16 = 100;

const PARTITIONS: i32 = 4;
/// The outage begins and ends at these parts of the time, in percent.
const AWAY: u32 = 40;
const BACK: u32 = 65;
/// How long the loop waits for records at most.
const LOOK: Duration = Duration::from_millis(50);
/// How long nodes may take to hear that all is durable: several of their resends.
const NODES_REST: Duration = Duration::from_secs(15);
/// How long the queue may take to drain, also on a machine that is emulated.
const DRAIN: Duration = Duration::from_secs(60);
/// How long a real broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// For how long readings are taken.
    pub duration: Duration,
    /// How many nodes; 1 to [`MAX_NODES`].
    pub nodes: u16,
    /// A real Kafka, `host:port`, in the place of the embedded one. Then there is no outage.
    pub kafka: Option<String>,
    /// Where the demo makes a directory of its own; without it, where temporary files are.
    pub directory: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(20),
            nodes: 4,
            kafka: None,
            directory: None,
        }
    }
}

/// The agent, as far as the demo sees it.
pub trait Gateway {
    /// Where its readings are.
    fn ledger(&self) -> Ledger;

    /// Stops it, in order, within a few seconds.
    fn stop(self);
}

/// Why there is no agent, in whatever words the caller has.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The directory cannot be made or written.
    #[error("failed to make the demo's directory and device file in {}", .0.display())]
    Place(PathBuf, #[source] io::Error),
    /// There are no more pseudo-terminals.
    #[error("failed to open a pseudo-terminal")]
    Pty(#[source] io::Error),
    /// The nodes.
    #[error("the simulated nodes failed")]
    Nodes(#[source] NodesError),
    /// The embedded Kafka.
    #[error("failed to run the embedded Kafka")]
    Mock(#[source] MockError),
    /// The real one.
    #[error("failed to prepare the topic")]
    Topic(#[source] TopicError),
    /// The topic cannot be read back.
    #[error("failed to read the topic back")]
    Consumer(#[source] ConsumerError),
    /// The agent.
    #[error("failed to start the agent")]
    Agent(#[source] StartError),
    /// Too many nodes, or none.
    #[error("{0} nodes are not between 1 and {MAX_NODES}")]
    Count(u16),
    /// There is no randomness.
    #[error("the system gives no random number")]
    Random,
}

impl DemoError {
    /// The process's exit code, one of sysexits: 64 usage, 69 unavailable, 70 bug, 74 I/O.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Count(_) => 64,
            Self::Topic(_) | Self::Consumer(_) => 69,
            Self::Nodes(_) | Self::Mock(_) | Self::Agent(_) => 70,
            Self::Place(..) | Self::Pty(_) | Self::Random => 74,
        }
    }

    /// What helps, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Place(..) => Some("TMPDIR names another directory".into()),
            Self::Consumer(error) => error.hint(),
            Self::Topic(_) => Some("is the broker's address right, and may topics be made there?".into()),
            _ => None,
        }
    }
}

/// Runs the demo. `start` gets the device file (which alone says what the agent does: the environment's
/// `KAFKA_BROKER_ADDRESS` must not win over it) and starts the agent. What is seen goes to stderr.
///
/// # Errors
/// When it cannot be run; a demo that ran has an [`Outcome`], good or bad.
pub fn run<G: Gateway>(
    options: &Options,
    start: impl FnOnce(&Path) -> Result<G, StartError>,
) -> Result<Outcome, DemoError> {
    if !(1..=MAX_NODES).contains(&options.nodes) {
        return Err(DemoError::Count(options.nodes));
    }
    let boot = getrandom::u32().map_err(|_| DemoError::Random)?;
    let device = format!("demo-{boot:08x}");
    let cluster = Cluster::get(options.kafka.as_deref())?;
    let lines: Result<Vec<Pty>, _> = (0..options.nodes).map(|_| Pty::open()).collect();
    let lines = lines.map_err(|errno| DemoError::Pty(errno.into()))?;
    let parent = options.directory.clone().unwrap_or_else(std::env::temp_dir);
    let place = Place::make(&parent, &device).map_err(|error| DemoError::Place(parent, error))?;
    place
        .write(&Contents {
            device: &device,
            brokers: &cluster.brokers,
            topic: TOPIC,
            ports: lines.iter().map(|line| line.path().to_owned()).collect(),
        })
        .map_err(|error| DemoError::Place(place.device_file(), error))?;
    let mut view = View::new();
    introduce(&mut view, options, &cluster, &place);
    let topic = Topic::open(&cluster.brokers, &device)?;
    let gateway = start(&place.device_file()).map_err(DemoError::Agent)?;
    let nodes = Nodes::start(lines, boot).map_err(DemoError::Nodes)?;
    let mut show = Show {
        begin: clock::mono(),
        duration: options.duration,
        cluster,
        topic,
        gateway,
        nodes,
        view,
        away: false,
    };
    show.play()?;
    let outcome = show.conclude()?;
    if outcome.verdict() == audit::Verdict::Well {
        // Nothing waits in it, and the device file is what people want to look at.
        drop(place.clean());
    }
    Ok(outcome)
}

fn introduce(view: &mut View, options: &Options, cluster: &Cluster, place: &Place) {
    let kafka = match cluster.mock {
        Some(_) => "an embedded Kafka",
        None => "your Kafka",
    };
    view.say(&format!(
        "{} nodes on pseudo-terminals, the agent, {kafka} at {}, topic {TOPIC}, for {:?}",
        options.nodes, cluster.brokers, options.duration
    ));
    view.say(&format!("device file: {}", place.device_file().display()));
    if cluster.mock.is_none() {
        view.say("no outage is made of a Kafka that is yours: stop it and start it again while this runs");
    }
}

/// Where readings go.
struct Cluster {
    mock: Option<MockKafka>,
    brokers: String,
}

impl Cluster {
    fn get(kafka: Option<&str>) -> Result<Self, DemoError> {
        let Some(brokers) = kafka else {
            let mock = MockKafka::start(TOPIC, PARTITIONS).map_err(DemoError::Mock)?;
            let brokers = mock.brokers();
            return Ok(Self {
                mock: Some(mock),
                brokers,
            });
        };
        topics::ensure(brokers, TOPIC, PARTITIONS, PATIENCE).map_err(DemoError::Topic)?;
        Ok(Self {
            mock: None,
            brokers: brokers.to_owned(),
        })
    }
}

/// The topic, read back while it is written.
struct Topic {
    consumer: Consumer,
    tally: Tally,
    oracle: Oracle,
}

impl Topic {
    fn open(brokers: &str, device: &str) -> Result<Self, DemoError> {
        let settings = Settings {
            brokers: brokers.split(',').map(str::to_owned).collect(),
            client_id: "edgespool-demo".to_owned(),
            librdkafka: Vec::new(),
            patience: PATIENCE,
        };
        let mut consumer = Consumer::new(&settings).map_err(DemoError::Consumer)?;
        let mut tally = Tally::new(Some(device));
        let begin = clock::mono();
        loop {
            let begun = consumer.begin(TOPIC, Start::Now, &mut |event| audit::hear(&mut tally, &event));
            match begun {
                Ok(_) => break,
                // Word of a topic that was just made takes a moment to reach every broker.
                Err(ConsumerError::UnknownTopic(_)) if clock::mono().since(begin) < PATIENCE => {
                    std::thread::sleep(LOOK);
                }
                Err(error) => return Err(DemoError::Consumer(error)),
            }
        }
        Ok(Self {
            consumer,
            tally,
            oracle: Oracle::default(),
        })
    }

    /// Reads what there is, and waits for it a moment.
    fn look(&mut self) -> Result<(), DemoError> {
        let (tally, oracle) = (&mut self.tally, &mut self.oracle);
        let mut hear = |event: Event<'_>| {
            let Event::Record(record) = &event else {
                return audit::hear(tally, &event);
            };
            let heard = audit::heard(record);
            let part = tally.part(record.topic(), record.partition());
            if let Some(identity) = tally.record(part, &heard) {
                oracle.heard(&identity, heard.value);
            }
        };
        let polled = self.consumer.poll(LOOK, &mut hear);
        polled.map(drop).map_err(DemoError::Consumer)
    }
}

/// The demo while it runs.
struct Show<G> {
    begin: Mono,
    duration: Duration,
    cluster: Cluster,
    topic: Topic,
    gateway: G,
    nodes: Nodes,
    view: View,
    away: bool,
}

impl<G: Gateway> Show<G> {
    /// Readings are taken, and Kafka goes away and comes back.
    fn play(&mut self) -> Result<(), DemoError> {
        while self.elapsed() < self.duration {
            let away = is_away(self.elapsed(), self.duration);
            if away != self.away && self.cluster.mock.is_some() {
                self.turn(away)?;
            }
            self.step()?;
        }
        if self.away {
            self.turn(false)?;
        }
        self.nodes.rest();
        self.say("the nodes take no more readings; now the queue drains");
        self.wait(NODES_REST, |show| show.nodes.counts().waiting == 0)?;
        self.wait(DRAIN, |show| show.gateway.ledger().queued == 0)
    }

    /// Stops everything and judges.
    fn conclude(mut self) -> Result<Outcome, DemoError> {
        // A real Kafka may be away at this moment: then the outcome says that it could not be seen.
        let extended = self.topic.consumer.extend().is_ok();
        self.wait(PATIENCE, |show| show.topic.consumer.is_at_end())?;
        let ledger = self.gateway.ledger();
        self.gateway.stop();
        let logs = self.nodes.end().map_err(DemoError::Nodes)?;
        let complete = extended && self.topic.consumer.is_at_end();
        let report = Report::of(&self.topic.tally, complete, Strictness::DuplicatesAllowed);
        let nodes = self.topic.oracle.compare(&logs);
        Ok(Outcome::of(&Found {
            ledger,
            report,
            nodes,
        }))
    }

    fn elapsed(&self) -> Duration {
        clock::mono().since(self.begin)
    }

    fn turn(&mut self, away: bool) -> Result<(), DemoError> {
        let Some(mock) = &self.cluster.mock else {
            return Ok(());
        };
        let turned = if away { mock.take_away() } else { mock.bring_back() };
        turned.map_err(DemoError::Mock)?;
        self.away = away;
        self.say(if away { "Kafka goes away" } else { "Kafka is back" });
        Ok(())
    }

    fn say(&mut self, what: &str) {
        let text = format!("{:6.1} s  {what}", self.elapsed().as_secs_f64());
        self.view.say(&text);
    }

    /// Goes on until something is so, or for as long as that.
    fn wait(&mut self, at_most: Duration, until: impl Fn(&Self) -> bool) -> Result<(), DemoError> {
        let begin = clock::mono();
        while !until(self) && clock::mono().since(begin) < at_most {
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), DemoError> {
        self.topic.look()?;
        let Counts {
            sampled,
            acknowledged,
            ..
        } = self.nodes.counts();
        let ledger = self.gateway.ledger();
        let frame = Frame {
            elapsed: self.elapsed(),
            sampled,
            acknowledged,
            queued: ledger.queued,
            delivered: ledger.delivered,
            read_back: self.topic.oracle.readings(),
            outage: self.away,
        };
        self.view.show(clock::mono(), &frame);
        Ok(())
    }
}

/// Whether Kafka is away at that time.
fn is_away(elapsed: Duration, all: Duration) -> bool {
    let (away, back) = (all * AWAY / 100, all * BACK / 100);
    (away..back).contains(&elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outage_lies_in_the_middle() {
        let all = Duration::from_secs(20);
        for (seconds, expect) in [
            (0, false),
            (7, false),
            (8, true),
            (12, true),
            (13, false),
            (20, false),
        ] {
            assert_eq!(is_away(Duration::from_secs(seconds), all), expect, "{seconds}");
        }
    }

    #[test]
    fn a_demo_has_nodes() {
        struct Never;
        impl Gateway for Never {
            fn ledger(&self) -> Ledger {
                Ledger::default()
            }
            fn stop(self) {}
        }
        for nodes in [0, MAX_NODES + 1] {
            let options = Options {
                nodes,
                ..Options::default()
            };
            let error = run(&options, |_| -> Result<Never, StartError> {
                panic!("not started")
            });
            assert_eq!(error.unwrap_err().exit_code(), 64);
        }
    }
}
