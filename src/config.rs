//! The device file: read, checked, understood.
//!
//! Owns `device.toml` from its bytes to typed settings, in two stages: what was written (`file`, guided by the table
//! of known keys in `schema`) and what it means (`check`, with all problems at once). Promises that a [`Config`]
//! which exists can be acted upon without a further check, that `run` and `check` agree because both come through
//! here, and that no input makes it panic, hang or grow without bound. Must not know who uses the settings: only the
//! composition root and the command line see them.

mod model;
mod problem;
mod template;

pub use model::{
    Acks, Chip, ChipDriver, Clock, Compression, Config, Delivery, Device, Format, Forward, I2c, I2cSensor,
    Kafka, Pairs, Queue, Sensor, SerialFrames, SerialText, Simulated, Source, Span, Status,
};
pub use problem::{Problem, Problems};
pub use template::{MAX_TOPIC, Part, Template, TemplateError};
