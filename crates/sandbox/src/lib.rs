//! Running a command in a tool root: namespaces, no network, read-only root.
//!
//! A [`Sandbox`] is a root directory and what surrounds a command that runs in it: user, mount, PID,
//! IPC, UTS and network namespaces of its own, user and group 0 inside (the caller outside), a fresh
//! /proc, scratch file systems on /tmp, /run and /dev/shm, a minimal /dev, a fixed environment. It works
//! for root and for an ordinary user alike and needs Linux 5.12 or newer with user namespaces;
//! [`probe`](probe::probe) says whether this host has what it takes.
//!
//! When the command ends, or the thread that started it, everything inside is killed.
//!
//! This crate knows nothing of packages: a tool root is just a directory.

mod child;
mod command;
mod config;
mod diagnose;
mod error;
mod layout;
mod ops;
pub mod overlay;
pub mod probe;
mod sys;

pub use child::Child;
pub use command::{Command, Output, Stdin};
pub use config::{Access, Network, Sandbox};
pub use error::Error;
