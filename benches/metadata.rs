//! How fast metadata is generated, beside createrepo_c on the same packages in the same run, and whether both
//! say the same.
//!
//!     cargo bench -p lazuli --bench metadata [-- COUNT [DIR]]
//!
//! Packages of at most a megabyte from DIR, by default those of the image `core`, are copied, each copy with a
//! release of its own, until there are COUNT (5,000). Both programs write primary, filelists and other,
//! compressed with zstd; ours also signs and flushes. In the first of our two lines every byte of every package
//! is read for its SHA-256, as createrepo_c does; in the second the digests are known, as they are to
//! `lazuli repo`, which has the packages in a store that is addressed by them. The page cache is warm for all;
//! they take turns, and the median of each counts. Then both sets of metadata are read and compared, value by
//! value, and a difference in what a package manager looks at is a failure.

#[path = "../tests/support/user.rs"]
mod user;

use lazuli_fs as fs;
use lazuli_repo::{
    Options, Package, Verified, describe_directory, describe_files, parse_packages, write_repository,
};
use lazuli_rpm::{Dependency, PackageFile, Signer, tag};
use lazuli_sandbox::{Access, Sandbox};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Larger packages would measure SHA-256 and nothing else.
const MAX_SIZE: u64 = 1 << 20;
const ROUNDS: usize = 5;
/// createrepo_c writes so many entries of a changelog.
const CHANGES: usize = 10;

/// Writes metadata.
type Generator<'a> = dyn Fn() -> Result<(), Box<dyn Error>> + 'a;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let count = args.first().map_or(Ok(5000), |count| count.parse())?;
    let work = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let from = if let Some(dir) = args.get(1) {
        PathBuf::from(dir)
    } else {
        let dir = work.path().join("core");
        user::lazuli(&["repo", "build", "core", "--to", dir.to_str().ok_or("a path without text")?]);
        dir
    };
    let root = user::lazuli(&["tool-root", "check"]);
    let packages = work.path().join("packages");
    let bytes = copies(&from, &packages, count)?;

    let threads = std::thread::available_parallelism()?.to_string();
    let sandbox = Sandbox::new(root.trim()).bind(&packages, "/mnt", Access::ReadWrite);
    let createrepo = || {
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
    };
    let signer = Signer::from_armored(&Signer::generate("Bench <bench@example.org>", 1_700_000_000)?.secret)?;
    let options = Options { revision: 1_795_000_000, ..Options::default() };
    let hashed = || {
        write_repository(&packages, &describe_directory(&packages)?, &options, &signer)?;
        Ok(())
    };
    let known: Vec<_> = describe_directory(&packages)?
        .into_iter()
        .map(|package| (packages.join(package.location.as_str()), package.location, Some(package.checksum)))
        .collect();
    let stored = || {
        write_repository(&packages, &describe_files(&known)?, &options, &signer)?;
        Ok(())
    };
    let runs: [(&str, &Generator<'_>); 3] = [
        ("createrepo_c", &createrepo),
        ("lazuli", &hashed),
        ("lazuli, SHA-256 known from the store", &stored),
    ];
    let (mut times, mut sizes) = ([const { Vec::new() }; 3], [0; 3]);
    let mut read = Vec::new();
    for round in 0..ROUNDS {
        for (place, (_, run)) in runs.iter().enumerate() {
            fs::remove_dir_all(packages.join("repodata"))?;
            let started = Instant::now();
            run()?;
            times[place].push(started.elapsed().as_secs_f64());
            sizes[place] = size_of(&packages.join("repodata"))?;
            if round == 0 {
                read.push(content(&packages)?);
            }
        }
    }
    println!("{count} packages, {} MiB, {threads} threads\n", bytes >> 20);
    println!("| program | seconds | times as fast | KiB of metadata |\n|---|---|---|---|");
    let medians = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    for (((what, _), median), size) in runs.iter().zip(medians).zip(sizes) {
        println!("| {what} | {median:.2} | {:.2} | {} |", medians[0] / median, size >> 10);
    }
    println!();
    let [theirs, ours, again] = read.as_slice() else { return Err("a run is missing".into()) };
    compare(theirs, ours)?;
    compare(theirs, again)?;
    println!(
        "the same {} packages in both: identity, size, checksum, location, texts, {} relations, {} files, \
         {} entries of changelogs",
        ours.len(),
        ours.iter().flat_map(lists).map(|(_, list)| list.len()).sum::<usize>(),
        ours.iter().map(|p| p.files.len()).sum::<usize>(),
        ours.iter().map(|p| p.changelog.len()).sum::<usize>(),
    );
    Ok(())
}

