//! SIGHUP, SIGINT and SIGKILL.

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

#[test]
fn hangup_checks_the_device_file_and_loses_nothing_whatever_it_says() {
    let scene = Scene::new("127.0.0.1:9", "");
    let fleet = scene.fleet(SOME);
    let mut agent = scene.gateway.start();
    for round in 1..=2 {
        fleet.wait_for(SOME.total() * round / 4);
        scene.gateway.write(&scene.device_file);
        agent.signal(Signal::HUP);
        wait_for_words(
            &scene,
            &mut agent,
            "the device file is good",
            usize::try_from(round).unwrap(),
        );
        scene.gateway.write(
            &scene
                .device_file
                .replace("sensors = 4", "sensors = -4\nsensor = 1"),
        );
        agent.signal(Signal::HUP);
        wait_for_words(
            &scene,
            &mut agent,
            "the device file is refused",
            usize::try_from(round).unwrap(),
        );
    }
    let id = agent.id();
    fleet.finish();
    assert!(agent.is_running());
    let status = agent.status();
    assert_eq!(of_fleet(&status, &SOME), SOME.total(), "each once");
    assert_eq!(id, agent.id());
    scene.gateway.write(&scene.device_file);
    stop(agent, Signal::TERM, "after SIGHUP", &scene.gateway);
    assert_eq!(of_fleet(&scene.stored(), &SOME), SOME.total());
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
