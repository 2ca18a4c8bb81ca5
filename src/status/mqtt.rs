//! The agent's own state on MQTT: what `status` shows, retained, and a last will.
//!
//! Owns one connection to a broker. Promises that whoever looks at the topic sees the state of the last half minute, or
//! that the agent is gone: it says so itself when it stops in order, and else the broker does. It is not on a reading's
//! way: a broker that is absent costs a line in the log and another try. Must not know the agent.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::socket::Answer;
use crate::mqtt::connection::{self, Connection, PING, Writer};
use crate::mqtt::packet::{self, PacketError};
use crate::source::Stop;

/// How often the state is published.
const EVERY: Duration = Duration::from_secs(30);
/// The first pause before the broker is tried again, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long the last words may take.
const FAREWELL: Duration = Duration::from_millis(100);
/// The bytes of a packet that a broker sends to a client that has subscribed to nothing.
const MAX_PACKET: usize = 1024;

/// Where to, and under which topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The broker, and as whom; session and will are set here.
    pub connection: connection::Settings,
    /// The topic.
    pub topic: String,
}

/// What the broker says of an agent that is gone.
fn gone(device: &str) -> Vec<u8> {
    let text = serde_json::json!({ "state": "offline", "device": device });
    text.to_string().into_bytes()
}

/// The state, without the list of sensors: there may be thousands.
fn state(answer: &Answer) -> Vec<u8> {
    let mut snapshot = answer();
    snapshot.sensors.clear();
    let mut text = serde_json::json!({ "state": "online" });
    if let (Some(all), Ok(serde_json::Value::Object(more))) =
        (text.as_object_mut(), serde_json::to_value(&snapshot))
    {
        all.extend(more);
        all.remove("sensors");
    }
    text.to_string().into_bytes()
}

/// Publishes until it is stopped.
pub async fn publish(settings: Settings, device: String, answer: Answer, stop: Stop) {
    let gone = gone(&device);
    let mut connection = settings.connection;
    connection.clean = true;
    connection.will = Some((settings.topic.clone(), gone.clone()));
    let mut pause = FIRST_PAUSE;
    loop {
        let lost = tokio::select! {
            () = stop.stopped() => return,
            connected = connection::connect(&connection) => match connected {
                Ok(connected) => {
                    pause = FIRST_PAUSE;
                    match serve(connected, &settings.topic, &gone, &answer, &stop).await {
                        Ok(()) => return,
                        Err(lost) => lost.to_string(),
                    }
                }
                Err(error) => error.to_string(),
            },
        };
        let broker = connection.address.to_string();
        if pause == FIRST_PAUSE {
            tracing::warn!(broker, why = lost, "the agent's state is not published");
        } else {
            tracing::debug!(broker, why = lost, "the agent's state is not published");
        }
        tokio::select! {
            () = stop.stopped() => return,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
        }
    }
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("closed the connection")]
    Closed,
    #[error("is lost: {0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Packet(#[from] PacketError),
}

/// Publishes until the connection is lost, which is the error, or until it is stopped.
async fn serve(
    connection: Connection,
    topic: &str,
    gone: &[u8],
    answer: &Answer,
    stop: &Stop,
) -> Result<(), Lost> {
    let Connection {
        mut reader,
        mut writer,
        ..
    } = connection;
    let (mut states, mut pings, mut number) = (interval(EVERY), interval(PING), 0_u16);
    states.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.stopped() => {
                number = number % u16::MAX + 1;
                packet::write_publish(topic, gone.to_vec(), number, true, &mut writer.waiting)?;
                packet::write_farewell(&mut writer.waiting);
                drop(tokio::time::timeout(FAREWELL, all(&mut writer)).await);
                return Ok(());
            }
            _ = states.tick() => {
                let answer = answer.clone();
                // Making it may wait for the disk.
                let Ok(text) = tokio::task::spawn_blocking(move || state(&answer)).await else { continue };
                number = number % u16::MAX + 1;
                packet::write_publish(topic, text, number, true, &mut writer.waiting)?;
            }
            _ = pings.tick() => packet::write_ping(&mut writer.waiting),
            sent = writer.send(), if !writer.is_empty() => sent?,
            read = reader.fill() => {
                if read? == 0 {
                    return Err(Lost::Closed);
                }
                while reader.next(MAX_PACKET)?.is_some() {}
            }
        }
    }
}

async fn all(writer: &mut Writer) -> std::io::Result<()> {
    while !writer.is_empty() {
        writer.send().await?;
    }
    Ok(())
}
