//! Serial ports: opened for us alone, lost, opened again. The only file that names tokio_serial.
//!
//! Promises: a port is raw, eight bits, no parity, one stop bit; nobody else can open it meanwhile; its path is looked up
//! at every opening, so a link that points elsewhere after a replug is followed; no call that a device can hold (open,
//! close) runs on the runtime's thread. Must not know what goes over the line. (Pseudo-terminals take any baud rate and
//! enforce none, and keep only those out who lock, too.)

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context as Waker, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_serial::{ClearBuffer, ErrorKind, SerialPort, SerialStream};

use super::{Context, State};
use crate::clock::Mono;

/// The first pause before a port is opened again, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long the end of a closing is waited for; a driver may wait 30 s for bytes that the device does not take.
const CLOSING: Duration = Duration::from_millis(500);
/// The name of the fault in the source's health.
const FAULT: &str = "port";

/// Which port, and how fast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The device node, or a link to it.
    pub path: PathBuf,
    /// Bits a second.
    pub baud: u32,
}

/// Why a port cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is no such device.
    #[error("there is no such port; it is used as soon as it appears")]
    Missing,
    /// Somebody else has it open.
    #[error(
        "another program has it open (hint: fuser names it; ModemManager and serial consoles are the usual ones)"
    )]
    Held,
    /// It may not be opened.
    #[error(
        "it may not be opened (hint: the agent's user must be in the group of the device, often dialout)"
    )]
    Denied,
    /// The path cannot be used.
    #[error("its path is no text")]
    Path,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl From<tokio_serial::Error> for OpenError {
    fn from(error: tokio_serial::Error) -> Self {
        match error.kind {
            // What serialport says when the port is locked: EBUSY for TIOCEXCL, or its flock.
            ErrorKind::NoDevice => Self::Held,
            ErrorKind::Io(io::ErrorKind::NotFound) => Self::Missing,
            ErrorKind::Io(io::ErrorKind::PermissionDenied) => Self::Denied,
            _ => Self::Other(error.description),
        }
    }
}

/// An open port. Dropping it throws away what was not sent.
#[derive(Debug)]
pub struct Port {
    stream: Option<SerialStream>,
    opened: Mono,
    keeps_all: bool,
}

impl Port {
    /// When it was opened.
    #[must_use]
    pub fn opened(&self) -> Mono {
        self.opened
    }

    /// True when it gives what was sent before it was opened too, from the start: a pseudo-terminal. A real line is
    /// joined in the middle of what is being said.
    #[must_use]
    pub fn keeps_all(&self) -> bool {
        self.keeps_all
    }

    async fn open(settings: &Settings, now: Mono) -> Result<Self, OpenError> {
        let settings = settings.clone();
        let opening = tokio::task::spawn_blocking(move || open_now(&settings, now));
        opening
            .await
            .map_err(|error| OpenError::Other(error.to_string()))?
    }

    /// Closes it, and waits a while until it is closed.
    async fn close(mut self) {
        let Some(stream) = self.stream.take() else { return };
        let closing = tokio::task::spawn_blocking(move || close_now(stream));
        if tokio::time::timeout(CLOSING, closing).await.is_err() {
            tracing::warn!("a port takes long to close; left behind");
        }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut SerialStream>> {
        self.stream
            .as_mut()
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || close_now(stream))),
            Err(_) => close_now(stream),
        }
    }
}

/// May block: for a thread that may wait.
fn open_now(settings: &Settings, now: Mono) -> Result<Port, OpenError> {
    let path = settings.path.to_str().ok_or(OpenError::Path)?;
    let mut stream = SerialStream::open(&tokio_serial::new(path, settings.baud))?;
    let keeps_all = settings
        .path
        .canonicalize()
        .is_ok_and(|path| path.starts_with("/dev/pts"));
    // Also what the driver of serial ports does; said here because custody relies on one reader. On a pseudo-terminal the
    // kernel's mark outlives a process that is killed, while the other side is open: nobody but root could open it again.
    // There a lock remains, which all who lock respect.
    stream.set_exclusive(!keeps_all)?;
    Ok(Port {
        stream: Some(stream),
        opened: now,
        keeps_all,
    })
}

