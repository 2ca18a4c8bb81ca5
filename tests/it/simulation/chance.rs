//! Chance: what a seed says. Each part has a stream of its own, so that one more question here changes nothing there.

use edgespool::forward::backoff::Dice;

#[derive(Debug, Clone)]
pub(super) struct Chance(Dice);

impl Chance {
    /// The stream of that name.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut dice = Dice::new(seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(stream));
        for _ in 0..4 {
            dice.roll();
        }
        Self(dice)
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0.roll()
    }

    /// Below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        (self.0.roll() >> 11) % bound
    }

    /// From `least` to `most`, both included.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    pub(super) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// True in that many of a thousand cases.
    pub(super) fn permille(&mut self, count: u64) -> bool {
        self.below(1000) < count
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}
