//! Rows that go into bytes and come back, and bytes that are no rows.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::intake::inbox::{NodeKey, NodePosition};
use crate::queue::types::*;
use crate::reading::*;

const HEADER: Header = Header {
    session: Session { number: 3, began: 30 },
    epoch: Epoch(0x001f_2e3d_4c5b),
    boot: 2,
    committed: 1_750_000_000_123_000_000,
    synchronized: true,
    offset: 1_749_999_000_000_000_000,
};

fn run(sensor: u32, first: u64, values: &[f64]) -> Run {
    Run {
        sensor: SensorNo(sensor),
        first,
        wall: (0..values.len() as i64)
            .map(|i| HEADER.committed - 1_000_000_000 + i * 100_000_001)
            .collect(),
        mono: MonoColumn::Offset(HEADER.offset),
        marks: Marks::All(Quality::Good, TimeQuality::Synchronized),
        columns: vec![Column::Numbers(values.to_vec())],
        encoded: 0,
    }
}

fn entries() -> Vec<Entry> {
    let def = SensorDef {
        id: SensorId::new("attic").unwrap(),
        measurements: vec![
            Measurement {
                name: "temperature".into(),
                kind: ValueKind::Number,
                unit: Some("C".into()),
            },
            Measurement {
                name: "state".into(),
                kind: ValueKind::Text,
                unit: None,
            },
        ],
        tags: vec![("site".into(), "oslo".into())],
    };
    let (output, sensor, epoch) = (OutputNo(3), SensorNo(300), HEADER.epoch);
    let node = NodePosition {
        node: NodeKey([1, 2, 3].into()),
        boot: 7,
        sequence: 1 << 40,
        lost: 9,
    };
    vec![
        Entry::Epoch(epoch),
        Entry::Boot {
            number: 2,
            id: *b"0123456789abcdef",
        },
        Entry::Define {
            sensor,
            def: Arc::new(def),
        },
        Entry::Release(Release {
            output,
            sensor,
            epoch,
            through: 12_345,
        }),
        Entry::Drop {
            sensor,
            epoch,
            from: 1,
            through: 200,
            reason: DropReason::Age,
        },
        Entry::Dead {
            output,
            sensor,
            epoch,
            from: 5,
            through: 5,
            reason: 3,
        },
        Entry::Node(node),
        Entry::Head { output, row: 1 << 33 },
        Entry::Park {
            output,
            sensor,
            row: 77,
        },
        Entry::Sensor(Box::new(SensorStanding {
            sensor: 300,
            next: 12,
            accepted: 400,
        })),
        Entry::Standing(Box::new(OutputStanding {
            output: 3,
            sensor: 300,
            epoch: epoch.0,
            through: 11,
            delivered: 5,
            dead: 1,
            dropped: [1, 2, 3, 4],
        })),
        Entry::CheckpointEnd,
    ]
}

fn unpack(rows: &[(RowNo, Vec<u8>)]) -> Vec<Row> {
    rows.iter()
        .map(|(number, bytes)| decode(bytes, *number, Depth::All).unwrap())
        .collect()
}

#[test]
fn entries_and_runs_come_back() {
    let mut packer = Packer::new(HEADER, 41);
    entries().iter().for_each(|entry| packer.entry(entry));
    packer.run(&run(1, 9, &[21.5, 21.25]));
    let rows = unpack(&packer.finish());
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (rows[0].number, rows[0].epoch, rows[0].boot),
        (41, HEADER.epoch, 2)
    );
    assert_eq!(rows[0].session, HEADER.session);
    assert_eq!(
        (rows[0].committed, rows[0].synchronized),
        (HEADER.committed, true)
    );
    assert_eq!(rows[0].entries, entries());
    assert_eq!(rows[0].runs.len(), 1);
    assert_eq!(rows[0].runs[0].wall, run(1, 9, &[21.5, 21.25]).wall);
}

/// The format of version 1. These bytes never change: an agent must read what an older one has stored.
#[test]
fn golden_row_of_version_1() {
    let mut packer = Packer::new(HEADER, 41);
    entries().iter().for_each(|entry| packer.entry(entry));
    packer.run(&run(1, 9, &[21.5, 21.25]));
    let rows = packer.finish();
    let hex: String = rows[0].1.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, include_str!("golden-v1.hex").trim());
}

#[test]
fn rows_are_about_a_kibibyte_and_never_more_than_two() {
    let mut packer = Packer::new(HEADER, 1);
    for sensor in 0..300_u32 {
        let values: Vec<f64> = (0..137).map(|i| f64::from(i * sensor) * 0.37).collect();
        packer.run(&run(sensor, 1, &values));
    }
    let text = Value::Text("x".repeat(1500).into());
    packer.run(&Run {
        columns: vec![Column::Mixed(vec![text; 5])],
        ..run(999, 1, &[0.0; 5])
    });
    let rows = packer.finish();
    assert!(rows.iter().all(|(_, bytes)| bytes.len() <= LIMIT));
    let mean = rows.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() / rows.len();
    assert!((800..1400).contains(&mean), "{mean}");
    let back: usize = unpack(&rows).iter().flat_map(|row| &row.runs).map(Run::len).sum();
    assert_eq!(back, 300 * 137 + 5);
}

