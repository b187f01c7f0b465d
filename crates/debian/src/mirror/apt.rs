//! The host's APT sources (sources.list(5)) and which of them is Debian's archive.

use super::{Error, MAIN, Mirror, Origin, ReadFile, SECURITY, is_address};
use crate::control;
use std::path::{Path, PathBuf};

/// One address of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) uri: String,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: Option<String>,
    file: PathBuf,
}

/// All enabled binary sources below `apt`, in the order in which APT reads them.
pub(super) fn sources(apt: &Path, read: ReadFile<'_>) -> Vec<Source> {
    let mut files = vec![apt.join("sources.list")];
    files.extend(lazuli_fs::read_dir(apt.join("sources.list.d")).unwrap_or_default());
    let mut all = Vec::new();
    for file in files {
        // What cannot be read or understood here is no error of ours: other entries may do.
        let Ok(Some(text)) = read(&file) else { continue };
        match file.extension().and_then(|e| e.to_str()) {
            Some("list") => all.extend(text.lines().filter_map(|line| one_line(line, &file))),
            Some("sources") => all.extend(deb822(&text, &file)),
            _ => {}
        }
    }
    all.into_iter().flat_map(|source| expand(source, read)).collect()
}

/// `deb [option=value ...] uri suite component...`
fn one_line(line: &str, file: &Path) -> Option<Source> {
    let line = line.split('#').next().unwrap_or("").trim();
    let mut rest = line.strip_prefix("deb")?.strip_prefix([' ', '\t'])?.trim_start();
    let mut signed_by = None;
    if let Some(options) = rest.strip_prefix('[') {
        let (options, after) = options.split_once(']')?;
        signed_by = options.split_whitespace().find_map(|o| o.strip_prefix("signed-by=")).map(str::to_owned);
        rest = after;
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source {
        uri: words.next()?,
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by,
        file: file.to_owned(),
    })
}

fn deb822(text: &str, file: &Path) -> Vec<Source> {
    // Comments may stand anywhere in these files, which control data does not have.
    let text: String = text.lines().filter(|l| !l.starts_with('#')).flat_map(|l| [l, "\n"]).collect();
    let Ok(paragraphs) = control::parse(text.as_bytes()) else { return Vec::new() };
    let mut all = Vec::new();
    for paragraph in paragraphs {
        let words = |name| -> Vec<String> {
            paragraph.get(name).unwrap_or("").split_whitespace().map(str::to_owned).collect()
        };
        let off = paragraph.get("Enabled").is_some_and(|v| ["no", "false", "0", "off"].contains(&v));
        if off || !words("Types").iter().any(|t| t == "deb") {
            continue;
        }
        for uri in words("URIs") {
            all.push(Source {
                uri,
                suites: words("Suites"),
                components: words("Components"),
                signed_by: paragraph.get("Signed-By").map(str::to_owned),
                file: file.to_owned(),
            });
        }
    }
    all
}

/// `mirror+file:` names a file with one address a line, best first; cloud images use it.
fn expand(source: Source, read: ReadFile<'_>) -> Vec<Source> {
    let Some(path) = source.uri.strip_prefix("mirror+file:") else { return vec![source] };
    let path = format!("/{}", path.trim_start_matches('/'));
    let text = read(Path::new(&path)).ok().flatten().unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|uri| !uri.starts_with('#'))
        .map(|uri| Source { uri: uri.to_owned(), ..source.clone() })
        .collect()
}

/// Names that only Debian's archive has as suites.
const SUITES: &[&str] = &[
    "stable",
    "oldstable",
    "oldoldstable",
    "testing",
    "unstable",
    "sid",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
];

impl Source {
    /// The address with a scheme that we speak.
    fn base(&self) -> Option<String> {
        let uri = self.uri.trim_end_matches('/');
        let uri = match uri.strip_prefix("file:") {
            Some(path) => format!("/{}", path.trim_start_matches('/')),
            None => uri.to_owned(),
        };
        is_address(&uri).then_some(uri)
    }

    /// Whether Debian's archive keys vouch for it, or at least nobody else's: other projects publish for
    /// `bookworm main` below `/debian`, too.
    fn is_debian(&self) -> bool {
        let other_key = self
            .signed_by
            .as_deref()
            .and_then(|key| Path::new(key.split([',', ' ']).next().unwrap_or("")).file_name()?.to_str())
            .is_some_and(|name| !name.starts_with("debian-archive"));
        let suite = |name: &String| SUITES.contains(&name.split(['-', '/']).next().unwrap_or(""));
        !other_key && self.components.iter().any(|c| c == "main") && self.suites.iter().any(suite)
    }

    fn is_security(&self) -> bool {
        let of_security = |name: &String| name.ends_with("-security") || name.ends_with("/updates");
        self.uri.trim_end_matches('/').ends_with(&format!("/{SECURITY}"))
            || (!self.suites.is_empty() && self.suites.iter().all(of_security))
    }

    /// Better candidates first: signed by name, in Debian's usual place.
    fn rank(&self) -> u8 {
        let signed = self.signed_by.as_ref().is_some_and(|k| k.contains("debian-archive"));
        let usual = self.uri.trim_end_matches('/').ends_with("/debian");
        u8::from(!signed) * 2 + u8::from(!usual)
    }
}

/// The mirror that the host's own sources name.
pub(super) fn choose(sources: &[Source]) -> Result<Option<Mirror>, Error> {
    let candidates: Vec<(&Source, String)> =
        sources.iter().filter(|s| s.is_debian()).filter_map(|s| Some((s, s.base()?))).collect();
    let best = |security: bool| {
        candidates.iter().filter(|(s, _)| s.is_security() == security).min_by_key(|(s, _)| s.rank())
    };
    let (main, security) = (best(false), best(true));
    let sibling = |base: &str, from: &str, to: &str| {
        base.strip_suffix(from).filter(|rest| rest.ends_with('/')).map(|rest| format!("{rest}{to}"))
    };
    match (main, security) {
        (None, None) => Ok(None),
        (Some((source, main)), security) => {
            let security = security.map(|(_, base)| base.clone()).or_else(|| sibling(main, MAIN, SECURITY));
            let security = security.ok_or_else(|| Error::NoSecurity { uri: source.uri.clone() })?;
            Ok(Some(Mirror { main: main.clone(), security, origin: Origin::Apt(source.file.clone()) }))
        }
        (None, Some((source, security))) => Ok(sibling(security, SECURITY, MAIN).map(|main| Mirror {
            main,
            security: security.clone(),
            origin: Origin::Apt(source.file.clone()),
        })),
    }
}
