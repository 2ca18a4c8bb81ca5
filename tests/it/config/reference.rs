//! The reference of all keys: each is known, and a slip in each is understood.

use std::collections::BTreeSet;
use std::path::Path;

use edgespool::config::{Config, Problems, known_keys, known_properties};
use proptest::prelude::*;

use super::{LEAST, check, data};

fn reference() -> String {
    std::fs::read_to_string(data("reference-device.toml")).unwrap()
}

/// The reference with its examples of optional keys switched on.
fn all_switched_on() -> String {
    let is_key = |text: &str| {
        let name = text.split(['=', ' ']).next().unwrap_or_default();
        let table = text.starts_with('[') && text.trim_end().ends_with(']');
        let pair = text
            .split_once('=')
            .is_some_and(|(before, _)| before.trim() == name);
        table || (pair && !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
    };
    let switch = |line: &str| match line.trim_start().strip_prefix("# ") {
        Some(text) if is_key(text.split(" #").next().unwrap_or_default()) => text.to_owned(),
        _ => line.to_owned(),
    };
    let text: Vec<String> = reference().lines().map(switch).collect();
    text.join("\n").replace("\"off\"", "\"127.0.0.1:8737\"")
}

fn only_what_is_to_come(outcome: Result<Config, Problems>) -> usize {
    let problems = outcome.unwrap_err();
    for problem in problems.list() {
        assert!(
            problem.problem.contains("not yet in this version: "),
            "{}",
            problem.in_file("reference")
        );
    }
    problems.list().len()
}

#[test]
fn every_key_of_the_reference_is_known() {
    let at_first = only_what_is_to_come(check(&reference()));
    assert_eq!(at_first, 7);
    let switched_on = all_switched_on();
    for key in [
        "progress-topic ",
        "[kafka.tls]",
        "[mqtt-status]",
        "time = \"last_seen\"",
        "require-mount",
    ] {
        assert!(
            switched_on.lines().any(|line| line.starts_with(key)),
            "{key} is not switched on"
        );
    }
    let all = only_what_is_to_come(check(&switched_on));
    // progress-topic, tls, sasl, schema-registry, http
    assert_eq!(all, at_first + 5);
}

#[test]
fn values_that_are_to_come_are_known() {
    for (key, value, line) in [
        ("format", "quix", "format      = \"json\""),
        ("format", "avro", "format      = \"json\""),
        ("format", "cbor", "format      = \"json\""),
        ("delivery", "exactly-once", "delivery    = \"at-least-once\""),
        ("http", "127.0.0.1:8737", "http   = \"off\""),
        ("keep-delivered", "1h", "keep-delivered  = \"0s\""),
        ("kind", "modbus-tcp", "kind = \"modbus-rtu\""),
        ("chip", "bme280", "chip    = \"tmp102\""),
    ] {
        let text = reference();
        assert!(text.contains(line), "{line}");
        let text = text.replacen(line, &format!("{key} = \"{value}\""), 1);
        let problems = check(&text).unwrap_err();
        let said = problems.list().iter().any(|problem| {
            problem.key.ends_with(key) && problem.problem.contains("not yet in this version: ")
        });
        assert!(said, "{key} = {value}: {problems}");
    }
}

/// Where a key of our own choosing stands in a line: its first byte and its name.
fn keys_of(line: &str) -> Vec<(usize, String)> {
    let code = line.split(" #").next().unwrap_or_default();
    let mut found = Vec::new();
    let mut begin = None;
    let mut quote = None;
    for (at, c) in code.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, 'a'..='z' | '-') => {
                begin.get_or_insert(at);
            }
            (None, '=') => {
                // A name in quotes is the user's own.
                if let Some(start) = begin.take() {
                    let name: &str = &code[start..at];
                    found.push((start, name.trim().to_owned()));
                }
            }
            (None, ' ') => {}
            (None, _) => begin = None,
        }
    }
    found
}

/// Keys in these tables are names of the user's own.
const OWN_NAMES: [&str; 4] = ["tags", "headers", "fields", "librdkafka"];

#[test]
fn a_slip_in_any_key_is_understood() {
    let text = all_switched_on();
    let lines: Vec<&str> = text.lines().collect();
    let mut tried = 0;
    for (number, line) in lines.iter().enumerate() {
        if line.starts_with('#') || line.trim_start().starts_with('[') {
            continue;
        }
        for (index, (start, name)) in keys_of(line).into_iter().enumerate() {
            let inside_own = index > 0 && OWN_NAMES.iter().any(|own| line.trim_start().starts_with(own));
            if inside_own || name.is_empty() {
                continue;
            }
            for slip in slips(&name) {
                let changed = format!("{}{slip}{}", &line[..start], &line[start + name.len()..]);
                let mut copy = lines.clone();
                copy[number] = &changed;
                understood(&copy.join("\n"), number + 1, &slip, &name);
                tried += 1;
            }
        }
    }
    assert!(tried > 300, "only {tried} slips");
}

/// The name with its last letter gone, one replaced, two exchanged, and one doubled.
fn slips(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let middle = letters.len() / 2;
    let with = |change: &dyn Fn(&mut Vec<char>)| {
        let mut copy = letters.clone();
        change(&mut copy);
        copy.into_iter().collect::<String>()
    };
    let mut all = vec![
        with(&|letters| letters.truncate(letters.len() - 1)),
        with(&|letters| letters[middle] = 'q'),
        with(&|letters| letters.swap(0, 1)),
        with(&|letters| letters.insert(middle, letters[middle])),
    ];
    all.retain(|slip| slip != name);
    all
}

