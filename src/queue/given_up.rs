//! What is given up with a generation, as entries.
//!
//! Owns the count: for each sensor, the readings accepted before a place of the log that no output was rid of yet. Promises
//! that the ledger adds up after these entries as it did before. Pure. Must not know files or limits.

use super::fold::{AtOutput, State};
use super::types::{DropReason, Entry, OutputNo, RowNo};
use crate::reading::{Epoch, SensorNo};

/// Gives up what stands before row `boundary`: `before` is the state there, `now` that at the end of the log.
///
/// One entry for each sensor that loses something, two where an epoch ended within; the outputs go on at the boundary.
#[must_use]
pub fn given_up(now: &State, before: &State, boundary: RowNo, reason: DropReason) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (number, known) in (0..).map(SensorNo).zip(&before.sensors) {
        let Some(sensor) = now.sensors.get(number.index()) else {
            continue;
        };
        let none = AtOutput::default();
        let outputs = sensor.outputs.iter().take(now.outputs.len());
        let slowest = outputs.min_by_key(|at| settled(at)).unwrap_or(&none);
        let lost = known.accepted.saturating_sub(settled(slowest));
        let mut drop = |epoch, from, through| {
            if from <= through {
                let (sensor, reason) = (number, reason);
                entries.push(Entry::Drop {
                    sensor,
                    epoch,
                    from,
                    through,
                    reason,
                });
            }
        };
        if lost == 0 {
            continue;
        }
        let (epoch, last) = (before.epoch(), known.next.saturating_sub(1));
        let (began, upto) = slowest.released.unwrap_or((first_epoch(before), 0));
        if began == epoch {
            drop(epoch, upto + 1, last);
        } else {
            drop(began, upto + 1, upto + lost.saturating_sub(last));
            drop(epoch, 1, last);
        }
    }
    for (output, state) in (0..).map(OutputNo).zip(&now.outputs) {
        let behind = state.parked.iter().filter(|(_, row)| **row < boundary);
        entries.extend(behind.map(|(sensor, _)| Entry::Park {
            output,
            sensor: *sensor,
            row: boundary,
        }));
        if state.head < boundary {
            entries.push(Entry::Head {
                output,
                row: boundary,
            });
        }
    }
    entries
}

/// The readings that an output is rid of.
fn settled(at: &AtOutput) -> u64 {
    at.delivered + at.dead + at.dropped.iter().sum::<u64>()
}

fn first_epoch(state: &State) -> Epoch {
    state.epochs.first().copied().unwrap_or(Epoch(0))
}
