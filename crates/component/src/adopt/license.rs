//! Licences: machine-readable `debian/copyright` (DEP 5, copyright-format 1.0) to an SPDX expression.

use std::collections::BTreeSet;

/// What stands where nothing better is known: the text in the package says it.
pub const UNKNOWN: &str = "LicenseRef-Debian-copyright";

/// Debian's short names and SPDX identifiers. A name that is neither here nor an SPDX identifier as it is
/// becomes a `LicenseRef`.
const NAMES: &[(&str, &str)] = &[
    ("gpl-1", "GPL-1.0-only"),
    ("gpl-1+", "GPL-1.0-or-later"),
    ("gpl-2", "GPL-2.0-only"),
    ("gpl-2+", "GPL-2.0-or-later"),
    ("gpl-3", "GPL-3.0-only"),
    ("gpl-3+", "GPL-3.0-or-later"),
    ("lgpl-2", "LGPL-2.0-only"),
    ("lgpl-2+", "LGPL-2.0-or-later"),
    ("lgpl-2.1", "LGPL-2.1-only"),
    ("lgpl-2.1+", "LGPL-2.1-or-later"),
    ("lgpl-3", "LGPL-3.0-only"),
    ("lgpl-3+", "LGPL-3.0-or-later"),
    ("agpl-3", "AGPL-3.0-only"),
    ("agpl-3+", "AGPL-3.0-or-later"),
    ("gfdl-1.3", "GFDL-1.3-only"),
    ("gfdl-1.3+", "GFDL-1.3-or-later"),
    ("gfdl-niv-1.3+", "GFDL-1.3-no-invariants-or-later"),
    ("apache-2.0", "Apache-2.0"),
    ("artistic", "Artistic-1.0-Perl"),
    ("artistic-2", "Artistic-2.0"),
    ("bsd-2-clause", "BSD-2-Clause"),
    ("bsd-3-clause", "BSD-3-Clause"),
    ("bsd-4-clause", "BSD-4-Clause"),
    ("bsl-1.0", "BSL-1.0"),
    ("cc0-1.0", "CC0-1.0"),
    ("cc0", "CC0-1.0"),
    ("cc-by-3.0", "CC-BY-3.0"),
    ("cc-by-4.0", "CC-BY-4.0"),
    ("cc-by-sa-3.0", "CC-BY-SA-3.0"),
    ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
    ("curl", "curl"),
    ("expat", "MIT"),
    ("mit", "MIT"),
    ("isc", "ISC"),
    ("mpl-1.1", "MPL-1.1"),
    ("mpl-2.0", "MPL-2.0"),
    ("openssl", "OpenSSL"),
    ("public-domain", "LicenseRef-public-domain"),
    ("psf-2", "PSF-2.0"),
    ("unicode", "Unicode-DFS-2016"),
    ("wtfpl", "WTFPL"),
    ("x11", "X11"),
    ("zlib", "Zlib"),
    ("0bsd", "0BSD"),
    ("fsfap", "FSFAP"),
    ("fsful", "FSFUL"),
    ("fsfullr", "FSFULLR"),
    ("permissive", "LicenseRef-permissive"),
];

/// The SPDX expression of a copyright file: every licence of a `Files` stanza, sorted, joined by `AND`.
/// `None` if the file is not in the machine-readable form.
pub fn expression(copyright: &str) -> Option<String> {
    let copyright = copyright.replace("\r\n", "\n");
    let mut stanzas = copyright.split("\n\n");
    let first = stanzas.next()?;
    if !first.lines().any(|l| l.starts_with("Format:") && l.contains("copyright-format/1")) {
        return None;
    }
    let mut found = BTreeSet::new();
    for stanza in std::iter::once(first).chain(stanzas) {
        let of_files = stanza.lines().any(|l| l.starts_with("Files:"));
        // Packaging alone is not shipped.
        let packaging =
            stanza.lines().any(|l| matches!(l.strip_prefix("Files:").map(str::trim), Some("debian/*")));
        if !of_files || packaging {
            continue;
        }
        if let Some(license) = stanza.lines().find_map(|l| l.strip_prefix("License:")) {
            found.insert(one(license.trim())?);
        }
    }
    let all: Vec<String> = found.into_iter().collect();
    (!all.is_empty()).then(|| all.join(" AND "))
}

