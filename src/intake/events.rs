//! Events that wait to be stored.
//!
//! Owns what was told and is not committed yet, bounded, and the counts of all that was told. Promises that a part of a
//! source that comes and goes makes at most one event in [`PACE`], with a count of what was left out, and that its last
//! state is told in the end; that nobody waits for an event, and an event holds up nobody. Pure but for a lock. Must not
//! know who tells, or whether there is a topic.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::inbox::Inbox;
use crate::clock::Mono;
use crate::event::{Event, Kind, MAX_REASON, shortened};
use crate::reading::{Reading, SensorNo, Stamp};

/// Events that may wait for the next commit; what comes beyond is counted and told as one.
pub const MAX_WAITING: usize = 256;
/// Parts of sources whose last change is remembered.
pub const MAX_PARTS: usize = 1024;
/// The least time between two events of one part.
pub const PACE: Duration = Duration::from_secs(10);
/// Events that `status` shows.
const SHOWN: usize = 10;

/// What was told since the start; for status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// How many of each kind, those included that were told as one.
    pub counts: BTreeMap<Kind, u64>,
    /// The last ones, oldest first.
    pub last: Vec<(Stamp, Event)>,
}

/// Collects events. Shared by whoever has something to tell and the commit thread.
#[derive(Debug, Default)]
pub struct Events {
    board: Mutex<Board>,
}

#[derive(Debug, Default)]
struct Board {
    /// The number of `$events`; `None` when nobody wants events: then they are only counted.
    sensor: Option<SensorNo>,
    waiting: VecDeque<(Stamp, Event)>,
    /// Taken before, when there was no room for them.
    again: Vec<Reading>,
    parts: BTreeMap<Box<str>, Part>,
    left_out: u64,
    counts: BTreeMap<Kind, u64>,
    last: VecDeque<(Stamp, Event)>,
}

/// A part of a source, or the clock.
#[derive(Debug)]
struct Part {
    /// When it may be told of again.
    next: Mono,
    held: Option<Held>,
}

/// The last change of a part that was not told yet.
#[derive(Debug)]
struct Held {
    time: Stamp,
    event: Event,
    /// How many changes before it are not told at all.
    before: u64,
}

impl Events {
    /// From here on events are stored, as readings of that sensor.
    pub fn store_as(&self, sensor: SensorNo) {
        self.lock().sensor = Some(sensor);
    }

    /// Tells of something that does not come in floods.
    pub fn tell(&self, time: Stamp, event: Event) {
        let mut board = self.lock();
        board.count(event.kind);
        board.add(time, event);
    }

    /// Tells of something that may come again and again: at most once in [`PACE`] under that name.
    pub fn change(&self, part: &str, time: Stamp, event: Event) {
        let mut board = self.lock();
        board.count(event.kind);
        board.change(part, time, event);
    }

    /// Takes note of an event that is stored in a way of its own. The reading to store, if events are stored.
    pub fn note(&self, time: Stamp, event: Event) -> Option<Reading> {
        let mut board = self.lock();
        board.count(event.kind);
        let reading = board.sensor.map(|sensor| event.reading(sensor, time));
        board.show(time, event);
        reading
    }

    /// True when something waits to be stored.
    #[must_use]
    pub fn is_due(&self, now: Mono) -> bool {
        let mut board = self.lock();
        board.release(now);
        !board.waiting.is_empty() || !board.again.is_empty()
    }

    /// When something that is held back may be told.
    #[must_use]
    pub fn next(&self) -> Option<Mono> {
        let board = self.lock();
        let held = board.parts.values().filter(|part| part.held.is_some());
        held.map(|part| part.next).min()
    }

    /// What waits, as readings to store.
    pub fn take(&self, now: Stamp) -> Vec<Reading> {
        let mut board = self.lock();
        board.release(Mono(now.mono));
        let Some(sensor) = board.sensor else {
            board.waiting.clear();
            return Vec::new();
        };
        if let left_out @ 1.. = std::mem::take(&mut board.left_out) {
            let reason = format!("{left_out} more changes of sources or of the clock came at once");
            board
                .waiting
                .push_back((now, Event::new(Kind::SourceFault, reason)));
        }
        let mut readings = std::mem::take(&mut board.again);
        let waiting = std::mem::take(&mut board.waiting).into_iter();
        readings.extend(waiting.map(|(time, event)| event.reading(sensor, time)));
        readings
    }

    /// Gives back what there was no room for; what comes beyond the bound is counted and told as one.
    pub fn put_back(&self, mut readings: Vec<Reading>) {
        let mut board = self.lock();
        let excess = readings.len().saturating_sub(MAX_WAITING);
        readings.truncate(MAX_WAITING);
        board.left_out += excess as u64;
        board.again = readings;
    }

