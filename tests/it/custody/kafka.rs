//! Nodes on real lines, the agent as a process, a real Apache Kafka, and kills of both.

mod soon;

use std::collections::BTreeMap;
use std::time::Duration;

use edgespool::clock::mono;

use super::oracle::{Findings, Kill, judge, texts};
use crate::support::agent::{Agent, Gateway};
use crate::support::kafka::{Kafka, Options, Record};
use crate::support::nodes::{Fleet, Kind, Log, Plan, sensor_id};
use crate::support::pty::Socket;

const PARTITIONS: u32 = 6;

/// What is done when so many more thousandths of the readings were receipted than after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    KillAgent,
    KillBroker,
    RestartBroker,
}

/// The agent dies while all is well, during an outage, soon after one, while the backlog is sent, and near the end.
const FAULTS: [(u64, Fault); 9] = [
    (60, Fault::KillAgent),
    (60, Fault::KillBroker),
    (50, Fault::KillAgent),
    (50, Fault::RestartBroker),
    (60, Fault::KillAgent),
    (50, Fault::KillBroker),
    (50, Fault::RestartBroker),
    (10, Fault::KillAgent),
    (60, Fault::KillAgent),
];

/// A number from the environment: the run can be made larger.
fn size(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().expect(variable))
}

fn plan() -> Plan {
    let nodes = size("CUSTODY_NODES", 50);
    let readings = size("CUSTODY_READINGS", 100_000).div_ceil(nodes * 2);
    let seconds = size("CUSTODY_SECONDS", 50);
    Plan {
        nodes: usize::try_from(nodes).unwrap(),
        readings,
        rate: readings as f64 / seconds as f64,
    }
}

/// One source for each line; some sensors have tags.
fn gateway(bootstrap: &str, plan: &Plan, sockets: &[Socket]) -> Gateway {
    let mut rest = "commit-interval = \"250ms\"\n".to_owned();
    rest += "[span]\ntime-span = \"1s\"\nidle-timeout = \"1s\"\nmax-delay = \"3s\"\n";
    for socket in sockets {
        rest += &format!(
            "[[source]]\nkind = \"serial-frames\"\nport = {:?}\n",
            socket.path()
        );
    }
    for sensor in (0..plan.sensors()).filter(|sensor| Kind::of(*sensor) == Kind::Two) {
        rest += &format!("[sensor.{:?}]\ntags = {{ site = \"oslo\" }}\n", sensor_id(sensor));
    }
    Gateway::new(bootstrap, &rest)
}

/// SIGKILL, if possible while records are under way, and what it can have caught: of each sensor, what was not yet
/// delivered for good, and what existed.
fn kill(agent: Agent, fleet: &Fleet, plan: &Plan) -> Kill {
    let mut status = agent.status();
    for _ in 0..300 {
        if status.kafka.in_flight > 0 {
            break;
        }
        status = agent.status();
    }
    agent.kill();
    let made = fleet.made();
    let known: BTreeMap<_, _> = status
        .sensors
        .iter()
        .map(|sensor| (sensor.id.as_str(), sensor.ledger.delivered))
        .collect();
    let delivered = (0..plan.sensors()).map(|sensor| known.get(&*sensor_id(sensor)).copied().unwrap_or(0));
    Kill {
        delivered: delivered.collect(),
        made,
    }
}

fn say(words: &str) {
    eprintln!("{words}");
}

