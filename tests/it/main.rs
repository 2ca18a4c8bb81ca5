//! The one integration-test crate: a module a concern.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail loudly")]

mod audit;
mod demo;
mod support;
mod tidy;
