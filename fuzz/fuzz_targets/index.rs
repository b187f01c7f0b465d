//! The index of a repository, which is mapped into memory: a damaged one is made again, or answers less.
#![no_main]

use lazuli_remote::Index;
use lazuli_solve::{List, PackageId, Universe as _};
use lazuli_store::Digest;
use libfuzzer_sys::fuzz_target;
use std::path::PathBuf;
use std::sync::OnceLock;

const TABLE: usize = 64;
const BODY: usize = TABLE + 12 * 16;

fn file() -> &'static PathBuf {
    static FILE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let place = FILE.get_or_init(|| {
        let dir = tempfile::tempdir_in("/dev/shm").expect("a temporary directory");
        let file = dir.path().join("index");
        (dir, file)
    });
    &place.1
}

/// FNV-1a, as the index has it.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// Gives the header what opening asks for, so that what is behind it counts.
fn repair(bytes: &mut [u8], source: &Digest) {
    if bytes.len() < BODY {
        return;
    }
    bytes[..8].copy_from_slice(b"LZLINDEX");
    bytes[8..12].copy_from_slice(&1_u32.to_le_bytes());
    bytes[12..16].copy_from_slice(&12_u32.to_le_bytes());
    bytes[16..48].copy_from_slice(source.as_bytes());
    let length = bytes.len() as u64;
    bytes[48..56].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(&[&bytes[..56], &bytes[TABLE..BODY]].concat());
    bytes[56..64].copy_from_slice(&sum.to_le_bytes());
}

fn ask(index: &Index) {
    let mut names = Vec::new();
    index.each_name(&mut |name| {
        names.push(name.to_owned());
        names.len() < 16
    });
    index.each_provided_name(&mut |name| {
        names.push(name.to_owned());
        names.len() < 32
    });
    let mut paths = 0;
    index.each_path(&mut |path, owners| {
        assert!(owners.iter().all(|owner| owner.0 < index.count()));
        names.push(path.to_owned());
        paths += 1;
        paths < 16
    });
    for name in &names {
        for owner in index
            .named(name)
            .into_iter()
            .chain(index.owners(name))
            .chain(index.obsoleters(name))
            .chain(index.supplementers(name))
            .chain(index.requirers(name))
            .chain(index.providers(name).into_iter().map(|(owner, _)| owner))
        {
            assert!(owner.0 < index.count());
        }
    }
    // And some that are not there.
    for id in (0..index.count().min(8)).chain([index.count(), u32::MAX]).map(PackageId) {
        let _ = (index.nevra(id), index.words(id), index.times(id), index.size(id), index.checksum(id));
        for list in [
            List::Provides,
            List::Requires,
            List::Conflicts,
            List::Obsoletes,
            List::Recommends,
            List::Supplements,
        ] {
            let _ = index.dependencies(id, list);
        }
        let package = index.package(id);
        assert!(package.is_none() || id.0 < index.count());
    }
}

fuzz_target!(|bytes: &[u8]| {
    let source = Digest::of("primary");
    let mut bytes = bytes.to_vec();
    repair(&mut bytes, &source);
    lazuli_fs::write(file(), &bytes).expect("a file");
    if let Some(index) = Index::open(file(), &source).expect("a readable file") {
        ask(&index);
    }
});
