//! The commands, one module each.

pub mod build;
pub mod doctor;
pub mod lock;
pub mod run;
pub mod store;
