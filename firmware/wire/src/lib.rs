//! Frames between a sensor node and its gateway.
#![no_std]
