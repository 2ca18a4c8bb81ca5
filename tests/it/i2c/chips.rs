//! Chips against bytes of their datasheets.

use std::time::Duration;

use edgespool::source::i2c::Kind;
use edgespool::source::i2c::chip::Chip;
use embedded_hal::i2c::{ErrorKind, NoAcknowledgeSource};
use embedded_hal_mock::eh1::i2c::{Mock, Transaction};

/// Reads the temperature register with these bytes in it.
fn check(kind: Kind, address: u8, bytes: [u8; 2], expect: f64) {
    let mut bus = Mock::new(&[Transaction::write_read(address, vec![0], bytes.to_vec())]);
    let mut chip: Box<dyn Chip<Mock>> = kind.driver(address);
    let sample = chip.read(&mut bus).unwrap();
    bus.done();
    assert_eq!(sample.value, expect, "{kind:?} {bytes:02x?}");
}

#[test]
fn a_tmp102_is_read_as_its_datasheet_says() {
    // Table "Temperature Data Format": 12 bits, then the 13 bits of the extended mode (bit 0 set).
    for (bytes, expect) in [
        ([0x7f, 0xf0], 127.9375),
        ([0x64, 0x00], 100.0),
        ([0x50, 0x00], 80.0),
        ([0x4b, 0x00], 75.0),
        ([0x32, 0x00], 50.0),
        ([0x19, 0x00], 25.0),
        ([0x00, 0x40], 0.25),
        ([0x00, 0x00], 0.0),
        ([0xff, 0xc0], -0.25),
        ([0xe7, 0x00], -25.0),
        ([0xc9, 0x00], -55.0),
        ([0x4b, 0x01], 150.0),
        ([0x40, 0x01], 128.0),
        ([0x3f, 0xf9], 127.9375),
        ([0x0c, 0x81], 25.0),
        ([0x00, 0x01], 0.0),
        ([0xff, 0xe1], -0.25),
        ([0xe4, 0x81], -55.0),
    ] {
        check(Kind::Tmp102, 0x48, bytes, expect);
        check(Kind::Tmp102, 0x4b, bytes, expect);
    }
}

#[test]
fn an_lm75_is_read_as_its_datasheet_says() {
    // Nine bits; what lies below them is not defined.
    for (bytes, expect) in [
        ([0x7d, 0x00], 125.0),
        ([0x19, 0x00], 25.0),
        ([0x00, 0x80], 0.5),
        ([0x00, 0x7f], 0.0),
        ([0x00, 0x00], 0.0),
        ([0xff, 0x80], -0.5),
        ([0xff, 0xff], -0.5),
        ([0xe7, 0x00], -25.0),
        ([0xc9, 0x00], -55.0),
    ] {
        check(Kind::Lm75, 0x4f, bytes, expect);
    }
}

#[test]
fn a_pct2075_is_read_as_its_datasheet_says() {
    // Table 11: eleven bits.
    for (bytes, expect) in [
        ([0x7f, 0x00], 127.0),
        ([0x7e, 0xe0], 126.875),
        ([0x19, 0x00], 25.0),
        ([0x00, 0x20], 0.125),
        ([0x00, 0x00], 0.0),
        ([0xff, 0xe0], -0.125),
        ([0xe7, 0x00], -25.0),
        ([0xe6, 0xe0], -25.125),
        ([0xc9, 0x20], -54.875),
        ([0xc9, 0x00], -55.0),
    ] {
        check(Kind::Pct2075, 0x28, bytes, expect);
    }
}

#[test]
fn chips_are_set_up_as_after_power_on() {
    // TMP102: continuous, twelve bits, 4 Hz, not extended. LM75: continuous.
    for (kind, written) in [
        (Kind::Tmp102, vec![1, 0x60, 0xa0]),
        (Kind::Lm75, vec![1, 0]),
        (Kind::Pct2075, vec![1, 0]),
    ] {
        let mut bus = Mock::new(&[Transaction::write(0x49, written)]);
        let mut chip: Box<dyn Chip<Mock>> = kind.driver(0x49);
        assert!(
            chip.set_up(&mut bus).unwrap() >= Duration::from_millis(35),
            "it must measure first"
        );
        bus.done();
    }
}

#[test]
fn a_chip_passes_on_what_the_bus_says() {
    for kind in [Kind::Tmp102, Kind::Lm75, Kind::Pct2075] {
        let nack = ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address);
        let mut bus = Mock::new(&[
            Transaction::write_read(0x48, vec![0], vec![0, 0]).with_error(nack),
            Transaction::write(
                0x48,
                if kind == Kind::Tmp102 {
                    vec![1, 0x60, 0xa0]
                } else {
                    vec![1, 0]
                },
            )
            .with_error(ErrorKind::ArbitrationLoss),
        ]);
        let mut chip: Box<dyn Chip<Mock>> = kind.driver(0x48);
        assert_eq!(chip.read(&mut bus).unwrap_err(), nack);
        assert_eq!(chip.set_up(&mut bus).unwrap_err(), ErrorKind::ArbitrationLoss);
        bus.done();
    }
}
