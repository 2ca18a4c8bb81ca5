//! Definitions, refusals, start and stop.

use std::time::Duration;

use super::*;
use crate::intake::catalog::Catalog;

fn pair(name: &str, value: &str) -> (Box<str>, Box<str>) {
    (name.into(), value.into())
}

fn knowledge() -> Knowledge {
    let shed = Overrides {
        measurement: Some("flow".into()),
        units: [pair("humidity", "g/kg")].into(),
        tags: vec![pair("site", "bergen"), pair("a", "1")],
    };
    Knowledge {
        tags: vec![pair("site", "oslo"), pair("row", "3")],
        sensors: [(SensorId::new("shed").unwrap(), shed)].into(),
    }
}

fn context(max: usize) -> Context {
    let inbox = Inbox::new(Duration::from_secs(1), Catalog::new(vec![], max));
    Context::new(
        "source[0] test",
        Arc::new(inbox),
        Arc::new(Clock::new()),
        Arc::new(knowledge()),
    )
}

#[test]
fn the_device_file_adds_names_units_and_tags() {
    let own = Quantity {
        name: None,
        unit: None,
        kind: ValueKind::Number,
    };
    let air = [
        Quantity::number("temperature", "C"),
        Quantity::number("humidity", "%"),
    ];
    let check =
        |id: &str, quantities: &[Quantity<'_>], names: &[(&str, Option<&str>)], tags: &[(&str, &str)]| {
            let def = define(&knowledge(), SensorId::new(id).unwrap(), quantities).unwrap();
            let got: Vec<_> = def
                .measurements
                .iter()
                .map(|m| (&*m.name, m.unit.as_deref()))
                .collect();
            assert_eq!(got, names, "{id}");
            assert_eq!(
                def.tags,
                tags.iter().map(|(k, v)| pair(k, v)).collect::<Vec<_>>(),
                "{id}"
            );
        };
    let oslo = [("row", "3"), ("site", "oslo")];
    let bergen = [("a", "1"), ("row", "3"), ("site", "bergen")];
    check(
        "x",
        &air,
        &[("temperature", Some("C")), ("humidity", Some("%"))],
        &oslo,
    );
    check(
        "shed",
        &air,
        &[("temperature", Some("C")), ("humidity", Some("g/kg"))],
        &bergen,
    );
    check("x", &[own], &[("temperature", None)], &oslo);
    check("shed", &[own], &[("flow", None)], &bergen);
}

#[test]
fn what_breaks_a_rule_is_refused_by_name() {
    let context = context(1);
    let quantity = |name| Quantity {
        name: Some(name),
        unit: None,
        kind: ValueKind::Text,
    };
    assert!(context.register("a", &[quantity("state")]).is_ok());
    for (id, names, reason) in [
        ("b", &["state"][..], Reason::MaxSensors),
        ("", &["state"], Reason::Invalid),
        ("a", &["tags"], Reason::Invalid),
        ("a", &["x", "x"], Reason::Invalid),
        ("a", &[""], Reason::Invalid),
        ("a", &[], Reason::Invalid),
    ] {
        let quantities: Vec<_> = names.iter().map(|name| quantity(*name)).collect();
        let refused = context.register(id, &quantities).unwrap_err();
        assert_eq!(refused.reason(), reason, "{id} {names:?}: {refused}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn sources_end_when_they_are_told() {
    let mut task = context(1).spawn_task(|context| async move { context.stop().stopped().await });
    let mut thread = context(1)
        .spawn_thread(
            "test",
            |context| while !context.stop().sleep(Duration::from_secs(60)) {},
        )
        .unwrap();
    assert!(
        tokio::time::timeout(Duration::from_millis(5), task.ended())
            .await
            .is_err()
    );
    task.stop();
    thread.stop();
    task.ended().await;
    thread.ended().await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_source_that_has_ended_leaves_its_sensors_to_others() {
    let inbox = Arc::new(Inbox::new(Duration::from_secs(1), Catalog::new(vec![], 9)));
    let context = |label: &str| Context::new(label, inbox.clone(), Arc::new(Clock::new()), Arc::default());
    let air = [Quantity::number("temperature", "C")];
    let (old, new) = (context("old"), context("new"));
    let number = old.register("shed", &air).unwrap();
    assert!(matches!(
        new.register("shed", &air),
        Err(Refused::Catalog(RegisterError::Owned { .. }))
    ));
    let mut running = old.spawn_task(|context| async move { context.stop().stopped().await });
    running.stop();
    running.ended().await;
    assert_eq!(new.register("shed", &air), Ok(number));
}

#[test]
fn what_finds_no_space_while_the_queue_has_no_room_is_refused_for_that() {
    let context = context(1);
    context.refuse(None, Reason::Inbox, 1);
    context.inbox.block(crate::clock::Mono(u64::MAX));
    context.refuse(None, Reason::Inbox, 10);
    context.inbox.unblock();
    context.refuse(None, Reason::Inbox, 1);
    let refused = context.offers().all().refused;
    assert_eq!(
        (refused[Reason::Full as usize], refused[Reason::Inbox as usize]),
        (10, 2)
    );
}
