//! The command line: what can be asked of the program, and how it answers.
//!
//! Owns the commands, their flags and their help. Each command is a function that returns an exit code or a failure; this
//! module prints. Must not do the work itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::agent::{Agent, Signals};
use crate::audit::Strictness;
use crate::config::{self, Config, LoadError};
use crate::exit::{Code, Failure};
use crate::queue::fold;
use crate::status::{show, socket};
use crate::{agent, audit, demo, logging};

mod queue;

/// How long `audit` waits for a broker that does not answer.
const AUDIT_PATIENCE: Duration = Duration::from_secs(20);

/// The telemetry agent that does not lose a reading: sensors to Kafka through a durable queue.
#[derive(Debug, Parser)]
#[command(name = "edgespool", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent until it is told to stop (SIGTERM, or Ctrl-C)
    #[command(after_help = "Example:\n  edgespool run --config /etc/edgespool/device.toml")]
    Run(ConfigArgs),
    /// Check a device file: every problem at once, with line, key, reason and what helps
    #[command(after_help = "Example:\n  edgespool check --config ./device.toml")]
    Check {
        #[command(flatten)]
        config: ConfigArgs,
        /// End with one JSON object on the last line of stdout
        #[arg(long)]
        json: bool,
    },
    /// Ask the running agent how it is: sources, sensors, queue, Kafka and the exact ledger
    #[command(after_help = "Example:\n  edgespool status\n  edgespool status --json | jq .ledger")]
    Status {
        #[command(flatten)]
        config: ConfigArgs,
        /// The agent's socket, instead of the one that the device file names
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
        /// Show all sensors
        #[arg(long)]
        all: bool,
        /// End with one JSON object on the last line of stdout
        #[arg(long)]
        json: bool,
    },
    /// Read topics and say of every sensor whether anything is missing, twice or out of order
    #[command(
        after_help = "Examples:\n  edgespool audit --brokers broker-1:9092 temperature\n  \
        edgespool audit --config ./device.toml --json\n\nExits with 0 only if all is well."
    )]
    Audit(AuditArgs),
    /// Look into the queue of a stopped agent, or a copy of one; nothing in it is changed
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Show the main job: nodes on real serial lines, an embedded Kafka, an outage, a verdict
    #[command(
        after_help = "Examples:\n  edgespool demo --for 20s\n  edgespool demo --kafka localhost:9092 --json"
    )]
    Demo(DemoArgs),
}

#[derive(Debug, Args)]
struct AuditArgs {
    /// The topics; `*` stands for any text. Without any: the one that the device file names
    topics: Vec<String>,
    /// The brokers, host:port, divided by commas; without them those of the device file
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    brokers: Vec<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Only readings of this device
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// A reading that is there twice is a fault, too
    #[arg(long)]
    exactly_once: bool,
    /// A setting for the Kafka client, such as security.protocol=ssl (may be repeated)
    #[arg(long = "librdkafka", value_name = "NAME=VALUE", value_parser = setting)]
    librdkafka: Vec<(String, String)>,
    /// End with one JSON object on the last line of stdout
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// How long readings are taken, such as 20s
    #[arg(long = "for", value_name = "TIME", default_value = "20s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 4)]
    nodes: u16,
    /// A real broker in the place of the embedded one
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// End with one JSON object on the last line of stdout
    #[arg(long)]
    json: bool,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("give it as NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The device file
    #[arg(long, value_name = "FILE", default_value = "/etc/edgespool/device.toml")]
    config: PathBuf,
}

/// The command line's definition, for manual pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs one command. Returns the exit code; never panics on input.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { Code::Usage } else { Code::Ok };
            // Nobody is left to be told when the terminal is gone.
            drop(error.print());
            return code as u8;
        }
    };
    match dispatch(cli.command) {
        Ok(code) => code,
        Err(failure) => {
            say(&failure.text());
            failure.code
        }
    }
}

fn dispatch(command: Command) -> Result<u8, Failure> {
    let code = match command {
        Command::Run(args) => {
            logging::start(logging::Level::INFO);
            let config = load(&args.config)?;
            agent::run(config, &args.config)?
        }
        Command::Check { config, json } => check(&config.config, json)?,
        Command::Status {
            config,
            socket,
            all,
            json,
        } => status(&config.config, socket, all, json)?,
        Command::Audit(args) => return audit(args),
        Command::Queue(command) => queue::run(command)?,
        Command::Demo(args) => return demo(&args),
    };
    Ok(code as u8)
}

fn load(path: &Path) -> Result<Config, Failure> {
    config::load(path, &config::Env::of_process()).map_err(|error| {
        if let LoadError::Problems(problems) = &error {
            say(&format!("{problems}\n"));
        }
        Failure {
            hint: error.hint(),
            code: error.exit_code(),
            ..Failure::new("load the device file", error, Code::Config)
        }
    })
}

