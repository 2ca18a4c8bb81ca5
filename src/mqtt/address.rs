//! Where a broker is: `mqtt://host:port` or `mqtts://host:port`.
//!
//! Pure. Promises that an address holds no secret: one with a name and a password in it is refused.

use std::fmt;

/// A broker's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// A name or an IP address, an IPv6 one without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It does not begin with a scheme.
    #[error("does not begin with mqtt:// or mqtts://")]
    Scheme,
    /// A scheme of something else.
    #[error("is over WebSockets, which this version cannot do")]
    WebSocket,
    /// Something stands before an @.
    #[error("has a user in it")]
    User,
    /// Something stands behind the port.
    #[error("has something behind the port")]
    Tail,
    /// No host.
    #[error("names no host")]
    Host,
    /// No such port.
    #[error("has no port from 1 to 65535 behind its colon")]
    Port,
}

impl Address {
    /// Reads an address; the port is 1883, or 8883 with TLS, if it says none.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.split_once("://").ok_or(AddressError::Scheme)?;
        let tls = match scheme {
            "mqtt" => false,
            "mqtts" => true,
            "ws" | "wss" => return Err(AddressError::WebSocket),
            _ => return Err(AddressError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return Err(AddressError::User);
        }
        if rest.contains(['/', '?', '#']) {
            return Err(AddressError::Tail);
        }
        let (host, port) = match rest.strip_prefix('[') {
            Some(inner) => {
                let (host, behind) = inner.split_once(']').ok_or(AddressError::Host)?;
                host.parse::<std::net::Ipv6Addr>()
                    .map_err(|_| AddressError::Host)?;
                (
                    host,
                    behind
                        .strip_prefix(':')
                        .or_else(|| (!behind.is_empty()).then_some("")),
                )
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let is_host = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
        if host.is_empty() || host.len() > 253 || !host.chars().all(is_host) {
            return Err(AddressError::Host);
        }
        let port = match port {
            None if tls => 8883,
            None => 1883,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or(AddressError::Port)?,
        };
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let address = |tls, host: &str, port| {
            Ok(Address {
                tls,
                host: host.into(),
                port,
            })
        };
        for (text, expect) in [
            ("mqtt://localhost:1883", address(false, "localhost", 1883)),
            ("mqtt://broker.lan", address(false, "broker.lan", 1883)),
            ("mqtts://10.0.0.7/", address(true, "10.0.0.7", 8883)),
            ("mqtts://[::1]:99", address(true, "::1", 99)),
            ("mqtt://[fe80::1]", address(false, "fe80::1", 1883)),
            ("localhost:1883", Err(AddressError::Scheme)),
            ("tcp://localhost:1883", Err(AddressError::Scheme)),
            ("ws://localhost", Err(AddressError::WebSocket)),
            ("mqtt://me:secret@localhost", Err(AddressError::User)),
            ("mqtt://localhost/x", Err(AddressError::Tail)),
            ("mqtt://", Err(AddressError::Host)),
            ("mqtt://a b", Err(AddressError::Host)),
            ("mqtt://[::1", Err(AddressError::Host)),
            ("mqtt://a:0", Err(AddressError::Port)),
            ("mqtt://a:70000", Err(AddressError::Port)),
            ("mqtt://[::1]x", Err(AddressError::Port)),
        ] {
            assert_eq!(Address::new(text), expect, "{text}");
        }
    }
}
