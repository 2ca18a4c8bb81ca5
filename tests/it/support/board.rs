//! A sensor node as it is flashed, on a line that may spoil bytes; its clock runs fast, so that its pauses are short.

#[expect(dead_code, reason = "shared with the tests of the firmware")]
#[path = "../../../firmware/wire/tests/support/dice.rs"]
mod dice;
#[path = "../../../firmware/node/tests/support/thermometer.rs"]
mod thermometer;

use std::time::Duration;

pub(crate) use dice::Dice;
use edgespool::clock::{self, Mono};
use edgespool_node::{Config, Identity, MAX_WRITE, Node, NodeId};
use thermometer::Thermometer;

use super::pty::Adapter;

/// How much faster than ours the node's clock runs.
const HASTE: u32 = 20;

/// A node with two sensors.
pub(crate) struct Board {
    pub(crate) node: Node<Thermometer, 2, 16384>,
    started: Mono,
    /// Whether what it is told gets lost on the way.
    pub(crate) deaf: bool,
    /// One byte in so many is spoilt, in both directions.
    pub(crate) noise: Option<(usize, Dice)>,
}

impl Board {
    pub(crate) fn new(name: &str, boot: u32, sensors: [&'static str; 2]) -> Self {
        let identity = Identity {
            node: NodeId::new(name.as_bytes()).unwrap(),
            boot,
        };
        let node = Node::new(Config::of(identity), sensors.map(Thermometer), 0).unwrap();
        Self {
            node,
            started: clock::mono(),
            deaf: false,
            noise: None,
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from((clock::mono().since(self.started) * HASTE).as_millis()).unwrap()
    }

    /// Takes a reading.
    pub(crate) fn record(&mut self, sensor: usize, value: f64) {
        let inserted = self.node.record(sensor, self.now_ms(), &[value.into()]).unwrap();
        assert!(inserted.kept, "the test gives the node no more than it holds");
    }

    /// Runs until nothing is waiting for an acknowledgement; false if that takes too long.
    pub(crate) async fn drain(&mut self, line: &Adapter) -> bool {
        for _ in 0..40_000 {
            if self.node.depth() == 0 {
                return true;
            }
            self.turn(line).await;
        }
        false
    }

    /// One turn of the main loop.
    pub(crate) async fn turn(&mut self, line: &Adapter) {
        let mut heard = line.read_now();
        self.spoil(&mut heard);
        if self.deaf {
            heard.clear();
        }
        self.node.receive(&heard, self.now_ms());
        let mut frame = [0; MAX_WRITE];
        while let Some(len) = self.node.poll(self.now_ms(), &mut frame) {
            let mut bytes = frame[..len].to_vec();
            self.spoil(&mut bytes);
            line.write(&bytes).await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    fn spoil(&mut self, bytes: &mut [u8]) {
        let Some((one_in, dice)) = &mut self.noise else {
            return;
        };
        for byte in bytes {
            if dice.below(*one_in) == 0 {
                *byte ^= u8::try_from(1 + dice.below(255)).unwrap();
            }
        }
    }
}
