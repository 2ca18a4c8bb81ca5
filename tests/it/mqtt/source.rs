//! The source by itself, with the real intake over a queue in memory.

use std::time::Duration;

use edgespool::mqtt::{Address, Filter, Path, SensorName, connection};
use edgespool::queue::memory_store::MemoryStore;
use edgespool::reading::Value;
use edgespool::source::mqtt::{Settings, Topic, spawn};
use edgespool::source::{Knowledge, Running, State};

use crate::support::intake::{Intake, until};
use crate::support::mosquitto::{Mosquitto, free_port};
use crate::support::publisher::{Plan, Publisher};

fn topic(filter: &str, sensor: &str, fields: &[(&str, &str)], time: Option<&str>) -> Topic {
    let filter = Filter::new(filter).unwrap();
    let field = |(name, path): &(&str, &str)| ((*name).into(), Path::new(path).unwrap());
    Topic {
        sensor: SensorName::new(sensor, &filter).unwrap(),
        filter,
        fields: fields.iter().map(field).collect(),
        time: time.map(|path| Path::new(path).unwrap()),
    }
}

fn settings(url: &str, topics: Vec<Topic>) -> Settings {
    let connection = connection::Settings {
        address: Address::new(url).unwrap(),
        client_id: "edgespool-test".into(),
        username: None,
        password_file: None,
        ca: None,
        clean: false,
        will: None,
    };
    Settings {
        connection,
        inflight: 20,
        max_packet: 10_000,
        topics,
    }
}

fn temperatures(url: &str) -> Settings {
    settings(
        url,
        vec![topic(
            "sensors/+/temperature",
            "{topic.1}",
            &[("temperature", "temperature")],
            None,
        )],
    )
}

fn start(intake: &Intake, settings: Settings) -> Running {
    spawn(intake.context("source[1] mqtt", Knowledge::default()), settings)
}

/// Waits until the broker has let it in and knows what it wants.
async fn subscribed(broker: &Mosquitto, times: usize) {
    until("the subscription", || {
        broker.log().matches("Sending SUBACK to edgespool-test").count() >= times
    })
    .await;
}

async fn end(mut source: Running, intake: Intake) {
    source.stop();
    source.ended().await;
    intake.stop();
}

const LOGGING: &str = "log_type all";

