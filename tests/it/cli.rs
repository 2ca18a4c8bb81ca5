//! The command line: help, exit codes, and answers for programs.

use std::process::Output;

use crate::support::agent::{Gateway, edgespool, stderr, stdout};

const COMMANDS: [&str; 5] = ["run", "check", "status", "audit", "demo"];

const SIMULATED: &str = "[[source]]\nkind = \"simulated\"\n";

fn ask(arguments: &[&str]) -> Output {
    edgespool(arguments).output().unwrap()
}

/// Asks, and looks at the exit code and at what must be said on stdout and on stderr.
fn check(arguments: &[&str], code: i32, out: &[&str], err: &[&str]) -> Output {
    let output = ask(arguments);
    let (said, complained) = (stdout(&output), stderr(&output));
    let all = format!("{arguments:?}: {}\n{said}\n{complained}", output.status);
    assert_eq!(output.status.code(), Some(code), "{all}");
    for (parts, text) in [(out, said), (err, complained)] {
        assert_eq!(parts.is_empty(), text.is_empty(), "{all}");
        for part in parts {
            assert!(text.contains(part), "not {part:?} in {all}");
        }
        assert!(
            text.is_empty() || text.ends_with('\n'),
            "the last line has no end: {all}"
        );
    }
    output
}

fn last_line(output: &Output) -> serde_json::Value {
    serde_json::from_str(stdout(output).lines().last().unwrap()).unwrap()
}

#[test]
fn every_command_has_help_with_an_example() {
    let output = check(&["--help"], 0, &["Usage: edgespool <COMMAND>"], &[]);
    for command in COMMANDS {
        assert!(
            stdout(&output).contains(&format!("\n  {command} ")),
            "{}",
            stdout(&output)
        );
        let example = format!("\n  edgespool {command}");
        let usage = format!("Usage: edgespool {command}");
        check(&[command, "--help"], 0, &["Example", &example, &usage], &[]);
        check(&["help", command], 0, &[&example], &[]);
    }
    let listed = stdout(&output)
        .lines()
        .filter(|line| line.starts_with("  "))
        .count();
    assert!(listed >= COMMANDS.len() + 2, "{}", stdout(&output));
    check(
        &["--version"],
        0,
        &[concat!("edgespool ", env!("CARGO_PKG_VERSION"), "\n")],
        &[],
    );
}

#[test]
fn a_wrong_command_line_is_64_and_says_what_was_meant() {
    check(&[], 64, &[], &["Usage: edgespool <COMMAND>"]);
    check(
        &["stauts"],
        64,
        &[],
        &["error: unrecognized subcommand 'stauts'", "'status'"],
    );
    check(&["chekc"], 64, &[], &["'check'"]);
    check(&["run", "--confg", "a"], 64, &[], &["'--confg'", "'--config'"]);
    check(
        &["run", "--config"],
        64,
        &[],
        &["a value is required for '--config <FILE>'"],
    );
    check(&["run", "extra"], 64, &[], &["'extra'"]);
    check(&["demo", "--for", "soon"], 64, &[], &["'--for <TIME>'"]);
    check(&["demo", "--nodes", "-1"], 64, &[], &["-1"]);
}

#[test]
fn a_device_file_that_is_not_there_is_named_by_every_command_that_needs_it() {
    for command in ["run", "check", "status", "audit"] {
        let arguments = [command, "--config", "/nonexistent/device.toml"];
        check(
            &arguments,
            78,
            &[],
            &[
                "error: failed to load the device file\n",
                "/nonexistent/device.toml",
                "hint: ",
            ],
        );
    }
}

