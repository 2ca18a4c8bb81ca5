//! Custody from the publisher to a real Apache Kafka: what mosquitto has taken is there, whoever dies on the way.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::agent::{Agent, Gateway};
use crate::support::kafka::{Kafka, Options};
use crate::support::mosquitto::Mosquitto;
use crate::support::publisher::{Plan, Publisher};

/// What dies when so many thousandths of the messages were taken by the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Agent,
    Broker,
}

/// Five deaths of the agent, two restarts of the broker.
const FAULTS: [(u64, Fault); 7] = [
    (100, Fault::Agent),
    (250, Fault::Agent),
    (400, Fault::Broker),
    (500, Fault::Agent),
    (650, Fault::Agent),
    (800, Fault::Broker),
    (900, Fault::Agent),
];

/// A number from the environment: the run can be made larger.
fn size(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().expect(variable))
}

fn gateway(kafka: &Kafka, broker: &Mosquitto, inflight: u32) -> Gateway {
    let rest = format!(
        "commit-interval = \"1s\"\n[span]\nidle-timeout = \"1s\"\nmax-delay = \"3s\"\n\
         [[source]]\nkind = \"mqtt\"\nbroker = {:?}\ninflight = {inflight}\n\
         [[source.topic]]\nfilter = \"sensors/+/temperature\"\nsensor = \"{{topic.1}}\"\n\
         fields = {{ temperature = \"temperature\" }}\ntime = \"recordedAt\"\n",
        broker.url()
    );
    Gateway::new(kafka.bootstrap(), &rest)
}

/// Waits until all that was stored is delivered, and for a while nothing more comes.
fn drained(agent: &mut Agent, at_least: u64) {
    let patience = Duration::from_secs(180);
    agent.wait_long("everything is delivered", patience, |status| {
        status.ledger.accepted >= at_least && status.ledger.queued == 0
    });
}

/// How often each value of each sensor is in the topic.
fn counted(kafka: &Kafka) -> BTreeMap<String, BTreeMap<u64, u64>> {
    let mut found: BTreeMap<String, BTreeMap<u64, u64>> = BTreeMap::new();
    let count = kafka.count("readings") as usize;
    let mut records = Vec::new();
    // On a busy machine the console consumer gives up before its first record.
    for _ in 0..5 {
        records = kafka.console_consume("readings");
        if records.len() == count {
            break;
        }
    }
    assert_eq!(records.len(), count, "not all was read");
    for record in records {
        let value: serde_json::Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        let number = value["temperature"].as_f64().unwrap() as u64;
        *found
            .entry(record.key.unwrap())
            .or_default()
            .entry(number)
            .or_default() += 1;
    }
    found
}

/// Every value of every sensor is there; how many came more than once.
fn judge(kafka: &Kafka, plan: Plan) -> u64 {
    let (found, mut lost, mut again) = (counted(kafka), 0, 0);
    for sensor in 0..plan.sensors {
        let values = found.get(&format!("s{sensor}"));
        for value in 0..plan.of_sensor(sensor) {
            match values.and_then(|values| values.get(&value)) {
                None => lost += 1,
                Some(times) => again += times - 1,
            }
        }
    }
    let one = found.iter().next().map(|(id, values)| (id, values.iter().next()));
    assert_eq!(
        lost,
        0,
        "readings are lost; there are those of {} sensors, such as {one:?}",
        found.len()
    );
    again
}

#[test]
#[ignore = "needs mosquitto: just test-mqtt"]
fn nothing_that_the_broker_has_taken_is_lost_although_agent_and_broker_die() {
    let plan = Plan {
        messages: size("MQTT_READINGS", 40_000),
        sensors: 100,
        rate: size("MQTT_RATE", 4000),
    };
    let kafka = Kafka::start(&Options::default());
    kafka.create_topic("readings", 3);
    let mut broker = Mosquitto::start(5000, "");
    let gateway = gateway(&kafka, &broker, 5000);
    let mut agent = gateway.start();
    agent.wait_until("it is subscribed", |_| {
        broker.is_subscribed("edgespool-greenhouse-7")
    });
    let publisher = Publisher::start(broker.port(), plan);
    for (thousandths, fault) in FAULTS {
        publisher.wait_for(plan.messages * thousandths / 1000);
        match fault {
            Fault::Agent => {
                agent.kill();
                std::thread::sleep(Duration::from_millis(300));
                agent = gateway.start();
            }
            Fault::Broker => {
                broker.down();
                std::thread::sleep(Duration::from_millis(300));
                broker.up();
            }
        }
    }
    publisher.wait_for(plan.messages);
    drained(&mut agent, plan.messages);
    let again = judge(&kafka, plan);
    eprintln!(
        "{} readings through mosquitto, 5 kills of the agent, 2 restarts of the broker: 0 lost, {again} twice",
        plan.messages
    );
    // At each fault at most what was under way comes again.
    assert!(again <= FAULTS.len() as u64 * 5000, "{again}");
}

#[test]
#[ignore = "needs mosquitto: just test-mqtt"]
fn with_mosquittos_own_window_of_20_readings_come_slowly_and_all() {
    let plan = Plan {
        messages: size("MQTT_SLOW_READINGS", 2_000),
        sensors: 10,
        rate: 0,
    };
    let kafka = Kafka::start(&Options::default());
    kafka.create_topic("readings", 3);
    let broker = Mosquitto::start(20, "");
    let gateway = gateway(&kafka, &broker, 20);
    let mut agent = gateway.start();
    agent.wait_until("it is subscribed", |_| {
        broker.is_subscribed("edgespool-greenhouse-7")
    });
    let publisher = Publisher::start(broker.port(), plan);
    publisher.wait_for(plan.messages);
    drained(&mut agent, plan.messages);
    assert_eq!(judge(&kafka, plan), 0, "nothing died, so nothing comes twice");
    let status = agent.status();
    // A commit for each window, and no more: 20 readings each, but for the first and the last.
    let commits = status.queue.commits;
    assert!(commits <= plan.messages / 20 + 60, "{commits}");
}
