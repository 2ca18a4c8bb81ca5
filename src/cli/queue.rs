//! `edgespool queue`: what is in a queue directory.
//!
//! Owns the flags, the choice of the directory, the progress line and where the text goes. Must not read rows itself.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::{ConfigArgs, load, print};
use crate::clock::{self, Mono};
use crate::exit::{Code, Failure, code_of};
use crate::inspect::export::{Choice, ExportError, Form, export};
use crate::inspect::peek::{End, peek, table};
use crate::inspect::survey::survey;
use crate::inspect::{Directory, when};
use crate::queue::store::StoreError;
use crate::queue::types::RowNo;

/// The most bytes of text that wait to be written.
const BUFFER: usize = 64 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum QueueCommand {
    /// What is inside: generations, epochs, the ledger, and of each sensor which readings
    #[command(after_help = "Example:\n  edgespool queue stat --queue /var/lib/edgespool/queue")]
    Stat {
        #[command(flatten)]
        place: Place,
        /// End with one JSON object on the last line of stdout
        #[arg(long)]
        json: bool,
    },
    /// The first or last readings of a sensor
    #[command(
        after_help = "Examples:\n  edgespool queue peek shed-air --last 5\n  edgespool queue peek '$events'"
    )]
    Peek(PeekArgs),
    /// All readings, or some, as JSON lines or CSV
    #[command(
        after_help = "Examples:\n  edgespool queue export --output readings.jsonl\n  \
        edgespool queue export --format csv --sensor shed-air --from 2026-06-26T00:00:00Z"
    )]
    Export(ExportArgs),
    /// Read every row and say what is damaged and what can be salvaged; exits with 0 only if nothing is
    #[command(after_help = "Example:\n  edgespool queue verify --queue ./copy-of-queue --json")]
    Verify {
        #[command(flatten)]
        place: Place,
        /// End with one JSON object on the last line of stdout
        #[arg(long)]
        json: bool,
    },
}

/// Where the queue is.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The queue's directory, or a copy of it; without it, the one that the device file names
    #[arg(long, value_name = "DIRECTORY")]
    queue: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(super) struct PeekArgs {
    /// The sensor's ID
    sensor: String,
    /// So many of the oldest readings
    #[arg(long, value_name = "N", conflicts_with = "last")]
    first: Option<usize>,
    /// So many of the newest readings (10 without any)
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    #[command(flatten)]
    place: Place,
    /// End with one JSON object on the last line of stdout
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormArg {
    /// A JSON object a reading
    Jsonl,
    /// A line a value
    Csv,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// In which form
    #[arg(long, value_enum, default_value_t = FormArg::Jsonl)]
    format: FormArg,
    /// Only of this sensor (may be repeated)
    #[arg(long = "sensor", value_name = "ID")]
    sensors: Vec<String>,
    /// Only what was recorded at or after this time
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    from: Option<i64>,
    /// Only what was recorded before this time
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    until: Option<i64>,
    /// Only what is not delivered yet
    #[arg(long)]
    queued: bool,
    /// The gateway's name, to be written with each reading; without it, that of the device file, if that is read
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// A new file for it, instead of stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// End with one JSON object on the last line of stdout
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: QueueCommand) -> Result<Code, Failure> {
    match command {
        QueueCommand::Stat { place, json } => {
            let directory = place.open()?.0;
            let report = with_progress(&directory, |progress| {
                survey(&directory, &mut |row| progress(row, 0))
            })
            .map_err(|error| failure(directory.path(), error))?;
            print(&report.stat());
            print_json(json, &report)?;
            Ok(Code::Ok)
        }
        QueueCommand::Verify { place, json } => {
            let directory = place.open()?.0;
            let report = with_progress(&directory, |progress| {
                survey(&directory, &mut |row| progress(row, 0))
            })
            .map_err(|error| failure(directory.path(), error))?;
            print(&report.verdict());
            print_json(json, &report)?;
            Ok(if report.whole { Code::Ok } else { Code::Data })
        }
        QueueCommand::Peek(args) => run_peek(&args),
        QueueCommand::Export(args) => run_export(args),
    }
}

impl Place {
    /// The directory, and the device's name where the device file was read.
    fn open(&self) -> Result<(Directory, Option<String>), Failure> {
        let (path, device) = match &self.queue {
            Some(path) => (path.clone(), None),
            None => {
                let config = load(&self.config.config)?;
                (config.queue.directory, Some(config.device.id))
            }
        };
        let directory = Directory::open(&path).map_err(|error| failure(&path, error))?;
        Ok((directory, device))
    }
}

fn failure(path: &Path, error: StoreError) -> Failure {
    let (code, hint) = match &error {
        StoreError::InUse { .. } => {
            let hint = "stop the agent, or look at a copy: cp -r the directory elsewhere; edgespool status tells of a running one";
            (Code::Unavailable, Some(hint.to_owned()))
        }
        StoreError::Refused { hint, .. } => (Code::Config, Some(hint.clone())),
        StoreError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            let hint = "name the directory that queue.directory names, or a copy: --queue DIRECTORY";
            (Code::Unavailable, Some(hint.to_owned()))
        }
        StoreError::Io { source, .. } => (code_of(source), None),
        _ => (Code::Io, None),
    };
    Failure {
        hint,
        ..Failure::new(format!("look into {}", path.display()), error, code)
    }
}

fn print_json(wanted: bool, answer: &impl serde::Serialize) -> Result<(), Failure> {
    if wanted {
        let text = serde_json::to_string(answer)
            .map_err(|error| Failure::new("write the answer as JSON", error, Code::Bug))?;
        print(&text);
    }
    Ok(())
}

