//! The device file: what it says when it is wrong, and what it means when it is right.
//!
//! `data/bad/` and `data/warned/` hold device files with the exact messages beside them; `UPDATE_SNAPSHOTS=1` writes
//! the messages anew. A file may begin with comments that set what is around it: `#! KAFKA_BROKER_ADDRESS = …`,
//! `#! host = …`, `#! file-system = tmpfs`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use edgespool::config::{Config, Env, FileSystem, Problems, parse};

mod load;
mod meaning;
mod reference;

pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/data")
        .join(name)
}

/// A gateway with a disk and nothing in its environment.
pub(crate) fn env() -> Env {
    Env {
        kafka_broker_address: None,
        host_name: "gateway".into(),
        file_system: |_| FileSystem::Lasting,
    }
}

pub(crate) fn check(text: &str) -> Result<Config, Problems> {
    parse(text, "device.toml", &env())
}

/// The least that a device file must say.
pub(crate) const LEAST: &str = "[kafka]\nbrokers = [\"b:9092\"]\n[[source]]\nkind = \"simulated\"\n";

/// The surroundings that a file's first lines ask for.
fn env_of(text: &str) -> Env {
    let mut env = env();
    for line in text.lines().map_while(|line| line.strip_prefix("#! ")) {
        let (name, value) = line.split_once(" = ").expect("name = value");
        match (name, value) {
            ("KAFKA_BROKER_ADDRESS", address) => env.kafka_broker_address = Some(address.into()),
            ("host", host) => env.host_name = host.trim().into(),
            ("file-system", "tmpfs") => env.file_system = |_| FileSystem::Tmpfs,
            ("file-system", "ramfs") => env.file_system = |_| FileSystem::Ramfs,
            ("file-system", "overlayfs") => env.file_system = |_| FileSystem::Overlayfs,
            other => panic!("{other:?} is unknown"),
        }
    }
    env
}

fn compare(directory: &str, said: impl Fn(Result<Config, Problems>) -> String) -> usize {
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(data(directory)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            assert!(
                path.with_extension("toml").try_exists().unwrap(),
                "{} belongs to no file",
                path.display()
            );
            continue;
        }
        let number = path.file_name().unwrap().to_str().unwrap()[..3].to_owned();
        assert!(
            seen.insert(number),
            "two files have the number of {}",
            path.display()
        );
        let text = std::fs::read_to_string(&path).unwrap();
        let said = said(parse(&text, "device.toml", &env_of(&text)));
        let expected = path.with_extension("txt");
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(&expected, said).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("--- {}\n{said}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "these say something new:\n{}", wrong.join("\n"));
    seen.len()
}

#[test]
fn bad_files_say_exactly_this() {
    let count = compare("bad", |outcome| match outcome {
        Ok(_) => "accepted\n".into(),
        Err(problems) => format!("{problems}\n"),
    });
    assert!(count >= 30, "only {count} bad files");
}

/// A file that is accepted cannot be an example of a bad one, whatever its snapshot says.
#[test]
fn bad_files_are_refused() {
    for entry in std::fs::read_dir(data("bad")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(
                parse(&text, "device.toml", &env_of(&text)).is_err(),
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn warnings_say_exactly_this() {
    compare("warned", |outcome| {
        let config = outcome.unwrap();
        assert!(!config.warnings.is_empty());
        config
            .warnings
            .iter()
            .map(|warning| warning.in_file("device.toml") + "\n")
            .collect()
    });
}

#[test]
fn problems_are_also_json() {
    let problems = check("[kafka]\ntopicc = \"a\"\n").unwrap_err();
    let json = problems.to_json();
    assert_eq!(json.as_array().unwrap().len(), problems.list().len());
    assert_eq!(
        json[2],
        serde_json::json!({
            "line": 2, "column": 1, "key": "kafka", "problem": "unknown key \"topicc\"",
            "why": null, "hint": "did you mean \"topic\"?",
        })
    );
}

#[test]
fn the_number_of_problems_is_bounded_in_print() {
    let many: String = (0..5000)
        .map(|number| format!("nonsense{number} = 1\n"))
        .collect();
    let problems = check(&many).unwrap_err();
    assert!(problems.list().len() > 5000);
    let text = problems.to_string();
    assert_eq!(text.lines().count(), 102, "{text}");
    assert!(text.ends_with("problems in device.toml"));
}
