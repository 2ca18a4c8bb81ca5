//! What a sensor node does, free of hardware: it samples, keeps readings until the gateway has them durably, and
//! speaks the protocol of [`edgespool_wire`].
//!
//! Three parts that know nothing of each other's inside: the [`outbox`], the [`sampler`], and the [`link`]; a
//! [`Node`] puts them together. Promises: no allocation, no panic, no clock and no port of its own, and nothing lost
//! in silence: what the outbox cannot hold is declared as Lost, in its place in the order. A board brings a UART, a
//! clock of milliseconds, a unique ID and a boot number:
//!
//! ```
//! use edgespool_node::{Config, Fault, Identity, MAX_WRITE, Measurement, Measurements, Node, NodeId, Sensor, Values};
//!
//! struct Shed;
//!
//! impl Sensor for Shed {
//!     fn id(&self) -> &str {
//!         "shed-air"
//!     }
//!     fn measurements(&self) -> Measurements<'_> {
//!         Measurements::from_slice(&[Measurement { name: "temperature", unit: Some("C") }]).unwrap_or_default()
//!     }
//!     fn period_ms(&self) -> u32 {
//!         1000
//!     }
//!     fn sample(&mut self) -> Result<Values<'_>, Fault> {
//!         Values::from_slice(&[21.5.into()]).map_err(|_| Fault::Garbled)
//!     }
//! }
//! # struct Uart(Vec<u8>);
//! # impl Uart {
//! #     fn read(&mut self, _: &mut [u8]) -> usize { 0 }
//! #     fn write_all(&mut self, bytes: &[u8]) { self.0.extend_from_slice(bytes) }
//! # }
//! # let mut uart = Uart(Vec::new());
//! # let mut clock = (0..3).map(|second| 1000 * second);
//!
//! let identity = Identity { node: NodeId::new(b"shed-1")?, boot: 0x5eed };
//! // One sensor, and 4 KiB of outbox: about 290 readings.
//! let mut node: Node<Shed, 1, 4096> = Node::new(Config::of(identity), [Shed], 0)?;
//! let (mut heard, mut frame) = ([0; 64], [0; MAX_WRITE]);
//! # let mut main_loop = || -> Option<()> {
//! loop {
//!     let now_ms = clock.next()?;
//!     let len = uart.read(&mut heard);
//!     node.receive(&heard[..len], now_ms);
//!     node.sample(now_ms);
//!     while let Some(len) = node.poll(now_ms, &mut frame) {
//!         uart.write_all(&frame[..len]);
//!     }
//!     let _sleep_until_then_or_a_byte = node.next_deadline(now_ms);
//! }
//! # };
//! # main_loop();
//! # assert!(uart.0.len() > 2 * 25, "two Hellos went out: {:?}", uart.0);
//! # assert_eq!(node.depth(), 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

#[cfg(test)]
extern crate std;

pub mod link;
mod node;
pub mod outbox;
pub mod sampler;
pub mod times;

pub use edgespool_wire::{Measurement, Measurements, NodeId, Value, Values};
pub use link::{Identity, MAX_WRITE, WINDOW};
pub use node::{Config, Counters, InvalidSensor, Node, Refused};
pub use sampler::{Fault, Sensor};