fn understood(text: &str, line: usize, slip: &str, name: &str) {
    let problems = check(text).unwrap_err();
    let about = problems
        .list()
        .iter()
        .find(|problem| problem.line == line && problem.problem.contains("unknown key"));
    let about = about.unwrap_or_else(|| panic!("nothing said of {slip} in line {line}: {problems}"));
    assert_eq!(about.problem, format!("unknown key \"{slip}\""));
    let hint = about.hint.as_deref().unwrap_or_default();
    assert_eq!(hint, format!("did you mean \"{name}\"?"), "{slip} in line {line}");
    // A slip is one problem: what was meant is not missed as well.
    let others = problems
        .list()
        .iter()
        .filter(|problem| !problem.problem.contains("not yet in this version"));
    assert_eq!(others.count(), 1, "{slip} in line {line}: {problems}");
}

#[test]
fn all_keys_can_be_listed() {
    let keys = known_keys();
    let find = |path: &str| {
        keys.iter()
            .find(|(key, _)| key == path)
            .unwrap_or_else(|| panic!("{path}"))
    };
    assert_eq!(find("span.max-delay").1, None);
    assert_eq!(find("kafka.tls.ca").1, Some("TLS to the brokers"));
    assert_eq!(find("source.mqtt.topic.filter").1, None);
    assert_eq!(find("sensor.NAME.measurements.NAME.unit").1, None);
}

/// Bytes that matter to TOML, and some that do not.
const PIECES: &[&str] = &[
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    "\"",
    "'",
    "\"\"\"",
    "\n",
    ".",
    ",",
    "#",
    "\\",
    "\0",
    "0x",
    "-1",
    "1e400",
    "nan",
    "9223372036854775808",
    "1979-05-27T07:32:00Z",
    "å",
    "\u{feff}",
    "\r",
    "\u{202e}",
    "[[[[[[[[[[",
    "(?P<",
    "kind = \"i2c\"",
    "[sensor.x]",
    "{sensor",
    "true",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is done to the reference, the answer is an answer, with places that exist.
    #[test]
    fn no_device_file_makes_it_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0usize..40, 0usize..PIECES.len(), any::<bool>()), 1..12),
    ) {
        let mut text = all_switched_on();
        for (place, cut, piece, keep) in changes {
            let start = text.floor_char_boundary(place.index(text.len()));
            let end = text.floor_char_boundary((start + cut).min(text.len())).max(start);
            text.replace_range(start..end, if keep { PIECES[piece] } else { "" });
        }
        if let Err(problems) = check(&text) {
            let lines: Vec<&str> = text.split('\n').collect();
            for problem in problems.list() {
                prop_assert!((1..=lines.len()).contains(&problem.line), "{problem:?}");
                let length = lines[problem.line - 1].chars().count();
                prop_assert!((1..=length + 2).contains(&problem.column), "{problem:?}");
                prop_assert!(!problem.to_string().contains(|c: char| c.is_control()), "{problem:?}");
            }
        }
    }
}

#[test]
fn deep_and_wide_files_are_answered() {
    for text in [
        "a = ".to_owned() + &"[".repeat(500_000),
        "a = ".to_owned() + &"{b=".repeat(300_000),
        "[a".to_owned() + &".a".repeat(400_000) + "]",
        "a".to_owned() + &".a".repeat(400_000) + " = 1",
        "[kafka.librdkafka]\na".to_owned() + &".a".repeat(30_000) + " = 1",
        "[[source]]\n".repeat(90_000),
        format!(
            "[[source]]\nkind = \"serial-text\"\nport = \"/dev/a\"\npattern = '{}'\n",
            "(".repeat(900)
        ),
        format!(
            "[[source]]\nkind = \"serial-text\"\nport = \"/dev/a\"\npattern = '(?P<a>(((x{{500}}){{500}}){{500}})){}'\n",
            "a".repeat(900)
        ),
        format!("[kafka]\ntopic = \"{}\"\n", "{sensor}".repeat(100_000)),
    ] {
        assert!(!check(&text).unwrap_err().list().is_empty());
    }
}

#[test]
fn the_page_of_keys_names_all_of_this_version_and_no_others() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/device.md")).unwrap();
    let named: BTreeSet<&str> = page.split('`').skip(1).step_by(2).collect();
    let tables: BTreeSet<&str> = [
        "device",
        "kafka",
        "queue",
        "span",
        "forward",
        "clock",
        "source",
        "sensor",
        "status",
        "mqtt-status",
    ]
    .into();
    for (path, to_come) in known_keys() {
        let name = path.rsplit('.').next().unwrap();
        let known = named.contains(name) || tables.contains(name);
        // A name may be of this version in one table and to come in another.
        let elsewhere = known_keys()
            .iter()
            .any(|(other, to_come)| to_come.is_none() && other.rsplit('.').next() == Some(name));
        assert_eq!(known, to_come.is_none() || elsewhere, "{path}");
    }
}

/// librdkafka itself is the judge of what is passed on to it: it knows each property and takes both ends.
#[test]
fn librdkafka_takes_what_is_passed_on() {
    let properties = known_properties();
    assert!(properties.len() > 50);
    for (name, ends) in properties {
        let taken = |value: &str| {
            let mut client = rdkafka::ClientConfig::new();
            client.set(name, value).create_native_config().is_ok()
        };
        let accepted =
            |value: &str| check(&format!("{LEAST}[kafka.librdkafka]\n\"{name}\" = \"{value}\"\n")).is_ok();
        for value in &ends {
            assert!(accepted(value) && taken(value), "{name} = {value}");
        }
        let loud = ends
            .first()
            .map_or_else(String::new, |value| value.to_uppercase());
        for value in [
            "nonsense",
            "",
            "-2",
            "99999999999",
            "1.5",
            "yes",
            "broker, topic",
            "broker,",
            &loud,
        ] {
            assert!(taken(value) || !accepted(value), "{name} = {value}");
        }
    }
}