fn lists(package: &Package) -> [(&'static str, &Vec<Dependency>); 8] {
    [
        ("provides", &package.provides),
        ("requires", &package.requires),
        ("conflicts", &package.conflicts),
        ("obsoletes", &package.obsoletes),
        ("recommends", &package.recommends),
        ("suggests", &package.suggests),
        ("supplements", &package.supplements),
        ("enhances", &package.enhances),
    ]
}

/// What a package requires, less what changes nothing: createrepo_c leaves out what the package itself provides, and
/// of the versions of the C library's interface all but the highest, which has the others.
fn needed(package: &Package) -> Vec<Dependency> {
    const LIBC: &str = "libc.so.6(GLIBC_";
    let version = |dependency: &Dependency| -> Option<Vec<u32>> {
        let version = dependency.name.strip_prefix(LIBC)?.split(')').next()?;
        version.split('.').map(|number| number.parse().ok()).collect()
    };
    let highest = package.requires.iter().filter_map(version).max();
    let itself = |wanted: &Dependency| {
        package.files.iter().any(|file| file.path == wanted.name)
            || package.provides.iter().any(|p| p == wanted || wanted.evr.is_empty() && p.name == wanted.name)
    };
    let implied = |wanted: &Dependency| {
        highest.is_some()
            && (version(wanted).is_some_and(|v| Some(v) < highest) || wanted.name.starts_with("libc.so.6()"))
    };
    package.requires.iter().filter(|wanted| !itself(wanted) && !implied(wanted)).cloned().collect()
}

/// What the metadata of a directory says, in an order that does not depend on who wrote it.
fn content(dir: &Path) -> Result<Vec<Package>, Box<dyn Error>> {
    let verified = Verified::unsigned(&fs::read(dir.join("repodata/repomd.xml"))?)?;
    let part = |kind: &'static str| -> Result<Vec<u8>, Box<dyn Error>> {
        let location = verified.repomd().part(kind)?.location.to_string();
        Ok(verified.open(kind, &fs::read(dir.join(location))?)?)
    };
    let (primary, filelists, other) = (part("primary")?, part("filelists")?, part("other")?);
    let mut packages = parse_packages(&primary, Some(&filelists), Some(&other))?;
    packages.sort_by(|a, b| a.location.as_str().cmp(b.location.as_str()));
    for package in &mut packages {
        for list in [
            &mut package.provides,
            &mut package.requires,
            &mut package.conflicts,
            &mut package.obsoletes,
            &mut package.recommends,
            &mut package.suggests,
            &mut package.supplements,
            &mut package.enhances,
        ] {
            list.sort();
            list.dedup();
        }
        package.files.sort();
        // The newest ones; their order is that of their times.
        package.changelog.sort_by(|a, b| (b.date, &b.text, &b.author).cmp(&(a.date, &a.text, &a.author)));
        package.changelog.truncate(CHANGES);
    }
    Ok(packages)
}

/// Fails with the first differences, of each kind one.
fn compare(theirs: &[Package], ours: &[Package]) -> Result<(), Box<dyn Error>> {
    if theirs.len() != ours.len() {
        return Err(format!("createrepo_c describes {} packages, lazuli {}", theirs.len(), ours.len()).into());
    }
    let mut different: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    for (a, b) in theirs.iter().zip(ours) {
        let mut differs = |what: &'static str, one: String, other: String| {
            if one != other {
                let text = || format!("{}: createrepo_c `{one}`, lazuli `{other}`", a.location);
                different.entry(what).or_insert_with(|| (0, text())).0 += 1;
            }
        };
        differs("location", a.location.to_string(), b.location.to_string());
        differs("identity", a.nevra.to_string(), b.nevra.to_string());
        differs("checksum", a.checksum.to_string(), b.checksum.to_string());
        let sizes = |p: &Package| format!("{} {} {:?}", p.package_size, p.installed_size, p.header_range);
        differs("sizes", sizes(a), sizes(b));
        differs("build time", a.build_time.to_string(), b.build_time.to_string());
        let texts = |p: &Package| {
            let texts = [&p.summary, &p.description, &p.url, &p.license, &p.vendor, &p.source_rpm];
            // At the ends of lines and texts spaces mean nothing in XML that people read.
            texts.map(|text| text.trim().to_owned()).join("|")
        };
        differs("texts", texts(a), texts(b));
        for ((what, one), (_, other)) in lists(a).into_iter().zip(lists(b)) {
            let missing = |from: &Vec<Dependency>, of: &Vec<Dependency>| {
                of.iter()
                    .filter(|d| !from.contains(d))
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            if what == "requires" {
                let (one, other) = (needed(a), needed(b));
                differs(what, missing(&other, &one), missing(&one, &other));
            } else {
                differs(what, missing(other, one), missing(one, other));
            }
        }
        differs("files", format!("{:?}", a.files), format!("{:?}", b.files));
        differs("changelog", format!("{:?}", a.changelog), format!("{:?}", b.changelog));
    }
    if different.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = different
        .into_iter()
        .map(|(what, (count, first))| {
            let first: String = first.chars().take(600).collect();
            format!("{what} of {count} packages, for example {first}")
        })
        .collect();
    Err(lines.join("\n").into())
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
