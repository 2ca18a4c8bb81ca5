//! Dead letters: records that the broker will never take, kept in the queue's directory.
//!
//! Owns `dead/` there: one letter a line, `<CRC-32 in hex> <JSON object>`, so that a person can read them with any tool and
//! damage stays in its line. Promises that a letter is on the medium when [`DeadLetters::keep`] returns, and that there
//! are never more bytes of them than the bound: when that is reached, nothing more is kept and nothing is thrown away, so
//! whoever has more waits. Other processes may read, and take letters out to send them again ([`Redrive`]), while an agent
//! runs. Must not know why a record is dead, or what is in it.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The folder in the queue's directory.
const FOLDER: &str = "dead";
/// New letters.
const LETTERS: &str = "letters.jsonl";
/// Letters that are being sent again, and a number.
const REDRIVE: &str = "redrive-";
/// How many bytes of the new letters were sent to a topic of their own.
const SENT: &str = "sent";
/// Whoever adds or moves letters holds it.
const LOCK: &str = "lock";
/// All letters together have so many bytes at most.
pub const BOUND: u64 = 8 * 1024 * 1024;
/// A line that is longer is damage.
const LONGEST: u64 = 4 * 1024 * 1024;

/// One record that was refused, with what is needed to send it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Letter {
    /// The gateway.
    pub device: String,
    /// Whose reading.
    pub sensor_id: String,
    /// Its epoch.
    pub epoch: u64,
    /// Its sequence number, or that of the first of several.
    pub from: u64,
    /// The same, or that of the last of several.
    pub through: u64,
    /// What is wrong with the record, in one word.
    pub reason: String,
    /// The broker's words.
    pub why: String,
    /// Where it was sent.
    pub topic: String,
    /// The record's key.
    pub key: String,
    /// The record's time, milliseconds since 1970.
    pub timestamp: i64,
    /// When it was given up, in UTC.
    pub kept_at: String,
    /// The record's value, byte for byte.
    #[serde(flatten)]
    pub record: Content,
}

/// The value of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// As it is.
    #[serde(rename = "record")]
    Text(String),
    /// In base64, where it is no text.
    #[serde(rename = "recordBase64")]
    Base64(String),
}

impl Content {
    /// From the record's value.
    #[must_use]
    pub fn new(value: &[u8]) -> Self {
        match std::str::from_utf8(value) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(value)),
        }
    }

    /// The record's value; `None` when it is not base64.
    #[must_use]
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.clone().into_bytes()),
            Self::Base64(text) => STANDARD.decode(text).ok(),
        }
    }
}

/// Letters that could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum DeadError {
    /// The bound is reached.
    #[error("the dead letters have reached their bound of {} MiB", BOUND / (1024 * 1024))]
    Full,
    /// The operating system refused.
    #[error("failed to {doing} {path}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: String,
        /// What it said.
        source: io::Error,
    },
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DeadError {
    let path = path.display().to_string();
    move |source| DeadError::Io { doing, path, source }
}

/// How many letters there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Letters that can be read.
    pub letters: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

/// The letters of one queue.
#[derive(Debug)]
pub struct DeadLetters {
    folder: PathBuf,
    bound: u64,
    /// The figures, and the files that they are of.
    known: Mutex<(Vec<(PathBuf, u64)>, Figures)>,
    /// How often letters were kept, and who waits for the next time.
    kept: Mutex<u64>,
    more: Condvar,
    closed: AtomicBool,
}

/// Letters that were not sent to a topic of their own yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsent {
    /// The letters, oldest first.
    pub letters: Vec<Letter>,
    /// How far they go in the file of new letters.
    through: u64,
}

impl DeadLetters {
    /// Those of the queue in that directory. Nothing is made before there is something to keep.
    #[must_use]
    pub fn of(queue: &Path) -> Self {
        Self::with_bound(queue, BOUND)
    }

    fn with_bound(queue: &Path, bound: u64) -> Self {
        Self {
            folder: queue.join(FOLDER),
            bound,
            known: Mutex::default(),
            kept: Mutex::new(1),
            more: Condvar::new(),
            closed: AtomicBool::new(false),
        }
    }