    /// What was told since the start.
    #[must_use]
    pub fn told(&self) -> Told {
        let board = self.lock();
        Told {
            counts: board.counts.clone(),
            last: board.last.iter().cloned().collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox {
    /// Tells of something that does not come in floods, and wakes the commit thread for it.
    pub fn tell(&self, time: Stamp, event: Event) {
        self.events().tell(time, event);
        self.nudge();
    }

    /// Tells of something that may come again and again; see [`Events::change`].
    pub fn tell_change(&self, part: &str, time: Stamp, event: Event) {
        self.events().change(part, time, event);
        self.nudge();
    }
}

impl Board {
    fn count(&mut self, kind: Kind) {
        *self.counts.entry(kind).or_default() += 1;
    }

    fn show(&mut self, time: Stamp, event: Event) {
        if self.last.len() >= SHOWN {
            self.last.pop_front();
        }
        self.last.push_back((time, event));
    }

    fn add(&mut self, time: Stamp, event: Event) {
        self.show(time, event.clone());
        if self.sensor.is_none() {
            return;
        }
        if self.waiting.len() >= MAX_WAITING {
            self.left_out += 1;
        } else {
            self.waiting.push_back((time, event));
        }
    }

    fn change(&mut self, name: &str, time: Stamp, event: Event) {
        let now = Mono(time.mono);
        self.release(now);
        let full = self.parts.len() >= MAX_PARTS;
        match self.parts.get_mut(name) {
            Some(part) => {
                let before = part.held.take().map_or(0, |held| held.before + 1);
                part.held = Some(Held { time, event, before });
            }
            None if full => self.left_out += 1,
            None => {
                let next = now.after(PACE);
                self.parts.insert(name.into(), Part { next, held: None });
                self.add(time, event);
            }
        }
    }

    /// What was held back long enough waits now; parts that were quiet for long enough are forgotten.
    fn release(&mut self, now: Mono) {
        let mut ready = Vec::new();
        self.parts.retain(|_, part| {
            if part.next > now {
                return true;
            }
            part.next = now.after(PACE);
            let held = part.held.take();
            let stays = held.is_some();
            ready.extend(held);
            stays
        });
        ready.sort_by_key(|held| held.time.mono);
        for held in ready {
            let mut event = held.event;
            if let (before @ 1.., Some(reason)) = (held.before, &mut event.reason) {
                let more = format!(" (and {before} changes in the {} s before)", PACE.as_secs());
                let room = MAX_REASON.saturating_sub(more.len());
                *reason = shortened(reason, room).to_owned() + &more;
            }
            self.add(held.time, event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{TimeQuality, Value};

    fn at(ms: u64) -> Stamp {
        Stamp {
            wall: 0,
            mono: ms * 1_000_000,
            quality: TimeQuality::Synchronized,
        }
    }

    fn fault(why: &str) -> Event {
        Event::new(Kind::SourceFault, why)
    }

    /// The reasons of what a commit at that moment takes.
    fn taken(events: &Events, ms: u64) -> Vec<String> {
        let readings = events.take(at(ms)).into_iter();
        let reason = |reading: Reading| match reading.values.as_slice().last() {
            Some(Value::Text(text)) => text.to_string(),
            other => format!("{other:?}"),
        };
        readings.map(reason).collect()
    }

    fn events() -> Events {
        let events = Events::default();
        events.store_as(SensorNo(7));
        events
    }

    #[test]
    fn a_flapping_part_is_told_of_at_once_then_in_its_pace_and_its_last_state_in_the_end() {
        let events = events();
        for (ms, why) in [(0, "a"), (10, "b"), (20, "c"), (30, "d")] {
            events.change("port", at(ms), fault(why));
        }
        events.change("other", at(40), fault("x"));
        assert_eq!(taken(&events, 50), ["a", "x"]);
        assert_eq!(
            (events.next(), events.is_due(Mono(9_000_000_000))),
            (Some(Mono(10_000_000_000)), false)
        );
        assert!(events.is_due(Mono(10_000_000_000)));
        assert_eq!(taken(&events, 10_000), ["d (and 2 changes in the 10 s before)"]);
        assert_eq!(
            (events.next(), events.is_due(Mono(40_000_000_000))),
            (None, false)
        );
        events.change("port", at(50_000), fault("e"));
        assert_eq!(taken(&events, 50_000), ["e"]);
        assert_eq!(events.told().counts[&Kind::SourceFault], 6);
    }

    #[test]
    fn a_flood_is_bounded_and_counted() {
        let events = events();
        for number in 0..5000 {
            events.change(&format!("part {number}"), at(number), fault("f"));
        }
        for _ in 0..10 {
            events.tell(at(5000), fault("g"));
        }
        let told = taken(&events, 5000);
        assert_eq!(told.len(), MAX_WAITING + 1);
        assert_eq!(
            told.last().unwrap(),
            &format!(
                "{} more changes of sources or of the clock came at once",
                5010 - MAX_WAITING
            )
        );
        assert_eq!(events.told().counts[&Kind::SourceFault], 5010);
        assert_eq!(events.told().last.len(), SHOWN);
    }

    #[test]
    fn what_there_was_no_room_for_comes_again_within_the_bound() {
        let events = events();
        events.tell(at(0), fault("a"));
        let first = events.take(at(1));
        events.put_back(first);
        assert!(events.is_due(Mono(1)));
        events.tell(at(2), fault("b"));
        assert_eq!(taken(&events, 3), ["a", "b"]);
        let one = fault("c").reading(SensorNo(7), at(0));
        events.put_back(vec![one; MAX_WAITING + 5]);
        let told = taken(&events, 4);
        assert_eq!(
            (told.len(), told[MAX_WAITING].starts_with("5 more")),
            (MAX_WAITING + 1, true)
        );
        assert!(!events.is_due(Mono(5)));
    }

    #[test]
    fn without_a_topic_events_are_only_counted() {
        let events = Events::default();
        events.tell(at(0), Event::new(Kind::Started, "now"));
        assert!(!events.is_due(Mono(1)) && events.take(at(1)).is_empty());
        assert_eq!(events.told().counts[&Kind::Started], 1);
        assert_eq!(events.told().last[0].1.kind, Kind::Started);
    }
}
