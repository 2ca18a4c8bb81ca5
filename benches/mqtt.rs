//! From a real mosquitto to acknowledged, beside rumqttc's own event loop.
//!
//! Owns two measurements of one stream of messages, QoS 1, 5,000 under way: the source with the real intake over a queue
//! in memory, and a bare client on rumqttc's event loop that acknowledges by hand and does nothing else. All messages are
//! published before anything is measured, so the CPU time of this process is that of the receiver alone.
//!
//! `cargo bench --bench mqtt` prints a table and ends with a line of JSON. Needs mosquitto. `--runs N`, `--readings N`.
#![expect(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a bench prints its figures; its packets are short"
)]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use edgespool::clock::{BootId, Clock};
use edgespool::intake::catalog::Catalog;
use edgespool::intake::committer::{Committer, Tally};
use edgespool::intake::inbox::Inbox;
use edgespool::mqtt::{self, Address, Filter, SensorName, connection};
use edgespool::queue::memory_store::MemoryStore;
use edgespool::queue::open::{Settings as QueueSettings, open};
use edgespool::reading::Epoch;
use edgespool::source::mqtt::{Settings, Topic, spawn};
use edgespool::source::{Context, Knowledge};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};

use support::{Failure, Outcome, SMALL, argument, machine, median, place, real};

const RUNS: usize = 5;
const READINGS: u64 = 200_000;
const SENSORS: u64 = 1000;
const WINDOW: u16 = 5000;
const CLIENT: &str = "edgespool-bench";
const FILTER: &str = "sensors/+/temperature";
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Outcome {
    if SMALL && find().is_none() {
        println!("not run: there is no mosquitto");
        return Ok(());
    }
    let runs = argument("--runs").map_or(Ok(if SMALL { 1 } else { RUNS }), |n| n.parse())?;
    let readings = argument("--readings").map_or(Ok(if SMALL { 2000 } else { READINGS }), |n| n.parse())?;
    println!(
        "{readings} messages, {SENSORS} sensors, {WINDOW} under way; {}",
        machine::description()
    );
    println!("  receiver     CPU s / 1M   messages/s");
    let mut json = Vec::new();
    for (name, receive) in [("source", source as Receive), ("event-loop", event_loop)] {
        let (mut cpu, mut rate) = (Vec::new(), Vec::new());
        for run in 0..runs {
            let broker = Broker::start(&format!("mqtt-{name}-{run}"))?;
            broker.session()?;
            publish(broker.port, readings)?;
            let (before, began) = (machine::cpu(), Clock::new().mono());
            receive(broker.port, readings)?;
            let seconds = Clock::new().mono().since(began).as_secs_f64();
            cpu.push((machine::cpu() - before).as_secs_f64() * 1e6 / real(readings));
            rate.push(real(readings) / seconds);
        }
        let (cpu, rate) = (median(cpu), median(rate));
        println!("  {name:<11}  {cpu:>10.2}  {rate:>11.0}");
        json.push(format!(
            "\"{name}\":{{\"cpu_s_per_1m\":{cpu:.3},\"messages_per_s\":{rate:.0}}}"
        ));
    }
    println!(
        "{{\"bench\":\"mqtt\",\"debug\":{SMALL},\"readings\":{readings},\"runs\":{runs},{}}}",
        json.join(",")
    );
    Ok(())
}

