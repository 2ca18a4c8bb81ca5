//! `kind = "mqtt"`: brokers, topics, and where values are in payloads.

use std::path::{Path as File, PathBuf};

use super::super::file::{At, Section};
use super::super::model::{Device, Mqtt, MqttStatus, MqttTopic};
use super::super::problem::{Report, quoted};
use super::super::value;
use super::{bounds, names, paths};
use crate::mqtt::{Address, AddressError, Filter, FilterError, Path, SensorName, SensorNameError};

const BROKER: &str = "mqtt://localhost:1883";
const FILTER: &str = "zigbee2mqtt/+";
const STATUS: &str = "edgespool/{device}/status";
const NAME: &str = "{topic.1}";
const FIELDS: &str = "{ temperature = \"temperature\" }";
const MIB: u64 = 1 << 20;
/// Less than this no message fits that says something.
const LEAST_PACKET: u64 = 256;
/// A message is held in memory as a whole.
const MOST_PACKET: u64 = 16 * MIB;

/// A source in which nothing is wrong, and the tables of its topics.
pub(super) fn check<'s>(section: &'s Section, report: &mut Report<'_>) -> Option<(Mqtt, Vec<&'s Section>)> {
    let broker = broker(section, "broker", report);
    let inflight = bounds::integer(Some(section), "inflight", 20, &bounds::INFLIGHT, report);
    let max_packet = max_packet(section, report);
    let login = login(section, report);
    let ca = match &broker {
        Some(broker) => ca(section, broker, report),
        None => None,
    };
    let all = section.sections("topic");
    if all.is_empty() && section.lacks("topic") {
        report
            .error(section.at, &section.key("topic"), "is missing")
            .why("without one nothing is read from the broker")
            .hint("[[source.topic]] with filter, sensor and fields");
    }
    let right = all
        .iter()
        .filter_map(|table| Some((topic(table, report)?, table)));
    let (topics, tables) = right.unzip();
    let (username, password_file) = login?;
    let mqtt = Mqtt {
        broker: broker?,
        number: 1,
        inflight,
        max_packet: max_packet?,
        username,
        password_file,
        ca,
        topics,
    };
    Some((mqtt, tables))
}

/// All measurements of its topics.
pub(super) fn measurements(mqtt: &Mqtt) -> Vec<String> {
    let fields = mqtt.topics.iter().flat_map(|topic| &topic.fields);
    let mut all: Vec<String> = fields.map(|(name, _)| name.to_string()).collect();
    all.sort();
    all.dedup();
    all
}

/// A broker's address.
pub(super) fn broker(section: &Section, name: &str, report: &mut Report<'_>) -> Option<Address> {
    let Some(found) = section.text(name) else {
        paths::missing(section, name, &quoted(BROKER), report);
        return None;
    };
    let error = match Address::new(found.value) {
        Ok(address) => return Some(address),
        Err(error) => error,
    };
    let shown = match error {
        // Whatever stands there may be a password.
        AddressError::User => "the address".to_owned(),
        _ => quoted(found.value),
    };
    let hint = match (error, found.value.split_once("://")) {
        (AddressError::User, _) => "username and password-file beside it".to_owned(),
        (AddressError::Scheme, None) => quoted(&format!("mqtt://{}", found.value)),
        (AddressError::Scheme, Some(("ssl" | "tls" | "mqtt+ssl", rest))) => {
            quoted(&format!("mqtts://{rest}"))
        }
        (AddressError::Scheme, Some((_, rest))) => quoted(&format!("mqtt://{rest}")),
        _ => quoted(BROKER),
    };
    report
        .error(found.at, &section.key(name), format!("{shown} {error}"))
        .hint(hint);
    None
}

