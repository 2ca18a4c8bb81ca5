//! SIGHUP: the device file is taken up as a whole, by beginning anew in the same process.
//!
//! Owns the check before and the step from the old program to the new one. Promises that a file which `check` refuses
//! changes nothing; and that what is taken up costs no reading: the agent stops in order, and the process goes on with the
//! same number, arguments and environment. Must not know what the file says.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::config;
use crate::exit::Code;
use crate::sys;

/// Whether the device file as it stands can be taken up; says so in the log.
pub(super) fn is_good(path: &Path) -> bool {
    match config::load(path, &config::Env::of_process()) {
        Ok(_) => {
            tracing::info!("the device file is good and is taken up");
            true
        }
        Err(error) => {
            tracing::error!(%error, "the device file is refused; the agent goes on with the one it has");
            false
        }
    }
}

/// Begins anew, after the agent has stopped. Returns only when that cannot be done, with the code to end with.
pub(super) fn begin() -> Code {
    // Until the next agent listens, another SIGHUP would end the process.
    sys::ignore_hangup();
    let error = match std::env::current_exe() {
        Ok(program) => {
            let mut arguments = std::env::args_os();
            let name = arguments.next().unwrap_or_else(|| program.clone().into());
            Command::new(program).arg0(name).args(arguments).exec()
        }
        Err(error) => error,
    };
    tracing::error!(%error, "the program cannot begin anew");
    Code::Io
}
