//! Sensors that fail, change and say nonsense: what the node makes of it.

#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod support;

use edgespool_node::{
    Config, Fault, Identity, Measurement, Measurements, Node, NodeId, Refused, Sensor, Value, Values,
};
use support::{ack, said};

const BOOT: u32 = 7;

/// Samples, fails and changes as it is told.
struct Moody {
    id: &'static str,
    sample: Result<f64, Fault>,
    unit: &'static str,
}

impl Sensor for Moody {
    fn id(&self) -> &str {
        if self.sample == Err(Fault::Garbled) {
            ""
        } else {
            self.id
        }
    }

    fn measurements(&self) -> Measurements<'_> {
        Measurements::from_slice(&[Measurement {
            name: "t",
            unit: Some(self.unit),
        }])
        .unwrap()
    }

    fn period_ms(&self) -> u32 {
        100
    }

    fn sample(&mut self) -> Result<Values<'_>, Fault> {
        let number = self.sample?;
        if number == 13.0 {
            self.sample = Err(Fault::Garbled);
        }
        Ok(Values::from_slice(&[number.into()]).unwrap())
    }
}

fn moody(sensors: [Moody; 2]) -> Result<Node<Moody, 2, 256>, edgespool_node::InvalidSensor> {
    let identity = Identity {
        node: NodeId::new(b"n1").unwrap(),
        boot: BOOT,
    };
    Node::new(Config::of(identity), sensors, 0)
}

#[test]
fn samples_become_readings_and_faults_are_counted() {
    let good = Moody {
        id: "good",
        sample: Ok(1.0),
        unit: "C",
    };
    let bad = Moody {
        id: "bad",
        sample: Err(Fault::Bus),
        unit: "C",
    };
    let mut node = moody([good, bad]).unwrap();
    node.sample(0);
    node.sample(50);
    node.sample(350);
    let counters = node.counters();
    assert_eq!(
        (counters.sampled, counters.faults, counters.missed, node.depth()),
        (2, 2, 4, 2)
    );
    assert_eq!(node.next_deadline(350), 350, "the Hello is due");
    assert_eq!(said(&mut node, 350), ["hello 1"]);
    assert_eq!(
        node.next_deadline(350),
        400,
        "the next sample comes before the next Hello"
    );
}

#[test]
fn a_sensor_that_changes_its_name_to_nonsense_is_not_in_the_way() {
    let odd = Moody {
        id: "odd",
        sample: Ok(13.0),
        unit: "C",
    };
    let good = Moody {
        id: "good",
        sample: Ok(1.0),
        unit: "C",
    };
    let mut node = moody([odd, good]).unwrap();
    node.sample(0);
    assert_eq!(said(&mut node, 0), ["hello 1"]);
    node.receive(&ack(BOOT, 0), 0);
    assert_eq!(said(&mut node, 0), ["lost 1-1", "good 2-2"]);
    assert_eq!(node.counters().link.unsendable, 1);
}

#[test]
fn what_the_protocol_does_not_allow_is_refused_at_boot_or_when_it_is_recorded() {
    let odd = |id, unit| Moody {
        id,
        sample: Ok(1.0),
        unit,
    };
    assert_eq!(
        moody([odd("a", "C"), odd("", "C")])
            .map(|_| ())
            .unwrap_err()
            .index,
        1
    );
    assert_eq!(
        moody([odd("a", "seventeen bytes!!"), odd("b", "C")])
            .map(|_| ())
            .unwrap_err()
            .index,
        0
    );
    let mut node = moody([odd("a", "C"), odd("b", "C")]).unwrap();
    assert_eq!(node.record(2, 0, &[1.0.into()]), Err(Refused::NoSuchSensor));
    assert_eq!(node.record(0, 0, &[]), Err(Refused::Values));
    assert_eq!(node.record(0, 0, &[1.0.into(), 1.0.into()]), Err(Refused::Values));
    let text = "x".repeat(256);
    assert!(matches!(
        node.record(0, 0, &[Value::Text(&text)]),
        Err(Refused::TooLong(_))
    ));
    assert_eq!((node.depth(), node.counters().refused), (0, 4));
}
