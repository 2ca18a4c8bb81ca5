//! Figures of this process, as the kernel counts them. Linux only, like the agent's own.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time of all threads of this process so far, user and system.
#[must_use]
pub fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let part = |part: i64| u64::try_from(part).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}

/// Bytes of pages that this process made dirty so far: what it sends to the device, without the file system's journal.
#[must_use]
pub fn written() -> u64 {
    field("/proc/self/io", "write_bytes:")
}

/// Resident memory, in KiB.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// All of it now.
    pub rss: u64,
    /// The most since [`forget_peak`].
    pub peak: u64,
    /// What is no file: heap and stacks.
    pub anonymous: u64,
}

/// What this process has resident.
#[must_use]
pub fn memory() -> Memory {
    let status = "/proc/self/status";
    Memory {
        rss: field(status, "VmRSS:"),
        peak: field(status, "VmHWM:"),
        anonymous: field(status, "RssAnon:"),
    }
}

/// The peak is counted from here on. False where the kernel does not let us: then it is that of the whole process.
#[must_use]
pub fn forget_peak() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// Open file descriptors of this process, this look's own aside.
#[must_use]
pub fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1))
}

/// Threads of this process.
#[must_use]
pub fn threads() -> u64 {
    field("/proc/self/status", "Threads:")
}

/// The machine in words, for the head of a table: what it is, not whose.
#[must_use]
pub fn description() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    format!("{cores} cores, {}, load {load}", std::env::consts::ARCH)
}

fn field(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
