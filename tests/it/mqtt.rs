//! MQTT: the source, and the agent's own state, against a real mosquitto.

mod custody;
mod source;
mod state;