fn max_packet(section: &Section, report: &mut Report<'_>) -> Option<u32> {
    let Some(found) = section.text("max-packet") else {
        return section.lacks("max-packet").then_some(1 << 20);
    };
    let key = section.key("max-packet");
    let written = quoted(found.value);
    match value::size(found.value) {
        Err(wrong) => {
            report
                .error(found.at, &key, format!("{written} {}", wrong.problem))
                .hint(wrong.hint);
        }
        Ok(size) if size < LEAST_PACKET => {
            report
                .error(found.at, &key, format!("{written} is too small"))
                .why("no message would fit")
                .hint("at least \"256B\"");
        }
        Ok(size) if size > MOST_PACKET => {
            report
                .error(found.at, &key, format!("{written} is too large"))
                .why("a message is held in memory as a whole")
                .hint("at most \"16MiB\"");
        }
        Ok(size) => return u32::try_from(size).ok(),
    }
    None
}

/// `[mqtt-status]`
pub(super) fn status(
    section: Option<&Section>,
    device: &Device,
    report: &mut Report<'_>,
) -> Option<MqttStatus> {
    let section = section?;
    let broker = broker(section, "broker", report);
    let login = login(section, report);
    let ca = match &broker {
        Some(broker) => ca(section, broker, report),
        None => None,
    };
    let topic = status_topic(section, device, report);
    let (username, password_file) = login?;
    Some(MqttStatus {
        broker: broker?,
        topic: topic?,
        username,
        password_file,
        ca,
    })
}

fn status_topic(section: &Section, device: &Device, report: &mut Report<'_>) -> Option<String> {
    let key = section.key("topic");
    let Some(found) = section.text("topic") else {
        paths::missing(section, "topic", &quoted(STATUS), report);
        return None;
    };
    let topic = found.value.replace("{device}", &device.id);
    let problem = if topic.is_empty() {
        "is empty"
    } else if topic.contains(['{', '}']) {
        "has a placeholder beside {device}"
    } else if topic.contains(['+', '#']) || topic.starts_with('$') || topic.chars().any(char::is_control) {
        "is no topic that can be published to"
    } else {
        return Some(topic);
    };
    report
        .error(found.at, &key, format!("{} {problem}", quoted(found.value)))
        .hint(quoted(STATUS));
    None
}

type Login = (Option<String>, Option<PathBuf>);

/// Who we are to the broker. A password needs a name.
pub(super) fn login(section: &Section, report: &mut Report<'_>) -> Option<Login> {
    let username = section.text("username").map(|found| found.value.clone());
    let file = match section.text("password-file") {
        Some(found) => Some(password_file(&found, &section.key("password-file"), report)?),
        None => None,
    };
    if file.is_some() && username.is_none() && section.lacks("username") {
        let at = section.text("password-file").map_or(section.at, |found| found.at);
        report
            .error(at, &section.key("username"), "is missing beside password-file")
            .why("the protocol has no password without a user");
        return None;
    }
    Some((username, file))
}

/// A path, or the name of a credential of systemd's.
fn password_file(found: &At<&String>, key: &str, report: &mut Report<'_>) -> Option<PathBuf> {
    let path = File::new(found.value);
    if path.is_absolute() || (!found.value.is_empty() && path.file_name() == Some(path.as_os_str())) {
        return Some(path.to_path_buf());
    }
    report
        .error(
            found.at,
            key,
            format!(
                "{} is neither a path from the root nor a name",
                quoted(found.value)
            ),
        )
        .hint("\"/etc/edgespool/mqtt-password\", or the name of a systemd credential");
    None
}

fn ca(section: &Section, broker: &Address, report: &mut Report<'_>) -> Option<PathBuf> {
    let found = section.text("ca")?;
    if !broker.tls {
        report
            .error(found.at, &section.key("ca"), "is for a broker with TLS only")
            .hint("broker = \"mqtts://…\"");
    }
    paths::node(section, "ca", "/etc/edgespool/mqtt-ca.pem", report)
}

fn topic(section: &Section, report: &mut Report<'_>) -> Option<MqttTopic> {
    let filter = filter(section, report);
    let sensor = sensor(section, filter.as_ref(), report);
    let fields = fields(section, report);
    let time = match section.text("time") {
        Some(found) => Some(path(&found, &section.key("time"), report)?),
        None => None,
    };
    let fields = fields?;
    if let Some(time) = &time {
        let whole = time.is_whole() || fields.iter().any(|(_, path)| path.is_whole());
        if whole {
            let at = section.text("time").map_or(section.at, |found| found.at);
            report
                .error(at, &section.key("time"), "has no place beside \"$\"")
                .why("\"$\" is the whole payload");
            return None;
        }
    }
    Some(MqttTopic {
        filter: filter?,
        sensor: sensor?,
        fields,
        time,
    })
}

