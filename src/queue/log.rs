//! What the queue's handles share: the generations, the fold, the durable tail, and the mailbox of progress.
//!
//! Owns which generation holds which row and who has one open. Must not know how rows are made or what for they are read.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::fold::State;
use super::mailbox::Mailbox;
use super::open::Finding;
use super::recover::{self, Deed};
use super::store::{Generation, Store, StoreError};
use super::types::RowNo;

/// Findings that are kept until somebody asks; more are only logged.
const FINDINGS: usize = 64;

/// Called after each commit; must return at once.
pub type Waker = Box<dyn Fn() + Send + Sync>;

/// Shared by the appender, the spools and the observers of one queue.
pub(super) struct Log {
    pub(super) store: Arc<dyn Store>,
    pub(super) state: Mutex<State>,
    pub(super) mailbox: Mutex<Mailbox>,
    generations: Mutex<Generations>,
    durable: AtomicU64,
    wakers: Mutex<Vec<Waker>>,
    /// What was found while reading.
    findings: Mutex<VecDeque<Finding>>,
    deed: Deed,
    /// The newest generation, where no appender holds it.
    _kept: Option<Arc<dyn Generation>>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("durable", &self.durable)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Generations {
    firsts: Vec<RowNo>,
    open: HashMap<RowNo, Weak<dyn Generation>>,
}

/// A generation that a reader has open, and where it ends.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) first: RowNo,
    /// The first row of the next generation; `None` for the newest.
    pub(super) end: Option<RowNo>,
    pub(super) handle: Arc<dyn Generation>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    pub(super) fn new(store: Arc<dyn Store>, state: State, firsts: Vec<RowNo>) -> Self {
        let durable = AtomicU64::new(state.next_row);
        Self {
            store,
            state: Mutex::new(state),
            mailbox: Mutex::default(),
            generations: Mutex::new(Generations {
                firsts,
                open: HashMap::new(),
            }),
            durable,
            wakers: Mutex::default(),
            findings: Mutex::default(),
            deed: Deed::Mend,
            _kept: None,
        }
    }

    /// One that changes nothing, for who only looks.
    pub(super) fn to_look(
        store: Arc<dyn Store>,
        state: State,
        firsts: Vec<RowNo>,
        newest: Arc<dyn Generation>,
    ) -> Self {
        let first = firsts.last().copied().unwrap_or(1);
        let this = Self {
            deed: Deed::Look,
            _kept: Some(newest.clone()),
            ..Self::new(store, state, firsts)
        };
        this.adopt(first, &newest);
        this
    }

    /// The number after the last durable row (invariant I2: nothing at or after it is read).
    pub(super) fn durable(&self) -> RowNo {
        self.durable.load(Ordering::Acquire)
    }

    /// Rows below `next` are durable now: tells everybody who wants to know.
    pub(super) fn advance(&self, next: RowNo) {
        self.durable.store(next, Ordering::Release);
        lock(&self.wakers).iter().for_each(|wake| wake());
    }

    pub(super) fn on_commit(&self, waker: Waker) {
        lock(&self.wakers).push(waker);
    }

    /// Takes up a generation that was just made or opened by the appender.
    pub(super) fn adopt(&self, first: RowNo, handle: &Arc<dyn Generation>) {
        let mut generations = lock(&self.generations);
        if generations.firsts.last().is_none_or(|last| *last < first) {
            generations.firsts.push(first);
        }
        generations.open.insert(first, Arc::downgrade(handle));
    }

