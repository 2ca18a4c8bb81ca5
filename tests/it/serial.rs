//! Serial sources over real pseudo-terminals, into the real intake.

mod frames;
mod text;
