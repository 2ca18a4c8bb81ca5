//! The one integration-test crate: a module a concern.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail loudly")]

mod i2c;
mod serial;
mod config;
mod support;
mod tidy;
