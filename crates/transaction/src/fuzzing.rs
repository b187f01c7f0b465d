//! What fuzz targets need of the private parsers: bytes in, and what was understood as bytes again.

use crate::{journal, plan};

/// Splits a journal into records and writes those: the bytes of the records that count, twice.
pub fn journal(bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (records, end) = journal::parse(bytes).ok()?;
    let written: Result<Vec<Vec<u8>>, String> = records.iter().map(journal::encode).collect();
    Some((bytes.get(..end)?.to_vec(), written.ok()?.concat()))
}

/// A record with what stands before it in a journal.
pub fn framed(record: &[u8]) -> Vec<u8> {
    let mut bytes = (record.len() as u32).to_le_bytes().to_vec();
    bytes.extend(&lazuli_store::Digest::of(record).as_bytes()[..8]);
    bytes.extend(record);
    bytes
}

/// Reads a plan and writes it.
pub fn plan(bytes: &[u8]) -> Option<Vec<u8>> {
    let plan: plan::Plan = serde_json::from_slice(bytes).ok()?;
    serde_json::to_vec(&plan).ok()
}
