//! A recording: writers that live one after the other on the block file that remembers; some are killed.
//!
//! Owns the order of lives and how each ends: by itself, killed while it writes, killed while it opens. Puts each word of a
//! writer into the device's log at its moment, and answers then. Must not know how cuts are made.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

use crate::child::myself;
use crate::device::Device;
use crate::disk::{Mounted, fresh, text};
use crate::log::{Event, Log, Phase};
use crate::plan::Plan;
use crate::random::Random;
use crate::writer::{Word, Workload};
use crate::{Failure, Outcome};

/// Seconds without a word after which a writer hangs.
const PATIENCE: i64 = 60;
/// Lives of one recording at most: each commits at least now and then.
const LIVES: u64 = 60;

/// What was recorded.
#[derive(Debug)]
pub struct Recording {
    /// The file system before the first event.
    pub base: Vec<u8>,
    /// What happened.
    pub events: Vec<Event>,
    /// What is known of the queue without a cut.
    pub plan: Plan,
    /// Writers that were killed, and of those the ones that were opening the queue.
    pub kills: (u64, u64),
}

/// Records a workload. `place` is a directory for the image and the mounts.
pub fn record(workload: &Workload, place: &Path) -> Result<Recording, Failure> {
    let (served, mounted) = (place.join("served"), place.join("recorded"));
    fs::create_dir_all(&served)?;
    fs::create_dir_all(&mounted)?;
    let (base, log) = (fresh(place)?, Log::default());
    let device = Device::serve(base.clone(), &served, log.clone())?;
    let mount = Mounted::new(&device.path, &mounted)?;
    let asked = place.join("workload.json");
    fs::write(&asked, serde_json::to_vec(workload)?)?;
    let mut lives = Lives {
        workload,
        random: Random::new(workload.seed ^ 0x6c69_7665),
        log: &log,
        done: 0,
        kills: (0, 0),
    };
    let lived = lives.all(&mounted.join("queue"), &asked);
    let kills = lives.kills;
    mount.end()?;
    device.end()?;
    lived?;
    Ok(Recording {
        base,
        events: log.take(),
        plan: Plan {
            seed: workload.seed,
            epoch: workload.epoch(),
            after: workload.after(),
            size: workload.size,
            bug: workload.bug.clone(),
            ..Plan::default()
        },
        kills,
    })
}

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// By itself.
    Own,
    /// Killed after so many words.
    AfterWords(u64),
    /// Killed so long after it began to open.
    Opening(Duration),
}

struct Lives<'a> {
    workload: &'a Workload,
    random: Random,
    log: &'a Log,
    /// Commits that have a receipt.
    done: usize,
    kills: (u64, u64),
}

impl Lives<'_> {
    fn all(&mut self, queue: &Path, asked: &Path) -> Outcome {
        for life in 1..=LIVES {
            if self.done >= self.workload.commits {
                break;
            }
            let commits = self.workload.life / 2 + self.random.below(self.workload.life);
            let end = match self.random.below(3) {
                0 if self.workload.kills => End::AfterWords(2 + self.random.below(commits * 4)),
                1 if self.workload.kills => End::Opening(Duration::from_micros(self.random.below(30_000))),
                _ => End::Own,
            };
            let words = [life.to_string(), commits.to_string()];
            let mut child = myself(&["child-write", &text(queue), &text(asked), &words[0], &words[1]])?;
            let lived = self.live(&mut child, end);
            // After an error it may still be there.
            drop(child.kill());
            child.wait()?;
            lived.map_err(|error| format!("life {life}: {error}"))?;
        }
        Ok(())
    }

    /// Listens to one writer until it ends.
    fn live(&mut self, child: &mut Child, end: End) -> Outcome {
        let mut lines = BufReader::new(child.stdout.take().ok_or("no line from the writer")?);
        let mut answers = child.stdin.take().ok_or("no line to the writer")?;
        let (mut heard, mut mark, mut closing) = (0, 0, false);
        while let Some(word) = hear(&mut lines)? {
            self.note(word, &mut mark);
            closing = word == Word::Closing;
            heard += 1;
            answers.write_all(b".")?;
            let kill = match end {
                End::Opening(after) if word == Word::Opening => {
                    std::thread::sleep(after);
                    self.kills.1 += 1;
                    true
                }
                End::AfterWords(words) => heard == words,
                _ => false,
            };
            if kill {
                self.kills.0 += 1;
                child.kill()?;
                child.wait()?;
                return Ok(());
            }
        }
        let status = child.wait()?;
        if closing && status.success() {
            return Ok(());
        }
        Err(format!("the writer ended with {status}").into())
    }

    /// Puts a word into the log.
    fn note(&mut self, word: Word, mark: &mut usize) {
        match word {
            Word::Opening => *mark = self.log.add(Event::Phase(Phase::Opening)),
            Word::Open(commits, snapshot) => {
                if snapshot {
                    self.log.name(*mark, Phase::Snapshot);
                }
                // What a queue holds when it is opened can be read, and so has to be durable.
                self.log.add(Event::Handed(commits));
                self.log.add(Event::Receipt(commits));
                self.log.add(Event::Phase(Phase::Steady));
                self.done = commits;
            }
            Word::Handed(commits) => {
                *mark = self.log.add(Event::Phase(Phase::Steady));
                self.log.add(Event::Handed(commits));
            }
            Word::Receipt(commits, phase) => {
                self.log.name(*mark, phase);
                self.log.add(Event::Receipt(commits));
                self.log.add(Event::Phase(Phase::Steady));
                self.done = commits;
            }
            Word::Read(sensor, through) => {
                self.log.add(Event::Read(sensor, through));
            }
            Word::Released(sensor, through) => {
                self.log.add(Event::Released(sensor, through));
            }
            Word::Closing => {
                self.log.add(Event::Phase(Phase::Closing));
            }
        }
    }
}

/// The next word; `None` when there are no more.
fn hear(lines: &mut BufReader<ChildStdout>) -> Result<Option<Word>, Failure> {
    let mut line = String::new();
    let wait = Timespec {
        tv_sec: PATIENCE,
        tv_nsec: 0,
    };
    let mut ready = [PollFd::new(lines.get_ref(), PollFlags::IN)];
    if lines.buffer().is_empty() && poll(&mut ready, Some(&wait))? == 0 {
        return Err(format!("the writer hung for {PATIENCE} s").into());
    }
    if lines.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    // What is no word is what the writer ended with.
    Ok(Some(serde_json::from_str(&line).map_err(|_| line)?))
}