#[tokio::test(flavor = "current_thread")]
#[ignore = "needs mosquitto: just test-mqtt"]
async fn messages_become_readings_and_what_is_none_is_shown_and_acknowledged() {
    let broker = Mosquitto::start(20, LOGGING);
    let intake = Intake::start(&MemoryStore::new());
    let topics = vec![
        topic(
            "zigbee2mqtt/+",
            "{topic.1}",
            &[("temperature", "temperature")],
            None,
        ),
        topic(
            "+/sensor/+/state",
            "{topic.1}-{topic.2}",
            &[("temperature", "$")],
            None,
        ),
    ];
    let source = start(&intake, settings(&broker.url(), topics));
    subscribed(&broker, 1).await;
    broker.publish("zigbee2mqtt/attic", r#"{"temperature":21.5,"battery":100}"#, &[]);
    broker.publish("zigbee2mqtt/bridge", "online", &[]);
    broker.publish("node/sensor/oven/state", "180.25", &[]);
    broker.publish("zigbee2mqtt/attic", r#"{"temperature":22}"#, &["-q", "0"]);
    until("the readings", || intake.stored().len() == 3).await;
    assert_eq!(intake.numbers("attic"), [21.5, 22.0]);
    assert_eq!(intake.numbers("node-oven"), [180.25]);
    until("the acknowledgements", || {
        broker
            .log()
            .matches("Received PUBACK from edgespool-test")
            .count()
            == 3
    })
    .await;
    let health = source.health().snapshot();
    assert_eq!((health.counters.readings, health.counters.bad_lines), (3, 1));
    assert_eq!(health.last_bad_line.as_deref(), Some("zigbee2mqtt/bridge online"));
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
#[ignore = "needs mosquitto: just test-mqtt"]
async fn nothing_is_acknowledged_before_it_is_durable() {
    let broker = Mosquitto::start(20, LOGGING);
    let mut intake = Intake::held(&MemoryStore::new(), 10);
    let source = start(&intake, temperatures(&broker.url()));
    subscribed(&broker, 1).await;
    broker.publish("sensors/a/temperature", r#"{"temperature":1}"#, &[]);
    until("the reading", || {
        source.health().snapshot().counters.readings == 1
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let acknowledged = || {
        broker
            .log()
            .matches("Received PUBACK from edgespool-test")
            .count()
    };
    assert_eq!(acknowledged(), 0, "nothing has been committed");
    intake.go();
    until("the acknowledgement", || acknowledged() == 1).await;
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
#[ignore = "needs mosquitto: just test-mqtt"]
async fn what_is_published_while_the_agent_is_away_comes_when_it_is_back() {
    let broker = Mosquitto::start(20, LOGGING);
    let store = MemoryStore::new();
    let intake = Intake::start(&store);
    let source = start(&intake, temperatures(&broker.url()));
    subscribed(&broker, 1).await;
    broker.publish("sensors/a/temperature", r#"{"temperature":1}"#, &[]);
    until("the reading", || intake.stored().len() == 1).await;
    end(source, intake).await;
    broker.publish("sensors/a/temperature", r#"{"temperature":2}"#, &[]);
    let intake = Intake::start(&store);
    let source = start(&intake, temperatures(&broker.url()));
    until("the reading", || intake.stored().len() >= 2).await;
    end(source, intake).await;
    let stored = Intake::start(&store);
    assert_eq!(
        stored.numbers("a"),
        [1.0, 2.0],
        "a stop in order gives nothing twice"
    );
    stored.stop();
}

#[tokio::test(flavor = "current_thread")]
#[ignore = "needs mosquitto: just test-mqtt"]
async fn a_message_that_is_too_large_is_passed_over_by_name_and_the_connection_stays() {
    let broker = Mosquitto::start(20, LOGGING);
    let intake = Intake::start(&MemoryStore::new());
    let source = start(&intake, temperatures(&broker.url()));
    subscribed(&broker, 1).await;
    let large = format!(r#"{{"temperature":1,"x":"{}"}}"#, "y".repeat(100_000));
    let file = broker.path().join("large");
    std::fs::write(&file, large).unwrap();
    for retain in [&[][..], &["-r"]] {
        let mut command = std::process::Command::new("mosquitto_pub");
        command.args(["-h", "127.0.0.1", "-p", &broker.port().to_string(), "-q", "1"]);
        command.args(["-t", "sensors/a/temperature", "-f", file.to_str().unwrap()]);
        assert!(command.args(retain).status().unwrap().success());
    }
    broker.publish("sensors/a/temperature", r#"{"temperature":2}"#, &[]);
    until("the next reading", || intake.stored().len() == 1).await;
    assert_eq!(intake.numbers("a"), [2.0]);
    let health = source.health().snapshot();
    assert_eq!((health.counters.reopenings, health.counters.bad_lines), (0, 2));
    assert_eq!(health.state, State::Degraded);
    assert!(
        health
            .why
            .as_ref()
            .is_some_and(|why| why.contains("more than max-packet (10000)")),
        "{health:?}"
    );
    until("the acknowledgements", || {
        broker
            .log()
            .matches("Received PUBACK from edgespool-test")
            .count()
            == 3
    })
    .await;
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
#[ignore = "needs mosquitto: just test-mqtt"]
async fn a_broker_that_is_absent_or_goes_away_is_tried_again() {
    let port = free_port();
    let intake = Intake::start(&MemoryStore::new());
    let source = start(&intake, temperatures(&format!("mqtt://127.0.0.1:{port}")));
    until("the fault", || source.health().state() == State::Failed).await;
    let why = source.health().snapshot().why.unwrap_or_default();
    assert!(
        why.contains(&format!("127.0.0.1:{port} cannot be reached")),
        "{why}"
    );
    let mut broker = Mosquitto::start_at(port, 20, LOGGING);
    subscribed(&broker, 1).await;
    broker.publish("sensors/a/temperature", r#"{"temperature":1}"#, &[]);
    until("the reading", || intake.stored().len() == 1).await;
    broker.down();
    until("the fault", || source.health().state() == State::Failed).await;
    broker.up();
    subscribed(&broker, 2).await;
    broker.publish("sensors/a/temperature", r#"{"temperature":2}"#, &[]);
    until("the reading", || intake.stored().len() == 2).await;
    assert_eq!(source.health().state(), State::Ok);
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
#[ignore = "needs mosquitto: just test-mqtt"]
async fn a_retained_message_is_no_fresh_reading() {
    let broker = Mosquitto::start(20, LOGGING);
    broker.publish("sensors/a/temperature", r#"{"temperature":1}"#, &["-r"]);
    let intake = Intake::start(&MemoryStore::new());
    let source = start(&intake, temperatures(&broker.url()));
    until("the old message", || {
        source.health().snapshot().counters.retained == 1
    })
    .await;
    broker.publish("sensors/a/temperature", r#"{"temperature":2}"#, &["-r"]);
    until("the reading", || intake.stored().len() == 1).await;
    assert_eq!(intake.numbers("a"), [2.0], "published with the flag, but live");
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
#[ignore = "needs mosquitto: just test-mqtt"]
async fn what_comes_again_while_it_is_in_our_hands_is_stored_once() {
    let mut broker = Mosquitto::start(5000, LOGGING);
    let mut intake = Intake::held(&MemoryStore::new(), 10);
    let source = start(&intake, temperatures(&broker.url()));
    subscribed(&broker, 1).await;
    let plan = Plan {
        messages: 500,
        sensors: 5,
        rate: 0,
    };
    let publisher = Publisher::start(broker.port(), plan);
    publisher.wait_for(plan.messages);
    until("the readings", || {
        source.health().snapshot().counters.readings == 500
    })
    .await;
    broker.down();
    broker.up();
    until("all of them again", || {
        source.health().snapshot().counters.duplicates == 500
    })
    .await;
    intake.go();
    until("the acknowledgements", || {
        broker
            .log()
            .matches("Received PUBACK from edgespool-test")
            .count()
            == 500
    })
    .await;
    for sensor in 0..5 {
        let numbers = intake.numbers(&format!("s{sensor}"));
        assert_eq!(numbers, (0..100).map(f64::from).collect::<Vec<_>>(), "s{sensor}");
    }
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
#[ignore = "needs mosquitto: just test-mqtt"]
async fn a_broker_that_does_not_let_us_in_is_named() {
    let broker = Mosquitto::start(20, "");
    let passwords = broker.path().join("passwords");
    let made = std::process::Command::new("mosquitto_passwd")
        .args(["-b", "-c", passwords.to_str().unwrap(), "me", "right"])
        .status();
    assert!(made.unwrap().success());
    let closed = Mosquitto::start(20, &format!("password_file {}\n{LOGGING}", passwords.display()));
    let intake = Intake::start(&MemoryStore::new());
    let file = broker.path().join("secret");
    std::fs::write(&file, "wrong\n").unwrap();
    let mut settings = temperatures(&closed.url());
    settings.connection.username = Some("me".into());
    settings.connection.password_file = Some(file.clone());
    let source = start(&intake, settings);
    until("the fault", || source.health().state() == State::Failed).await;
    let why = source.health().snapshot().why.unwrap_or_default();
    assert!(
        why.contains("does not let this client in") || why.contains("password"),
        "{why}"
    );
    assert!(!why.contains("wrong"), "no secret is shown: {why}");
    std::fs::write(&file, "right\n").unwrap();
    subscribed(&closed, 1).await;
    until("the recovery", || source.health().state() == State::Ok).await;
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
#[ignore = "needs mosquitto: just test-mqtt"]
async fn tls_takes_a_broker_whose_certificate_is_right_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ])
        .args([
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
            &path("key"),
            "-out",
            &path("certificate"),
        ])
        .output()
        .unwrap();
    assert!(made.status.success());
    let port = free_port();
    let tls = format!(
        "{LOGGING}\nlistener {port} 127.0.0.1\ncertfile {}\nkeyfile {}",
        path("certificate"),
        path("key")
    );
    let broker = Mosquitto::start(20, &tls);
    for (url, ca, expect) in [
        (format!("mqtts://localhost:{port}"), false, State::Failed),
        (format!("mqtts://127.0.0.1:{port}"), true, State::Failed),
        (format!("mqtts://localhost:{port}"), true, State::Ok),
    ] {
        let intake = Intake::start(&MemoryStore::new());
        let mut settings = temperatures(&url);
        settings.connection.ca = ca.then(|| path("certificate").into());
        let source = start(&intake, settings);
        if expect == State::Ok {
            subscribed(&broker, 1).await;
            broker.publish("sensors/a/temperature", r#"{"temperature":1}"#, &[]);
            until("the reading", || intake.stored().len() == 1).await;
            assert_eq!(intake.stored()[0].values, [Value::Number(1.0)]);
        } else {
            until("the fault", || source.health().state() == State::Failed).await;
            let why = source.health().snapshot().why.unwrap_or_default();
            assert!(why.contains("there is no TLS with it"), "{why}");
        }
        end(source, intake).await;
    }
}
