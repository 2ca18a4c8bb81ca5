//! The one integration-test crate: a module a concern.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail loudly")]

mod config;
mod custody;
mod i2c;
mod kafka;
mod serial;
mod support;
mod tidy;
