//! A real Apache Kafka for the tests that need one, and Java's view of what is in it.
//!
//! Owns a cluster in a directory of its own on free ports (`tests/kafka/kafka-up` does the work) and takes it down
//! when dropped; a test that was killed leaves nothing behind either. What is read comes through Kafka's own console
//! consumer, so nothing of ours stands between the topic and the assertion. Knows nothing of the agent.
//!
//! A test that uses it is `#[ignore = "needs Apache Kafka: just test-kafka"]` and lives in a module whose path
//! contains `kafka`: that is the filter of `just test-kafka`.

mod record;
mod tests;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use record::{FIELD, HEADER, NULL, RECORD, record};
use tempfile::TempDir;

pub(crate) use record::Record;

const KAFKA_UP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/kafka-up");

/// `kafka-up` says so when somebody else took a port between its choice and its use.
const PORT_TAKEN: i32 = 75;

/// How the cluster is to be.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// 1, or 3 with replication factor 3 and two in-sync replicas at least.
    pub(crate) brokers: u8,
    /// Lines of server.properties, as `name=value`.
    pub(crate) properties: Vec<String>,
    /// Other arguments of `kafka-up start`, such as `--secure`.
    pub(crate) arguments: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            brokers: 1,
            properties: Vec::new(),
            arguments: Vec::new(),
        }
    }
}

/// A running cluster.
pub(crate) struct Kafka {
    dir: TempDir,
    environment: BTreeMap<String, String>,
}

