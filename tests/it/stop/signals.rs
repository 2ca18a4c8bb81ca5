//! SIGHUP, SIGINT and SIGKILL.

use edgespool::status::Snapshot;
use rustix::process::Signal;

use super::{Scene, of_fleet, stop};
use crate::support::agent::Agent;
use crate::support::nodes::Plan;

const SOME: Plan = Plan {
    nodes: 1,
    readings: 300,
    rate: 100.0,
};

fn wait_for_words(scene: &Scene, agent: &mut Agent, words: &str, times: usize) {
    agent.wait_until(words, |_| scene.gateway.log().matches(words).count() == times);
}

/// The text of a device file with so many simulated sensors.
fn with_sensors(scene: &Scene, sensors: u64) -> String {
    scene
        .device_file
        .replace("sensors = 4", &format!("sensors = {sensors}"))
}

#[test]
fn hangup_takes_up_a_good_device_file_and_refuses_a_bad_one_and_loses_nothing() {
    let scene = Scene::new("127.0.0.1:9", "");
    let fleet = scene.fleet(SOME);
    let mut agent = scene.gateway.start();
    let id = agent.id();
    for round in 1..=2 {
        fleet.wait_for(SOME.total() * round / 4);
        scene.gateway.write(&with_sensors(&scene, 4 + round));
        agent.signal(Signal::HUP);
        let newest = format!("sim-{}", 4 + round);
        let is_there = |status: &Snapshot| status.sensors.iter().any(|sensor| sensor.id == newest);
        agent.wait_until("the new sensor is there", is_there);
        scene
            .gateway
            .write(&with_sensors(&scene, 4).replace("sensors = 4", "sensors = -4\nsensor = 1"));
        agent.signal(Signal::HUP);
        wait_for_words(
            &scene,
            &mut agent,
            "the device file is refused",
            usize::try_from(round).unwrap(),
        );
    }
    fleet.finish();
    assert!(agent.is_running());
    assert_eq!(id, agent.id());
    let status = agent.status();
    assert_eq!(of_fleet(&status, &SOME), SOME.total(), "each once");
    scene.gateway.write(&scene.device_file);
    stop(agent, Signal::TERM, "after SIGHUP", &scene.gateway);
    assert_eq!(of_fleet(&scene.stored(), &SOME), SOME.total());
}

#[test]
fn hangups_that_come_while_it_begins_anew_do_not_end_it() {
    let scene = Scene::new("127.0.0.1:9", "");
    let fleet = scene.fleet(SOME);
    let mut agent = scene.gateway.start();
    let words = "the device file is good and is taken up";
    for round in 1..=5 {
        while scene.gateway.log().matches(words).count() < round {
            agent.signal(Signal::HUP);
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert!(agent.is_running(), "{}", scene.gateway.log());
    }
    fleet.finish();
    agent.wait_until("each is stored once", |status| {
        of_fleet(status, &SOME) == SOME.total()
    });
}

#[test]
fn interrupt_ends_it_and_the_next_one_goes_on_where_it_was() {
    let scene = Scene::new("127.0.0.1:9", "");
    let fleet = scene.fleet(SOME);
    let agent = scene.gateway.start();
    fleet.wait_for(SOME.total() / 3);
    stop(agent, Signal::INT, "SIGINT", &scene.gateway);
    assert!(
        !scene.gateway.socket().try_exists().unwrap(),
        "its socket is gone"
    );
    let agent = scene.gateway.start();
    fleet.finish();
    assert_eq!(of_fleet(&agent.status(), &SOME), SOME.total(), "each once");
    stop(agent, Signal::TERM, "the second", &scene.gateway);
    let stored = scene.stored();
    assert_eq!(of_fleet(&stored, &SOME), SOME.total());
    assert_eq!(stored.ledger.accepted, stored.ledger.queued);
}

#[test]
fn killed_again_and_again_it_takes_up_its_line_and_stores_each_reading_once() {
    let scene = Scene::new("127.0.0.1:9", "");
    let fleet = scene.fleet(SOME);
    let mut agent = scene.gateway.start();
    for round in 1..=3 {
        fleet.wait_for(SOME.total() * round / 5);
        agent.kill();
        let (receipted, stored) = (fleet.receipted(), of_fleet(&scene.stored(), &SOME));
        assert!(receipted <= stored, "{receipted} receipts, {stored} stored");
        agent = scene.gateway.start();
    }
    fleet.finish();
    assert_eq!(of_fleet(&agent.status(), &SOME), SOME.total(), "each once");
}
