//! What a panic does: it ends the process, so that no thread goes on without the others.
//!
//! Owns the panic hook and the one exception: sled panics on some damaged files, and that is an error there, not a bug.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::exit::Code;
use crate::sys;

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; a panic in it becomes its text and ends nothing.
///
/// # Errors
/// When `work` panics.
pub fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = EXPECTED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    EXPECTED.set(before);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("panicked")
            .to_owned()
    })
}

/// From now on a panic on any thread ends the process with exit code 70, at once: receipts that were given are true, and
/// no further ones are given.
pub fn end_the_process() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !EXPECTED.get() {
            report(info);
            sys::exit_now(i32::from(Code::Bug as u8));
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contained_panic_is_an_error() {
        assert_eq!(contained(|| 5), Ok(5));
        assert_eq!(
            contained(|| -> u8 { panic!("tried to serialize {}", 7) }),
            Err("tried to serialize 7".into())
        );
    }
}