fn filter(section: &Section, report: &mut Report<'_>) -> Option<Filter> {
    let Some(found) = section.text("filter") else {
        paths::missing(section, "filter", &quoted(FILTER), report);
        return None;
    };
    let error = match Filter::new(found.value) {
        Ok(filter) => return Some(filter),
        Err(error) => error,
    };
    let at = match error {
        FilterError::Plus(at) | FilterError::Hash(at) | FilterError::Control(at) => {
            found.inside(report, found.value, at)
        }
        _ => found.at,
    };
    let problem = report.error(at, &section.key("filter"), format!("the filter {error}"));
    if error == FilterError::Shared {
        problem.why("another client of the group would get some of the messages");
    }
    None
}

fn sensor(section: &Section, filter: Option<&Filter>, report: &mut Report<'_>) -> Option<SensorName> {
    let Some(found) = section.text("sensor") else {
        paths::missing(section, "sensor", &quoted(NAME), report);
        return None;
    };
    let key = section.key("sensor");
    let error = match SensorName::new(found.value, filter?) {
        Ok(name) => {
            if let Some(fixed) = name.fixed() {
                names::sensor_id(found.at, fixed, &key, report)?;
            }
            return Some(name);
        }
        Err(error) => error,
    };
    let (at, hint) = match &error {
        SensorNameError::Empty => (0, quoted(NAME)),
        SensorNameError::Unclosed(at) | SensorNameError::Stray(at) => (*at, quoted(NAME)),
        SensorNameError::Unknown(at, _) => (
            *at,
            "{topic.1} is what the filter's first wildcard matches, {topic} the whole topic".to_owned(),
        ),
        SensorNameError::NoSuchWildcard(at, _, 0) => (*at, "a + or # in the filter".to_owned()),
        SensorNameError::NoSuchWildcard(at, _, 1) => (*at, quoted(NAME)),
        SensorNameError::NoSuchWildcard(at, _, count) => (*at, format!("{{topic.1}} to {{topic.{count}}}")),
    };
    let at = found.inside(report, found.value, at);
    report.error(at, &key, format!("the name {error}")).hint(hint);
    None
}

fn fields(section: &Section, report: &mut Report<'_>) -> Option<Vec<(Box<str>, Path)>> {
    let key = section.key("fields");
    let Some(found) = section.pairs("fields") else {
        paths::missing(section, "fields", FIELDS, report);
        return None;
    };
    // Records show the measurements in the order of the file.
    let mut pairs: Vec<_> = found.value.iter().collect();
    pairs.sort_by_key(|pair| pair.name.at);
    let all: Vec<_> = pairs
        .iter()
        .map(|pair| {
            let named = names::measurement(pair.name.at, &pair.name.value, &key, report);
            let text = At {
                at: pair.value.at,
                end: pair.value.end,
                value: &pair.value.value,
            };
            let path = path(&text, &key, report)?;
            named.then(|| (pair.name.value.as_str().into(), path))
        })
        .collect();
    if all.is_empty() {
        report
            .error(found.at, &key, "names no measurement")
            .hint(format!("fields = {FIELDS}"));
        return None;
    }
    let all: Option<Vec<(Box<str>, Path)>> = all.into_iter().collect();
    let all = all?;
    if all.len() > 1 && all.iter().any(|(_, path)| path.is_whole()) {
        report
            .error(found.at, &key, "has more than \"$\"")
            .why("\"$\" is the whole payload");
        return None;
    }
    Some(all)
}

fn path(found: &At<&String>, key: &str, report: &mut Report<'_>) -> Option<Path> {
    Path::new(found.value)
        .map_err(|error| {
            report
                .error(found.at, key, format!("the path {} {error}", quoted(found.value)))
                .hint("\"DS18B20.Temperature\", or \"$\" where the whole payload is the value");
        })
        .ok()
}
