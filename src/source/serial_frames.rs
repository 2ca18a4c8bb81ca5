//! `serial-frames`: edgespool's own nodes on a serial line.
//!
//! ```text
//!  port ──▶ Decoder ──▶ Nodes ──▶ Node (judges, times, registers) ──▶ Batch ──▶ inbox
//!   ▲                     │                                                       │ commit, sync
//!   └──── Ack{through} ◀──┴───────────────────── Receipts ◀───────────────────────┘
//! ```
//! Promises: an acknowledgement is written only for what is durable; while the inbox is full the port is not read (so
//! that nodes keep what they have), yet acknowledgements go on being written. What comes from the line is not trusted:
//! nodes, sensors and memory are bounded. Must not know other kinds.

use std::io;
use std::sync::Arc;

use edgespool_wire::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::Notify;

use super::port::{self, Keeper, Port};
use super::{Context, Running};
use crate::intake::inbox::Batch;
pub use ear::Ear;
pub use roster::Roster;

mod ear;
mod heard;
mod node;
mod node_clock;
mod roster;
mod sensors;

/// The bytes that are read at once: a few frames. More waits in the kernel, or at the nodes.
const READ: usize = 4096;

/// What is read.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The port.
    pub port: port::Settings,
    /// All nodes of the gateway; the same one for all sources of this kind.
    pub roster: Arc<Roster>,
}

/// Starts the source on the current runtime.
#[must_use]
pub fn spawn(context: Context, settings: Settings) -> Running {
    context.spawn_task(|context| run(context, settings))
}

async fn run(context: Context, settings: Settings) {
    let mut keeper = Keeper::new(&context, settings.port);
    while let Some(port) = keeper.open().await {
        let (mut reader, writer) = tokio::io::split(port);
        let due = Arc::new(Notify::new());
        let mut line = Line {
            context: &context,
            acks: Acks {
                writer,
                pending: Vec::new(),
                due: due.clone(),
            },
            ear: Ear::new(&context, settings.roster.clone(), Some(due)),
            is_alive: false,
        };
        let Some(why) = line.listen(&mut reader).await else {
            return;
        };
        let (is_alive, writer) = (line.is_alive, line.acks.writer);
        keeper.lost(reader.unsplit(writer), &why, is_alive).await;
    }
}

/// What goes back over the line.
struct Acks {
    writer: WriteHalf<Port>,
    pending: Vec<u8>,
    due: Arc<Notify>,
}

impl Acks {
    /// Writes acknowledgements as they become due, until the port fails. Can be dropped and called again at any time.
    async fn serve(&mut self, ear: &Ear) -> io::Error {
        loop {
            if self.pending.is_empty() {
                // All that is due at once, of each node only the newest: so a slow line does not pile them up.
                self.pending = ear.acks();
            }
            if self.pending.is_empty() {
                self.due.notified().await;
                continue;
            }
            #[expect(clippy::disallowed_methods, reason = "what was not written stays pending")]
            let written = self.writer.write(&self.pending).await;
            match written {
                Ok(0) => return io::ErrorKind::WriteZero.into(),
                Ok(written) => drop(self.pending.drain(..written)),
                Err(error) => return error,
            }
        }
    }
}

/// One opening of the port.
struct Line<'c> {
    context: &'c Context,
    acks: Acks,
    ear: Ear,
    is_alive: bool,
}

impl Line<'_> {
    /// Reads until the port is lost, and says why; `None` when the source is stopped.
    async fn listen(&mut self, reader: &mut ReadHalf<Port>) -> Option<String> {
        let mut buffer = [0; READ];
        loop {
            let read = tokio::select! {
                read = reader.read(&mut buffer) => read,
                error = self.acks.serve(&self.ear) => Err(error),
                () = self.context.stop().stopped() => return None,
            };
            let mut bytes = match read {
                Ok(1..) => read.ok().and_then(|len| buffer.get(..len)).unwrap_or_default(),
                lost => return Some(port::lost_because(lost)),
            };
            self.is_alive = true;
            let arrival = self.context.clock().stamp();
            while let Some((node, batch)) = self.ear.hear(&mut bytes, arrival) {
                if let Some(lost) = self.hand_in(node, batch).await? {
                    return Some(port::lost_because(Err(lost)));
                }
            }
        }
    }

    /// Hands a batch in, however long the inbox is full; `None` when the source is stopped. Should the port fail
    /// meanwhile, it says so: what was not handed in was not accepted, and the node sends it again.
    async fn hand_in(&mut self, node: NodeId, batch: Batch) -> Option<Option<io::Error>> {
        tokio::select! {
            biased;
            taken = self.context.submit(batch) => taken.ok()?,
            error = self.acks.serve(&self.ear) => return Some(Some(error)),
            () = self.context.stop().stopped() => return None,
        }
        self.ear.handed_in(node);
        Some(None)
    }
}
