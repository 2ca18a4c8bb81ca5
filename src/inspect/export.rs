//! All readings as JSON lines or CSV: `queue export`.
//!
//! Owns the choice of readings and the two forms. A JSON line is the record of `format = "json"` with `device`, `epoch` and
//! `seq` behind it; a line of CSV is one value. Promises that memory does not grow with the queue. Must not know where the
//! text goes.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::sensors::is_settled;
use super::{Directory, Seen, Sensors, peek, when};
use crate::event;
use crate::format::events::WithEvents;
use crate::format::json::Json;
use crate::format::{Format, Routing};
use crate::queue::fold::State;
use crate::queue::store::StoreError;
use crate::queue::types::{RowNo, Run};
use crate::reading::{Epoch, SensorDef};
use crate::template::{Template, TemplateError};
use crate::ticket::{Piece, Span, Ticket, TicketId};

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A JSON object a reading.
    JsonLines,
    /// A line a value.
    Csv,
}

/// Which readings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Choice {
    /// Of these sensors; of all when it is empty. Events only if they are named.
    pub sensors: BTreeSet<String>,
    /// Recorded at or after this.
    pub from: Option<i64>,
    /// Recorded before this.
    pub until: Option<i64>,
    /// Only those that Kafka does not have.
    pub queued: bool,
    /// The gateway, to be written with each reading.
    pub device: Option<String>,
}

