//! What a device file means, in the types that the rest of the agent can use.
//!
//! Owns the typed settings. Promises that a value which exists has passed every check: the parts never have to look
//! again. Must not know how the file is written; the parts have settings of their own, which the composition root
//! fills from these.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::mqtt;
use crate::reading::SensorId;

use super::problem::Problem;
use crate::template::Template;

/// Name and value pairs, sorted by name, each name once.
pub type Pairs = Vec<(Box<str>, Box<str>)>;

/// Everything that the agent does on one gateway.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who this gateway is.
    pub device: Device,
    /// Where readings go.
    pub kafka: Kafka,
    /// Where they wait.
    pub queue: Queue,
    /// How they are cut into batches; sensors of their own mind have theirs in [`Sensor::span`].
    pub span: Span,
    /// How fast the backlog leaves.
    pub forward: Forward,
    /// What happens while the time is not known.
    pub clock: Clock,
    /// Where readings come from, in the order of the file; at least one.
    pub sources: Vec<Source>,
    /// What is known of single sensors beforehand; by ID.
    pub sensors: BTreeMap<SensorId, Sensor>,
    /// What people and other programs look at.
    pub status: Status,
    /// Where the agent's own state is published, if it is.
    pub mqtt_status: Option<MqttStatus>,
    /// What is allowed and costs something; `check` prints it, `run` logs it.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// The tags on every reading of this sensor: the device's, and the sensor's own, which win.
    #[must_use]
    pub fn tags_of(&self, sensor: &SensorId) -> &Pairs {
        self.sensors
            .get(sensor)
            .map_or(&self.device.tags, |known| &known.tags)
    }

    /// How this sensor's readings are cut.
    #[must_use]
    pub fn span_of(&self, sensor: &SensorId) -> &Span {
        self.sensors.get(sensor).map_or(&self.span, |known| &known.span)
    }

    /// The configured unit of one measurement, if there is one. A source's own unit is for the source to add.
    #[must_use]
    pub fn unit_of(&self, sensor: &SensorId, measurement: &str) -> Option<&str> {
        self.sensors
            .get(sensor)?
            .units
            .get(measurement)
            .map(|unit| &**unit)
    }
}

/// `[device]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The gateway's name, in headers and in the client ID; 1 to 128 bytes without control characters.
    pub id: String,
    /// On every reading.
    pub tags: Pairs,
}

/// `[kafka]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kafka {
    /// `host:port`, each once, at least one; `KAFKA_BROKER_ADDRESS` has already won.
    pub brokers: Vec<String>,
    /// The topic of a sensor; fill it in with [`Template::topic`].
    pub topic: Template,
    /// The key of a sensor's records; fill it in with [`Template::text`].
    pub key: Template,
    /// The topic of the agent's own events; `None` where nobody wants them.
    pub events_topic: Option<String>,
    /// What a record looks like.
    pub format: Format,
    /// How batches are packed.
    pub compression: Compression,
    /// How often a reading may arrive.
    pub delivery: Delivery,
    /// Whose word counts as delivered.
    pub acks: Acks,
    /// Where dead letters go beside the queue's directory, if anywhere.
    pub dead_letter_topic: Option<String>,
    /// Headers beside the agent's own; none of them has the name of one of those.
    pub headers: Pairs,
    /// Passed on to librdkafka as they are, names and values as it writes them; nothing that breaks a promise.
    pub librdkafka: Pairs,
}

/// What a record looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One record a reading, in JSON.
    Json,
}

/// How often a reading may arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Never lost; twice after an acknowledgement was lost.
    AtLeastOnce,
}

/// How batches are packed on their way to Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip
    Gzip,
    /// snappy
    Snappy,
    /// lz4
    Lz4,
    /// zstd
    Zstd,
}

impl Compression {
    /// The name, in the device file and for librdkafka.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Whose word counts as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// Every replica that is in sync.
    All,
    /// The partition's leader alone: what it had not yet copied is gone when it dies.
    Leader,
    /// Nobody: what is lost on the way is lost.
    None,
}

impl Acks {
    /// The value of librdkafka's `acks`.
    #[must_use]
    pub fn librdkafka(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Leader => "1",
            Self::None => "0",
        }
    }
}

