//! From the queue to acknowledged in Kafka, beside a bare producer of librdkafka with the same records and settings.
//!
//! Owns four measurements of one stream of readings, medians of five, in turn: the whole way (a queue on disk, spans,
//! lanes, records, acknowledgements); tickets in memory to the client; the bare producer with records made beforehand;
//! and the making of records alone. CPU time is all threads of the process, the reading of acknowledgements included.
//!
//! `KAFKA_BOOTSTRAP=host:port cargo bench --bench forward` prints a table and ends with a line of JSON. The broker has to
//! create topics by itself. `--runs N`, `--readings N`.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod support;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use edgespool::clock::{self, Clock};
use edgespool::format::json::Json;
use edgespool::format::{Format, Routing};
use edgespool::forward::broker::{Broker, BrokerEvent};
use edgespool::forward::core::OutputCore;
use edgespool::forward::driver::{Forwarder, Parts};
use edgespool::forward::kafka::{Acks, Kafka, Settings};
use edgespool::forward::output::{self, MEMORY, Output, UNDER_WAY};
use edgespool::forward::trace::Seed;
use edgespool::queue::appender::Commit;
use edgespool::queue::cursor::Step;
use edgespool::queue::open::Queue;
use edgespool::queue::types::OutputNo;
use edgespool::span::Rules;
use edgespool::sys;
use edgespool::template::Template;
use edgespool::ticket::{Outcome as Word, Piece, Span, Ticket, TicketId};
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use support::readings::Field;
use support::{Failure, Outcome, SMALL, argument, machine, median, place, queue, real};

const RUNS: usize = 5;
const READINGS: u64 = 300_000;
/// Readings in a commit.
const COMMIT: usize = 100;
const TOPIC: &str = "edgespool-bench";
const PATIENCE: Duration = Duration::from_secs(60);
const PARTS: [&str; 4] = ["forward", "client", "bare", "records"];

#[derive(Debug, Clone, Copy, Default)]
struct Figures {
    /// CPU seconds for a million readings.
    cpu: f64,
    /// Readings a second.
    rate: f64,
}

fn main() -> Outcome {
    sys::limit_arenas();
    let Ok(bootstrap) = std::env::var("KAFKA_BOOTSTRAP") else {
        println!("forward: not measured, it needs a broker (hint: KAFKA_BOOTSTRAP=host:port)");
        return Ok(());
    };
    let small = (1, 5_000);
    let (runs, readings) = if SMALL { small } else { (RUNS, READINGS) };
    let runs = argument("--runs").map_or(Ok(runs), |runs| runs.parse())?;
    let readings = argument("--readings").map_or(Ok(readings), |readings| readings.parse())?;
    make_topic(&bootstrap)?;
    let mut all: [Vec<Figures>; 4] = Default::default();
    for _ in 0..runs {
        let tickets = tickets(readings)?;
        for (part, figures) in PARTS.iter().zip(&mut all) {
            figures.push(match *part {
                "forward" => forward(&bootstrap, readings)?,
                "client" => client(&bootstrap, readings, &tickets)?,
                "bare" => bare(&bootstrap, readings, &tickets)?,
                _ => records(readings, &tickets)?,
            });
        }
    }
    println!("forward: {}, {}", machine::description(), place::kind()?);
    println!("  part      CPU s/1M   readings/s");
    let mut line = serde_json::Map::new();
    for (part, figures) in PARTS.iter().zip(&all) {
        let cpu = median(figures.iter().map(|figures| figures.cpu).collect());
        let rate = median(figures.iter().map(|figures| figures.rate).collect());
        println!("  {part:<8}  {cpu:>8.3} {rate:>12.0}");
        let figures = serde_json::json!({ "cpu_s_per_1m": cpu, "readings_per_s": rate });
        line.insert((*part).to_owned(), figures);
    }
    println!(
        "{}",
        serde_json::json!({ "bench": "forward", "debug": SMALL, "runs": runs, "readings": readings, "parts": line })
    );
    Ok(())
}

fn settings(bootstrap: &str) -> Settings {
    Settings {
        brokers: vec![bootstrap.to_owned()],
        device: "greenhouse-7".to_owned(),
        compression: "zstd".to_owned(),
        acks: Acks::All,
        headers: vec![("origin".to_owned(), "edge".to_owned())],
        max_rate: None,
        librdkafka: Vec::new(),
    }
}

fn json() -> Result<Box<Json>, Failure> {
    Ok(Box::new(Json::new(Routing {
        device: "greenhouse-7".to_owned(),
        topic: Template::new(TOPIC)?,
        key: Template::new("{sensor}")?,
    })))
}

/// Takes the time and the CPU of `work`, which brings `readings` readings somewhere.
fn timed(readings: u64, work: impl FnOnce() -> Outcome) -> Result<Figures, Failure> {
    let (cpu, start) = (machine::cpu(), clock::mono());
    work()?;
    let (elapsed, cpu) = (clock::mono().since(start), machine::cpu() - cpu);
    Ok(Figures {
        cpu: cpu.as_secs_f64() * 1e6 / real(readings),
        rate: real(readings) / elapsed.as_secs_f64(),
    })
}

