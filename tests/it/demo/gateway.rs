//! A gateway in a hundred lines, in memory and without a disk: the demo's counterpart while its own parts are tested.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use edgespool::demo::{Gateway, TOPIC};
use edgespool::queue::fold::Ledger;
use edgespool_wire::{Ack, Data, Decoder, Message, Receiver, VERSION, Value, Verdict, encode};
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use toml::de::{DeTable, DeValue};

/// What it does wrong, with the tenth reading of the first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    ForgetsBeforeNumbering,
    CallsDeliveredWhatItNeverSent,
    SendsTwice,
    ChangesAValue,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicU64,
    delivered: AtomicU64,
    ends: AtomicBool,
}

#[derive(Clone)]
struct Counting(Arc<Counts>);

impl ClientContext for Counting {}

impl ProducerContext for Counting {
    /// Whether the record counts: its copy does not.
    type DeliveryOpaque = Box<bool>;

    fn delivery(&self, result: &DeliveryResult<'_>, counts: Box<bool>) {
        result.as_ref().expect("nothing is given up");
        self.0.delivered.fetch_add(u64::from(*counts), Ordering::Relaxed);
    }
}

type Producer = ThreadedProducer<Counting>;

/// The gateway.
pub(crate) struct Small {
    counts: Arc<Counts>,
    lines: Vec<JoinHandle<()>>,
}

impl Small {
    /// Does what the device file says of brokers and ports.
    pub(crate) fn start(device_file: &Path, bug: Option<Bug>) -> Self {
        let text = std::fs::read_to_string(device_file).unwrap();
        let file = DeTable::parse(&text).unwrap().into_inner();
        let device = text_at(&file["device"], "id").to_owned();
        let brokers = file["kafka"].get_ref().get("brokers").unwrap().get_ref();
        let broker = brokers.get(0).unwrap().get_ref().as_str().unwrap();
        let counts = Arc::new(Counts::default());
        let producer: Producer = ClientConfig::new()
            .set("bootstrap.servers", broker)
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", "0")
            .set("reconnect.backoff.max.ms", "200")
            .set("partitioner", "murmur2_random")
            .create_with_context(Counting(counts.clone()))
            .unwrap();
        let producer = Arc::new(producer);
        let ports = file["source"].get_ref().as_array().unwrap().iter().enumerate();
        let lines = ports.map(|(index, source)| {
            let path = text_at(source, "port");
            let port = File::options().read(true).write(true).open(path).unwrap();
            let line = Line {
                port,
                device: device.clone(),
                producer: producer.clone(),
                counts: counts.clone(),
                bug: bug.filter(|_| index == 0),
                heard: 0,
                numbered: 0,
            };
            std::thread::spawn(move || line.serve())
        });
        let lines = lines.collect();
        Self { counts, lines }
    }
}

impl Gateway for Small {
    fn ledger(&self) -> Ledger {
        // Delivered first: it is never ahead of accepted.
        let delivered = self.counts.delivered.load(Ordering::Relaxed);
        let accepted = self.counts.accepted.load(Ordering::Relaxed);
        Ledger {
            accepted,
            delivered,
            queued: accepted - delivered,
            ..Ledger::default()
        }
    }

    fn stop(self) {
        self.counts.ends.store(true, Ordering::Relaxed);
        self.lines.into_iter().for_each(|line| line.join().unwrap());
    }
}

fn text_at<'a>(table: &'a toml::Spanned<DeValue<'_>>, key: &str) -> &'a str {
    table.get_ref().get(key).unwrap().get_ref().as_str().unwrap()
}

struct Line {
    port: File,
    device: String,
    producer: Arc<Producer>,
    counts: Arc<Counts>,
    bug: Option<Bug>,
    heard: u64,
    numbered: u64,
}

impl Line {
    fn serve(mut self) {
        let (mut decoder, mut receiver): (Decoder, _) = (Decoder::new(), Receiver::new());
        let mut bytes = [0; 4096];
        while !self.counts.ends.load(Ordering::Relaxed) {
            let Some(len) = self.read(&mut bytes) else {
                continue;
            };
            let mut input = &bytes[..len];
            while let Some(message) = decoder.next(&mut input) {
                let message = message.expect("the line is good");
                match (receiver.offer(&message), &message) {
                    (Verdict::Accept { skip, .. }, Message::Data(data)) => self.store(data, skip),
                    (Verdict::Greeting { .. } | Verdict::Duplicate | Verdict::Gap, _) => {}
                    (verdict, message) => panic!("{verdict:?} of {message:?}"),
                }
                self.acknowledge(&message, receiver.position().unwrap().through);
            }
        }
    }

    /// Waits a moment for bytes.
    fn read(&mut self, bytes: &mut [u8]) -> Option<usize> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: 50_000_000,
        };
        let ready = poll(
            &mut [PollFd::from_borrowed_fd(self.port.as_fd(), PollFlags::IN)],
            Some(&timeout),
        );
        (ready.unwrap() > 0).then(|| self.port.read(bytes).unwrap())
    }

    fn acknowledge(&mut self, message: &Message<'_>, through: u64) {
        let ack = Ack {
            node: message.node(),
            boot: message.boot(),
            through,
            version: VERSION,
        };
        let mut frame = [0; edgespool_wire::MAX_ENCODED];
        let len = encode(&Message::Ack(ack), &mut frame).unwrap();
        self.port.write_all(&frame[..len]).unwrap();
    }

    fn store(&mut self, data: &Data<'_>, skip: usize) {
        for reading in data.readings.iter().skip(skip) {
            let [Value::Number(mut value)] = reading.values[..] else {
                panic!("one number")
            };
            self.heard += 1;
            let bug = self.bug.filter(|_| self.heard == 10);
            if bug == Some(Bug::ForgetsBeforeNumbering) {
                continue;
            }
            self.numbered += 1;
            self.counts.accepted.fetch_add(1, Ordering::Relaxed);
            if bug == Some(Bug::CallsDeliveredWhatItNeverSent) {
                self.counts.delivered.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            if bug == Some(Bug::ChangesAValue) {
                value += 0.5;
            }
            self.send(data.sensor, value, true);
            if bug == Some(Bug::SendsTwice) {
                self.send(data.sensor, value, false);
            }
        }
    }

    fn send(&self, sensor: &str, value: f64, counts: bool) {
        let sequence = self.numbered.to_string();
        let header = |key, value| Header {
            key,
            value: Some(value),
        };
        let headers = OwnedHeaders::new()
            .insert(header("device", self.device.as_str()))
            .insert(header("epoch", "7"))
            .insert(header("seq", &sequence));
        let record = format!(r#"{{"sensorId":"{sensor}","temperature":{value},"unit":"C"}}"#);
        let record = BaseRecord::with_opaque_to(TOPIC, Box::new(counts))
            .key(sensor)
            .payload(&record)
            .headers(headers);
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
    }
}
