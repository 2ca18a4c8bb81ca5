//! The one integration-test crate: a module a concern.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    reason = "tests fail loudly, and print what they measured"
)]

mod audit;
mod cli;
mod config;
mod custody;
mod demo;
mod deploy;
mod events;
mod full;
mod i2c;
mod kafka;
mod mqtt;
mod queue;
mod serial;
mod simulation;
mod stop;
mod support;
mod sysfs;
mod tidy;
