//! Kafka as a broker, by librdkafka: this file and its folder are the only ones that name it.
//!
//! Owns the client and what is under way with it. Promises that every ticket is reported once, when its last record is;
//! that a ticket counts as delivered only when every record of it was acknowledged; that memory under way is bounded by a
//! window of its own, well below librdkafka's; and that no call here waits for the network. Must not know lanes or
//! queues.
//!
//! A ticket larger than what is left of the window is handed over in part and continued when there is room, so that one
//! ticket never takes more memory than the window.

mod client;
mod context;
mod errors;
mod headers;
mod settings;
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
use self::context::{Shared, why};
use self::errors::class;
use self::headers::Common;
pub use self::settings::{Acks, Settings};
use self::under_way::{UnderWay, cost};
use super::broker::{Broker, BrokerError, BrokerStatus, Busy, Events};
use crate::format::{Format, Record};
use crate::ticket::{Report, Ticket};

/// What may be under way at once, in bytes of memory: some 8,000 small records, enough for hundreds of thousands a
/// second, and a fraction of what the whole agent may take.
const WINDOW: usize = 6 << 20;

/// The broker.
pub struct Kafka {
    settings: Settings,
    config: ClientConfig,
    format: Box<dyn Format>,
    shared: Arc<Shared>,
    client: Option<Client>,
    sending: Option<Sending>,
    ready: VecDeque<Report>,
}

/// A ticket that is being handed to the client.
struct Sending {
    ticket: Arc<Ticket>,
    under_way: Arc<UnderWay>,
    /// How many of its readings were handed over.
    done: usize,
}

/// How the handing over of a record ended.
enum Handed {
    Over,
    Full,
    Refused,
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
        let shared = Shared::new(events, window);
        let client = Client::start(&config, &shared, &format.probe_topic())?;
        Ok(Self {
            settings,
            config,
            format,
            shared,
            client: Some(client),
            sending: None,
            ready: VecDeque::new(),
        })
    }

    /// The client, when it takes records.
    fn usable(&self) -> Option<&Client> {
        self.client.as_ref().filter(|client| !client.context().is_lost())
    }

    /// Hands over as much as there is room for; true when the ticket is through.
    fn hand_over(&mut self, sending: &mut Sending) -> bool {
        let Some(client) = self.client.as_ref().filter(|client| !client.context().is_lost()) else {
            return false;
        };
        let (producer, shared) = (client.producer(), &self.shared);
        let mut common = Common::new(&self.settings.device, &self.settings.headers, &sending.ticket);
        let mut refused = false;
        let mut sink =
            |record: &Record<'_>| match produce(producer, shared, &mut common, &sending.under_way, record) {
                Handed::Over => ControlFlow::Continue(()),
                Handed::Full => ControlFlow::Break(()),
                Handed::Refused => {
                    refused = true;
                    ControlFlow::Break(())
                }
            };
        sending.done = self.format.write(&sending.ticket, sending.done, &mut sink);
        refused || sending.done >= sending.ticket.len()
    }
}

/// Hands one record to the client.
fn produce(
    producer: &Producer,
    shared: &Shared,
    common: &mut Common<'_>,
    under_way: &Arc<UnderWay>,
    record: &Record<'_>,
) -> Handed {
    if !shared.gauge.has_room() {
        return Handed::Full;
    }
    let cost = cost(record.key.len(), record.value.len());
    under_way.add();
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
    let code = match error {
        KafkaError::Nul(_) => RDKafkaErrorCode::InvalidTopic,
        other => other.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown),
    };
    if code != RDKafkaErrorCode::QueueFull {
        under_way.fault(class(code), record.first, || why(code, record.topic));
    }
    // Not the last: the one for handing over is still to come.
    let report = under_way.done();
    debug_assert!(report.is_none());
    if code == RDKafkaErrorCode::QueueFull {
        shared.gauge.want();
        return Handed::Full;
    }
    Handed::Refused
}

impl Broker for Kafka {
    fn send(&mut self, ticket: Arc<Ticket>) -> Result<(), Busy> {
        if self.usable().is_none() {
            self.shared.gauge.want();
            return Err(Busy);
        }
        if self.sending.is_some() || !self.shared.gauge.has_room() {
            return Err(Busy);
        }
        self.sending = Some(Sending {
            under_way: UnderWay::new(ticket.id),
            ticket,
            done: 0,
        });
        self.resume();
        Ok(())
    }

    fn resume(&mut self) {
        let Some(mut sending) = self.sending.take() else {
            return;
        };
        if self.hand_over(&mut sending) {
            self.ready.extend(sending.under_way.done());
        } else {
            self.sending = Some(sending);
        }
    }

    fn ready(&mut self) -> Option<Report> {
        self.ready.pop_front()
    }

    fn renew(&mut self) -> Result<(), BrokerError> {
        if let Some(client) = self.client.take() {
            client.retire(&self.shared);
        }
        // A ticket that the old one took in part is over with it: its readings were sent only in part.
        if let Some(sending) = self.sending.take() {
            let why: Arc<str> = "the client was replaced".into();
            sending
                .under_way
                .fault(errors::Class::Client, sending.ticket.first(), || why);
            self.ready.extend(sending.under_way.done());
        }
        let client = Client::start(&self.config, &self.shared, &self.format.probe_topic())?;
        self.client = Some(client);
        Ok(())
    }

    fn reachable(&self) -> bool {
        self.shared.is_up()
    }

    fn status(&self) -> BrokerStatus {
        BrokerStatus {
            reachable: self.shared.is_up(),
            last_error: self.shared.last_error(),
            records_under_way: self.shared.gauge.records(),
            bytes_under_way: self.shared.gauge.bytes(),
            clients: self.shared.clients.load(Ordering::Relaxed),
        }
    }

    fn leave(mut self: Box<Self>) {
        if let Some(client) = self.client.take() {
            client.leave();
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            client.retire(&self.shared);
        }
    }
}

#[cfg(test)]
mod tests;
