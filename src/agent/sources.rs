//! Starting and stopping the sources, on the agent's one asynchronous runtime.
//!
//! Owns the runtime's thread, the status socket on it, and the signals. Promises that stopping takes a bounded time.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::{Event, View, report, tell};
use crate::config::{self, ChipDriver, Config};
use crate::exit::{Code, Failure};
use crate::intake::inbox::NodePosition;
use crate::mqtt::connection;
use crate::source::{self, Context, Knowledge, Overrides, Running};
use crate::status::{mqtt as mqtt_status, socket};

/// How long the start of the sources is waited for: opening a port that hangs is no reason not to be ready.
const BEGIN: Duration = Duration::from_secs(5);

/// How long the last words on the agent's state may take.
const STATE_END: Duration = Duration::from_millis(120);

/// The sources' thread.
#[derive(Debug)]
pub(super) struct Sources {
    stop: oneshot::Sender<()>,
    ended: Receiver<()>,
}

impl Sources {
    /// Stops all sources; what has not ended after `patience` is left behind.
    pub(super) fn stop(self, patience: Duration) {
        let told = self.stop.send(()).is_ok();
        if told
            && self
                .ended
                .recv_timeout(patience + Duration::from_millis(50))
                .is_err()
        {
            tracing::warn!("a source did not end in time and is left behind");
        }
    }
}

/// Starts the thread, and on it the sources, the status socket and, if wanted, the signals.
pub(super) fn start(
    config: &Config,
    view: &Arc<View>,
    nodes: Vec<NodePosition>,
    outbox: Option<SyncSender<Event>>,
) -> Result<Sources, Failure> {
    let (stop, stopped) = oneshot::channel();
    let (done, ended) = sync_channel(1);
    let (begun, running) = sync_channel(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new("start the asynchronous runtime", error, Code::Io))?;
    let (config, view) = (config.clone(), view.clone());
    let work = move || {
        runtime.block_on(async {
            let mut running = spawn_all(&config, &view, nodes);
            let healths = running.iter().map(|source| source.health().clone()).collect();
            *view.sources.lock().unwrap_or_else(PoisonError::into_inner) = healths;
            listen(&config.status.socket, &view);
            drop(tokio::spawn(look_around(view.clone())));
            let state = publish_state(&config, &view);
            if let Some(outbox) = outbox {
                watch_signals(&outbox);
            }
            begun.try_send(()).unwrap_or_default();
            // An agent that is gone wants a stop, too.
            drop(stopped.await);
            stop_all(&mut running).await;
            if let Some((stop, task)) = state {
                stop.stop();
                drop(tokio::time::timeout(STATE_END, task).await);
            }
            drop(std::fs::remove_file(&config.status.socket));
        });
        done.send(()).unwrap_or_default();
        // Blocking threads of the runtime may hang in a device: nobody waits for them.
        runtime.shutdown_background();
    };
    let thread = std::thread::Builder::new().name("sources".into());
    thread
        .spawn(work)
        .map_err(|error| Failure::new("start the sources' thread", error, Code::Io))?;
    if running.recv_timeout(BEGIN).is_err() {
        tracing::warn!("a source takes long to start; the agent goes on");
    }
    Ok(Sources { stop, ended })
}

/// Publishes the agent's state, if the device file says where.
fn publish_state(config: &Config, view: &Arc<View>) -> Option<(source::Stop, tokio::task::JoinHandle<()>)> {
    let wanted = config.mqtt_status.as_ref()?;
    let settings = mqtt_status::Settings {
        connection: connection::Settings {
            address: wanted.broker.clone(),
            client_id: format!("edgespool-{}-status", config.device.id),
            username: wanted.username.clone(),
            password_file: wanted.password_file.clone(),
            ca: wanted.ca.clone(),
            clean: true,
            will: None,
        },
        topic: wanted.topic.clone(),
    };
    let (view, stop) = (view.clone(), source::Stop::new());
    let answer = Arc::new(move || report::snapshot(&view));
    let publish = mqtt_status::publish(settings, config.device.id.clone(), answer, stop.clone());
    Some((stop, tokio::spawn(publish)))
}

async fn stop_all(running: &mut [Running]) {
    running.iter().for_each(Running::stop);
    let all = async {
        for source in running.iter_mut() {
            source.ended().await;
        }
    };
    drop(tokio::time::timeout(super::SOURCES_END, all).await);
}

/// How often somebody looks what has changed by itself.
const LOOK_AROUND: Duration = Duration::from_secs(10);

/// Notices, also while no reading comes, that the clock was set and that a mishap has passed: both are events.
async fn look_around(view: Arc<View>) {
    loop {
        tokio::time::sleep(LOOK_AROUND).await;
        if view.inbox.look_at_the_clock(view.clock.stamp()) {
            view.inbox.nudge();
        }
        let healths = view
            .sources
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for health in healths {
            tracing::trace!(state = ?health.state(), "looked at a source");
        }
    }
}

fn listen(path: &Path, view: &Arc<View>) {
    match socket::listen(path) {
        Ok(listener) => {
            let view = view.clone();
            drop(tokio::spawn(socket::serve(
                listener,
                Arc::new(move || report::snapshot(&view)),
            )));
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "no status socket; everything else goes on");
        }
    }
}

