//! Kafka as a broker, by librdkafka: this file and its folder are the only ones that name it.
//!
//! Owns the client and what is under way with it. Promises that every ticket is reported once, when its last record is;
//! that a ticket counts as delivered only when every record of it was acknowledged; that memory under way is bounded by a
//! window of its own, well below librdkafka's; and that no call here waits for the network. Must not know lanes or
//! queues.
//!
//! A ticket larger than what is left of the window is handed over in part and continued when there is room, so that one
//! ticket never takes more memory than the window.
//!
//! When a broker refuses a batch for one of its records, or for its size, librdkafka does not say for which. So such
//! tickets are sent again by a second client, made for that and kept, which packs every record alone: what fails there is
//! at fault itself.
//!
//! Tickets for a topic that is not known to be good wait here, outside of the client and its window, until a broker has
//! said so ([`ask`]); and those of a partition that has a batch under way, until that is reported ([`turns`]).

mod ask;
mod client;
pub mod consumer;
mod context;
mod courier;
mod errors;
mod headers;
pub mod mock;
pub mod redrive;
mod settings;
mod topic_book;
pub mod topics;
mod turns;
mod under_way;

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseRecord;
use rdkafka::types::RDKafkaErrorCode;

use self::client::{Client, Producer};
use self::context::Shared;
use self::errors::{Class, refusal};
use self::headers::Common;
pub use self::settings::{Acks, Settings};
use self::topic_book::TopicBook;
use self::turns::{Partition, Turn, Turns};
use self::under_way::{UnderWay, Verdict, cost};
use super::broker::{Broker, BrokerError, BrokerStatus, Busy, Events};
use super::rate::Bucket;
use crate::clock::{self, Mono};
use crate::format::{Format, Record};
use crate::ticket::{Outcome, Report, Ticket};

/// What may be under way at once, in bytes of memory: some 5,500 small records, two or three batches, enough for hundreds
/// of thousands a second, and a fraction of what the whole agent may take.
const WINDOW: usize = 4 << 20;
/// Tickets that may wait for their partition's turn; the forwarder's own allowance keeps them far below.
const WAITING: usize = 8192;

/// About what headers and framing add to a record on its way.
const HEADERS: usize = 128;

/// The broker.
pub struct Kafka {
    settings: Settings,
    config: ClientConfig,
    format: Box<dyn Format>,
    shared: Arc<Shared>,
    client: Option<Client>,
    /// Packs every record alone; made when there is first something to prove.
    prover: Option<Client>,
    /// Tickets being handed over, in order: one that was taken in part, and those to be proven.
    sending: VecDeque<Sending>,
    turns: Turns<Sending>,
    topics: TopicBook,
    /// Bounds what goes, if that is bounded.
    rate: Option<Bucket>,
    ready: VecDeque<Report>,
}

/// A ticket that is being handed to the client.
struct Sending {
    ticket: Arc<Ticket>,
    under_way: Arc<UnderWay>,
    /// Each record alone, by the prover.
    alone: bool,
    /// How many of its readings were handed over.
    done: usize,
}

impl Sending {
    fn new(ticket: Arc<Ticket>, turn: Turn) -> Self {
        Self {
            under_way: UnderWay::new(ticket.clone(), Some(turn)),
            ticket,
            alone: false,
            done: 0,
        }
    }

    /// Each record alone, by the prover.
    fn alone(ticket: Arc<Ticket>) -> Self {
        Self {
            under_way: UnderWay::new(ticket.clone(), None),
            ticket,
            alone: true,
            done: 0,
        }
    }
}

/// How the handing over of a record ended.
enum Handed {
    Over,
    Full,
    /// Its partition has a batch under way.
    Later(Arc<Partition>),
    Refused,
}

/// How the handing over of a ticket ended.
enum Passed {
    /// All of it is handed over, or it is given up.
    All,
    /// There is no room.
    Full,
    /// It is not its partition's turn.
    Later(Arc<Partition>),
}

impl Kafka {
    /// A broker whose client begins to connect. Nobody has to be there yet.
    ///
    /// # Errors
    /// When librdkafka refuses the settings or a thread cannot be started.
    pub fn start(settings: Settings, format: Box<dyn Format>, events: Events) -> Result<Self, BrokerError> {
        Self::with_window(settings, format, events, WINDOW)
    }

