//! One client: a producer of librdkafka with a thread that polls it and one that finds out when it is connected.
//!
//! Owns its beginning and its end. Promises that nothing wakes up while nothing happens, that its end is nobody's wait
//! (its own thread takes it down), and that what it had under way is reported as lost before. Must not know tickets.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use rdkafka::config::{ClientConfig, FromClientConfigAndContext as _};
use rdkafka::producer::{BaseProducer, Producer as _, PurgeConfig};

use super::ask;
use super::context::{Context, Shared};
use crate::forward::broker::{BrokerError, BrokerEvent};

pub(super) type Producer = BaseProducer<Context>;

/// How long one call of the poll may take: events are handled at once in any case; this is how long a client that was
/// replaced stays around.
const POLL: Duration = Duration::from_secs(10);
/// How long one question for metadata may take. It returns as soon as a broker answers.
const ASK: Duration = Duration::from_secs(10);
/// The same while the link may be up: as long as a slow one may take to answer.
const ASK_IN_DOUBT: Duration = Duration::from_secs(3);
/// Between two such questions when one failed at once.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// A client and its threads.
pub(super) struct Client {
    producer: Arc<Producer>,
    end: Arc<End>,
}

/// How the threads learn that the client was replaced.
struct End {
    ended: AtomicBool,
    /// The forwarder's own reference, so that it is not the forwarder that drops the last one.
    producer: Mutex<Option<Arc<Producer>>>,
}

impl Client {
    /// A client that begins to connect.
    ///
    /// # Errors
    /// When librdkafka refuses the settings or a thread cannot be started.
    pub(super) fn start(
        config: &ClientConfig,
        shared: &Arc<Shared>,
        probe_topic: &str,
    ) -> Result<Self, BrokerError> {
        let context = Context::new(shared.clone());
        let producer = Producer::from_config_and_context(config, context)
            .map_err(|error| BrokerError::Settings(error.to_string()))?;
        let client = Self {
            producer: Arc::new(producer),
            end: Arc::new(End {
                ended: AtomicBool::new(false),
                producer: Mutex::new(None),
            }),
        };
        let (producer, end, alarm) = (client.producer.clone(), client.end.clone(), Alarm(shared.clone()));
        spawn("kafka-poll", move || {
            let _alarm = alarm;
            poll(producer, &end);
        })?;
        let (producer, end, alarm) = (
            Arc::downgrade(&client.producer),
            client.end.clone(),
            Alarm(shared.clone()),
        );
        let topic = probe_topic.to_owned();
        spawn("kafka-link", move || {
            watch_link(&producer, &end, &alarm.0, &topic)
        })?;
        Ok(client)
    }

    pub(super) fn producer(&self) -> &Producer {
        &self.producer
    }

    pub(super) fn context(&self) -> &Context {
        self.producer.context()
    }

    /// Sees to it that what is asked about topics is answered.
    pub(super) fn answer_questions(&self, shared: &Arc<Shared>) {
        while shared.questions.wants_asker() {
            let (producer, end) = (Arc::downgrade(&self.producer), self.end.clone());
            let alarm = Alarm(shared.clone());
            let asker = spawn("kafka-topics", move || ask::run(&producer, &end.ended, &alarm.0));
            if let Err(error) = asker {
                // Asked again with the next topic, or the next client.
                tracing::error!(%error, "no thread to ask about topics");
                return shared.questions.no_asker();
            }
        }
    }

    /// Gives the client up: everything under way is reported as lost, and its threads take it down.
    pub(super) fn retire(self, shared: &Shared) {
        self.context().retire();
        self.producer.purge(PurgeConfig::default().queue().inflight());
        let mut slot = self.end.producer.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(self.producer);
        self.end.ended.store(true, Ordering::Release);
        drop(slot);
        shared.wake_waiters();
    }

    /// Lets go without a destructor: the process is about to end.
    pub(super) fn leave(self) {
        std::mem::forget(self);
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), BrokerError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map(drop)
        .map_err(BrokerError::Thread)
}

/// Says so when a thread ends by a panic.
struct Alarm(Arc<Shared>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            (self.0.events)(BrokerEvent::Panicked);
        }
    }
}

fn poll(producer: Arc<Producer>, end: &End) {
    while !end.ended.load(Ordering::Acquire) {
        producer.poll(POLL);
    }
    let forwarders = end.producer.lock().unwrap_or_else(PoisonError::into_inner).take();
    // Here, and on no thread that has something to do, librdkafka may wait for its brokers, sockets and resolvers.
    drop((producer, forwarders));
}

/// Asks for metadata while there is doubt about the link: the question waits within librdkafka until a broker is up, so
/// that the answer is the news, and nothing polls. (That all brokers are down is said by an event of librdkafka's too,
/// but not when a broker that it knows was never tried.)
fn watch_link(producer: &Weak<Producer>, end: &End, shared: &Shared, topic: &str) {
    while !end.ended.load(Ordering::Acquire) {
        let (was_up, doubts) = shared.wait_for_doubt(&end.ended);
        let Some(producer) = producer.upgrade() else {
            return;
        };
        let patience = if was_up { ASK_IN_DOUBT } else { ASK };
        let answer = producer.client().fetch_metadata(Some(topic), patience);
        drop(producer);
        if end.ended.load(Ordering::Acquire) {
            return;
        }
        if let Ok(metadata) = &answer
            && let Some(good @ Ok(())) = ask::judge(metadata, topic)
        {
            shared.questions.answer(topic.into(), good);
        }
        shared.set_link(answer.is_ok(), doubts);
        if answer.is_err() {
            shared.wait_a_little(ASK_AGAIN);
        }
    }
}
