//! A script's text before it runs: macros (`-e`) and query formats (`-q`).
//!
//! Both are rare. Of RPM's macros those that say where things are and what the package is are known;
//! others stay as they stand, as RPM leaves what is not defined. Of query formats: tags, lists of them in
//! brackets, and escapes; a format option (`%{NAME:shescape}`) or a width is an error rather than a
//! different script.

use crate::script::Flags;
use lazuli_rpm::header::Header;
use lazuli_rpm::tag;

/// How deep macros may refer to macros.
const DEPTH: usize = 32;
/// The largest text in bytes after expansion.
const MAX: usize = 16 << 20;

/// The text that runs.
pub(crate) fn prepare(body: &str, flags: Flags, header: &Header) -> Result<String, String> {
    let mut text = body.to_owned();
    if flags.contains(Flags::EXPAND) {
        text = expand(&text, &|name| of_package(name, header), 0)?;
    }
    if flags.contains(Flags::QFORMAT) {
        text = query(&text, header)?;
    }
    Ok(text)
}

fn of_package(name: &str, header: &Header) -> Option<String> {
    let tag = match name {
        "name" => tag::NAME,
        "version" => tag::VERSION,
        "release" => tag::RELEASE,
        "epoch" => return header.number(tag::EPOCH).map(|epoch| epoch.to_string()),
        _ => return builtin(name).map(str::to_owned),
    };
    header.string(tag)
}

/// Macros that a system without RPM's configuration has: where things are.
pub(crate) fn builtin(name: &str) -> Option<&'static str> {
    Some(match name {
        "_prefix" | "_exec_prefix" | "_usr" => "/usr",
        "_bindir" => "/usr/bin",
        "_sbindir" => "/usr/sbin",
        "_libdir" if cfg!(target_pointer_width = "64") => "/usr/lib64",
        "_libdir" | "_usrlibrpm" | "_prefixlib" => "/usr/lib",
        "_libexecdir" => "/usr/libexec",
        "_datadir" | "_datarootdir" => "/usr/share",
        "_mandir" => "/usr/share/man",
        "_infodir" => "/usr/share/info",
        "_docdir" | "_defaultdocdir" => "/usr/share/doc",
        "_includedir" => "/usr/include",
        "_sysconfdir" | "_etc" => "/etc",
        "_localstatedir" | "_var" => "/var",
        "_sharedstatedir" => "/var/lib",
        "_rundir" => "/run",
        "_tmppath" => "/var/tmp",
        "_dbpath" => "/usr/lib/sysimage/rpm",
        "_unitdir" => "/usr/lib/systemd/system",
        "_userunitdir" => "/usr/lib/systemd/user",
        "_presetdir" => "/usr/lib/systemd/system-preset",
        "_tmpfilesdir" => "/usr/lib/tmpfiles.d",
        "_sysusersdir" => "/usr/lib/sysusers.d",
        "_udevrulesdir" => "/usr/lib/udev/rules.d",
        "_target_os" | "_os" => "linux",
        "nil" => "",
        _ => return None,
    })
}

/// Replaces macros: `%name`, `%{name}`, `%{?name}`, `%{!?name:text}`, `%{?name:text}` and `%%`.
pub(crate) fn expand(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    depth: usize,
) -> Result<String, String> {
    if depth > DEPTH {
        return Err("its macros refer to each other without end".into());
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push('%');
            rest = after;
        } else if let Some((inside, after)) = rest.strip_prefix('{').and_then(braces) {
            match braced(inside, lookup, depth)? {
                Some(value) => out.push_str(&value),
                None => out.push_str(&format!("%{{{inside}}}")),
            }
            rest = after;
        } else {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            match (end > 2).then(|| lookup(&rest[..end])).flatten() {
                Some(value) => out.push_str(&expand(&value, lookup, depth + 1)?),
                None => out.push_str(&format!("%{}", &rest[..end])),
            }
            rest = &rest[end..];
        }
        if out.len() > MAX {
            return Err(format!("it is larger than {MAX} bytes after its macros are expanded"));
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Splits after the brace that closes one already open.
fn braces(text: &str) -> Option<(&str, &str)> {
    let mut depth = 1;
    for (i, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&text[..i], &text[i + 1..]));
        }
    }
    None
}

/// What is between the braces; `None` if it stays as it is.
fn braced(
    inside: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    depth: usize,
) -> Result<Option<String>, String> {
    let conditions = inside.len() - inside.trim_start_matches(['?', '!']).len();
    let (marks, rest) = inside.split_at(conditions);
    let (name, alternative) = match rest.split_once(':') {
        Some((name, text)) => (name, Some(text)),
        None => (rest, None),
    };
    let value = lookup(name);
    if marks.is_empty() {
        return value.map(|value| expand(&value, lookup, depth + 1)).transpose();
    }
    let negated = marks.matches('!').count() % 2 == 1;
    let text = match (negated, value, alternative) {
        (false, Some(_), Some(text)) | (true, None, Some(text)) => text.to_owned(),
        (false, Some(value), None) => value,
        _ => String::new(),
    };
    expand(&text, lookup, depth + 1).map(Some)
}

