//! Serial lines.

use super::super::file::Section;
use super::super::model::{SerialFrames, SerialText};
use super::super::problem::Report;
use super::{bounds, names, paths, pattern};

/// Rates that hardware knows by name, and some that known devices use.
const RATES: &[u32] = &[
    50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 14_400, 19_200, 28_800, 31_250,
    38_400, 56_000, 57_600, 74_880, 76_800, 115_200, 128_000, 230_400, 250_000, 256_000, 460_800, 500_000,
    576_000, 921_600, 1_000_000, 1_152_000, 1_500_000, 2_000_000, 2_500_000, 3_000_000, 3_500_000, 4_000_000,
    6_000_000, 8_000_000, 12_000_000,
];

const PORT: &str = "/dev/ttyUSB0";

pub(super) fn frames(section: &Section, report: &mut Report<'_>) -> Option<SerialFrames> {
    let port = paths::node(section, "port", PORT, report);
    let baud = baud(section, 115_200, report);
    Some(SerialFrames { port: port?, baud })
}

pub(super) fn text(section: &Section, report: &mut Report<'_>) -> Option<SerialText> {
    let port = paths::node(section, "port", PORT, report);
    let baud = baud(section, 9600, report);
    let found = pattern::check(section, !section.lacks("id"), report);
    let id = match section.text("id") {
        Some(id) => Some(names::sensor_id(id.at, id.value, &section.key("id"), report)?),
        None => None,
    };
    let (pattern, measurements) = found?;
    Some(SerialText {
        port: port?,
        baud,
        pattern,
        measurements,
        id,
    })
}

fn baud(section: &Section, default: u32, report: &mut Report<'_>) -> u32 {
    let baud = bounds::integer(Some(section), "baud", default, &bounds::BAUD, report);
    if let (Some(found), false) = (section.integer("baud"), RATES.contains(&baud)) {
        let nearest = RATES
            .iter()
            .min_by_key(|rate| rate.abs_diff(baud))
            .unwrap_or(&default);
        report
            .warning(
                found.at,
                &section.key("baud"),
                format!("{baud} is an uncommon rate"),
            )
            .hint(format!("did you mean {nearest}?"));
    }
    baud
}