    fn with_window(
        settings: Settings,
        format: Box<dyn Format>,
        events: Events,
        window: usize,
    ) -> Result<Self, BrokerError> {
        let config = settings.client_config();
        let rate = settings.max_rate.map(|rate| Bucket::new(rate, clock::mono()));
        let shared = Shared::new(events, window);
        let client = Client::start(&config, &shared, &format.probe_topic())?;
        shared.clients.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            settings,
            config,
            format,
            shared,
            client: Some(client),
            prover: None,
            sending: VecDeque::new(),
            turns: Turns::default(),
            topics: TopicBook::default(),
            rate,
            ready: VecDeque::new(),
        })
    }

    /// The client, when it takes records.
    fn usable(&self) -> Option<&Client> {
        self.client.as_ref().filter(|client| !client.context().is_lost())
    }

    /// Keeps a ticket until it is known whether its topic may be used, and sees to it that somebody asks.
    fn ask_before(&mut self, topic: &str, ticket: Arc<Ticket>) {
        let Some(topic) = self.topics.hold(topic, ticket) else {
            return;
        };
        self.shared.questions.ask(&topic);
        if let Some(client) = self.usable() {
            client.answer_questions(&self.shared);
        }
    }

    /// Takes up what was found out about topics since.
    fn hear(&mut self) {
        self.hear_doubts();
        for (topic, answer) in self.shared.questions.answers() {
            let tickets = self.topics.answered(topic.clone(), answer.is_ok());
            match answer {
                Ok(()) => {
                    for ticket in tickets {
                        let turn = self.turns.turn(ticket.sensor, &topic);
                        self.sending.push_back(Sending::new(ticket, turn));
                    }
                }
                Err(why) => self.ready.extend(tickets.into_iter().map(|ticket| Report {
                    ticket: ticket.id,
                    outcome: Outcome::Misconfigured(why.clone()),
                })),
            }
        }
    }

    fn hear_doubts(&mut self) {
        for topic in self.shared.doubts() {
            self.topics.doubt(&topic);
        }
    }

    /// Makes the client with the same settings that packs every record alone, unless there is one.
    fn has_prover(&mut self) -> bool {
        if self.prover.is_some() {
            return true;
        }
        let mut config = self.config.clone();
        config.set("batch.num.messages", "1");
        match Client::start(&config, &self.shared, &self.format.probe_topic()) {
            Ok(prover) => self.prover = Some(prover),
            Err(error) => tracing::error!(%error, "no client to find out which record is at fault"),
        }
        self.prover.is_some()
    }

    /// All of it is handed over: the ticket's own reference is given back.
    fn finish(&mut self, sending: &Sending) {
        let verdict = sending.under_way.done();
        (verdict.iter()).for_each(|verdict| self.shared.note(&sending.under_way, verdict));
        match verdict {
            Some(Verdict::Report(report)) => self.ready.push_back(report),
            Some(Verdict::Prove(ticket)) => self.sending.push_front(Sending::alone(ticket)),
            None => {}
        }
    }

    /// Hands over as much as there is room for.
    fn hand_over(&mut self, sending: &mut Sending) -> Passed {
        let client = if sending.alone { &self.prover } else { &self.client };
        let Some(client) = client.as_ref().filter(|client| !client.context().is_lost()) else {
            return Passed::Full;
        };
        let now = clock::mono();
        let (producer, shared, rate) = (client.producer(), &self.shared, &mut self.rate);
        let mut common = Common::new(&self.settings.device, &self.settings.headers, &sending.ticket);
        let mut passed = Passed::Full;
        let under_way = &sending.under_way;
        let mut sink = |record: &Record<'_>| {
            if rate.as_mut().is_some_and(|rate| !rate.is_open(clock::mono())) {
                passed = Passed::Full;
                return ControlFlow::Break(());
            }
            passed = match produce(producer, shared, &mut common, under_way, record, now) {
                Handed::Over => {
                    let weight = record.key.len() + record.value.len() + HEADERS;
                    rate.iter_mut().for_each(|rate| rate.take(weight));
                    return ControlFlow::Continue(());
                }
                Handed::Full => Passed::Full,
                Handed::Later(partition) => Passed::Later(partition),
                Handed::Refused => Passed::All,
            };
            ControlFlow::Break(())
        };
        sending.done = self.format.write(&sending.ticket, sending.done, &mut sink);
        if sending.done >= sending.ticket.len() {
            return Passed::All;
        }
        passed
    }

    /// Hands over what is here, in order, as far as there is room.
    fn pass_on(&mut self) {
        while let Some(mut sending) = self.sending.pop_front() {
            if sending.alone && !self.has_prover() {
                let why = "it could not be found out which record is at fault".into();
                (sending.under_way).fault(Class::Again, sending.ticket.first(), why);
                self.finish(&sending);
                continue;
            }
            match self.hand_over(&mut sending) {
                Passed::All => self.finish(&sending),
                Passed::Later(partition) => self.turns.hold(partition, sending),
                Passed::Full => return self.sending.push_front(sending),
            }
        }
    }
}

