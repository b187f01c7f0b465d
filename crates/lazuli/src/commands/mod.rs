//! The commands, one module each.

pub mod doctor;
pub mod lock;
pub mod store;
