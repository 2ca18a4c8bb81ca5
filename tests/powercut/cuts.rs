//! Cuts: where the power goes, and what of the unflushed writes is on the medium then.
//!
//! Owns the choice of cut points and the replay of a recording up to one. Promises that what was flushed before is on the
//! medium in every mode. Must not know queues.

use std::sync::Arc;

use crate::log::{Event, Phase};
use crate::plan::Plan;
use crate::random::Random;
use crate::recording::Recording;

/// What survives of the writes since the last flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// All of them.
    All,
    /// Each 4 KiB with a probability of a half.
    Half,
    /// None of them.
    None,
    /// The last ones sector by sector, each 512 bytes with a probability of a half; those before them all.
    Torn,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::All, Self::Half, Self::None, Self::Torn];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Half => "half",
            Self::None => "none",
            Self::Torn => "torn",
        }
    }
}

/// A moment at which the power goes.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// The number of events that happened before.
    pub at: usize,
    /// What was happening.
    pub phase: Phase,
    /// What survives.
    pub mode: Mode,
}

/// How many of the last writes are torn.
const TORN: usize = 6;
const BLOCK: usize = 4096;
const SECTOR: usize = 512;

/// Draws cuts, in the order of time: half of them aimed at what happens seldom (if any is), the others anywhere.
pub fn draw(events: &[Event], count: usize, aim: bool, random: &mut Random) -> Vec<Cut> {
    let windows = windows(events);
    let mut phases: Vec<Phase> = windows.iter().map(|window| window.phase).collect();
    phases.sort_unstable();
    phases.dedup();
    phases.retain(|phase| *phase != Phase::Steady);
    let mut cuts: Vec<Cut> = (0..count)
        .map(|number| {
            let mode = Mode::ALL[random.index(Mode::ALL.len())];
            let wanted = phases
                .get(number / 2 % phases.len().max(1))
                .filter(|_| aim && number % 2 == 0);
            let at = wanted.and_then(|phase| aimed(&windows, *phase, random));
            let at = at
                .unwrap_or_else(|| 1 + random.index(events.len()))
                .min(events.len());
            let phase = windows
                .iter()
                .rev()
                .find(|window| window.from < at)
                .map_or(Phase::Steady, |window| window.phase);
            Cut { at, phase, mode }
        })
        .collect();
    cuts.sort_by_key(|cut| cut.at);
    cuts
}

/// A moment in some window of a phase: after a write, or a little later, after the flush or the receipt that follows.
fn aimed(windows: &[Window], phase: Phase, random: &mut Random) -> Option<usize> {
    let of_phase = windows.iter().filter(|window| window.phase == phase);
    let writes: Vec<usize> = of_phase
        .flat_map(|window| window.writes.iter().copied())
        .collect();
    let write = writes.get(random.index(writes.len()))?;
    Some(write + 1 + random.index(3))
}

/// The stretch between two marks.
struct Window {
    phase: Phase,
    from: usize,
    writes: Vec<usize>,
}

fn windows(events: &[Event]) -> Vec<Window> {
    let mut windows = vec![Window {
        phase: Phase::Steady,
        from: 0,
        writes: Vec::new(),
    }];
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Phase(phase) => windows.push(Window {
                phase: *phase,
                from: at,
                writes: Vec::new(),
            }),
            Event::Write { .. } => {
                if let Some(window) = windows.last_mut() {
                    window.writes.push(at);
                }
            }
            _ => {}
        }
    }
    windows
}

/// Replays a recording from cut to cut.
pub struct Replay<'a> {
    events: &'a [Event],
    next: usize,
    durable: Vec<u8>,
    pending: Vec<(usize, Arc<[u8]>)>,
    plan: Plan,
}

impl<'a> Replay<'a> {
    /// At the beginning.
    pub fn new(recording: &'a Recording) -> Self {
        let mut plan = recording.plan.clone();
        plan.read = vec![0; plan.after.first().map_or(0, Vec::len)];
        plan.released.clone_from(&plan.read);
        Self {
            events: &recording.events,
            next: 0,
            durable: recording.base.clone(),
            pending: Vec::new(),
            plan,
        }
    }

    /// The image that is left after a cut, and what a queue on it has to hold. Cuts come in the order of time.
    pub fn cut(&mut self, cut: Cut, random: &mut Random) -> (Vec<u8>, Plan) {
        while self.next < cut.at {
            if let Some(event) = self.events.get(self.next) {
                self.event(event);
            }
            self.next += 1;
        }
        let mut image = self.durable.clone();
        let torn = self.pending.len().saturating_sub(TORN);
        for (number, (offset, data)) in self.pending.iter().enumerate() {
            match cut.mode {
                Mode::None => {}
                // The file system's superblock is its own affair: torn, it does not mount, and no queue can help that.
                Mode::Torn if number >= torn && *offset >= BLOCK => {
                    sift(&mut image, *offset, data, SECTOR, random)
                }
                Mode::All | Mode::Torn => put(&mut image, *offset, data),
                Mode::Half => sift(&mut image, *offset, data, BLOCK, random),
            }
        }
        (image, self.plan.clone())
    }

    fn event(&mut self, event: &Event) {
        match event {
            Event::Write { offset, data } => {
                self.pending
                    .push((usize::try_from(*offset).unwrap_or(usize::MAX), data.clone()));
            }
            Event::Flush => {
                for (offset, data) in self.pending.drain(..) {
                    put(&mut self.durable, offset, &data);
                }
            }
            Event::Handed(commits) => self.plan.handed = *commits,
            Event::Receipt(commits) => self.plan.receipted = *commits,
            Event::Read(sensor, through) => raise(&mut self.plan.read, *sensor, *through),
            Event::Released(sensor, through) => raise(&mut self.plan.released, *sensor, *through),
            Event::Phase(_) => {}
        }
    }
}

fn raise(list: &mut [u64], sensor: u32, through: u64) {
    if let Some(place) = list.get_mut(sensor as usize) {
        *place = through.max(*place);
    }
}

fn put(image: &mut [u8], offset: usize, data: &[u8]) {
    if let Some(place) = image.get_mut(offset..offset + data.len()) {
        place.copy_from_slice(data);
    }
}

/// Puts each piece with a probability of a half.
fn sift(image: &mut [u8], offset: usize, data: &[u8], piece: usize, random: &mut Random) {
    for (number, data) in data.chunks(piece).enumerate() {
        if random.once_in(2) {
            put(image, offset + number * piece, data);
        }
    }
}
