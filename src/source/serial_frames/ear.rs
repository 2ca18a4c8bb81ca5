//! One opening of a port without the port: bytes come in, batches and acknowledgements go out.
//!
//! Owns the frame that is half heard and what noise does to the source's health. Waits for nothing, so the simulation
//! hears its nodes with it too. Must not know ports or the runtime.

use std::sync::Arc;

use edgespool_wire::{DecodeError, Decoder, NodeId, VERSION};
use tokio::sync::Notify;

use super::heard::Nodes;
use super::roster::Roster;
use crate::intake::inbox::Batch;
use crate::reading::Stamp;
use crate::source::Context;

/// Listens to one line.
pub struct Ear {
    context: Context,
    nodes: Nodes,
    decoder: Decoder,
    is_broken: bool,
}

impl Ear {
    /// Nothing was heard yet. `due` is told when an acknowledgement may be due; without it, ask after each commit.
    #[must_use]
    pub fn new(context: &Context, roster: Arc<Roster>, due: Option<Arc<Notify>>) -> Self {
        Self {
            context: context.clone(),
            nodes: Nodes::new(context, roster, due),
            decoder: Decoder::new(),
            is_broken: false,
        }
    }

    /// Takes bytes up to the next batch; call it again with the rest, once the batch is in the inbox and
    /// [`Ear::handed_in`] was told.
    pub fn hear(&mut self, bytes: &mut &[u8], arrival: Stamp) -> Option<(NodeId, Batch)> {
        while let Some(frame) = self.decoder.next(bytes) {
            match frame {
                Ok(message) => {
                    if std::mem::take(&mut self.is_broken) {
                        self.context.health().count(|counters| counters.resyncs += 1);
                    }
                    if let Some(batch) = self.nodes.offer(&message, arrival) {
                        return Some((message.node(), batch));
                    }
                }
                Err(error) => {
                    self.is_broken = true;
                    count(&self.context, error);
                }
            }
        }
        None
    }

    /// The batch of that node is in the inbox.
    pub fn handed_in(&mut self, node: NodeId) {
        self.nodes.handed_in(node);
    }

    /// The acknowledgements that are due, as bytes for the line.
    #[must_use]
    pub fn acks(&self) -> Vec<u8> {
        self.nodes.acks()
    }
}

/// Counts a frame that is none, and names what is no mere noise.
fn count(context: &Context, error: DecodeError) {
    context.health().count(|counters| match error {
        DecodeError::Crc => counters.crc_errors += 1,
        _ => counters.frame_errors += 1,
    });
    match error {
        DecodeError::NewerVersion { seen } => context.health().mishap(
            "line",
            format!("a node speaks version {seen} of the protocol, this agent up to {VERSION} (hint: update the agent)"),
        ),
        DecodeError::Malformed(_) | DecodeError::UnknownKind { .. } => {
            context.health().mishap("line", format!("a frame is sound, but not to be understood: {error}"));
        }
        _ => {}
    }
}
