//! The bus itself: opened, and what its errors mean. The only file that names linux_embedded_hal.
//!
//! Promises that every error has a named cause, whatever the driver of the bus says. Must not know chips.

use std::fmt;
use std::io;
use std::path::PathBuf;

use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};
use linux_embedded_hal::I2cdev;
use linux_embedded_hal::i2cdev::linux::LinuxI2CError;

/// A bus as chips use it.
pub type Bus = dyn I2c<Error = BusError>;

/// Opens a bus, again and again when it is lost.
pub trait OpenBus: Send + 'static {
    /// Opens it.
    ///
    /// # Errors
    /// When it is not there or may not be used.
    fn open(&mut self) -> Result<Box<Bus>, BusError>;
}

/// What went wrong on a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// No chip answers at the address.
    NoAnswer,
    /// The chip did not take a byte.
    NoAcknowledge,
    /// Another controller was faster; some controllers say so when no chip answers.
    Arbitration,
    /// The chip, or a wire that is stuck, held the clock for too long; some controllers say so when no chip answers.
    Timeout,
    /// The controller reports an error on the wires.
    Bus,
    /// A driver of the kernel has the address.
    Claimed,
    /// The bus is not there, or no more.
    Gone,
    /// The bus may not be opened.
    Denied,
    /// Anything else.
    Other,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAnswer => "no chip answers (NACK)",
            Self::NoAcknowledge => "the chip refused a byte (NACK)",
            Self::Arbitration => "arbitration lost (another controller, or no chip answers)",
            Self::Timeout => "time-out (the clock is held, a wire is stuck, or no chip answers)",
            Self::Bus => "bus error",
            Self::Claimed => {
                "a driver of the kernel has this address (hint: unload it, or read it through sysfs)"
            }
            Self::Gone => "the bus is not there (hint: is I2C enabled on this machine?)",
            Self::Denied => "the bus may not be opened (hint: the agent's user must be in the group i2c)",
            Self::Other => "the bus failed",
        })
    }
}

/// An error of a bus.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}{detail}")]
pub struct BusError {
    /// What it means.
    pub cause: Cause,
    detail: String,
}

impl BusError {
    /// Whether it may be over a moment later. (A time-out is not worth a second one.)
    #[must_use]
    pub fn is_worth_another_try(&self) -> bool {
        !matches!(
            self.cause,
            Cause::Gone | Cause::Denied | Cause::Claimed | Cause::Timeout
        )
    }

    /// Whether it concerns more than one chip.
    #[must_use]
    pub fn is_of_the_bus(&self) -> bool {
        matches!(
            self.cause,
            Cause::Bus | Cause::Timeout | Cause::Arbitration | Cause::Other | Cause::Gone
        )
    }
}

impl From<Cause> for BusError {
    fn from(cause: Cause) -> Self {
        Self {
            cause,
            detail: String::new(),
        }
    }
}

impl embedded_hal::i2c::Error for BusError {
    fn kind(&self) -> ErrorKind {
        match self.cause {
            Cause::NoAnswer => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address),
            Cause::NoAcknowledge => ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data),
            Cause::Arbitration => ErrorKind::ArbitrationLoss,
            Cause::Bus => ErrorKind::Bus,
            _ => ErrorKind::Other,
        }
    }
}

/// A bus of this machine.
#[derive(Debug, Clone)]
pub struct LinuxBus {
    /// Its device node, such as `/dev/i2c-1`.
    pub path: PathBuf,
}

impl OpenBus for LinuxBus {
    fn open(&mut self) -> Result<Box<Bus>, BusError> {
        let device = I2cdev::new(&self.path).map_err(|error| named(&error, true))?;
        Ok(Box::new(Device(device)))
    }
}

/// A Linux bus with errors that have a cause.
struct Device(I2cdev);

impl ErrorType for Device {
    type Error = BusError;
}

impl I2c for Device {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), BusError> {
        I2c::<u8>::transaction(&mut self.0, address, operations).map_err(|error| named(error.inner(), false))
    }
}

fn named(error: &LinuxI2CError, opening: bool) -> BusError {
    let errno = match error {
        LinuxI2CError::Errno(errno) => Some(*errno),
        LinuxI2CError::Io(error) => error.raw_os_error(),
    };
    let cause = errno.map_or(Cause::Other, |errno| cause(errno, opening));
    let detail = match (cause, errno) {
        (Cause::Other, Some(errno)) => format!(": {}", io::Error::from_raw_os_error(errno)),
        (Cause::Other, None) => format!(": {error}"),
        _ => String::new(),
    };
    BusError { cause, detail }
}

/// What an error number of the kernel means (its "I2C fault codes", and what drivers do beside them).
fn cause(errno: i32, opening: bool) -> Cause {
    match errno {
        // The device node: of a driver that was unbound, or of none.
        libc::ENOENT | libc::ENODEV => Cause::Gone,
        libc::ENXIO if opening => Cause::Gone,
        libc::EACCES | libc::EPERM => Cause::Denied,
        libc::ENXIO => Cause::NoAnswer,
        libc::EREMOTEIO => Cause::NoAcknowledge,
        libc::EAGAIN => Cause::Arbitration,
        libc::ETIMEDOUT => Cause::Timeout,
        libc::EBUSY => Cause::Claimed,
        libc::EIO | libc::EPROTO => Cause::Bus,
        _ => Cause::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_numbers_have_names() {
        for (errno, opening, expect) in [
            (libc::ENXIO, false, "no chip answers (NACK)"),
            (
                libc::ENXIO,
                true,
                "the bus is not there (hint: is I2C enabled on this machine?)",
            ),
            (libc::EREMOTEIO, false, "the chip refused a byte (NACK)"),
            (
                libc::EAGAIN,
                false,
                "arbitration lost (another controller, or no chip answers)",
            ),
            (
                libc::ETIMEDOUT,
                false,
                "time-out (the clock is held, a wire is stuck, or no chip answers)",
            ),
            (libc::EIO, false, "bus error"),
            (
                libc::ENODEV,
                false,
                "the bus is not there (hint: is I2C enabled on this machine?)",
            ),
            (
                libc::EACCES,
                true,
                "the bus may not be opened (hint: the agent's user must be in the group i2c)",
            ),
            (
                libc::EOPNOTSUPP,
                false,
                "the bus failed: Operation not supported (os error 95)",
            ),
        ] {
            let errors = [
                LinuxI2CError::Errno(errno),
                LinuxI2CError::Io(io::Error::from_raw_os_error(errno)),
            ];
            for error in errors {
                assert_eq!(named(&error, opening).to_string(), expect, "{errno}");
            }
        }
    }

    #[test]
    fn a_bus_that_is_not_there_says_so() {
        let mut bus = LinuxBus {
            path: "/nonexistent/i2c-1".into(),
        };
        assert_eq!(bus.open().err().map(|error| error.cause), Some(Cause::Gone));
    }
}
