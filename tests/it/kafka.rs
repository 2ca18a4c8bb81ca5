//! The forwarder's client against a real Apache Kafka, seen with Java's eyes.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::sleep;
use std::time::Duration;

use edgespool::clock::{Mono, mono};
use edgespool::format::Routing;
use edgespool::format::json::Json;
use edgespool::forward::broker::{Broker, BrokerEvent};
use edgespool::forward::kafka::{Acks, Kafka as Client, Settings};
use edgespool::queue::types::{Column, Marks, MonoColumn, OutputNo, Run};
use edgespool::reading::{
    Epoch, Measurement, Quality, SensorDef, SensorId, SensorNo, TimeQuality, Value, ValueKind,
};
use edgespool::template::Template;
use edgespool::ticket::{Outcome, Piece, Report, Span, Ticket, TicketId};

use crate::support::kafka::{Kafka, Options, Record};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(90);
const EPOCH: Epoch = Epoch(4_503_599_627_370_495);
const SECOND: i64 = 1_000_000_000;
/// 2026-06-26T14:00:00Z
const AT: i64 = 1_782_482_400 * SECOND;

/// A client and its events.
struct Link {
    client: Box<Client>,
    events: Receiver<BrokerEvent>,
}

impl Link {
    fn new(bootstrap: &str, topic: &str, acks: Acks, librdkafka: &[(&str, &str)]) -> Self {
        let settings = Settings {
            brokers: vec![bootstrap.to_owned()],
            device: "greenhouse-7".to_owned(),
            compression: "zstd".to_owned(),
            acks,
            headers: vec![("origin".to_owned(), "edge".to_owned())],
            max_rate: None,
            librdkafka: librdkafka
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        let format = Json::new(Routing {
            device: "greenhouse-7".to_owned(),
            topic: Template::new(topic).unwrap(),
            key: Template::new("{sensor}").unwrap(),
        });
        let (sender, events) = sync_channel(100_000);
        let sink = Arc::new(move |event| sender.send(event).unwrap_or_default());
        let client = Client::start(settings, Box::new(format), sink).unwrap();
        Self {
            client: Box::new(client),
            events,
        }
    }

    /// The next report, whatever else happens meanwhile.
    fn report(&mut self) -> Report {
        loop {
            if let Some(report) = self.client.ready() {
                return report;
            }
            match self.events.recv_timeout(PATIENCE).expect("an event") {
                BrokerEvent::Report(report) => return report,
                BrokerEvent::Room => self.client.resume(),
                _ => {}
            }
        }
    }

    fn wait_for_link(&self, up: bool) {
        while self.events.recv_timeout(PATIENCE).expect("an event") != BrokerEvent::Link(up) {}
    }
}

fn def(id: &str, measurements: &[(&str, Option<&str>)], tags: &[(&str, &str)]) -> Arc<SensorDef> {
    Arc::new(SensorDef {
        id: SensorId::new(id).unwrap(),
        measurements: measurements
            .iter()
            .map(|(name, unit)| Measurement {
                name: (*name).into(),
                kind: ValueKind::Number,
                unit: unit.map(Into::into),
            })
            .collect(),
        tags: tags
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
    })
}

fn ticket(
    id: u64,
    def: &Arc<SensorDef>,
    first: u64,
    readings: Vec<(i64, Vec<Value>)>,
    marks: Marks,
) -> Arc<Ticket> {
    let columns = (0..def.measurements.len())
        .map(|at| Column::Mixed(readings.iter().map(|(_, values)| values[at].clone()).collect()))
        .collect();
    let to = readings.len();
    let run = Run {
        sensor: SensorNo(0),
        first,
        wall: readings.iter().map(|(wall, _)| *wall).collect(),
        mono: MonoColumn::Offset(0),
        marks,
        columns,
        encoded: 0,
    };
    let piece = Piece {
        row: 1,
        run: Arc::new(run),
        from: 0,
        to,
    };
    Arc::new(Ticket {
        id: TicketId(id),
        output: OutputNo(0),
        sensor: SensorNo(0),
        def: def.clone(),
        epoch: EPOCH,
        spans: vec![Span { pieces: vec![piece] }],
    })
}

fn good() -> Marks {
    Marks::All(Quality::Good, TimeQuality::Synchronized)
}

/// One reading a second of one number.
fn plain(id: u64, sensor: &str, first: u64, count: u64) -> Arc<Ticket> {
    let readings = (first..first + count)
        .map(|n| {
            (
                AT + i64::try_from(n).unwrap() * SECOND,
                vec![Value::Number(n as f64)],
            )
        })
        .collect();
    ticket(
        id,
        &def(sensor, &[("temperature", Some("C"))], &[]),
        first,
        readings,
        good(),
    )
}

fn golden() -> Vec<(Arc<Ticket>, &'static str)> {
    let number = Value::Number;
    let marks = |quality, time| Marks::All(quality, time);
    let celsius = [("temperature", Some("C"))];
    vec![
        (
            ticket(
                1,
                &def("shed-air", &celsius, &[]),
                1,
                vec![(AT + 123_000_000, vec![number(21.5)])],
                good(),
            ),
            r#"{"sensorId":"shed-air","temperature":21.5,"unit":"C","recordedAt":"2026-06-26T14:00:00.123Z"}"#,
        ),
        (
            ticket(
                2,
                &def("room", &celsius, &[]),
                2,
                vec![(1_750_946_400 * SECOND, vec![number(32.0)])],
                good(),
            ),
            r#"{"sensorId":"room","temperature":32,"unit":"C","recordedAt":"2025-06-26T14:00:00.000Z"}"#,
        ),
        (
            ticket(
                3,
                &def(
                    "attic",
                    &[("temperature", Some("C")), ("humidity", Some("%"))],
                    &[("site", "oslo")],
                ),
                3,
                vec![(AT + 123_999_999, vec![number(18.25), number(61.5)])],
                good(),
            ),
            r#"{"sensorId":"attic","temperature":18.25,"humidity":61.5,"unit":"C","units":{"humidity":"%"},"recordedAt":"2026-06-26T14:00:00.123Z","tags":{"site":"oslo"}}"#,
        ),
        (
            ticket(
                4,
                &def("tank", &celsius, &[]),
                4,
                vec![(AT + SECOND, vec![number(85.0)])],
                marks(Quality::PowerOnValue, TimeQuality::Synchronized),
            ),
            r#"{"sensorId":"tank","temperature":85,"unit":"C","recordedAt":"2026-06-26T14:00:01.000Z","quality":"power-on-value"}"#,
        ),
        (
            ticket(
                5,
                &def("door", &[("state", None)], &[]),
                5,
                vec![(AT + 2_500_000_000, vec![Value::Text("open".into())])],
                marks(Quality::Good, TimeQuality::Estimated),
            ),
            r#"{"sensorId":"door","state":"open","recordedAt":"2026-06-26T14:00:02.500Z","timeQuality":"estimated"}"#,
        ),
    ]
}

#[test]
#[ignore = "needs Apache Kafka: just test-kafka"]
fn records_are_what_the_contract_says_where_java_would_put_them() {
    let kafka = Kafka::start(&Options::default());
    kafka.create_topic("readings", 6);
    let mut link = Link::new(kafka.bootstrap(), "readings", Acks::All, &[]);
    let golden = golden();
    let names: Vec<String> = (0..40).map(|n| format!("sensor-{n}/ø")).collect();
    let many: Vec<_> = (100..)
        .zip(&names)
        .map(|(id, name)| plain(id, name, 7, 3))
        .collect();
    for ticket in golden.iter().map(|(ticket, _)| ticket).chain(&many) {
        link.client.send(ticket.clone()).unwrap();
    }
    for _ in 0..golden.len() + many.len() {
        assert_eq!(link.report().outcome, Outcome::Delivered);
    }

    let records = kafka.console_consume("readings");
    assert_eq!(records.len(), golden.len() + 3 * many.len());
    let of = |sensor: &str| -> Vec<&Record> {
        let mine = records
            .iter()
            .filter(|record| record.key.as_deref() == Some(sensor));
        mine.collect()
    };
    for (ticket, expect) in &golden {
        let found = of(ticket.def.id.as_str());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].text(), *expect);
        assert_eq!(found[0].timestamp_kind, "CreateTime");
        let wall = ticket.spans[0].pieces[0].run.wall[0];
        assert_eq!(found[0].timestamp, wall.div_euclid(1_000_000));
        let header = |name| found[0].header(name).unwrap().to_owned();
        assert_eq!(header("device"), "greenhouse-7");
        assert_eq!(header("epoch"), "4503599627370495");
        assert_eq!(header("seq"), ticket.first().to_string());
        assert_eq!(header("origin"), "edge");
        let trace = header("trace-id");
        assert!(
            trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{trace}"
        );
    }
    for name in &names {
        let sequences: Vec<_> = of(name)
            .iter()
            .map(|record| record.header("seq").unwrap())
            .collect();
        assert_eq!(sequences, ["7", "8", "9"]);
    }
    let keys: Vec<&str> = names.iter().map(String::as_str).collect();
    let placed: BTreeMap<String, u32> = keys
        .iter()
        .map(|key| ((*key).to_owned(), of(key)[0].partition))
        .collect();
    assert_eq!(placed, kafka.java_partitions(6, &keys));
}

