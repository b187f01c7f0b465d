//! The commands, one module each.

pub mod build;
pub mod component;
pub mod convert;
pub mod doctor;
pub mod image;
pub mod kernel;
pub mod lock;
pub mod repo;
pub mod rollout;
pub mod run;
pub mod sign;
pub mod store;
pub mod tool_root;
pub mod update;