/// All problems on stdout: they are what was asked for.
fn check(path: &Path, json: bool) -> Result<Code, Failure> {
    match config::load(path, &config::Env::of_process()) {
        Ok(config) => {
            for warning in &config.warnings {
                print(&format!(
                    "warning: {}\n",
                    warning.in_file(&path.display().to_string())
                ));
            }
            if json {
                let warnings: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
                print(&format!(
                    "{}\n",
                    serde_json::json!({"ok": true, "problems": [], "warnings": warnings})
                ));
            } else {
                print(&format!("{} is good\n", path.display()));
            }
            Ok(Code::Ok)
        }
        Err(LoadError::Problems(problems)) => {
            print(&format!("{problems}\n"));
            if json {
                print(&format!(
                    "{}\n",
                    serde_json::json!({"ok": false, "problems": problems.to_json()})
                ));
            }
            Ok(Code::Config)
        }
        Err(error) => Err(Failure {
            hint: error.hint(),
            code: error.exit_code(),
            ..Failure::new("load the device file", error, Code::Config)
        }),
    }
}

fn status(path: &Path, socket: Option<PathBuf>, all: bool, json: bool) -> Result<Code, Failure> {
    let socket = match socket {
        Some(socket) => socket,
        None => load(path)?.status.socket,
    };
    let snapshot = socket::ask(&socket).map_err(|error| {
        let code = match error.kind() {
            std::io::ErrorKind::PermissionDenied => Code::Permission,
            _ => Code::Unavailable,
        };
        let hint = "is the agent running? systemctl status edgespool; its socket is readable by its group";
        Failure::new(format!("ask the agent at {}", socket.display()), error, code).hint(hint)
    })?;
    print(&show::text(&snapshot, all));
    if json {
        let text = serde_json::to_string(&snapshot)
            .map_err(|error| Failure::new("write the status as JSON", error, Code::Bug))?;
        print(&format!("{text}\n"));
    }
    Ok(Code::Ok)
}

fn audit(mut args: AuditArgs) -> Result<u8, Failure> {
    if args.brokers.is_empty() || args.topics.is_empty() {
        let config = load(&args.config.config)?;
        if args.brokers.is_empty() {
            args.brokers.clone_from(&config.kafka.brokers);
        }
        if args.topics.is_empty() {
            args.topics.push(config.kafka.topic.pattern());
        }
    }
    let strictness = if args.exactly_once {
        Strictness::OnceEach
    } else {
        Strictness::DuplicatesAllowed
    };
    let options = audit::Options {
        brokers: args.brokers,
        topics: args.topics,
        device: args.device,
        strictness,
        librdkafka: args.librdkafka,
        patience: AUDIT_PATIENCE,
    };
    let answer = audit::run(&options, &mut |_, _| {}).map_err(|error| Failure {
        hint: error.hint(),
        code: error.exit_code(),
        ..Failure::new("audit", error, Code::Unavailable)
    })?;
    print(&answer.output(args.json));
    Ok(answer.exit_code())
}

struct DemoAgent(Agent);

impl demo::Gateway for DemoAgent {
    fn ledger(&self) -> fold::Ledger {
        self.0.ledger()
    }

    fn stop(self) {
        if let Err(error) = self.0.stop() {
            say(&format!("error: failed to stop the agent\ncaused by: {error}\n"));
        }
    }
}

fn demo(args: &DemoArgs) -> Result<u8, Failure> {
    // The live view is what is to be seen; an outage is part of the plot.
    logging::start(logging::Level::ERROR);
    let options = demo::Options {
        duration: args.duration,
        nodes: args.nodes,
        kafka: args.kafka.clone(),
        ..demo::Options::default()
    };
    let outcome = demo::run(&options, |path| {
        let env = config::Env {
            kafka_broker_address: None,
            ..config::Env::of_process()
        };
        let config = config::load(path, &env)?;
        Ok(DemoAgent(
            Agent::start(config, Signals::Left).map_err(|failure| failure.text())?,
        ))
    });
    let outcome = outcome.map_err(|error| Failure {
        hint: error.hint(),
        code: error.exit_code(),
        ..Failure::new("run the demo", error, Code::Bug)
    })?;
    print(&outcome.to_string());
    if args.json {
        print(&outcome.json());
    }
    Ok(outcome.exit_code())
}

/// To stdout, with a line end; a closed pipe ends the output and nothing else.
fn print(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    drop(write!(out, "{text}{end}").and_then(|()| out.flush()));
}

/// To stderr as it is: a part of a line.
fn say_part(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stderr().lock();
    drop(write!(out, "{text}").and_then(|()| out.flush()));
}

/// To stderr, with a line end.
fn say(text: &str) {
    use std::io::Write as _;
    let end = if text.ends_with('\n') { "" } else { "\n" };
    drop(write!(std::io::stderr().lock(), "{text}{end}"));
}
