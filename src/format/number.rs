//! Numbers as text.
//!
//! Owns one rule: the fewest digits that read back as the same 64-bit number, in the form that is valid JSON. Plain
//! decimals from 0.00001 up to below 1e16, an exponent outside of that (`1e21`, `1.5e-7`); integral numbers without
//! ".0"; minus zero stays `-0`. Must not know what the number is.

/// Appends the text of a number; false, with nothing appended, when it is not finite.
pub(crate) fn write(out: &mut Vec<u8>, number: f64) -> bool {
    if !number.is_finite() {
        return false;
    }
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(number);
    out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: f64) -> String {
        let mut out = Vec::new();
        if write(&mut out, number) {
            String::from_utf8(out).unwrap()
        } else {
            assert!(out.is_empty());
            "not finite".to_owned()
        }
    }

    #[test]
    fn numbers_have_the_shortest_text() {
        for (number, expect) in [
            (21.5, "21.5"),
            (32.0, "32"),
            (85.0, "85"),
            (0.0, "0"),
            (-0.0, "-0"),
            (-40.25, "-40.25"),
            (0.1 + 0.2, "0.30000000000000004"),
            (100.0, "100"),
            (1e15, "1000000000000000"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (1e16, "1e16"),
            (1e21, "1e21"),
            (1.5e300, "1.5e300"),
            (123_456_789_012_345_680.0, "1.2345678901234568e17"),
            (0.00001, "0.00001"),
            (1e-7, "1e-7"),
            (-1.25e-9, "-1.25e-9"),
            (5e-324, "5e-324"),
            (2.225_073_858_507_201e-308, "2.225073858507201e-308"),
            (f64::MAX, "1.7976931348623157e308"),
            (f64::NAN, "not finite"),
            (f64::INFINITY, "not finite"),
            (f64::NEG_INFINITY, "not finite"),
        ] {
            assert_eq!(text(number), expect);
        }
    }

    proptest::proptest! {
        #[test]
        fn every_number_is_json_and_reads_back_bit_for_bit(bits: u64) {
            let number = f64::from_bits(bits);
            if number.is_finite() {
                let text = text(number);
                proptest::prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits);
                let json: serde_json::Value = serde_json::from_str(&text).unwrap();
                proptest::prop_assert!(json.is_number());
            }
        }
    }
}
