//! Dependencies as repodata writes them: `<rpm:entry name flags epoch ver rel pre/>`.
//!
//! `flags` is one of `EQ LT GT LE GE`; it and the version parts are absent without a version. `epoch` is
//! always written with a version, 0 for none, so an explicit `0:` does not survive a round trip: RPM
//! takes both for the same. `pre="1"` marks what the scriptlets that run on installation need.

use crate::error::Result;
use crate::xml::{Cursor, Element, Xml};
use lazuli_rpm::{Dependency, DependencyFlags};
use std::io;

/// The most entries of one kind a package may have.
const MAX_ENTRIES: usize = 100_000;

/// Splits `[epoch:]version[-release]`.
fn split_evr(evr: &str) -> (&str, &str, Option<&str>) {
    let (epoch, rest) = match evr.split_once(':') {
        Some((epoch, rest)) if epoch.bytes().all(|b| b.is_ascii_digit()) => (epoch, rest),
        _ => ("", evr),
    };
    let epoch = if epoch.is_empty() { "0" } else { epoch };
    match rest.rsplit_once('-') {
        Some((version, release)) => (epoch, version, Some(release)),
        None => (epoch, rest, None),
    }
}

fn flags_text(flags: DependencyFlags) -> Option<&'static str> {
    let has = |flag| flags.contains(flag);
    let (less, greater, equal) =
        (has(DependencyFlags::LESS), has(DependencyFlags::GREATER), has(DependencyFlags::EQUAL));
    match (less, greater, equal) {
        (true, _, false) => Some("LT"),
        (true, _, true) => Some("LE"),
        (false, true, false) => Some("GT"),
        (false, true, true) => Some("GE"),
        (false, false, true) => Some("EQ"),
        (false, false, false) => None,
    }
}

fn flags_from_text(text: &str) -> Option<DependencyFlags> {
    Some(match text {
        "EQ" => DependencyFlags::EQUAL,
        "LT" => DependencyFlags::LESS,
        "GT" => DependencyFlags::GREATER,
        "LE" => DependencyFlags::LESS | DependencyFlags::EQUAL,
        "GE" => DependencyFlags::GREATER | DependencyFlags::EQUAL,
        _ => return None,
    })
}

/// Whether an installation scriptlet needs it before it can run.
fn is_pre(flags: DependencyFlags) -> bool {
    flags.intersects(DependencyFlags::PREREQ | DependencyFlags::SCRIPT_PRE | DependencyFlags::SCRIPT_POST)
}

/// Writes a list, or nothing if it is empty. `rpmlib(...)` entries and repetitions are left out, as every
/// generator of repodata does: resolvers cannot know what the RPM that will install the package can do.
pub(crate) fn write(xml: &mut Xml, element: &str, list: &[Dependency]) -> io::Result<()> {
    let mut written: Vec<(&str, Option<&str>, &str, bool)> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for dependency in list {
        let item = (
            dependency.name.as_str(),
            flags_text(dependency.flags),
            dependency.evr.as_str(),
            is_pre(dependency.flags),
        );
        if !dependency.name.starts_with("rpmlib(") && seen.insert(item) {
            written.push(item);
        }
    }
    // One that is needed by a scriptlet says all that its plain twin says.
    written.retain(|&(name, flags, evr, pre)| pre || !seen.contains(&(name, flags, evr, true)));
    if written.is_empty() {
        return Ok(());
    }
    xml.open(element, &[])?;
    for (name, flags, evr, pre) in written {
        let mut attrs = vec![("name", name)];
        if let Some(flags) = flags
            && !evr.is_empty()
        {
            let (epoch, version, release) = split_evr(evr);
            attrs.extend([("flags", flags), ("epoch", epoch), ("ver", version)]);
            attrs.extend(release.map(|release| ("rel", release)));
        }
        if pre {
            attrs.push(("pre", "1"));
        }
        xml.empty("rpm:entry", &attrs)?;
    }
    xml.close(element)
}

/// Reads the entries of the list that was just entered.
pub(crate) fn read(cursor: &mut Cursor<'_>, list: &mut Vec<Dependency>) -> Result<()> {
    while let Some(element) = cursor.child()? {
        if element.name() == "entry" {
            if list.len() == MAX_ENTRIES {
                return Err(cursor.error(format!("more than {MAX_ENTRIES} dependencies of one kind")));
            }
            list.push(read_entry(cursor, &element)?);
        }
        cursor.skip()?;
    }
    Ok(())
}

fn read_entry<'a>(cursor: &Cursor<'a>, element: &Element<'a>) -> Result<Dependency> {
    let name = cursor.need(element, "name")?.into_owned();
    if name.is_empty() {
        return Err(cursor.error("a dependency without a name"));
    }
    let mut flags = DependencyFlags::ANY;
    let mut evr = String::new();
    if let Some(text) = cursor.attr(element, "flags")? {
        flags = flags_from_text(&text)
            .ok_or_else(|| cursor.error(format!("`flags` is `{}`", text.escape_debug())))?;
        let epoch = cursor.attr(element, "epoch")?;
        if let Some(epoch) = epoch.as_deref().filter(|epoch| !matches!(*epoch, "" | "0")) {
            let epoch: u32 = epoch.parse().map_err(|_| cursor.error("`epoch` is not a number"))?;
            evr = format!("{epoch}:");
        }
        evr.push_str(&cursor.need(element, "ver")?);
        if let Some(release) = cursor.attr(element, "rel")? {
            evr.push('-');
            evr.push_str(&release);
        }
    }
    if cursor.attr(element, "pre")?.is_some_and(|pre| pre == "1") {
        flags |= DependencyFlags::PREREQ;
    }
    Ok(Dependency { name, flags, evr })
}
