//! Decoding what nodes send: nanoseconds of CPU for a frame and for a reading, and megabytes a second of one core.
//!
//! Owns four streams: frames full of readings, frames of one reading, greetings, and noise with a frame here and there.
//! They are fed to the decoder in pieces of 256 bytes, as a serial port hands them over; every reading is looked at, and
//! counted against what went in. `cargo bench --bench wire` prints a table and ends with a line of JSON.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod support;

use std::hint::black_box;

use edgespool_wire::{
    Batch, Data, Decoder, Few, Hello, MAX_ENCODED, Measurement, Message, NodeId, Value, Versions, encode,
};

use support::{Failure, Outcome, SMALL, machine, median, real};

/// How many bytes of each stream a run decodes.
const BYTES: usize = if SMALL { 20_000 } else { 8_000_000 };
const RUNS: usize = if SMALL { 1 } else { 5 };
/// What a read of a serial port gives.
const PIECE: usize = 256;

/// A stream and what is in it.
#[derive(Debug, Default)]
struct Stream {
    name: &'static str,
    bytes: Vec<u8>,
    frames: u64,
    readings: u64,
}

impl Stream {
    fn named(name: &'static str) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    fn add(&mut self, message: &Message<'_>, readings: u64) -> Outcome {
        let mut frame = [0; MAX_ENCODED];
        let length = encode(message, &mut frame)?;
        self.bytes.extend_from_slice(&frame[..length]);
        self.frames += 1;
        self.readings += readings;
        Ok(())
    }
}

fn main() -> Outcome {
    println!("wire: {}", machine::description());
    println!("  stream      bytes     ns of CPU   ns of CPU   MB/s of");
    println!("              a frame   a frame     a reading   one core");
    let mut lines = Vec::new();
    for stream in [data("full", 40)?, data("single", 1)?, greetings()?, noise()?] {
        lines.push(measure(&stream)?);
    }
    println!(
        "{}",
        serde_json::json!({ "bench": "wire", "debug": SMALL, "runs": RUNS, "streams": lines })
    );
    Ok(())
}

fn measure(stream: &Stream) -> Result<serde_json::Value, Failure> {
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let start = machine::cpu();
        let (frames, readings) = decode(&stream.bytes);
        times.push((machine::cpu() - start).as_secs_f64());
        if (frames, readings) != (stream.frames, stream.readings) {
            return Err(format!("{}: {frames} frames, {readings} readings came back", stream.name).into());
        }
    }
    let seconds = median(times);
    let (length, frames) = (real(stream.bytes.len() as u64), real(stream.frames));
    let (frame, rate) = (seconds * 1e9 / frames, length / seconds / 1e6);
    let reading = (stream.readings > 0).then(|| seconds * 1e9 / real(stream.readings));
    let shown = reading.map_or_else(|| "-".into(), |reading| format!("{reading:.0}"));
    println!(
        "  {:<9} {:>9.0} {frame:>11.0} {shown:>11} {rate:>10.0}",
        stream.name,
        length / frames
    );
    Ok(serde_json::json!({
        "stream": stream.name, "bytes_per_frame": length / frames, "ns_per_frame": frame,
        "ns_per_reading": reading, "mb_per_s": rate,
    }))
}

/// Counts frames and readings, and looks at every value.
fn decode(bytes: &[u8]) -> (u64, u64) {
    let mut decoder: Decoder = Decoder::new();
    let (mut frames, mut readings) = (0, 0);
    for mut piece in bytes.chunks(PIECE) {
        while let Some(result) = decoder.next(&mut piece) {
            match result {
                Ok(Message::Data(data)) => {
                    frames += 1;
                    for reading in &data.readings {
                        black_box(reading);
                        readings += 1;
                    }
                }
                Ok(_) => frames += 1,
                Err(_) => {}
            }
        }
    }
    (frames, readings)
}

fn node() -> Result<NodeId, Failure> {
    Ok(NodeId::new(b"\xe6\x60\x58\x38\x83\x44\x66\x2a")?)
}

/// Frames of up to `most` readings, as many as fit.
fn data(name: &'static str, most: u64) -> Result<Stream, Failure> {
    let mut stream = Stream::named(name);
    let temperature = Measurement {
        name: "temperature",
        unit: Some("C"),
    };
    let (measurements, mut sequence) = (Few::from_slice(&[temperature])?, 1);
    while stream.bytes.len() < BYTES {
        let mut batch = Batch::new();
        let mut count = 0;
        while count < most && batch.readings().len() < 24 {
            let celsius = 20.0 + real(sequence + count) % 700.0 / 100.0;
            batch.push(1_000_000 + 500 * (sequence + count), &[Value::Number(celsius)])?;
            count += 1;
        }
        let data = Data {
            node: node()?,
            boot: 0x5eed_1234,
            first: sequence,
            sensor: "greenhouse-07",
            measurements,
            readings: batch.readings(),
        };
        stream.add(&Message::Data(data), count)?;
        sequence += count;
    }
    Ok(stream)
}

fn greetings() -> Result<Stream, Failure> {
    let mut stream = Stream::named("hello");
    while stream.bytes.len() < BYTES {
        let hello = Hello {
            node: node()?,
            boot: 0x5eed_1234,
            versions: Versions::OURS,
            window: 64,
            first: stream.frames + 1,
            uptime_ms: 1_000 * stream.frames,
        };
        stream.add(&Message::Hello(hello), 0)?;
    }
    Ok(stream)
}

/// Bytes as a line with the wrong speed gives them, and a frame after every 2,000 of them.
fn noise() -> Result<Stream, Failure> {
    let (mut stream, mut state) = (Stream::named("noise"), 0x9e37_79b9_7f4a_7c15_u64);
    while stream.bytes.len() < BYTES {
        for _ in 0..250 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            stream.bytes.extend_from_slice(&state.to_le_bytes());
        }
        stream.bytes.push(0);
        let hello = Hello {
            node: node()?,
            boot: 1,
            versions: Versions::OURS,
            window: 1,
            first: 1,
            uptime_ms: 0,
        };
        stream.add(&Message::Hello(hello), 0)?;
    }
    Ok(stream)
}
