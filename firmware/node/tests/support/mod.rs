//! A line with faults, and a gateway that keeps the receiver's contract and no more.

#![expect(clippy::unwrap_used, reason = "tests fail loudly")]
#![allow(dead_code, reason = "every test file uses its part")]

#[path = "../../../wire/tests/support/dice.rs"]
mod dice;
mod thermometer;

use std::collections::VecDeque;

#[allow(unused_imports, reason = "every test file uses its part")]
pub(crate) use dice::Dice;
use edgespool_node::{MAX_WRITE, Node, NodeId, Sensor, Value};
use edgespool_wire::{Ack, Decoder, MAX_ENCODED, MAX_FRAME, Message, Position, Receiver, Verdict, encode};
#[allow(unused_imports, reason = "every test file uses its part")]
pub(crate) use thermometer::Thermometer;

/// How often things go wrong, in thousandths.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Bytes changed.
    pub(crate) flip: u64,
    /// Frames that vanish.
    pub(crate) drop: u64,
    /// Frames that come a second time, soon after.
    pub(crate) double: u64,
    /// Frames with noise before them.
    pub(crate) noise: u64,
}

/// One direction of a line: 5 ms long.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    under_way: VecDeque<(u64, Vec<u8>)>,
}

impl Line {
    pub(crate) fn write(&mut self, bytes: &[u8], now: u64, faults: &Faults, dice: &mut Dice) {
        if dice.chance(faults.drop, 1000) {
            return;
        }
        let mut bytes = bytes.to_vec();
        if dice.chance(faults.noise, 1000) {
            let noise: Vec<u8> = (0..dice.below(20))
                .map(|_| dice.roll().to_le_bytes()[0])
                .collect();
            bytes.splice(0..0, noise);
        }
        for byte in &mut bytes {
            if dice.chance(faults.flip, 1000) {
                *byte ^= 1 << dice.below(8);
            }
        }
        if dice.chance(faults.double, 1000) {
            self.put(now + 60, bytes.clone());
        }
        self.put(now + 5, bytes);
    }

    fn put(&mut self, at: u64, bytes: Vec<u8>) {
        let place = self.under_way.partition_point(|(other, _)| *other <= at);
        self.under_way.insert(place, (at, bytes));
    }

    pub(crate) fn read(&mut self, now: u64) -> Vec<Vec<u8>> {
        let due = self.under_way.partition_point(|(at, _)| *at <= now);
        self.under_way.drain(..due).map(|(_, bytes)| bytes).collect()
    }
}

/// What a gateway has stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Row {
    Reading { boot: u32, sequence: u64, value: f64 },
    Lost { boot: u32, from: u64, through: u64 },
}

impl Row {
    pub(crate) fn start(&self) -> (u32, u64) {
        match *self {
            Row::Reading { boot, sequence, .. } => (boot, sequence),
            Row::Lost { boot, from, .. } => (boot, from),
        }
    }

    pub(crate) fn through(&self) -> u64 {
        match *self {
            Row::Reading { sequence, .. } => sequence,
            Row::Lost { through, .. } => through,
        }
    }
}

/// The receiver's contract, for one node: durable once a second, lost when killed before.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    decoder: Decoder<MAX_FRAME>,
    receiver: Receiver,
    pub(crate) rows: Vec<Row>,
    durable: Option<Position>,
    durable_rows: usize,
    commit_at: u64,
    away_until: u64,
    pub(crate) line_errors: u64,
    pub(crate) duplicates: u64,
    pub(crate) stale: u64,
}

impl Gateway {
    pub(crate) fn new() -> Self {
        Self {
            decoder: Decoder::new(),
            receiver: Receiver::new(),
            rows: Vec::new(),
            durable: None,
            durable_rows: 0,
            commit_at: 0,
            away_until: 0,
            line_errors: 0,
            duplicates: 0,
            stale: 0,
        }
    }

    /// As with kill -9: what is not durable is forgotten.
    pub(crate) fn kill(&mut self, back_at: u64) {
        self.away_until = back_at;
        self.rows.truncate(self.durable_rows);
        self.receiver = self.durable.map_or_else(Receiver::new, Receiver::resume);
        self.decoder = Decoder::new();
    }

