//! The composition root: knows everything, decides nothing.
//!
//! Owns the order of start and stop, and the translation of the device file into each part's own settings. A broker or a
//! sensor that is absent is no reason not to start; a queue that cannot be opened is.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{self, Clock, Mono};
use crate::config::{self, Config};
use crate::event::{self, Kind};
use crate::exit::{Code, Failure};
use crate::intake::catalog::Catalog;
use crate::intake::committer::{Committer, Tally};
use crate::intake::inbox::Inbox;
use crate::queue::appender::{Appender, Commit};
use crate::queue::dead::DeadLetters;
use crate::queue::fold::Ledger;
use crate::queue::open::{Finding, Queue, Settings, draw_epoch, open};
use crate::queue::retention::{Limits, WhenFull};
use crate::queue::sled_store::SledStore;
use crate::queue::store::StoreError;
use crate::reading::Epoch;
use crate::status::Snapshot;
use crate::{panics, sys, systemd};

mod anew;
mod forwarding;
mod machine;
mod report;
mod sight;
mod sources;
mod waiting;
mod watchdog;

use forwarding::Forwarder;
use sight::Sight;
use sources::Sources;
use waiting::Known;

/// This version has one output.
const OUTPUTS: u16 = 1;
/// How long sources may take to end; a device that holds one in a system call is left behind.
const SOURCES_END: Duration = Duration::from_millis(200);
/// How long the last commit may take: an SD card stalls for hundreds of milliseconds.
const LAST_COMMIT: Duration = Duration::from_millis(900);
/// How long reports of what is under way are waited for.
const LAST_REPORTS: Duration = Duration::from_millis(500);
/// After so long a stopping process ends whatever still hangs: a disk that answers nobody holds up each step.
const STOP_AT_MOST: Duration = Duration::from_millis(1900);

/// Why a running agent must end.
#[derive(Debug)]
pub enum Event {
    /// The operating system says so.
    Stop,
    /// SIGHUP.
    Reload,
    /// The store failed: no more receipts can be given.
    Store(StoreError),
    /// Something that starts late did not start.
    Failed(Failure),
}

/// Whether the agent listens to the process's signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signals {
    /// SIGTERM, SIGINT and SIGHUP become events.
    Watched,
    /// They are somebody else's.
    Left,
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    view: Arc<View>,
    sources: Sources,
    committing: Receiver<Result<Appender, StoreError>>,
    events: Receiver<Event>,
    outbox: SyncSender<Event>,
}

/// What status needs; shared with the socket.
#[derive(Debug)]
struct View {
    device: String,
    directory: String,
    started: Mono,
    clock: Arc<Clock>,
    inbox: Arc<Inbox>,
    tally: Arc<Tally>,
    sight: Sight,
    /// What each sensor had accepted when the queue was opened.
    accepted_before: Vec<u64>,
    letters: Arc<DeadLetters>,
    forwarder: Mutex<Option<Forwarder>>,
    sources: Mutex<Vec<Arc<crate::source::Health>>>,
    events_topic: Option<String>,
    warnings: Vec<String>,
}

impl Agent {
    /// Opens the queue and starts everything.
    ///
    /// # Errors
    /// When the queue cannot be opened, or the system gives no threads.
    pub fn start(config: Config, signals: Signals) -> Result<Self, Failure> {
        let clock = Arc::new(Clock::new());
        let (queue, known) = match open_queue(&config, &clock)? {
            Ok(queue) => {
                let known = Known {
                    sensors: queue.sensors.clone(),
                    nodes: queue.nodes.clone(),
                    sight: Sight::before(queue.observer.figures(), queue.observer.sensors()),
                };
                (Ok(queue), known)
            }
            Err(error) if error.may_pass() => (Err(error), waiting::look(&config)),
            Err(error) => return Err(not_opened(&config, error)),
        };
        let interval = config.queue.commit_interval;
        let max = usize::try_from(config.queue.max_sensors).unwrap_or(usize::MAX);
        let catalog = Catalog::new(known.sensors, max);
        let inbox = Arc::new(Inbox::with_clock(interval, catalog, clock.clone()));
        let (outbox, events) = sync_channel(8);
        let accepted = known.sight.sensors();
        let view = Arc::new(View {
            device: config.device.id.clone(),
            directory: config.queue.directory.display().to_string(),
            started: clock.mono(),
            clock,
            inbox,
            tally: Arc::default(),
            accepted_before: accepted.iter().map(|sensor| sensor.accepted).collect(),
            sight: known.sight,
            letters: Arc::new(DeadLetters::of(&config.queue.directory)),
            forwarder: Mutex::new(None),
            sources: Mutex::default(),
            events_topic: config.kafka.events_topic.clone(),
            warnings: config.warnings.iter().map(ToString::to_string).collect(),
        });
        let committing = match queue {
            Ok(queue) => {
                let committer = engage(queue, &config, &view)?;
                spawn_committer(move || Ok(Some(committer)), outbox.clone())?
            }
            Err(error) => {
                let (config, view) = (config.clone(), view.clone());
                let make = move || match waiting::for_the_queue(&config, &view, error)? {
                    Some(queue) => engage(queue, &config, &view).map(Some).map_err(Event::Failed),
                    None => Ok(None),
                };
                spawn_committer(make, outbox.clone())?
            }
        };
        let watched = (signals == Signals::Watched).then(|| outbox.clone());
        let sources = sources::start(&config, &view, known.nodes, watched)?;
        Ok(Self {
            view,
            sources,
            committing,
            events,
            outbox,
        })
    }

