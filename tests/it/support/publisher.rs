//! A device that publishes as fast as it may: QoS 1, many messages under way, all of them again after a lost connection.
//!
//! Its bytes are made by hand, so that nothing of ours checks itself. Message `n` is of sensor `n % sensors` and says
//! `n / sensors`, which is also its time in tenths of a second.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use edgespool::clock::{Mono, mono};

/// Messages under way at most.
const WINDOW: u64 = 8000;
/// The time of each sensor's first reading, in milliseconds.
const BASE: u64 = 1_750_000_000_000;

/// What is published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) messages: u64,
    pub(crate) sensors: u64,
    /// Messages a second; zero for as fast as it goes.
    pub(crate) rate: u64,
}

impl Plan {
    /// How many readings this sensor gives.
    pub(crate) fn of_sensor(&self, sensor: u64) -> u64 {
        self.messages / self.sensors + u64::from(sensor < self.messages % self.sensors)
    }
}

/// The publisher at work.
pub(crate) struct Publisher {
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    pub(crate) fn start(port: u16, plan: Plan) -> Self {
        let (acknowledged, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, flag) = (acknowledged.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let began = mono();
            while counter.load(Ordering::Acquire) < plan.messages && !flag.load(Ordering::Acquire) {
                if run(port, plan, began, &counter, &flag).is_err() {
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        });
        Self {
            acknowledged,
            stop,
            thread: Some(thread),
        }
    }

    /// How many the broker has taken.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// Waits until the broker has taken so many.
    pub(crate) fn wait_for(&self, messages: u64) {
        for _ in 0..60_000 {
            if self.acknowledged() >= messages {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the broker has taken {} of {messages}", self.acknowledged());
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// One connection: publishes what is not acknowledged yet.
fn run(
    port: u16,
    plan: Plan,
    began: Mono,
    acknowledged: &AtomicU64,
    stop: &AtomicBool,
) -> std::io::Result<()> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_nodelay(true)?;
    socket.write_all(b"\x10\x10\0\x04MQTT\x04\x02\x02\x58\0\x04load")?;
    let mut answer = [0; 4];
    socket.read_exact(&mut answer)?;
    assert_eq!(answer, [0x20, 2, 0, 0], "the publisher is let in");
    socket.set_nonblocking(true)?;
    let (mut next, mut out, mut partial) = (acknowledged.load(Ordering::Acquire), Vec::new(), 0);
    let mut answers = vec![0; 65_536];
    while acknowledged.load(Ordering::Acquire) < plan.messages && !stop.load(Ordering::Acquire) {
        let due = match plan.rate {
            0 => plan.messages,
            rate => mono().since(began).as_millis() as u64 * rate / 1000,
        };
        let until = due
            .min(plan.messages)
            .min(acknowledged.load(Ordering::Acquire) + WINDOW);
        while next < until && out.len() < 65_536 {
            message(plan, next, &mut out);
            next += 1;
        }
        let mut idle = true;
        #[expect(
            clippy::disallowed_methods,
            reason = "what was not written stays in the buffer"
        )]
        match socket.write(&out) {
            Ok(written) => {
                drop(out.drain(..written));
                idle = written == 0;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        match socket.read(&mut answers) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                // Nothing but acknowledgements of four bytes comes.
                partial += read;
                acknowledged.fetch_add(partial as u64 / 4, Ordering::AcqRel);
                partial %= 4;
                idle = false;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if idle {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

fn message(plan: Plan, n: u64, out: &mut Vec<u8>) {
    let (sensor, value) = (n % plan.sensors, n / plan.sensors);
    let topic = format!("sensors/s{sensor}/temperature");
    let payload = format!(
        "{{\"temperature\":{value},\"recordedAt\":{}}}",
        BASE + value * 100
    );
    let length = 2 + topic.len() + 2 + payload.len();
    assert!(length < 128, "one byte of length is enough");
    out.extend([0x32, length as u8, 0, topic.len() as u8]);
    out.extend(topic.as_bytes());
    out.extend(((n % 65_535 + 1) as u16).to_be_bytes());
    out.extend(payload.as_bytes());
}