type Receive = fn(u16, u64) -> Outcome;

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// The source, with everything up to the receipt but the disk.
fn source(port: u16, readings: u64) -> Outcome {
    let clock = Arc::new(Clock::new());
    let settings = QueueSettings {
        generation_bytes: 1 << 24,
        outputs: 1,
        boot: BootId::default(),
        fresh_epoch: Epoch(7),
        limits: Default::default(),
    };
    let queue = open(Arc::new(MemoryStore::new()), &settings, clock.stamp())?;
    let interval = Duration::from_millis(100);
    let inbox = Arc::new(Inbox::new(interval, Catalog::new(queue.sensors, 4096)));
    let tally = Arc::new(Tally::default());
    let committer = Committer::new(inbox.clone(), queue.appender, clock.clone(), interval, tally);
    let thread = std::thread::spawn(move || committer.run());
    let filter = Filter::new(FILTER)?;
    let topic = Topic {
        sensor: SensorName::new("{topic.1}", &filter)?,
        filter,
        fields: vec![("temperature".into(), mqtt::Path::new("temperature")?)],
        time: Some(mqtt::Path::new("recordedAt")?),
    };
    let settings = Settings {
        connection: connection::Settings {
            address: Address::new(&format!("mqtt://127.0.0.1:{port}"))?,
            client_id: CLIENT.into(),
            username: None,
            password_file: None,
            ca: None,
            clean: false,
            will: None,
        },
        inflight: WINDOW.into(),
        max_packet: 1 << 20,
        topics: vec![topic],
    };
    let taken = runtime()?.block_on(async {
        let context = Context::new("mqtt", inbox.clone(), clock, Arc::new(Knowledge::default()));
        let mut running = spawn(context, settings);
        for _ in 0..PATIENCE.as_millis() / 5 {
            if running.health().snapshot().counters.readings >= readings {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        running.stop();
        running.ended().await;
        running.health().snapshot().counters.readings
    });
    inbox.close();
    thread.join().map_err(|_| "the committer panicked")??;
    match taken == readings {
        true => Ok(()),
        false => Err(format!("{taken} readings of {readings}").into()),
    }
}

/// A bare client: it takes messages and acknowledges them.
fn event_loop(port: u16, readings: u64) -> Outcome {
    let mut options = MqttOptions::new(CLIENT, "127.0.0.1", port);
    options
        .set_clean_session(false)
        .set_manual_acks(true)
        .set_inflight(WINDOW);
    let taken = runtime()?.block_on(async {
        let (client, mut events) = AsyncClient::new(options, WINDOW.into());
        client.try_subscribe(FILTER, QoS::AtLeastOnce)?;
        let (mut taken, mut acknowledged) = (0, 0);
        while acknowledged < readings {
            match tokio::time::timeout(PATIENCE, events.poll()).await?? {
                Event::Incoming(Packet::Publish(message)) => {
                    taken += 1;
                    client.try_ack(&message)?;
                }
                Event::Outgoing(rumqttc::Outgoing::PubAck(_)) => acknowledged += 1,
                _ => {}
            }
        }
        Ok::<u64, Failure>(taken)
    })?;
    match taken == readings {
        true => Ok(()),
        false => Err(format!("{taken} messages of {readings}").into()),
    }
}

fn find() -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
    let mut all = path.split(':').map(|folder| Path::new(folder).join("mosquitto"));
    all.find(|program| program.metadata().is_ok())
}

/// A mosquitto of our own.
struct Broker {
    child: Child,
    port: u16,
}

impl Broker {
    fn start(name: &str) -> Result<Self, Failure> {
        let directory = place::directory(name)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let file = directory.join("mosquitto.conf");
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages {WINDOW}\nmax_queued_messages 0\n\
             max_queued_bytes 0\nset_tcp_nodelay true\nlog_type error\n"
        );
        fs::write(&file, text)?;
        let program = find().ok_or("there is no mosquitto (Debian: apt-get install mosquitto)")?;
        let child = Command::new(program)
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .spawn()?;
        let broker = Self { child, port };
        for _ in 0..1000 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(broker);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("mosquitto does not listen".into())
    }

    /// Leaves a session behind that collects what is published.
    fn session(&self) -> Outcome {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port))?;
        let mut packet = vec![
            0x10,
            12 + CLIENT.len() as u8,
            0,
            4,
            b'M',
            b'Q',
            b'T',
            b'T',
            4,
            0,
            0,
            60,
            0,
        ];
        packet.push(CLIENT.len() as u8);
        packet.extend(CLIENT.as_bytes());
        packet.extend([0x82, 5 + FILTER.len() as u8, 0, 1, 0, FILTER.len() as u8]);
        packet.extend(FILTER.as_bytes());
        packet.push(1);
        socket.write_all(&packet)?;
        socket.read_exact(&mut [0; 4 + 5])?;
        socket.write_all(&[0xe0, 0])?;
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Publishes all messages, a thousand under way.
fn publish(port: u16, readings: u64) -> Outcome {
    const UNDER_WAY: u64 = 1000;
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.write_all(b"\x10\x10\0\x04MQTT\x04\x02\x02\x58\0\x04load")?;
    socket.read_exact(&mut [0; 4])?;
    let mut from = 0;
    while from < readings {
        let until = readings.min(from + UNDER_WAY);
        let mut out = Vec::new();
        for n in from..until {
            let topic = format!("sensors/s{}/temperature", n % SENSORS);
            let seconds = n / SENSORS / 10 % 60;
            let payload = format!(
                "{{\"temperature\":{}.5,\"recordedAt\":\"2026-06-26T14:00:{seconds:02}.{}00Z\"}}",
                n % 40,
                n / SENSORS % 10
            );
            let length = 4 + topic.len() + payload.len();
            out.extend([0x32, length as u8, 0, topic.len() as u8]);
            out.extend(topic.as_bytes());
            out.extend(((n % 60_000 + 1) as u16).to_be_bytes());
            out.extend(payload.as_bytes());
        }
        socket.write_all(&out)?;
        let mut answers = vec![0; (until - from) as usize * 4];
        socket.read_exact(&mut answers)?;
        from = until;
    }
    Ok(())
}
