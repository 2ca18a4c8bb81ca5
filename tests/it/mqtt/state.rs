//! The agent's own state: published while it lives, taken back when it dies.

use rustix::process::Signal;

use crate::support::agent::Gateway;
use crate::support::mosquitto::Mosquitto;

const TOPIC: &str = "edgespool/greenhouse-7/status";

fn state(broker: &Mosquitto) -> serde_json::Value {
    serde_json::from_str(&broker.first_message(TOPIC)).unwrap_or_default()
}

/// Reads the retained message until it is so.
fn until(broker: &Mosquitto, what: &str, is_so: impl Fn(&serde_json::Value) -> bool) {
    let mut last = serde_json::Value::Null;
    for _ in 0..600 {
        last = state(broker);
        if is_so(&last) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("this did not come: {what}; {last}");
}

#[test]
#[ignore = "needs mosquitto: just test-mqtt"]
fn the_agents_state_is_retained_and_says_when_the_agent_is_gone() {
    let broker = Mosquitto::start(20, "");
    let rest = format!(
        "[[source]]\nkind = \"simulated\"\n[mqtt-status]\nbroker = {:?}\ntopic = \"edgespool/{{device}}/status\"\n",
        broker.url()
    );
    let gateway = Gateway::new("127.0.0.1:1", &rest);
    let is = |text: &'static str| move |state: &serde_json::Value| state["state"] == text;
    let agent = gateway.start();
    until(&broker, "it is online", is("online"));
    let shown = state(&broker);
    assert_eq!(shown["device"], "greenhouse-7");
    assert!(
        shown["ledger"].is_object() && shown["sources"][0]["label"] == "source[1] simulated 1",
        "{shown}"
    );
    assert!(shown.get("sensors").is_none(), "the list may be long");
    let (status, _) = agent.end_by(Signal::TERM);
    assert_eq!(status.code(), Some(0));
    until(&broker, "it says that it goes", is("offline"));
    let agent = gateway.start();
    until(&broker, "it is online again", is("online"));
    agent.kill();
    until(&broker, "its last will", is("offline"));
}
