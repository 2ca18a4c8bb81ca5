//! Packets, from and to bytes. The only file that names rumqttc.
//!
//! Framing and all packets but one are rumqttc's; a PUBLISH that comes in is read in place, without a copy of its topic
//! and payload, since one comes with every reading. Promises that a packet that is too large is named and can be passed
//! over. Must not know connections.

use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{
    Connect, ConnectReturnCode, Disconnect, LastWill, Login, Packet, PingReq, PubAck, Publish as Outgoing,
    Subscribe, SubscribeFilter, SubscribeReasonCode,
};
use rumqttc::mqttbytes::{Error, PacketType, QoS, check};

/// The bytes of a fixed header at most.
const MAX_HEADER: usize = 5;

/// Why what came is not MQTT.
#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    /// It breaks the protocol.
    #[error("what came is not MQTT: {0}")]
    Broken(String),
    /// What is to be sent does not fit into a packet.
    #[error("a packet cannot be made: {0}")]
    Unmade(String),
}

/// A message that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'b> {
    /// Its topic.
    pub topic: &'b str,
    /// What it says.
    pub payload: &'b [u8],
    /// The number to acknowledge; none with QoS 0.
    pub packet: Option<u16>,
    /// The broker's copy of an old message, sent because of a subscription.
    pub retained: bool,
    /// Sent before, and not acknowledged.
    pub again: bool,
}

/// Why a broker does not want us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another version of the protocol.
    #[error("the broker does not speak MQTT 3.1.1")]
    Version,
    /// The client ID.
    #[error("the broker does not take the client ID")]
    ClientId,
    /// It is not ready.
    #[error("the broker is not available")]
    Unavailable,
    /// Name or password.
    #[error("the broker does not take the user name or the password")]
    Credentials,
    /// Not this client.
    #[error("the broker does not let this client in (hint: username and password-file)")]
    Unauthorized,
}

/// One packet that came, as far as a client of our kind has use for it.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'b> {
    /// A message.
    Publish(Publish<'b>),
    /// A message that is larger than allowed: topic and number, for it has to be acknowledged all the same.
    TooLarge {
        /// Its topic.
        topic: &'b str,
        /// The number to acknowledge.
        packet: Option<u16>,
        /// The bytes of the whole packet.
        bytes: usize,
    },
    /// The answer to CONNECT: whether the broker has kept a session.
    Connected(Result<bool, Refusal>),
    /// The answer to SUBSCRIBE: which filters are refused.
    Subscribed(Vec<bool>),
    /// A message of ours has arrived.
    Acknowledged(u16),
    /// The answer to a ping.
    Alive,
}

/// Reads the first packet and says how many bytes it has; `None` when more bytes are needed. More than these may have to
/// be passed over: a packet that is too large is given as soon as its head is there.
///
/// # Errors
/// When this is not MQTT, or not what a broker sends.
pub fn read(bytes: &[u8], max: usize) -> Result<Option<(Incoming<'_>, usize)>, PacketError> {
    // All that a broker sends, by first bytes. Something else would leave us waiting for the rest of its packet.
    if let Some(first) = bytes.first()
        && !matches!(first, 0x20 | 0x30..=0x3f | 0x40 | 0x90 | 0xd0)
    {
        return Err(PacketError::Broken(format!("its first byte is {first:#04x}")));
    }
    let header = match check(bytes.iter(), max) {
        Ok(header) => header,
        Err(Error::InsufficientBytes(_)) => return Ok(None),
        Err(Error::PayloadSizeLimitExceeded(length)) => return too_large(bytes, length),
        Err(error) => return Err(broken(&error)),
    };
    let length = header.frame_length();
    let frame = bytes.get(..length).unwrap_or(bytes);
    let kind = header.packet_type().map_err(|error| broken(&error))?;
    let incoming = match kind {
        PacketType::Publish => Incoming::Publish(publish(frame)?),
        _ => other(frame, max)?,
    };
    Ok(Some((incoming, length)))
}

fn broken(error: &Error) -> PacketError {
    PacketError::Broken(error.to_string())
}

fn malformed() -> PacketError {
    PacketError::Broken("a message without its parts".into())
}

/// The bytes behind the fixed header.
fn body(frame: &[u8]) -> Option<&[u8]> {
    let length = frame
        .get(1..)?
        .iter()
        .take(MAX_HEADER - 1)
        .position(|byte| byte & 0x80 == 0)?;
    frame.get(length + 2..)
}

/// Topic and number, and what is behind them; `None` when not all of that is there.
fn head(frame: &[u8]) -> Option<(&[u8], Option<u16>, &[u8])> {
    let quality = frame.first()? >> 1 & 3;
    let (length, rest) = body(frame)?.split_first_chunk::<2>()?;
    let (topic, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    if quality == 0 {
        return Some((topic, None, rest));
    }
    let (number, rest) = rest.split_first_chunk::<2>()?;
    Some((topic, Some(u16::from_be_bytes(*number)), rest))
}

fn publish(frame: &[u8]) -> Result<Publish<'_>, PacketError> {
    let (topic, packet, payload) = head(frame).ok_or_else(malformed)?;
    let topic = std::str::from_utf8(topic).map_err(|_| malformed())?;
    let first = frame.first().copied().unwrap_or_default();
    // We subscribe with QoS 1, so nothing comes with QoS 2.
    if packet == Some(0) || first & 0b100 != 0 {
        return Err(malformed());
    }
    Ok(Publish {
        topic,
        payload,
        packet,
        retained: first & 1 != 0,
        again: first & 0b1000 != 0,
    })
}

