//! `[kafka]`: brokers, and how records look.

mod broker;

use super::super::Env;
use super::super::file::{At, Section};
use super::super::model::{Acks, Compression, Delivery, Format, Pairs};
use super::super::problem::{Report, quoted, shown};
use super::{librdkafka, names};
use crate::reading::MAX_SENSOR_ID;
use crate::template::{MAX_TOPIC, Part, Template, TemplateError, is_topic_character};

/// The environment variable that wins over `brokers`.
const ADDRESS: &str = "KAFKA_BROKER_ADDRESS";

/// Brokers to begin with; the client learns the others from them.
const MAX_BROKERS: usize = 64;

/// A template of the file, or the default, which stands nowhere.
pub(super) type Placed = At<Template>;

/// All of `[kafka]`, but for what needs the sensors: whether the templates fit.
pub(super) struct Found {
    pub(super) brokers: Vec<String>,
    pub(super) topic: Option<Placed>,
    pub(super) key: Option<Placed>,
    pub(super) events_topic: Option<At<String>>,
    pub(super) format: Format,
    pub(super) compression: Compression,
    pub(super) delivery: Delivery,
    pub(super) acks: Acks,
    pub(super) dead_letter_topic: Option<String>,
    pub(super) headers: Pairs,
    pub(super) librdkafka: Pairs,
}

pub(super) fn check(file: &Section, env: &Env, report: &mut Report<'_>) -> Found {
    let section = file.section("kafka");
    let brokers = brokers(file, env, report);
    let topic = template(section, "topic", "temperature", report);
    if let (Some(section), Some(topic)) = (section, &topic) {
        topic_characters(topic, &section.key("topic"), report);
    }
    Found {
        brokers,
        topic,
        key: template(section, "key", "{sensor}", report),
        events_topic: section.and_then(|kafka| topic_name(kafka, "events-topic", report)),
        format: Format::Json,
        compression: compression(section),
        delivery: Delivery::AtLeastOnce,
        acks: acks(section, report),
        dead_letter_topic: section.and_then(|kafka| plain_topic(kafka, "dead-letter-topic", report)),
        headers: section
            .map(|kafka| names::headers(kafka.pairs("headers"), &kafka.key("headers"), report))
            .unwrap_or_default(),
        librdkafka: section
            .map(|kafka| librdkafka::check(kafka, report))
            .unwrap_or_default(),
    }
}

fn brokers(file: &Section, env: &Env, report: &mut Report<'_>) -> Vec<String> {
    let section = file.section("kafka");
    let mut listed = Vec::new();
    if let Some((kafka, found)) = section.and_then(|kafka| Some((kafka, kafka.texts("brokers")?))) {
        let key = kafka.key("brokers");
        if found.value.is_empty() {
            report
                .error(found.at, &key, "the list is empty")
                .hint("[\"broker-1:9092\"]");
        }
        if found.value.len() > MAX_BROKERS {
            let problem = format!("{} brokers are too many", found.value.len());
            report
                .error(found.at, &key, problem)
                .why("the client learns of the others from one")
                .hint("three are enough");
        }
        for address in found.value.iter().take(MAX_BROKERS) {
            match broker::check(&address.value) {
                Ok(address_text) if listed.contains(&address_text) => {
                    report.error(
                        address.at,
                        &key,
                        format!("{} stands here twice", quoted(&address.value)),
                    );
                }
                Ok(address_text) => listed.push(address_text),
                Err(wrong) => report.error(address.at, &key, wrong.problem).hint = wrong.hint,
            }
        }
    }
    if let Some(address) = env
        .kafka_broker_address
        .as_deref()
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        return from_environment(address, report);
    }
    let lacks = section.map_or_else(|| file.lacks("kafka"), |kafka| kafka.lacks("brokers"));
    if lacks && !report.is_misplaced("brokers") {
        report
            .error(section.map_or(0, |kafka| kafka.at), "kafka.brokers", "is missing")
            .why("without it nobody knows where readings go")
            .hint("[kafka] brokers = [\"broker-1:9092\"], or KAFKA_BROKER_ADDRESS in the environment");
    }
    listed
}

