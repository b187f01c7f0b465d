//! Packages as a person names them.
//!
//! `bash`, `bash.x86_64`, `bash-5.2`, `bash-5.2.37-1`, `bash-0:5.2.37-1.x86_64` and `0:bash-5.2.37-1.x86_64`
//! name packages; so do patterns in place of any of them (`*`, `?`, `[a-z]`). A text that starts with `/` is
//! a path, one with spaces or parentheses a dependency, one that ends in `.rpm` or is an address a file.

use globset::{GlobBuilder, GlobMatcher};
use lazuli_rpm::Nevra;
use std::collections::BTreeSet;

/// The longest text, in bytes; patterns beyond it only cost time.
const MAX_TEXT: usize = 1024;

/// What a text names.
#[derive(Debug, Clone)]
pub enum Spec {
    /// A file to be read: a path or an address.
    File(String),
    /// A path that a package owns.
    Path(String),
    /// A dependency: something provided.
    Dependency(String),
    /// A package.
    Package(Pattern),
}

/// A package's name, possibly with version and architecture, possibly a pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    glob: Option<GlobMatcher>,
}

impl Spec {
    /// Takes a word of the command line apart. Whether a word that could be both is a package or
    /// something provided depends on what there is, which the caller knows.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        if text.contains("://") || is_file(text) {
            return Self::File(text.to_owned());
        }
        if text.starts_with('/') || (text.contains('/') && is_glob(text)) {
            return Self::Path(text.to_owned());
        }
        // What `name=version` means to apt and some dnf users.
        if text.contains([' ', '(', '<', '>', '=']) {
            return Self::Dependency(spaced(text));
        }
        Self::Package(Pattern::new(text))
    }
}

/// An `.rpm` file on this machine: a path with a slash, or a file that exists.
fn is_file(text: &str) -> bool {
    let rpm = std::path::Path::new(text).extension().is_some_and(|e| e.eq_ignore_ascii_case("rpm"));
    rpm && (text.contains('/') || lazuli_fs::metadata(text).is_ok())
}

/// Puts spaces around a comparison: `a>=1` is `a >= 1`.
fn spaced(text: &str) -> String {
    if text.contains(' ') || text.starts_with('(') {
        return text.to_owned();
    }
    let Some(start) = text.find(['<', '>', '=']) else { return text.to_owned() };
    let end = text[start..].find(|c| !"<>=".contains(c)).map_or(text.len(), |n| start + n);
    format!("{} {} {}", &text[..start], &text[start..end], &text[end..])
}

impl Pattern {
    /// From a text; one that is no valid pattern is taken literally.
    pub fn new(text: &str) -> Self {
        let text: String = text.chars().take(MAX_TEXT).collect();
        let glob = is_glob(&text)
            .then(|| GlobBuilder::new(&text).literal_separator(false).build().ok())
            .flatten()
            .map(|glob| glob.compile_matcher());
        Self { text, glob }
    }

    /// The text as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is a pattern, for which all names must be looked at.
    pub fn is_glob(&self) -> bool {
        self.glob.is_some()
    }

    /// Whether a plain text, such as a name, matches.
    pub fn matches_text(&self, text: &str) -> bool {
        self.glob.as_ref().map_or(self.text == text, |glob| glob.is_match(text))
    }

    /// Whether this names the package.
    pub fn matches(&self, nevra: &Nevra) -> bool {
        // The usual case, without making any text.
        if self.matches_text(&nevra.name) {
            return true;
        }
        if self.glob.is_none() && !self.text.contains(nevra.name.as_str()) {
            return false;
        }
        forms(nevra).iter().any(|form| self.matches_text(form))
    }

    /// The names that a package can have that this names: for looking up in an index. Only for what is
    /// not a pattern.
    pub fn names(&self) -> BTreeSet<&str> {
        let text = self.text.as_str();
        // An epoch may stand in front.
        let text = match text.split_once(':') {
            Some((epoch, rest)) if epoch.bytes().all(|b| b.is_ascii_digit()) => rest,
            _ => text,
        };
        let mut names = BTreeSet::from([self.text.as_str(), text]);
        if let Some((name, _)) = text.rsplit_once('.') {
            names.insert(name);
        }
        if let Some((rest, _)) = text.rsplit_once('-') {
            names.insert(rest);
            if let Some((name, _)) = rest.rsplit_once('-') {
                names.insert(name);
            }
        }
        names.remove("");
        names
    }
}

