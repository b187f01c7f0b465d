//! `rpmlib(...)` requirements: features of the package format that an installer must know.
//!
//! Repodata leaves them out, so they are seen only on packages described from their RPM files.

use crate::version::Range;
use lazuli_rpm::{Dependency, DependencyFlags};

/// What this toolkit implements when it unpacks packages and runs their scriptlets, with the version of RPM
/// that introduced it.
const KNOWN: &[(&str, &str)] = &[
    ("CaretInVersions", "4.15.0-1"),
    ("CompressedFileNames", "3.0.4-1"),
    ("DynamicBuildRequires", "4.15.0-1"),
    ("ExplicitPackageProvide", "4.0-1"),
    ("FileCaps", "4.6.1-1"),
    ("FileDigests", "4.6.0-1"),
    ("HeaderLoadSortsTags", "4.0.1-1"),
    ("LargeFiles", "4.12.0-1"),
    ("PartialHardlinkSets", "4.0.4-1"),
    ("PayloadFilesHavePrefix", "4.0-1"),
    ("PayloadIsXz", "5.2-1"),
    ("PayloadIsZstd", "5.4.18-1"),
    ("RichDependencies", "4.12.0-1"),
    ("ScriptletInterpreterArgs", "4.0.3-1"),
    ("TildeInVersions", "4.10.0-1"),
    ("VersionedDependencies", "3.0.3-1"),
];

/// Whether the requirement is on a feature rather than on a package.
pub(crate) fn is_feature(dependency: &Dependency) -> bool {
    dependency.name.starts_with("rpmlib(") && dependency.name.ends_with(')')
}

/// Whether a required feature is implemented.
pub fn is_supported(dependency: &Dependency) -> bool {
    let feature = dependency.name.strip_prefix("rpmlib(").and_then(|name| name.strip_suffix(')'));
    feature.and_then(|feature| KNOWN.iter().find(|(name, _)| *name == feature)).is_some_and(
        |(name, version)| {
            let provided = Dependency {
                name: format!("rpmlib({name})"),
                flags: DependencyFlags::EQUAL,
                evr: (*version).to_owned(),
            };
            Range::of(dependency).overlaps(&Range::of(&provided))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_unknown_and_newer_features() {
        for (text, supported) in [
            ("rpmlib(PayloadIsZstd) <= 5.4.18-1", true),
            ("rpmlib(PayloadIsZstd) > 9", false),
            ("rpmlib(BuiltinLuaScripts) <= 4.2.2-1", false),
        ] {
            let dependency = Dependency::parse(text).expect("parses");
            assert!(is_feature(&dependency));
            assert_eq!(is_supported(&dependency), supported, "{text}");
        }
    }
}
