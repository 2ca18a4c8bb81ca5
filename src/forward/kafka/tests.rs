//! The client against librdkafka's mock cluster: what becomes of tickets when brokers refuse, fail and come back.

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Err};

use super::*;
use crate::format::Routing;
use crate::format::json::Json;
use crate::forward::broker::BrokerEvent;
use crate::queue::types::{Column, Marks, MonoColumn, OutputNo, Run};
use crate::reading::{
    Epoch, Measurement, Quality, SensorDef, SensorId, SensorNo, TimeQuality, Value, ValueKind,
};
use crate::template::Template;
use crate::ticket::{Fault, Outcome, Piece, Span, TicketId};

mod slow;

/// Far more than anything here takes: a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

struct Bench {
    cluster: MockCluster<'static, DefaultProducerContext>,
    kafka: Kafka,
    events: Receiver<BrokerEvent>,
    next: u64,
}

impl Bench {
    fn new(topic: &str, window: usize, librdkafka: &[(&str, &str)]) -> Self {
        Self::with(MockCluster::new(1).unwrap(), topic, window, librdkafka)
    }

    fn with(
        cluster: MockCluster<'static, DefaultProducerContext>,
        topic: &str,
        window: usize,
        librdkafka: &[(&str, &str)],
    ) -> Self {
        cluster.create_topic("good", 2, 1).unwrap();
        let settings = Settings {
            brokers: vec![cluster.bootstrap_servers()],
            device: "gw".to_owned(),
            compression: "none".to_owned(),
            acks: Acks::All,
            headers: vec![("origin".to_owned(), "edge".to_owned())],
            max_rate: None,
            librdkafka: librdkafka
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        let format = Json::new(Routing {
            device: "gw".to_owned(),
            topic: Template::new(topic).unwrap(),
            key: Template::new("{sensor}").unwrap(),
        });
        let (sender, events) = sync_channel(10_000);
        let events_in = Arc::new(move |event| sender.send(event).unwrap_or_default());
        let kafka = Kafka::with_window(settings, Box::new(format), events_in, window).unwrap();
        Self {
            cluster,
            kafka,
            events,
            next: 0,
        }
    }

    fn ticket(&mut self, readings: usize) -> Arc<Ticket> {
        self.next += 1;
        Arc::new(ticket(self.next, readings))
    }

    /// The next event for which there is an answer.
    fn wait<T>(&self, answer: impl Fn(&BrokerEvent) -> Option<T>) -> T {
        loop {
            let event = self.events.recv_timeout(PATIENCE).expect("an event");
            if let Some(answer) = answer(&event) {
                return answer;
            }
        }
    }

    /// The next event, with what the forwarder would do about it done.
    fn event(&mut self) -> BrokerEvent {
        let event = self.events.recv_timeout(PATIENCE).expect("an event");
        if event == BrokerEvent::Room {
            self.kafka.resume();
        }
        event
    }

    fn outcome(&mut self, id: TicketId) -> Outcome {
        loop {
            let report = self.kafka.ready().or_else(|| match self.event() {
                BrokerEvent::Report(report) => Some(report),
                _ => None,
            });
            if let Some(report) = report.filter(|report| report.ticket == id) {
                return report.outcome;
            }
        }
    }

    fn outcome_of(&mut self, readings: usize) -> Outcome {
        let ticket = self.ticket(readings);
        self.kafka.send(ticket.clone()).expect("room");
        self.outcome(ticket.id)
    }

    fn wait_for_link(&self, up: bool) {
        self.wait(|event| (*event == BrokerEvent::Link(up)).then_some(()));
    }
}

pub(super) fn ticket(id: u64, readings: usize) -> Ticket {
    let run = Run {
        sensor: SensorNo(0),
        first: id * 100_000,
        wall: (0..readings)
            .map(|n| 1_782_482_400_000_000_000 + n as i64)
            .collect(),
        mono: MonoColumn::Offset(0),
        marks: Marks::All(Quality::Good, TimeQuality::Synchronized),
        columns: vec![Column::Numbers(vec![21.5; readings])],
        encoded: 0,
    };
    let piece = Piece {
        row: 1,
        run: Arc::new(run),
        from: 0,
        to: readings,
    };
    Ticket {
        id: TicketId(id),
        output: OutputNo(0),
        sensor: SensorNo(0),
        def: Arc::new(SensorDef {
            id: SensorId::new("shed").unwrap(),
            measurements: vec![Measurement {
                name: "t".into(),
                kind: ValueKind::Number,
                unit: None,
            }],
            tags: Vec::new(),
        }),
        epoch: Epoch(7),
        spans: vec![Span { pieces: vec![piece] }],
    }
}

#[test]
fn tickets_are_delivered_and_reported_once_each() {
    let mut bench = Bench::new("good", WINDOW, &[]);
    let tickets: Vec<_> = [1, 10, 1000].map(|readings| bench.ticket(readings)).to_vec();
    for ticket in &tickets {
        bench.kafka.send(ticket.clone()).unwrap();
    }
    for ticket in &tickets {
        assert_eq!(bench.outcome(ticket.id), Outcome::Delivered);
    }
    let status = bench.kafka.status();
    assert_eq!((status.records_under_way, status.bytes_under_way), (0, 0));
    assert!(status.reachable);
    let more = bench
        .events
        .try_iter()
        .filter(|event| matches!(event, BrokerEvent::Report(_)));
    assert_eq!(more.count(), 0);
}

#[test]
fn what_a_broker_refuses_for_now_is_sent_again_inside() {
    let mut bench = Bench::new("good", WINDOW, &[]);
    bench.cluster.request_errors(
        Api::Produce,
        &[
            Err::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            Err::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            Err::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            Err::RD_KAFKA_RESP_ERR__TRANSPORT,
        ],
    );
    assert_eq!(bench.outcome_of(10), Outcome::Delivered);
}

#[test]
fn what_a_broker_refuses_for_good_has_its_class() {
    for (error, expect) in [
        (Err::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "misconfigured"),
        (Err::RD_KAFKA_RESP_ERR_POLICY_VIOLATION, "misconfigured"),
        (Err::RD_KAFKA_RESP_ERR_UNKNOWN, "given up"),
    ] {
        let mut bench = Bench::new("good", WINDOW, &[]);
        bench.cluster.request_errors(Api::Produce, &[error]);
        let (name, why) = match bench.outcome_of(3) {
            Outcome::Misconfigured(why) => ("misconfigured".to_owned(), why),
            Outcome::GivenUp(why) => ("given up".to_owned(), why),
            other => panic!("{error:?}: {other:?}"),
        };
        assert_eq!(name, expect, "{error:?}");
        assert!(why.ends_with("(topic good)"), "{why}");
        assert_eq!(bench.kafka.status().clients, 1);
    }
}

/// The broker refuses a batch for a record and says not which: nothing is called at fault that was not alone.
#[test]
fn a_record_is_at_fault_only_when_it_is_refused_alone() {
    let late = |times| vec![Err::RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP; times];
    let large = |times| vec![Err::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; times];
    for (errors, readings, expect, fault) in [
        (late(1), 1, None, Fault::InvalidTimestamp),
        (late(1), 5, None, Fault::InvalidTimestamp),
        (late(2), 5, Some(100_000), Fault::InvalidTimestamp),
        (
            [late(1), vec![Err::RD_KAFKA_RESP_ERR_NO_ERROR; 3], late(1)].concat(),
            5,
            Some(100_003),
            Fault::InvalidTimestamp,
        ),
        (large(1), 5, None, Fault::TooLarge),
        (large(2), 5, Some(100_000), Fault::TooLarge),
    ] {
        let mut bench = Bench::new("good", WINDOW, &[]);
        bench.cluster.request_errors(Api::Produce, &errors);
        match (bench.outcome_of(readings), expect) {
            (Outcome::Delivered, None) => {}
            (Outcome::RecordAtFault(dead), Some(expect)) => {
                let found: Vec<_> = dead.iter().map(|record| (record.first, record.fault)).collect();
                assert_eq!(found, [(expect, fault)]);
                assert_eq!((&*dead[0].topic, &dead[0].key[..]), ("good", &b"shed"[..]));
                assert!(dead[0].value.starts_with(b"{\"sensorId\":\"shed\""));
            }
            other => panic!("{errors:?}: {other:?}"),
        }
        let status = bench.kafka.status();
        assert_eq!((status.bytes_under_way, status.possible_duplicates), (0, 0));
        assert_eq!(bench.outcome_of(3), Outcome::Delivered);
    }
}

#[test]
fn a_record_larger_than_the_client_takes_is_at_fault_and_the_others_arrive() {
    let mut bench = Bench::new("good", WINDOW, &[("message.max.bytes", "1000")]);
    assert_eq!(bench.outcome_of(1), Outcome::Delivered);
    let mut large = ticket(5, 3);
    let mut def = (*large.def).clone();
    def.measurements[0].kind = ValueKind::Text;
    large.def = Arc::new(def);
    let mut run = (*large.spans[0].pieces[0].run).clone();
    let text = |length: usize| Value::Text("x".repeat(length).into());
    run.columns = vec![Column::Mixed(vec![text(1), text(2000), text(3)])];
    large.spans[0].pieces[0].run = Arc::new(run);
    bench.kafka.send(Arc::new(large)).unwrap();
    let Outcome::RecordAtFault(dead) = bench.outcome(TicketId(5)) else {
        panic!("the large one is at fault");
    };
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].first, dead[0].fault), (500_001, Fault::TooLarge));
    assert_eq!(bench.kafka.status().bytes_under_way, 0);
    assert_eq!(bench.outcome_of(1), Outcome::Delivered);
}

