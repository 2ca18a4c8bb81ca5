//! The keys below what this version cannot do yet: known by name, so that a slip in one of them is still shown.

use super::Kind::{Announced, Table, Tables};
use super::{Key, now};

const fn known(name: &'static str) -> Key {
    now(name, Announced)
}

pub(super) static TLS: &[Key] = &[known("ca"), known("certificate"), known("key")];

pub(super) static SASL: &[Key] = &[known("mechanism"), known("username"), known("password-file")];

pub(super) static SCHEMA_REGISTRY: &[Key] = &[known("url")];

pub(super) static MODBUS_RTU: &[Key] = &[
    known("kind"),
    known("port"),
    known("baud"),
    now("sensor", Tables(MODBUS_SENSOR)),
];

pub(super) static MODBUS_TCP: &[Key] = &[
    known("kind"),
    known("address"),
    now("sensor", Tables(MODBUS_SENSOR)),
];

static MODBUS_SENSOR: &[Key] = &[
    known("id"),
    known("unit-id"),
    now("register", Table(REGISTER)),
    known("every"),
];

static REGISTER: &[Key] = &[
    known("input"),
    known("holding"),
    known("coil"),
    known("discrete"),
    known("type"),
    known("scale"),
    known("offset"),
];

pub(super) static RANGE: &[Key] = &[known("min"), known("max")];

pub(super) static ALARM: &[Key] = &[known("above"), known("below"), known("hysteresis")];

/// Chips that are announced.
pub(in crate::config) static CHIPS: &[&str] = &[
    "adt7410", "aht20", "bme280", "bmp280", "htu21d", "mcp9808", "scd4x", "scd40", "scd41", "sht30", "sht31",
    "sht35", "sht3x", "sht40", "sht41", "sht45", "sht4x", "si7021", "tmp105", "tmp117", "tmp75",
];