/// `[queue]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Where the queue is; absolute.
    pub directory: PathBuf,
    /// The most that a power cut may cost.
    pub commit_interval: Duration,
    /// The most that the directory may hold, in bytes.
    pub max_size: u64,
    /// How old undelivered readings may become.
    pub max_age: Duration,
    /// Bytes that are left free on the file system for everybody else.
    pub min_free: u64,
    /// What happens when one of these is reached.
    pub when_full: WhenFull,
    /// How many sensors may ever be stored.
    pub max_sensors: u32,
    /// Whether the directory may be where a power cut takes everything.
    pub allow_volatile: bool,
    /// What has to be mounted before a new queue may be made.
    pub require_mount: Option<PathBuf>,
}

/// What happens when the queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest readings make room for new ones.
    DropOldest,
    /// New readings are refused until there is room.
    RefuseNew,
}

/// `[span]`: how one sensor's readings are cut into batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The most time in the data, newest minus oldest recorded time in a batch.
    pub time_span: Duration,
    /// The most readings in a batch; at least one.
    pub packet_size: u32,
    /// Clock time without a new reading after which an open span closes; at most `max_delay`.
    pub idle_timeout: Duration,
    /// Clock time after which an open span closes in any case.
    pub max_delay: Duration,
}

/// `[forward]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// Bytes a second that go to Kafka at most; `None`: as many as there are.
    pub max_rate: Option<u64>,
}

/// `[clock]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// How long readings of a clock that is not synchronized wait once Kafka can be reached.
    pub hold_until_synced: Duration,
}

/// `[status]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Where `edgespool status` asks; absolute, and short enough for a socket.
    pub socket: PathBuf,
}

/// `[[source]]`
#[derive(Debug, Clone)]
pub enum Source {
    /// Nodes with the firmware of this project.
    SerialFrames(SerialFrames),
    /// Anything that prints lines.
    SerialText(SerialText),
    /// Chips on an I2C bus.
    I2c(I2c),
    /// What other devices publish on a broker.
    Mqtt(Mqtt),
    /// What the kernel reads already.
    Sysfs(Sysfs),
    /// Invented readings.
    Simulated(Simulated),
}

impl Source {
    /// The name in status and log lines: the kind and what tells it from others of the kind.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::SerialFrames(source) => format!("serial-frames {}", source.port.display()),
            Self::SerialText(source) => format!("serial-text {}", source.port.display()),
            Self::I2c(source) => format!("i2c {}", source.bus.display()),
            Self::Mqtt(source) => match source.number {
                1 => format!("mqtt {}", source.broker),
                n => format!("mqtt {} ({n})", source.broker),
            },
            Self::Sysfs(source) => format!("sysfs {}", source.path.display()),
            Self::Simulated(source) => format!("simulated {}", source.first),
        }
    }

    /// The sensors that the file itself names; `None` for a source that learns their names from its input.
    #[must_use]
    pub fn sensors(&self) -> Option<Vec<SensorId>> {
        match self {
            Self::SerialFrames(_) | Self::SerialText(SerialText { id: None, .. }) => None,
            Self::SerialText(SerialText { id: Some(id), .. }) => Some(vec![id.clone()]),
            Self::I2c(source) => Some(source.sensors.iter().map(|sensor| sensor.id.clone()).collect()),
            Self::Mqtt(source) => source.ids(),
            Self::Sysfs(source) => Some(vec![source.id.clone()]),
            Self::Simulated(source) => Some(source.ids()),
        }
    }
}

/// `kind = "serial-frames"`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialFrames {
    /// The device node; absolute.
    pub port: PathBuf,
    /// Bits a second.
    pub baud: u32,
}

/// `kind = "serial-text"`
#[derive(Debug, Clone)]
pub struct SerialText {
    /// The device node; absolute.
    pub port: PathBuf,
    /// Bits a second.
    pub baud: u32,
    /// What a line looks like: the group `sensor`, unless `id` is set, and one group a measurement.
    pub pattern: regex_lite::Regex,
    /// The measurements: the other groups' names, in the order of the pattern; at least one.
    pub measurements: Vec<String>,
    /// The sensor of every line, if the lines do not name it.
    pub id: Option<SensorId>,
}