    /// The generation that holds a row, opened if it is not; a row before the first one is in none.
    pub(super) fn holding(&self, row: RowNo) -> Result<Opened, Place> {
        let mut generations = lock(&self.generations);
        let after = generations.firsts.partition_point(|first| *first <= row);
        let end = generations.firsts.get(after).copied();
        let Some(first) = after
            .checked_sub(1)
            .and_then(|index| generations.firsts.get(index))
            .copied()
        else {
            return Err(Place::Gone {
                next: end.unwrap_or(row),
            });
        };
        if let Some(handle) = generations.open.get(&first).and_then(Weak::upgrade) {
            return Ok(Opened { first, end, handle });
        }
        let mut findings = Vec::new();
        let opened = match end {
            Some(end) => recover::open_closed(&*self.store, first, end, self.deed, &mut findings),
            None => self.store.open(first),
        };
        self.report(findings);
        match opened {
            Ok(handle) => {
                // Opening may have made room for more, which nobody will store; that it is too large is no fault.
                drop(handle.give_back());
                generations.open.insert(first, Arc::downgrade(&handle));
                Ok(Opened { first, end, handle })
            }
            Err(error) => Err(Place::Closed { end, error }),
        }
    }

    /// A row of this generation cannot be read by this handle: another one, if there is any that may read more.
    pub(super) fn mend(&self, opened: &Opened, why: &str) -> Option<Arc<dyn Generation>> {
        let mut generations = lock(&self.generations);
        let other = generations.open.get(&opened.first).and_then(Weak::upgrade);
        if let Some(other) = other
            && !Arc::ptr_eq(&other, &opened.handle)
        {
            return Some(other);
        }
        if opened.end.is_none() || self.deed == Deed::Look || self.store.is_salvaged(opened.first) {
            return None;
        }
        let mut findings = Vec::new();
        let mended = recover::set_aside(&*self.store, opened.first, why.to_owned(), &mut findings);
        self.report(findings);
        match mended {
            Ok(handle) => {
                generations.open.insert(opened.first, Arc::downgrade(&handle));
                Some(handle)
            }
            Err(error) => {
                tracing::error!(generation = opened.first, %error, "a damaged generation cannot be set aside");
                None
            }
        }
    }

    fn report(&self, found: Vec<Finding>) {
        let mut findings = lock(&self.findings);
        for finding in found {
            finding.log();
            findings.push_back(finding);
            if findings.len() > FINDINGS {
                findings.pop_front();
            }
        }
    }

    /// What was found while reading, since the last call.
    pub(super) fn take_findings(&self) -> Vec<Finding> {
        lock(&self.findings).drain(..).collect()
    }

    /// Removes generations before `floor` that nobody has open; the newest stays. Returns how many went.
    pub(super) fn remove_before(&self, floor: RowNo) -> Result<usize, StoreError> {
        let mut removed = 0;
        loop {
            let mut generations = lock(&self.generations);
            let [first, second, ..] = generations.firsts[..] else {
                return Ok(removed);
            };
            let in_use = generations
                .open
                .get(&first)
                .is_some_and(|handle| handle.strong_count() > 0);
            if second > floor || in_use {
                return Ok(removed);
            }
            generations.open.remove(&first);
            generations.firsts.remove(0);
            drop(generations);
            self.store.remove(first)?;
            removed += 1;
        }
    }

    /// The first rows of all generations.
    pub(super) fn firsts(&self) -> Vec<RowNo> {
        lock(&self.generations).firsts.clone()
    }

    /// The first row there is.
    pub(super) fn begins(&self) -> RowNo {
        lock(&self.generations).firsts.first().copied().unwrap_or(1)
    }

    /// Removes the oldest generation, if it is that one, though readers may have it open: they read on until they notice,
    /// and only then its space is free.
    pub(super) fn give_up(&self, oldest: RowNo) -> Result<(), StoreError> {
        let mut generations = lock(&self.generations);
        if generations.firsts.first() != Some(&oldest) || generations.firsts.len() < 2 {
            return Ok(());
        }
        generations.open.remove(&oldest);
        generations.firsts.remove(0);
        drop(generations);
        self.store.remove(oldest)
    }
}

/// Why a row's generation cannot be had.
#[derive(Debug)]
pub(super) enum Place {
    /// It was removed; the oldest one there is begins at `next`.
    Gone { next: RowNo },
    /// It is there and cannot be opened.
    Closed { end: Option<RowNo>, error: StoreError },
}