fn filled(queue: &mut Queue, readings: u64) -> Outcome {
    queue::define(queue)?;
    let mut field = Field::new();
    let mut left = readings;
    while left > 0 {
        let size = usize::try_from(left)?.min(COMMIT);
        let commit = field.commit(size);
        queue.appender.commit(commit, field.now())?;
        left -= size as u64;
    }
    Ok(())
}

/// The whole way: everything the agent does to the right of its queue.
fn forward(bootstrap: &str, readings: u64) -> Result<Figures, Failure> {
    let directory = place::directory("forward")?;
    let mut queue = queue::on_disk(&directory)?;
    filled(&mut queue, readings)?;
    // Opened again, as after a restart: what the store still does about the filling is no part of this.
    drop(queue);
    let mut queue = queue::on_disk(&directory)?;
    let spool = queue.spools.remove(0);
    let rules = Rules {
        time_span: Duration::from_secs(10),
        packet_size: 1000,
        // Only the last spans of all wait for it.
        idle_timeout: Duration::from_millis(20),
        max_delay: Duration::from_secs(30),
    };
    let output = Output::new(output::Settings {
        output: OutputNo(0),
        memory: MEMORY,
        under_way: UNDER_WAY,
        hold: Duration::ZERO,
        rules: Box::new(move |_| rules),
        destination: Box::new(|_| "readings".into()),
        seed: 1,
    });
    let tail = spool.tail();
    let parts = Parts {
        core: OutputCore::new(output),
        spool,
        clock: Arc::new(Clock::new()),
        nudge: Box::new(|| {}),
    };
    let (settings, format) = (settings(bootstrap), json()?);
    let mut forwarder = None;
    let figures = timed(readings, || {
        let started = Forwarder::start(parts, |events| {
            Ok(Box::new(Kafka::start(settings, format, events)?) as Box<dyn Broker>)
        })?;
        let started = forwarder.insert(started);
        let patience = clock::mono().after(PATIENCE);
        let mut commit = clock::mono().after(Duration::from_secs(1));
        loop {
            std::thread::sleep(Duration::from_millis(2));
            let now = clock::mono();
            let status = started.status(PATIENCE).ok_or("the forwarder does not answer")?;
            let idle = status.under_way + status.waiting + status.core.under_way == 0;
            if idle && status.position >= tail && status.core.lanes.get("idle") == Some(&50) {
                return Ok(());
            }
            if now >= commit {
                queue
                    .appender
                    .commit(Commit::default(), Field::after(readings).now())?;
                commit = now.after(Duration::from_secs(1));
            }
            if now >= patience {
                return Err(format!("not all was acknowledged: {status:?}").into());
            }
        }
    })?;
    if let Some(forwarder) = forwarder {
        forwarder.stop(PATIENCE);
    }
    queue
        .appender
        .commit(Commit::default(), Field::after(readings).now())?;
    let delivered = queue.observer.figures().ledger.delivered;
    if delivered != readings {
        return Err(format!("{delivered} of {readings} readings delivered").into());
    }
    drop(queue);
    place::empty(&directory)?;
    Ok(figures)
}

/// The same readings, cut into tickets: what a lane sends, with a run of a row as a piece.
fn tickets(readings: u64) -> Result<Vec<Arc<Ticket>>, Failure> {
    let directory = place::directory("forward")?;
    let mut queue = queue::on_disk(&directory)?;
    filled(&mut queue, readings)?;
    let mut cursor = queue.spools.remove(0).cursor(1);
    let mut pieces: Vec<Vec<Piece>> = Vec::new();
    let mut tickets = Vec::new();
    while let Some(step) = cursor.step() {
        let Step::Row(row) = step else {
            return Err("a damaged row".into());
        };
        for run in row.runs {
            let (sensor, to) = (run.sensor, run.len());
            pieces.resize_with(pieces.len().max(sensor.index() + 1), Vec::new);
            let mine = &mut pieces[sensor.index()];
            mine.push(Piece {
                row: row.number,
                run: Arc::new(run),
                from: 0,
                to,
            });
            if mine.iter().map(Piece::len).sum::<usize>() >= 20 {
                let span = Span {
                    pieces: std::mem::take(mine),
                };
                tickets.push(Arc::new(Ticket {
                    id: TicketId(tickets.len() as u64),
                    output: OutputNo(0),
                    sensor,
                    def: cursor.def(sensor).ok_or("an unknown sensor")?.clone(),
                    epoch: row.epoch,
                    spans: vec![span],
                }));
            }
        }
    }
    drop(queue);
    place::empty(&directory)?;
    Ok(tickets)
}

