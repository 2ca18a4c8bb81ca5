//! Where spans must end: the rules once more, told from the readings that are stored and nothing else.

use std::collections::{BTreeMap, VecDeque};

use edgespool::span::Rules;

use super::Place;

#[derive(Debug, Default)]
pub(super) struct Spans {
    /// Stored and in no span yet: place and recorded time.
    pending: VecDeque<(Place, i64)>,
    /// The last reading of each span, by its first.
    known: BTreeMap<Place, u64>,
}

impl Spans {
    pub(super) fn stored(&mut self, place: Place, wall: i64) {
        self.pending.push_back((place, wall));
    }

    /// A span was sent; with `rules`, it must end where they say.
    pub(super) fn sent(
        &mut self,
        epoch: usize,
        first: u64,
        last: u64,
        rules: Option<Rules>,
    ) -> Result<(), String> {
        let Some(rules) = rules else { return Ok(()) };
        let place = (epoch, first);
        if self.pending.front().is_none_or(|(next, _)| place < *next) {
            let known = self.known.get(&place);
            return match known {
                Some(known) if *known == last => Ok(()),
                _ => Err(format!("{first} to {last} was a span to {known:?} before")),
            };
        }
        let length = (last - first + 1) as usize;
        let limit = rules.time_span.as_nanos() as u64;
        let span: Vec<_> = self.pending.drain(..length.min(self.pending.len())).collect();
        let (mut oldest, mut newest) = (i64::MAX, i64::MIN);
        for ((at, wall), sequence) in span.iter().zip(first..) {
            if *at != (epoch, sequence) {
                return Err(format!("{first} to {last} begins or goes on at {at:?}"));
            }
            (oldest, newest) = (oldest.min(*wall), newest.max(*wall));
            if newest.abs_diff(oldest) >= limit && sequence > first {
                return Err(format!(
                    "{first} to {last} is longer than a span may be at {sequence}"
                ));
            }
        }
        let full = span.len() >= rules.packet_size;
        let ends = self.pending.front().is_some_and(|((next, _), wall)| {
            *next != epoch || newest.max(*wall).abs_diff(oldest.min(*wall)) >= limit
        });
        if span.len() > rules.packet_size || !(full || ends) {
            return Err(format!(
                "{first} to {last} ends although the readings do not say so"
            ));
        }
        self.known.insert(place, last);
        Ok(())
    }
}
