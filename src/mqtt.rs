//! MQTT 3.1.1: addresses, topics, packets, connections.
//!
//! Owns the protocol, for the source and for the agent's own state. Of rumqttc only the codec is used: its event loop
//! sends each acknowledgement by itself, a system call and a packet on the wire for every reading, which costs more than
//! all the rest of a reading's way (`cargo bench --bench mqtt` shows both). Must not know readings or what topics are for.

pub mod address;
pub mod connection;
pub mod packet;
pub mod path;
pub mod topic;

pub use address::{Address, AddressError};
pub use path::{Path, PathError};
pub use topic::{Filter, FilterError, SensorName, SensorNameError};
