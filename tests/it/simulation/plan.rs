//! What a seed sets up, and what it does to the world, and when.

use std::time::Duration;

use edgespool::queue::memory_store::Fate;
use edgespool::span::Rules;

use super::chance::Chance;
use super::kafka::Mood;
use super::line::Noise;
use super::{MS, SECOND, Time};

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    /// kill -9: the page cache stays.
    Kill,
    /// The power goes.
    Cut,
    /// The power goes, and what was not synced, but for the count outside of the generations.
    CutButForTheCount,
    /// As before, and the newest rows are gone although they were durable.
    LostTail(u64),
    /// By itself, since the store failed.
    StoreError,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// The process ends now.
    Death(Death),
    /// The process ends at its next sync, which comes to this.
    AtSync(Fate, Death),
    /// The next sync takes so long.
    Stall(Time),
    /// The broker can be reached or not.
    Link(bool),
    /// A sensor's topic changes its mind.
    Mood(usize, Option<Mood>),
    /// In thousandths: acknowledgements lost, late, tickets given up.
    Acks(u64, u64, u64),
    /// The client ends by a fatal error.
    LoseClient,
    /// Somebody sets the wall clock.
    Step(i64),
    /// The kernel's word on it.
    Synchronized(bool),
    /// A node is switched off and on.
    Reboot(usize),
    /// A row of an older generation cannot be read any more.
    LoseRow,
    /// A node's line.
    Noise(usize, Noise),
}

/// What a seed draws once.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) nodes: usize,
    pub(super) locals: usize,
    pub(super) horizon: Time,
    /// Between two faults, on the average.
    pub(super) pause: Time,
    pub(super) interval: Duration,
    pub(super) generation_bytes: u64,
    pub(super) memory: usize,
    pub(super) under_way: usize,
    pub(super) room: usize,
    pub(super) hold: Duration,
    pub(super) rules: Rules,
    /// No exception of I3 can come about: spans end where the readings say.
    pub(super) exact: bool,
    /// Durable rows may be lost.
    pub(super) damage: bool,
}

fn ms(span: u64) -> Duration {
    Duration::from_millis(span)
}

impl Setup {
    pub(super) fn draw(chance: &mut Chance) -> Self {
        let exact = chance.one_in(3);
        let never = Duration::from_secs(1 << 30);
        let mut rules = Rules {
            time_span: ms(chance.pick(&[200, 2_000, 20_000])),
            packet_size: chance.pick(&[1, 5, 30, 1000]),
            idle_timeout: ms(chance.pick(&[300, 2_000])),
            max_delay: ms(chance.pick(&[1_000, 5_000, 60_000])),
        };
        if exact {
            (rules.idle_timeout, rules.max_delay) = (never, never);
        }
        let memory = chance.pick(&[3_000, 6_000, 12_000, 60_000, 2 << 20]);
        Self {
            nodes: chance.between(1, 3) as usize,
            locals: chance.between(0, 3) as usize,
            horizon: chance.between(40, 160) * SECOND,
            pause: chance.pick(&[1, 3, 8, 20]) * SECOND,
            interval: ms(chance.pick(&[50, 200, 1_000, 1_000])),
            generation_bytes: chance.pick(&[1_500, 3_000, 6_000, 20_000]),
            memory: if exact { 2 << 20 } else { memory },
            under_way: chance.pick(&[20, 100, 8_192]),
            room: chance.pick(&[1, 2, 5, 100]),
            hold: Duration::from_secs(chance.pick(&[0, 5, 60])),
            rules,
            exact,
            damage: !exact && chance.one_in(3),
        }
    }

    pub(super) fn sensors(&self) -> usize {
        2 * self.nodes + self.locals
    }
}

/// One fault, and when and by what it is over.
pub(super) fn draw(setup: &Setup, chance: &mut Chance) -> (Fault, Option<(Time, Fault)>) {
    let lasts = |chance: &mut Chance, most: u64| chance.between(1, most) * SECOND;
    let fates = [Fate::Refused, Fate::Failed, Fate::DoneUnheard];
    match chance.below(100) {
        0..10 => (Fault::Death(Death::Kill), None),
        10..18 => (Fault::Death(death(setup, chance)), None),
        18..28 => (Fault::AtSync(chance.pick(&fates), Death::Kill), None),
        28..40 => {
            let (fate, death) = (chance.pick(&fates), death(setup, chance));
            (Fault::AtSync(fate, death), None)
        }
        40..43 => (Fault::AtSync(Fate::Failed, Death::StoreError), None),
        43..47 => (Fault::Stall(lasts(chance, 40)), None),
        47..57 => {
            let over = lasts(chance, 60);
            (Fault::Link(false), Some((over, Fault::Link(true))))
        }
        57..70 => {
            let sensor = chance.below(setup.sensors() as u64) as usize;
            let small = chance.between(1, 4) as usize;
            let moods = [Mood::Refuses, Mood::Rejects, Mood::Silent, Mood::Small(small)];
            // A split would end spans where the readings do not.
            let mood = chance.pick(&moods[..if setup.exact { 3 } else { 4 }]);
            let over = lasts(chance, 90);
            (
                Fault::Mood(sensor, Some(mood)),
                Some((over, Fault::Mood(sensor, None))),
            )
        }
        70..77 => {
            let mut part = || chance.pick(&[0, 50, 300]);
            let acks = Fault::Acks(part(), part(), part());
            (acks, Some((lasts(chance, 60), Fault::Acks(0, 0, 0))))
        }
        77..80 => (Fault::LoseClient, None),
        80..85 => {
            let year = 365 * 86_400 * SECOND as i64;
            let second = SECOND as i64;
            let by = chance.pick(&[-56 * year, 56 * year, 3_600 * second, -second, second / 2]);
            (Fault::Step(by), None)
        }
        85..87 if setup.damage => (Fault::LoseRow, None),
        85..88 => {
            let over = lasts(chance, 60);
            (
                Fault::Synchronized(false),
                Some((over, Fault::Synchronized(true))),
            )
        }
        88..94 => (Fault::Reboot(chance.below(setup.nodes as u64) as usize), None),
        _ => {
            let node = chance.below(setup.nodes as u64) as usize;
            let noise = Noise {
                flip: chance.pick(&[0, 1, 4]),
                drop: chance.pick(&[0, 50, 300, 1000]),
                double: chance.pick(&[0, 100]),
                noise: chance.pick(&[0, 100]),
            };
            let over = lasts(chance, 30);
            (
                Fault::Noise(node, noise),
                Some((over, Fault::Noise(node, Noise::default()))),
            )
        }
    }
}

fn death(setup: &Setup, chance: &mut Chance) -> Death {
    match chance.below(10) {
        0..2 if setup.damage => Death::LostTail(chance.between(1, 5)),
        0..5 => Death::CutButForTheCount,
        _ => Death::Cut,
    }
}

/// How long a sync takes.
pub(super) fn sync_time(chance: &mut Chance) -> Time {
    match chance.below(20) {
        0..10 => chance.between(1, 8) * MS,
        10..19 => chance.between(8, 120) * MS,
        _ => chance.between(120, 900) * MS,
    }
}
