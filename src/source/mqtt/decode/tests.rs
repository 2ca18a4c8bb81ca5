//! Payloads as devices send them.

use super::*;

fn decode<'p>(paths: &[&str], payload: &'p str) -> Result<Vec<Option<Scalar<'p>>>, DecodeError> {
    let paths: Vec<_> = paths.iter().map(|path| Path::new(path).unwrap()).collect();
    Shape::new(paths.iter()).decode(payload.as_bytes())
}

fn number(value: f64) -> Option<Scalar<'static>> {
    Some(Scalar::Number(value))
}

fn text(value: &str) -> Option<Scalar<'_>> {
    Some(Scalar::Text(value.into()))
}

#[test]
fn payloads_of_known_devices_are_read() {
    for (who, paths, payload, expect) in [
        (
            "Zigbee2MQTT",
            vec!["temperature", "humidity", "last_seen"],
            r#"{"battery":100,"humidity":54.35,"last_seen":"2026-06-26T14:00:00.123Z","linkquality":115,"pressure":1009.5,"temperature":21.52,"voltage":3025,"update":{"installed_version":16777234,"state":"idle"}}"#,
            vec![number(21.52), number(54.35), text("2026-06-26T14:00:00.123Z")],
        ),
        (
            "Zigbee2MQTT, a contact",
            vec!["contact", "tamper"],
            r#"{"contact":true,"tamper":null}"#,
            vec![Some(Scalar::Boolean(true)), None],
        ),
        (
            "Tasmota",
            vec!["DS18B20.Temperature", "AM2301.Humidity"],
            r#"{"Time":"2026-06-26T16:00:00","DS18B20":{"Id":"01131B50F1D8","Temperature":20.6},"AM2301":{"Temperature":21.7,"Humidity":57.4,"DewPoint":12.9},"TempUnit":"C"}"#,
            vec![number(20.6), number(57.4)],
        ),
        ("ESPHome", vec!["$"], "21.31", vec![number(21.31)]),
        ("ESPHome, a switch", vec!["$"], "ON", vec![text("ON")]),
        (
            "Shelly, first generation",
            vec!["$"],
            "23.25",
            vec![number(23.25)],
        ),
        (
            "Shelly, second generation",
            vec!["params.temperature:0.tC", "params.ts"],
            r#"{"src":"shellyplusht-08b61fcb5d28","dst":"shellyplusht/events","method":"NotifyFullStatus","params":{"ts":1750946400.83,"temperature:0":{"id":0,"tC":22.9,"tF":73.2},"humidity:0":{"id":0,"rh":50.1}}}"#,
            vec![number(22.9), number(1_750_946_400.83)],
        ),
        (
            "a list",
            vec!["sensors.1.value"],
            r#"{"sensors":[{"value":1},{"value":-2},{"value":3}]}"#,
            vec![number(-2.0)],
        ),
    ] {
        assert_eq!(decode(&paths, payload), Ok(expect), "{who}");
    }
}

#[test]
fn what_is_absent_or_no_value_is_none() {
    for payload in [
        "{}",
        r#"{"a":{}}"#,
        r#"{"a":[1]}"#,
        r#"{"b":1}"#,
        "[]",
        "7",
        r#""a""#,
        "null",
    ] {
        assert_eq!(decode(&["a"], payload), Ok(vec![None]), "{payload}");
    }
    assert_eq!(
        decode(&["a", "a"], r#"{"a":1}"#),
        Ok(vec![number(1.0), number(1.0)])
    );
    assert_eq!(
        decode(&["a"], r#"{"a":1,"a":2}"#),
        Ok(vec![number(2.0)]),
        "the last one counts"
    );
    assert_eq!(decode(&["a"], r#"{"a":"x\ty"}"#), Ok(vec![text("x\ty")]));
    assert_eq!(
        decode(&["a"], r#"{"\u0061":1}"#),
        Ok(vec![number(1.0)]),
        "a key is what it means"
    );
}

#[test]
fn numbers_come_bit_for_bit() {
    for value in ["0.1", "21.123456789012345", "1e-300", "9007199254740993", "-0.0"] {
        let expect: f64 = value.parse().unwrap();
        let payload = format!("{{\"a\":{value}}}");
        let found = decode(&["a"], &payload).unwrap();
        let [Some(Scalar::Number(got))] = found[..] else {
            panic!("{value}: {found:?}")
        };
        assert_eq!(got.to_bits(), expect.to_bits(), "{value}");
    }
}

#[test]
fn plain_payloads_are_numbers_truth_values_or_texts() {
    for (payload, expect) in [
        (" 21.5\n", number(21.5)),
        ("-7", number(-7.0)),
        ("1e3", number(1000.0)),
        (".5", number(0.5)),
        ("true", Some(Scalar::Boolean(true))),
        ("\"open\"", text("open")),
        ("21.5 °C", text("21.5 °C")),
        ("infinity", text("infinity")),
        ("unavailable", text("unavailable")),
        ("", None),
    ] {
        assert_eq!(decode(&["$"], payload), Ok(vec![expect]), "{payload:?}");
    }
    let found = decode(&["$"], "nan").unwrap();
    assert!(
        matches!(found[..], [Some(Scalar::Number(nan))] if nan.is_nan()),
        "{found:?}"
    );
}

#[test]
fn what_cannot_be_read_is_an_error_and_never_a_panic() {
    let deep = "[".repeat(100_000);
    for payload in ["", "{", "{\"a\":1}x", "21.5C", "{\"a\":01}", "{\"a\":\"", &deep] {
        assert!(
            matches!(decode(&["a"], payload), Err(DecodeError::Json(_))),
            "{payload:.10}"
        );
    }
    let shape = Shape::new([Path::new("$").unwrap()].iter());
    assert_eq!(shape.decode(b"\xff\xfe"), Err(DecodeError::Text));
}
