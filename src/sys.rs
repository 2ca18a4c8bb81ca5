//! The system calls that have no safe wrapper: the only module with `unsafe` in it.
//!
//! Owns five calls, each a thin function with its safety argument. Must not decide anything.
#![allow(
    unsafe_code,
    reason = "the one module for system calls without a safe wrapper; each block says why it is sound"
)]

/// What the kernel says of the wall clock: true when it is synchronized (`adjtimex` without `STA_UNSYNC`).
///
/// Where the call is refused (some sandboxes), the clock counts as not synchronized.
#[must_use]
pub fn clock_is_synchronized() -> bool {
    // SAFETY: `timex` is plain data for which all zeroes is a valid value; `modes = 0` makes the call read-only, and the
    // kernel writes only within the struct that the exclusive reference points to.
    let (state, status) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut timex), timex.status)
    };
    state >= 0 && state != libc::TIME_ERROR && status & libc::STA_UNSYNC == 0
}

/// Ends the process at once: no destructors, no `atexit` handlers (librdkafka's and sled's can wait for seconds).
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes any status and does not return; nothing in this process runs after it.
    unsafe { libc::_exit(code) }
}

/// From here on SIGHUP does nothing, over `exec` too, until somebody listens to it again.
pub fn ignore_hangup() {
    // SAFETY: `signal` takes any signal number; `SIG_IGN` is a disposition, no handler that could be run.
    unsafe {
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
    }
}

/// Keeps glibc's allocator small: two arenas at most, and blocks of 128 KiB and more always mapped by themselves, so that
/// they are gone when they are freed. Call it once, before threads start. Does nothing elsewhere.
///
/// The size is glibc's own default; setting it stops glibc from raising it when the first such block is freed. Raised, the
/// store's buffers of 512 KiB would come from the heap, and each would leave a hole there that small blocks then litter.
pub fn limit_arenas() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `mallopt` changes tuning parameters of the allocator; the parameters and values are documented ones.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 * 1024);
    }
}

/// Gives freed memory back to the system (after a generation was closed). Does nothing where glibc is not used.
pub fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `malloc_trim` may be called at any time from any thread; it only releases free pages.
    unsafe {
        libc::malloc_trim(0);
    }
}
