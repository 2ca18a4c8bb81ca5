//! What the agent tells systemd: that it is ready, how it is, that it is alive.
//!
//! Owns the notification socket's language. Promises that nothing here fails where there is no systemd, and that a
//! notification never waits. Must not know what is worth telling.

use std::time::Duration;

use sd_notify::NotifyState;

/// The longest status line: systemd keeps more, people do not read it.
const LONGEST: usize = 200;

/// The start is over.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The end has begun.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says how things are, in one line of words.
pub fn status(words: &str) {
    tell(&[NotifyState::Status(&line(words))]);
}

/// The start or the stop takes longer: so much more from now on.
pub fn extend(time: Duration) {
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::ExtendTimeoutUsec(micros)]);
}

/// Every part that has to make progress was seen alive.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// Whether somebody listens.
#[must_use]
pub fn is_there() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// How long systemd waits between two words of [`alive`]; `None` where nobody waits.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}

/// One line: a line end would begin another field of the message.
fn line(words: &str) -> String {
    let clean = words.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_cannot_say_anything_else() {
        assert_eq!(line("a\nREADY=1\tb"), "a READY=1 b");
        assert_eq!(line(&"x".repeat(500)).len(), LONGEST);
    }
}
