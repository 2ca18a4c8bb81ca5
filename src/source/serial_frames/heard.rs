//! The nodes that are heard on one port: from messages to batches, and the acknowledgements to write.
//!
//! Owns the bound on their number, what they do to the source's health, and the watch over their receipts. Promises that
//! they are given up when it is dropped. Must not know bytes read or the port.

use std::collections::BTreeMap;
use std::sync::Arc;

use edgespool_wire::{MAX_ENCODED, Message, NodeId, Versions, encode};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::node::{PortNo, Step};
use super::roster::{Roster, SharedNode, lock};
use crate::clock::Mono;
use crate::intake::inbox::Batch;
use crate::intake::receipt::Receipts;
use crate::reading::Stamp;
use crate::source::{Context, State, Suppression};

/// Nodes on one port at most.
const MAX_HEARD: usize = 256;

struct Heard {
    node: SharedNode,
    watch: Option<Watch>,
}

/// Wakes the port when a node's receipts rise; ends when it is dropped.
struct Watch {
    receipts: Arc<Receipts>,
    task: AbortHandle,
}

impl Watch {
    fn start(receipts: Arc<Receipts>, due: Arc<Notify>) -> Self {
        let watched = receipts.clone();
        let task = tokio::spawn(async move {
            let mut seen = 0;
            loop {
                seen = watched.above(seen).await;
                due.notify_one();
            }
        });
        Self {
            receipts,
            task: task.abort_handle(),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The nodes on one port.
pub(super) struct Nodes {
    context: Context,
    roster: Arc<Roster>,
    port: PortNo,
    heard: BTreeMap<NodeId, Heard>,
    due: Option<Arc<Notify>>,
}

impl Nodes {
    /// Nobody was heard yet; `due` is told when an acknowledgement may be due.
    #[must_use]
    pub(super) fn new(context: &Context, roster: Arc<Roster>, due: Option<Arc<Notify>>) -> Self {
        let port = roster.port();
        Self {
            context: context.clone(),
            roster,
            port,
            heard: BTreeMap::new(),
            due,
        }
    }

    /// Takes a message; the batch is to be handed in, and then [`Nodes::handed_in`] told.
    pub(super) fn offer(&mut self, message: &Message<'_>, arrival: Stamp) -> Option<Batch> {
        let id = message.node();
        if matches!(message, Message::Ack(_)) {
            self.context
                .health()
                .mishap("line", "our own acknowledgements come back: the line echoes");
            return None;
        }
        let context = &self.context;
        let Some(heard) = find(&mut self.heard, &self.roster, id) else {
            context
                .health()
                .mishap("nodes", format!("too many nodes; {id} is not heard"));
            return None;
        };
        let mut node = lock(&heard.node);
        if !node.hold(self.port, Mono(arrival.mono)) {
            drop(node);
            context.health().mishap(
                &what(id),
                "it is heard on another port too; it is taken from the one that heard it first",
            );
            return None;
        }
        let owner = node.owner().clone();
        let step = node.offer(message, arrival, &mut |sensor, quantities| {
            context.register_for(&owner, sensor, quantities)
        });
        if let Some(due) = &self.due {
            let same = |watch: &Watch| Arc::ptr_eq(&watch.receipts, node.receipts());
            if !heard.watch.as_ref().is_some_and(same) {
                heard.watch = Some(Watch::start(node.receipts().clone(), due.clone()));
            }
            due.notify_one();
        }
        drop(node);
        let sensor = match message {
            Message::Data(data) => data.sensor,
            _ => "",
        };
        report(context, id, sensor, step)
    }

    /// The batch of that node is in the inbox.
    pub(super) fn handed_in(&mut self, id: NodeId) {
        if let Some(heard) = self.heard.get(&id) {
            lock(&heard.node).handed_in();
        }
    }

    /// The nodes' acknowledgements that are due, to be asked for from another place than messages are offered.
    #[must_use]
    pub(super) fn acks(&self) -> Vec<u8> {
        let (mut bytes, mut frame) = (Vec::new(), [0; MAX_ENCODED]);
        for heard in self.heard.values() {
            let ack = lock(&heard.node).take_ack();
            // An acknowledgement always fits.
            if let Some(len) = ack.and_then(|ack| encode(&Message::Ack(ack), &mut frame).ok()) {
                bytes.extend_from_slice(frame.get(..len).unwrap_or_default());
            }
        }
        bytes
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.heard
            .values()
            .for_each(|heard| lock(&heard.node).release(self.port));
    }
}

fn find<'h>(heard: &'h mut BTreeMap<NodeId, Heard>, roster: &Roster, id: NodeId) -> Option<&'h mut Heard> {
    if !heard.contains_key(&id) {
        if heard.len() >= MAX_HEARD {
            return None;
        }
        heard.insert(
            id,
            Heard {
                node: roster.node(id)?,
                watch: None,
            },
        );
    }
    heard.get_mut(&id)
}

/// Notes in the source's health what a step has shown.
fn report(context: &Context, id: NodeId, sensor: &str, step: Step) -> Option<Batch> {
    let health = context.health();
    if step.duplicates > 0 || step.lost > 0 {
        health.count(|counters| {
            counters.duplicates += step.duplicates;
            counters.lost_upstream = counters.lost_upstream.saturating_add(step.lost);
        });
    }
    if step.duplicates > 0 {
        context.suppress(sensor, Suppression::Duplicate, step.duplicates);
    }
    if let Some((refused, readings)) = step.refused {
        context.refuse(None, refused.reason(), readings);
        health.mishap(&what(id), refused.to_string());
    }
    if step.stale {
        health.mishap(
            &what(id),
            "a message of its boot before came: it is old, or two nodes have this ID",
        );
    }
    match step.versions {
        Some(Err(Versions { min, max })) => {
            let ours = Versions::OURS;
            let why = format!(
                "it speaks versions {min} to {max} of the protocol, this agent {} to {} (hint: update the older one)",
                ours.min, ours.max
            );
            health.fault(&what(id), State::Degraded, why);
        }
        Some(Ok(())) => health.clear(&what(id)),
        None => {}
    }
    step.batch
}

fn what(id: NodeId) -> String {
    format!("node {id}")
}
