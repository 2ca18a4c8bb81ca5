//! Dead letters on their way to Kafka: sent again as they were, or to a topic of their own.
//!
//! Promises that a letter leaves the queue's directory only when a broker has acknowledged its record, and that the topic
//! of dead letters gets each of them at least once. Must not know why they are dead.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::Settings;
use super::courier::{Courier, Parcel, headers};
use crate::forward::broker::BrokerError;
use crate::queue::dead::{DeadError, DeadLetters, Letter, Redrive};

/// Letters that are sent at once.
const BATCH: usize = 256;
/// When the topic takes nothing.
const AGAIN: Duration = Duration::from_secs(30);

/// What a redrive came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redriven {
    /// Letters that were acknowledged, and are gone.
    pub sent: u64,
    /// Letters that were refused again, and stay.
    pub refused: u64,
    /// Lines that are no letters any more, and are dropped.
    pub damaged: u64,
    /// Why the last one was refused.
    pub why: Option<String>,
}

/// Why letters cannot be sent again.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    /// The directory.
    #[error(transparent)]
    Letters(#[from] DeadError),
    /// The client.
    #[error(transparent)]
    Client(#[from] BrokerError),
}

/// Sends all dead letters of a queue again, to the topics that they were for. An agent may run meanwhile.
///
/// # Errors
/// When the directory or the client fails.
pub fn redrive(settings: &Settings, queue: &Path) -> Result<Redriven, RedriveError> {
    let mut done = Redriven::default();
    let Some(redrive) = Redrive::begin(queue)? else {
        return Ok(done);
    };
    let courier = Courier::new(settings)?;
    for file in redrive.files()? {
        let (letters, damaged) = redrive.letters(&file)?;
        done.damaged += damaged as u64;
        let mut left = Vec::new();
        for batch in letters.chunks(BATCH) {
            let parcels = batch.iter().map(|letter| again(settings, letter)).collect();
            for (letter, word) in batch.iter().zip(courier.send(parcels)) {
                match word {
                    Ok(()) => done.sent += 1,
                    Err(why) => {
                        done.refused += 1;
                        done.why = Some(why);
                        left.push(letter.clone());
                    }
                }
            }
        }
        redrive.leave(&file, &left)?;
    }
    Ok(done)
}

/// The record as it was.
fn again(settings: &Settings, letter: &Letter) -> Parcel {
    Parcel {
        topic: letter.topic.clone(),
        key: letter.key.clone(),
        value: letter.record.bytes().unwrap_or_default(),
        timestamp: letter.timestamp,
        headers: headers(settings, letter),
    }
}

/// Starts the thread that sends letters, as they are kept, to the topic of dead letters, until they are closed.
///
/// # Errors
/// When there is no thread.
pub fn follow(settings: Settings, topic: String, letters: Arc<DeadLetters>) -> Result<(), BrokerError> {
    let thread = thread::Builder::new().name("dead-topic".to_owned());
    let work = move || {
        let mut courier = None;
        let mut seen = 0;
        while let Some(kept) = letters.wait_for_more(seen) {
            seen = kept;
            while let Err(error) = send_new(&settings, &topic, &letters, &mut courier) {
                tracing::warn!(
                    topic,
                    error,
                    "the topic of dead letters takes nothing; they stay in the queue's directory"
                );
                if letters.is_closed_within(AGAIN) {
                    return;
                }
            }
            // A connection is not kept open for what is rare.
            courier = None;
        }
    };
    thread.spawn(work).map(drop).map_err(BrokerError::Thread)
}

/// Sends what the topic has not got yet.
fn send_new(
    settings: &Settings,
    topic: &str,
    letters: &DeadLetters,
    courier: &mut Option<Courier>,
) -> Result<(), String> {
    loop {
        let batch = letters.unsent(BATCH).map_err(|error| error.to_string())?;
        if batch.letters.is_empty() {
            return Ok(());
        }
        if courier.is_none() {
            *courier = Some(Courier::new(settings).map_err(|error| error.to_string())?);
        }
        let parcels = batch
            .letters
            .iter()
            .map(|letter| envelope(settings, topic, letter));
        let words = courier.as_ref().map(|courier| courier.send(parcels.collect()));
        if let Some(Err(why)) = words.into_iter().flatten().find(Result::is_err) {
            return Err(why);
        }
        letters.sent(&batch).map_err(|error| error.to_string())?;
    }
}

/// The letter itself as a record, with the key and the headers of the original.
fn envelope(settings: &Settings, topic: &str, letter: &Letter) -> Parcel {
    Parcel {
        topic: topic.to_owned(),
        key: letter.key.clone(),
        value: serde_json::to_vec(letter).unwrap_or_default(),
        // Its own time may be what the broker refused.
        timestamp: crate::format::millis(crate::clock::wall()),
        headers: headers(settings, letter),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::RDKafkaRespErr as Err;

    use super::*;
    use crate::forward::kafka::Acks;
    use crate::queue::dead::Content;

    fn letter(from: u64, topic: &str) -> Letter {
        Letter {
            device: "gw".into(),
            sensor_id: "shed".into(),
            epoch: 7,
            from,
            through: from,
            reason: "too-large".into(),
            why: "why".into(),
            topic: topic.into(),
            key: "shed".into(),
            timestamp: 1_782_482_400_123,
            kept_at: "2026-06-26T14:00:01.000Z".into(),
            record: Content::new(b"{}"),
        }
    }

    fn settings(brokers: String) -> Settings {
        Settings {
            brokers: vec![brokers],
            device: "gw".into(),
            compression: "none".into(),
            acks: Acks::All,
            headers: Vec::new(),
            max_rate: None,
            librdkafka: Vec::new(),
        }
    }

    #[test]
    fn letters_that_are_acknowledged_are_gone_and_refused_ones_stay() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("good", 1, 1).unwrap();
        let absent = Err::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        cluster.topic_error("bad", absent).unwrap();
        let queue = tempfile::tempdir().unwrap();
        let letters = DeadLetters::of(queue.path());
        let all = [letter(1, "good"), letter(2, "bad"), letter(3, "good")];
        letters.keep(&all).unwrap();
        let settings = settings(cluster.bootstrap_servers());
        let done = redrive(&settings, queue.path()).unwrap();
        assert_eq!((done.sent, done.refused, done.damaged), (2, 1, 0), "{done:?}");
        let left: Vec<_> = letters.letters().unwrap().map(Result::unwrap).collect();
        assert_eq!(left, all[1..2]);
        cluster
            .topic_error("bad", Err::RD_KAFKA_RESP_ERR_NO_ERROR)
            .unwrap();
        assert_eq!(redrive(&settings, queue.path()).unwrap().sent, 1);
        assert_eq!(letters.figures().letters, 0);
    }

    #[test]
    fn letters_follow_to_a_topic_of_their_own_and_stay() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("dead", 1, 1).unwrap();
        let queue = tempfile::tempdir().unwrap();
        let letters = DeadLetters::of(queue.path());
        letters.keep(&[letter(1, "good"), letter(2, "good")]).unwrap();
        let settings = settings(cluster.bootstrap_servers());
        send_new(&settings, "dead", &letters, &mut None).unwrap();
        assert_eq!(letters.unsent(9).unwrap().letters, []);
        assert_eq!(letters.figures().letters, 2);
    }
}