fn watch_signals(outbox: &SyncSender<Event>) {
    let stops = [SignalKind::terminate(), SignalKind::interrupt()];
    for kind in stops {
        on_signal(kind, outbox.clone(), || Event::Stop);
    }
    on_signal(SignalKind::hangup(), outbox.clone(), || Event::Reload);
}

fn on_signal(kind: SignalKind, outbox: SyncSender<Event>, event: fn() -> Event) {
    match signal(kind) {
        Ok(mut stream) => drop(tokio::spawn(async move {
            while stream.recv().await.is_some() {
                tell(&outbox, event());
            }
        })),
        Err(error) => tracing::warn!(%error, "a signal cannot be watched"),
    }
}

fn knowledge(config: &Config) -> Knowledge {
    let overrides = |sensor: &config::Sensor| Overrides {
        measurement: Some(sensor.measurement.as_str().into()),
        units: sensor.units.clone(),
        tags: sensor.tags.clone(),
    };
    Knowledge {
        tags: config.device.tags.clone(),
        sensors: config
            .sensors
            .iter()
            .map(|(id, sensor)| (id.clone(), overrides(sensor)))
            .collect(),
    }
}

fn spawn_all(config: &Config, view: &Arc<View>, nodes: Vec<NodePosition>) -> Vec<Running> {
    let knowledge = Arc::new(knowledge(config));
    let roster = Arc::new(source::serial_frames::Roster::new(nodes));
    let mut running = Vec::new();
    for (index, source) in config.sources.iter().enumerate() {
        let label = format!("source[{}] {}", index + 1, source.name());
        let context = Context::new(label, view.inbox.clone(), view.clock.clone(), knowledge.clone());
        running.extend(spawn(context, source, &config.device.id, &roster));
    }
    running
}

fn spawn(
    context: Context,
    source: &config::Source,
    device: &str,
    roster: &Arc<source::serial_frames::Roster>,
) -> Option<Running> {
    let label = context.label().clone();
    match source {
        config::Source::SerialFrames(s) => {
            let port = source::port::Settings {
                path: s.port.clone(),
                baud: s.baud,
            };
            let settings = source::serial_frames::Settings {
                port,
                roster: roster.clone(),
            };
            Some(source::serial_frames::spawn(context, settings))
        }
        config::Source::SerialText(s) => {
            let port = source::port::Settings {
                path: s.port.clone(),
                baud: s.baud,
            };
            match source::serial_text::Pattern::new(s.pattern.clone(), s.id.clone()) {
                Ok(pattern) => {
                    let settings = source::serial_text::Settings { port, pattern };
                    Some(source::serial_text::spawn(context, settings))
                }
                Err(error) => {
                    tracing::error!(source = %label, %error, "a pattern is refused; check should have said so");
                    None
                }
            }
        }
        config::Source::I2c(s) => i2c(context, s),
        config::Source::Mqtt(s) => Some(source::mqtt::spawn(context, mqtt(device, s))),
        config::Source::Sysfs(s) => threaded(
            &label,
            source::sysfs::spawn(
                context,
                source::sysfs::Settings {
                    path: s.path.clone(),
                    id: s.id.clone(),
                    scale: s.scale,
                    every: s.every,
                },
            ),
        ),
        config::Source::Simulated(s) => {
            let settings = source::simulated::Settings {
                first: s.first,
                sensors: s.sensors,
                every: s.every,
            };
            Some(source::simulated::spawn(context, settings))
        }
    }
}

fn mqtt(device: &str, settings: &config::Mqtt) -> source::mqtt::Settings {
    // The broker keeps what is published under this name while we are away: it must be the same at every start.
    let client_id = match settings.number {
        1 => format!("edgespool-{device}"),
        n => format!("edgespool-{device}-{n}"),
    };
    let topic = |topic: &config::MqttTopic| source::mqtt::Topic {
        filter: topic.filter.clone(),
        sensor: topic.sensor.clone(),
        fields: topic.fields.clone(),
        time: topic.time.clone(),
    };
    source::mqtt::Settings {
        connection: connection::Settings {
            address: settings.broker.clone(),
            client_id,
            username: settings.username.clone(),
            password_file: settings.password_file.clone(),
            ca: settings.ca.clone(),
            clean: false,
            will: None,
        },
        inflight: settings.inflight as usize,
        max_packet: settings.max_packet as usize,
        topics: settings.topics.iter().map(topic).collect(),
    }
}

fn i2c(context: Context, settings: &config::I2c) -> Option<Running> {
    let sensor = |sensor: &config::I2cSensor| source::i2c::Sensor {
        id: sensor.id.clone(),
        chip: match sensor.chip.driver {
            ChipDriver::Tmp1x2 => source::i2c::Kind::Tmp102,
            ChipDriver::Lm75 => source::i2c::Kind::Lm75,
            ChipDriver::Pct2075 => source::i2c::Kind::Pct2075,
        },
        address: sensor.address,
        every: sensor.every,
        measurement: Some(sensor.measurement.as_str().into()),
    };
    let sensors = settings.sensors.iter().map(sensor).collect();
    let label = context.label().clone();
    let settings = source::i2c::Settings {
        bus: settings.bus.clone(),
        sensors,
    };
    threaded(&label, source::i2c::spawn(context, settings))
}

fn threaded(label: &str, spawned: std::io::Result<Running>) -> Option<Running> {
    spawned
        .inspect_err(|error| {
            tracing::error!(source = %label, %error, "the source's thread cannot be started");
        })
        .ok()
}