#[test]
fn a_topic_that_is_not_there_halts_at_once_and_is_seen_when_it_is_made() {
    let mut bench = Bench::new("{sensor}", WINDOW, &[]);
    bench
        .cluster
        .topic_error("shed", Err::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        .unwrap();
    let absent = bench.outcome_of(100);
    assert!(
        matches!(&absent, Outcome::Misconfigured(why) if why.contains("shed")),
        "{absent:?}"
    );
    let status = bench.kafka.status();
    assert_eq!(
        (status.records_under_way, status.possible_duplicates),
        (0, 0),
        "none was produced"
    );
    bench
        .cluster
        .topic_error("shed", Err::RD_KAFKA_RESP_ERR_NO_ERROR)
        .unwrap();
    assert_eq!(bench.outcome_of(3), Outcome::Delivered);
}

#[test]
fn a_topic_that_refuses_is_asked_about_again() {
    let mut bench = Bench::new("good", WINDOW, &[]);
    assert_eq!(bench.outcome_of(3), Outcome::Delivered);
    bench
        .cluster
        .request_errors(Api::Produce, &[Err::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    let refused = bench.outcome_of(3);
    assert!(matches!(refused, Outcome::Misconfigured(_)), "{refused:?}");
    // librdkafka remembers it until metadata says otherwise: without a question, for minutes.
    assert_eq!(bench.outcome_of(3), Outcome::Delivered);
}

#[test]
fn a_fatal_error_loses_the_client_and_a_new_one_delivers() {
    let mut bench = Bench::new("good", WINDOW, &[]);
    let error = Err::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    bench.cluster.request_errors(Api::Produce, &[error]);
    let ticket = bench.ticket(3);
    bench.kafka.send(ticket.clone()).unwrap();
    let outcome = bench.outcome(ticket.id);
    assert!(matches!(outcome, Outcome::ClientLost(_)), "{outcome:?}");
    let mut refused = 0;
    while bench.kafka.send(bench_ticket(9)).is_err() {
        refused += 1;
        bench.kafka.renew().unwrap();
    }
    assert_eq!(refused, 1, "a lost client takes nothing");
    assert_eq!(bench.outcome(TicketId(9)), Outcome::Delivered);
    assert_eq!(bench.kafka.status().clients, 2);
}

fn bench_ticket(id: u64) -> Arc<Ticket> {
    Arc::new(ticket(id, 3))
}

#[test]
fn what_is_under_way_with_a_client_that_is_replaced_is_reported_as_lost() {
    let mut bench = Bench::new("good", 5000, &[]);
    assert_eq!(bench.outcome_of(1), Outcome::Delivered);
    bench.cluster.broker_down(-1).unwrap();
    bench.wait_for_link(false);
    let partly = bench.ticket(100);
    bench.kafka.send(partly.clone()).unwrap();
    assert_eq!(bench.kafka.send(bench_ticket(50)), Err(Busy));
    bench.kafka.renew().unwrap();
    let outcome = bench.outcome(partly.id);
    assert!(matches!(outcome, Outcome::ClientLost(_)), "{outcome:?}");
    bench.cluster.broker_up(-1).unwrap();
    assert_eq!(bench.outcome_of(2), Outcome::Delivered);
    assert_eq!(bench.kafka.status().bytes_under_way, 0);
}

#[test]
fn an_outage_is_seen_and_survived_without_anything_to_send() {
    let mut bench = Bench::new("good", WINDOW, &[]);
    bench.wait_for_link(true);
    for _ in 0..2 {
        bench.cluster.broker_down(-1).unwrap();
        bench.wait_for_link(false);
        assert!(!bench.kafka.reachable());
        bench.cluster.broker_up(-1).unwrap();
        bench.wait_for_link(true);
    }
    let ticket = bench.ticket(10);
    bench.cluster.broker_down(-1).unwrap();
    bench.kafka.send(ticket.clone()).unwrap();
    bench.wait_for_link(false);
    bench.cluster.broker_up(-1).unwrap();
    assert_eq!(bench.outcome(ticket.id), Outcome::Delivered);
}

#[test]
fn what_is_under_way_is_bounded_and_a_large_ticket_goes_in_parts() {
    let window = 20_000;
    let mut bench = Bench::new("good", window, &[]);
    assert_eq!(bench.outcome_of(1), Outcome::Delivered);
    let large = bench.ticket(5000);
    bench.kafka.send(large.clone()).unwrap();
    assert_eq!(bench.kafka.send(bench_ticket(77)), Err(Busy));
    let mut most = 0;
    let outcome = loop {
        most = most.max(bench.kafka.status().bytes_under_way);
        if let BrokerEvent::Report(report) = bench.event() {
            break report.outcome;
        }
        if let Some(report) = bench.kafka.ready() {
            break report.outcome;
        }
    };
    assert_eq!(outcome, Outcome::Delivered);
    assert!(most < window + 1000, "{most} bytes were under way");
    assert_eq!(bench.kafka.send(bench_ticket(77)), Ok(()));
    assert_eq!(bench.outcome(TicketId(77)), Outcome::Delivered);
}

#[test]
fn no_more_is_handed_over_than_the_rate_allows_and_the_rest_goes_in_time() {
    let mut bench = Bench::new("good", WINDOW, &[]);
    assert_eq!(bench.outcome_of(1), Outcome::Delivered);
    let began = clock::mono();
    bench.kafka.rate = Some(Bucket::new(40_000, began));
    // Some 210 bytes each.
    let ticket = bench.ticket(300);
    bench.kafka.send(ticket.clone()).unwrap();
    assert_eq!(bench.kafka.send(bench_ticket(77)), Err(Busy));
    let first = bench.kafka.status().records_under_way;
    assert!((10..100).contains(&first), "{first} at once");
    let mut wakes = 0;
    while let Some(deadline) = bench.kafka.deadline() {
        std::thread::sleep(deadline.since(clock::mono()));
        bench.kafka.resume();
        wakes += 1;
    }
    assert_eq!(bench.outcome(ticket.id), Outcome::Delivered);
    let span = clock::mono().since(began);
    assert!(
        span > Duration::from_millis(900),
        "60 KB at 40 KB/s took {span:?}"
    );
    assert!((4..30).contains(&wakes), "woken {wakes} times");
}

#[test]
fn a_topic_name_that_kafka_cannot_have_halts_and_does_not_panic() {
    let mut bench = Bench::new("good", WINDOW, &[]);
    let _ = &bench.cluster;
    bench.kafka.format = Box::new(Json::new(Routing {
        device: "gw".to_owned(),
        topic: Template::new(&"x".repeat(600)).unwrap(),
        key: Template::new("{sensor}").unwrap(),
    }));
    let outcome = bench.outcome_of(2);
    assert!(
        matches!(outcome, Outcome::Misconfigured(_) | Outcome::GivenUp(_)),
        "{outcome:?}"
    );
}
