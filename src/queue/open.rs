//! Opening a queue: the newest generation's checkpoint and its rows, nothing else.
//!
//! Owns what an opening adds to the log. Promises that no sequence number is used twice: where rows may be missing that
//! were durable, and where the queue is a copy or was restored, a new epoch begins, in a generation of its own whose
//! checkpoint says how far the old one went. Must not know what the store is made of.

use std::sync::Arc;

use super::appender::{Appender, Room, first_rows, renewed_rows};
use super::fold::{OutputState, State};
use super::log::Log;
use super::recover::{self, Deed, Recovered};
use super::retention::Limits;
use super::spool::{Observer, Spool};
use super::store::{Generation, Store, StoreError, Tail};
use super::types::{Entry, OutputNo, RowNo, Session};
use crate::clock::BootId;
use crate::intake::inbox::NodePosition;
use crate::planted::{self, Bug};
use crate::reading::{Epoch, SensorDef, Stamp};

/// A generation of this size is followed by the next one (measured: opens in 20 ms, a card reads it in 0.8 s).
pub const GENERATION_BYTES: u64 = 16 * 1024 * 1024;

/// The newest generation is written on after a restart when its rows take no more bytes than this; else the next one
/// begins. To write on, its rows are written anew: nothing goes on in files that a power cut may have left half written.
const RESUMED: u64 = 1024 * 1024;

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

/// What recovery found. Everything but `Created` and `Opened` is worth a warning.
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
    /// A generation cannot be trusted; what was found of it stands in its place.
    SetAside {
        /// The row that it is named by.
        generation: RowNo,
        /// Why.
        why: String,
        /// Where it is now.
        directory: String,
        /// Rows that were found.
        rows: u64,
    },
    /// The newest generation's checkpoint is lost, with its second copy; the rows before it were folded instead.
    LostCheckpoint {
        /// The row that the generation is named by.
        generation: RowNo,
    },
    /// Rows of the newest generation cannot be read.
    DamagedRows {
        /// The first.
        from: RowNo,
        /// The last.
        through: RowNo,
        /// Why.
        why: String,
    },
    /// The newest rows are gone though they were durable.
    LostTail {
        /// The first row that is gone.
        from: RowNo,
        /// The number that was to come next.
        known: RowNo,
    },
    /// The queue is on another machine or in another place than it was: a copy, a restored backup, or moved.
    Moved,
    /// A new epoch begins, for the reason that was found before.
    Renewed {
        /// The new epoch.
        epoch: Epoch,
    },
}

