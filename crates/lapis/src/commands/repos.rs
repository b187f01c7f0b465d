//! `repolist`, `repoinfo`, `makecache`, `clean`.

use crate::cli::{CleanArgs, CleanWhat, Name, RepolistArgs};
use crate::error::Result;
use crate::output::{Align, Style, Table, size, time};
use crate::run::Outcome;
use crate::session::Session;
use crate::spec::Pattern;
use lazuli_fs as fs;
use lazuli_repo::config::{Expire, RepoConfig};
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The repositories that the words and options choose.
fn chosen<'s>(session: &'s Session<'_>, args: &RepolistArgs) -> (Vec<&'s RepoConfig>, bool) {
    let mut words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    let scope = match words.first() {
        Some(&("all" | "enabled" | "disabled")) => words.remove(0),
        _ if args.all => "all",
        _ if args.disabled => "disabled",
        _ if args.enabled => "enabled",
        // Who names a repository wants to see it.
        _ if !words.is_empty() => "all",
        _ => "enabled",
    };
    let patterns: Vec<Pattern> = words.iter().map(|w| Pattern::new(w)).collect();
    let named = |r: &RepoConfig| {
        patterns.is_empty() || patterns.iter().any(|p| p.matches_text(&r.id) || p.matches_text(&r.name))
    };
    let fits = |r: &RepoConfig| scope == "all" || (scope == "enabled") == r.enabled;
    let mut list: Vec<&RepoConfig> =
        session.settings.repositories.iter().filter(|r| named(r) && fits(r)).collect();
    list.sort_by(|a, b| a.id.cmp(&b.id));
    (list, scope == "all")
}

/// Runs `repolist`.
pub fn repolist(session: &Session<'_>, args: &RepolistArgs) -> Outcome {
    let out = session.out;
    let (list, all) = chosen(session, args);
    if out.json {
        let values: Vec<Value> =
            list.iter().map(|r| json!({ "Repo": r.id, "RepoName": r.name, "Enabled": r.enabled })).collect();
        out.json(&values);
        return Outcome::Done;
    }
    if list.is_empty() {
        out.info("No repositories available");
        return Outcome::Done;
    }
    let status = all || session.name == Name::Tdnf;
    let mut table = Table::new(&[Align::Left, Align::Left, Align::Left]);
    let head = ["repo id", "repo name", if status { "status" } else { "" }];
    table.row(head.map(|text| if text.is_empty() { String::new() } else { out.styled(Style::Bold, text) }));
    for r in list {
        let word = match (status, r.enabled) {
            (false, _) => String::new(),
            (_, true) => out.styled(Style::Good, "enabled"),
            (_, false) => out.styled(Style::Dim, "disabled"),
        };
        table.row([r.id.clone(), r.name.clone(), word]);
    }
    out.table(&table);
    Outcome::Done
}

/// Runs `repoinfo`.
pub fn repoinfo(session: &Session<'_>, args: &RepolistArgs) -> Result<Outcome> {
    let out = session.out;
    let (list, _) = chosen(session, args);
    let repositories = session.repositories(true)?;
    let mut values = Vec::new();
    for r in list {
        let open = repositories.iter().find(|remote| remote.id() == r.id);
        let status = open.map(super::super::repositories::Remote::status);
        let packages = open.map(|remote| remote.universe().count());
        let expire = match r.metadata_expire {
            Expire::Never => "never".to_owned(),
            Expire::After(duration) => format!("{} s", duration.as_secs()),
        };
        let lacks: Vec<&str> = r.lacks.iter().map(|l| l.word()).collect();
        if out.json {
            values.push(json!({
                "Repo": r.id, "RepoName": r.name, "Enabled": r.enabled, "BaseUrls": r.base_urls,
                "Mirrorlist": r.mirrorlist, "Metalink": r.metalink, "GpgKeys": r.gpg_keys,
                "Lacks": lacks, "Priority": r.priority, "Cost": r.cost,
                "Revision": status.as_ref().map(|s| &s.revision),
                "Expires": status.as_ref().and_then(|s| s.expires), "Packages": packages,
            }));
            continue;
        }
        let line = |key: &str, value: &str| {
            if !value.is_empty() {
                out.line(format!("{key:20}: {value}"));
            }
        };
        line("Repo-id", &r.id);
        line("Repo-name", &r.name);
        line("Repo-status", if r.enabled { "enabled" } else { "disabled" });
        if let (Some(status), Some(packages)) = (&status, packages) {
            line("Repo-revision", &status.revision);
            line(
                "Repo-expires",
                &status.expires.map(|t| format!("{} UTC", time::minute(t))).unwrap_or_default(),
            );
            line(
                "Repo-updated",
                &status.checked.map(|t| format!("{} UTC", time::minute(t))).unwrap_or_default(),
            );
            line("Repo-pkgs", &packages.to_string());
            line("Repo-size", &size::human(status.metadata_size));
        }
        line("Repo-baseurl", &r.base_urls.join(", "));
        line("Repo-mirrors", r.mirrorlist.as_deref().unwrap_or_default());
        line("Repo-metalink", r.metalink.as_deref().unwrap_or_default());
        line("Repo-expire", &expire);
        line("Repo-keys", &r.gpg_keys.join(", "));
        line("Repo-filename", &r.place.to_string());
        for lack in &r.lacks {
            let text = format!("{} ({})", lack.word(), lack.consequence());
            line("Repo-lacks", &out.styled(Style::Warn, text));
        }
        out.line("");
    }
    if out.json {
        out.json(&values);
    }
    Ok(Outcome::Done)
}