/// `kind = "i2c"`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct I2c {
    /// The bus's device node; absolute.
    pub bus: PathBuf,
    /// The chips on it; at least one.
    pub sensors: Vec<I2cSensor>,
}

/// One chip on an I2C bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct I2cSensor {
    /// The sensor's name.
    pub id: SensorId,
    /// What it is.
    pub chip: Chip,
    /// Its seven-bit address, one that this chip can have.
    pub address: u8,
    /// How often it is read.
    pub every: Duration,
    /// The name of its value: the chip's own, or what `[sensor.ID] measurement` says.
    pub measurement: String,
}

/// A chip that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chip {
    /// Its name in the device file.
    pub name: &'static str,
    /// Who can talk to it.
    pub driver: ChipDriver,
}

/// Chips that are read in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChipDriver {
    /// TMP102 and TMP112.
    Tmp1x2,
    /// LM75 and its many likes.
    Lm75,
    /// PCT2075: an LM75 with more addresses and finer steps.
    Pct2075,
}

/// `kind = "mqtt"`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mqtt {
    /// The broker.
    pub broker: mqtt::Address,
    /// Which of the sources with this broker it is, from 1 on: each has a session of its own.
    pub number: u32,
    /// How many messages the broker lets be under way without an acknowledgement.
    pub inflight: u32,
    /// The bytes of a message at most.
    pub max_packet: u32,
    /// As whom.
    pub username: Option<String>,
    /// The file with the password; a name alone is a credential of systemd's.
    pub password_file: Option<PathBuf>,
    /// Certificates to trust beside the system's.
    pub ca: Option<PathBuf>,
    /// The topics; at least one.
    pub topics: Vec<MqttTopic>,
}

impl Mqtt {
    /// The sensors' names, if the topics do not make them.
    fn ids(&self) -> Option<Vec<SensorId>> {
        let fixed = |topic: &MqttTopic| SensorId::new(topic.sensor.fixed()?).ok();
        self.topics.iter().map(fixed).collect()
    }
}

/// Topics of a broker, and what their messages mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttTopic {
    /// Which.
    pub filter: mqtt::Filter,
    /// Whose message it is.
    pub sensor: mqtt::SensorName,
    /// The measurements and where they are in the payload, in the order of the file; at least one.
    pub fields: Vec<(Box<str>, mqtt::Path)>,
    /// Where the payload says when it was measured.
    pub time: Option<mqtt::Path>,
}

/// `[mqtt-status]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttStatus {
    /// The broker.
    pub broker: mqtt::Address,
    /// The topic, filled in.
    pub topic: String,
    /// As whom.
    pub username: Option<String>,
    /// The file with the password; a name alone is a credential of systemd's.
    pub password_file: Option<PathBuf>,
    /// Certificates to trust beside the system's.
    pub ca: Option<PathBuf>,
}

/// `kind = "sysfs"`
#[derive(Debug, Clone, PartialEq)]
pub struct Sysfs {
    /// The file; absolute.
    pub path: PathBuf,
    /// The sensor's name.
    pub id: SensorId,
    /// What the number in the file is multiplied by; not zero.
    pub scale: f64,
    /// How often it is read.
    pub every: Duration,
}

/// `kind = "simulated"`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Simulated {
    /// The number of the first sensor: several such sources go on counting.
    pub first: u32,
    /// How many sensors.
    pub sensors: u32,
    /// How often each gives a reading.
    pub every: Duration,
}

impl Simulated {
    /// The sensors' names: `sim-1`, `sim-2` and so on.
    #[must_use]
    pub fn ids(&self) -> Vec<SensorId> {
        (self.first..self.first.saturating_add(self.sensors))
            .filter_map(|number| SensorId::new(&format!("sim-{number}")).ok())
            .collect()
    }
}

/// `[sensor.ID]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sensor {
    /// The name of the value where the source has none of its own.
    pub measurement: String,
    /// Units by measurement, as far as the file gives them.
    pub units: BTreeMap<Box<str>, Box<str>>,
    /// All tags of the sensor's readings, the device's included.
    pub tags: Pairs,
    /// How its readings are cut, with what `[span]` says where the sensor says nothing.
    pub span: Span,
}