impl Kafka {
    /// Starts a cluster and waits until it is ready. Panics with the words of `kafka-up` when it cannot: it says what
    /// is missing on this machine.
    pub(crate) fn start(options: &Options) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("edgespool-kafka-")
            .tempdir()
            .unwrap();
        let mut arguments: Vec<String> = ["start", "--port", "auto", "--brokers"]
            .map(String::from)
            .to_vec();
        arguments.push(options.brokers.to_string());
        arguments.extend(["--while".to_owned(), std::process::id().to_string()]);
        arguments.extend(
            options
                .properties
                .iter()
                .flat_map(|line| ["--prop".to_owned(), line.clone()]),
        );
        arguments.extend(options.arguments.iter().cloned());
        for _ in 0..5 {
            let output = kafka_up(dir.path(), &arguments)
                .output()
                .expect("bash runs kafka-up");
            if output.status.code() == Some(PORT_TAKEN) {
                continue;
            }
            let environment = assignments(&text(&output, "start"));
            return Self { dir, environment };
        }
        panic!("kafka-up found no free ports in five attempts");
    }

    /// For `bootstrap.servers`: every broker's plaintext listener.
    pub(crate) fn bootstrap(&self) -> &str {
        self.variable("KAFKA_BOOTSTRAP")
    }

    /// What `kafka-up start` printed under that name, such as `KAFKA_BOOTSTRAP_TLS` of a secure cluster.
    pub(crate) fn variable(&self, name: &str) -> &str {
        self.environment
            .get(name)
            .unwrap_or_else(|| panic!("kafka-up start did not print {name}"))
    }

    /// SIGKILL for broker `n`, counted from 1; returns when it is gone.
    pub(crate) fn kill(&self, n: u8) {
        self.fault("kill", n);
    }

    /// Starts broker `n` again (stopping it in order if it runs); returns when it serves.
    pub(crate) fn restart(&self, n: u8) {
        self.fault("restart", n);
    }

    /// Stops broker `n` in its tracks (SIGSTOP): its port still takes connections, nothing answers.
    pub(crate) fn pause(&self, n: u8) {
        self.fault("pause", n);
    }

    /// Lets a paused broker go on.
    pub(crate) fn resume(&self, n: u8) {
        self.fault("cont", n);
    }

    /// Creates a topic with the replication factor of the cluster.
    pub(crate) fn create_topic(&self, name: &str, partitions: u32) {
        self.create_topic_with(name, partitions, &[]);
    }

    /// Creates a topic with settings of its own, as `name=value`.
    pub(crate) fn create_topic_with(&self, name: &str, partitions: u32, settings: &[&str]) {
        let partitions = partitions.to_string();
        let mut arguments = vec!["--create", "--topic", name, "--partitions", &partitions];
        arguments.extend(settings.iter().flat_map(|setting| ["--config", setting]));
        self.tool("topics", &arguments);
    }

    /// How many records the topic holds now (control records of transactions are counted too).
    pub(crate) fn count(&self, topic: &str) -> u64 {
        self.offsets(topic, "latest") - self.offsets(topic, "earliest")
    }

    /// Every record that the topic holds now, as the Java console consumer prints them: ordered within a partition.
    pub(crate) fn console_consume(&self, topic: &str) -> Vec<Record> {
        let count = self.count(topic);
        if count == 0 {
            return Vec::new();
        }
        let properties = [
            "print.timestamp=true".to_owned(),
            "print.partition=true".to_owned(),
            "print.offset=true".to_owned(),
            "print.headers=true".to_owned(),
            "print.key=true".to_owned(),
            format!("key.separator={FIELD}"),
            format!("line.separator={RECORD}"),
            format!("headers.separator={HEADER}"),
            format!("null.literal={NULL}"),
        ];
        let count = count.to_string();
        // The time-out is only reached when some of the records counted are control records.
        let mut arguments = vec![
            "--topic",
            topic,
            "--from-beginning",
            "--max-messages",
            &count,
            "--timeout-ms",
            "20000",
        ];
        arguments.extend(
            properties
                .iter()
                .flat_map(|property| ["--formatter-property", property]),
        );
        let output = self.run_tool("console-consumer", &arguments, None);
        output
            .split(|byte| *byte == RECORD.as_bytes()[0])
            .filter(|line| !line.is_empty())
            .map(record)
            .collect()
    }

    /// Sends records, given as (key, value), through the Java console producer.
    pub(crate) fn java_produce<'a>(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) {
        let lines: String = records
            .into_iter()
            .map(|(key, value)| format!("{key}{FIELD}{value}\n"))
            .collect();
        let separator = format!("key.separator={FIELD}");
        let arguments = [
            "--topic",
            topic,
            "--reader-property",
            "parse.key=true",
            "--reader-property",
            &separator,
        ];
        self.run_tool("console-producer", &arguments, Some(lines.as_bytes()));
    }

    /// The partition that a Java producer with its default settings picks for each key in a topic with that many
    /// partitions. Asks by doing: it sends them to a topic of its own and reads them back.
    pub(crate) fn java_partitions(&self, partitions: u32, keys: &[&str]) -> BTreeMap<String, u32> {
        let scratch = format!("java-partitions-{partitions}");
        self.tool(
            "topics",
            &[
                "--create",
                "--if-not-exists",
                "--topic",
                &scratch,
                "--partitions",
                &partitions.to_string(),
            ],
        );
        self.java_produce(&scratch, keys.iter().map(|key| (*key, "")));
        let all = self.console_consume(&scratch).into_iter();
        let placed: BTreeMap<String, u32> = all
            .map(|record| (record.key.unwrap(), record.partition))
            .collect();
        keys.iter().map(|key| ((*key).to_owned(), placed[*key])).collect()
    }

    /// Runs one of Kafka's own tools (see `kafka-up help`) against this cluster; what it prints.
    pub(crate) fn tool(&self, name: &str, arguments: &[&str]) -> String {
        String::from_utf8(self.run_tool(name, arguments, None)).expect("UTF-8")
    }

    fn run_tool(&self, name: &str, arguments: &[&str], input: Option<&[u8]>) -> Vec<u8> {
        let mut command = Command::new(KAFKA_UP);
        command
            .args(["tool", name, "--bootstrap-server", self.bootstrap()])
            .args(arguments);
        command.stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bash runs kafka-up");
        let stdin = child.stdin.take();
        // The tool may not read all of it before it prints: the writing has a thread of its own.
        let output = std::thread::scope(|scope| {
            if let (Some(mut stdin), Some(input)) = (stdin, input) {
                scope.spawn(move || stdin.write_all(input));
            }
            child.wait_with_output().unwrap()
        });
        assert_success(&output, name);
        output.stdout
    }

    fn offsets(&self, topic: &str, time: &str) -> u64 {
        let listing = self.tool("offsets", &["--topic", topic, "--time", time]);
        listing
            .lines()
            .map(|line| {
                line.rsplit(':')
                    .next()
                    .unwrap()
                    .parse::<u64>()
                    .expect("an offset")
            })
            .sum()
    }

    fn fault(&self, kind: &str, n: u8) {
        let output = kafka_up(self.dir.path(), &[kind.to_owned(), n.to_string()])
            .output()
            .unwrap();
        assert_success(&output, kind);
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let stop = kafka_up(self.dir.path(), &["stop".to_owned(), "--now".to_owned()]).status();
        assert!(
            stop.is_ok_and(|status| status.success()) || std::thread::panicking(),
            "the cluster did not stop"
        );
    }
}

fn kafka_up(dir: &Path, arguments: &[String]) -> Command {
    let mut command = Command::new(KAFKA_UP);
    command
        .args(arguments)
        .env("KAFKA_UP_DIR", dir)
        .stdin(Stdio::null());
    command
}

fn assert_success(output: &Output, what: &str) {
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "kafka-up {what} failed with {}:\n{words}",
        output.status
    );
}

fn text(output: &Output, what: &str) -> String {
    assert_success(output, what);
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn assignments(lines: &str) -> BTreeMap<String, String> {
    let pairs = lines.lines().filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
