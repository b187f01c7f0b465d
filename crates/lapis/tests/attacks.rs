//! Attacks, each refused by the command as it is shipped: with a status that is not 0, with words that say what
//! was wrong, and without a change to the root. Afterwards the honest repository works as before, so it was the
//! attack that was refused, and it left nothing behind that could do harm later.
//!
//! `docs/design/trust.md` has the list, and says which attack is stopped where.

#![allow(clippy::unwrap_used)] // The server of the tests is shared.

mod attack;
#[allow(dead_code, reason = "not every test needs all of it")]
#[path = "../../fetch/tests/server/mod.rs"]
mod server;
mod support;
