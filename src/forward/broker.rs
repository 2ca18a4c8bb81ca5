//! What the forwarder asks of a broker, whichever it is.
//!
//! Owns the seam: tickets go in, reports come out as events, each ticket is reported once. Promises that a ticket counts
//! as delivered only on the broker's word. Must not know lanes, queues or any client library.

pub mod scripted;

use std::sync::Arc;

use crate::clock::Mono;
use crate::ticket::{Report, Ticket};

/// No room: try again after [`BrokerEvent::Room`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

/// What a broker tells the forwarder, from threads of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerEvent {
    /// What became of a ticket.
    Report(Report),
    /// Somebody was told [`Busy`], or a ticket was taken only in part: now there is room again.
    Room,
    /// A connection is up, or the last one went down.
    Link(bool),
    /// The client is of no more use. [`Broker::renew`] makes another; until then everything is [`Busy`].
    Lost(Arc<str>),
    /// A thread of the client ended by a panic: a bug, after which nothing here can be relied on.
    Panicked,
}

/// Where a broker's events go. May block while the forwarder is behind, so it is called from the broker's threads only.
pub type Events = Arc<dyn Fn(BrokerEvent) + Send + Sync>;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The client library refuses the settings.
    #[error("the Kafka client does not take its settings: {0}")]
    Settings(String),
    /// A thread could not be started.
    #[error("failed to start a thread for the Kafka client")]
    Thread(#[source] std::io::Error),
}

/// What `status` shows of a broker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BrokerStatus {
    /// A connection is up.
    pub reachable: bool,
    /// The last thing that went wrong, in the client's words.
    pub last_error: Option<Arc<str>>,
    /// Records that were handed to the client and are not reported.
    pub records_under_way: usize,
    /// About the memory that they take there, in bytes.
    pub bytes_under_way: usize,
    /// Clients made since the start: above one, the others were lost to errors that are fatal to a client.
    pub clients: u32,
    /// Records that arrived, or may have, and were sent again.
    pub possible_duplicates: u64,
}

/// Sends tickets and reports on them.
///
/// Reports come as events from other threads; those that come to be within a call are left for [`Broker::ready`], so
/// that the forwarder never waits for itself.
pub trait Broker: Send {
    /// Takes a ticket, perhaps only in part at first; from here on it will be reported once.
    ///
    /// # Errors
    /// [`Busy`] when there is no room; the ticket was not touched, and [`BrokerEvent::Room`] follows.
    fn send(&mut self, ticket: Arc<Ticket>) -> Result<(), Busy>;

    /// Goes on with a ticket that was taken in part. To be called after [`BrokerEvent::Room`].
    fn resume(&mut self);

    /// The next report that came to be within a call. To be asked after every call until there is none.
    fn ready(&mut self) -> Option<Report>;

    /// Replaces a lost client. What is under way with the old one is reported as lost.
    ///
    /// # Errors
    /// When there is no new client; to be called again later.
    fn renew(&mut self) -> Result<(), BrokerError>;

    /// Whether a connection is up.
    fn reachable(&self) -> bool;

    /// When [`Broker::resume`] has to be called at the latest; `None` while time alone changes nothing.
    fn deadline(&self) -> Option<Mono> {
        None
    }

    /// What `status` shows.
    fn status(&self) -> BrokerStatus;

    /// Lets go without waiting for anything: the process is about to end.
    fn leave(self: Box<Self>);
}