fn run_peek(args: &PeekArgs) -> Result<Code, Failure> {
    let directory = args.place.open()?.0;
    let end = match (args.first, args.last) {
        (Some(most), _) => End::First(most),
        (None, most) => End::Last(most.unwrap_or(10)),
    };
    let found = peek(&directory, &args.sensor, end).map_err(|error| failure(directory.path(), error))?;
    let Some(lines) = found else {
        let hint = "edgespool queue stat names all sensors that have readings there";
        let cause = format!("no row has a reading of a sensor called {}", args.sensor);
        return Err(Failure::new("show readings", cause, Code::Unavailable).hint(hint));
    };
    print(&table(&lines));
    print_json(
        args.json,
        &serde_json::json!({"sensorId": args.sensor, "readings": lines}),
    )?;
    Ok(Code::Ok)
}

fn run_export(args: ExportArgs) -> Result<Code, Failure> {
    let (directory, device) = args.place.open()?;
    let choice = Choice {
        sensors: args.sensors.into_iter().collect(),
        from: args.from,
        until: args.until,
        queued: args.queued,
        device: args.device.or(device),
    };
    let form = match args.format {
        FormArg::Jsonl => Form::JsonLines,
        FormArg::Csv => Form::Csv,
    };
    let mut out = open_output(args.output.as_deref(), directory.path())?;
    let done = with_progress(&directory, |progress| {
        let done = export(&directory, &choice, form, &mut out, progress)?;
        out.flush()?;
        Ok(done)
    });
    let done = match done {
        Ok(done) => done,
        // Whoever read it has seen enough.
        Err(ExportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Code::Ok),
        Err(ExportError::Store(error)) => return Err(failure(directory.path(), error)),
        Err(error) => return Err(Failure::new("export the readings", error, Code::Io)),
    };
    drop(out);
    if done.damaged_rows > 0 {
        super::say(&format!(
            "warning: {} rows could not be read and are left out; edgespool queue verify tells more\n",
            done.damaged_rows
        ));
    }
    print_json(args.json, &done)?;
    Ok(Code::Ok)
}

/// stdout, or a file that was not there before and is not in the queue.
fn open_output(output: Option<&Path>, queue: &Path) -> Result<Box<dyn Write>, Failure> {
    let Some(path) = output else {
        return Ok(Box::new(BufWriter::with_capacity(BUFFER, io::stdout().lock())));
    };
    let failed = |error: io::Error| {
        let code = code_of(&error);
        Failure::new(format!("make {}", path.display()), error, code)
    };
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let inside =
        |parent: &Path| Ok::<_, io::Error>(fs::canonicalize(parent)?.starts_with(fs::canonicalize(queue)?));
    if inside(parent).map_err(failed)? {
        let cause = "it would be in the queue's own directory, where nothing is written";
        return Err(Failure::new(
            format!("make {}", path.display()),
            cause,
            Code::Usage,
        ));
    }
    let file = File::options()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(failed)?;
    Ok(Box::new(BufWriter::with_capacity(BUFFER, file)))
}

/// Shows how far it is, on a terminal, where stdout is not the same one.
fn with_progress<T, E>(
    directory: &Directory,
    work: impl FnOnce(&mut dyn FnMut(RowNo, u64)) -> Result<T, E>,
) -> Result<T, E> {
    let wanted = io::stderr().is_terminal();
    let (first, end) = directory.extent();
    let mut bar = Bar {
        first,
        end,
        shown: None,
        began: clock::mono(),
    };
    let result = work(&mut |row, readings| {
        if wanted {
            bar.show(row, readings);
        }
    });
    bar.clear();
    result
}

/// A line that is written over and over.
struct Bar {
    first: RowNo,
    end: RowNo,
    shown: Option<Mono>,
    began: Mono,
}

/// How long a bar waits before it appears, and between two looks.
const PACE: std::time::Duration = std::time::Duration::from_millis(200);
/// Characters of the bar.
const WIDTH: u64 = 30;

impl Bar {
    fn show(&mut self, row: RowNo, readings: u64) {
        if !row.is_multiple_of(64) {
            return;
        }
        let now = clock::mono();
        if now.since(self.shown.unwrap_or(self.began)) < PACE {
            return;
        }
        self.shown = Some(now);
        super::say_part(&format!("\r{}\x1b[K", line(self.first, self.end, row, readings)));
    }

    fn clear(&self) {
        if self.shown.is_some() {
            super::say_part("\r\x1b[K");
        }
    }
}

fn line(first: RowNo, end: RowNo, row: RowNo, readings: u64) -> String {
    let all = end.saturating_sub(first).max(1);
    let done = row.saturating_sub(first).min(all);
    let filled = usize::try_from(done * WIDTH / all).unwrap_or(0);
    let bar: String = (0..usize::try_from(WIDTH).unwrap_or(0))
        .map(|at| if at < filled { '#' } else { '.' })
        .collect();
    let readings = match readings {
        0 => String::new(),
        readings => format!("  {readings} readings"),
    };
    format!("[{bar}] {:>3} %  row {row}{readings}", done * 100 / all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_goes_from_nothing_to_all() {
        assert_eq!(line(1, 101, 1, 0), format!("[{}]   0 %  row 1", ".".repeat(30)));
        assert_eq!(
            line(1, 101, 51, 7),
            format!("[{}{}]  50 %  row 51  7 readings", "#".repeat(15), ".".repeat(15))
        );
        assert_eq!(line(1, 1, 9, 0), format!("[{}] 100 %  row 9", "#".repeat(30)));
    }
}