fn count(tickets: &[Arc<Ticket>]) -> u64 {
    tickets.iter().map(|ticket| ticket.len() as u64).sum()
}

/// Tickets to the client, without queue and lanes.
fn client(bootstrap: &str, _: u64, tickets: &[Arc<Ticket>]) -> Result<Figures, Failure> {
    let (sender, events) = sync_channel(1024);
    let format = json()?;
    timed(count(tickets), || {
        let sink = Arc::new(move |event| drop(sender.send(event)));
        let mut kafka = Kafka::start(settings(bootstrap), format, sink)?;
        let (mut left, mut next) = (tickets.len(), tickets.iter().peekable());
        while left > 0 {
            while let Some(ticket) = next.peek()
                && kafka.send(Arc::clone(ticket)).is_ok()
            {
                next.next();
            }
            match events.recv_timeout(PATIENCE)? {
                BrokerEvent::Report(report) if report.outcome == Word::Delivered => left -= 1,
                BrokerEvent::Report(report) => return Err(format!("{report:?}").into()),
                BrokerEvent::Room => kafka.resume(),
                _ => {}
            }
        }
        Box::new(kafka).leave();
        Ok(())
    })
}

/// The making of records alone.
fn records(_: u64, tickets: &[Arc<Ticket>]) -> Result<Figures, Failure> {
    let mut json = json()?;
    timed(count(tickets), || {
        let mut bytes = 0;
        for ticket in tickets {
            json.write(ticket, 0, &mut |record| {
                bytes += record.value.len();
                ControlFlow::Continue(())
            });
        }
        std::hint::black_box(bytes);
        Ok(())
    })
}

/// One record as it will be sent.
struct Made {
    key: Vec<u8>,
    value: Vec<u8>,
    timestamp: i64,
    epoch: String,
    sequence: String,
    trace: [u8; 32],
}

fn made(tickets: &[Arc<Ticket>]) -> Result<Vec<Made>, Failure> {
    let mut json = json()?;
    let mut all = Vec::new();
    for ticket in tickets {
        let seed = Seed::new("greenhouse-7", ticket.def.id.as_str(), ticket.epoch);
        json.write(ticket, 0, &mut |record| {
            all.push(Made {
                key: record.key.to_vec(),
                value: record.value.to_vec(),
                timestamp: record.timestamp_ms,
                epoch: ticket.epoch.to_string(),
                sequence: record.first.to_string(),
                trace: seed.id(record.first),
            });
            ControlFlow::Continue(())
        });
    }
    Ok(all)
}

#[derive(Default)]
struct Counter {
    delivered: Arc<AtomicU64>,
}

impl ClientContext for Counter {}

impl ProducerContext for Counter {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.delivered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// librdkafka as it is: the same settings, records that are made already, and the same headers.
fn bare(bootstrap: &str, _: u64, tickets: &[Arc<Ticket>]) -> Result<Figures, Failure> {
    let made = made(tickets)?;
    let mut config = ClientConfig::new();
    config.extend(settings(bootstrap).properties());
    let delivered = Arc::new(AtomicU64::new(0));
    let counter = Counter {
        delivered: delivered.clone(),
    };
    let stop = Arc::new(AtomicBool::new(false));
    timed(made.len() as u64, || {
        let producer = Arc::new(BaseProducer::from_config_and_context(&config, counter)?);
        let (polled, stopped) = (producer.clone(), stop.clone());
        let poll = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                polled.poll(Duration::from_millis(50));
            }
        });
        for record in &made {
            send(&producer, record)?;
        }
        while delivered.load(Ordering::Relaxed) < made.len() as u64 {
            std::thread::sleep(Duration::from_millis(2));
        }
        stop.store(true, Ordering::Relaxed);
        poll.join().map_err(|_| "the polling thread panicked")?;
        std::mem::forget(producer);
        Ok(())
    })
}

fn send(producer: &BaseProducer<Counter>, made: &Made) -> Outcome {
    let headers = [
        ("device", "greenhouse-7".as_bytes()),
        ("epoch", made.epoch.as_bytes()),
        ("seq", made.sequence.as_bytes()),
        ("trace-id", &made.trace),
        ("origin", b"edge"),
    ];
    loop {
        let all = headers
            .iter()
            .fold(OwnedHeaders::new_with_capacity(5), |all, (key, value)| {
                all.insert(Header {
                    key,
                    value: Some(*value),
                })
            });
        let record = BaseRecord::to(TOPIC)
            .key(&made.key)
            .payload(&made.value)
            .timestamp(made.timestamp)
            .headers(all);
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

/// One record brings the topic into being, and every connection's first time with it.
fn make_topic(bootstrap: &str) -> Outcome {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    let producer: BaseProducer = config.create()?;
    producer
        .send(BaseRecord::to(TOPIC).key("first").payload(""))
        .map_err(|(error, _)| error)?;
    producer.flush(PATIENCE)?;
    Ok(())
}
