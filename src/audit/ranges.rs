//! A set of sequence numbers, kept as ranges.
//!
//! Owns the arithmetic of inclusive ranges. Promises that memory grows with the number of holes, not with the number of
//! members, and that what comes in rising order costs next to nothing. Pure.

use std::collections::BTreeMap;

/// Disjoint inclusive ranges that do not touch each other, by their first member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges {
    by_first: BTreeMap<u64, u64>,
}

impl Ranges {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `from..=through`; nothing if `from` is greater. Returns how many of them were not in the set.
    pub fn insert(&mut self, from: u64, through: u64) -> u64 {
        if from > through {
            return 0;
        }
        // The usual case: right behind the last one.
        if let Some(mut last) = self.by_first.last_entry()
            && last.get().checked_add(1) == Some(from)
        {
            *last.get_mut() = through;
            return count(from, through);
        }
        let added = self.absent(from, through);
        let (mut first, mut last) = (from, through);
        while let Some((start, end)) = self.touching(first, last) {
            self.by_first.remove(&start);
            (first, last) = (first.min(start), last.max(end));
        }
        self.by_first.insert(first, last);
        added
    }

    /// How many of `from..=through` are not in the set.
    #[must_use]
    pub fn absent(&self, from: u64, through: u64) -> u64 {
        holes(self.within(from, through), from, through)
            .map(|(first, last)| count(first, last))
            .fold(0, u64::saturating_add)
    }

    /// The ranges, rising.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.by_first.iter().map(|(first, last)| (*first, *last))
    }

    /// How many ranges.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.by_first.len()
    }

    /// How many members.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.iter()
            .map(|(first, last)| count(first, last))
            .fold(0, u64::saturating_add)
    }

    /// True without members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_first.is_empty()
    }

    /// The lowest member.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.by_first.first_key_value().map(|(first, _)| *first)
    }

    /// The highest member.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.by_first.last_key_value().map(|(_, last)| *last)
    }

    /// Adds all members of the other set.
    pub fn extend(&mut self, other: &Self) {
        other.iter().for_each(|(from, through)| {
            self.insert(from, through);
        });
    }

    /// What of `from..=through` is not in the set.
    #[must_use]
    pub fn complement(&self, from: u64, through: u64) -> Self {
        Self {
            by_first: holes(self.within(from, through), from, through).collect(),
        }
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let left = |(from, through)| holes(other.within(from, through), from, through);
        Self {
            by_first: self.iter().flat_map(left).collect(),
        }
    }

    /// A range that shares a member with `from..=through` or lies next to it.
    fn touching(&self, from: u64, through: u64) -> Option<(u64, u64)> {
        let (start, end) = self.by_first.range(..=through.saturating_add(1)).next_back()?;
        (end.saturating_add(1) >= from).then_some((*start, *end))
    }

    /// The ranges that share a member with `from..=through`, rising.
    fn within(&self, from: u64, through: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let before = self.by_first.range(..from).next_back();
        let inside = (from <= through).then(|| self.by_first.range(from..=through));
        before
            .into_iter()
            .chain(inside.into_iter().flatten())
            .map(|(first, last)| (*first, *last))
            .filter(move |(_, last)| *last >= from)
    }
}

/// What of `from..=through` is in none of the ranges, which rise.
fn holes(
    ranges: impl Iterator<Item = (u64, u64)>,
    from: u64,
    through: u64,
) -> impl Iterator<Item = (u64, u64)> {
    // `None` once nothing can follow.
    let mut next = Some(from);
    let mut ranges = ranges.map(Some).chain([None]);
    std::iter::from_fn(move || {
        loop {
            let start = next?;
            let Some((first, last)) = ranges.next()? else {
                next = None;
                return (start <= through).then_some((start, through));
            };
            next = last.checked_add(1);
            if start < first {
                return Some((start, first - 1));
            }
        }
    })
}

fn count(from: u64, through: u64) -> u64 {
    (through - from).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(ranges: &[(u64, u64)]) -> Ranges {
        let mut set = Ranges::new();
        ranges.iter().for_each(|(from, through)| {
            set.insert(*from, *through);
        });
        set
    }

    #[test]
    fn the_ends_of_the_numbers_are_members_like_others() {
        let mut all = set(&[(0, 0), (u64::MAX, u64::MAX)]);
        assert_eq!(all.absent(0, u64::MAX), u64::MAX - 1);
        assert_eq!(all.insert(u64::MAX - 1, u64::MAX), 1);
        assert_eq!(all.insert(0, u64::MAX), u64::MAX - 2);
        assert_eq!(
            (all.pieces(), all.first(), all.last()),
            (1, Some(0), Some(u64::MAX))
        );
        assert!(all.complement(0, u64::MAX).is_empty());
        assert_eq!(all.insert(5, 4), 0);
    }

    #[test]
    fn what_rises_stays_one_range() {
        let mut rising = Ranges::new();
        for sequence in 1..=100_000 {
            assert_eq!(rising.insert(sequence, sequence), 1);
        }
        assert_eq!((rising.pieces(), rising.len()), (1, 100_000));
    }

    proptest! {
        #[test]
        fn ranges_are_a_set(
            inserts in prop::collection::vec((0u64..60, 0u64..8), 0..40),
            others in prop::collection::vec((0u64..60, 0u64..8), 0..40),
            (from, length) in (0u64..60, 0u64..20),
        ) {
            let mut plain = BTreeSet::new();
            let mut ranges = Ranges::new();
            for (from, length) in inserts {
                let before = plain.len();
                plain.extend(from..=from + length);
                prop_assert_eq!(ranges.insert(from, from + length), (plain.len() - before) as u64);
            }
            let members = |ranges: &Ranges| -> Vec<u64> { ranges.iter().flat_map(|(a, b)| a..=b).collect() };
            prop_assert_eq!(members(&ranges), plain.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(ranges.len(), plain.len() as u64);
            let mut last = None;
            for (first, end) in ranges.iter() {
                prop_assert!(first <= end && last.is_none_or(|last| last + 1 < first), "disjoint and apart");
                last = Some(end);
            }
            let through = from + length;
            let absent: Vec<u64> = (from..=through).filter(|n| !plain.contains(n)).collect();
            prop_assert_eq!(ranges.absent(from, through), absent.len() as u64);
            prop_assert_eq!(members(&ranges.complement(from, through)), absent);

            let other = set(&others.iter().map(|(from, length)| (*from, from + length)).collect::<Vec<_>>());
            let strange: BTreeSet<u64> = others.iter().flat_map(|(from, length)| *from..=from + length).collect();
            prop_assert_eq!(members(&ranges.minus(&other)), plain.difference(&strange).copied().collect::<Vec<_>>());
            ranges.extend(&other);
            prop_assert_eq!(members(&ranges), plain.union(&strange).copied().collect::<Vec<_>>());
        }
    }
}