fn from_environment(addresses: &str, report: &mut Report<'_>) -> Vec<String> {
    let mut all = Vec::new();
    for address in addresses
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .take(MAX_BROKERS)
    {
        match broker::check(address) {
            Ok(address) if all.contains(&address) => {}
            Ok(address) => all.push(address),
            Err(wrong) => report.environment(ADDRESS, wrong.problem).hint = wrong.hint,
        }
    }
    all
}

fn template(section: Option<&Section>, name: &str, default: &str, report: &mut Report<'_>) -> Option<Placed> {
    let Some((kafka, found)) = section.and_then(|kafka| Some((kafka, kafka.text(name)?))) else {
        return Template::new(default)
            .ok()
            .map(|value| At { at: 0, end: 0, value });
    };
    match Template::new(found.value) {
        Ok(value) => Some(At {
            at: found.at,
            end: found.end,
            value,
        }),
        Err(error) => {
            let at = found.inside(report, found.value, error.at());
            let hint = match &error {
                TemplateError::Unknown(_, unknown) => placeholder_hint(unknown),
                TemplateError::Empty => quoted(default),
                _ => "placeholders are {device}, {sensor} and {tag.NAME}".to_owned(),
            };
            let problem = format!("the template {}", shown(&error.to_string()));
            report.error(at, &kafka.key(name), problem).hint(hint);
            None
        }
    }
}

fn placeholder_hint(unknown: &str) -> String {
    match super::super::suggest::nearest(unknown, ["device", "sensor"]) {
        Some(known) => format!("did you mean {{{known}}}?"),
        None => "placeholders are {device}, {sensor} and {tag.NAME}".to_owned(),
    }
}

/// What stands literally in a topic must be allowed in one; what is filled in is made so.
fn topic_characters(topic: &Placed, key: &str, report: &mut Report<'_>) {
    for part in topic.value.parts() {
        let Part::Literal(text) = part else { continue };
        if let Some((offset, c)) = text.char_indices().find(|(_, c)| !is_topic_character(*c)) {
            let at = topic.inside(report, text, offset);
            report
                .error(
                    at,
                    key,
                    format!("a topic cannot have {} in its name", quoted(&c.to_string())),
                )
                .why("Kafka allows letters, digits, '.', '_' and '-'");
            return;
        }
    }
    if let [Part::Literal(name)] = topic.value.parts()
        && matches!(name.as_str(), "." | "..")
    {
        let problem = format!("Kafka does not allow a topic called {}", quoted(name));
        report.error(topic.at, key, problem);
    }
}

/// A topic that is one topic: a name without placeholders, and not the one that readings go to.
fn plain_topic(kafka: &Section, name: &str, report: &mut Report<'_>) -> Option<String> {
    let found = kafka.text(name)?;
    let (key, topic) = (kafka.key(name), found.value.as_str());
    let wrong = topic.chars().find(|c| !is_topic_character(*c));
    let readings = kafka.text("topic").map_or("temperature", |found| found.value);
    let problem = if let Some(c) = wrong {
        format!("a topic cannot have {} in its name", quoted(&c.to_string()))
    } else if topic.is_empty() || matches!(topic, "." | "..") || topic.len() > MAX_TOPIC {
        format!("Kafka does not allow a topic called {}", shown(&quoted(topic)))
    } else if topic == readings {
        "is the topic that readings go to".to_owned()
    } else {
        return Some(topic.to_owned());
    };
    report
        .error(found.at, &key, problem)
        .why("it is one name, of letters, digits, '.', '_' and '-', that no reading goes to");
    None
}

