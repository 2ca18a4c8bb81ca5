//! What the device file means: every rule beyond names and kinds.
//!
//! Owns the way from what was written to a [`Config`], a file of this directory each for what belongs together.
//! Promises to find everything that is wrong in one go, each thing once. Must not read files or clocks: what is
//! outside the text comes in with [`Env`].

mod bounds;
mod i2c;
mod kafka;
mod librdkafka;
mod mqtt;
mod names;
mod paths;
mod pattern;
mod queue;
mod sensors;
mod serial;
mod sources;
mod sysfs;

pub(super) use librdkafka::known as known_properties;

use std::path::PathBuf;
use std::time::Duration;

use super::Env;
use super::file::Section;
use super::model::{Clock, Config, Device, Forward, Kafka, Span, Status};
use super::problem::{Report, quoted};
use super::value;

const SECOND: Duration = Duration::from_secs(1);
/// The least `max-rate`.
const LEAST_RATE: u64 = 1024;

/// Checks everything; `None` only after having reported why.
pub(super) fn check(file: &Section, env: &Env, report: &mut Report<'_>) -> Option<Config> {
    if file.is_blank() {
        report
            .error(0, "", "there is nothing in this file")
            .hint("it needs at least [kafka] brokers and one [[source]]");
        return None;
    }
    let device = device(file.section("device"), env, report);
    let kafka = kafka::check(file, env, report);
    let queue = queue::check(file.section("queue"), env, report);
    let span = span(file.section("span"), None, report);
    let forward = forward(file.section("forward"), report);
    let clock = clock(file.section("clock"), report);
    let status = status(file.section("status"), report);
    let mqtt_status = mqtt::status(file.section("mqtt-status"), &device, report);
    let mut sources = sources::check(file, report);
    let known = sensors::check(file, &sources, &device, &span, report);
    sources.name_measurements(&known.configured);
    sources.count(queue.max_sensors, file, report);
    for (template, key) in [(&kafka.topic, "kafka.topic"), (&kafka.key, "kafka.key")] {
        if let Some(template) = template {
            kafka::fits(template, key, &device, &known, report);
        }
    }
    kafka::apart(&kafka, &device, &known, report);
    let kafka = Kafka {
        brokers: kafka.brokers,
        topic: kafka.topic?.value,
        key: kafka.key?.value,
        events_topic: kafka.events_topic.map(|topic| topic.value),
        format: kafka.format,
        compression: kafka.compression,
        delivery: kafka.delivery,
        acks: kafka.acks,
        dead_letter_topic: kafka.dead_letter_topic,
        headers: kafka.headers,
        librdkafka: kafka.librdkafka,
    };
    let sensors = known.configured;
    let sources = sources.meant;
    Some(Config {
        device,
        kafka,
        queue,
        span,
        forward,
        clock,
        sources,
        sensors,
        status,
        mqtt_status,
        warnings: Vec::new(),
    })
}

fn device(section: Option<&Section>, env: &Env, report: &mut Report<'_>) -> Device {
    /// It goes into every record's headers and into the client ID.
    const MAX_ID: usize = 128;
    let tags = section
        .map(|section| names::tags(section.pairs("tags"), "device.tags", report))
        .unwrap_or_default();
    let at = section.map_or(0, |section| section.at);
    match section.and_then(|section| section.text("id")) {
        Some(id) => {
            if let Some(fault) = names::fault(id.value, MAX_ID) {
                report.error(id.at, "device.id", format!("the name {fault}"));
            }
            return Device {
                id: id.value.clone(),
                tags,
            };
        }
        None if section.is_some_and(|section| !section.lacks("id")) => {}
        None if names::fault(&env.host_name, MAX_ID).is_some() || env.host_name == "(none)" => {
            report
                .error(at, "device.id", "is missing")
                .why("this machine has no host name to take instead");
        }
        None if env.host_name == "localhost" => {
            report
                .warning(at, "device.id", "this gateway is called \"localhost\"")
                .why("that is the host name of many; nobody will be able to tell them apart")
                .hint("[device] id = \"greenhouse-7\"");
        }
        None => {}
    }
    Device {
        id: env.host_name.clone(),
        tags,
    }
}