/// Why not everything was written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The queue cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The text cannot be written.
    #[error("failed to write")]
    Write(#[from] io::Error),
    /// Never: the templates are our own.
    #[error("failed to make a record")]
    Template(#[from] TemplateError),
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Done {
    /// Readings.
    pub readings: u64,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Writes the readings that are chosen; `progress` is told the row and how many readings are written.
///
/// # Errors
/// When the queue cannot be read or the text not be written. Damaged rows are passed over and counted.
pub fn export(
    directory: &Directory,
    choice: &Choice,
    form: Form,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(RowNo, u64),
) -> Result<Done, ExportError> {
    let state = if choice.queued { directory.state()? } else { None };
    let mut writer = Writer::new(choice, form, out)?;
    let (mut names, mut done) = (Sensors::default(), Done::default());
    let mut failed = None;
    directory.walk(&mut |seen| {
        let row = match seen {
            Seen::Row(row) => row,
            Seen::Damaged { from, through, .. } => {
                done.damaged_rows += through - from + 1;
                return ControlFlow::Continue(());
            }
            _ => return ControlFlow::Continue(()),
        };
        names.learn(&row);
        for run in row.runs {
            let Some(def) = names.get(run.sensor).filter(|def| choice.wants(def)) else {
                continue;
            };
            match writer.run(row.number, row.epoch, run, def, state.as_ref()) {
                Ok(readings) => done.readings += readings,
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
        }
        progress(row.number, done.readings);
        ControlFlow::Continue(())
    })?;
    match failed {
        Some(error) => Err(error.into()),
        None => {
            writer.finish()?;
            Ok(done)
        }
    }
}

impl Choice {
    fn wants(&self, def: &SensorDef) -> bool {
        if self.sensors.is_empty() {
            !event::is_events(def)
        } else {
            self.sensors.contains(def.id.as_str())
        }
    }

    fn includes(&self, run: &Run, index: usize, epoch: Epoch, state: Option<&State>) -> bool {
        let wall = run.wall.get(index).copied().unwrap_or_default();
        self.from.is_none_or(|from| wall >= from)
            && self.until.is_none_or(|until| wall < until)
            && state.is_none_or(|state| !is_settled(state, run.sensor, epoch, run.first + index as u64))
    }
}

enum To<'o> {
    Json {
        format: WithEvents,
        out: &'o mut dyn Write,
    },
    Csv(Box<csv::Writer<&'o mut dyn Write>>),
}

struct Writer<'o> {
    choice: &'o Choice,
    to: To<'o>,
    line: Vec<u8>,
}

const HEAD: [&str; 10] = [
    "device",
    "epoch",
    "seq",
    "sensorId",
    "recordedAt",
    "measurement",
    "value",
    "unit",
    "quality",
    "timeQuality",
];

impl<'o> Writer<'o> {
    fn new(choice: &'o Choice, form: Form, out: &'o mut dyn Write) -> Result<Self, ExportError> {
        let to = match form {
            Form::JsonLines => {
                let routing = Routing {
                    device: String::new(),
                    topic: Template::new("export")?,
                    key: Template::new("{sensor}")?,
                };
                let readings = Box::new(Json::new(routing));
                let format = WithEvents::new(readings, String::new(), Some("export".into()));
                To::Json { format, out }
            }
            Form::Csv => {
                let mut writer = csv::Writer::from_writer(out);
                writer.write_record(HEAD).map_err(io_error)?;
                To::Csv(Box::new(writer))
            }
        };
        Ok(Self {
            choice,
            to,
            line: Vec::new(),
        })
    }

    /// How many of the run were written.
    fn run(
        &mut self,
        row: RowNo,
        epoch: Epoch,
        run: Run,
        def: &Arc<SensorDef>,
        state: Option<&State>,
    ) -> io::Result<u64> {
        let run = Arc::new(run);
        let mut written = 0;
        for index in 0..run.len() {
            if !self.choice.includes(&run, index, epoch, state) {
                continue;
            }
            written += 1;
            match &mut self.to {
                To::Json { format, out } => {
                    let ticket = ticket(row, epoch, &run, index, def);
                    let line = &mut self.line;
                    format.write(&ticket, 0, &mut |record| {
                        line.clear();
                        line.extend_from_slice(record.value);
                        ControlFlow::Continue(())
                    });
                    line.pop();
                    let device = self.choice.device.as_ref().map_or(Ok(String::new()), |device| {
                        serde_json::to_string(device).map(|text| format!(",\"device\":{text}"))
                    })?;
                    let sequence = run.first + index as u64;
                    writeln!(line, "{device},\"epoch\":{epoch},\"seq\":{sequence}}}")?;
                    out.write_all(line)?;
                }
                To::Csv(out) => values(out, self.choice, epoch, &run, index, def).map_err(io_error)?,
            }
        }
        Ok(written)
    }

    fn finish(self) -> io::Result<()> {
        match self.to {
            To::Json { out, .. } => out.flush(),
            To::Csv(mut out) => out.flush(),
        }
    }
}

fn ticket(row: RowNo, epoch: Epoch, run: &Arc<Run>, index: usize, def: &Arc<SensorDef>) -> Ticket {
    let piece = Piece {
        row,
        run: run.clone(),
        from: index,
        to: index + 1,
    };
    Ticket {
        id: TicketId(0),
        output: super::sensors::OUTPUT,
        sensor: run.sensor,
        def: def.clone(),
        epoch,
        spans: vec![Span { pieces: vec![piece] }],
    }
}

fn values(
    out: &mut csv::Writer<&mut dyn Write>,
    choice: &Choice,
    epoch: Epoch,
    run: &Run,
    index: usize,
    def: &SensorDef,
) -> csv::Result<()> {
    let (quality, time) = run.marks.at(index);
    let (epoch, sequence) = (epoch.to_string(), (run.first + index as u64).to_string());
    let recorded = when::text(run.wall.get(index).copied().unwrap_or_default());
    for (measurement, column) in def.measurements.iter().zip(&run.columns) {
        let Some(value) = peek::shown(&column.at(index)) else {
            continue;
        };
        out.write_record([
            choice.device.as_deref().unwrap_or_default(),
            &epoch,
            &sequence,
            def.id.as_str(),
            &recorded,
            &measurement.name,
            &value,
            measurement.unit.as_deref().unwrap_or_default(),
            quality.name(),
            time.name(),
        ])?;
    }
    Ok(())
}

fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}
