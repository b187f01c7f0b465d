//! `download` and `reposync`.

use crate::catalog::Catalog;
use crate::cli::{DownloadArgs, ReposyncArgs};
use crate::error::{Error, Result};
use crate::repositories::{Remote, Repos};
use crate::run::Outcome;
use crate::session::Session;
use crate::spec::Spec;
use lazuli_fs as fs;
use lazuli_rpm::{KeyRing, PackageFile};
use lazuli_solve::{Action, Job, Options, PackageId, Select, Universe as _, solve_transaction};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Runs `download`.
pub fn download(session: &Session<'_>, args: &DownloadArgs) -> Result<Outcome> {
    let repositories = session.repositories(true)?;
    let catalog = session.catalog(&repositories)?;
    let mut ids = Vec::new();
    for word in &args.packages {
        let mut found = catalog.select(&Spec::parse(word))?;
        if args.source {
            found = sources(&catalog, &found);
        } else {
            found.retain(|id| !matches!(catalog.nevra(*id).arch.as_str(), "src" | "nosrc"));
        }
        if !args.only_arch.is_empty() {
            found.retain(|id| args.only_arch.contains(&catalog.nevra(*id).arch));
        }
        if found.is_empty() {
            return Err(Error::NoMatch(vec![word.clone()]));
        }
        // A pattern may ask for one version of several.
        ids.extend(catalog.newest(found));
    }
    let solving = &session.global.solving;
    if (args.resolve || solving.alldeps) && !solving.nodeps {
        ids = with_dependencies(session, &catalog, &ids, solving.alldeps)?;
    }
    ids.sort_unstable();
    ids.dedup();
    if args.url {
        let mut urls = Vec::new();
        for id in &ids {
            let (place, local) = catalog.locate(*id);
            if let Some(repository) = repositories.at(place) {
                urls.push(repository.url(local)?);
            }
        }
        let fits = |url: &String| args.urlprotocol.iter().any(|p| url.split("://").next() == Some(p));
        if let Some(url) = urls.iter().find(|url| !args.urlprotocol.is_empty() && !fits(url)) {
            return Err(Error::Usage(format!("{url} is not what --urlprotocol asks for")));
        }
        if session.out.json {
            session.out.json(&urls);
        } else {
            for url in &urls {
                session.out.line(url);
            }
        }
        return Ok(Outcome::Done);
    }
    let here = || PathBuf::from(".");
    let to = session.global.transaction.downloaddir.clone().unwrap_or_else(here);
    fs::create_dir_all(&to)?;
    let mut written = Vec::new();
    for (path, name) in fetch(&repositories, &catalog, &ids)? {
        let target = to.join(&name);
        if path != target {
            fs::copy(&path, &target)?;
        }
        written.push(name);
    }
    if session.out.json {
        session.out.json(&json!({ "Directory": to, "Files": written }));
    } else {
        for name in &written {
            session.out.info(name);
        }
    }
    Ok(Outcome::Done)
}

/// The source packages of packages.
fn sources(catalog: &Catalog<'_>, packages: &[PackageId]) -> Vec<PackageId> {
    let mut names = BTreeSet::new();
    for id in packages {
        if let Ok(details) = catalog.details(*id, crate::catalog::Detail::Primary) {
            names.insert(details.package.source_rpm);
        }
    }
    let is_source = |id: &PackageId| {
        let n = catalog.nevra(*id);
        n.arch == "src" && (names.contains(&n.file_name()) || packages.contains(id))
    };
    catalog.every().filter(is_source).collect()
}

/// Packages with what they need: beside what is installed, or on an empty system (`--alldeps`).
fn with_dependencies(
    session: &Session<'_>,
    catalog: &Catalog<'_>,
    ids: &[PackageId],
    all: bool,
) -> Result<Vec<PackageId>> {
    let empty = Empty;
    let installed = session.installed()?;
    installed.load()?;
    let system: &dyn lazuli_solve::System = if all { &empty } else { installed };
    let jobs: Vec<Job> = ids.iter().map(|id| Job::Install(Select::Package(*id))).collect();
    let options = Options {
        architecture: session.settings.arch.clone(),
        weak: session.settings.main.install_weak_deps,
        exclude_from_weak: session.settings.main.exclude_from_weak.clone(),
        ..Options::default()
    };
    let plan =
        solve_transaction(catalog, system, &jobs, &options).map_err(|e| Error::Unsolvable(e.to_string()))?;
    let mut wanted: Vec<PackageId> = ids.to_vec();
    for step in &plan.steps {
        if let Action::Install { package }
        | Action::Upgrade { package, .. }
        | Action::Downgrade { package, .. } = step.action
        {
            wanted.push(package);
        }
    }
    Ok(wanted)
}

/// A system without packages.
struct Empty;

impl lazuli_solve::System for Empty {
    fn packages(&self) -> &[lazuli_solve::InstalledPackage] {
        &[]
    }

    fn owners(&self, _path: &str) -> Vec<u32> {
        Vec::new()
    }
}

/// Fetches packages; returns where they are and what they are called.
fn fetch(repositories: &Repos, catalog: &Catalog<'_>, ids: &[PackageId]) -> Result<Vec<(PathBuf, String)>> {
    let mut fetched = Vec::new();
    for (place, repository) in repositories.iter().enumerate() {
        let located = ids.iter().map(|id| catalog.locate(*id));
        let locals: Vec<PackageId> = located.filter(|(at, _)| *at == place).map(|(_, local)| local).collect();
        fetched.extend(repository.fetch(&locals)?.into_iter().map(|one| (one.path, one.name)));
    }
    Ok(fetched)
}

