//! `mqtt`: readings that other devices publish on a broker.
//!
//! Owns the session with one broker: a persistent one under a fixed name, so that the broker keeps what is published
//! while we are away. Promises: a message is acknowledged after the commit that holds its reading, never before, and in
//! the order of arrival; one that gives no reading is acknowledged too, or it would come back for ever; nothing waits for
//! a receipt but the acknowledgements; a broker that is absent or goes away is tried again with growing pauses. What is
//! acknowledged and lost on its way to the broker comes again and is stored again (QoS 1 is at least once). Must not know
//! other kinds.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{Context, Running, State, Stopped};
use crate::clock::Mono;
use crate::intake::inbox::Batch;
use crate::intake::receipt::Receipts;
use crate::mqtt::connection::{self, Connection, PING, Reader, Writer};
use crate::mqtt::packet::{self, Incoming, PacketError};
use crate::mqtt::{Filter, Path, SensorName};
use translate::Translator;
use window::Window;

pub mod decode;
pub mod moment;
pub mod translate;
pub mod window;

/// The first pause before the broker is tried again, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A read that brought less than this is followed by a rest: brokers send every message by itself, and to wake up for each
/// costs more than all the rest of its way.
const MANY: usize = 32 * 1024;
const REST: Duration = Duration::from_millis(5);
/// How long the last receipts are waited for at the end.
const FAREWELL: Duration = Duration::from_millis(150);
/// The name of the fault in the source's health.
const FAULT: &str = "broker";

/// Which messages, and what they mean.
#[derive(Debug, Clone)]
pub struct Topic {
    /// The topics.
    pub filter: Filter,
    /// Whose message it is.
    pub sensor: SensorName,
    /// The measurements and where they are in the payload; at least one.
    pub fields: Vec<(Box<str>, Path)>,
    /// Where the payload says when it was measured.
    pub time: Option<Path>,
}

/// What is read.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The broker, and as whom.
    pub connection: connection::Settings,
    /// How many messages the broker lets be under way without an acknowledgement.
    pub inflight: usize,
    /// The bytes of a message at most.
    pub max_packet: usize,
    /// The topics; at least one.
    pub topics: Vec<Topic>,
}

/// Starts the source on the current runtime.
#[must_use]
pub fn spawn(context: Context, settings: Settings) -> Running {
    context.spawn_task(|context| run(context, settings))
}

/// The pause before the next try, after so many failures in a row: doubling, of which `random` (0 to 1) takes away up to
/// half, so that many gateways do not come back at once.
fn pause(failures: u32, random: f64) -> Duration {
    let whole = FIRST_PAUSE
        .saturating_mul(1 << failures.min(10))
        .min(LONGEST_PAUSE);
    whole.mul_f64(1.0 - random / 2.0)
}

/// A number from 0 to 1. Without randomness the pauses are merely even.
fn random() -> f64 {
    getrandom::u32().map_or(0.5, |n| f64::from(n) / f64::from(u32::MAX))
}

async fn run(context: Context, settings: Settings) {
    let mut session = Session {
        context: &context,
        receipts: Arc::new(Receipts::new(settings.inflight, 0)),
        window: Window::default(),
        translator: Translator::new(settings.topics),
        max_packet: settings.max_packet,
        kept: false,
    };
    let mut failures = 0;
    loop {
        let connected = tokio::select! {
            connected = connection::connect(&settings.connection) => connected,
            () = context.stop().stopped() => return,
        };
        let lost = match connected {
            Ok(connection) => {
                context.health().clear(FAULT);
                if failures > 0 {
                    context.health().count(|counters| counters.reopenings += 1);
                }
                let since = context.clock().mono();
                let Err(lost) = session.serve(connection).await else {
                    return;
                };
                // A broker that lets us in and throws us out is no better than one that does not.
                let lived = context.clock().mono().since(since) > LONGEST_PAUSE;
                failures = if lived { 1 } else { failures + 1 };
                lost.to_string()
            }
            Err(error) => {
                failures += 1;
                error.to_string()
            }
        };
        let why = format!("{} {lost}", settings.connection.address);
        context.health().fault(FAULT, State::Failed, why);
        tokio::select! {
            () = tokio::time::sleep(pause(failures - 1, random())) => {}
            () = context.stop().stopped() => return,
        }
    }
}

