//! How fast metadata is generated, beside createrepo_c on the same packages in the same run.
//!
//! ```text
//! cargo run --release -p lazuli-repo --example metadata_speed -- DIR "$(lazuli tool-root check)" [COUNT]
//! ```
//!
//! DIR has packages, for example those that `lazuli repo build` wrote. Packages of at most a megabyte are
//! copied, each copy with a release of its own, until there are COUNT (5,000). Both programs write primary,
//! filelists and other, compressed with zstd; ours also signs and flushes. In the first of our two lines every
//! byte of every package is read for its SHA-256, as createrepo_c does; in the second the digests are known, as
//! they are to `lazuli repo`, which has the packages in a store that is addressed by them. The page cache is
//! warm for all; each runs three times and the best time counts.

use lazuli_fs as fs;
use lazuli_repo::{Options, describe_directory, describe_files, write_repository};
use lazuli_rpm::{PackageFile, Signer, tag};
use lazuli_sandbox::{Access, Sandbox};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Larger packages would measure SHA-256 and nothing else.
const MAX_SIZE: u64 = 1 << 20;
const ROUNDS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [from, root, rest @ ..] = args.as_slice() else {
        return Err("usage: metadata_speed DIR TOOL-ROOT [COUNT]".into());
    };
    let count = rest.first().map_or(Ok(5000), |count| count.parse())?;
    let work = tempfile::tempdir()?;
    let packages = work.path().join("packages");
    let bytes = copies(Path::new(from), &packages, count)?;
    println!("{count} packages, {} MiB", bytes >> 20);

    let threads = std::thread::available_parallelism()?.to_string();
    let sandbox = Sandbox::new(root).bind(&packages, "/mnt", Access::ReadWrite);
    let theirs = best(|| {
        let command = sandbox.command("/usr/bin/createrepo_c").args([
            "--quiet",
            "--no-database",
            "--general-compress-type=zstd",
            "--compress-type=zstd",
            "--workers",
            &threads,
            "/mnt",
        ]);
        command.run(|_| ())?;
        Ok(())
    })?;
    let size = size_of(&packages.join("repodata"))?;
    println!("{:30} {:6.2} s   {:6} KiB of metadata", "createrepo_c", theirs.as_secs_f64(), size >> 10);
    fs::remove_dir_all(packages.join("repodata"))?;

    let signer = Signer::from_armored(&Signer::generate("Bench <bench@example.org>", 1_700_000_000)?.secret)?;
    let options = Options { revision: 1_795_000_000, ..Options::default() };
    let hashed = best(|| {
        let described = describe_directory(&packages)?;
        assert_eq!(described.len(), count);
        write_repository(&packages, &described, &options, &signer)?;
        Ok(())
    })?;
    let size = size_of(&packages.join("repodata"))?;
    let known: Vec<_> = describe_directory(&packages)?
        .into_iter()
        .map(|package| (packages.join(package.location.as_str()), package.location, Some(package.checksum)))
        .collect();
    let stored = best(|| {
        write_repository(&packages, &describe_files(&known)?, &options, &signer)?;
        Ok(())
    })?;
    for (what, time) in [("lazuli", hashed), ("  SHA-256 known from the store", stored)] {
        let ratio = theirs.as_secs_f64() / time.as_secs_f64();
        println!(
            "{what:30} {:6.2} s   {:6} KiB of metadata   ratio {ratio:.2}",
            time.as_secs_f64(),
            size >> 10
        );
    }
    Ok(())
}

fn best(mut run: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<Duration, Box<dyn Error>> {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        run()?;
        best = best.min(started.elapsed());
    }
    Ok(best)
}

fn size_of(dir: &Path) -> Result<u64, Box<dyn Error>> {
    Ok(fs::read_dir(dir)?.iter().filter_map(|file| fs::metadata(file).ok()).map(|m| m.len()).sum())
}

fn rpms(dir: &Path, found: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for path in fs::read_dir(dir)? {
        if path.is_dir() {
            rpms(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "rpm") && fs::metadata(&path)?.len() <= MAX_SIZE {
            found.push(path);
        }
    }
    Ok(())
}

/// Fills `to`; returns the number of bytes.
fn copies(from: &Path, to: &Path, count: usize) -> Result<u64, Box<dyn Error>> {
    fs::create_dir_all(to)?;
    let mut originals = Vec::new();
    rpms(from, &mut originals)?;
    originals.sort();
    if originals.is_empty() {
        return Err("no packages of at most a megabyte there".into());
    }
    let mut total = 0;
    for number in 0..count {
        let path = &originals[number % originals.len()];
        let mut bytes = fs::read(path)?;
        // The first character of the release becomes the number of the copy. Digests and signature no longer
        // hold; neither program looks at them.
        let package = PackageFile::parse(&bytes)?;
        let header = &package.header;
        let entry = header.entry(tag::RELEASE).ok_or("a package without release")?;
        let data = header.data(entry).as_ptr() as usize - header.bytes().as_ptr() as usize;
        let place = package.header_offset + data;
        let copy = number / originals.len();
        bytes[place] = *b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
            .get(copy)
            .ok_or("too few packages")?;
        total += bytes.len() as u64;
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("package");
        fs::write(to.join(format!("{stem}.{copy}.rpm")), bytes)?;
    }
    Ok(total)
}
