//! The driver: reads topics to their end and hands every record to the tally.
//!
//! Owns the choice of topics and the patience. Must not judge.

use std::collections::BTreeSet;
use std::time::Duration;

use super::identity::Heard;
use super::report::{Report, Strictness, Verdict};
use super::tally::Tally;
use crate::clock;
use crate::forward::kafka::consumer::{Consumer, ConsumerError, Event, Record, Settings, Start};

/// How long one look at the consumer takes at most.
const LOOK: Duration = Duration::from_millis(250);

/// What is to be audited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `host:port` each.
    pub brokers: Vec<String>,
    /// Names of topics, which are read as one feed; `*` stands for any text, so that `{sensor}` of a topic template is
    /// written `*`.
    pub topics: Vec<String>,
    /// Of this device only.
    pub device: Option<String>,
    /// Whether a reading may be there twice.
    pub strictness: Strictness,
    /// Passed on to librdkafka as they are: TLS, credentials.
    pub librdkafka: Vec<(String, String)>,
    /// How long a broker that does not answer is waited for.
    pub patience: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A topic cannot be read.
    #[error("failed to read the topics")]
    Consumer(#[source] ConsumerError),
    /// No topic is named.
    #[error("no topic is named")]
    NoTopic,
    /// No topic of the cluster has a name like that.
    #[error("no topic has a name like {0}")]
    NoMatch(String),
}

impl AuditError {
    /// The process's exit code, one of sysexits: 64 usage, 69 unavailable, 77 no permission, 78 configuration.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoTopic => 64,
            Self::Consumer(ConsumerError::Settings(_)) => 78,
            Self::Consumer(ConsumerError::Refused { .. }) => 77,
            Self::Consumer(_) | Self::NoMatch(_) => 69,
        }
    }

    /// What helps, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Consumer(error) => error.hint(),
            Self::NoTopic => {
                Some("name one, as in: edgespool audit --brokers localhost:9092 temperature".into())
            }
            Self::NoMatch(_) => None,
        }
    }
}

impl From<ConsumerError> for AuditError {
    fn from(error: ConsumerError) -> Self {
        Self::Consumer(error)
    }
}

/// The answer, ready to be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What was found.
    pub report: Report,
}

impl Answer {
    /// What goes to stdout: the table, and with `json` one object as the only line.
    #[must_use]
    pub fn output(&self, json: bool) -> String {
        if json {
            self.report.json()
        } else {
            self.report.to_string()
        }
    }

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.report.verdict.exit_code()
    }

    /// The answer in one word.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.report.verdict
    }
}

/// Reads all partitions of the topics, from the oldest record to the end as it is when each topic's turn comes, and
/// judges. `progress` is told how many records were read and about how many are left in the topic, from time to time.
///
/// # Errors
/// When a topic cannot be read at all. When a broker falls silent for `patience` in the middle, the report says that it
/// is not complete.
pub fn run(options: &Options, progress: &mut dyn FnMut(u64, u64)) -> Result<Answer, AuditError> {
    let mut consumer = Consumer::new(&Settings {
        brokers: options.brokers.clone(),
        client_id: "edgespool-audit".to_owned(),
        librdkafka: options.librdkafka.clone(),
        patience: options.patience,
    })?;
    let topics = choose(&options.topics, || consumer.topics())?;
    let mut tally = Tally::new(options.device.as_deref());
    let (mut complete, mut read) = (true, 0);
    for topic in &topics {
        consumer.begin(topic, Start::Earliest, &mut |event| hear(&mut tally, &event))?;
        let mut last_heard = clock::mono();
        while !consumer.is_at_end() {
            let heard = consumer.poll(LOOK, &mut |event| hear(&mut tally, &event))?;
            read += heard as u64;
            progress(read, consumer.left());
            let now = clock::mono();
            if heard > 0 {
                last_heard = now;
            } else if now.since(last_heard) >= options.patience {
                complete = false;
                break;
            }
        }
    }
    let report = Report::of(&tally, complete, options.strictness);
    Ok(Answer { report })
}

/// Hands an event on to a tally.
pub(crate) fn hear(tally: &mut Tally, event: &Event<'_>) {
    match event {
        Event::Record(record) => {
            let part = tally.part(record.topic(), record.partition());
            tally.record(part, &heard(record));
        }
        Event::Removed {
            topic,
            partition,
            earliest,
        } => {
            let part = tally.part(topic, *partition);
            tally.removed(part, *earliest);
        }
    }
}

/// A record in the tally's terms.
pub(crate) fn heard<'a>(record: &'a Record<'_>) -> Heard<'a> {
    Heard {
        offset: record.offset(),
        key: record.key(),
        value: record.value(),
        device: record.header("device"),
        epoch: record.header("epoch"),
        seq: record.header("seq"),
    }
}

/// The topics that are meant, each once; the cluster is asked only where a name has a `*`.
fn choose(
    wanted: &[String],
    all: impl Fn() -> Result<Vec<String>, ConsumerError>,
) -> Result<Vec<String>, AuditError> {
    if wanted.is_empty() {
        return Err(AuditError::NoTopic);
    }
    let mut chosen = BTreeSet::new();
    let mut known = None;
    for pattern in wanted {
        if !pattern.contains('*') {
            chosen.insert(pattern.clone());
            continue;
        }
        let known: &Vec<String> = match &known {
            Some(known) => known,
            None => known.insert(all()?),
        };
        let before = chosen.len();
        chosen.extend(known.iter().filter(|topic| matches(pattern, topic)).cloned());
        if chosen.len() == before && !known.iter().any(|topic| matches(pattern, topic)) {
            return Err(AuditError::NoMatch(pattern.clone()));
        }
    }
    Ok(chosen.into_iter().collect())
}

/// Whether a name is what the pattern says, where `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(start) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let end = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some((_, after)) = name.split_once(piece) else {
            return false;
        };
        name = after;
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, name, expect) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*.b", "a.b", true),
            ("*.b", "a.bc", false),
            ("a*a", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a**c", "ac", true),
            ("*b*", "abc", true),
        ] {
            assert_eq!(matches(pattern, name), expect, "{pattern} {name}");
        }
    }

    #[test]
    fn topics_are_chosen_once_and_the_cluster_asked_only_for_stars() {
        let all = || Ok(["b", "oslo.a", "oslo.b"].map(String::from).to_vec());
        let never = || panic!("not asked");
        let choice = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|&text| text.to_owned()).collect();
            choose(&wanted, all).map_err(|error| error.to_string())
        };
        assert_eq!(
            choice(&["oslo.*", "b", "oslo.a"]).unwrap(),
            ["b", "oslo.a", "oslo.b"]
        );
        assert_eq!(choice(&["oslo.*", "oslo.b*"]).unwrap(), ["oslo.a", "oslo.b"]);
        assert_eq!(choice(&["x*"]).unwrap_err(), "no topic has a name like x*");
        assert_eq!(choice(&[]).unwrap_err(), "no topic is named");
        assert_eq!(choose(&["x".to_owned()], never).unwrap(), ["x"]);
    }
}
