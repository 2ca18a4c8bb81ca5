//! All nodes of a gateway, whatever port they are heard on.
//!
//! One for all `serial-frames` sources, and it outlives them when the device file is read anew: so a node that moves to
//! another port, or is heard on two, is stored once, and a new source goes on where the old one has stopped. Must not
//! know ports or the queue: how far each node is durable is given at start.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use edgespool_wire::{NodeId, Position};

use super::node::{Node, PortNo};
use crate::intake::inbox::NodePosition;

/// Nodes that are known at most, beside those of the queue.
const MAX_NODES: usize = 4096;

/// A node, as ports share it.
pub(super) type SharedNode = Arc<Mutex<Node>>;

/// All nodes.
#[derive(Debug, Default)]
pub struct Roster {
    nodes: Mutex<HashMap<NodeId, SharedNode>>,
    ports: AtomicU64,
}

impl Roster {
    /// With the nodes that the queue knows, and how far they are durable.
    #[must_use]
    pub fn new(positions: impl IntoIterator<Item = NodePosition>) -> Self {
        let known = positions.into_iter().filter_map(|known| {
            let id = NodeId::new(&known.node.0).ok()?;
            let position = Position {
                boot: known.boot,
                through: known.sequence,
            };
            Some((id, Arc::new(Mutex::new(Node::new(id, Some(position))))))
        });
        Self {
            nodes: Mutex::new(known.collect()),
            ports: AtomicU64::new(0),
        }
    }

    /// A name for one more port.
    #[must_use]
    pub(super) fn port(&self) -> PortNo {
        PortNo(self.ports.fetch_add(1, Ordering::Relaxed))
    }

    /// A node, new or known; `None` when there are too many.
    #[must_use]
    pub(super) fn node(&self, id: NodeId) -> Option<SharedNode> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = nodes.get(&id) {
            return Some(node.clone());
        }
        if nodes.len() >= MAX_NODES {
            return None;
        }
        let node = Arc::new(Mutex::new(Node::new(id, None)));
        nodes.insert(id, node.clone());
        Some(node)
    }
}

/// Locks a node; never across a wait.
pub(super) fn lock(node: &SharedNode) -> MutexGuard<'_, Node> {
    node.lock().unwrap_or_else(PoisonError::into_inner)
}
