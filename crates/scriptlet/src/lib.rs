//! RPM scriptlets and triggers: which ones a transaction runs and in what order ([`Selection`]), and
//! running one of them in a root ([`Runner`]).
//!
//! The two halves meet in [`Script`]: everything that is needed to run one, and nothing of how it was
//! chosen. Selection is pure: it reads headers through [`Installed`] and keeps account of which packages
//! are there at each moment of the transaction, so that it needs no database that changes under it. It
//! follows RPM 6's package state machine, which differs from that of 4.20 in little ([`Rules`]).
//!
//! This crate must not know how files get to the disk or rows into the database; `transaction` calls it
//! between those steps.
//!
//! # Order of a transaction
//!
//! ```text
//! pretrans            %pretrans of every package that comes
//! (files are checked)
//! before_transaction  %preuntrans of every package that goes; %transfiletriggerun
//! each element, in the order of the transaction:
//!   before_install    [users, see `sysusers`]; %triggerprein; %pre
//!   (files, database; then `installed`)
//!   after_install     %filetriggerin of priority >= 10000; %post; %triggerin; the other %filetriggerin
//!   before_erase      %filetriggerun >= 10000; %triggerun; %preun; the other %filetriggerun
//!   (files)
//!   after_erase       %filetriggerpostun >= 10000; %postun; %triggerpostun; the other %filetriggerpostun
//!   (database; then `erased`)
//! after_transaction   %posttrans; %postuntrans; %transfiletriggerin and %transfiletriggerpostun of
//!                     installed packages; %transfiletriggerin of packages that came
//! ```
//!
//! # Lua
//!
//! `<lua>` scripts need no shell in the root, so they must run in a process that is confined to the root
//! and yet needs no file in it. A forked copy of a process with threads may only make system calls, and an
//! interpreter does more than that; so the program runs itself again as a *helper*, which loads everything
//! first, then confines itself and reads the script from a descriptor. A program that uses a [`Runner`]
//! must therefore call [`helper::run_if_asked`] as the first thing in its `main`.

mod body;
pub mod helper;
mod lua;
mod range;
mod run;
mod script;
mod select;
pub mod sysusers;

pub use run::{Confinement, Ending, Error as RunError, Options, Outcome, Runner, Stream};
pub use script::{Flags, Kind, Script, When};
pub use select::{Answer, Element, Error as SelectError, Installed, Package, Rules, Selection};