/// Hands one record to the client.
fn produce(
    producer: &Producer,
    shared: &Shared,
    common: &mut Common<'_>,
    under_way: &Arc<UnderWay>,
    record: &Record<'_>,
    now: Mono,
) -> Handed {
    if !shared.gauge.has_room() {
        return Handed::Full;
    }
    let partition = under_way.partition();
    if let Some(partition) = partition.filter(|it| !it.admits(record.key.len() + record.value.len(), now)) {
        return Handed::Later(partition.clone());
    }
    let cost = cost(record.key.len(), record.value.len());
    under_way.add();
    partition.inspect(|it| it.add());
    shared.gauge.add(cost);
    // To librdkafka, no time is zero: the one millisecond after which nobody could say.
    let timestamp = if record.timestamp_ms == 0 {
        1
    } else {
        record.timestamp_ms
    };
    let message = BaseRecord::with_opaque_to(record.topic, under_way.clone())
        .key(record.key)
        .payload(record.value)
        .timestamp(timestamp)
        .headers(common.of(record));
    let Err((error, _)) = producer.send(message) else {
        return Handed::Over;
    };
    shared.gauge.remove(cost);
    partition.inspect(|it| it.cancel());
    let code = match error {
        KafkaError::Nul(_) => RDKafkaErrorCode::InvalidTopic,
        other => other.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown),
    };
    if code != RDKafkaErrorCode::QueueFull {
        shared.refused(under_way, refusal(code, record.topic), record);
    }
    // Not the last: the one for handing over is still to come.
    let verdict = under_way.done();
    debug_assert!(verdict.is_none());
    if code == RDKafkaErrorCode::QueueFull {
        shared.gauge.want();
        return Handed::Full;
    }
    // Each record by itself: the others are none the worse for it.
    if under_way.alone() {
        Handed::Over
    } else {
        Handed::Refused
    }
}

impl Broker for Kafka {
    fn send(&mut self, ticket: Arc<Ticket>) -> Result<(), Busy> {
        if self.usable().is_none() {
            self.shared.gauge.want();
            return Err(Busy);
        }
        self.hear_doubts();
        let topic = self.format.topic(&ticket.def);
        if !topic.is_empty() && !self.topics.is_good(&topic) {
            self.ask_before(&topic, ticket);
            return Ok(());
        }
        // Whoever waits for a partition is told when that is free.
        if !self.sending.is_empty() || !self.shared.gauge.has_room() || self.turns.held() >= WAITING {
            return Err(Busy);
        }
        let turn = self.turns.turn(ticket.sensor, &topic);
        self.sending.push_back(Sending::new(ticket, turn));
        self.resume();
        Ok(())
    }

    fn resume(&mut self) {
        self.hear();
        for ticket in self.shared.suspects() {
            self.sending.push_front(Sending::alone(ticket));
        }
        loop {
            self.sending.extend(self.turns.free());
            self.pass_on();
            // Full, or nothing is here that could go now.
            if !self.sending.is_empty() || !self.turns.has_free() {
                return;
            }
        }
    }

    fn ready(&mut self) -> Option<Report> {
        self.ready.pop_front()
    }

    fn renew(&mut self) -> Result<(), BrokerError> {
        if let Some(client) = self.client.take() {
            client.retire(&self.shared);
        }
        if let Some(prover) = self.prover.take() {
            prover.retire(&self.shared);
        }
        // Tickets that the old ones took in part are over with them.
        let taken = std::mem::take(&mut self.sending);
        for sending in taken.into_iter().chain(self.turns.clear()) {
            let why = "the client was replaced".into();
            (sending.under_way).fault(Class::Client, sending.ticket.first(), why);
            self.finish(&sending);
        }
        let client = Client::start(&self.config, &self.shared, &self.format.probe_topic())?;
        self.shared.clients.fetch_add(1, Ordering::Relaxed);
        client.answer_questions(&self.shared);
        self.client = Some(client);
        Ok(())
    }

    fn reachable(&self) -> bool {
        self.shared.is_up()
    }

    fn deadline(&self) -> Option<Mono> {
        let waits = !self.sending.is_empty();
        self.rate.as_ref().filter(|_| waits).and_then(Bucket::opens)
    }

    fn status(&self) -> BrokerStatus {
        BrokerStatus {
            reachable: self.shared.is_up(),
            last_error: self.shared.last_error(),
            records_under_way: self.shared.gauge.records(),
            bytes_under_way: self.shared.gauge.bytes(),
            clients: self.shared.clients.load(Ordering::Relaxed),
            possible_duplicates: self.shared.possible_duplicates.load(Ordering::Relaxed),
        }
    }

    fn leave(mut self: Box<Self>) {
        for client in [self.client.take(), self.prover.take()].into_iter().flatten() {
            client.leave();
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        for client in [self.client.take(), self.prover.take()].into_iter().flatten() {
            client.retire(&self.shared);
        }
    }
}

#[cfg(test)]
mod tests;