    /// The ledger of all sensors, as of the last commit.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.view.sight.figures().ledger
    }

    /// How it is.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        report::snapshot(&self.view)
    }

    /// Waits for a reason to end; `None` when none came in that time.
    #[must_use]
    pub fn wait(&self, patience: Option<Duration>) -> Option<Event> {
        match patience {
            None => self.events.recv().ok(),
            Some(patience) => self.events.recv_timeout(patience).ok(),
        }
    }

    /// Stops within two seconds: sources; the last commit; what is reported of what is under way; the releases. What hangs
    /// is left behind: what was accepted is on disk, and what was not released is sent again.
    pub fn stop(self) -> Result<(), StoreError> {
        self.sources.stop(SOURCES_END);
        let stopped = event::Event::new(Kind::Stopped, "it was told to stop");
        self.view.inbox.tell(self.view.clock.stamp(), stopped);
        self.view.inbox.close();
        let appender = self.committing.recv_timeout(LAST_COMMIT);
        let forwarder = self
            .view
            .forwarder
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(forwarder) = forwarder {
            forwarder.stop(LAST_REPORTS);
        }
        self.view.letters.close();
        drop(self.outbox);
        let Ok(appender) = appender else {
            tracing::warn!("the disk did not answer in time: the last commit is left to chance");
            return Ok(());
        };
        let mut appender = appender?;
        match appender.commit(Commit::default(), self.view.clock.stamp()) {
            Err(StoreError::Full { .. }) => {
                tracing::warn!("there is no room to store what was delivered last; it will be sent again");
            }
            other => drop(other?),
        }
        Ok(())
    }
}

fn started(epoch: Option<Epoch>) -> event::Event {
    event::Event {
        epoch: epoch.map(|epoch| epoch.0),
        ..event::Event::new(Kind::Started, concat!("edgespool ", env!("CARGO_PKG_VERSION")))
    }
}

fn bug(what: &str) -> Failure {
    Failure::new("start", what.to_owned(), Code::Bug)
}

/// The forwarder and the committer of a queue that is open.
fn engage(queue: Queue, config: &Config, view: &View) -> Result<Committer, Failure> {
    queue.findings.iter().for_each(Finding::log);
    let spool = queue.spools.into_iter().next();
    let spool = spool.ok_or_else(|| bug("a queue without an output"))?;
    let forwarder = forwarding::start(config, spool, &view.clock, &view.inbox, &view.letters)?;
    *view.forwarder.lock().unwrap_or_else(PoisonError::into_inner) = Some(forwarder);
    let mut appender = queue.appender;
    if config.kafka.events_topic.is_some() {
        let own = view.inbox.store_events();
        appender.tell_gaps(own.map_err(|error| bug(&error.to_string()))?);
    }
    let epoch = queue.observer.figures().epoch;
    view.inbox.tell(view.clock.stamp(), started(epoch));
    view.sight.open(queue.observer);
    Ok(Committer::new(
        view.inbox.clone(),
        appender,
        view.clock.clone(),
        config.queue.commit_interval,
        view.tally.clone(),
    ))
}

fn not_opened(config: &Config, error: StoreError) -> Failure {
    let directory = config.queue.directory.display();
    store_failure(format!("open the queue in {directory}"), error)
}

/// The inner error is the store's; some of those pass.
fn open_queue(config: &Config, clock: &Clock) -> Result<Result<Queue, StoreError>, Failure> {
    let settings = settings(config)?;
    let opened = waiting::is_in_place(config)
        .and_then(|()| SledStore::open(&config.queue.directory))
        .map(|store| store.of_machine(machine::number()))
        .and_then(|store| open(Arc::new(store), &settings, clock.stamp()));
    Ok(opened)
}

fn settings(config: &Config) -> Result<Settings, Failure> {
    let fresh_epoch = draw_epoch().map_err(|error| Failure::new("draw a random number", error, Code::Io))?;
    let limits = limits(config);
    Ok(Settings {
        generation_bytes: limits.generation_bytes(),
        limits,
        outputs: OUTPUTS,
        boot: clock::boot_id(),
        fresh_epoch,
    })
}

