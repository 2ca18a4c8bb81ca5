//! `[kafka.librdkafka]`: what is passed on, and what is refused and why.
//!
//! Owns the table of librdkafka's producer properties (version 2.12, its CONFIGURATION.md), so that a slip is found
//! here and not when the client is made. Promises that no value of a refused property is ever repeated: it may be a
//! secret.

use super::super::file::{Pair, Section};
use super::super::model::Pairs;
use super::super::problem::{Report, quoted, shown};
use super::super::suggest::nearest;
use Form::{Anything, Number, OneOf, SomeOf, Switch};

/// What librdkafka takes as the value of a property.
enum Form {
    Anything,
    Switch,
    Number(i64, i64),
    OneOf(&'static [&'static str]),
    /// Any of them, with commas.
    SomeOf(&'static [&'static str]),
}

/// Refused properties (`*` at one end stands for anything), why, and what helps.
static REFUSED: &[(&str, &str, Option<&str>)] = &[
    (
        "acks",
        "what counts as delivered is the agent's promise",
        Some("set acks in [kafka]"),
    ),
    (
        "request.required.acks",
        "what counts as delivered is the agent's promise",
        Some("set acks in [kafka]"),
    ),
    (
        "enable.idempotence",
        "without it, a retry breaks the order or doubles a reading",
        None,
    ),
    (
        "enable.gapless.guarantee",
        "the queue closes gaps itself, by sending again",
        None,
    ),
    ("transactional.id", "transactions belong to the agent", None),
    ("transaction.timeout.ms", "transactions belong to the agent", None),
    ("message.timeout.ms", GIVES_UP, None),
    ("delivery.timeout.ms", GIVES_UP, None),
    ("message.send.max.retries", GIVES_UP, None),
    ("retries", GIVES_UP, None),
    (
        "max.in.flight*",
        "more requests under way than Kafka keeps in order break the order of a sensor's readings",
        None,
    ),
    ("queue.buffering*", BUFFERS, None),
    (
        "linger.ms",
        BUFFERS,
        Some("[span] says how long readings are gathered"),
    ),
    (
        "message.max.bytes",
        "the agent cuts what it sends by itself",
        None,
    ),
    (
        "queuing.strategy",
        "it breaks the order of a sensor's readings",
        None,
    ),
    (
        "msg_order_cmp",
        "it breaks the order of a sensor's readings",
        None,
    ),
    (
        "partitioner*",
        "a key must stay on its partition, the same one that Java clients choose",
        None,
    ),
    (
        "delivery.report.only.error",
        "without reports of success nothing could ever leave the queue",
        None,
    ),
    ("produce.offset.report", "reports belong to the agent", None),
    (
        "topic.blacklist",
        "records of a topic that is made invisible would wait for ever",
        None,
    ),
    (
        "bootstrap.servers",
        "there must be one place that says where Kafka is",
        Some("set brokers in [kafka]"),
    ),
    (
        "metadata.broker.list",
        "there must be one place that says where Kafka is",
        Some("set brokers in [kafka]"),
    ),
    ("client.id", "it is the device's name", Some("set id in [device]")),
    (
        "compression.type",
        "there must be one place that says it",
        Some("set compression in [kafka]"),
    ),
    (
        "compression.codec",
        "there must be one place that says it",
        Some("set compression in [kafka]"),
    ),
    ("test.*", "it replaces the brokers by imitations", None),
    ("*password", SECRET, None),
    ("*secret", SECRET, None),
    ("*passphrase", SECRET, None),
    (
        "*.pem",
        SECRET,
        Some("name a file: the property that ends in .location"),
    ),
    (
        "sasl.*",
        "logging in needs a secret, and is not yet in this version",
        None,
    ),
    (
        "*sasl*",
        "logging in needs a secret, and is not yet in this version",
        None,
    ),
    (
        "oauthbearer*",
        "logging in needs a secret, and is not yet in this version",
        None,
    ),
    ("plugin.*", FOREIGN, None),
    ("interceptors", FOREIGN, None),
    ("ssl.engine*", FOREIGN, None),
    ("ssl.providers", FOREIGN, None),
    ("*_cb", NOT_TEXT, None),
    ("*_data", NOT_TEXT, None),
    ("opaque", NOT_TEXT, None),
    ("default_topic_conf", NOT_TEXT, None),
    ("ssl_*", NOT_TEXT, None),
    ("enabled_events", NOT_TEXT, None),
    ("log.queue", "the agent reads the log as it comes", None),
    ("internal.*", NOT_TEXT, None),
    (
        "builtin.features",
        "it says what librdkafka can do and cannot be changed",
        None,
    ),
    (
        "ssl.ca.certificate.stores",
        "it exists on Windows only",
        Some("\"ssl.ca.location\" = \"/path/of/ca.pem\""),
    ),
    ("https.*", "this version makes no HTTP requests", None),
];

