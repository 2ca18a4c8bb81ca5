//! `kind = "sysfs"`: files of the kernel.

use std::time::Duration;

use super::super::file::Section;
use super::super::model::Sysfs;
use super::super::problem::Report;
use super::{bounds, names, paths};

const PATH: &str = "/sys/bus/w1/devices/28-0316a2f7b4ff/temperature";

pub(super) fn check(section: &Section, report: &mut Report<'_>) -> Option<Sysfs> {
    let path = paths::node(section, "path", PATH, report);
    let id = match section.text("id") {
        Some(id) => names::sensor_id(id.at, id.value, &section.key("id"), report),
        None => {
            paths::missing(section, "id", "\"tank\"", report);
            None
        }
    };
    // What the kernel writes is mostly thousandths.
    let scale = scale(section, 0.001, report);
    let default = Duration::from_secs(5);
    let every = bounds::duration(Some(section), "every", default, &bounds::EVERY_FILE, report);
    Some(Sysfs {
        path: path?,
        id: id?,
        scale,
        every,
    })
}

/// What a raw value is multiplied by.
pub(super) fn scale(section: &Section, default: f64, report: &mut Report<'_>) -> f64 {
    let Some(found) = section.number("scale") else {
        return default;
    };
    if found.value.abs() < f64::MIN_POSITIVE {
        report
            .error(found.at, &section.key("scale"), "0 is no scale")
            .why("every value would be 0");
        return default;
    }
    *found.value
}