    /// Where they are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps letters: all of them are on the medium when this returns, or none is counted on.
    ///
    /// # Errors
    /// When the bound is reached or the medium refuses.
    pub fn keep(&self, letters: &[Letter]) -> Result<(), DeadError> {
        let mut lines = Vec::new();
        letters.iter().for_each(|letter| put_line(&mut lines, letter));
        fs::create_dir_all(&self.folder).map_err(failed("make", &self.folder))?;
        let _lock = lock(&self.folder)?;
        let taken: u64 = files(&self.folder)?.iter().map(|(_, bytes)| bytes).sum();
        if taken + lines.len() as u64 > self.bound {
            return Err(DeadError::Full);
        }
        let path = self.folder.join(LETTERS);
        let is_new = !path.try_exists().map_err(failed("look for", &path))?;
        append(&path, &lines).map_err(failed("write", &path))?;
        if is_new {
            let synced = sync(&self.folder).and_then(|()| self.folder.parent().map_or(Ok(()), sync));
            synced.map_err(failed("sync", &self.folder))?;
        }
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.more.notify_all();
        Ok(())
    }

    /// Nobody waits for more any longer.
    pub fn close(&self) {
        let _kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.closed.store(true, Ordering::Release);
        self.more.notify_all();
    }

    /// Whether nobody waits any longer, after a wait of that length at most.
    pub fn is_closed_within(&self, patience: Duration) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_open = |_: &mut u64| !self.closed.load(Ordering::Acquire);
        drop(self.more.wait_timeout_while(kept, patience, is_open));
        self.closed.load(Ordering::Acquire)
    }

    /// Waits until letters were kept after `seen`; the first time, with 0, it returns at once. What to hand in next;
    /// `None` after [`DeadLetters::close`].
    pub fn wait_for_more(&self, seen: u64) -> Option<u64> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_open = || !self.closed.load(Ordering::Acquire);
        let waited = (self.more).wait_while(kept, |kept| *kept <= seen && is_open());
        let kept = *waited.unwrap_or_else(PoisonError::into_inner);
        is_open().then_some(kept)
    }

    /// The oldest new letters that were not sent to a topic of their own.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn unsent(&self, most: usize) -> Result<Unsent, DeadError> {
        let path = self.folder.join(LETTERS);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other.map_err(failed("read", &path))?,
        };
        let noted = fs::read_to_string(self.folder.join(SENT)).ok();
        let mut through: usize = noted.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let mut letters = Vec::new();
        let rest = bytes.get(through..).unwrap_or_default();
        for line in rest.split_inclusive(|byte| *byte == b'\n').take(most) {
            if line.last() != Some(&b'\n') {
                break;
            }
            through += line.len();
            letters.extend(get_line(line.trim_ascii_end()));
        }
        let through = through as u64;
        Ok(Unsent { letters, through })
    }

    /// They are sent now. Not synced: a power cut costs that some are sent twice.
    ///
    /// # Errors
    /// When it cannot be noted.
    pub fn sent(&self, batch: &Unsent) -> Result<(), DeadError> {
        let path = self.folder.join(SENT);
        fs::write(&path, batch.through.to_string()).map_err(failed("write", &path))
    }

    /// How many there are. Counts them only when their files have changed.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let now = files(&self.folder).unwrap_or_default();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != now {
            let letters =
                |(path, _): &(PathBuf, u64)| read(path).map_or(0, |letters| letters.flatten().count());
            let figures = Figures {
                letters: now.iter().map(letters).sum::<usize>() as u64,
                bytes: now.iter().map(|(_, bytes)| bytes).sum(),
            };
            *known = (now, figures);
        }
        known.1
    }

    /// All letters, oldest first. Changes nothing.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read.
    pub fn letters(&self) -> Result<impl Iterator<Item = Result<Letter, Damaged>>, DeadError> {
        let files = files(&self.folder)?;
        let open = |(path, _): &(PathBuf, u64)| read(path).map_err(failed("read", path));
        let all = files.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        Ok(all.into_iter().flatten())
    }
}

/// A line that is no letter any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {0} of the dead letters is damaged")]
pub struct Damaged(pub u64);

fn put_line(out: &mut Vec<u8>, letter: &Letter) {
    let Ok(json) = serde_json::to_vec(letter) else {
        unreachable!("invariant: texts and numbers are JSON");
    };
    out.extend_from_slice(format!("{:08x} ", crc32fast::hash(&json)).as_bytes());
    out.extend_from_slice(&json);
    out.push(b'\n');
}

fn get_line(line: &[u8]) -> Option<Letter> {
    let (crc, json) = (line.get(..8)?, line.get(9..)?);
    let crc = u32::from_str_radix(std::str::from_utf8(crc).ok()?, 16).ok()?;
    (crc32fast::hash(json) == crc).then(|| serde_json::from_slice(json).ok())?
}