const GIVES_UP: &str = "readings are never given up because some time is over";
const BUFFERS: &str = "the durable queue is the buffer; a second one only costs memory and time";
const SECRET: &str = "device.toml gets copied, shown and backed up, so secrets never stand in it";
const FOREIGN: &str = "it loads code into the agent";
const NOT_TEXT: &str = "it can be set by the program only";

/// Properties of consumers begin like this, or are this.
static OF_CONSUMERS: &[&str] = &[
    "auto.",
    "check.crcs",
    "consume",
    "coordinator.query",
    "enable.auto",
    "enable.partition.eof",
    "fetch.",
    "group.",
    "heartbeat.interval",
    "isolation.level",
    "max.partition.fetch",
    "max.poll",
    "offset",
    "partition.assignment",
    "queued.",
    "rebalance",
    "session.timeout",
];

static DEBUG: &[&str] = &[
    "generic",
    "broker",
    "topic",
    "metadata",
    "feature",
    "queue",
    "msg",
    "protocol",
    "security",
    "interceptor",
    "plugin",
    "admin",
    "eos",
    "mock",
    "conf",
    "telemetry",
    "all",
];

/// What is passed on.
static PASSED_ON: &[(&str, Form)] = &[
    ("message.copy.max.bytes", Number(0, 1_000_000_000)),
    ("receive.message.max.bytes", Number(1000, 2_147_483_647)),
    ("metadata.recovery.strategy", OneOf(&["none", "rebootstrap"])),
    (
        "metadata.recovery.rebootstrap.trigger.ms",
        Number(0, 2_147_483_647),
    ),
    ("topic.metadata.refresh.interval.ms", Number(-1, 3_600_000)),
    ("metadata.max.age.ms", Number(1, 86_400_000)),
    ("topic.metadata.refresh.fast.interval.ms", Number(1, 60_000)),
    ("topic.metadata.refresh.fast.cnt", Number(0, 1000)),
    ("topic.metadata.refresh.sparse", Switch),
    ("topic.metadata.propagation.max.ms", Number(0, 3_600_000)),
    ("debug", SomeOf(DEBUG)),
    ("socket.timeout.ms", Number(10, 300_000)),
    ("socket.blocking.max.ms", Number(1, 60_000)),
    ("socket.send.buffer.bytes", Number(0, 100_000_000)),
    ("socket.receive.buffer.bytes", Number(0, 100_000_000)),
    ("socket.keepalive.enable", Switch),
    ("socket.nagle.disable", Switch),
    ("socket.max.fails", Number(0, 1_000_000)),
    ("broker.address.ttl", Number(0, 86_400_000)),
    ("broker.address.family", OneOf(&["any", "v4", "v6"])),
    ("socket.connection.setup.timeout.ms", Number(1000, 2_147_483_647)),
    ("connections.max.idle.ms", Number(0, 2_147_483_647)),
    ("reconnect.backoff.jitter.ms", Number(0, 3_600_000)),
    ("reconnect.backoff.ms", Number(0, 3_600_000)),
    ("reconnect.backoff.max.ms", Number(0, 3_600_000)),
    ("statistics.interval.ms", Number(0, 86_400_000)),
    ("log_level", Number(0, 7)),
    ("log.thread.name", Switch),
    ("enable.random.seed", Switch),
    ("log.connection.close", Switch),
    ("api.version.request", Switch),
    ("api.version.request.timeout.ms", Number(1, 300_000)),
    ("api.version.fallback.ms", Number(0, 604_800_000)),
    ("broker.version.fallback", Anything),
    ("allow.auto.create.topics", Switch),
    ("security.protocol", OneOf(&["plaintext", "ssl"])),
    ("ssl.cipher.suites", Anything),
    ("ssl.curves.list", Anything),
    ("ssl.sigalgs.list", Anything),
    ("ssl.key.location", Anything),
    ("ssl.certificate.location", Anything),
    ("ssl.ca.location", Anything),
    ("ssl.crl.location", Anything),
    ("ssl.keystore.location", Anything),
    ("enable.ssl.certificate.verification", Switch),
    ("ssl.endpoint.identification.algorithm", OneOf(&["none", "https"])),
    ("client.rack", Anything),
    (
        "client.dns.lookup",
        OneOf(&["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"]),
    ),
    ("retry.backoff.ms", Number(1, 300_000)),
    ("retry.backoff.max.ms", Number(1, 300_000)),
    ("batch.num.messages", Number(1, 1_000_000)),
    ("batch.size", Number(1, 2_147_483_647)),
    ("sticky.partitioning.linger.ms", Number(0, 900_000)),
    ("enable.metrics.push", Switch),
    ("request.timeout.ms", Number(1, 900_000)),
    ("compression.level", Number(-1, 12)),
];

