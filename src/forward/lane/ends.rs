//! How far a sensor's readings went, where the rows that would show it are lost.
//!
//! A gap shows by the jump to the sensor's next reading. Where none follows, a checkpoint says how far the sensor had come,
//! and at the durable tail the queue itself does. Pure.

use super::Lane;
use super::cut::Item;
use crate::reading::Epoch;

/// The sequence number that comes next in `epoch` for one who has come to `at`; `None` when that lies in a later epoch.
pub(in crate::forward) fn expected(at: Option<(Epoch, u64)>, epoch: Epoch, epochs: &[Epoch]) -> Option<u64> {
    let order = |wanted: Epoch| epochs.iter().position(|known| *known == wanted);
    match at {
        Some((known, next)) if known == epoch => Some(next),
        Some((known, _)) if order(known) > order(epoch) => None,
        _ => Some(1),
    }
}

impl Lane {
    /// Everything before the sequence number `next` had been accepted: what was not read by now cannot be.
    pub fn ends(&mut self, epoch: Epoch, next: u64, epochs: &[Epoch]) {
        let order = |wanted: Epoch| epochs.iter().position(|known| *known == wanted);
        let released = self.released.map(|(epoch, through)| (epoch, through + 1));
        let at = [self.next, released]
            .into_iter()
            .flatten()
            .max_by_key(|(epoch, next)| (order(*epoch), *next));
        let Some(from) = expected(at, epoch, epochs).filter(|from| *from < next) else {
            return;
        };
        self.close();
        self.items.push_back(Item::Gap {
            epoch,
            from,
            through: next - 1,
        });
        self.next = Some((epoch, next));
    }
}