fn limits(config: &Config) -> Limits {
    let queue = &config.queue;
    Limits {
        max_size: queue.max_size,
        max_age: queue.max_age,
        min_free: queue.min_free,
        when_full: match queue.when_full {
            config::WhenFull::DropOldest => WhenFull::DropOldest,
            config::WhenFull::RefuseNew => WhenFull::RefuseNew,
        },
    }
}

/// A store's error as a failure of the command.
fn store_failure(doing: String, error: StoreError) -> Failure {
    let (code, hint) = match &error {
        StoreError::Io { source, .. } => (crate::exit::code_of(source), None),
        StoreError::Full { .. } => {
            let hint = "make room on that file system, or lower queue.min-free";
            (Code::Io, Some(hint.to_owned()))
        }
        StoreError::NotMounted { .. } => {
            let hint = "mount it, or remove queue.require-mount";
            (Code::Unavailable, Some(hint.to_owned()))
        }
        StoreError::InUse { .. } => {
            let hint = "stop that one, or give this one a directory of its own (queue.directory)";
            (Code::Unavailable, Some(hint.to_owned()))
        }
        StoreError::Refused { hint, .. } => (Code::Config, Some(hint.clone())),
        StoreError::Damaged { .. } => (
            Code::Io,
            Some("nothing was changed; keep the directory for salvage".into()),
        ),
    };
    Failure {
        hint,
        ..Failure::new(doing, error, code)
    }
}

/// The commit thread makes its committer, runs it, and hands back the appender, or its error; the error is also a reason to
/// end. Without a committer it ends in silence: then the agent stops.
fn spawn_committer(
    make: impl FnOnce() -> Result<Option<Committer>, Event> + Send + 'static,
    outbox: SyncSender<Event>,
) -> Result<Receiver<Result<Appender, StoreError>>, Failure> {
    let (sender, receiver) = sync_channel(1);
    let thread = std::thread::Builder::new().name("commit".into());
    let work = move || match make() {
        Err(event) => tell(&outbox, event),
        Ok(None) => {}
        Ok(Some(committer)) => match committer.run() {
            Ok(appender) => drop(sender.send(Ok(appender))),
            Err(error) => tell(&outbox, Event::Store(error)),
        },
    };
    thread
        .spawn(work)
        .map_err(|error| Failure::new("start the commit thread", error, Code::Io))?;
    Ok(receiver)
}

/// Events are few and the first one ends the agent: a full channel has a reason to end in it already.
fn tell(outbox: &SyncSender<Event>, event: Event) {
    match outbox.try_send(event) {
        Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
    }
}

/// `edgespool run`: until a signal comes. Leaves the process at once, without destructors that could wait.
///
/// # Errors
/// When the agent cannot start.
pub fn run(config: Config, path: &Path) -> Result<Code, Failure> {
    sys::limit_arenas();
    panics::end_the_process();
    let agent = Agent::start(config, Signals::Watched)?;
    watchdog::start(&agent.view)?;
    systemd::ready();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), config = %path.display(), "running");
    let anew = loop {
        match agent.wait(None) {
            Some(Event::Reload) if anew::is_good(path) => break true,
            Some(Event::Reload) => {}
            Some(Event::Stop) => break false,
            Some(Event::Store(error)) => {
                let failure = store_failure("store readings".into(), error);
                tracing::error!(error = %failure.text().trim_end(), "stopping: no receipt can be given");
                sys::exit_now(i32::from(failure.code));
            }
            Some(Event::Failed(failure)) => return Err(failure),
            None => return Err(bug("the agent's threads ended by themselves")),
        }
    };
    if !anew {
        systemd::stopping();
    }
    tracing::info!("stopping");
    // Whoever wanted it to begin anew gets that from systemd where it cannot be done from here.
    end_soon(if anew { Code::Io } else { Code::Ok });
    let code = match agent.stop() {
        Ok(()) if anew => anew::begin(),
        Ok(()) => Code::Ok,
        Err(error) => {
            tracing::error!(%error, "the last commit failed");
            Code::Io
        }
    };
    sys::exit_now(i32::from(code as u8))
}

/// Sees to it that the process ends in time. What was accepted is on disk by then, or was never acknowledged.
fn end_soon(code: Code) {
    let thread = std::thread::Builder::new().name("stop".into());
    let watch = thread.spawn(move || {
        std::thread::sleep(STOP_AT_MOST);
        tracing::warn!("something does not end in time and is left behind");
        sys::exit_now(i32::from(code as u8));
    });
    if let Err(error) = watch {
        tracing::warn!(%error, "no thread watches the time of the stop");
    }
}
