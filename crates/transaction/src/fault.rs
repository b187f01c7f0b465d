//! Numbered fail points, for tests only.
//!
//! Every effect of this crate passes a point before it happens. A test counts the points of a run, then
//! runs again once for each with a fault armed there. Nothing is armed unless [`arm`] is called; a
//! program that is not a test has no reason to.

use std::io;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

static COUNT: AtomicU64 = AtomicU64::new(0);
static ARMED: AtomicU64 = AtomicU64::new(u64::MAX);
static KIND: AtomicI32 = AtomicI32::new(0);

static BOOT: AtomicU64 = AtomicU64::new(0);

/// From now on it is as if the machine had been started again this many times.
pub fn boot(number: u64) {
    BOOT.store(number, Ordering::SeqCst);
}

/// The number of pretended boots.
pub(crate) fn boots() -> u64 {
    BOOT.load(Ordering::SeqCst)
}

/// What happens at the armed point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process ends at once, as by `kill -9`.
    Abort,
    /// The effect fails with this error number and does not happen.
    Errno(i32),
}

/// Arms a fault at the point with this number, counted from 0, and starts counting anew.
pub fn arm(point: u64, fault: Fault) {
    let kind = match fault {
        Fault::Abort => 0,
        Fault::Errno(number) => number,
    };
    KIND.store(kind, Ordering::SeqCst);
    COUNT.store(0, Ordering::SeqCst);
    ARMED.store(point, Ordering::SeqCst);
}

/// Disarms, and starts counting anew.
pub fn disarm() {
    ARMED.store(u64::MAX, Ordering::SeqCst);
    COUNT.store(0, Ordering::SeqCst);
}

/// How many points were passed since [`arm`] or [`disarm`].
pub fn count() -> u64 {
    COUNT.load(Ordering::SeqCst)
}

/// Passes a point.
pub(crate) fn point() -> io::Result<()> {
    if COUNT.fetch_add(1, Ordering::SeqCst) != ARMED.load(Ordering::Relaxed) {
        return Ok(());
    }
    match KIND.load(Ordering::SeqCst) {
        0 => std::process::abort(),
        number => Err(io::Error::from_raw_os_error(number)),
    }
}