/// May block: for a thread that may wait.
fn close_now(stream: SerialStream) {
    // Without this, closing waits for bytes that a hung device never takes. It is no matter if the device has gone.
    drop(stream.clear(ClearBuffer::Output));
}

impl AsyncRead for Port {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Waker<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Port {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Waker<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Waker<'_>) -> Poll<io::Result<()>> {
        // Waiting until the line is idle could block; nobody needs it.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Waker<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The pause before the next try, after so many failures in a row: 100 ms, doubling up to 5 s, of which `random`
/// (0 to 1) decides half.
#[must_use]
pub fn pause(failures: u32, random: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let whole = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
    whole.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
}

/// Keeps one port open: opens it, and again after it was lost, with pauses that grow.
#[derive(Debug)]
pub struct Keeper<'c> {
    context: &'c Context,
    settings: Settings,
    failures: u32,
    openings: u64,
}

impl<'c> Keeper<'c> {
    /// For a port that may not exist yet.
    #[must_use]
    pub fn new(context: &'c Context, settings: Settings) -> Self {
        Self {
            context,
            settings,
            failures: 0,
            openings: 0,
        }
    }

    /// The open port, however long that takes; `None` when the source is stopped.
    pub async fn open(&mut self) -> Option<Port> {
        let stop = self.context.stop();
        loop {
            if self.failures > 0 {
                tokio::select! {
                    () = tokio::time::sleep(pause(self.failures, random())) => {}
                    () = stop.stopped() => return None,
                }
            }
            let opened = tokio::select! {
                opened = Port::open(&self.settings, self.context.clock().mono()) => opened,
                () = stop.stopped() => return None,
            };
            match opened {
                Ok(port) => {
                    self.opened();
                    return Some(port);
                }
                Err(error) => {
                    self.failures = self.failures.saturating_add(1);
                    self.context
                        .health()
                        .fault(FAULT, State::Failed, error.to_string());
                }
            }
        }
    }

    fn opened(&mut self) {
        self.openings += 1;
        if self.openings > 1 {
            self.context.health().count(|counters| counters.reopenings += 1);
        }
        self.context.health().clear(FAULT);
    }

    /// Closes a port that was lost, and why; `alive` says that something had come from it.
    pub async fn lost(&mut self, port: Port, why: &str, alive: bool) {
        self.context.health().fault(FAULT, State::Failed, why);
        self.failures = if alive { 1 } else { self.failures.saturating_add(1) };
        tokio::select! {
            () = port.close() => {}
            () = self.context.stop().stopped() => {}
        }
    }
}

/// What the end of a read says of the port, for its health.
#[must_use]
pub fn lost_because(read: io::Result<usize>) -> String {
    match read {
        Ok(_) => "the port was lost: it has no more bytes (unplugged)".to_owned(),
        Err(error) => format!("the port was lost: {error}"),
    }
}

/// A number from 0 to 1. Without randomness the pauses are merely even.
fn random() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_seconds() {
        for (failures, random, expect) in [
            (0, 1.0, 100),
            (1, 1.0, 100),
            (1, 0.0, 50),
            (2, 1.0, 200),
            (3, 0.5, 300),
            (6, 1.0, 3200),
            (7, 1.0, 5000),
            (u32::MAX, 1.0, 5000),
            (u32::MAX, 0.0, 2500),
            (9, f64::INFINITY, 5000),
        ] {
            assert_eq!(
                pause(failures, random),
                Duration::from_millis(expect),
                "{failures} {random}"
            );
        }
        assert!((0.0..=1.0).contains(&random()));
    }
}