/// Fills in a query format.
fn query(format: &str, header: &Header) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find(['%', '[', '\\']) {
        out.push_str(&rest[..at]);
        let mark = rest.as_bytes()[at];
        rest = &rest[at + 1..];
        match mark {
            b'\\' => rest = escape(rest, &mut out),
            b'[' => {
                let (inside, after) =
                    rest.split_once(']').ok_or("a `[` of the query format is not closed")?;
                let count = tags_in(inside)?.iter().map(|tag| values(header, *tag).len()).max().unwrap_or(0);
                for i in 0..count {
                    out.push_str(&fill(inside, header, i)?);
                }
                rest = after;
            }
            _ if rest.starts_with('%') => {
                out.push('%');
                rest = &rest[1..];
            }
            _ => {
                let (tag, after) = field(rest)?;
                out.push_str(&values(header, tag).into_iter().next().unwrap_or_else(|| "(none)".into()));
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// One round of a list.
fn fill(format: &str, header: &Header, index: usize) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find(['%', '\\']) {
        out.push_str(&rest[..at]);
        let mark = rest.as_bytes()[at];
        rest = &rest[at + 1..];
        if mark == b'\\' {
            rest = escape(rest, &mut out);
            continue;
        }
        let (tag, after) = field(rest)?;
        out.push_str(values(header, tag).get(index).map_or("(none)", |v| &v[..]));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn tags_in(format: &str) -> Result<Vec<u32>, String> {
    format.match_indices("%{").map(|(at, _)| Ok(field(&format[at + 1..])?.0)).collect()
}

/// `{TAG}` at the start of a text.
fn field(text: &str) -> Result<(u32, &str), String> {
    let unclear = || format!("the query format is not understood at `%{}`", text.get(..20).unwrap_or(text));
    let (name, rest) = text.strip_prefix('{').and_then(|t| t.split_once('}')).ok_or_else(unclear)?;
    let name = name.to_ascii_uppercase();
    let bare = name.strip_prefix("RPMTAG_").unwrap_or(&name);
    let tag = (1000..6000).find(|tag| tag::name(*tag) == Some(bare)).ok_or_else(|| {
        format!("the query format names `{name}`, which is no tag, or has an option that is not supported")
    })?;
    Ok((tag, rest))
}

fn values(header: &Header, tag: u32) -> Vec<String> {
    let strings = header.strings(tag);
    if strings.is_empty() { header.numbers(tag).iter().map(u64::to_string).collect() } else { strings }
}

fn escape<'t>(rest: &'t str, out: &mut String) -> &'t str {
    let mut chars = rest.chars();
    match chars.next() {
        Some('n') => out.push('\n'),
        Some('t') => out.push('\t'),
        Some(other) => out.push(other),
        None => {}
    }
    chars.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazuli_rpm::header::HeaderBuilder;

    fn header() -> Header {
        let mut builder = HeaderBuilder::new();
        builder.string(tag::NAME, "sample").string(tag::VERSION, "2").number(tag::SIZE, 7_u32);
        Header::parse(&builder.finish(tag::HEADERIMMUTABLE)).unwrap()
    }

    #[test]
    fn macros_are_expanded_and_unknown_ones_left() {
        let expand = |text| prepare(text, Flags::EXPAND, &header()).unwrap();
        assert_eq!(expand("%{name}-%{version} in %{_bindir}"), "sample-2 in /usr/bin");
        assert_eq!(
            expand("100%% %{?none}%{!?none:no}%{?name:yes} %unknown %{_x}"),
            "100% noyes %unknown %{_x}"
        );
        assert_eq!(prepare("%{name}", Flags::default(), &header()).unwrap(), "%{name}");
    }

    #[test]
    fn endless_macros_end() {
        let lookup = |name: &str| Some(format!("%{{{name}}}%{{{name}}}"));
        assert!(expand("%{a}", &lookup, 0).is_err());
    }

    #[test]
    fn query_formats_are_filled_in() {
        let query = |text| prepare(text, Flags::QFORMAT, &header());
        assert_eq!(query("%{NAME} %{size}\\n%% %{RPMTAG_VERSION}").unwrap(), "sample 7\n% 2");
        assert_eq!(query("[%{NAME};]%{URL}").unwrap(), "sample;(none)");
        assert!(query("%{NAME:shescape}").is_err() && query("%-10{NAME}").is_err() && query("[x").is_err());
    }
}