impl Finding {
    /// Logs it: what is as it should be as information, all else as an error.
    pub fn log(&self) {
        match self {
            Self::Created { epoch } => tracing::info!(%epoch, "made a new queue"),
            Self::Opened { rows } => tracing::info!(rows, "opened the queue"),
            Self::SetAside {
                generation,
                why,
                directory,
                rows,
            } => tracing::error!(
                generation,
                why,
                directory,
                rows,
                "a part of the queue is damaged and was set aside; the rows that were found in it stand in its place"
            ),
            Self::LostCheckpoint { generation } => tracing::error!(
                generation,
                "the checkpoint of the newest part of the queue is lost; what is known comes from the parts before it"
            ),
            Self::DamagedRows { from, through, why } => {
                tracing::error!(from, through, why, "rows of the queue cannot be read");
            }
            Self::LostTail { from, known } => tracing::error!(from, known, "the queue lost its newest rows"),
            Self::Moved => {
                tracing::warn!("the queue was copied, restored or moved: it is not where it was last")
            }
            Self::Renewed { epoch } => tracing::warn!(%epoch, "a new epoch begins"),
        }
    }
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
    /// The sensors it knows, by their number; `None` for a number whose definition is lost.
    pub sensors: Vec<Option<Arc<SensorDef>>>,
    /// How far nodes' readings are stored.
    pub nodes: Vec<NodePosition>,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// A queue that is only looked at.
#[derive(Debug)]
pub struct Look {
    /// The reading handles, by output.
    pub spools: Vec<Spool>,
    /// The figures.
    pub observer: Observer,
    /// Everything the rows add up to.
    pub state: State,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// Opens a queue, or makes one where there is none.
///
/// # Errors
/// When the medium refuses, or what is there is of a newer format: never for damage.
pub fn open(store: Arc<dyn Store>, settings: &Settings, now: Stamp) -> Result<Queue, StoreError> {
    let mut firsts = store.list()?;
    let mut findings = Vec::new();
    let visit = store.begin();
    let session = Session {
        number: visit.session,
        began: 0,
    };
    let mut opening = Opening {
        store: &*store,
        settings,
        now,
        session,
        firsts: &mut firsts,
        findings: &mut findings,
    };
    let (state, newest, pending) = opening.run(visit.moved)?;
    let session = opening.session;
    let sensors = state.sensors.iter().map(|sensor| sensor.def.clone()).collect();
    let nodes = state.nodes.values().cloned().collect();
    let newest_first = firsts.last().copied().unwrap_or(1);
    let log = Arc::new(Log::new(store, state, firsts));
    log.adopt(newest_first, &newest);
    let (spools, observer) = handles(&log, settings.outputs);
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

/// Looks at a queue without changing anything: the store must be one that does not either.
///
/// # Errors
/// When the medium refuses, when what is there is of a newer format, or when there is nothing.
pub fn look(store: Arc<dyn Store>, outputs: u16) -> Result<Look, StoreError> {
    let (firsts, mut findings) = (store.list()?, Vec::new());
    let recovered = recover::recover(&*store, &firsts, Deed::Look, &mut findings)?;
    let (mut state, known) = (recovered.state, recover::known(&*store));
    if state.next_row < known {
        findings.push(Finding::LostTail {
            from: state.next_row,
            known,
        });
    }
    widen(&mut state, outputs);
    let log = Arc::new(Log::to_look(store, state.clone(), firsts, recovered.newest));
    let (spools, observer) = handles(&log, outputs);
    Ok(Look {
        spools,
        observer,
        state,
        findings,
    })
}

fn handles(log: &Arc<Log>, outputs: u16) -> (Vec<Spool>, Observer) {
    let spool = |output| Spool::new(log.clone(), OutputNo(output));
    ((0..outputs).map(spool).collect(), Observer::new(log.clone()))
}

fn widen(state: &mut State, outputs: u16) {
    let outputs = usize::from(outputs).max(state.outputs.len());
    state.outputs.resize(outputs, OutputState::default());
}

/// One opening of a queue.
struct Opening<'a> {
    store: &'a dyn Store,
    settings: &'a Settings,
    now: Stamp,
    session: Session,
    firsts: &'a mut Vec<RowNo>,
    findings: &'a mut Vec<Finding>,
}

type Opened = (State, Arc<dyn Generation>, Vec<Entry>);

impl Opening<'_> {
    /// The state, the generation that is written, and entries that the next row has to hold.
    fn run(&mut self, moved: bool) -> Result<Opened, StoreError> {
        let is_new = self.firsts.is_empty();
        let recovered = if is_new {
            self.create()?
        } else {
            recover::recover(self.store, self.firsts, Deed::Mend, self.findings)?
        };
        let Recovered {
            mut state,
            newest,
            bytes,
            session,
            boot,
            lossy,
        } = recovered;
        self.session.number = self.session.number.max(session + 1);
        widen(&mut state, self.settings.outputs);
        let known = recover::known(self.store);
        if state.next_row < known {
            self.findings.push(Finding::LostTail {
                from: state.next_row,
                known,
            });
            state.next_row = known;
        }
        if self.session.began == 0 {
            self.session.began = state.next_row;
        }
        let mut pending = Vec::new();
        if state.boot.is_none_or(|(_, id)| id != self.settings.boot.0) {
            let known = state.boot.map_or(0, |(number, _)| number).max(boot);
            pending.push(Entry::Boot {
                number: known.wrapping_add(1),
                id: self.settings.boot.0,
            });
        }
        if moved {
            self.findings.push(Finding::Moved);
        }
        if is_new {
            return Ok((state, newest, pending));
        }
        drop(newest);
        if (lossy || moved) && !planted::has(Bug::EpochKept) {
            let epoch = self.settings.fresh_epoch;
            self.findings.push(Finding::Renewed { epoch });
            pending.insert(0, Entry::Epoch(epoch));
        } else if bytes <= RESUMED && !lossy {
            let first = self.firsts.last().copied().unwrap_or(1);
            let newest = self.store.resume(first, state.next_row)?;
            return Ok((state, newest, pending));
        }
        let newest = self.begin(&mut state, &pending)?;
        Ok((state, newest, Vec::new()))
    }

    fn create(&mut self) -> Result<Recovered, StoreError> {
        let mut state = State::new(self.settings.fresh_epoch, usize::from(self.settings.outputs));
        let known = recover::known(self.store);
        if known > 1 {
            // The newest generation always stays: somebody has removed them all.
            self.findings.push(Finding::LostTail { from: 1, known });
        }
        state.next_row = known.max(1);
        state.complete = true;
        self.session.began = state.next_row;
        let rows = first_rows(&state, self.session, self.now);
        let newest = self.store.create(&rows)?;
        self.firsts.push(state.next_row);
        state.next_row += rows.len() as u64;
        self.findings.push(Finding::Created {
            epoch: self.settings.fresh_epoch,
        });
        Ok(Recovered {
            state,
            newest,
            bytes: 0,
            session: 0,
            boot: 0,
            lossy: false,
        })
    }

    /// Begins a generation with the checkpoint of what is known; the entries come after it.
    fn begin(&mut self, state: &mut State, entries: &[Entry]) -> Result<Arc<dyn Generation>, StoreError> {
        let rows = renewed_rows(state, entries, self.session, self.now);
        let newest = self.store.create(&rows)?;
        self.firsts.push(state.next_row);
        state.next_row += rows.len() as u64;
        self.store.note_tail(Tail {
            generation: self.firsts.last().copied().unwrap_or(1),
            next_row: state.next_row,
        });
        Ok(newest)
    }
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
