//! `[queue]`: where readings wait, for how long, and how many of them.

use std::time::Duration;

use super::super::Env;
use super::super::file::Section;
use super::super::model::{Queue, WhenFull};
use super::super::problem::Report;
use super::{SECOND, bounds, paths};

const MIB: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn check(section: Option<&Section>, env: &Env, report: &mut Report<'_>) -> Queue {
    let allow_volatile = section
        .and_then(|queue| queue.boolean("allow-volatile"))
        .is_some_and(|found| *found.value);
    let kept = section.and_then(|queue| queue.duration("keep-delivered"));
    if let Some(found) = kept.filter(|found| !found.value.is_zero()) {
        let problem = "not yet in this version: keeping what is delivered";
        report
            .error(found.at, "queue.keep-delivered", problem)
            .hint("\"0s\"");
    }
    let when_full = section.and_then(|queue| queue.choice("when-full"));
    let directory = paths::queue_directory(section, allow_volatile, env, report);
    let interval = &bounds::COMMIT_INTERVAL;
    Queue {
        commit_interval: bounds::duration(section, "commit-interval", SECOND, interval, report),
        max_size: bounds::size(section, "max-size", 512 * MIB, &bounds::MAX_SIZE, report),
        max_age: bounds::duration(section, "max-age", 30 * DAY, &bounds::MAX_AGE, report),
        min_free: bounds::size(section, "min-free", 128 * MIB, &bounds::MIN_FREE, report),
        when_full: match when_full.map(|found| *found.value) {
            Some("refuse-new") => WhenFull::RefuseNew,
            _ => WhenFull::DropOldest,
        },
        max_sensors: bounds::integer(section, "max-sensors", 4096, &bounds::MAX_SENSORS, report),
        allow_volatile,
        require_mount: paths::mount(section, report),
        directory,
    }
}
