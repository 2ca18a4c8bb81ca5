//! Opening a queue: the newest generation's checkpoint and its rows, nothing else.
//!
//! Owns recovery. Promises that no sequence number is used twice: a log that is shorter than what is known outside of it
//! gets a new epoch. Must not know what the store is made of.

use std::sync::Arc;

use super::appender::{Appender, Room, first_rows};
use super::fold::State;
use super::log::Log;
use super::retention::Limits;
use super::row::{Depth, RowError, decode};
use super::spool::{Observer, Spool};
use super::store::{Generation, Store, StoreError};
use super::types::{Entry, OutputNo, RowNo, Session};
use crate::clock::BootId;
use crate::intake::inbox::NodePosition;
use crate::planted::{self, Bug};
use crate::reading::{Epoch, SensorDef, Stamp};

/// A generation of this size is followed by the next one (measured: opens in 20 ms, a card reads it in 0.8 s).
pub const GENERATION_BYTES: u64 = 16 * 1024 * 1024;

/// How to open a queue.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The size at which a generation is followed by the next one.
    pub generation_bytes: u64,
    /// What it may take of the disk.
    pub limits: Limits,
    /// How many outputs there are.
    pub outputs: u16,
    /// This boot.
    pub boot: BootId,
    /// The epoch to draw if one is needed: random.
    pub fresh_epoch: Epoch,
}

/// What recovery found. Everything but `Opened` is worth a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A new queue was made.
    Created {
        /// Its epoch.
        epoch: Epoch,
    },
    /// It was opened.
    Opened {
        /// Rows folded in.
        rows: u64,
    },
    /// A row of the newest generation cannot be read.
    DamagedRow {
        /// Which.
        row: RowNo,
        /// Why.
        why: String,
    },
    /// The newest rows are gone though they were durable; a new epoch begins.
    LostTail {
        /// The first row that is gone.
        from: RowNo,
        /// The number that was to come next.
        known: RowNo,
        /// The new epoch.
        epoch: Epoch,
    },
}