#[test]
#[ignore = "needs Apache Kafka: just test-kafka"]
fn after_an_outage_the_first_record_comes_soon_and_nothing_is_missing_or_out_of_order() {
    let kafka = Kafka::start(&Options::default());
    kafka.create_topic("readings", 3);
    let mut link = Link::new(kafka.bootstrap(), "readings", Acks::All, &[]);
    let sensors = ["a", "b", "c", "d", "e"];
    let mut id = 0;
    let mut send = |link: &mut Link, round: u64| {
        for sensor in sensors {
            id += 1;
            link.client.send(plain(id, sensor, round * 10 + 1, 10)).unwrap();
        }
    };
    send(&mut link, 0);
    (0..5).for_each(|_| assert_eq!(link.report().outcome, Outcome::Delivered));

    send(&mut link, 1);
    kafka.kill(1);
    send(&mut link, 2);
    let mut before = 0;
    while link.client.reachable() {
        match link.events.recv_timeout(PATIENCE).expect("an event") {
            BrokerEvent::Report(report) => {
                assert_eq!(report.outcome, Outcome::Delivered);
                before += 1;
            }
            BrokerEvent::Room => link.client.resume(),
            _ => {}
        }
    }
    assert!(before <= 5, "what was sent to a dead broker was acknowledged");
    sleep(Duration::from_secs(20));
    let address = kafka.bootstrap().to_owned();
    let (opened, first) = std::thread::scope(|scope| {
        let port = scope.spawn(move || {
            while TcpStream::connect(&address).is_err() {
                sleep(Duration::from_millis(5));
            }
            mono()
        });
        scope.spawn(|| kafka.restart(1));
        let report = link.report();
        let first = mono();
        assert_eq!(report.outcome, Outcome::Delivered);
        (port.join().unwrap(), first)
    });
    let took = |from: Mono, to: Mono| to.since(from);
    eprintln!("first record {:?} after the port accepted", took(opened, first));
    assert!(took(opened, first) < Duration::from_secs(5));
    (before + 1..10).for_each(|_| assert_eq!(link.report().outcome, Outcome::Delivered));

    let records = kafka.console_consume("readings");
    for sensor in sensors {
        let mine = records
            .iter()
            .filter(|record| record.key.as_deref() == Some(sensor));
        let sequences: Vec<u64> = mine
            .map(|record| record.header("seq").unwrap().parse().unwrap())
            .collect();
        // At least once: what was under way when the broker was killed (11 to 30) may be there twice, and that alone. The
        // idempotent producer mostly prevents it, but a broker that was killed may have lost what it knew of its producers.
        let mut seen = Vec::new();
        for sequence in sequences {
            let again = seen.contains(&sequence);
            assert!(!again || sequence > 10, "{sensor}: {sequence} again");
            seen.extend((!again).then_some(sequence));
        }
        let expect: Vec<u64> = (1..=30).collect();
        assert_eq!(seen, expect, "{sensor}: in order, none missing");
    }
}

