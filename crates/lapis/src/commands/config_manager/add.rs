//! New `.repo` files: from whom they may come, what they may say, whom they trust.

use super::files::{changed, check_line, new_warning, read, write};
use crate::cli::ConfigManagerArgs;
use crate::error::{Error, Result};
use crate::session::Session;
use lazuli_fs as fs;
use lazuli_repo::config::{Config, Lack, Place, RepoConfig, ini};
use std::path::{Path, PathBuf};

/// The largest `.repo` file that is fetched, in bytes.
const MAX_REPO_FILE: u64 = 1 << 20;

/// A `.repo` file that is to be added.
struct New {
    /// Its name.
    name: String,
    /// What it says.
    text: String,
    /// Where it comes from, for messages.
    from: String,
    /// Whether nobody has read it here.
    network: bool,
}

/// Adds `.repo` files, or repositories at addresses.
pub(super) fn add_all(session: &Session<'_>, args: &ConfigManagerArgs, replace: bool) -> Result<()> {
    if args.id.is_some() && args.add_repo.len() > 1 {
        return Err(Error::Usage("--id names one repository; add them one by one".to_owned()));
    }
    let mut added: Vec<(String, PathBuf)> = Vec::new();
    for what in &args.add_repo {
        let new = find(session, args, what)?;
        add(session, &args.set, new, replace, &mut added)?;
    }
    Ok(())
}

/// `addrepo --id=ID --set=baseurl=...` of dnf5.
pub(super) fn add_described(session: &Session<'_>, args: &ConfigManagerArgs) -> Result<()> {
    let Some(id) = &args.id else {
        return Err(Error::Usage(
            "addrepo needs --from-repofile, or --id with --set=baseurl=ADDRESS".to_owned(),
        ));
    };
    let text = described(id, &[])?;
    let new = New { name: format!("{id}.repo"), text, from: id.clone(), network: false };
    add(session, &args.set, new, args.overwrite, &mut Vec::new())
}

fn find(session: &Session<'_>, args: &ConfigManagerArgs, what: &str) -> Result<New> {
    let bare = what.split(['?', '#']).next().unwrap_or_default();
    if Path::new(bare).extension().is_some_and(|e| e == "repo") {
        if args.id.is_some() {
            return Err(Error::Usage(format!(
                "--id: {what} names its repositories itself; change the file, or give their address with \
                 --id=ID --set=baseurl=ADDRESS"
            )));
        }
        let name = Path::new(bare).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (bytes, network) = match what.strip_prefix("file://") {
            Some(path) => (fs::read(path)?, false),
            None if what.contains("://") => (fetch(session, what)?, true),
            None => (fs::read(what)?, false),
        };
        let text = String::from_utf8(bytes)
            .map_err(|_| Error::Config(format!("{what} is not text in UTF-8, so no .repo file")))?;
        return Ok(New { name, text, from: what.to_owned(), network });
    }
    if !what.contains("://") {
        return Err(Error::Usage(format!("`{what}` is neither a .repo file nor an address")));
    }
    let id: String = what
        .split_once("://")
        .map_or(what, |(_, rest)| rest)
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' })
        .collect();
    let id = args.id.clone().unwrap_or_else(|| id.trim_matches(['_', '.']).to_owned());
    let lines = [("name", format!("created by config-manager from {what}")), ("baseurl", what.to_owned())];
    let text = described(&id, &lines)?;
    Ok(New { name: format!("{id}.repo"), text, from: what.to_owned(), network: false })
}

fn described(id: &str, lines: &[(&str, String)]) -> Result<String> {
    if !RepoConfig::is_id(id) {
        return Err(Error::Usage(format!("`{id}` is no id for a repository; name one with --id")));
    }
    let mut text = format!("[{id}]\n");
    for (key, value) in lines {
        check_line(key, value)?;
        text.push_str(&format!("{key}={value}\n"));
    }
    Ok(text)
}

