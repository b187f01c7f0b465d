//! Leaving out documentation and locales.

use lazuli_tree::{Tree, TreePath};

/// What stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trim {
    /// Manual pages, info files and other documentation. Licence texts always stay.
    pub documentation: bool,
    /// Locales whose translations stay, for example `de` (which covers `de_AT`).
    pub locales: Vec<String>,
}

const DOCUMENTATION: [&str; 6] = [
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/doc-base",
    "usr/share/gtk-doc",
    "usr/share/help",
];
const TRANSLATIONS: [&str; 2] = ["usr/share/locale", "usr/share/man"];

/// Whether a path stays. Licence texts under `/usr/share/licenses` are not documentation in this sense,
/// and a `copyright` file below `/usr/share/doc` stays too: it is the licence.
fn stays(path: &TreePath, keep: &Trim) -> bool {
    let below = |dir: &str| path.as_str().strip_prefix(dir).and_then(|rest| rest.strip_prefix('/'));
    if !keep.documentation
        && DOCUMENTATION.iter().any(|dir| below(dir).is_some())
        && path.file_name() != "copyright"
    {
        return false;
    }
    for dir in TRANSLATIONS {
        if let Some(locale) = below(dir).and_then(|rest| rest.split('/').next()) {
            // Sections of the manual (man1) and lists of names (locale.alias) are not translations.
            let plain = locale.starts_with("man") || locale.contains("alias");
            let wanted = |l: &String| {
                locale == l || locale.starts_with(&format!("{l}_")) || locale.starts_with(&format!("{l}@"))
            };
            if !plain && !keep.locales.iter().any(wanted) {
                return false;
            }
        }
    }
    true
}

/// Takes out what does not stay, and directories that have nothing in them then.
pub fn trim(tree: &mut Tree, keep: &Trim) {
    tree.retain(|path, node| {
        // Directories go below, when it is known what is left in them.
        node.is_directory() || stays(path, keep)
    });
    let mut filled = std::collections::BTreeSet::new();
    for (path, node) in tree.iter() {
        if !node.is_directory() {
            let mut parent = path.parent();
            while let Some(dir) = parent {
                parent = dir.parent();
                if !filled.insert(dir) {
                    break;
                }
            }
        }
    }
    tree.retain(|path, node| !node.is_directory() || stays(path, keep) || filled.contains(path));
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazuli_store::Digest;
    use lazuli_tree::Node;

    fn trimmed(paths: &[&str], keep: &Trim) -> Vec<String> {
        let mut tree: Tree =
            paths.iter().map(|p| (TreePath::new(p).unwrap(), Node::file(Digest::of(b""), 0))).collect();
        tree.ensure_parents();
        trim(&mut tree, keep);
        tree.iter().filter(|(_, n)| !n.is_directory()).map(|(p, _)| p.as_str().to_owned()).collect()
    }

    #[test]
    fn licences_stay_and_documentation_goes() {
        let paths = [
            "usr/share/doc/bash/README",
            "usr/share/doc/bash/copyright",
            "usr/share/licenses/bash/copyright",
            "usr/share/locale/de/LC_MESSAGES/bash.mo",
            "usr/share/locale/fr/LC_MESSAGES/bash.mo",
            "usr/share/man/man1/bash.1",
        ];
        let nothing = Trim::default();
        assert_eq!(
            trimmed(&paths, &nothing),
            ["usr/share/doc/bash/copyright", "usr/share/licenses/bash/copyright"]
        );
        let german = Trim { documentation: true, locales: vec!["de".into()] };
        assert_eq!(trimmed(&paths, &german).len(), 5);
    }

    #[test]
    fn an_empty_directory_elsewhere_stays() {
        let mut tree: Tree = [(TreePath::new("var/lib/x").unwrap(), Node::directory())].into_iter().collect();
        tree.insert(TreePath::new("usr/share/doc/x").unwrap(), Node::directory());
        trim(&mut tree, &Trim::default());
        assert_eq!(tree.len(), 1);
    }
}
