//! Children: what opens a queue that may be damaged runs in a process of its own.
//!
//! Owns how they are started, limited in time and understood. A child that dies or hangs is a report too. Must not know
//! what a child does.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use edgespool::clock;

use crate::plan::{Plan, Report};
use crate::salvage::salvaged;
use crate::verify::verify;
use crate::{Failure, planting};

/// The longest that a child may take. The queue itself gives up a generation after a minute.
const LIMIT: Duration = Duration::from_secs(240);

/// Verifies the queue in `directory` in a child. `place` is a directory for their words.
pub fn verified(directory: &Path, plan: &Plan, place: &Path) -> Result<Report, Failure> {
    let (asked, told) = (place.join("plan.json"), place.join("report.json"));
    fs::write(&asked, serde_json::to_vec(plan)?)?;
    drop(fs::remove_file(&told));
    let child = myself(&["child-verify", &path(directory), &path(&asked), &path(&told)])?;
    let ended = wait(child)?;
    let report = fs::read(&told)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    Ok(report.unwrap_or_else(|| Report {
        faults: vec![format!("the process that opened it {ended}")],
        died: true,
        ..Report::default()
    }))
}

/// What the child does.
pub fn run(directory: &Path, asked: &Path, told: &Path) -> Result<(), Failure> {
    let plan: Plan = serde_json::from_slice(&fs::read(asked)?)?;
    let bug = plan.bug.as_deref().and_then(planting::named);
    if !planting::plant(bug) {
        return Err("built without planted bugs".into());
    }
    let report = if plan.damaged {
        salvaged(directory, &plan)
    } else {
        verify(directory, &plan)
    };
    Ok(fs::write(told, serde_json::to_vec(&report)?)?)
}

/// This program once more, with lines to and from it.
pub fn myself(arguments: &[&str]) -> Result<Child, Failure> {
    let quiet = std::env::var_os("POWERCUT_LOUD").is_none();
    let stderr = if quiet { Stdio::null() } else { Stdio::inherit() };
    let mut command = Command::new(std::env::current_exe()?);
    Ok(command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()?)
}

/// Waits for a child, kills it when it takes too long, and says how it ended.
fn wait(mut child: Child) -> Result<String, Failure> {
    let until = clock::mono().after(LIMIT);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(format!("ended with {status}"));
        }
        if clock::mono() > until {
            child.kill()?;
            child.wait()?;
            return Ok(format!("was killed after {} s", LIMIT.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
