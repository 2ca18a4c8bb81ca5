//! The keys themselves: what this version can do, and where what is to come has its place.

use super::Kind::{
    Announced, Boolean, Choice as OneOf, Duration, Integer, Kinds, Named, Number, Pairs, Properties, Size,
    Table, Tables, Text, Texts,
};
use super::later;
use super::{Choice, Key, Since, Variant, choice, later as to_come, later_choice, now};

/// The top level of a device file.
pub(in crate::config) static ROOT: &[Key] = &[
    now("device", Table(DEVICE)),
    now("kafka", Table(KAFKA)),
    now("queue", Table(QUEUE)),
    now("span", Table(SPAN)),
    now("forward", Table(FORWARD)),
    now("clock", Table(CLOCK)),
    now("source", Kinds(SOURCES)),
    now("sensor", Named(SENSOR)),
    now("status", Table(STATUS)),
    now("mqtt-status", Table(MQTT_STATUS)),
];

static DEVICE: &[Key] = &[now("id", Text), now("tags", Pairs)];

static KAFKA: &[Key] = &[
    now("brokers", Texts),
    now("topic", Text),
    now("key", Text),
    now("format", OneOf(FORMATS)),
    now("compression", OneOf(COMPRESSIONS)),
    now("delivery", OneOf(DELIVERIES)),
    now("acks", OneOf(ACKS)),
    now("headers", Pairs),
    now("events-topic", Text),
    now("dead-letter-topic", Text),
    to_come("progress-topic", Announced, "exactly-once delivery"),
    now("librdkafka", Properties),
    to_come("tls", Table(later::TLS), "TLS to the brokers"),
    to_come("sasl", Table(later::SASL), "SASL authentication"),
    to_come(
        "schema-registry",
        Table(later::SCHEMA_REGISTRY),
        "the schema registry",
    ),
];

static FORMATS: &[Choice] = &[
    choice("json"),
    later_choice("quix", "records in Quix's format"),
    later_choice("avro", "records in Avro"),
    later_choice("cbor", "records in CBOR"),
];

static COMPRESSIONS: &[Choice] = &[
    choice("none"),
    choice("gzip"),
    choice("snappy"),
    choice("lz4"),
    choice("zstd"),
];

static DELIVERIES: &[Choice] = &[
    choice("at-least-once"),
    later_choice("exactly-once", "exactly-once delivery"),
];

static ACKS: &[Choice] = &[choice("all"), choice("leader"), choice("none")];

static WHEN_FULL: &[Choice] = &[choice("drop-oldest"), choice("refuse-new")];

static QUEUE: &[Key] = &[
    now("directory", Text),
    now("commit-interval", Duration),
    now("max-size", Size),
    now("max-age", Duration),
    now("min-free", Size),
    now("when-full", OneOf(WHEN_FULL)),
    now("max-sensors", Integer),
    now("allow-volatile", Boolean),
    now("require-mount", Text),
    now("keep-delivered", Duration),
];

static SPAN: &[Key] = &[
    now("time-span", Duration),
    now("packet-size", Integer),
    now("idle-timeout", Duration),
    now("max-delay", Duration),
];

static FORWARD: &[Key] = &[now("max-rate", Text)];

static CLOCK: &[Key] = &[now("hold-until-synced", Duration)];

static STATUS: &[Key] = &[now("socket", Text), now("http", Text)];

static SOURCES: &[Variant] = &[
    Variant {
        name: "serial-frames",
        since: Since::Now,
        keys: SERIAL_FRAMES,
    },
    Variant {
        name: "serial-text",
        since: Since::Now,
        keys: SERIAL_TEXT,
    },
    Variant {
        name: "i2c",
        since: Since::Now,
        keys: I2C,
    },
    Variant {
        name: "simulated",
        since: Since::Now,
        keys: SIMULATED,
    },
    Variant {
        name: "modbus-rtu",
        since: Since::Later("Modbus"),
        keys: later::MODBUS_RTU,
    },
    Variant {
        name: "modbus-tcp",
        since: Since::Later("Modbus"),
        keys: later::MODBUS_TCP,
    },
    Variant {
        name: "mqtt",
        since: Since::Now,
        keys: MQTT,
    },
    Variant {
        name: "sysfs",
        since: Since::Now,
        keys: SYSFS,
    },
];

static SERIAL_FRAMES: &[Key] = &[now("kind", Text), now("port", Text), now("baud", Integer)];

static SERIAL_TEXT: &[Key] = &[
    now("kind", Text),
    now("port", Text),
    now("baud", Integer),
    now("pattern", Text),
    now("id", Text),
];

static I2C: &[Key] = &[
    now("kind", Text),
    now("bus", Text),
    now("sensor", Tables(I2C_SENSOR)),
];

static I2C_SENSOR: &[Key] = &[
    now("id", Text),
    now("chip", Text),
    now("address", Integer),
    now("every", Duration),
];

static MQTT: &[Key] = &[
    now("kind", Text),
    now("broker", Text),
    now("inflight", Integer),
    now("max-packet", Text),
    now("username", Text),
    now("password-file", Text),
    now("ca", Text),
    now("topic", Tables(MQTT_TOPIC)),
];

static MQTT_TOPIC: &[Key] = &[
    now("filter", Text),
    now("sensor", Text),
    now("fields", Pairs),
    now("time", Text),
];

static MQTT_STATUS: &[Key] = &[
    now("broker", Text),
    now("topic", Text),
    now("username", Text),
    now("password-file", Text),
    now("ca", Text),
];

static SYSFS: &[Key] = &[
    now("kind", Text),
    now("path", Text),
    now("id", Text),
    now("scale", Number),
    now("every", Duration),
];

static SIMULATED: &[Key] = &[now("kind", Text), now("sensors", Integer), now("every", Duration)];

const RANGES: &str = "limits of what a sensor can measure";
const CALIBRATION: &str = "calibration";
const DEADBANDS: &str = "report by exception";
const ALARMS: &str = "alarms";
const RATES: &str = "limits of how fast a value can change";
const STUCK: &str = "finding values that are stuck";

static SENSOR: &[Key] = &[
    now("measurement", Text),
    now("unit", Text),
    now("tags", Pairs),
    now("span", Table(SPAN)),
    now("measurements", Named(MEASUREMENT)),
    to_come("range", Table(later::RANGE), RANGES),
    to_come("scale", Announced, CALIBRATION),
    to_come("offset", Announced, CALIBRATION),
    to_come("deadband", Announced, DEADBANDS),
    to_come("heartbeat", Announced, DEADBANDS),
    to_come("alarm", Table(later::ALARM), ALARMS),
    to_come("rate", Announced, RATES),
    to_come("stuck", Announced, STUCK),
];

static MEASUREMENT: &[Key] = &[
    now("unit", Text),
    to_come("range", Table(later::RANGE), RANGES),
    to_come("scale", Announced, CALIBRATION),
    to_come("offset", Announced, CALIBRATION),
    to_come("deadband", Announced, DEADBANDS),
    to_come("heartbeat", Announced, DEADBANDS),
    to_come("alarm", Table(later::ALARM), ALARMS),
    to_come("rate", Announced, RATES),
    to_come("stuck", Announced, STUCK),
];