/// One `License` field: names joined by `and`, `or` and commas, perhaps `with ... exception`.
fn one(license: &str) -> Option<String> {
    if license.is_empty() {
        return None;
    }
    let mut parts: Vec<String> = Vec::new();
    let mut any_or = false;
    let mut words = license.split_whitespace().peekable();
    let mut exception = false;
    while let Some(word) = words.next() {
        let name = word.trim_end_matches(',');
        match name.to_ascii_lowercase().as_str() {
            "and" | "and/or" => exception = false,
            "or" => {
                any_or = true;
                exception = false;
            }
            "with" => {
                exception = true;
                if let Some(last) = parts.last_mut() {
                    let mut reference = format!("{}-with", reference_base(last));
                    while let Some(next) = words.peek() {
                        if matches!(next.to_ascii_lowercase().as_str(), "and" | "or") {
                            break;
                        }
                        reference = format!("{reference}-{}", sanitise(next));
                        words.next();
                    }
                    *last = format!("LicenseRef-{reference}");
                }
            }
            "" => {}
            _ if exception => {}
            lower => parts.push(identifier(lower, name)),
        }
    }
    let joined = parts.join(if any_or { " OR " } else { " AND " });
    match parts.len() {
        0 => None,
        1 => Some(joined),
        _ if any_or => Some(format!("({joined})")),
        _ => Some(joined),
    }
}

fn identifier(lower: &str, name: &str) -> String {
    // `GPL-2.0+` is written as often as `GPL-2+`.
    let (base, plus) = lower.strip_suffix('+').map_or((lower, ""), |base| (base, "+"));
    let base = if base.contains("gpl") { base.strip_suffix(".0").unwrap_or(base) } else { base };
    let key = format!("{base}{plus}");
    match NAMES.iter().find(|(debian, _)| *debian == key) {
        Some((_, spdx)) => (*spdx).to_owned(),
        None if lower.ends_with("-only") || lower.ends_with("-or-later") => name.to_owned(),
        None => format!("LicenseRef-{}", sanitise(name)),
    }
}

fn reference_base(identifier: &str) -> &str {
    identifier.strip_prefix("LicenseRef-").unwrap_or(identifier)
}

/// SPDX takes letters, digits, `-` and `.` in a reference.
fn sanitise(name: &str) -> String {
    let clean: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '-' })
        .collect();
    clean.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(licenses: &[&str]) -> Option<String> {
        let mut text = "Format: https://example.org/copyright-format/1.0/\n".to_owned();
        for license in licenses {
            text.extend(["\nFiles: x\nCopyright: somebody\nLicense: ", license, "\n"]);
        }
        text += "\nFiles: debian/*\nCopyright: somebody\nLicense: GPL-3+\n\nLicense: BSL-1.0\n the text\n";
        expression(&text)
    }

    #[test]
    fn short_names_become_spdx_sorted_and_once() {
        assert_eq!(of(&["GPL-2+", "Expat", "GPL-2+"]).unwrap(), "GPL-2.0-or-later AND MIT");
        assert_eq!(of(&["GPL-2.0+", "LGPL-2.1"]).unwrap(), "GPL-2.0-or-later AND LGPL-2.1-only");
    }

    #[test]
    fn combinations_and_exceptions_stay_visible() {
        assert_eq!(of(&["GPL-1+ or Artistic"]).unwrap(), "(GPL-1.0-or-later OR Artistic-1.0-Perl)");
        assert_eq!(of(&["Expat and ISC"]).unwrap(), "MIT AND ISC");
        assert_eq!(
            of(&["GPL-3+ with GCC exception"]).unwrap(),
            "LicenseRef-GPL-3.0-or-later-with-GCC-exception"
        );
        assert_eq!(of(&["Custom_thing"]).unwrap(), "LicenseRef-Custom-thing");
    }

    #[test]
    fn free_text_has_no_expression() {
        assert_eq!(expression("This package was put together by somebody.\n"), None);
        assert_eq!(of(&[]), None);
    }
}