/// Why a connection is over that was there.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("closed the connection (hint: does another client have the same name?)")]
    Closed,
    #[error("is lost: {0}")]
    Io(#[from] std::io::Error),
    #[error("has not answered for {} s", 2 * PING.as_secs())]
    Silent,
    #[error("is lost: {0}")]
    Packet(#[from] PacketError),
}

/// What outlives connections.
struct Session<'c> {
    context: &'c Context,
    receipts: Arc<Receipts>,
    window: Window,
    translator: Translator,
    max_packet: usize,
    /// Whether the broker had kept the session when we came.
    kept: bool,
}

/// A batch that waits for space in the inbox. It is in our hands, so it outlives the connection.
type Handing<'c> = Pin<Box<dyn Future<Output = Result<(), Stopped>> + Send + 'c>>;

impl Session<'_> {
    /// Reads until the connection is lost, which is the error, or the source is stopped.
    async fn serve(&mut self, connection: Connection) -> Result<(), Lost> {
        let Connection {
            mut reader,
            mut writer,
            session_present,
        } = connection;
        self.kept = session_present;
        self.window.connected(session_present);
        packet::write_subscribe(self.translator.filters(), &mut writer.waiting)?;
        let context = self.context;
        let mut handing = None;
        let lost = self.listen(&mut reader, &mut writer, &mut handing).await;
        if context.stop().is_stopped() {
            self.part(&mut writer).await;
            return Ok(());
        }
        if let Some(handing) = handing {
            tokio::select! {
                handed = handing => if handed.is_err() { return Ok(()) },
                () = context.stop().stopped() => return Ok(()),
            }
        }
        lost
    }

    async fn listen<'h>(
        &mut self,
        reader: &mut Reader,
        writer: &mut Writer,
        handing: &mut Option<Handing<'h>>,
    ) -> Result<(), Lost>
    where
        Self: 'h,
    {
        let mut pulse = Pulse::new(self.context.clock().mono());
        let mut seen = self.receipts.through();
        let receipts = self.receipts.clone();
        let context = self.context;
        let rest = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(rest);
        let mut resting = false;
        loop {
            self.acknowledge(writer);
            tokio::select! {
                () = context.stop().stopped() => return Ok(()),
                through = receipts.above(seen) => seen = through,
                sent = writer.send(), if !writer.is_empty() => sent?,
                handed = next(handing), if handing.is_some() => {
                    *handing = None;
                    if handed.is_err() {
                        return Ok(());
                    }
                }
                () = &mut rest, if resting => resting = false,
                read = reader.fill(), if handing.is_none() && !resting => {
                    let read = read?;
                    if read == 0 {
                        return Err(Lost::Closed);
                    }
                    resting = read < MANY;
                    if resting {
                        rest.set(tokio::time::sleep(REST));
                    }
                    pulse.heard = context.clock().mono();
                    let batch = self.take(reader, writer)?;
                    match batch.map(|batch| context.try_submit(batch)) {
                        None | Some(Ok(None)) => {}
                        Some(Ok(Some(batch))) => *handing = Some(Box::pin(submit(context.clone(), batch))),
                        Some(Err(Stopped)) => return Ok(()),
                    }
                }
                _ = pulse.beats.tick() => pulse.beat(context.clock().mono(), handing.is_some(), writer)?,
            }
        }
    }

    fn acknowledge(&mut self, writer: &mut Writer) {
        self.window.durable(self.receipts.through(), |packet| {
            packet::write_acknowledgement(packet, &mut writer.waiting);
        });
    }

    /// All packets that are here: the readings as one batch, with the receipt that acknowledges them.
    fn take(&mut self, reader: &mut Reader, writer: &mut Writer) -> Result<Option<Batch>, Lost> {
        let arrival = self.context.clock().stamp();
        let (before, mut batch) = (self.window.last(), Batch::default());
        while let Some(incoming) = reader.next(self.max_packet)? {
            match incoming {
                Incoming::Publish(message) => {
                    let new = match message.packet {
                        Some(packet) => self.window.arrived(packet, message.again, mark(&message)),
                        None => true,
                    };
                    if !new {
                        self.context.health().count(|counters| counters.duplicates += 1);
                        continue;
                    }
                    let translator = &mut self.translator;
                    batch
                        .readings
                        .extend(translator.message(self.context, &message, arrival, self.kept));
                }
                Incoming::TooLarge { topic, packet, bytes } => {
                    too_large(self.context, topic, bytes, self.max_packet);
                    if let Some(packet) = packet {
                        self.window.arrived(packet, false, 0);
                    }
                }
                Incoming::Subscribed(refused) => self.subscribed(&refused),
                _ => {}
            }
        }
        if batch.readings.is_empty() {
            self.window.nothing_made(before, |packet| {
                packet::write_acknowledgement(packet, &mut writer.waiting);
            });
        }
        let last = self.window.last();
        if last > before {
            batch.receipt = Some((self.receipts.clone(), last));
        }
        Ok((last > before || !batch.readings.is_empty()).then_some(batch))
    }

    fn subscribed(&self, refused: &[bool]) {
        for (filter, refused) in self.translator.filters().zip(refused) {
            let what = format!("subscription {filter}");
            match refused {
                true => {
                    let why = "the broker does not allow it (hint: its access list)";
                    self.context.health().fault(&what, State::Degraded, why);
                }
                false => self.context.health().clear(&what),
            }
        }
    }

    /// Asks for the commit of what is in our hands, acknowledges it and says goodbye; as far as time allows.
    async fn part(&mut self, writer: &mut Writer) {
        let last = self.window.last();
        self.receipts.hurry();
        let batch = Batch {
            receipt: Some((self.receipts.clone(), last)),
            ..Batch::default()
        };
        let end = async {
            if !self.window.is_empty() && matches!(self.context.try_submit(batch), Ok(None)) {
                self.receipts.above(last.saturating_sub(1)).await;
                self.window.durable(last, |packet| {
                    packet::write_acknowledgement(packet, &mut writer.waiting);
                });
            }
            packet::write_farewell(&mut writer.waiting);
            while !writer.is_empty() && writer.send().await.is_ok() {}
        };
        drop(tokio::time::timeout(FAREWELL, end).await);
    }
}

