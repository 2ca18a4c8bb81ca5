//! The stop signal: one flag that tasks await and threads sleep on.
//!
//! Promises that whoever waits is woken at once, and that a signal given before the wait is not missed. Must not know
//! who stops or why.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

#[derive(Debug, Default)]
struct Inner {
    stopped: Mutex<bool>,
    threads: Condvar,
    tasks: Notify,
}

/// A stop signal; clones are the same signal. It is given once and stays.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<Inner>);

impl Stop {
    /// A signal that was not given yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the signal.
    pub fn stop(&self) {
        *self.0.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.threads.notify_all();
        self.0.tasks.notify_waiters();
    }

    /// Whether it was given.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.0.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for it.
    pub async fn stopped(&self) {
        let told = self.0.tasks.notified();
        tokio::pin!(told);
        told.as_mut().enable();
        if !self.is_stopped() {
            told.await;
        }
    }

    /// Sleeps on a thread for that long, or until the signal; true when it was given.
    #[must_use]
    pub fn sleep(&self, span: Duration) -> bool {
        let stopped = self.0.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let (stopped, _) = self
            .0
            .threads
            .wait_timeout_while(stopped, span, |stopped| !*stopped)
            .unwrap_or_else(PoisonError::into_inner);
        *stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn tasks_and_threads_are_woken_and_late_ones_do_not_wait() {
        let stop = Stop::new();
        assert!(!stop.sleep(Duration::from_millis(1)), "nobody stopped it");
        let (task, thread) = (stop.clone(), stop.clone());
        let task = tokio::spawn(async move { task.stopped().await });
        let thread = std::thread::spawn(move || thread.sleep(Duration::from_secs(3600)));
        tokio::task::yield_now().await;
        stop.stop();
        task.await.unwrap();
        assert!(thread.join().unwrap());
        stop.stopped().await;
        assert!(stop.is_stopped() && stop.sleep(Duration::from_secs(3600)));
    }
}