/// Whether a text has characters of patterns in it.
pub fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// All texts that name a package, its bare name left out.
fn forms(nevra: &Nevra) -> Vec<String> {
    let Nevra { name, evr, arch } = nevra;
    let (v, vr) = (&evr.version, evr.version_release());
    let epoch = evr.epoch.unwrap_or(0);
    vec![
        format!("{name}.{arch}"),
        format!("{name}-{v}"),
        format!("{name}-{vr}"),
        format!("{name}-{vr}.{arch}"),
        format!("{name}-{epoch}:{v}"),
        format!("{name}-{epoch}:{vr}"),
        format!("{name}-{epoch}:{vr}.{arch}"),
        format!("{epoch}:{name}-{vr}"),
        format!("{epoch}:{name}-{vr}.{arch}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazuli_rpm::Evr;
    use proptest::prelude::*;

    fn nevra(epoch: Option<u32>) -> Nevra {
        let evr = Evr::new(epoch, "5.2.37", "1");
        Nevra { name: "gcc-c++".into(), evr, arch: "x86_64".into() }
    }

    #[test]
    fn a_package_has_many_names() {
        for text in [
            "gcc-c++",
            "gcc-c++.x86_64",
            "gcc-c++-5.2.37",
            "gcc-c++-5.2.37-1",
            "gcc-c++-5.2.37-1.x86_64",
            "gcc-c++-0:5.2.37-1.x86_64",
            "0:gcc-c++-5.2.37-1.x86_64",
            "gcc*",
            "g?c-c++",
            "*-5.2.37-1",
            "gcc-c++*.x86_64",
        ] {
            assert!(Pattern::new(text).matches(&nevra(None)), "{text}");
        }
        for text in ["gcc", "gcc-c++.noarch", "gcc-c++-5.2", "1:gcc-c++-5.2.37-1", "*.noarch", ""] {
            assert!(!Pattern::new(text).matches(&nevra(None)), "{text}");
        }
        assert!(Pattern::new("gcc-c++-2:5.2.37-1").matches(&nevra(Some(2))));
    }

    #[test]
    fn words_are_told_apart() {
        let kind = |text| match Spec::parse(text) {
            Spec::File(_) => "file".to_owned(),
            Spec::Path(_) => "path".to_owned(),
            Spec::Dependency(text) => text,
            Spec::Package(_) => "package".to_owned(),
        };
        assert_eq!(kind("/usr/bin/awk"), "path");
        assert_eq!(kind("*/awk"), "path");
        assert_eq!(kind("./a-1-1.noarch.rpm"), "file");
        assert_eq!(kind("https://example.org/a.rpm"), "file");
        assert_eq!(kind("libc.so.6(GLIBC_2.34)(64bit)"), "libc.so.6(GLIBC_2.34)(64bit)");
        assert_eq!(kind("a>=1.2"), "a >= 1.2");
        assert_eq!(kind("a = 1"), "a = 1");
        assert_eq!(kind("bash"), "package");
    }

    proptest! {
        /// A look-up by name finds whatever the text names.
        #[test]
        fn names_are_complete(
            name in "[a-z]{1,4}(-[a-z0-9]{1,3}){0,2}", version in "[0-9.]{1,4}", release in "[0-9a-z.]{1,4}",
            epoch in proptest::option::of(0_u32..3), form in 0_usize..10,
        ) {
            let nevra = Nevra { name, evr: Evr::new(epoch, version, release), arch: "noarch".into() };
            let text = forms(&nevra).get(form).cloned().unwrap_or_else(|| nevra.name.clone());
            let pattern = Pattern::new(&text);
            prop_assert!(pattern.matches(&nevra));
            let names = pattern.names();
            // The version may itself have a dash-less dot: one cut more is made for the architecture.
            let cut: Vec<&str> = names.iter().filter_map(|n| n.rsplit_once('.').map(|c| c.0)).collect();
            prop_assert!(names.contains(nevra.name.as_str()) || cut.contains(&nevra.name.as_str()));
        }
    }
}
