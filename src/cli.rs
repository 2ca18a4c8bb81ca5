//! The command line: what can be asked of the program, and how it answers.
//!
//! Owns the commands, their flags and their help. Each command is a function that returns an exit code or a failure; this
//! module prints. Must not do the work itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config, LoadError};
use crate::exit::{Code, Failure};
use crate::status::{show, socket};
use crate::{agent, logging};

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
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The device file
    #[arg(long, value_name = "FILE", default_value = "/etc/edgespool/device.toml")]
    config: PathBuf,
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
        Ok(code) => code as u8,
        Err(failure) => {
            say(&failure.text());
            failure.code
        }
    }
}

fn dispatch(command: Command) -> Result<Code, Failure> {
    match command {
        Command::Run(args) => {
            logging::start();
            let config = load(&args.config)?;
            agent::run(config, &args.config)
        }
        Command::Check { config, json } => check(&config.config, json),
        Command::Status {
            config,
            socket,
            all,
            json,
        } => status(&config.config, socket, all, json),
    }
}

fn load(path: &Path) -> Result<Config, Failure> {
    config::load(path, &config::Env::of_process()).map_err(|error| {
        if let LoadError::Problems(problems) = &error {
            say(&problems.to_string());
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
            print(&problems.to_string());
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

/// To stdout; a closed pipe ends the output and nothing else.
#[expect(clippy::print_stdout, reason = "the one place that prints answers")]
fn print(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// To stderr.
fn say(text: &str) {
    use std::io::Write as _;
    drop(std::io::stderr().lock().write_all(text.as_bytes()));
}
