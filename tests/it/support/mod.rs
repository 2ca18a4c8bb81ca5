//! What several test modules share: the world around the agent.

pub(crate) mod agent;
pub(crate) mod board;
pub(crate) mod gate;
pub(crate) mod intake;
pub(crate) mod kafka;
pub(crate) mod mosquitto;
pub(crate) mod nodes;
pub(crate) mod pty;
pub(crate) mod publisher;
