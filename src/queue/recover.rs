//! From generations to the state: the newest one's rows, and what helps where they are damaged.
//!
//! Owns what counts as damage of a generation, and the order of what is asked where the newest one's checkpoint is lost: its
//! second copy, which the store reads like the rows themselves; the generations before, whose fold leads up to it; and last
//! what the rows say. Promises that damage is never a reason to fail. Must not know what the store is made of.

use std::sync::Arc;

use super::fold::State;
use super::open::Finding;
use super::row::{Depth, RowError, decode, frame};
use super::store::{Generation, Store, StoreError};
use super::types::{Entry, Row, RowNo};
use crate::planted::{self, Bug};

/// What was made of the generations.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) state: State,
    /// The newest generation, opened to read.
    pub(super) newest: Arc<dyn Generation>,
    /// The bytes of its rows.
    pub(super) bytes: u64,
    /// The highest session that wrote any of the rows.
    pub(super) session: u64,
    /// The highest number of a boot in any of the rows.
    pub(super) boot: u32,
    /// True when rows may be missing that were durable: what comes next is of another epoch.
    pub(super) lossy: bool,
}

/// What folding a generation came to.
#[derive(Debug, Default)]
struct Folded {
    rows: u64,
    bytes: u64,
    missing: Vec<(RowNo, RowNo, String)>,
    session: u64,
    boot: u32,
}

/// Whether damage is mended, or only looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Mend,
    Look,
}

/// How far the log goes, as far as is known outside of it; 0 when nothing is.
pub(super) fn known(store: &dyn Store) -> RowNo {
    if planted::has(Bug::NoOutsideCount) {
        return 0;
    }
    store.tail().map_or(0, |tail| tail.next_row)
}

/// Folds the newest generation, and mends it where it has to be.
///
/// # Errors
/// When the medium refuses, or the rows are of a newer format: never for damage.
pub(super) fn recover(
    store: &dyn Store,
    firsts: &[RowNo],
    deed: Deed,
    findings: &mut Vec<Finding>,
) -> Result<Recovered, StoreError> {
    let Some((&first, before)) = firsts.split_last() else {
        return Err(StoreError::Damaged {
            generation: 0,
            what: "there is no generation".into(),
        });
    };
    let known = known(store);
    let salvaged = store.is_salvaged(first);
    let mut newest = store.open(first)?;
    // What a killed process wrote may be in the page cache alone, and whatever is read here is sent.
    newest.sync()?;
    let mut state = begin_at(first);
    let mut folded = fold(&mut state, &*newest, first, known)?;
    let why = doubt(&state, &folded, known);
    if why.is_none() && !salvaged {
        findings.push(Finding::Opened { rows: folded.rows });
        return Ok(sum(state, newest, &folded, false));
    }
    if let Some(why) = why.filter(|_| !salvaged && deed == Deed::Mend) {
        newest = set_aside(store, first, why, findings)?;
        newest.sync()?;
        state = begin_at(first);
        folded = fold(&mut state, &*newest, first, known)?;
    }
    if !state.complete {
        findings.push(Finding::LostCheckpoint { generation: first });
        state = earlier(store, before, first, deed, findings)?;
        folded = fold(&mut state, &*newest, first, known)?;
        state.complete = true;
    }
    findings.push(Finding::Opened { rows: folded.rows });
    for (from, through, why) in &folded.missing {
        findings.push(Finding::DamagedRows {
            from: *from,
            through: *through,
            why: why.clone(),
        });
    }
    Ok(sum(state, newest, &folded, true))
}

fn sum(state: State, newest: Arc<dyn Generation>, folded: &Folded, lossy: bool) -> Recovered {
    Recovered {
        state,
        newest,
        bytes: folded.bytes,
        session: folded.session,
        boot: folded.boot,
        lossy,
    }
}

fn begin_at(first: RowNo) -> State {
    State {
        next_row: first,
        ..State::default()
    }
}

/// What speaks against the newest generation being as it was left.
fn doubt(state: &State, folded: &Folded, known: RowNo) -> Option<String> {
    if let Some((from, through, why)) = folded.missing.first() {
        return Some(format!("rows {from} to {through} cannot be read: {why}"));
    }
    if !state.complete {
        return Some("its checkpoint ends too early".into());
    }
    (state.next_row < known).then(|| {
        let (next, last) = (state.next_row, known.saturating_sub(1));
        format!("it ends before row {next}, and rows up to {last} were durable")
    })
}

/// Sets a generation aside and reports it.
pub(super) fn set_aside(
    store: &dyn Store,
    first: RowNo,
    why: String,
    findings: &mut Vec<Finding>,
) -> Result<Arc<dyn Generation>, StoreError> {
    let replaced = store.replace(first)?;
    findings.push(Finding::SetAside {
        generation: first,
        why,
        directory: replaced.directory,
        rows: replaced.rows,
    });
    Ok(replaced.generation)
}