/// The properties that are passed on, with values at the ends of what they take; none where anything goes.
pub(in crate::config) fn known() -> Vec<(&'static str, Vec<String>)> {
    let ends = |form: &Form| match form {
        Anything => Vec::new(),
        Switch => vec!["true".to_owned(), "false".to_owned()],
        Number(least, most) => vec![least.to_string(), most.to_string()],
        OneOf(texts) | SomeOf(texts) => texts.iter().map(|&text| text.to_owned()).collect(),
    };
    PASSED_ON.iter().map(|(name, form)| (*name, ends(form))).collect()
}

/// The properties to pass on, sorted by name.
pub(super) fn check(kafka: &Section, report: &mut Report<'_>) -> Pairs {
    let Some(found) = kafka.pairs("librdkafka") else {
        return Vec::new();
    };
    let mut all = Pairs::new();
    for pair in found.value {
        let key = format!("{}.\"{}\"", kafka.key("librdkafka"), shown(&pair.name.value));
        let name = pair.name.value.as_str();
        if all.iter().any(|(known, _)| **known == *name) {
            report.error(pair.name.at, &key, "stands here twice");
        } else if may_pass(pair, &key, report) {
            all.push((name.into(), pair.value.value.as_str().into()));
        }
    }
    all.sort();
    all
}

fn may_pass(pair: &Pair, key: &str, report: &mut Report<'_>) -> bool {
    let name = pair.name.value.as_str();
    if let Some((_, why, hint)) = REFUSED.iter().find(|(pattern, ..)| matches(pattern, name)) {
        report.error(pair.name.at, key, "is refused").why(*why).hint = hint.map(str::to_owned);
        return false;
    }
    let Some((_, form)) = PASSED_ON.iter().find(|(known, _)| *known == name) else {
        let problem = report.error(pair.name.at, key, "is no property of a librdkafka producer");
        if OF_CONSUMERS.iter().any(|start| name.starts_with(start)) {
            problem.why("it belongs to consumers");
        } else if let Some(meant) = nearest(name, PASSED_ON.iter().map(|(known, _)| *known)) {
            problem.hint(format!("did you mean \"{meant}\"?"));
        }
        return false;
    };
    value_fits(pair, form, key, report)
}

fn value_fits(pair: &Pair, form: &Form, key: &str, report: &mut Report<'_>) -> bool {
    let value = pair.value.value.as_str();
    let right = match form {
        Anything => (!value.is_empty() && !value.contains('\0'))
            .then_some(())
            .ok_or("some text".to_owned()),
        Switch => ["true", "false", "1", "0"]
            .contains(&value)
            .then_some(())
            .ok_or("\"true\" or \"false\"".to_owned()),
        Number(least, most) => match value.parse::<i64>() {
            Ok(number) if (*least..=*most).contains(&number) => Ok(()),
            _ => Err(format!("{least} to {most}")),
        },
        OneOf(texts) => listed(texts, [value]),
        SomeOf(texts) => listed(texts, value.split(',').map(str::trim)),
    };
    match right {
        Ok(()) => {
            if pair.name.value == "enable.ssl.certificate.verification" && matches!(value, "false" | "0") {
                report
                    .warning(pair.value.at, key, "anybody on the way can pose as the broker")
                    .hint("\"ssl.ca.location\" = the authority that signed the broker's certificate");
            }
            true
        }
        Err(hint) => {
            report
                .error(
                    pair.value.at,
                    key,
                    format!("{} is not a value of it", quoted(value)),
                )
                .hint(hint);
            false
        }
    }
}

fn listed<'v>(texts: &[&str], values: impl IntoIterator<Item = &'v str>) -> Result<(), String> {
    let known = |value: &str| texts.iter().any(|text| text.eq_ignore_ascii_case(value));
    match values.into_iter().all(known) {
        true => Ok(()),
        false => Err(texts
            .iter()
            .map(|text| quoted(text))
            .collect::<Vec<_>>()
            .join(", ")),
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(_), Some(_)) => name.contains(pattern.trim_matches('*')),
        (Some(end), None) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_passed_on_is_refused() {
        for (name, _) in PASSED_ON {
            assert!(
                !REFUSED.iter().any(|(pattern, ..)| matches(pattern, name)),
                "{name}"
            );
            assert!(
                !OF_CONSUMERS.iter().any(|start| name.starts_with(start)),
                "{name}"
            );
        }
    }
}
