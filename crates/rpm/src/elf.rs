//! Dependencies of ELF files in RPM's own form: `libc.so.6()(64bit)`, `libc.so.6(GLIBC_2.34)(64bit)`.

use crate::Dependency;
use object::elf;
use object::read::elf::{Dyn as _, FileHeader};
use object::{Endianness, FileKind};
use std::collections::BTreeSet;

/// What an ELF file offers and needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ElfDependencies {
    /// For a shared object its soname, and each version that it defines.
    pub provides: BTreeSet<Dependency>,
    /// Each needed soname, and each version needed of it.
    pub requires: BTreeSet<Dependency>,
}

/// Whether bytes start like an ELF file.
pub fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

/// Reads an executable or shared object. RPM's own generator looks only at files with an executable
/// bit; Debian ships libraries without it, so callers decide by place and name. `None` if the bytes
/// are not an ELF file that can have dependencies, or are damaged.
pub fn dependencies(bytes: &[u8]) -> Option<ElfDependencies> {
    match FileKind::parse(bytes).ok()? {
        FileKind::Elf64 => read::<elf::FileHeader64<Endianness>>(bytes, "(64bit)"),
        FileKind::Elf32 => read::<elf::FileHeader32<Endianness>>(bytes, ""),
        _ => None,
    }
}

fn read<F: FileHeader<Endian = Endianness>>(bytes: &[u8], suffix: &str) -> Option<ElfDependencies> {
    let file = F::parse(bytes).ok()?;
    let endian = file.endian().ok()?;
    let kind = file.e_type(endian);
    if kind != elf::ET_EXEC && kind != elf::ET_DYN {
        return None;
    }
    let sections = file.sections(endian, bytes).ok()?;
    let mut found = ElfDependencies::default();
    let marker = if suffix.is_empty() { "" } else { "()(64bit)" };
    let plain = |soname: &str| Dependency::any(format!("{soname}{marker}"));
    let versioned = |soname: &str, version: &str| Dependency::any(format!("{soname}({version}){suffix}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();

    let (mut soname, mut gnu_hash, mut sysv_hash) = (None, false, false);
    if let Ok(Some((dynamic, link))) = sections.dynamic(endian, bytes) {
        let strings = sections.strings(endian, bytes, link).ok()?;
        for entry in dynamic {
            match entry.tag(endian) {
                elf::DT_NEEDED => {
                    let name = text(entry.string(endian, strings).ok()?);
                    found.requires.insert(plain(&name));
                }
                elf::DT_SONAME => soname = Some(text(entry.string(endian, strings).ok()?)),
                elf::DT_GNU_HASH => gnu_hash = true,
                elf::DT_HASH => sysv_hash = true,
                _ => {}
            }
        }
    }
    // A program that has only the GNU hash table needs a loader that reads it.
    if gnu_hash && !sysv_hash {
        found.requires.insert(Dependency::any("rtld(GNU_HASH)"));
    }
    if let Ok(Some((mut needed, link))) = sections.gnu_verneed(endian, bytes) {
        let strings = sections.strings(endian, bytes, link).ok()?;
        while let Ok(Some((need, mut versions))) = needed.next() {
            let library = text(need.file(endian, strings).ok()?);
            while let Ok(Some(version)) = versions.next() {
                let name = text(version.name(endian, strings).ok()?);
                found.requires.insert(versioned(&library, &name));
            }
        }
    }
    if kind == elf::ET_DYN
        && let Some(soname) = soname.filter(|s| !s.is_empty())
    {
        found.provides.insert(plain(&soname));
        if let Ok(Some((mut defined, link))) = sections.gnu_verdef(endian, bytes) {
            let strings = sections.strings(endian, bytes, link).ok()?;
            while let Ok(Some((definition, mut names))) = defined.next() {
                // The base definition is the soname itself.
                if definition.vd_flags.get(endian).contains(elf::VER_FLG_BASE) {
                    continue;
                }
                if let Ok(Some(name)) = names.next() {
                    let name = text(name.name(endian, strings).ok()?);
                    found.provides.insert(versioned(&soname, &name));
                }
            }
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn myself() -> Vec<u8> {
        lazuli_fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    /// This very test is a program that is linked with the C library.
    #[test]
    fn a_program_requires_the_c_library_and_its_versions() {
        let found = dependencies(&myself()).unwrap();
        let names: Vec<&str> = found.requires.iter().map(|d| d.name.as_str()).collect();
        let wide = cfg!(target_pointer_width = "64");
        let (soname, version) = if wide { ("libc.so.6()(64bit)", ")(64bit)") } else { ("libc.so.6", ")") };
        assert!(names.contains(&soname), "{names:?}");
        let versioned = |n: &&&str| n.starts_with("libc.so.6(GLIBC_2.") && n.ends_with(version);
        assert!(names.iter().any(|n| versioned(&n)), "{names:?}");
        assert!(found.provides.is_empty());
        assert_eq!(dependencies(b"#!/bin/sh\n"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn damage_never_panics(changes in prop::collection::vec((0_usize..8192, any::<u8>()), 1..20), end in 0_usize..100_000) {
            let mut bytes = myself();
            bytes.truncate(200_000 - end);
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            let _ = dependencies(&bytes);
        }
    }
}