async fn submit(context: Context, batch: Batch) -> Result<(), Stopped> {
    context.submit(batch).await
}

async fn next(handing: &mut Option<Handing<'_>>) -> Result<(), Stopped> {
    match handing {
        Some(handing) => handing.await,
        None => Ok(()),
    }
}

/// Tells messages with the same number apart.
fn mark(message: &packet::Publish<'_>) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    hash.update(message.topic.as_bytes());
    hash.update(message.payload);
    hash.finalize()
}

fn too_large(context: &Context, topic: &str, bytes: usize, max: usize) {
    let why =
        format!("a message to {topic} has {bytes} bytes, more than max-packet ({max}); it is passed over");
    context.health().mishap("max-packet", why);
    context.health().count(|counters| counters.bad_lines += 1);
}

/// Whether the broker is there.
struct Pulse {
    beats: Interval,
    heard: Mono,
}

impl Pulse {
    fn new(now: Mono) -> Self {
        let mut beats = interval(PING);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { beats, heard: now }
    }

    /// Lets the broker know that we are there, and finds out whether it is. While we read nothing, it cannot tell.
    fn beat(&mut self, now: Mono, deaf: bool, writer: &mut Writer) -> Result<(), Lost> {
        if deaf {
            self.heard = now;
        }
        if now.since(self.heard) > 2 * PING + PING / 2 {
            return Err(Lost::Silent);
        }
        packet::write_ping(&mut writer.waiting);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_ten_seconds() {
        for (failures, random, expect) in [
            (0, 0.0, 200),
            (1, 0.0, 400),
            (2, 1.0, 400),
            (9, 0.0, 10_000),
            (99, 1.0, 5_000),
        ] {
            assert_eq!(
                pause(failures, random),
                Duration::from_millis(expect),
                "{failures}"
            );
        }
    }
}