/// Runs `makecache`.
pub fn makecache(session: &Session<'_>, timer: bool) -> Result<Outcome> {
    use crate::repositories::{Freshness, Repos};
    let freshness = match session.freshness() {
        Freshness::Cached => Freshness::Cached,
        _ if timer => Freshness::Normal,
        _ => Freshness::Now,
    };
    let repositories = Repos::open(session, freshness)?;
    for remote in repositories.iter() {
        let status = remote.status();
        session.out.detail(format!(
            "{}: revision {}, {} packages",
            remote.id(),
            status.revision,
            remote.universe().count()
        ));
    }
    session.out.info("Metadata cache created.");
    Ok(Outcome::Done)
}

/// Runs `clean`. What was seen of repositories (the highest version of each) is state, not cache: it
/// stays, because it protects from old metadata.
pub fn clean(session: &Session<'_>, args: &CleanArgs) -> Result<Outcome> {
    let all = args.what.is_empty() || args.what.contains(&CleanWhat::All);
    let has = |what| all || args.what.contains(&what);
    let (mut files, mut bytes) = (0, 0);
    let mut remove = |path: &Path| -> Result<()> {
        let (count, size) = measure(path);
        if fs::symlink_metadata(path).is_ok_and(|m| m.is_dir()) {
            fs::remove_dir_all(path)?;
        } else {
            fs::remove_file(path)?;
        }
        files += count;
        bytes += size;
        Ok(())
    };
    let cache = &session.settings.cache;
    for folder in if cache.is_dir() { fs::read_dir(cache)? } else { Vec::new() } {
        if all {
            remove(&folder)?;
        } else if folder.file_name().is_some_and(|name| name == "store") {
            // Packages and metadata, by their digests.
            for file in files_below(&folder)? {
                if has(if is_package(&file) { CleanWhat::Packages } else { CleanWhat::Metadata }) {
                    remove(&file)?;
                }
            }
        } else if has(CleanWhat::Metadata) {
            remove(&folder)?;
        } else if has(CleanWhat::Dbcache) || has(CleanWhat::ExpireCache) {
            for file in files_below(&folder)? {
                let index = file.extension().is_some_and(|e| e == "index" || e == "files");
                // Without its origin nobody knows how old metadata is: it is asked for anew.
                let origin = file.file_name().is_some_and(|name| name == "origin.json");
                if index && has(CleanWhat::Dbcache) || origin && has(CleanWhat::ExpireCache) {
                    remove(&file)?;
                }
            }
        }
    }
    if session.out.json {
        session.out.json(&json!({ "Files": files, "Bytes": bytes }));
    } else if session.name == Name::Tdnf {
        session.out.line("Done.");
    } else {
        session.out.info(format!("{files} files removed ({})", size::human(bytes)));
    }
    Ok(Outcome::Done)
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        if fs::symlink_metadata(&entry)?.is_dir() {
            files.extend(files_below(&entry)?);
        } else {
            files.push(entry);
        }
    }
    Ok(files)
}

/// Whether a file starts as RPM packages do.
fn is_package(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read = fs::open(path).map(|mut file| file.read_exact(&mut magic));
    matches!(read, Ok(Ok(()))) && magic == [0xed, 0xab, 0xee, 0xdb]
}

/// How many files there are below a path, and their size in bytes.
fn measure(path: &Path) -> (usize, u64) {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => {
            let entries = fs::read_dir(path).unwrap_or_default();
            entries.iter().map(|e| measure(e)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
        }
        Ok(meta) => (1, meta.len()),
        Err(_) => (0, 0),
    }
}