#[test]
fn check_says_what_is_wrong_and_programs_can_read_it() {
    let gateway = Gateway::new("broker:9092", SIMULATED);
    let config = gateway.config();
    let path = config.to_str().unwrap();
    check(&["check", "--config", path], 0, &[path, " is good\n"], &[]);
    let good = check(&["check", "--json", "--config", path], 0, &["\"ok\":true"], &[]);
    assert_eq!(last_line(&good)["problems"], serde_json::json!([]));

    gateway.write(&gateway.device_file(
        "broker:9092",
        "comit-interval = \"2s\"\n[[source]]\nkind = \"simulatd\"\n",
    ));
    let wrong = [
        ":13:1  ",
        "commit-interval",
        ":15:8  ",
        "\"simulated\"",
        "2 problems in ",
    ];
    check(&["check", "--config", path], 78, &wrong, &[]);
    let output = check(&["check", "--json", "--config", path], 78, &wrong, &[]);
    let answer = last_line(&output);
    assert_eq!(answer["ok"], false);
    let problems = answer["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2);
    assert_eq!(
        (&problems[0]["line"], &problems[0]["column"]),
        (&13.into(), &1.into())
    );
    // What check refuses, the others refuse.
    let refused = [
        ":13:1  ",
        "\nerror: failed to load the device file\n",
        "\ncaused by: ",
    ];
    for command in ["run", "status", "audit"] {
        check(&[command, "--config", path], 78, &[], &refused);
    }
}

#[test]
fn a_warning_is_no_problem_and_programs_see_it() {
    let gateway = Gateway::new("broker:9092", SIMULATED);
    let careless = gateway
        .device_file("broker:9092", SIMULATED)
        .replace("topic =", "acks = \"none\"\ntopic =");
    gateway.write(&careless);
    let config = gateway.config();
    let output = check(
        &["check", "--json", "--config", config.to_str().unwrap()],
        0,
        &["warning: ", "kafka.acks"],
        &[],
    );
    let answer = last_line(&output);
    assert_eq!(answer["ok"], true);
    assert!(
        answer["warnings"][0].as_str().unwrap().contains("kafka.acks"),
        "{answer}"
    );
}

#[test]
fn the_device_file_that_is_shipped_is_good() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/device.toml");
    let output = edgespool(&["check", "--config", shipped]).output().unwrap();
    // Where the usual directory lies on an overlay, as in a container, that is said, and nothing else.
    let overlay = stdout(&output).contains("queue.directory") && stdout(&output).contains("\n1 problem in ");
    assert!(output.status.success() || overlay, "{}", stdout(&output));
}

#[test]
fn status_without_an_agent_is_69_and_with_one_has_the_ledger() {
    let gateway = Gateway::new(
        "127.0.0.1:9",
        "[[source]]\nkind = \"simulated\"\nsensors = 30\nevery = \"20ms\"\n",
    );
    let (config, socket) = (gateway.config(), gateway.socket());
    let (config, socket) = (config.to_str().unwrap(), socket.to_str().unwrap());
    let nobody = [
        &*format!("error: failed to ask the agent at {socket}\n"),
        "hint: is the agent running?",
    ];
    check(&["status", "--config", config], 69, &[], &nobody);
    check(&["status", "--json", "--socket", socket], 69, &[], &nobody);

    let mut agent = gateway.start();
    agent.wait_until("readings", |status| {
        status.ledger.queued > 100 && status.sensors.len() == 30
    });
    let shown = [
        "greenhouse-7",
        "ledger   accepted ",
        " = delivered 0 + queued ",
        "kafka    not reachable",
        "and 10 more sensors",
    ];
    check(&["status", "--config", config], 0, &shown, &[]);
    let output = check(&["status", "--json", "--socket", socket], 0, &shown, &[]);
    let answer = last_line(&output);
    let figure = |name: &str| answer["ledger"][name].as_u64().unwrap();
    assert!(figure("accepted") > 100, "{answer}");
    let sum = ["delivered", "queued", "dead", "dropped"]
        .map(figure)
        .iter()
        .sum::<u64>();
    assert_eq!(figure("accepted"), sum);
    let all = check(
        &["status", "--all", "--config", config],
        0,
        &["sensor   sim-30  "],
        &[],
    );
    assert!(!stdout(&all).contains("more sensors"));
    agent.kill();
    check(&["status", "--config", config], 69, &[], &nobody);
}
