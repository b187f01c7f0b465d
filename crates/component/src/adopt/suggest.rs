//! Text for a person to paste into `component.toml`, or to start one from.

use lazuli_store::Digest;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

/// The `[[package.NAME.script]]` block that acknowledges one script, with the reason left to fill in.
pub fn acknowledgement_block(package: &str, script: &str, sha256: &Digest) -> String {
    let mut document = DocumentMut::new();
    put_acknowledgement(&mut document, package, script, sha256);
    document.to_string()
}

fn put_acknowledgement(document: &mut DocumentMut, package: &str, script: &str, sha256: &Digest) {
    let mut block = Table::new();
    block.insert("name", value(script));
    block.insert("sha256", value(sha256.to_string()));
    block.insert("reason", value(""));
    let implicit = || {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    };
    let packages = document.entry("package").or_insert_with(implicit);
    let overlay = packages.as_table_mut().map(|t| t.entry(package).or_insert_with(implicit));
    if let Some(overlay) = overlay.and_then(Item::as_table_mut)
        && let Some(scripts) = overlay
            .entry("script")
            .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()))
            .as_array_of_tables_mut()
    {
        scripts.push(block);
    }
}
