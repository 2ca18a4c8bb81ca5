//! Tells systemd that the agent is alive, and how it is, from what its parts have really done.
//!
//! Owns the thread that looks. Promises to say "alive" only after the commit thread came back for more and the forwarder
//! answered: a part that waits with nothing to do does both, a part that hangs does neither. Must not mend anything:
//! systemd starts the agent again.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::{View, forwarding};
use crate::exit::{Code, Failure};
use crate::queue::fold::Ledger;
use crate::status::Kafka;
use crate::systemd;

/// How often to look when systemd does not wait for a sign of life: for the status line.
const LOOK: Duration = Duration::from_secs(30);

/// What was seen at the last look.
#[derive(Debug, Default)]
struct Watch {
    turns: Option<u64>,
}

impl Watch {
    /// Whether everybody was alive since the last look. `turns` counts the commit thread's.
    fn look(&mut self, turns: u64, forwarder_answers: bool) -> bool {
        let before = self.turns.replace(turns);
        before.is_none_or(|before| turns > before) && forwarder_answers
    }
}

/// Starts looking, if this process was started by systemd.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn start(view: &Arc<View>) -> Result<(), Failure> {
    if !systemd::is_there() {
        return Ok(());
    }
    let pace = systemd::watchdog().map_or(LOOK, |limit| (limit / 4).min(LOOK));
    let view = Arc::downgrade(view);
    let work = move || {
        let (mut watch, mut said) = (Watch::default(), String::new());
        while let Some(view) = view.upgrade() {
            let kafka = kafka(&view);
            if watch.look(view.inbox.turns(), kafka.as_ref().is_none_or(answered)) {
                systemd::alive();
            } else {
                tracing::warn!("a part of the agent does not move: systemd is not told that it is alive");
            }
            view.inbox.nudge();
            let trouble = view.tally.troubles().next();
            let words = words(view.sight.figures().ledger, kafka.as_ref(), trouble);
            if words != said {
                systemd::status(&words);
                said = words;
            }
            drop(view);
            std::thread::sleep(pace);
        }
    };
    let thread = std::thread::Builder::new().name("watchdog".into());
    thread
        .spawn(work)
        .map(drop)
        .map_err(|error| Failure::new("start the watchdog's thread", error, Code::Io))
}

/// What the forwarder says; `None` when it was told to stop.
fn kafka(view: &View) -> Option<Kafka> {
    let forwarder = view.forwarder.lock().unwrap_or_else(PoisonError::into_inner);
    forwarder
        .as_ref()
        .map(|forwarder| forwarding::report(forwarder, |_| None).0)
}

/// Whether that is an answer.
fn answered(kafka: &Kafka) -> bool {
    kafka.reachable.is_some()
}

/// The state in one line of words.
fn words(ledger: Ledger, kafka: Option<&Kafka>, trouble: Option<String>) -> String {
    let kafka = match kafka.map(|kafka| (kafka.reachable, kafka.waiting.len())) {
        Some((Some(true), 0)) => "Kafka takes readings".to_owned(),
        Some((Some(true), waiting)) => format!("Kafka is there; {waiting} sensors wait for it"),
        Some((Some(false), _)) => "Kafka cannot be reached".to_owned(),
        Some((None, _)) => "the forwarder does not answer".to_owned(),
        None if trouble.is_some() => "nothing is sent".to_owned(),
        None => "stopping".to_owned(),
    };
    let trouble = trouble.map(|trouble| trouble + "; ").unwrap_or_default();
    format!(
        "{trouble}{kafka}; {} queued of {} accepted",
        ledger.queued, ledger.accepted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_hangs_is_not_called_alive() {
        // (turns of the commit thread, forwarder answers) -> alive
        let mut watch = Watch::default();
        for (turns, answers, expect) in [
            (1, true, true),
            (2, true, true),
            (2, true, false),
            (3, false, false),
            (4, true, true),
        ] {
            assert_eq!(watch.look(turns, answers), expect, "{turns} {answers}");
        }
    }

    #[test]
    fn the_status_line_says_what_counts() {
        let ledger = Ledger {
            queued: 7,
            accepted: 9,
            ..Ledger::default()
        };
        let kafka = Kafka {
            reachable: Some(false),
            ..Kafka::default()
        };
        let expect = "Kafka cannot be reached; 7 queued of 9 accepted";
        assert_eq!(words(ledger, Some(&kafka), None), expect);
        let expect = "the queue has no room: on the disk; nothing is sent; 7 queued of 9 accepted";
        let trouble = "the queue has no room: on the disk".to_owned();
        assert_eq!(words(ledger, None, Some(trouble)), expect);
    }
}
