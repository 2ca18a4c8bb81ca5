//! The forwarder, put together from the device file, and what it says of itself.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{self, Clock, Mono};
use crate::config::{self, Config};
use crate::event;
use crate::exit::{Code, Failure};
use crate::format::Routing;
use crate::format::events::WithEvents;
use crate::format::json::Json;
use crate::forward::broker::{Broker, BrokerError};
use crate::forward::burial::Burial;
use crate::forward::core::OutputCore;
use crate::forward::driver::{self, Parts};
use crate::forward::kafka::{self, Kafka};
use crate::forward::output::{MEMORY, Output, Settings, UNDER_WAY, View};
use crate::intake::inbox::Inbox;
use crate::queue::dead::DeadLetters;
use crate::queue::spool::Spool;
use crate::reading::SensorDef;
use crate::span::Rules;
use crate::status::{self, Lane};

/// The forwarder of this agent's one output.
pub(super) type Forwarder = driver::Forwarder<View>;

/// How long the forwarder may take to say how it is.
const PATIENCE: Duration = Duration::from_millis(500);

pub(super) fn start(
    config: &Config,
    spool: Spool,
    clock: &Arc<Clock>,
    inbox: &Arc<Inbox>,
    letters: &Arc<DeadLetters>,
) -> Result<Forwarder, Failure> {
    let seed = getrandom::u64().map_err(|error| Failure::new("draw a random number", error, Code::Io))?;
    let topics = routing(config);
    let settings = Settings {
        output: spool.output(),
        memory: MEMORY,
        under_way: UNDER_WAY,
        hold: config.clock.hold_until_synced,
        rules: rules(config),
        destination: Box::new(move |def| topics.topic(def).into()),
        seed,
    };
    if let Some(topic) = config.kafka.dead_letter_topic.clone() {
        kafka::redrive::follow(kafka_settings(config), topic, letters.clone())
            .map_err(|error| Failure::new("start the forwarder", error, Code::Io))?;
    }
    let inbox = inbox.clone();
    let parts = Parts {
        core: OutputCore::new(Output::new(settings)),
        spool,
        clock: clock.clone(),
        nudge: Box::new(move || inbox.nudge()),
    };
    let (settings, format) = (kafka_settings(config), format(config));
    let started = Forwarder::start(parts, |events| {
        let (device, letters) = (settings.device.clone(), letters.clone());
        let kafka = |events| Ok(Box::new(Kafka::start(settings, format, events)?) as Box<dyn Broker>);
        Ok(Box::new(Burial::start(device, letters, events, kafka)?) as Box<dyn Broker>)
    });
    started.map_err(|error| match &error {
        BrokerError::Settings(_) => {
            let hint = "look at [kafka] and [kafka.librdkafka] in the device file";
            Failure::new("make the Kafka client", error, Code::Config).hint(hint)
        }
        BrokerError::Thread(_) => Failure::new("start the forwarder", error, Code::Io),
    })
}

fn format(config: &Config) -> Box<WithEvents> {
    let readings = Box::new(Json::new(routing(config)));
    let (device, topic) = (config.device.id.clone(), config.kafka.events_topic.clone());
    Box::new(WithEvents::new(readings, device, topic))
}

fn rules(config: &Config) -> Box<dyn Fn(&SensorDef) -> Rules + Send> {
    let of = |span: &config::Span| Rules {
        time_span: span.time_span,
        packet_size: usize::try_from(span.packet_size).unwrap_or(usize::MAX),
        idle_timeout: span.idle_timeout,
        max_delay: span.max_delay,
    };
    let general = of(&config.span);
    let own: std::collections::BTreeMap<_, _> = config
        .sensors
        .iter()
        .map(|(id, sensor)| (id.clone(), of(&sensor.span)))
        .collect();
    // Events are few, and nobody gains by their waiting for each other.
    let events = Rules {
        packet_size: 1,
        ..general
    };
    Box::new(move |def| match own.get(&def.id) {
        _ if event::is_events(def) => events,
        Some(rules) => *rules,
        None => general,
    })
}

fn routing(config: &Config) -> Routing {
    Routing {
        device: config.device.id.clone(),
        topic: config.kafka.topic.clone(),
        key: config.kafka.key.clone(),
    }
}

fn kafka_settings(config: &Config) -> kafka::Settings {
    let owned = |pairs: &config::Pairs| {
        pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect()
    };
    kafka::Settings {
        brokers: config.kafka.brokers.clone(),
        device: config.device.id.clone(),
        compression: config.kafka.compression.name().into(),
        acks: match config.kafka.acks {
            config::Acks::All => kafka::Acks::All,
            config::Acks::Leader => kafka::Acks::Leader,
            config::Acks::None => kafka::Acks::None,
        },
        headers: owned(&config.kafka.headers),
        max_rate: config.forward.max_rate,
        librdkafka: owned(&config.kafka.librdkafka),
    }
}

/// Readings that wait for the clock, and how long they still do at most, in milliseconds.
pub(super) type Held = (u64, Option<u64>);

/// What status shows of Kafka and its lanes; `name` gives a sensor's ID by its number.
pub(super) fn report(
    forwarder: &Forwarder,
    name: impl Fn(usize) -> Option<String>,
) -> (status::Kafka, Option<Held>) {
    let Some(status) = forwarder.status(PATIENCE) else {
        return (status::Kafka::default(), None);
    };
    let (now, view) = (clock::mono(), status.core);
    let waiting = view.waiting.iter().map(|lane| Lane {
        sensor: name(lane.sensor.index()).unwrap_or_default(),
        state: lane.state.into(),
        why: Some(lane.why.to_string()),
        for_ms: millis(now.since(lane.since)),
    });
    let kafka = status::Kafka {
        reachable: Some(status.broker.reachable),
        in_flight: view.under_way as u64,
        possible_duplicates: status.broker.possible_duplicates,
        last_error: status.broker.last_error.map(|error| error.to_string()),
        lanes: view
            .lanes
            .iter()
            .map(|(state, count)| ((*state).to_owned(), *count))
            .collect(),
        waiting: waiting.collect(),
    };
    let left = |until: Mono| millis(until.since(now));
    (kafka, Some((view.held as u64, view.held_until.map(left))))
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
