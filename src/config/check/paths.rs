//! Paths: of the queue, of the status socket, of device nodes.

use std::path::{Path, PathBuf};

use super::super::file::Section;
use super::super::problem::{Report, quoted};
use super::super::{Env, FileSystem};

/// Where `status` asks, if nothing else is said.
pub(super) const SOCKET: &str = "/run/edgespool/status.sock";

/// Where the queue is, if nothing else is said.
const QUEUE: &str = "/var/lib/edgespool/queue";

/// The bytes of a socket's path that the kernel takes (`sun_path`, with its final zero).
const MAX_SOCKET: usize = 107;

/// The bytes of any other path that the kernel takes (`PATH_MAX`, with its final zero).
const MAX_PATH: usize = 4095;

/// The directory of the queue, which must outlast a power cut.
pub(super) fn queue_directory(
    section: Option<&Section>,
    allow_volatile: bool,
    env: &Env,
    report: &mut Report<'_>,
) -> PathBuf {
    let key = "queue.directory";
    let found = section.and_then(|section| section.text("directory"));
    let at = found
        .as_ref()
        .map_or(section.map_or(0, |section| section.at), |found| found.at);
    let text = found.as_ref().map_or(QUEUE, |found| found.value);
    if section.is_some_and(|section| found.is_none() && !section.lacks("directory")) {
        return PathBuf::from(QUEUE);
    }
    let why = "the agent could be started from anywhere, and would then not find its queue again";
    let Some(directory) = absolute(at, text, key, why, QUEUE, report) else {
        return PathBuf::from(QUEUE);
    };
    if directory == Path::new("/") {
        report
            .error(at, key, "the queue needs a directory of its own")
            .hint(quoted(QUEUE));
        return directory;
    }
    if let (false, Some(name)) = (allow_volatile, (env.file_system)(&directory).volatile()) {
        report
            .error(at, key, format!("{} is on {name}", quoted(text)))
            .why(match name {
                "overlayfs" => "what is written there often goes with its container",
                _ => "that is memory, and a power cut takes all of it",
            })
            .hint("a directory on a disk, or allow-volatile = true where readings may be lost");
    }
    directory
}

/// What has to be mounted before a queue is made. It need not stand above the queue: that may be a link.
pub(super) fn mount(section: Option<&Section>, report: &mut Report<'_>) -> Option<PathBuf> {
    let found = section?.text("require-mount")?;
    let (key, example) = ("queue.require-mount", "/mnt/usb");
    let why = "the agent could be started from anywhere";
    let mount = absolute(found.at, found.value, key, why, example, report)?;
    if mount == Path::new("/") {
        report
            .error(found.at, key, "\"/\" is always mounted")
            .hint(quoted(example));
    }
    Some(mount)
}

/// Where `status` asks.
pub(super) fn socket(section: Option<&Section>, report: &mut Report<'_>) -> Option<PathBuf> {
    let found = section?.text("socket")?;
    let key = "status.socket";
    let path = absolute(
        found.at,
        found.value,
        key,
        "the agent and edgespool status run in different directories",
        SOCKET,
        report,
    )?;
    let length = found.value.len();
    if length > MAX_SOCKET {
        let problem = format!("has {length} bytes, a socket's path at most {MAX_SOCKET}");
        report.error(found.at, key, problem).hint(quoted(SOCKET));
        return None;
    }
    Some(path)
}

/// The device node that a source needs.
pub(super) fn node(section: &Section, name: &str, example: &str, report: &mut Report<'_>) -> Option<PathBuf> {
    let key = section.key(name);
    let Some(found) = section.text(name) else {
        missing(section, name, &quoted(example), report);
        return None;
    };
    absolute(
        found.at,
        found.value,
        &key,
        match example.starts_with("/dev") {
            true => "device nodes are under /dev",
            false => "the agent could be started from anywhere",
        },
        example,
        report,
    )
}

/// Says that a source needs a key.
pub(super) fn missing(section: &Section, name: &str, example: &str, report: &mut Report<'_>) {
    if section.lacks(name) {
        report
            .error(section.at, &section.key(name), "is missing")
            .hint(format!("{name} = {example}"));
    }
}

fn absolute(
    at: usize,
    text: &str,
    key: &str,
    why: &str,
    example: &str,
    report: &mut Report<'_>,
) -> Option<PathBuf> {
    let path = Path::new(text);
    let problem = if text.is_empty() {
        "is empty".to_owned()
    } else if text.contains('\0') || text.len() > MAX_PATH {
        format!("{} can be no path", quoted(text))
    } else if path.is_relative() {
        format!("{} is a relative path", quoted(text))
    } else if path
        .components()
        .any(|part| part == std::path::Component::ParentDir)
    {
        format!("{} goes back up by \"..\"", quoted(text))
    } else {
        // The same path however often its slashes are doubled, so that paths can be compared.
        return Some(path.components().collect());
    };
    let problem = report.error(at, key, problem).hint(quoted(example));
    if path.is_relative() && !text.is_empty() {
        problem.why(why);
    }
    None
}

impl FileSystem {
    fn volatile(self) -> Option<&'static str> {
        match self {
            Self::Tmpfs => Some("tmpfs"),
            Self::Ramfs => Some("ramfs"),
            Self::Overlayfs => Some("overlayfs"),
            Self::Lasting => None,
        }
    }
}
