//! The oracle: what the nodes were told is durable, against the values in the topic.
//!
//! Owns the join. It goes by values alone: our sequence numbers only say which record of a sensor comes first, so a
//! mistake in them shows. Pure.

use std::collections::{BTreeMap, HashMap};

use super::nodes::NodeLog;
use crate::audit::Identity;

/// What one sensor's records say, each reading once, in order.
type Values = BTreeMap<u64, u64>;

/// What was read back.
#[derive(Debug, Clone, Default)]
pub struct Oracle {
    /// By sensor; the epochs in the order in which they were heard, and in each the values' bits by sequence number.
    sensors: HashMap<String, Vec<(u64, Values)>>,
    /// Records that hold no temperature.
    unreadable: u64,
}

/// What the join found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Readings that nodes were told are durable.
    pub acknowledged: u64,
    /// Of these: not in the topic, with later ones of the sensor there.
    pub missing: u64,
    /// Of these: not in the topic, nor anything later of the sensor: perhaps still queued.
    pub behind: u64,
    /// Of these: in the topic before an earlier one.
    pub disorder: u64,
    /// In the topic, and no node ever said so.
    pub strange: u64,
}

impl Oracle {
    /// Takes note of a record.
    pub fn heard(&mut self, identity: &Identity<'_>, value: Option<&[u8]>) {
        let Some(temperature) = value.and_then(temperature) else {
            self.unreadable += 1;
            return;
        };
        if !self.sensors.contains_key(&*identity.sensor) {
            self.sensors.insert(identity.sensor.to_string(), Vec::new());
        }
        let Some(epochs) = self.sensors.get_mut(&*identity.sensor) else {
            return;
        };
        let index = epochs.iter().position(|(epoch, _)| *epoch == identity.epoch);
        let index = index.unwrap_or_else(|| {
            epochs.push((identity.epoch, Values::new()));
            epochs.len() - 1
        });
        if let Some((_, values)) = epochs.get_mut(index) {
            // A duplicate with another value would be no duplicate: it is kept where it cannot match.
            let first = *values.entry(identity.from).or_insert(temperature.to_bits());
            self.unreadable += u64::from(first != temperature.to_bits());
        }
    }

    /// How many readings were read back, each counted once.
    #[must_use]
    pub fn readings(&self) -> u64 {
        let epochs = self.sensors.values().flatten();
        epochs.map(|(_, values)| values.len() as u64).sum()
    }

    /// Joins with what the nodes say.
    #[must_use]
    pub fn compare(&self, logs: &[NodeLog]) -> Comparison {
        let mut sum = Comparison {
            strange: self.unreadable,
            ..Comparison::default()
        };
        for log in logs {
            let epochs = self
                .sensors
                .get(&log.sensor)
                .map(Vec::as_slice)
                .unwrap_or_default();
            let topic: Vec<u64> = epochs
                .iter()
                .flat_map(|(_, values)| values.values().copied())
                .collect();
            join(log, &topic, &mut sum);
        }
        let known = |sensor: &&String| !logs.iter().any(|log| log.sensor == **sensor);
        sum.strange += self.sensors.keys().filter(known).count() as u64;
        sum
    }
}

fn join(log: &NodeLog, topic: &[u64], sum: &mut Comparison) {
    let mut places: HashMap<u64, Vec<usize>> = HashMap::new();
    for (place, bits) in topic.iter().enumerate() {
        places.entry(*bits).or_default().push(place);
    }
    let mut taken = vec![false; topic.len()];
    let (mut next, mut absent) = (0, 0);
    for (index, value) in log.kept.iter().enumerate() {
        let acknowledged = index < log.acknowledged;
        sum.acknowledged += u64::from(acknowledged);
        let free = places
            .get(&value.to_bits())
            .map(Vec::as_slice)
            .unwrap_or_default();
        let free = || free.iter().copied().filter(|place| !taken[*place]);
        // The next one in order, else one that came too early.
        let found = free().find(|place| *place >= next).or_else(|| free().next());
        let Some(place) = found else {
            absent += u64::from(acknowledged);
            continue;
        };
        taken[place] = true;
        sum.disorder += u64::from(place < next);
        next = next.max(place + 1);
        sum.missing += std::mem::take(&mut absent);
    }
    sum.behind += absent;
    sum.strange += taken.iter().filter(|taken| !**taken).count() as u64;
}

