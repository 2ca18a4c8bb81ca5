//! A queue that cannot be opened now, though nothing is wrong with it: the disk is full, or read-only, or not mounted.
//!
//! Owns the attempts. Promises that the agent goes on meanwhile: sensors are read into the bounded inbox, what finds no
//! space there is refused and counted, nodes get no receipt, and status says why. What is on the disk is looked at without
//! a write, so that sensors keep their numbers and nodes their positions.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::sight::Sight;
use super::{Event, OUTPUTS, View};
use crate::clock::Mono;
use crate::config::Config;
use crate::intake::inbox::{NodePosition, Wake};
use crate::queue::open::{self, Queue};
use crate::queue::raw_store::RawStore;
use crate::queue::spool::QueueFigures;
use crate::queue::store::StoreError;
use crate::reading::SensorDef;

/// Between the first attempts, and at most.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(30);

/// What is known of a queue before it can be opened.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) sensors: Vec<Option<Arc<SensorDef>>>,
    pub(super) nodes: Vec<NodePosition>,
    pub(super) sight: Sight,
}

/// Looks at a queue directory without writing; where there is none, nothing is known.
pub(super) fn look(config: &Config) -> Known {
    let directory = &config.queue.directory;
    let looked = RawStore::open(directory).and_then(|store| open::look(Arc::new(store), OUTPUTS));
    match looked {
        Ok(queue) => Known {
            sight: Sight::before(queue.observer.figures(), queue.observer.sensors()),
            sensors: queue
                .state
                .sensors
                .iter()
                .map(|sensor| sensor.def.clone())
                .collect(),
            nodes: queue.state.nodes.values().cloned().collect(),
        },
        Err(error) => {
            tracing::warn!(%error, "nothing is known of the queue until it can be opened");
            Known {
                sensors: Vec::new(),
                nodes: Vec::new(),
                sight: Sight::before(QueueFigures::default(), Vec::new()),
            }
        }
    }
}

/// Tries until the queue is open; `None` when the agent stops before.
///
/// # Errors
/// When it turns out that waiting does not help.
pub(super) fn for_the_queue(config: &Config, view: &View, why: StoreError) -> Result<Option<Queue>, Event> {
    let (mut why, mut pause) = (why, FIRST);
    let directory = config.queue.directory.display();
    tracing::error!(%directory, error = %text(&why), "the queue cannot be opened; readings wait in memory, and it is tried again");
    loop {
        view.tally
            .trouble(Some(format!("the queue cannot be opened: {}", text(&why))));
        let again = view.clock.mono().after(pause);
        view.inbox.block(Mono(u64::MAX));
        while view.clock.mono() < again {
            if let Wake::Closed(_) = view.inbox.wait(Some(again)) {
                return Ok(None);
            }
        }
        pause = LAST.min(pause * 2);
        match super::open_queue(config, &view.clock) {
            Ok(Ok(queue)) => return adopt(queue, view).map(Some),
            Ok(Err(error)) if error.may_pass() => why = error,
            Ok(Err(error)) => return Err(Event::Store(error)),
            Err(failure) => return Err(Event::Failed(failure)),
        }
    }
}

/// The queue is open: its sensors must have the numbers that were given out meanwhile.
fn adopt(queue: Queue, view: &View) -> Result<Queue, Event> {
    let before = view.sight.sensors();
    let known = before.iter().map(|sensor| sensor.def.as_ref().map(|def| &def.id));
    if !known.eq(queue.sensors.iter().map(|def| def.as_ref().map(|def| &def.id))) {
        return Err(Event::Store(StoreError::Refused {
            what: "the queue holds other sensors than could be seen before it was opened".into(),
            hint: "nothing was stored under a wrong name; the next start reads it as it is".into(),
        }));
    }
    tracing::info!("the queue is open");
    view.tally.trouble(None);
    view.inbox.unblock();
    Ok(queue)
}

/// Refuses to make a new queue where something else should be mounted.
///
/// # Errors
/// [`StoreError::NotMounted`].
pub(super) fn is_in_place(config: &Config) -> Result<(), StoreError> {
    let queue = &config.queue;
    // Where that cannot be seen, opening says why.
    let has_queue = queue.directory.join("format").try_exists().unwrap_or(true);
    match &queue.require_mount {
        Some(mount) if !has_queue && !is_mounted(mount) => {
            let mount = mount.display().to_string();
            Err(StoreError::NotMounted { mount })
        }
        _ => Ok(()),
    }
}

fn is_mounted(mount: &Path) -> bool {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mount = mount.canonicalize().unwrap_or_else(|_| mount.to_owned());
    is_in(&table, &mount)
}

/// Whether a table of mounts, as the kernel writes it, has that one.
fn is_in(table: &str, mount: &Path) -> bool {
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    points
        .map(|point| {
            point
                .replace("\\040", " ")
                .replace("\\011", "\t")
                .replace("\\134", "\\")
        })
        .any(|point| Path::new(&point) == mount)
}

/// An error and what it comes from.
pub(super) fn text(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_own_name() {
        let table = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                     40 22 8:17 / /mnt/usb\\040stick rw,noatime - ext4 /dev/sdb1 rw\n";
        for (mount, expect) in [
            ("/mnt/usb stick", true),
            ("/mnt/usb", false),
            ("/mnt", false),
            ("/", true),
        ] {
            assert_eq!(is_in(table, Path::new(mount)), expect, "{mount}");
        }
    }
}
