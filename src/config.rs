//! The device file: read, checked, understood.
//!
//! Owns `device.toml` from its bytes to typed settings, in two stages: what was written (`file`, guided by the table
//! of known keys in `schema`) and what it means (`check`, with all problems at once). Promises that a [`Config`]
//! which exists can be acted upon without a further check, that `run` and `check` agree because both come through
//! here, and that no input makes it panic, hang or grow without bound. Must not know who uses the settings: only the
//! composition root and the command line see them.

mod check;
mod file;
mod load;
mod model;
mod problem;
mod schema;
mod suggest;
mod value;

pub use crate::template::{MAX_TOPIC, Part, Template, TemplateError, is_topic_character};
pub use load::{LoadError, load};
pub use model::{
    Acks, Chip, ChipDriver, Clock, Compression, Config, Delivery, Device, Format, Forward, I2c, I2cSensor,
    Kafka, Mqtt, MqttStatus, MqttTopic, Pairs, Queue, Sensor, SerialFrames, SerialText, Simulated, Source,
    Span, Status, Sysfs, WhenFull,
};
pub use problem::{MAX_SHOWN, Problem, Problems};

use std::path::Path;

/// What the device file's meaning depends on beside its text.
#[derive(Debug, Clone)]
pub struct Env {
    /// `KAFKA_BROKER_ADDRESS`: one address, or several with commas; wins over `[kafka] brokers` unless it is empty.
    pub kafka_broker_address: Option<String>,
    /// The host name, for devices without an ID.
    pub host_name: String,
    /// On what a path is, or would be once it is made.
    pub file_system: fn(&Path) -> FileSystem,
}

/// Kinds of file systems, as far as they matter to a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// In memory.
    Tmpfs,
    /// In memory.
    Ramfs,
    /// A layer over another one, which often ends with a container.
    Overlayfs,
    /// Any other, or not known.
    Lasting,
}

/// Reads the text of a device file; `file_name` is what problems call it.
///
/// # Errors
/// All problems of the file at once, if there is one.
pub fn parse(text: &str, file_name: &str, env: &Env) -> Result<Config, Problems> {
    let mut report = problem::Report::new(text);
    let made = file::read(&mut report).and_then(|file| check::check(&file, env, &mut report));
    let (config, warnings) = report.finish(file_name, made)?;
    Ok(Config { warnings, ..config })
}

/// All keys that a device file may have, by their full names, and what those are part of that this version cannot do.
#[must_use]
pub fn known_keys() -> Vec<(String, Option<&'static str>)> {
    schema::all()
}

/// All properties of librdkafka that are passed on, with values at the ends of what they take (none: any text).
#[must_use]
pub fn known_properties() -> Vec<(&'static str, Vec<String>)> {
    check::known_properties()
}
