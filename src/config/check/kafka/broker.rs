//! The address of a broker: `host:port`.
//!
//! Pure. Promises that an address which passes is one that librdkafka understands as this one, and that a password
//! in one is not repeated.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::super::problem::quoted;

/// What is wrong, and what would be right.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) problem: String,
    pub(super) hint: Option<String>,
}

/// The port of most brokers.
const PORT: &str = "9092";

/// The address in lower case.
pub(super) fn check(text: &str) -> Result<String, Wrong> {
    let wrong = |problem: &str, hint: Option<String>| {
        Err(Wrong {
            problem: format!("{} {problem}", quoted(text)),
            hint,
        })
    };
    if let Some((_, address)) = text.rsplit_once('@') {
        let problem = "a broker's address with a user in it".to_owned();
        return Err(Wrong {
            problem,
            hint: Some(quoted(address)),
        });
    }
    if text.is_empty() {
        return wrong("is not host:port", Some(format!("\"broker-1:{PORT}\"")));
    }
    if let Some((_, address)) = text.split_once("://") {
        return wrong("is not host:port", Some(quoted(address.trim_end_matches('/'))));
    }
    if text.contains(',') {
        let list: Vec<_> = text.split(',').map(|address| quoted(address.trim())).collect();
        return wrong("are several", Some(format!("[{}]", list.join(", "))));
    }
    if text.contains(char::is_whitespace) {
        return wrong(
            "has a space in it",
            Some(quoted(&text.split_whitespace().collect::<String>())),
        );
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return wrong("has no port", Some(format!("\"[{text}]:{PORT}\"")));
    }
    let Some((host, port)) = text.rsplit_once(':').filter(|_| !text.ends_with(']')) else {
        return wrong("has no port", Some(format!("\"{text}:{PORT}\"")));
    };
    if !is_port(port) {
        return wrong("has no valid port", Some(format!("1 to 65535, often {PORT}")));
    }
    if host.parse::<Ipv6Addr>().is_ok() {
        return wrong("is not host:port", Some(format!("\"[{host}]:{port}\"")));
    }
    if !is_host(host) {
        return wrong("has no valid host name", None);
    }
    Ok(text.to_ascii_lowercase())
}

fn is_port(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        return inner
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    if host.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return host.parse::<Ipv4Addr>().is_ok();
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let label = |label: &str| {
        let allowed = label
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        allowed && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        for good in [
            "broker-1:9092",
            "kafka:1",
            "10.0.0.7:65535",
            "[::1]:9092",
            "[2001:db8::7]:9092",
            "b_1.example.com.:9092",
        ] {
            assert_eq!(check(good), Ok(good.to_owned()), "{good}");
        }
        assert_eq!(check("Broker:9092"), Ok("broker:9092".to_owned()));
    }

    #[test]
    fn what_is_no_address_says_what_would_be() {
        for (bad, hint) in [
            ("", Some("\"broker-1:9092\"")),
            ("broker-1", Some("\"broker-1:9092\"")),
            ("::1", Some("\"[::1]:9092\"")),
            ("[::1]", Some("\"[::1]:9092\"")),
            ("2001:db8::7:70000", Some("1 to 65535, often 9092")),
            (
                "2001:db8:0:0:0:0:0:7:9092",
                Some("\"[2001:db8:0:0:0:0:0:7]:9092\""),
            ),
            ("broker:0", Some("1 to 65535, often 9092")),
            ("broker:+5", Some("1 to 65535, often 9092")),
            ("broker:", Some("1 to 65535, often 9092")),
            (":9092", None),
            ("10.0.0.300:9092", None),
            ("bröker:9092", None),
            ("-broker:9092", None),
            ("[broker]:9092", None),
            ("PLAINTEXT://broker:9092/", Some("\"broker:9092\"")),
            ("a:1,b:2", Some("[\"a:1\", \"b:2\"]")),
            ("broker :9092", Some("\"broker:9092\"")),
        ] {
            assert_eq!(check(bad).unwrap_err().hint.as_deref(), hint, "{bad}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_not_repeated() {
        let wrong = check("kafka://user:hunter2@broker:9092").unwrap_err();
        assert!(!format!("{wrong:?}").contains("hunter2"));
    }
}
