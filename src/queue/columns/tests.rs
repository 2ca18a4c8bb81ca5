//! Runs that go into bytes and come back.

use proptest::prelude::*;

use super::*;

const BASE: Base = Base {
    wall: 1_700_000_000_123_456_789,
    offset: 1_690_000_000_000_000_000,
};

fn check(run: &Run) -> usize {
    let mut out = Vec::new();
    put_run(&mut out, run, 0, run.len(), BASE);
    let mut reader = Reader::new(&out);
    let back = get_run(&mut reader, BASE).unwrap();
    assert_eq!(reader.left(), 0);
    assert_eq!(back.encoded as usize, out.len());
    let bits = |run: &Run| match &run.columns[0] {
        Column::Numbers(numbers) => numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>(),
        Column::Mixed(_) => vec![],
    };
    assert_eq!(bits(&back), bits(run), "numbers come back bit for bit");
    let plain = |run: &Run| {
        format!(
            "{:?}",
            Run {
                encoded: 0,
                ..run.clone()
            }
        )
    };
    assert_eq!(plain(&back), plain(run));
    out.len()
}

fn run(wall: Vec<i64>, column: Column) -> Run {
    Run {
        sensor: SensorNo(3),
        first: 7,
        wall,
        mono: MonoColumn::Offset(BASE.offset),
        marks: Marks::All(Quality::Good, TimeQuality::Synchronized),
        columns: vec![column],
        encoded: 0,
    }
}

#[test]
fn regular_readings_take_few_bytes() {
    let wall: Vec<i64> = (0..100).map(|i| BASE.wall + i * 100_000_000).collect();
    let walk = Column::Numbers((0..100).map(|i| f64::from(2000 + (i * 13) % 7) / 100.0).collect());
    let bytes = check(&run(wall, walk));
    assert!(bytes <= 220, "{bytes} bytes for 100 readings");
}

#[test]
fn odd_numbers_come_back() {
    for numbers in [
        vec![0.0, -0.0],
        vec![
            f64::NAN,
            f64::from_bits(0x7ff8_0000_dead_beef),
            f64::INFINITY,
            f64::NEG_INFINITY,
        ],
        vec![f64::MIN_POSITIVE, f64::from_bits(1), f64::MAX, f64::MIN],
        vec![21.5, 21.499_999_999_999_996, 0.1 + 0.2],
        vec![
            9_007_199_254_740_991.0,
            9_007_199_254_740_992.0,
            9_007_199_254_740_993.0,
        ],
        vec![1e21, 1e-7, 123_456.789],
    ] {
        let wall = (0..numbers.len()).map(|i| i as i64).collect();
        check(&run(wall, Column::Numbers(numbers)));
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Absent),
        any::<u64>().prop_map(|bits| Value::Number(f64::from_bits(bits & !(1 << 62)))),
        any::<bool>().prop_map(Value::Boolean),
        ".{0,20}".prop_map(|text| Value::Text(text.into())),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Value::Bytes(bytes.into())),
    ]
}

proptest! {
    #[test]
    fn any_run_comes_back(
        readings in proptest::collection::vec((any::<i64>(), any::<u64>(), any::<u64>(), any_value(), 0_usize..6), 1..40),
        first in 1_u64..1 << 60,
        each: bool,
        offset: i64,
    ) {
        let marks = readings.iter().map(|r| (Quality::ALL[r.4], TimeQuality::ALL[r.4 % 4])).collect();
        let mono = readings.iter().map(|r| r.1).collect();
        check(&Run {
            sensor: SensorNo(9),
            first,
            wall: readings.iter().map(|r| r.0).collect(),
            mono: if each { MonoColumn::Each(mono) } else { MonoColumn::Offset(offset) },
            marks: if each { Marks::Each(marks) } else { Marks::All(Quality::Stuck, TimeQuality::Unsynced) },
            columns: vec![
                Column::Numbers(readings.iter().map(|r| f64::from_bits(r.2)).collect()),
                Column::Mixed(readings.iter().map(|r| r.3.clone()).collect()),
            ],
            encoded: 0,
        });
    }

    #[test]
    fn any_bytes_give_a_run_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(get_run(&mut Reader::new(&bytes), BASE));
    }
}
