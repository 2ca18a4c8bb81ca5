//! The lives of the agent: it is started, commits, and ends, again and again, over one world and one store.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use edgespool::clock::Clock;
use edgespool::intake::committer::Committer;
use edgespool::queue::memory_store::{Fate, MemoryStore};
use edgespool::queue::open::{Finding, Queue, Settings, open};
use edgespool::queue::retention::Limits;
use edgespool::queue::row::{Depth, decode};
use edgespool::queue::store::Store;
use edgespool::queue::types::Entry;
use edgespool::reading::Epoch;

use super::Time;
use super::oracle::Counts;
use super::plan::Death;
use super::process::Process;
use super::world::{Turn, World};

type Shared = Arc<Mutex<World>>;

fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one seed came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) counts: Counts,
    pub(super) lives: u64,
    pub(super) time: Time,
}

/// A seed that failed: why, and what happened before, if it was told.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) why: String,
    pub(super) words: Vec<String>,
}

thread_local! {
    static LIVING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread lives through a seed: then a panic is a finding, and told by whoever called.
pub(super) fn is_living() -> bool {
    LIVING.get()
}

/// Lives through a seed.
pub(super) fn run(seed: u64, verbose: bool) -> Result<Done, Failure> {
    let world = Arc::new(Mutex::new(World::new(seed, verbose)));
    LIVING.set(true);
    let done = catch_unwind(AssertUnwindSafe(|| live(&world)));
    LIVING.set(false);
    let result = done.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let why = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Failure {
            why: why.unwrap_or_default(),
            words: lock(&world).take_words(),
        }
    });
    // The watcher holds the world and the world the store.
    lock(&world).store.watch(Box::new(|_| Fate::Done));
    result
}

fn live(world: &Shared) -> Done {
    let store = lock(world).store.clone();
    let watching = Arc::downgrade(world);
    store.watch(Box::new(move |write| {
        let world = watching.upgrade().expect("the world outlives its store");
        let mut world = lock(&world);
        world.on_sync(write)
    }));
    let mut committer: Option<(u64, Committer)> = None;
    loop {
        let turn = lock(world).turn();
        match turn {
            Turn::End => break,
            Turn::Start => {
                drop(committer.take());
                committer = start(world, &store);
            }
            Turn::Commit => {
                let Some((_, running)) = &mut committer else {
                    panic!("a process without a committer")
                };
                let stepped = running.poll();
                let mut world = lock(world);
                world.learn();
                match stepped {
                    Ok(Some(next)) => {
                        world.committed(next);
                        if world.is_time_to_count() {
                            check(&mut world);
                        }
                    }
                    Ok(None) => panic!("nobody closed the inbox"),
                    Err(error) => assert!(world.process.is_none(), "the store failed by itself: {error}"),
                }
            }
        }
    }
    let mut world = lock(world);
    check(&mut world);
    world.oracle.check_end();
    Done {
        counts: world.oracle.counts,
        lives: world.life,
        time: world.now,
    }
}

/// The ledger, against the oracle's.
fn check(world: &mut World) {
    if let Some(process) = &world.process
        && !world.unsettled
    {
        world.oracle.check_ledger(&process.observer.sensors());
    }
}

fn start(world: &Shared, store: &MemoryStore) -> Option<(u64, Committer)> {
    let (settings, clock) = {
        let mut world = lock(world);
        bury(&mut world, store);
        let settings = Settings {
            generation_bytes: world.setup.generation_bytes,
            limits: Limits::default(),
            outputs: 1,
            boot: world.boot_id(),
            fresh_epoch: Epoch(1 + world.chance.below(1 << 53)),
        };
        (settings, Arc::new(Clock::by_hand(&world.hands)))
    };
    let opened = open(Arc::new(store.clone()), &settings, clock.stamp());
    let mut world = lock(world);
    world.learn();
    match opened {
        Ok(queue) => {
            note(&mut world, &queue);
            let (setup, rules) = (world.setup.clone(), world.rules());
            let (process, committer) = Process::start(&setup, rules, queue, &clock, &mut world.chance);
            world.started(process);
            check(&mut world);
            Some((world.life, committer))
        }
        Err(error) => {
            assert!(world.death.is_some(), "I8: it does not start: {error}");
            world.stays_away();
            None
        }
    }
}

fn note(world: &mut World, queue: &Queue) {
    for finding in &queue.findings {
        world.say(|| format!("found: {finding:?}"));
        match finding {
            Finding::LostTail { from, known, .. } => {
                world.gone.extend(*from..*known);
                rebase(world, queue);
            }
            Finding::Created { .. } | Finding::Opened { .. } => {}
            // What a lost tail comes with.
            Finding::SetAside { .. } | Finding::Renewed { .. } => {}
            other => panic!("nothing else is damaged: {other:?}"),
        }
    }
    // An opening that was cut short had found it, and written what followed from it.
    if world.oracle.adrift {
        rebase(world, queue);
    }
}

fn rebase(world: &mut World, queue: &Queue) {
    world.oracle.rebase(&queue.observer.sensors());
    world.unsettled = true;
    world.epochs = world.oracle.counts.epochs;
}

/// What the end of the last process means for the store.
fn bury(world: &mut World, store: &MemoryStore) {
    match world.death.take() {
        None | Some(Death::Kill | Death::StoreError) => return,
        Some(Death::Cut) => store.cut_power(),
        Some(Death::CutButForTheCount) => store.cut_power_but_for_the_count(),
        Some(Death::LostTail(rows)) => {
            store.cut_power_but_for_the_count();
            world.learn();
            let doomed = newest(store, rows);
            doomed.iter().for_each(|(row, _)| store.lose_row(*row));
            world.oracle.lost_tail(&doomed);
        }
    }
    world.boot();
}

/// At most so many of the newest rows, but none of a checkpoint, and none unless the count outside has them all: damage that
/// it does not know of is not noticed, and is none that anybody was told of.
fn newest(store: &MemoryStore, rows: u64) -> Vec<(u64, Arc<[u8]>)> {
    let all = store.durable_rows(0);
    let counted = store.tail().map(|tail| tail.next_row);
    if counted != all.last().map(|(row, _)| row + 1) {
        return Vec::new();
    }
    let ends = |row: &(u64, Arc<[u8]>)| {
        let decoded = decode(&row.1, row.0, Depth::Entries);
        decoded.is_ok_and(|row| row.entries.contains(&Entry::CheckpointEnd))
    };
    let checkpoint = all.iter().rposition(ends).map_or(all.len(), |at| at + 1);
    let from = checkpoint.max(all.len().saturating_sub(rows as usize));
    all[from.min(all.len())..].to_vec()
}