/// The letters of one file.
fn read(path: &Path) -> io::Result<impl Iterator<Item = Result<Letter, Damaged>> + use<>> {
    let mut file = BufReader::new(File::open(path)?);
    let mut number = 0;
    Ok(std::iter::from_fn(move || {
        let mut line = Vec::new();
        let read = file.by_ref().take(LONGEST).read_until(b'\n', &mut line).ok()?;
        number += 1;
        (read > 0).then(|| get_line(line.trim_ascii_end()).ok_or(Damaged(number)))
    }))
}

/// The files with letters, oldest first, and their sizes.
fn files(folder: &Path) -> Result<Vec<(PathBuf, u64)>, DeadError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed("read", folder))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("read", folder))?;
        let is_new = entry.file_name() == LETTERS;
        let Some(order) = number(&entry.path()).or(is_new.then_some(u64::MAX)) else {
            continue;
        };
        let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
        found.push((order, (entry.path(), bytes)));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, file)| file).collect())
}

/// The number of a file that is being sent again.
fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix(REDRIVE)?.strip_suffix(".jsonl")?.parse().ok()
}

fn lock(folder: &Path) -> Result<File, DeadError> {
    lock_named(folder, LOCK)
}

fn lock_named(folder: &Path, name: &str) -> Result<File, DeadError> {
    let path = folder.join(name);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let file = file.map_err(failed("open", &path))?;
    file.lock().map_err(failed("lock", &path))?;
    Ok(file)
}

/// A line that a power cut left half written is ended first, so that it spoils no other.
fn append(path: &Path, lines: &[u8]) -> io::Result<()> {
    let mut file = File::options().create(true).read(true).append(true).open(path)?;
    let end = file.seek(SeekFrom::End(0))?;
    if end > 0 {
        let mut last = [0];
        file.seek(SeekFrom::Start(end - 1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    file.write_all(lines)?;
    file.sync_data()
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Letters taken out to be sent again. One at a time for each queue; an agent may go on to keep new ones meanwhile.
#[derive(Debug)]
pub struct Redrive {
    folder: PathBuf,
    _lock: File,
}

impl Redrive {
    /// Takes out all letters that are there now; `None` when there are none.
    ///
    /// # Errors
    /// When the medium refuses.
    pub fn begin(queue: &Path) -> Result<Option<Self>, DeadError> {
        let folder = queue.join(FOLDER);
        if files(&folder)?.is_empty() {
            return Ok(None);
        }
        let only_one = lock_named(&folder, "redrive.lock")?;
        let _lock = lock(&folder)?;
        let files = files(&folder)?;
        if let Some((path, _)) = files.last().filter(|(path, _)| path.ends_with(LETTERS)) {
            let numbers = files.iter().filter_map(|(path, _)| number(path));
            let next = numbers.max().map_or(1, |last| last + 1);
            let to = folder.join(format!("{REDRIVE}{next:06}.jsonl"));
            let sent = folder.join(SENT);
            match fs::remove_file(&sent) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("remove", &sent)(error));
                }
                _ => {}
            }
            fs::rename(path, &to).map_err(failed("rename", path))?;
            sync(&folder).map_err(failed("sync", &folder))?;
        }
        Ok(Some(Self {
            folder,
            _lock: only_one,
        }))
    }

    /// The files to send, oldest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn files(&self) -> Result<Vec<PathBuf>, DeadError> {
        let files = files(&self.folder)?.into_iter().map(|(path, _)| path);
        Ok(files.filter(|path| !path.ends_with(LETTERS)).collect())
    }

    /// The letters of one of the files, and how many lines are damaged.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn letters(&self, file: &Path) -> Result<(Vec<Letter>, usize), DeadError> {
        let lines: Vec<_> = read(file).map_err(failed("read", file))?.collect();
        let damaged = lines.iter().filter(|line| line.is_err()).count();
        Ok((lines.into_iter().flatten().collect(), damaged))
    }

    /// What is left of a file: it goes when that is nothing.
    ///
    /// # Errors
    /// When the medium refuses; then the file is as it was.
    pub fn leave(&self, file: &Path, left: &[Letter]) -> Result<(), DeadError> {
        if left.is_empty() {
            fs::remove_file(file).map_err(failed("remove", file))?;
            return sync(&self.folder).map_err(failed("sync", &self.folder));
        }
        let mut lines = Vec::new();
        left.iter().for_each(|letter| put_line(&mut lines, letter));
        let temporary = file.with_extension("tmp");
        let written = fs::write(&temporary, lines)
            .and_then(|()| File::open(&temporary)?.sync_all())
            .and_then(|()| fs::rename(&temporary, file))
            .and_then(|()| sync(&self.folder));
        written.map_err(failed("write", file))
    }
}

#[cfg(test)]
#[path = "dead/tests.rs"]
mod tests;