#[test]
fn a_small_last_row_goes_along_with_the_one_before() {
    // (sensors, readings of each) -> rows; two readings of a sensor take 33 bytes
    let check = |sensors: u32, readings: usize, expect: usize| {
        let mut packer = Packer::new(HEADER, 1);
        let values: Vec<f64> = (0..readings).map(|i| f64::from(i as u32 * 7919) * 0.1).collect();
        (0..sensors).for_each(|sensor| packer.run(&run(sensor, 1, &values)));
        let rows = packer.finish();
        let lengths: Vec<_> = rows.iter().map(|(_, bytes)| bytes.len()).collect();
        assert_eq!(
            lengths.len(),
            expect,
            "{sensors} sensors, {readings} readings: {lengths:?}"
        );
        assert!(lengths.iter().all(|length| *length <= STRETCH), "{lengths:?}");
        let back: Vec<_> = unpack(&rows).into_iter().flat_map(|row| row.runs).collect();
        let order: Vec<_> = back.iter().map(|run| run.sensor.0).collect();
        assert!(order.is_sorted(), "{order:?}");
        assert_eq!(
            back.iter().map(Run::len).sum::<usize>(),
            sensors as usize * readings
        );
    };
    for (sensors, readings, expect) in [
        (1, 1, 1),
        (20, 2, 1),
        (40, 2, 1),
        (50, 2, 2),
        (70, 2, 2),
        (90, 2, 3),
    ] {
        check(sensors, readings, expect);
    }
}

#[test]
fn a_commit_says_where_it_begins_and_ends() {
    let mut packer = Packer::new(HEADER, 41);
    let values: Vec<f64> = (0..900).map(|i| f64::from(i) * 0.37).collect();
    packer.run(&run(1, 1, &values));
    let rows = packer.finish();
    assert!(rows.len() > 2, "a commit of several rows");
    let frames: Vec<_> = rows.iter().map(|(_, bytes)| frame(bytes).unwrap()).collect();
    assert!(
        frames
            .iter()
            .all(|frame| frame.commit == 41 && frame.session == HEADER.session)
    );
    let last: Vec<_> = frames
        .iter()
        .filter(|frame| frame.is_last)
        .map(|frame| frame.number)
        .collect();
    assert_eq!(last, [rows.last().unwrap().0]);
    assert_eq!(length(&rows[0].1[..8]), Some(rows[0].1.len()));
    assert_eq!(length(&rows[0].1[1..]), None);
}

#[test]
fn what_is_closed_stays_apart_however_small_it_is() {
    let mut packer = Packer::new(HEADER, 1);
    packer.entry(&Entry::CheckpointEnd);
    packer.close();
    packer.run(&run(1, 1, &[1.0]));
    packer.restart(Header {
        epoch: Epoch(8),
        ..HEADER
    });
    packer.run(&run(1, 1, &[2.0]));
    let rows = unpack(&packer.finish());
    let epochs: Vec<_> = rows
        .iter()
        .map(|row| (row.number, row.epoch, row.runs.len()))
        .collect();
    assert_eq!(
        epochs,
        [(1, HEADER.epoch, 0), (2, HEADER.epoch, 1), (3, Epoch(8), 1)]
    );
}

#[test]
fn every_flipped_bit_is_noticed() {
    let mut packer = Packer::new(HEADER, 41);
    entries().iter().for_each(|entry| packer.entry(entry));
    packer.run(&run(1, 9, &[21.5, 21.25]));
    let bytes = packer.finish().remove(0).1;
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&bad, 41, Depth::All).is_err(), "bit {bit}");
    }
    assert_eq!(
        decode(&bytes, 40, Depth::All),
        Err(RowError::Misplaced {
            found: 41,
            expected: 40
        })
    );
}

proptest! {
    #[test]
    fn any_body_with_a_right_checksum_gives_a_row_or_an_error(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = Vec::from(MAGIC);
        bytes.extend((FIXED as u32 + CRC as u32 + body.len() as u32).to_le_bytes());
        bytes.extend([VERSION, 0]);
        bytes.extend([7; 16]);
        bytes.extend(body);
        let crc = crc32fast::hash(&bytes);
        bytes.extend(crc.to_le_bytes());
        drop(decode(&bytes, u64::from_le_bytes([7; 8]), Depth::All));
    }

    #[test]
    fn runs_of_any_lengths_come_back_whole(lengths in proptest::collection::vec(1_usize..400, 1..20), seed: u32) {
        let mut packer = Packer::new(HEADER, 1);
        let mut expect = Vec::new();
        for (sensor, length) in (0_u32..).zip(lengths) {
            let values: Vec<f64> = (0..length).map(|i| f64::from((i as u32).wrapping_mul(seed)) / 7.0).collect();
            packer.run(&run(sensor, 1, &values));
            expect.extend(values.into_iter().map(|value| (sensor, value)));
        }
        let mut back = Vec::new();
        for run in unpack(&packer.finish()).into_iter().flat_map(|row| row.runs) {
            let Column::Numbers(numbers) = &run.columns[0] else { panic!() };
            back.extend(numbers.iter().map(|value| (run.sensor.0, *value)));
        }
        prop_assert_eq!(back, expect);
    }
}