/// The temperature in a record of `format = "json"`, bit for bit.
fn temperature(value: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(value).ok()?;
    let (_, rest) = text.split_once(r#","temperature":"#)?;
    let end = rest.find([',', '}'])?;
    rest.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oracle(topic: &[(u64, f64)]) -> Oracle {
        let mut oracle = Oracle::default();
        for (sequence, value) in topic {
            let identity = Identity {
                device: "demo",
                epoch: 1,
                sensor: "s".into(),
                from: *sequence,
                through: *sequence,
            };
            let record = format!(r#"{{"sensorId":"s","temperature":{value},"unit":"C"}}"#);
            oracle.heard(&identity, Some(record.as_bytes()));
        }
        oracle
    }

    fn log(kept: &[f64], acknowledged: usize) -> NodeLog {
        NodeLog {
            sensor: "s".into(),
            kept: kept.to_vec(),
            acknowledged,
        }
    }

    #[test]
    fn the_join_goes_by_values() {
        // Acknowledged, missing, behind, disorder, strange.
        let check = |name: &str, topic: &[(u64, f64)], log: NodeLog, expect: [u64; 5]| {
            let found = oracle(topic).compare(&[log]);
            let found = [
                found.acknowledged,
                found.missing,
                found.behind,
                found.disorder,
                found.strange,
            ];
            assert_eq!(found, expect, "{name}");
        };
        let kept = [1.5, 2.5, 3.5];
        let all = [(1, 1.5), (2, 2.5), (3, 3.5)];
        check("all", &all, log(&kept, 3), [3, 0, 0, 0, 0]);
        check("more than was acknowledged", &all, log(&kept, 1), [1, 0, 0, 0, 0]);
        check(
            "again",
            &[all[0], all[1], all[1], all[2]],
            log(&kept, 3),
            [3, 0, 0, 0, 0],
        );
        check(
            "one lost before it got a number",
            &[(1, 1.5), (2, 3.5)],
            log(&kept, 3),
            [3, 1, 0, 0, 0],
        );
        check(
            "one lost after it",
            &[(1, 1.5), (3, 3.5)],
            log(&kept, 3),
            [3, 1, 0, 0, 0],
        );
        check("the rest is behind", &[(1, 1.5)], log(&kept, 3), [3, 0, 2, 0, 0]);
        check(
            "behind without promise",
            &[(1, 1.5)],
            log(&kept, 1),
            [1, 0, 0, 0, 0],
        );
        check(
            "numbered in a wrong order",
            &[(1, 2.5), (2, 1.5), (3, 3.5)],
            log(&kept, 3),
            [3, 0, 0, 1, 0],
        );
        check(
            "a wrong value",
            &[(1, 1.5), (2, 2.6), (3, 3.5)],
            log(&kept, 3),
            [3, 1, 0, 0, 1],
        );
        check(
            "a number for two",
            &[(1, 1.5), (1, 2.5), (2, 3.5)],
            log(&kept, 3),
            [3, 1, 0, 0, 1],
        );
        check(
            "stored twice",
            &[(1, 1.5), (2, 1.5), (3, 2.5), (4, 3.5)],
            log(&kept, 3),
            [3, 0, 0, 0, 1],
        );
        check("nothing", &[], log(&kept, 3), [3, 0, 3, 0, 0]);
        check(
            "equal values",
            &[(1, 1.5), (2, 1.5)],
            log(&[1.5, 1.5], 2),
            [2, 0, 0, 0, 0],
        );
    }

    #[test]
    fn a_sensor_that_no_node_has_is_strange() {
        let logs = [NodeLog {
            sensor: "t".into(),
            ..NodeLog::default()
        }];
        assert_eq!(oracle(&[(1, 1.5)]).compare(&logs).strange, 1);
    }

    #[test]
    fn temperatures_are_read_as_they_stand() {
        for (value, expect) in [
            (
                r#"{"sensorId":"a","temperature":21.500001,"unit":"C"}"#,
                Some(21.500_001),
            ),
            (r#"{"sensorId":"a","temperature":-3}"#, Some(-3.0)),
            (r#"{"sensorId":"a","temperature":null}"#, None),
            (r#"{"sensorId":"a"}"#, None),
            ("", None),
        ] {
            assert_eq!(temperature(value.as_bytes()), expect, "{value}");
        }
    }
}
