//! `serial-text`: lines, garbage, and adapters that are pulled out.

use std::time::Duration;

use edgespool::intake::inbox::{Batch, MAX_READINGS};
use edgespool::queue::memory_store::MemoryStore;
use edgespool::reading::{Quality, Reading, Value, Values};
use edgespool::source::serial_text::{Pattern, Settings, spawn};
use edgespool::source::{Knowledge, Quantity, Running, State, port};

use crate::support::intake::{Intake, until};
use crate::support::pty::Socket;

const PATTERN: &str = r"^(?P<sensor>[\w-]+):(?P<temperature>\S+)C$";

fn start(intake: &Intake, socket: &Socket, pattern: &str) -> Running {
    let context = intake.context("source[0] serial-text", Knowledge::default());
    let port = port::Settings {
        path: socket.path().into(),
        baud: 9600,
    };
    let pattern = Pattern::new(regex_lite::Regex::new(pattern).unwrap(), None).unwrap();
    spawn(context, Settings { port, pattern })
}

async fn is_open(source: &Running) {
    until("the open port", || source.health().state() == State::Ok).await;
}

async fn end(mut source: Running, intake: Intake) {
    source.stop();
    source.ended().await;
    intake.stop();
}

#[tokio::test(flavor = "current_thread")]
async fn lines_become_readings_and_garbage_is_counted_and_shown() {
    let (socket, intake) = (Socket::new(), Intake::start(&MemoryStore::new()));
    let adapter = socket.plug();
    let source = start(&intake, &socket, PATTERN);
    let long = format!("shed:{}C\n", "1".repeat(3000));
    for piece in [
        "shed:21.5C\r\nattic:-3",
        ".25C\r\nboot v1.2\n\n\nshed:2",
        "2C\nattic:7C\rshed:nonsenseC\n",
        &long,
        "shed:23C\n",
    ] {
        adapter.write(piece.as_bytes()).await;
    }
    adapter
        .write(b"\xff\xfe\x00\x07:1C\n\xf0shed:1C\nattic:8C\n")
        .await;
    until("the last line", || intake.numbers("attic").len() == 3).await;
    assert_eq!(intake.numbers("attic"), [-3.25, 7.0, 8.0]);
    let shed = intake.numbers("shed");
    assert_eq!(
        (&shed[..2], shed[2].is_nan(), &shed[3..]),
        (&[21.5, 22.0][..], true, &[23.0][..])
    );
    let marks: Vec<_> = intake
        .stored()
        .iter()
        .filter(|s| s.sensor == "shed")
        .map(|s| s.quality)
        .collect();
    assert_eq!(
        marks,
        [Quality::Good, Quality::Good, Quality::Invalid, Quality::Good]
    );
    let health = source.health().snapshot();
    assert_eq!(
        (
            health.counters.bad_lines,
            health.counters.bad_values,
            health.counters.readings
        ),
        (4, 1, 7)
    );
    assert_eq!(health.last_bad_line.as_deref(), Some("\u{fffd}shed:1C"));
    assert_eq!(health.state, State::Ok, "garbage is no fault of the source");
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn half_a_line_before_and_half_after_a_replug_are_no_line() {
    let (socket, intake) = (Socket::new(), Intake::start(&MemoryStore::new()));
    let adapter = socket.plug();
    let source = start(&intake, &socket, PATTERN);
    adapter.write(b"shed:21.5C\nshed:2").await;
    until("the line before", || intake.numbers("shed").len() == 1).await;
    drop(adapter);
    until("the loss", || source.health().state() == State::Failed).await;
    assert!(source.health().snapshot().why.unwrap().starts_with("port: "));
    let adapter = socket.plug();
    is_open(&source).await;
    adapter.write(b"9.0C\nshed:23.0C\n").await;
    until("the line after", || intake.numbers("shed").len() == 2).await;
    assert_eq!(intake.numbers("shed"), [21.5, 23.0]);
    let counters = source.health().snapshot().counters;
    assert_eq!((counters.reopenings, counters.bad_lines), (1, 2));
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_port_that_is_missing_at_start_is_used_when_it_appears() {
    let (socket, intake) = (Socket::new(), Intake::start(&MemoryStore::new()));
    let source = start(&intake, &socket, PATTERN);
    until("the fault", || source.health().state() == State::Failed).await;
    let why = source.health().snapshot().why.unwrap();
    assert_eq!(
        why,
        "port: there is no such port; it is used as soon as it appears"
    );
    let adapter = socket.plug();
    is_open(&source).await;
    adapter.write(b"shed:1C\n").await;
    until("a reading", || intake.numbers("shed") == [1.0]).await;
    assert_eq!(source.health().snapshot().counters.reopenings, 0);
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_port_that_another_program_holds_is_refused_and_named() {
    let (socket, intake) = (Socket::new(), Intake::start(&MemoryStore::new()));
    let adapter = socket.plug();
    let other = std::fs::File::open(socket.path()).unwrap();
    rustix::fs::flock(&other, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let source = start(&intake, &socket, PATTERN);
    until("the fault", || source.health().state() == State::Failed).await;
    let why = source.health().snapshot().why.unwrap();
    assert!(why.starts_with("port: another program has it open"), "{why}");
    drop(other);
    is_open(&source).await;
    adapter.write(b"shed:1C\n").await;
    until("a reading", || intake.numbers("shed") == [1.0]).await;
    // And nobody else gets it now.
    let other = std::fs::File::open(socket.path());
    let refused = other.and_then(|other| {
        rustix::fs::flock(&other, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(Into::into)
    });
    assert!(refused.is_err());
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn groups_keep_their_type_and_may_be_absent() {
    let (socket, intake) = (Socket::new(), Intake::start(&MemoryStore::new()));
    let adapter = socket.plug();
    let source = start(
        &intake,
        &socket,
        r"^(?P<sensor>\w+) (?P<state>\w+)?(?: (?P<level>\S+))?$",
    );
    adapter
        .write(b"tank full\ntank 7 3.5\ntank  4\ntank full ERR\n")
        .await;
    until("all lines", || intake.stored().len() == 4).await;
    let text = |text: &str| Value::Text(text.into());
    let values: Vec<_> = intake.stored().into_iter().map(|stored| stored.values).collect();
    assert_eq!(values[0], [text("full"), Value::Absent]);
    assert_eq!(values[1], [text("7"), Value::Number(3.5)]);
    assert_eq!(values[2], [Value::Absent, Value::Number(4.0)]);
    assert!(matches!(&values[3][..], [Value::Text(_), Value::Number(number)] if number.is_nan()));
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn noise_that_looks_like_sensors_is_refused_beyond_the_bound() {
    let (socket, mut intake) = (Socket::new(), Intake::held(&MemoryStore::new(), 2));
    intake.go();
    let adapter = socket.plug();
    let source = start(&intake, &socket, PATTERN);
    adapter.write(b"a:1C\nb:2C\nc:3C\nd:4C\na:5C\n").await;
    until("the last line", || intake.numbers("a") == [1.0, 5.0]).await;
    let health = source.health().snapshot();
    let line = intake.inbox().offers().all();
    assert_eq!(
        (
            line.offered,
            line.accepted,
            line.refused,
            health.counters.readings
        ),
        (5, 3, [0, 0, 0, 2], 3)
    );
    assert!(health.why.unwrap().contains("raise queue.max-sensors"));
    end(source, intake).await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_source_whose_inbox_is_full_stops_when_it_is_told() {
    let (socket, mut intake) = (Socket::new(), Intake::held(&MemoryStore::new(), 10));
    let filler = intake.context("source[9] filler", Knowledge::default());
    let sensor = filler.register("filler", &[Quantity::number("t", "C")]).unwrap();
    let values = Values::One(Value::Number(1.0));
    let reading = Reading {
        sensor,
        time: filler.clock().stamp(),
        quality: Quality::Good,
        values,
    };
    filler
        .submit(Batch {
            readings: vec![reading; MAX_READINGS],
            ..Batch::default()
        })
        .await
        .unwrap();
    let adapter = socket.plug();
    let mut source = start(&intake, &socket, PATTERN);
    adapter.write(b"bad line\nshed:1C\n").await;
    until("the line", || source.health().snapshot().counters.bad_lines == 1).await;
    source.stop();
    tokio::time::timeout(Duration::from_secs(30), source.ended())
        .await
        .expect("it ends");
    intake.go();
    intake.stop();
}