/// Writes a `.repo` file, if it is one and may be, and says whom it trusts.
fn add(
    session: &Session<'_>,
    sets: &[String],
    new: New,
    replace: bool,
    added: &mut Vec<(String, PathBuf)>,
) -> Result<()> {
    let New { name, text, from, network } = new;
    let path = folder(session).join(&name);
    let before = read(session, Path::new(&from), &text)?;
    if before.repositories.is_empty() {
        return Err(Error::Config(format!("{from} describes no repository")));
    }
    refuse_known(session, &before, &from, &path, added)?;
    let mut text = with_sets(sets, &from, text)?;
    let after = read(session, Path::new(&from), &text)?;
    if let Some(notice) = new_warning(Some(&before), &after) {
        return Err(Error::Config(format!("--set: {notice}; nothing was written")));
    }
    if network {
        refuse_trust(sets, &before, &after, &from)?;
    }
    // A repository that cannot be used would stop every later command.
    let mut problems = Vec::new();
    for repository in &after.repositories {
        if let Some(problem) = repository.problem() {
            text = changed(&text, &repository.id, "enabled", "0");
            problems.push((repository.id.as_str(), problem));
        }
    }
    let last = read(session, Path::new(&from), &text)?;
    if let Some(repository) = last.repositories.iter().find(|r| r.enabled && r.problem().is_some()) {
        return Err(Error::Config(format!("{from}: repository {} cannot be used", repository.id)));
    }
    let there = fs::read(&path).ok();
    if there.as_deref().is_some_and(|there| there != text.as_bytes()) && !replace {
        return Err(Error::Config(format!(
            "{} is there already and says something else; --overwrite replaces it",
            path.display()
        )));
    }
    write(session, &path, &text)?;
    for notice in before.notices.iter().filter(|notice| notice.kind.is_warning()) {
        session.out.warn(format!("Warning: {notice}"));
    }
    for repository in &after.repositories {
        let problem = problems.iter().find(|(id, _)| *id == repository.id);
        describe(session, repository, problem.map(|(_, problem)| problem.as_str()), &from);
        added.push((repository.id.clone(), path.clone()));
    }
    Ok(())
}

/// The folder of `.repo` files.
fn folder(session: &Session<'_>) -> PathBuf {
    let folder = session.settings.main.reposdir.first().map_or(Path::new("/etc/yum.repos.d"), |f| f);
    session.root.join(folder.strip_prefix("/").unwrap_or(folder))
}

/// Sections with the id of another file's repository would be added to it, and count more.
fn refuse_known(
    session: &Session<'_>,
    new: &Config,
    from: &str,
    path: &Path,
    added: &[(String, PathBuf)],
) -> Result<()> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    // A root without a configuration is about to get one of its own.
    let own = session.settings.from == session.root;
    let known = session.settings.repositories.iter().filter(|_| own).filter_map(|r| match &r.place {
        Place::File(file, line) => Some((r.id.as_str(), file.as_path(), format!("line {line}"))),
        Place::Options => None,
    });
    let now = added.iter().map(|(id, file)| (id.as_str(), file.as_path(), "just added".to_owned()));
    for (id, file, place) in known.chain(now) {
        if new.repository(id).is_some() && real(file) != real(path) {
            return Err(Error::Config(format!(
                "{from}: repository {id} is there already ({}, {place}), and the new file would change it; \
                 change it with `config-manager setopt {id}.KEY=VALUE`, remove its file first, or give the \
                 new one another id",
                file.display()
            )));
        }
    }
    Ok(())
}

/// What a file from elsewhere gives up counts only if somebody here says the same words.
fn refuse_trust(sets: &[String], before: &Config, after: &Config, from: &str) -> Result<()> {
    let given = sets.iter().rev().find_map(|set| {
        let (key, value) = set.split_once('=')?;
        key.eq_ignore_ascii_case("lapis_trust").then_some(value)
    });
    let given: Vec<&str> = given.unwrap_or_default().split([' ', '\t', ',']).collect();
    for repository in &after.repositories {
        if repository.lacks.iter().any(|lack| !given.contains(&lack.word())) {
            let said = before.repository(&repository.id).unwrap_or(repository);
            let list: Vec<String> =
                said.lacks.iter().map(|lack| format!("{lack} ({})", lack.consequence())).collect();
            let words: Vec<&str> = said.lacks.iter().map(|lack| lack.word()).collect();
            return Err(Error::Config(format!(
                "{from}: repository {} gives up protections: {}. A file from the network does not decide \
                 that; if you want it so, say it: --set='lapis_trust={}'",
                repository.id,
                list.join("; "),
                words.join(" ")
            )));
        }
    }
    Ok(())
}

