//! `lazuli store`: clean and verify.

use crate::cli::{Global, StoreCommand};
use crate::ui::{say, size};
use crate::workspace::store_dir;
use anyhow::Result;
use lazuli_store::Store;
use std::time::Duration;

/// Runs it; `false` if damage was found.
pub fn run(global: &Global, command: &StoreCommand) -> Result<bool> {
    let store = Store::open(store_dir(global)?)?;
    match command {
        StoreCommand::Gc { days } => {
            let report = store.collect(Duration::from_secs(days * 24 * 3600))?;
            if global.json {
                say!("{}", serde_json::json!({"removed": report.removed, "bytes": report.bytes}));
                return Ok(true);
            }
            say!("removed {} entries, {}", report.removed, size(report.bytes));
            Ok(true)
        }
        StoreCommand::Verify => {
            let report = store.verify()?;
            if global.json {
                let (blobs, bytes, damaged) = (report.blobs, report.bytes, &report.damaged);
                say!("{}", serde_json::json!({"blobs": blobs, "bytes": bytes, "damaged": damaged}));
                return Ok(report.damaged.is_empty());
            }
            say!(
                "{} blobs, {} read, {} damaged and removed",
                report.blobs,
                size(report.bytes),
                report.damaged.len()
            );
            for digest in &report.damaged {
                say!("  {digest}");
            }
            Ok(report.damaged.is_empty())
        }
    }
}
