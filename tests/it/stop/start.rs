//! What an agent meets at its start: another one, a directory that is not for it, and its own end.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use super::{STOP, Scene, stop};
use crate::support::agent::{edgespool, stderr};

/// What is below a directory: bytes, mode and time of change of each file.
fn tree(directory: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32, i64, i64)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        let bytes = if meta.is_dir() {
            found.extend(tree(&entry.path()));
            Vec::new()
        } else {
            fs::read(entry.path()).unwrap()
        };
        found.insert(
            entry.path(),
            (bytes, meta.mode(), meta.mtime(), meta.mtime_nsec()),
        );
    }
    found
}

/// A scene whose queue has some readings, and nobody running.
fn with_some_readings() -> (Scene, u64) {
    let scene = Scene::new("127.0.0.1:9", "");
    let mut agent = scene.gateway.start();
    agent.wait_until("readings", |status| status.ledger.accepted > 20);
    stop(agent, Signal::TERM, "the first", &scene.gateway);
    let accepted = scene.stored().ledger.accepted;
    (scene, accepted)
}

fn run(scene: &Scene) -> Output {
    edgespool(&["run", "--config", scene.gateway.config().to_str().unwrap()])
        .output()
        .unwrap()
}

#[test]
fn a_second_agent_on_one_queue_says_so_and_leaves_the_first_alone() {
    let scene = Scene::new("127.0.0.1:9", "");
    let mut agent = scene.gateway.start();
    let output = run(&scene);
    let words = stderr(&output);
    assert_eq!(output.status.code(), Some(69), "{words}");
    for part in [
        "error: failed to open the queue in",
        "caused by: ",
        "hint: stop that one, or give this one",
    ] {
        assert!(words.contains(part), "{words}");
    }
    let before = agent.ledger().accepted;
    agent.wait_until("further readings", |status| status.ledger.accepted > before);
    stop(agent, Signal::TERM, "the first of two", &scene.gateway);
}

#[test]
fn a_file_where_the_queue_should_be_is_left_as_it_is() {
    let scene = Scene::new("127.0.0.1:9", "");
    fs::write(scene.gateway.queue(), "somebody else's").unwrap();
    let output = run(&scene);
    let words = stderr(&output);
    assert_eq!(output.status.code(), Some(74), "{words}");
    assert!(words.contains("error: failed to open the queue in"), "{words}");
    assert_eq!(
        fs::read_to_string(scene.gateway.queue()).unwrap(),
        "somebody else's"
    );
}

/// Runs the agent so that file permissions hold for it: root gives itself up. `None`: there is no way.
fn run_without_privileges(scene: &Scene) -> Option<Output> {
    let config = scene.gateway.config();
    let arguments = ["run", "--config", config.to_str().unwrap()];
    if !rustix::process::geteuid().is_root() {
        return Some(run(scene));
    }
    // Where it was built may be closed to others.
    let program = scene.gateway.path().join("edgespool");
    fs::copy(env!("CARGO_BIN_EXE_edgespool"), &program).unwrap();
    fs::set_permissions(scene.gateway.path(), Permissions::from_mode(0o755)).unwrap();
    Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(program)
        .args(arguments)
        .env_remove("KAFKA_BROKER_ADDRESS")
        .output()
        .ok()
}

fn make_read_only(path: &Path) {
    if fs::symlink_metadata(path).unwrap().is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            make_read_only(&entry.unwrap().path());
        }
    }
    let mode = fs::metadata(path).unwrap().permissions().mode();
    // Others may read and enter.
    fs::set_permissions(
        path,
        Permissions::from_mode(mode & 0o500 | 0o044 | (mode & 0o100) >> 6),
    )
    .unwrap();
}

fn make_writable(path: &Path) {
    if fs::symlink_metadata(path).unwrap().is_dir() {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        for entry in fs::read_dir(path).unwrap() {
            make_writable(&entry.unwrap().path());
        }
    } else {
        fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    }
}

#[test]
fn a_queue_that_may_not_be_written_is_no_damage_and_is_not_touched() {
    let (scene, accepted) = with_some_readings();
    make_read_only(&scene.gateway.queue());
    let before = tree(&scene.gateway.queue());
    let Some(output) = run_without_privileges(&scene) else {
        eprintln!("not tested: permissions do not hold for root, and there is no setpriv");
        return;
    };
    let words = stderr(&output);
    assert_eq!(output.status.code(), Some(77), "{words}");
    assert!(words.contains("error: failed to open the queue in"), "{words}");
    assert!(tree(&scene.gateway.queue()) == before, "nothing was touched");
    make_writable(&scene.gateway.queue());
    assert_eq!(scene.stored().ledger.accepted, accepted);
}

#[test]
fn killed_at_any_moment_of_its_start_it_keeps_what_it_had() {
    let (scene, accepted) = with_some_readings();
    for at in 0..25 {
        let agent = scene.gateway.launch();
        sleep(Duration::from_millis(at * 3));
        agent.kill();
    }
    let stored = scene.stored().ledger;
    assert!(stored.accepted >= accepted, "{accepted} {stored:?}");
    assert_eq!(stored.accepted, stored.queued);
}

#[test]
fn told_to_stop_at_any_moment_of_its_start_it_ends() {
    let (scene, accepted) = with_some_readings();
    for at in 0..15 {
        let agent = scene.gateway.launch();
        sleep(Duration::from_millis(at * 4));
        let (status, took) = agent.end_by(Signal::TERM);
        let in_order = status.code() == Some(0) || status.signal() == Some(Signal::TERM.as_raw());
        assert!(
            in_order && took <= STOP,
            "{status} after {took:?}\n{}",
            scene.gateway.log()
        );
    }
    assert!(scene.stored().ledger.accepted >= accepted);
}
