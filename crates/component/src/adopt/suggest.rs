//! Text for a person to start a `component.toml` from, or to paste into one.

use super::license;
use super::package::copyright;
use super::script::{ScriptFate, Status, survey};
use lazuli_debian::deb::Deb;
use lazuli_store::{Digest, Store};
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, value};

/// How many unrecognised lines of a script stand above the block that acknowledges it.
const SHOWN: usize = 12;

/// The first `component.toml` for packages of one source. Reasons are left empty, which is not valid:
/// the file is accepted once a person has filled them in.
pub fn component(packages: &[&Deb], store: &Store) -> String {
    let mut packages: Vec<(&str, &Deb)> =
        packages.iter().map(|deb| (deb.control.get("Package").unwrap_or_default(), *deb)).collect();
    packages.sort_by_key(|(name, _)| *name);
    packages.dedup_by_key(|(name, _)| *name);

    let mut document = DocumentMut::new();
    document.insert("kind", value("adopted"));
    document.insert("packages", value(packages.iter().map(|(name, _)| *name).collect::<Array>()));
    let found = packages.iter().find_map(|(name, deb)| {
        let text = copyright(&deb.data, name, store)?;
        license::expression(&String::from_utf8_lossy(&text))
    });
    let found = found.filter(|expression| !expression.contains("LicenseRef-"));
    document.insert("license", value(found.as_deref().unwrap_or(license::UNKNOWN)));
    if let Some(mut key) = document.key_mut("license") {
        let hint = match found {
            Some(_) => "# From Debian's copyright file; simplify to what the packages' files are under.\n",
            None => "# To be read from the copyright file; an SPDX expression.\n",
        };
        key.leaf_decor_mut().set_prefix(hint);
    }
    for (name, deb) in packages {
        let triggers = (!deb.triggers.is_empty()).then_some(deb.triggers.as_bytes());
        for fate in survey(&deb.scripts, triggers, &[]) {
            if fate.status == Status::Unacknowledged {
                put_acknowledgement(&mut document, name, &fate.name, &fate.sha256, &comment(&fate));
            }
        }
    }
    document.to_string()
}

/// The `[[package.NAME.script]]` block that acknowledges one script, with the reason left to fill in.
pub fn acknowledgement_block(package: &str, script: &str, sha256: &Digest) -> String {
    let mut document = DocumentMut::new();
    put_acknowledgement(&mut document, package, script, sha256, "");
    document.to_string().trim_start().to_owned()
}

/// The lines that a person has to look at, as a comment.
fn comment(fate: &ScriptFate) -> String {
    let mut comment = String::new();
    let lines = &fate.unrecognised;
    let shown = lines.iter().take(SHOWN).map(|line| format!("{:>4}: {}", line.number, line.text));
    let more = (lines.len() > SHOWN).then(|| format!("      and {} more lines", lines.len() - SHOWN));
    for line in shown.chain(more) {
        // TOML takes no control characters in a comment, except the tab.
        let clean: String = line.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }).collect();
        comment.push_str("# ");
        comment.push_str(clean.trim_end());
        comment.push('\n');
    }
    comment
}

fn put_acknowledgement(
    document: &mut DocumentMut,
    package: &str,
    script: &str,
    sha256: &Digest,
    above: &str,
) {
    let mut block = Table::new();
    block.insert("name", value(script));
    block.insert("sha256", value(sha256.to_string()));
    block.insert("reason", value(""));
    let mut prefix = "\n".to_owned();
    prefix.push_str(above);
    block.decor_mut().set_prefix(prefix);
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
