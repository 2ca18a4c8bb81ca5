//! The queue on real files: what damage costs, and what it never does.

mod damage;
mod lost;
mod world;