/// An open queue.
#[derive(Debug)]
pub struct Queue {
    /// The writing handle.
    pub appender: Appender,
    /// The reading handles, by output.
    pub spools: Vec<Spool>,
    /// For status.
    pub observer: Observer,
    /// The sensors it knows, by their number.
    pub sensors: Vec<Arc<SensorDef>>,
    /// How far nodes' readings are stored.
    pub nodes: Vec<NodePosition>,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// Opens a queue, or makes one where there is none.
///
/// # Errors
/// When the store cannot be read, or the newest generation holds no checkpoint.
pub fn open(store: Arc<dyn Store>, settings: &Settings, now: Stamp) -> Result<Queue, StoreError> {
    let mut firsts = store.list()?;
    let mut findings = Vec::new();
    let mut session = Session {
        number: store.begin(),
        began: 0,
    };
    let (mut state, newest) = match firsts.last() {
        Some(&first) => {
            let newest = store.open(first)?;
            // What a killed process wrote may be in the page cache alone, and whatever is read here is sent.
            newest.sync()?;
            (recover(&*newest, first, &mut session, &mut findings)?, newest)
        }
        None => create(&*store, settings, &mut session, now, &mut firsts, &mut findings)?,
    };
    let mut pending = Vec::new();
    if let Some(known) = store
        .tail()
        .map(|tail| tail.next_row)
        .filter(|known| *known > state.next_row)
    {
        let epoch = settings.fresh_epoch;
        findings.push(Finding::LostTail {
            from: state.next_row,
            known,
            epoch,
        });
        if !planted::has(Bug::EpochKept) {
            pending.push(Entry::Epoch(epoch));
        }
        state.next_row = known;
    }
    if state.boot.is_none_or(|(_, id)| id != settings.boot.0) {
        let number = state.boot.map_or(1, |(number, _)| number.wrapping_add(1));
        pending.push(Entry::Boot {
            number,
            id: settings.boot.0,
        });
    }
    let outputs = usize::from(settings.outputs).max(state.outputs.len());
    state.outputs.resize(outputs, super::fold::OutputState::default());
    let sensors = state
        .sensors
        .iter()
        .map_while(|sensor| sensor.def.clone())
        .collect();
    let nodes = state.nodes.values().cloned().collect();
    if session.began == 0 {
        session.began = state.next_row;
    }
    let newest_first = firsts.last().copied().unwrap_or(1);
    let log = Arc::new(Log::new(store, state, firsts));
    log.adopt(newest_first, &newest);
    let spools = (0..settings.outputs)
        .map(|output| Spool::new(log.clone(), OutputNo(output)))
        .collect();
    let observer = Observer::new(log.clone());
    let room = Room::new(settings.generation_bytes, settings.limits);
    let appender = Appender::new(log, (newest_first, newest), room, pending, session);
    Ok(Queue {
        appender,
        spools,
        observer,
        sensors,
        nodes,
        findings,
    })
}

fn create(
    store: &dyn Store,
    settings: &Settings,
    session: &mut Session,
    now: Stamp,
    firsts: &mut Vec<RowNo>,
    findings: &mut Vec<Finding>,
) -> Result<(State, Arc<dyn Generation>), StoreError> {
    let mut state = State::new(settings.fresh_epoch, usize::from(settings.outputs));
    state.next_row = store.tail().map_or(1, |tail| tail.next_row.max(1));
    state.complete = true;
    session.began = state.next_row;
    let rows = first_rows(&state, *session, now);
    let newest = store.create(&rows)?;
    firsts.push(state.next_row);
    state.next_row += rows.len() as u64;
    findings.push(Finding::Created {
        epoch: settings.fresh_epoch,
    });
    Ok((state, newest))
}

fn recover(
    newest: &dyn Generation,
    first: RowNo,
    session: &mut Session,
    findings: &mut Vec<Finding>,
) -> Result<State, StoreError> {
    let damaged = |what: &str| StoreError::Damaged {
        generation: first,
        what: what.into(),
    };
    let last = newest.last()?.ok_or_else(|| damaged("it holds no row"))?;
    let mut state = State {
        next_row: first,
        ..State::default()
    };
    for number in first..=last {
        let bytes = newest.read(number)?;
        match bytes.as_deref().map(|bytes| decode(bytes, number, Depth::All)) {
            Some(Ok(row)) if number == last && planted::has(Bug::SequenceReused) => {
                state.next_row = row.number + 1;
                row.entries.iter().for_each(|entry| state.entry(entry));
            }
            Some(Ok(row)) => {
                state.apply(&row);
                session.number = session.number.max(row.session.number + 1);
            }
            Some(Err(error @ RowError::Newer(_))) => {
                let hint = "run the version that wrote it, or a newer one; nothing was changed".into();
                return Err(StoreError::Refused {
                    what: error.to_string(),
                    hint,
                });
            }
            Some(Err(error)) => findings.push(Finding::DamagedRow {
                row: number,
                why: error.to_string(),
            }),
            None => findings.push(Finding::DamagedRow {
                row: number,
                why: "the row is missing".into(),
            }),
        }
        if !state.complete
            && findings
                .iter()
                .any(|finding| matches!(finding, Finding::DamagedRow { .. }))
        {
            return Err(damaged("its checkpoint cannot be read"));
        }
    }
    if !state.complete {
        return Err(damaged("its checkpoint ends too early"));
    }
    state.next_row = last + 1;
    findings.push(Finding::Opened {
        rows: last + 1 - first,
    });
    Ok(state)
}

/// Draws an epoch: 53 random bits, so that JSON readers keep the number exact; never 0.
///
/// # Errors
/// When the system has no random numbers.
pub fn draw_epoch() -> Result<Epoch, getrandom::Error> {
    Ok(Epoch((getrandom::u64()? >> 11).max(1)))
}

#[cfg(test)]
#[path = "open/tests.rs"]
pub(crate) mod tests;