/// A topic's name as it stands, without placeholders.
fn topic_name(kafka: &Section, name: &str, report: &mut Report<'_>) -> Option<At<String>> {
    let found = kafka.text(name)?;
    let (text, key) = (found.value, kafka.key(name));
    let wrong = text.chars().find(|c| !is_topic_character(*c));
    if let Some(c) = wrong {
        let problem = format!("a topic cannot have {} in its name", quoted(&c.to_string()));
        let problem = report.error(found.at, &key, problem);
        problem.why("Kafka allows letters, digits, '.', '_' and '-'");
        if c == '{' {
            problem.hint = Some("this is one topic's name, without placeholders".into());
        }
        return None;
    }
    if text.is_empty() || matches!(text.as_str(), "." | "..") || text.len() > MAX_TOPIC {
        let problem = format!("Kafka does not allow a topic called {}", quoted(text));
        report.error(found.at, &key, problem);
        return None;
    }
    Some(At {
        at: found.at,
        end: found.end,
        value: text.clone(),
    })
}

/// Events are no readings: they have a topic of their own.
pub(super) fn apart(
    found: &Found,
    device: &super::Device,
    sensors: &super::sensors::Known,
    report: &mut Report<'_>,
) {
    let (Some(topic), Some(events)) = (&found.topic, &found.events_topic) else {
        return;
    };
    let of = |sensor: &str, tags: &Pairs| topic.value.topic(&device.id, sensor, tags);
    let whoever = !topic.value.names_sensor() && of("", &device.tags) == events.value;
    if whoever || sensors.any(device, |sensor, tags| of(sensor, tags) == events.value) {
        let problem = format!("readings go to {}, too", quoted(&events.value));
        report
            .error(events.at, "kafka.events-topic", problem)
            .why("who reads readings would find records of another form among them")
            .hint("a topic of its own, such as \"edge-events\"");
    }
}

/// Whether all sensors have the tags that a template needs, and its texts are short enough.
pub(super) fn fits(
    template: &Placed,
    key: &str,
    device: &super::Device,
    sensors: &super::sensors::Known,
    report: &mut Report<'_>,
) {
    for tag in template.value.tags() {
        let everywhere = device.tags.iter().any(|(name, _)| **name == *tag);
        if let (false, Some(who)) = (everywhere, sensors.without_tag(tag)) {
            let at = template.inside(report, &format!("{{tag.{tag}}}"), 0);
            let near = super::super::suggest::nearest(tag, sensors.tag_names(device));
            let hint = match near.filter(|near| *near != tag) {
                Some(near) => format!("did you mean {{tag.{near}}}?"),
                None => format!("give it a value for all of them in [device] tags: {{ {tag} = \"...\" }}"),
            };
            report
                .error(at, key, format!("{who} no tag {}", quoted(tag)))
                .hint(hint);
        }
    }
    if key.ends_with("topic") {
        let longest = template
            .value
            .longest(device.id.len(), sensors.longest_id(), |tag| {
                sensors.longest_tag(device, tag)
            });
        if longest > MAX_TOPIC {
            let problem = format!("a topic could get {longest} bytes, Kafka allows {MAX_TOPIC}");
            let problem = report.error(template.at, key, problem);
            if template.value.names_sensor() && sensors.longest_id() == MAX_SENSOR_ID {
                problem.why(format!("a sensor's ID may have {MAX_SENSOR_ID} bytes"));
            }
        }
    }
}

fn compression(section: Option<&Section>) -> Compression {
    match section
        .and_then(|kafka| kafka.choice("compression"))
        .map(|found| *found.value)
    {
        Some("none") => Compression::None,
        Some("gzip") => Compression::Gzip,
        Some("snappy") => Compression::Snappy,
        Some("lz4") => Compression::Lz4,
        _ => Compression::Zstd,
    }
}

fn acks(section: Option<&Section>, report: &mut Report<'_>) -> Acks {
    let Some((kafka, found)) = section.and_then(|kafka| Some((kafka, kafka.choice("acks")?))) else {
        return Acks::All;
    };
    let key = kafka.key("acks");
    match *found.value {
        "leader" => {
            report
                .warning(found.at, &key, "readings can be lost in Kafka")
                .why("what the leader has not yet copied is gone when it dies")
                .hint("acks = \"all\"");
            Acks::Leader
        }
        "none" => {
            report
                .warning(found.at, &key, "readings can be lost on the way to Kafka")
                .why("nobody says that they have arrived, so they leave the queue when they are sent")
                .hint("acks = \"all\"");
            Acks::None
        }
        _ => Acks::All,
    }
}
