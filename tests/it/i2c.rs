//! I2C: the chips by themselves, and the thread that reads them.

mod bus;
mod chips;