/// The file with the keys of `--set` in each of its sections.
fn with_sets(sets: &[String], from: &str, mut text: String) -> Result<String> {
    let sections = ini::parse(Path::new(from), text.as_bytes()).map_err(Error::from)?;
    let mut names: Vec<&str> = sections.iter().map(|s| s.name.as_str()).filter(|s| *s != "main").collect();
    names.sort_unstable();
    names.dedup();
    for set in sets {
        let (key, value) =
            set.split_once('=').ok_or_else(|| Error::Usage(format!("--set `{set}`: expected KEY=VALUE")))?;
        check_line(key, value)?;
        let one = ["name", "baseurl", "mirrorlist", "metalink", "gpgkey"];
        if names.len() > 1 && one.iter().any(|one| key.eq_ignore_ascii_case(one)) {
            return Err(Error::Usage(format!(
                "--set `{key}`: {from} describes {} repositories, which cannot share it; use \
                 `config-manager setopt ID.{key}=VALUE` afterwards",
                names.len()
            )));
        }
        for name in &names {
            text = changed(&text, name, key, value);
        }
    }
    Ok(text)
}

/// Says what was added and what it means.
fn describe(session: &Session<'_>, repository: &RepoConfig, problem: Option<&str>, from: &str) {
    let out = session.out;
    let id = &repository.id;
    out.info(format!("Adding repository {id} from {from}"));
    for lack in &repository.lacks {
        out.info(format!("  lapis_trust = {lack}: {}", lack.consequence()));
    }
    let keys = repository.gpg_keys.join(", ");
    let packages = repository.requires(Lack::PackageSignature);
    let metadata = repository.requires(Lack::MetadataSignature);
    match (packages, metadata) {
        _ if repository.gpg_keys.is_empty() => {}
        (true, true) => out.info(format!("  Packages and metadata signed by these keys are trusted: {keys}")),
        (true, false) => out.info(format!("  Packages signed by these keys are trusted: {keys}")),
        (false, true) => out.info(format!("  Metadata signed by these keys is trusted: {keys}")),
        (false, false) => out.info(format!("  Its keys are not used: {keys}")),
    }
    if let Some(problem) = problem {
        out.warn(format!(
            "Warning: repository {id} was added disabled: {problem}. Then: config-manager setopt \
             {id}.KEY=VALUE {id}.enabled=1"
        ));
    }
}

/// A `.repo` file says whom to trust, so whoever can change it on its way may install anything: it comes by
/// https, wherever the server sends us, or from this machine.
fn fetch(session: &Session<'_>, url: &str) -> Result<Vec<u8>> {
    let host = url.split_once("://").map_or("", |(_, rest)| rest);
    // Nobody's login may look like this machine's name.
    let host = host.split(['/', '?', '#']).next().filter(|h| !h.contains('@')).unwrap_or_default();
    let here = ["127.0.0.1", "[::1]", "localhost"]
        .iter()
        .any(|h| host.strip_prefix(h).is_some_and(|rest| rest.is_empty() || rest.starts_with(':')));
    let plain = here && url.starts_with("http://");
    if !(url.starts_with("https://") || plain) {
        return Err(Error::Usage(format!(
            "{url}: a .repo file says whom to trust and has to come by https; fetch it, read it, and add the file"
        )));
    }
    let fail = |reason: String| Error::Download { package: url.to_owned(), reason };
    if session.settings.main.cacheonly {
        return Err(fail(
            "`cacheonly` forbids to fetch anything; leave it out, or fetch the file and add it from here"
                .to_owned(),
        ));
    }
    let main = &session.settings.main;
    if !plain && !main.transport.ssl_verify {
        return Err(fail(
            "`sslverify` is off, so anybody could answer for the server; turn it on (`sslcacert` names an \
             authority of your own), or fetch the file, read it, and add it from here"
                .to_owned(),
        ));
    }
    let store =
        lazuli_store::Store::open(session.settings.cache.join("store")).map_err(|e| fail(e.to_string()))?;
    let progress = std::sync::Arc::new(session.progress().downloads("Repository"));
    let mut options = lazuli_remote::options_for_keys(&RepoConfig::new("config-manager", main), 1);
    if plain {
        // From this machine it may come in the clear, but nowhere else from there.
        options.connection.https_only = false;
        options.connection.proxy = None;
        options.redirects = 0;
    }
    let fetcher = lazuli_fetch::Fetcher::with_options(&store, progress, options);
    let bytes = fetcher.get_unpinned(url, MAX_REPO_FILE);
    bytes.map_err(|e| fail(format!("{e}; a redirect away from https is not followed")))
}