    /// Takes bytes; the frames that answer them.
    pub(crate) fn receive(&mut self, mut bytes: &[u8], now: u64) -> Vec<Vec<u8>> {
        let mut answers = Vec::new();
        if now < self.away_until {
            return answers;
        }
        let mut decoder = self.decoder.clone();
        while let Some(result) = decoder.next(&mut bytes) {
            match result {
                Ok(message) => answers.extend(self.take(&message)),
                Err(_) => self.line_errors += 1,
            }
        }
        self.decoder = decoder;
        answers
    }

    /// Makes everything durable, once a second; the acknowledgement, if that was anything new.
    pub(crate) fn commit(&mut self, now: u64) -> Option<Vec<u8>> {
        if now < self.away_until || now < self.commit_at {
            return None;
        }
        self.commit_at = now + 1000;
        let position = self.receiver.position()?;
        let new = self.durable != Some(position);
        self.durable = Some(position);
        self.durable_rows = self.rows.len();
        new.then(|| ack(position.boot, position.through))
    }

    fn take(&mut self, message: &Message<'_>) -> Option<Vec<u8>> {
        let boot = message.boot();
        let known = self
            .durable
            .filter(|durable| durable.boot == boot)
            .map_or(0, |durable| durable.through);
        let answer = match message {
            Message::Hello(hello) => Some(ack(boot, known.max(hello.first - 1))),
            _ => None,
        };
        match (self.receiver.offer(message), message) {
            (Verdict::Accept { skip, .. }, Message::Data(data)) => {
                for (sequence, reading) in (data.first..).zip(&data.readings).skip(skip) {
                    let Value::Number(value) = reading.values[0] else {
                        panic!("{reading:?}")
                    };
                    self.rows.push(Row::Reading {
                        boot,
                        sequence,
                        value,
                    });
                }
                None
            }
            (Verdict::Lost { from, through, .. }, _) => {
                self.rows.push(Row::Lost { boot, from, through });
                answer
            }
            (Verdict::Greeting { .. }, _) => answer,
            (Verdict::Duplicate, message) => {
                self.duplicates += 1;
                (last(message) <= known).then(|| ack(boot, known))
            }
            (Verdict::Gap, _) => Some(ack(boot, known)),
            (Verdict::Unknown, _) => Some(ack(boot, 0)),
            (Verdict::Stale, _) => {
                self.stale += 1;
                None
            }
            (verdict, message) => panic!("{verdict:?} of {message:?}"),
        }
    }
}

fn last(message: &Message<'_>) -> u64 {
    match message {
        Message::Data(data) => data.through(),
        Message::Lost(lost) => lost.through,
        other => panic!("{other:?} is never a duplicate"),
    }
}

pub(crate) fn ack(boot: u32, through: u64) -> Vec<u8> {
    let message = Message::Ack(Ack {
        node: NodeId::new(b"n1").unwrap(),
        boot,
        through,
        version: 1,
    });
    let mut out = [0; MAX_ENCODED];
    let len = encode(&message, &mut out).unwrap();
    out[..len].to_vec()
}

pub(crate) fn shown(message: &Message<'_>) -> String {
    match message {
        Message::Hello(hello) => format!("hello {}", hello.first),
        Message::Data(data) => format!("{} {}-{}", data.sensor, data.first, data.through()),
        Message::Lost(lost) => format!("lost {}-{}", lost.from, lost.through),
        Message::Ack(_) => panic!("a node says no Ack"),
    }
}

/// All that the node has to say now.
pub(crate) fn said<S: Sensor, const N: usize, const B: usize>(
    node: &mut Node<S, N, B>,
    now: u64,
) -> Vec<String> {
    let mut all = Vec::new();
    let mut out = [0; MAX_WRITE];
    while let Some(len) = node.poll(now, &mut out) {
        let mut decoder = Decoder::<MAX_FRAME>::new();
        let mut bytes = &out[..len];
        all.push(shown(&decoder.next(&mut bytes).unwrap().unwrap()));
        assert!(bytes.is_empty(), "one frame at a time");
    }
    all
}
