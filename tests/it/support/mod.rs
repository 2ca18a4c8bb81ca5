//! What several test modules share: the world around the agent.

pub(crate) mod kafka;