fn too_large(bytes: &[u8], length: usize) -> Result<Option<(Incoming<'_>, usize)>, PacketError> {
    if bytes.first().copied().unwrap_or_default() >> 4 != 3 {
        return Err(PacketError::Broken(format!(
            "a packet of {length} bytes that is no message"
        )));
    }
    let Some((topic, packet, _)) = head(bytes) else {
        return Ok(None);
    };
    let topic = std::str::from_utf8(topic).map_err(|_| malformed())?;
    let header = bytes.len() - body(bytes).map_or(0, <[u8]>::len);
    let bytes = header + length;
    Ok(Some((Incoming::TooLarge { topic, packet, bytes }, bytes)))
}

fn other(frame: &[u8], max: usize) -> Result<Incoming<'static>, PacketError> {
    let mut copy = BytesMut::from(frame);
    match Packet::read(&mut copy, max).map_err(|error| broken(&error))? {
        Packet::ConnAck(answer) => Ok(Incoming::Connected(match answer.code {
            ConnectReturnCode::Success => Ok(answer.session_present),
            ConnectReturnCode::RefusedProtocolVersion => Err(Refusal::Version),
            ConnectReturnCode::BadClientId => Err(Refusal::ClientId),
            ConnectReturnCode::ServiceUnavailable => Err(Refusal::Unavailable),
            ConnectReturnCode::BadUserNamePassword => Err(Refusal::Credentials),
            ConnectReturnCode::NotAuthorized => Err(Refusal::Unauthorized),
        })),
        Packet::SubAck(answer) => Ok(Incoming::Subscribed(
            answer
                .return_codes
                .iter()
                .map(|code| *code == SubscribeReasonCode::Failure)
                .collect(),
        )),
        Packet::PubAck(answer) => Ok(Incoming::Acknowledged(answer.pkid)),
        Packet::PingResp => Ok(Incoming::Alive),
        unexpected => Err(PacketError::Broken(format!(
            "a broker does not send this: {unexpected:?}"
        ))),
    }
}

/// How a client presents itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello<'h> {
    /// Its name, which is also the session's.
    pub client_id: &'h str,
    /// User name and password.
    pub login: Option<(&'h str, &'h str)>,
    /// Whether the broker is to forget what it knows of this client.
    pub clean: bool,
    /// Seconds without a packet after which the broker gives the client up.
    pub keep_alive: u16,
    /// What the broker publishes then, retained: topic and message.
    pub will: Option<(&'h str, &'h [u8])>,
}

fn unmade(error: &Error) -> PacketError {
    PacketError::Unmade(error.to_string())
}

/// CONNECT.
///
/// # Errors
/// When it is too large.
pub fn write_connect(hello: &Hello<'_>, out: &mut BytesMut) -> Result<(), PacketError> {
    let mut connect = Connect::new(hello.client_id);
    connect.clean_session = hello.clean;
    connect.keep_alive = hello.keep_alive;
    connect.login = hello.login.map(|(user, password)| Login::new(user, password));
    connect.last_will = hello
        .will
        .map(|(topic, message)| LastWill::new(topic, message, QoS::AtLeastOnce, true));
    connect.write(out).map(drop).map_err(|error| unmade(&error))
}

/// SUBSCRIBE to all of these with QoS 1.
///
/// # Errors
/// When it is too large.
pub fn write_subscribe<'f>(
    filters: impl Iterator<Item = &'f str>,
    out: &mut BytesMut,
) -> Result<(), PacketError> {
    let filters = filters.map(|filter| SubscribeFilter::new(filter.to_owned(), QoS::AtLeastOnce));
    let mut subscribe = Subscribe::new_many(filters);
    subscribe.pkid = 1;
    subscribe.write(out).map(drop).map_err(|error| unmade(&error))
}

/// PUBLISH with QoS 1.
///
/// # Errors
/// When it is too large.
pub fn write_publish(
    topic: &str,
    payload: Vec<u8>,
    packet: u16,
    retain: bool,
    out: &mut BytesMut,
) -> Result<(), PacketError> {
    let mut publish = Outgoing::new(topic, QoS::AtLeastOnce, payload);
    publish.pkid = packet;
    publish.retain = retain;
    publish.write(out).map(drop).map_err(|error| unmade(&error))
}

/// PUBACK.
pub fn write_acknowledgement(packet: u16, out: &mut BytesMut) {
    // Four bytes: it cannot be too large.
    drop(PubAck::new(packet).write(out));
}

/// PINGREQ.
pub fn write_ping(out: &mut BytesMut) {
    drop(PingReq.write(out));
}

/// DISCONNECT.
pub fn write_farewell(out: &mut BytesMut) {
    drop(Disconnect.write(out));
}

#[cfg(test)]
mod tests;
