//! What a sensor node does, free of hardware.
#![no_std]