/// `[span]`, or what a sensor has instead: what it does not say, it takes from `inherited`.
fn span(section: Option<&Section>, inherited: Option<&Span>, report: &mut Report<'_>) -> Span {
    let default = Span {
        time_span: 10 * SECOND,
        packet_size: 1000,
        idle_timeout: 5 * SECOND,
        max_delay: 30 * SECOND,
    };
    let default = inherited.copied().unwrap_or(default);
    let mut span = Span {
        time_span: bounds::duration(
            section,
            "time-span",
            default.time_span,
            &bounds::TIME_SPAN,
            report,
        ),
        packet_size: bounds::integer(
            section,
            "packet-size",
            default.packet_size,
            &bounds::PACKET_SIZE,
            report,
        ),
        idle_timeout: bounds::duration(
            section,
            "idle-timeout",
            default.idle_timeout,
            &bounds::IDLE_TIMEOUT,
            report,
        ),
        max_delay: bounds::duration(
            section,
            "max-delay",
            default.max_delay,
            &bounds::MAX_DELAY,
            report,
        ),
    };
    if span.idle_timeout > span.max_delay {
        if let Some((section, found)) =
            section.and_then(|section| Some((section, section.duration("idle-timeout")?)))
        {
            let (idle, max) = (
                value::duration_text(span.idle_timeout),
                value::duration_text(span.max_delay),
            );
            report
                .error(
                    found.at,
                    &section.key("idle-timeout"),
                    format!("\"{idle}\" is longer than max-delay, \"{max}\""),
                )
                .why("max-delay closes every span before")
                .hint(format!("at most \"{max}\", or a longer max-delay"));
        }
        // Where only max-delay is set, it closes idle spans as well.
        span.idle_timeout = span.max_delay;
    }
    span
}

fn forward(section: Option<&Section>, report: &mut Report<'_>) -> Forward {
    let mut max_rate = None;
    if let Some(found) = section.and_then(|forward| forward.text("max-rate")) {
        let key = "forward.max-rate";
        match (found.value.as_str(), value::size(found.value)) {
            ("unlimited", _) => {}
            (_, Ok(bytes)) if bytes < LEAST_RATE => {
                report
                    .error(found.at, key, format!("{} is too little", quoted(found.value)))
                    .why("a reading is some 250 bytes: the queue would only grow")
                    .hint("\"1KiB\" or more");
            }
            (_, Ok(bytes)) => max_rate = Some(bytes),
            (text, Err(wrong)) => {
                let problem = format!("{} {}", quoted(text), wrong.problem);
                report
                    .error(found.at, key, problem)
                    .hint(format!("\"unlimited\", or {}", wrong.hint));
            }
        }
    }
    Forward { max_rate }
}

fn clock(section: Option<&Section>, report: &mut Report<'_>) -> Clock {
    let default = Duration::from_secs(60);
    let hold = bounds::duration(
        section,
        "hold-until-synced",
        default,
        &bounds::HOLD_UNTIL_SYNCED,
        report,
    );
    Clock {
        hold_until_synced: hold,
    }
}

fn status(section: Option<&Section>, report: &mut Report<'_>) -> Status {
    if let Some(found) = section.and_then(|status| status.text("http")) {
        let at = found.at;
        match found.value.as_str() {
            "off" => {}
            text if text.parse::<std::net::SocketAddr>().is_ok() => {
                report
                    .error(at, "status.http", "not yet in this version: state over HTTP")
                    .hint("\"off\"");
            }
            text => {
                report
                    .error(
                        at,
                        "status.http",
                        format!("{} is neither \"off\" nor address:port", quoted(text)),
                    )
                    .hint("\"off\"");
            }
        }
    }
    Status {
        socket: paths::socket(section, report).unwrap_or_else(|| PathBuf::from(paths::SOCKET)),
    }
}
