//! Chips on I2C buses: which there are, and which addresses they can have.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::file::Section;
use super::super::model::{Chip, ChipDriver, I2c, I2cSensor};
use super::super::problem::{Report, quoted};
use super::super::schema::LATER_CHIPS;
use super::super::suggest::nearest;
use super::{bounds, names, paths};

/// Seven-bit addresses that no chip may have are outside: they have a meaning for the bus itself.
const ADDRESSES: RangeInclusive<i64> = 0x03..=0x77;

/// What a temperature chip measures.
pub(super) const MEASUREMENT: &str = "temperature";

type Ranges = &'static [RangeInclusive<u8>];

const TWO_PINS: Ranges = &[0x48..=0x4b];
const THREE_PINS: Ranges = &[0x48..=0x4f];
/// Its three pins may also be left open.
const PCT2075: Ranges = &[0x28..=0x2f, 0x35..=0x37, 0x48..=0x4f, 0x70..=0x77];

/// Chips, who can talk to them, and the addresses that their pins can give them.
static CHIPS: &[(&str, ChipDriver, Ranges)] = &[
    ("tmp102", ChipDriver::Tmp1x2, TWO_PINS),
    ("tmp112", ChipDriver::Tmp1x2, TWO_PINS),
    ("lm75", ChipDriver::Lm75, THREE_PINS),
    ("lm75a", ChipDriver::Lm75, THREE_PINS),
    ("lm75b", ChipDriver::Lm75, THREE_PINS),
    ("lm75c", ChipDriver::Lm75, THREE_PINS),
    ("at30ts75a", ChipDriver::Lm75, THREE_PINS),
    ("ds1775", ChipDriver::Lm75, THREE_PINS),
    ("ds75", ChipDriver::Lm75, THREE_PINS),
    ("ds7505", ChipDriver::Lm75, THREE_PINS),
    ("g751", ChipDriver::Lm75, THREE_PINS),
    ("max6625", ChipDriver::Lm75, TWO_PINS),
    ("max7500", ChipDriver::Lm75, THREE_PINS),
    ("mcp9800", ChipDriver::Lm75, THREE_PINS),
    ("stds75", ChipDriver::Lm75, THREE_PINS),
    ("tcn75", ChipDriver::Lm75, THREE_PINS),
    ("pct2075", ChipDriver::Pct2075, PCT2075),
];

/// A bus, and the tables of those of its chips in which nothing is wrong.
pub(super) fn check<'s>(section: &'s Section, report: &mut Report<'_>) -> Option<(I2c, Vec<&'s Section>)> {
    let bus = paths::node(section, "bus", "/dev/i2c-1", report);
    let all = section.sections("sensor");
    if all.is_empty() && section.lacks("sensor") {
        report
            .error(section.at, &section.key("sensor"), "is missing")
            .why("a bus alone measures nothing")
            .hint("[[source.sensor]] with id, chip and address");
    }
    let right = all
        .iter()
        .filter_map(|table| Some((check_sensor(table, report)?, table)));
    let (sensors, tables) = right.unzip();
    Some((I2c { bus: bus?, sensors }, tables))
}

fn check_sensor(section: &Section, report: &mut Report<'_>) -> Option<I2cSensor> {
    let id = match section.text("id") {
        Some(id) => names::sensor_id(id.at, id.value, &section.key("id"), report),
        None => {
            paths::missing(section, "id", "\"shed-air\"", report);
            None
        }
    };
    let chip = chip(section, report);
    let address = address(section, chip.map(|(_, ranges)| ranges), report);
    let every = bounds::duration(
        Some(section),
        "every",
        Duration::from_secs(1),
        &bounds::EVERY_CHIP,
        report,
    );
    let (chip, _) = chip?;
    Some(I2cSensor {
        id: id?,
        chip,
        address: address?,
        every,
        measurement: MEASUREMENT.to_owned(),
    })
}

fn chip(section: &Section, report: &mut Report<'_>) -> Option<(Chip, Ranges)> {
    let Some(found) = section.text("chip") else {
        paths::missing(section, "chip", "\"tmp102\"", report);
        return None;
    };
    let wanted = found.value.as_str();
    if let Some((name, driver, ranges)) = CHIPS.iter().find(|(name, ..)| *name == wanted) {
        return Some((
            Chip {
                name,
                driver: *driver,
            },
            ranges,
        ));
    }
    let key = section.key("chip");
    if LATER_CHIPS.contains(&wanted) {
        report.error(
            found.at,
            &key,
            format!("{} is not yet in this version: more chips", quoted(wanted)),
        );
        return None;
    }
    let all = CHIPS.iter().map(|(name, ..)| *name);
    let hint = match nearest(wanted, all.clone()) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => format!("one of {}", all.collect::<Vec<_>>().join(", ")),
    };
    report
        .error(
            found.at,
            &key,
            format!("{} is no chip that is known", quoted(wanted)),
        )
        .hint(hint);
    None
}

fn address(section: &Section, ranges: Option<Ranges>, report: &mut Report<'_>) -> Option<u8> {
    let Some(found) = section.integer("address") else {
        paths::missing(section, "address", "0x48", report);
        return None;
    };
    let key = section.key("address");
    let fits = |address: u8| ranges.is_none_or(|ranges| ranges.iter().any(|range| range.contains(&address)));
    let address = u8::try_from(*found.value)
        .ok()
        .filter(|_| ADDRESSES.contains(found.value));
    if let Some(address) = address.filter(|address| fits(*address)) {
        return Some(address);
    }
    let written = match u64::try_from(*found.value) {
        Ok(number) => format!("{number:#04x}"),
        Err(_) => found.value.to_string(),
    };
    // Some data sheets count the bit for reading and writing into the address.
    let halved = u8::try_from(*found.value / 2)
        .ok()
        .filter(|half| *found.value > 0x77 && fits(*half));
    match (address, ranges) {
        (Some(_), Some(ranges)) => {
            let ranges: Vec<_> = ranges
                .iter()
                .map(|r| format!("{:#04x} to {:#04x}", r.start(), r.end()))
                .collect();
            report
                .error(
                    found.at,
                    &key,
                    format!("{written} is no address that this chip can have"),
                )
                .hint(ranges.join(", "));
        }
        _ => {
            let hint = match halved {
                Some(half) => format!("with seven bits it is {half:#04x}"),
                None => "0x03 to 0x77".to_owned(),
            };
            report
                .error(found.at, &key, format!("{written} is no I2C address"))
                .hint(hint);
        }
    }
    None
}
