//! How a command ends: sysexits codes, and errors in three parts.
//!
//! Owns the exit codes and the form `error: failed to …`, `caused by: …`, `hint: …`. Must not know what failed.

use std::error::Error;

/// The exit codes of all commands; systemd's unit relies on 77 and 78.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// It worked.
    Ok = 0,
    /// The command line is wrong.
    Usage = 64,
    /// `audit` read it all, and something is missing, twice or out of order.
    Data = 65,
    /// Something that is needed is not there: no agent at the socket, no broker, the queue is in use.
    Unavailable = 69,
    /// A bug: a panic.
    Bug = 70,
    /// The disk, a port or a socket failed.
    Io = 74,
    /// Not permitted.
    Permission = 77,
    /// The device file is wrong, or what it names is.
    Config = 78,
}

/// Why a command failed, for people.
#[derive(Debug)]
pub struct Failure {
    /// What could not be done: comes after "failed to".
    pub doing: String,
    /// Why.
    pub cause: Option<Box<dyn Error + Send + Sync>>,
    /// What helps, where that is known.
    pub hint: Option<String>,
    /// The exit code.
    pub code: u8,
}

impl Failure {
    /// A failure with its cause.
    pub fn new(doing: impl Into<String>, cause: impl Into<Box<dyn Error + Send + Sync>>, code: Code) -> Self {
        Self {
            doing: doing.into(),
            cause: Some(cause.into()),
            hint: None,
            code: code as u8,
        }
    }

    /// Adds what helps.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The text for stderr, with a line end.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("error: failed to {}\n", self.doing);
        let mut next: Option<&dyn Error> = self.cause.as_deref().map(|cause| cause as &dyn Error);
        while let Some(cause) = next {
            text.push_str(&format!("caused by: {cause}\n"));
            next = cause.source();
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("hint: {hint}\n"));
        }
        text
    }
}

/// The code for an error of the operating system.
#[must_use]
pub fn code_of(error: &std::io::Error) -> Code {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => Code::Permission,
        _ => Code::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_say_what_why_and_what_helps() {
        let cause = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let failure = Failure::new("open the queue", cause, Code::Permission).hint("run it as edgespool");
        assert_eq!(
            failure.text(),
            "error: failed to open the queue\ncaused by: permission denied\nhint: run it as edgespool\n"
        );
    }
}