/// The state at the start of a generation whose checkpoint is lost: the fold of those before it.
fn earlier(
    store: &dyn Store,
    before: &[RowNo],
    first: RowNo,
    deed: Deed,
    findings: &mut Vec<Finding>,
) -> Result<State, StoreError> {
    let mut state = State::default();
    let ends: Vec<_> = before.iter().skip(1).copied().chain([first]).collect();
    let mut begin = 0;
    for (index, (generation, end)) in before.iter().zip(&ends).enumerate().rev() {
        let handle = open_closed(store, *generation, *end, deed, findings)?;
        let mut base = begin_at(*generation);
        fold(&mut base, &*handle, *generation, 0)?;
        if base.complete {
            (state, begin) = (base, index + 1);
            break;
        }
    }
    for (generation, end) in before.iter().zip(&ends).skip(begin) {
        let handle = open_closed(store, *generation, *end, deed, findings)?;
        fold(&mut state, &*handle, *generation, 0)?;
    }
    state.next_row = first;
    Ok(state)
}

/// Opens a generation that is followed by another: it must hold all rows up to that one's name.
///
/// # Errors
/// When the medium refuses.
pub(super) fn open_closed(
    store: &dyn Store,
    first: RowNo,
    end: RowNo,
    deed: Deed,
    findings: &mut Vec<Finding>,
) -> Result<Arc<dyn Generation>, StoreError> {
    let handle = store.open(first)?;
    let last = handle.last()?;
    if last.map(|last| last + 1) == Some(end) || deed == Deed::Look || store.is_salvaged(first) {
        return Ok(handle);
    }
    let last = last.map_or_else(|| "none".to_owned(), |last| last.to_string());
    let why = format!("its last row is {last} instead of {}", end.saturating_sub(1));
    match set_aside(store, first, why, findings) {
        // Nothing can be set aside for want of space; what is there can be read, and that makes room.
        Err(error) if error.is_full() || error.is_read_only() => Ok(handle),
        other => other,
    }
}

fn fold(
    state: &mut State,
    generation: &dyn Generation,
    first: RowNo,
    known: RowNo,
) -> Result<Folded, StoreError> {
    let mut folded = Folded::default();
    let last = generation.last()?;
    // The store keeps the order of writes within a commit to itself, and a power cut may leave any part of the last one.
    // Nobody was told of that one: it is as if it had not been. If it was durable, what is missing of it is damage.
    let torn = last.and_then(|last| torn(generation, last));
    let end = torn
        .filter(|torn| *torn >= known)
        .or(last.map(|last| last + 1))
        .unwrap_or(first);
    let mut number = first;
    while number < end {
        match read(generation, number)? {
            Ok((row, bytes)) => {
                take(state, &row, number + 1 == end);
                folded.rows += 1;
                folded.bytes += bytes;
                folded.session = folded.session.max(row.session.number);
                folded.boot = folded.boot.max(row.boot);
                number += 1;
            }
            Err(why) => {
                let next = generation.at_or_after(number + 1)?.unwrap_or(end).min(end);
                folded.missing.push((number, next - 1, why));
                number = next;
            }
        }
    }
    state.next_row = end.max(first + 1);
    Ok(folded)
}

fn take(state: &mut State, row: &Row, is_last: bool) {
    // Only where the row that began the epoch is lost.
    if !row.runs.is_empty() && !state.epochs.contains(&row.epoch) {
        state.entry(&Entry::Epoch(row.epoch));
    }
    if is_last && planted::has(Bug::SequenceReused) {
        row.entries.iter().for_each(|entry| state.entry(entry));
    } else {
        state.apply(row);
    }
}

/// A row and its length, or why there is none.
fn read(generation: &dyn Generation, number: RowNo) -> Result<Result<(Row, u64), String>, StoreError> {
    let bytes = match generation.read(number) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Err("it is missing".into())),
        Err(error) => return Ok(Err(error.to_string())),
    };
    match decode(&bytes, number, Depth::All) {
        Ok(row) => Ok(Ok((row, bytes.len() as u64))),
        Err(error @ RowError::Newer(_)) => Err(StoreError::Refused {
            what: error.to_string(),
            hint: "run the version that wrote it, or a newer one; nothing was changed".into(),
        }),
        Err(error) => Ok(Err(error.to_string())),
    }
}

/// The first row of the last commit, if not all of that is there.
fn torn(generation: &dyn Generation, last: RowNo) -> Option<RowNo> {
    let whole = |number| {
        let bytes = generation.read(number).ok().flatten()?;
        frame(&bytes).ok()
    };
    let end = whole(last)?;
    let is_whole = end.is_last && (end.commit..last).all(|number| whole(number).is_some());
    (!is_whole).then_some(end.commit)
}