#[test]
#[ignore = "needs Apache Kafka: just test-kafka"]
fn what_was_receipted_is_in_kafka_although_brokers_and_agents_are_killed() {
    let plan = plan();
    let kafka = Kafka::start(&Options::default());
    kafka.create_topic("readings", PARTITIONS);
    let sockets: Vec<_> = (0..plan.nodes).map(|_| Socket::new()).collect();
    let gateway = gateway(kafka.bootstrap(), &plan, &sockets);
    let began = mono();
    let mut agent = gateway.start();
    let fleet = Fleet::start(plan, &sockets);
    let mut kills = Vec::new();
    for (further, fault) in FAULTS {
        fleet.wait_for(
            plan.total()
                .min(fleet.receipted() + plan.total() * further / 1000),
        );
        match fault {
            Fault::KillAgent => {
                kills.push(kill(agent, &fleet, &plan));
                agent = gateway.start();
            }
            Fault::KillBroker => kafka.kill(1),
            Fault::RestartBroker => kafka.restart(1),
        }
        say(&format!(
            "{:>6.1?}  {fault:?} at {} receipts",
            mono().since(began),
            fleet.receipted()
        ));
    }
    let logs = fleet.finish();
    say(&format!("{:>6.1?}  all receipted", mono().since(began)));
    let drained = agent.wait_long("an empty queue", Duration::from_secs(120), |status| {
        status.ledger.queued == 0
    });
    say(&format!(
        "{:>6.1?}  drained: {:?}",
        mono().since(began),
        drained.ledger
    ));

    let records = kafka.console_consume("readings");
    let (findings, wrong) = judge(&records, &logs, &kills);
    say(&format!("{findings:?}"));
    assert!(
        wrong.is_empty(),
        "{findings:?}\n{}\n{}",
        wrong.join("\n"),
        gateway.log()
    );
    check_ledger(&gateway, &plan, findings, &records);
    check_times(findings);
    check_partitions(&kafka, &records);
    check_bytes(&records, &logs);
}

/// The agent's own ledger, as its command line tells it, says the same as the topic.
fn check_ledger(gateway: &Gateway, plan: &Plan, findings: Findings, records: &[Record]) {
    let ledger = &gateway.status_command()["ledger"];
    let figure = |name: &str| ledger[name].as_u64().unwrap();
    assert_eq!(figure("accepted"), plan.total(), "stored once each: {ledger}");
    assert_eq!(figure("delivered"), figure("accepted"), "{ledger}");
    assert_eq!((figure("queued"), figure("dead"), figure("dropped")), (0, 0, 0));
    assert_eq!(findings.first, plan.total());
    assert_eq!(figure("delivered") + findings.duplicates, records.len() as u64);
}

/// A node's time is known from its messages, and what the line held back while no agent was there comes late by so much.
/// (Nodes that were not asked for the time in the right way had their readings dated 12 s late and more.)
fn check_times(findings: Findings) {
    assert!(findings.early_ms <= 1000, "{findings:?}");
    assert!(findings.late_ms <= 5000, "{findings:?}");
}

/// Keys lie where a Java producer puts them.
fn check_partitions(kafka: &Kafka, records: &[Record]) {
    let placed: BTreeMap<String, u32> = records
        .iter()
        .map(|record| (record.key.clone().unwrap(), record.partition))
        .collect();
    let keys: Vec<&str> = placed.keys().map(String::as_str).collect();
    assert_eq!(placed, kafka.java_partitions(PARTITIONS, &keys));
}

/// The judge has compared all values, each with what its time quality allows; here it is one quality for all: what the
/// kernel says of this machine's clock. And the headers.
fn check_bytes(records: &[Record], logs: &[Log]) {
    let mut counts = [0; 3];
    for record in records {
        let suffix = |name: &str| record.text().ends_with(&format!(",\"timeQuality\":\"{name}\"}}"));
        let quality = if suffix("unsynced") {
            1
        } else {
            2 * usize::from(suffix("estimated"))
        };
        counts[quality] += 1;
        assert_eq!(record.header("device"), Some("greenhouse-7"));
        assert_eq!(record.timestamp_kind, "CreateTime");
        assert!(record.header("seq").unwrap().parse::<u64>().unwrap() >= 1);
    }
    say(&format!(
        "time quality: {counts:?} synchronized, unsynced, estimated"
    ));
    assert!(
        counts[1] == 0 || counts[1] == records.len(),
        "the kernel has one opinion: {counts:?}"
    );
    let log = logs.iter().find(|log| log.kind == Kind::Mixed).unwrap();
    let shown = records
        .iter()
        .find(|record| record.key.as_deref() == Some(&*log.id))
        .unwrap();
    say(&format!(
        "for example {} {}",
        shown.key.as_deref().unwrap(),
        shown.text()
    ));
    assert!(
        texts(&log.id, log.kind, 0, shown.timestamp)
            .iter()
            .any(|text| text == shown.text())
    );
}