/// Runs `reposync`.
pub fn reposync(session: &Session<'_>, args: &ReposyncArgs) -> Result<Outcome> {
    if args.norepopath && args.delete {
        return Err(Error::Usage(
            "--delete with --norepopath would delete files that may be somebody else's".to_owned(),
        ));
    }
    let repositories = session.repositories(true)?;
    let chosen: Vec<&dyn Remote> = repositories
        .iter()
        .filter(|r| args.ids.is_empty() || args.ids.iter().any(|id| id == r.id()))
        .collect();
    if let Some(missing) = args.ids.iter().find(|id| !chosen.iter().any(|r| r.id() == id.as_str())) {
        return Err(Error::NoSuchRepository(missing.clone()));
    }
    if args.norepopath && chosen.len() > 1 {
        return Err(Error::Usage("--norepopath is for one repository; name it with --repo".to_owned()));
    }
    for repository in chosen {
        sync(session, args, repository)?;
    }
    Ok(Outcome::Done)
}

fn sync(session: &Session<'_>, args: &ReposyncArgs, repository: &dyn Remote) -> Result<()> {
    let base = args.download_path.clone().unwrap_or_else(|| PathBuf::from("."));
    let base = if args.norepopath { base } else { base.join(repository.id()) };
    let catalog = Catalog::new(vec![source(repository)]);
    let mut ids: Vec<PackageId> = catalog.every().collect();
    ids.retain(|id| {
        let arch = catalog.nevra(*id).arch;
        let source = matches!(arch.as_str(), "src" | "nosrc");
        (args.only_arch.is_empty() || args.only_arch.contains(&arch)) && (!args.source || source)
    });
    if args.newest_only {
        ids = catalog.newest(ids);
    }
    if args.urls {
        for id in &ids {
            session.out.line(repository.url(*id)?);
        }
        return Ok(());
    }
    let total: u64 = ids.iter().map(|id| catalog.size(*id).package).sum();
    let bar = session.progress().bytes(&format!("Copying {}", repository.id()), total);
    let keys = args.gpgcheck.then(|| repository.keys());
    let mut wanted = BTreeSet::new();
    let (mut copied, mut bad) = (0_usize, 0_usize);
    // In groups, so that the cache never holds much of it.
    for group in ids.chunks(64) {
        let mut new = Vec::new();
        for id in group {
            let record = repository.record(*id, crate::catalog::Detail::Primary)?;
            let target = base.join(record.location.as_str());
            wanted.insert(target.clone());
            let there = fs::metadata(&target).is_ok_and(|m| m.len() == record.package_size)
                && fs::read(&target).is_ok_and(|b| lazuli_store::Digest::of(&b) == record.checksum);
            if there {
                bar.inc(record.package_size);
            } else {
                new.push((*id, target));
            }
        }
        let locals: Vec<PackageId> = new.iter().map(|(id, _)| *id).collect();
        for ((id, target), one) in new.iter().zip(repository.fetch(&locals)?) {
            bar.inc(catalog.size(*id).package);
            if keys.is_some_and(|keys| !is_signed(&one.path, keys)) {
                session.out.warn(format!(
                    "{} is not signed by a key of {}",
                    target.display(),
                    repository.id()
                ));
                bad += 1;
                continue;
            }
            if let Some(folder) = target.parent() {
                fs::create_dir_all(folder)?;
            }
            let part = target.with_extension("rpm.part");
            fs::copy(&one.path, &part)?;
            fs::rename(&part, target)?;
            copied += 1;
            // The cache need not hold all of a repository too.
            drop(fs::remove_file(&one.path));
        }
    }
    bar.finish_and_clear();
    if args.delete {
        delete_others(session, &base, &wanted)?;
    }
    if args.download_metadata {
        let to = args.metadata_path.as_ref().map_or(base, |path| path.join(repository.id()));
        repository.copy_metadata(&to)?;
    }
    session.out.info(format!("{}: {} packages, {copied} of them new", repository.id(), wanted.len()));
    if bad > 0 {
        return Err(Error::Problems(format!("{bad} packages of {} were left out", repository.id())));
    }
    Ok(())
}

fn source(repository: &dyn Remote) -> &dyn crate::catalog::Source {
    repository
}

fn is_signed(path: &Path, keys: &KeyRing) -> bool {
    fs::read(path).is_ok_and(|bytes| PackageFile::parse(&bytes).is_ok_and(|p| p.verify(keys).is_ok()))
}

/// Deletes packages that the repository no longer has; nothing but `.rpm` files.
fn delete_others(session: &Session<'_>, folder: &Path, wanted: &BTreeSet<PathBuf>) -> Result<()> {
    for path in fs::read_dir(folder)? {
        let meta = fs::symlink_metadata(&path)?;
        if meta.is_dir() {
            delete_others(session, &path, wanted)?;
        } else if path.extension().is_some_and(|e| e == "rpm") && !wanted.contains(&path) {
            fs::remove_file(&path)?;
            session.out.info(format!("deleted {}", path.display()));
        }
    }
    Ok(())
}
