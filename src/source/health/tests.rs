//! What status shows of faults and counters.

use super::*;

fn health() -> Health {
    Health::new("source[0] test".into(), Arc::new(Clock::new()))
}

#[test]
fn the_worst_fault_is_the_state_and_the_oldest_of_them_the_reason() {
    let health = health();
    assert_eq!((health.state(), health.snapshot().why), (State::Ok, None));
    health.fault("b", State::Degraded, "slow");
    health.fault("a", State::Degraded, "slow too");
    assert_eq!(health.snapshot().why.unwrap(), "b: slow (and 1 more)");
    health.fault("port", State::Failed, "gone");
    assert_eq!(
        (health.state(), health.snapshot().why.unwrap()),
        (State::Failed, "port: gone (and 2 more)".into())
    );
    health.clear("port");
    health.clear("b");
    health.fault("a", State::Degraded, "slow as ever");
    assert_eq!(
        (health.state(), health.snapshot().why.unwrap()),
        (State::Degraded, "a: slow as ever".into())
    );
    health.clear("a");
    assert_eq!((health.state(), health.snapshot().faults), (State::Ok, vec![]));
}

#[test]
fn a_mishap_passes_and_a_fault_does_not() {
    let health = health();
    health.mishap("sensors", "too many");
    health.fault("port", State::Failed, "gone");
    let later = |seconds: u64| Stamp {
        mono: health.clock.mono().0 + seconds * 1_000_000_000,
        ..health.clock.stamp()
    };
    health.expire(&mut health.lock(), later(50));
    assert_eq!(health.snapshot().faults.len(), 2);
    health.expire(&mut health.lock(), later(70));
    assert_eq!(health.snapshot().why.unwrap(), "port: gone");
}

#[test]
fn faults_and_recoveries_are_told_as_events() {
    let inbox = Arc::new(Inbox::new(
        Duration::from_secs(1),
        crate::intake::catalog::Catalog::new(vec![], 9),
    ));
    let own = health().telling(inbox.clone());
    own.fault("port", State::Failed, "gone");
    own.fault("port", State::Failed, "still gone");
    own.fault("a", State::Degraded, "slow");
    own.clear("a");
    own.clear("never there");
    own.mishap("line", "noise");
    let later = Stamp {
        mono: own.clock.mono().0 + 3_600_000_000_000,
        ..own.clock.stamp()
    };
    own.expire(&mut own.lock(), later);
    let told = inbox.events().told();
    let faults = (
        told.counts[&Kind::SourceFault],
        told.counts[&Kind::SourceRecovered],
    );
    assert_eq!(
        faults,
        (3, 2),
        "a renewed fault is no new one, and a mishap passes"
    );
    let reason = told.last[0].1.reason.as_deref().unwrap();
    assert!(reason.ends_with(": port: gone"), "{reason}");
}

#[test]
fn faults_are_bounded_and_a_bad_line_is_shown_shortened() {
    let health = health();
    (0..1000).for_each(|n| health.fault(&n.to_string(), State::Degraded, "x"));
    assert_eq!(health.snapshot().faults.len(), MAX_FAULTS);
    health.bad_line(&[b"a\x07\xff", &[b'z'; 1000][..]].concat());
    let line = health.snapshot().last_bad_line.unwrap();
    assert!(
        line.starts_with("a\u{fffd}\u{fffd}zz") && line.ends_with("z…"),
        "{line}"
    );
    assert_eq!(line.chars().count(), SHOWN_LINE + 1);
}

#[test]
fn a_snapshot_is_json() {
    let health = health();
    health.taken(3);
    health.count(|counters| counters.missed += 2);
    let json = serde_json::to_value(health.snapshot()).unwrap();
    assert_eq!(json["state"], "ok");
    assert_eq!(json["counters"]["readings"], 3);
    assert_eq!(json["counters"]["missed"], 2);
    assert!(json["last_reading"].as_i64().unwrap() > 0);
}

#[test]
fn a_flapping_fault_cannot_flood_the_log() {
    let (mut budget, mut said, mut unsaid) = (LogBudget::new(), 0, 0);
    for second in 0..1000 {
        budget.say(Mono(second * 1_000_000_000), |before| {
            said += 1;
            unsaid += before;
        });
    }
    assert!((100..=120).contains(&said), "{said}");
    assert!((870..=900).contains(&unsaid), "{unsaid}");
}