#[test]
#[ignore = "needs Apache Kafka: just test-kafka"]
fn what_a_real_broker_refuses_has_its_class_and_the_good_ones_go_on() {
    let options = Options {
        arguments: vec!["--no-auto-create".to_owned()],
        ..Options::default()
    };
    let kafka = Kafka::start(&options);
    kafka.create_topic("topic-good", 1);
    kafka.create_topic_with("topic-small", 1, &["max.message.bytes=200"]);
    let mut link = Link::new(kafka.bootstrap(), "topic-{sensor}", Acks::All, &[]);
    link.wait_for_link(true);
    let tomorrow = mono_free_wall() + 48 * 3600 * SECOND;
    let late = ticket(
        2,
        &def("good", &[("temperature", None)], &[]),
        50,
        vec![
            (AT, vec![Value::Number(1.0)]),
            (tomorrow, vec![Value::Number(2.0)]),
        ],
        good(),
    );
    for ticket in [plain(1, "absent", 1, 3), late, plain(3, "small", 1, 50)] {
        link.client.send(ticket).unwrap();
    }
    let mut outcomes: Vec<Report> = (0..3).map(|_| link.report()).collect();
    outcomes.sort_by_key(|report| report.ticket);
    assert!(
        matches!(outcomes[0].outcome, Outcome::Misconfigured(_)),
        "{outcomes:?}"
    );
    assert!(
        matches!(&outcomes[1].outcome, Outcome::RecordAtFault(dead) if dead.len() == 1 && dead[0].first == 51),
        "{outcomes:?}"
    );
    // Not even one of them fits, alone: that is proven for each.
    assert!(
        matches!(&outcomes[2].outcome, Outcome::RecordAtFault(dead) if dead.len() == 50),
        "{outcomes:?}"
    );
    link.client.send(plain(4, "good", 60, 3)).unwrap();
    assert_eq!(link.report().outcome, Outcome::Delivered);
    kafka.create_topic("topic-absent", 1);
    link.client.send(plain(5, "absent", 1, 3)).unwrap();
    assert_eq!(link.report().outcome, Outcome::Delivered, "it is there now");
    assert_eq!(link.client.status().clients, 1);
}

fn mono_free_wall() -> i64 {
    edgespool::clock::wall()
}

#[test]
#[ignore = "needs Apache Kafka: just test-kafka"]
fn every_kind_of_acknowledgement_delivers() {
    let kafka = Kafka::start(&Options::default());
    kafka.create_topic("readings", 1);
    for (at, acks) in (0..).zip([Acks::All, Acks::Leader, Acks::None]) {
        let mut link = Link::new(kafka.bootstrap(), "readings", acks, &[]);
        link.client.send(plain(at, "a", at * 10 + 1, 10)).unwrap();
        assert_eq!(link.report().outcome, Outcome::Delivered, "{acks:?}");
    }
    // Without acknowledgements the last ones may still be on their way.
    let seen = (0..50).map(|_| {
        sleep(Duration::from_millis(100));
        kafka.count("readings")
    });
    assert!(seen.into_iter().any(|count| count == 30));
}
