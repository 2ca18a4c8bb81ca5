//! `max-rate`: how fast bytes may leave, so that a thin link is left to others as well.
//!
//! A bucket of a quarter of a second's bytes: a record may go while there is anything in it, and takes what it weighs, so
//! that one larger than the bucket goes too and is paid for afterwards. One that ran empty stays shut until it is half full,
//! so that records leave in batches and nobody is woken for each. Pure: the monotonic time comes in.

use std::time::Duration;

use crate::clock::Mono;

/// The bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Bytes a second.
    rate: u64,
    /// What is in it; negative while something is not paid for yet.
    bytes: i64,
    /// Nothing goes until it is half full.
    shut: bool,
    /// When it was filled last.
    at: Mono,
}

impl Bucket {
    /// A full one, for so many bytes a second.
    #[must_use]
    pub fn new(rate: u64, now: Mono) -> Self {
        let mut this = Self {
            rate: rate.max(1),
            bytes: 0,
            shut: false,
            at: now,
        };
        this.bytes = this.size();
        this
    }

    fn size(&self) -> i64 {
        i64::try_from(self.rate / 4).unwrap_or(i64::MAX).max(2)
    }

    /// Whether something may go now.
    pub fn is_open(&mut self, now: Mono) -> bool {
        let gained = u128::from(self.rate) * now.since(self.at).as_nanos() / 1_000_000_000;
        // What is less than a byte is not lost: it is counted with the next look.
        if gained > 0 {
            let gained = i64::try_from(gained).unwrap_or(i64::MAX);
            self.bytes = self.bytes.saturating_add(gained).min(self.size());
            self.at = now;
        }
        self.shut &= self.bytes < self.size() / 2;
        !self.shut
    }

    /// So many bytes go.
    pub fn take(&mut self, bytes: usize) {
        self.bytes = self
            .bytes
            .saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.shut |= self.bytes <= 0;
    }

    /// When it opens, while it is shut.
    #[must_use]
    pub fn opens(&self) -> Option<Mono> {
        let lacks = u64::try_from((self.size() / 2).saturating_sub(self.bytes)).unwrap_or(0);
        let nanos = u128::from(lacks) * 1_000_000_000 / u128::from(self.rate);
        let wait = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX).saturating_add(1));
        self.shut.then(|| self.at.after(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Sends records of that size for so long; how many bytes went, and how often it had to be woken.
    fn sent(rate: u64, record: usize, seconds: u64) -> (u64, u64) {
        let mut now = Mono(5 * SECOND);
        let end = Mono(now.0 + seconds * SECOND);
        let mut bucket = Bucket::new(rate, now);
        let (mut bytes, mut woken) = (0, 0);
        while now < end {
            while bucket.is_open(now) {
                bucket.take(record);
                bytes += record as u64;
            }
            now = bucket.opens().expect("it is shut");
            woken += 1;
            assert!(woken < 100_000, "it does not open when it says so");
        }
        (bytes, woken)
    }

    #[test]
    fn never_more_than_the_rate_and_little_less_in_few_batches() {
        for (rate, record) in [
            (20_480, 150),
            (20_480, 30_000),
            (1_000_000, 700),
            (200, 150),
            (3, 150),
        ] {
            let (bytes, woken) = sent(rate, record, 100);
            let (most, least) = (rate * 100 + rate / 4 + record as u64, rate * 95);
            assert!(bytes <= most, "{rate}: {bytes} of {most}");
            assert!(bytes + record as u64 >= least, "{rate}: {bytes} of {least}");
            assert!(woken <= 1000, "{rate}: woken {woken} times in 100 s");
        }
    }

    #[test]
    fn after_a_silence_no_more_than_a_quarter_of_a_second_goes_at_once() {
        let mut bucket = Bucket::new(1000, Mono(0));
        assert!(bucket.is_open(Mono(3600 * SECOND)));
        let mut sent = 0;
        while bucket.is_open(Mono(3600 * SECOND)) {
            bucket.take(10);
            sent += 10;
        }
        assert_eq!(sent, 250);
    }
}
