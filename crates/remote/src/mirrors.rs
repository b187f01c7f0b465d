//! Where a repository lies: `baseurl`, or a list of mirrors.

use crate::error::{Error, Result};
use lazuli_fetch::Fetcher;
use lazuli_repo::RepoConfig;

/// The largest list of mirrors in bytes.
const MAX_LIST: u64 = 1 << 20;
/// The most mirrors of a list that are considered.
const MAX_MIRRORS: usize = 32;

/// The addresses to try, in order, without a slash at the end. Mirrors need not be trusted: what they
/// serve is verified.
pub fn bases(config: &RepoConfig, fetcher: &Fetcher<'_>) -> Result<Vec<String>> {
    let mut bases: Vec<String> = config.base_urls.iter().map(|b| trimmed(b)).collect();
    for list in [&config.mirrorlist, &config.metalink].into_iter().flatten() {
        let fetch = |source| Error::Fetch { repository: config.id.clone(), source };
        let bytes = fetcher.get_unpinned(list, MAX_LIST).map_err(fetch)?;
        let found = parse(&String::from_utf8_lossy(&bytes));
        if found.is_empty() {
            return Err(Error::NoMirror { repository: config.id.clone(), address: list.clone() });
        }
        bases.extend(found);
    }
    if bases.is_empty() {
        return Err(Error::NoAddress { repository: config.id.clone() });
    }
    Ok(bases)
}

fn trimmed(base: &str) -> String {
    base.trim().trim_end_matches('/').to_owned()
}

/// The HTTP addresses in a mirror list (one a line) or a metalink (`<url>` elements that lead to
/// `repodata/repomd.xml`).
pub(crate) fn parse(text: &str) -> Vec<String> {
    // After trimming: `https://` alone is no address.
    let usable = |base: &String| base.starts_with("http://") || base.starts_with("https://");
    if text.contains("<metalink") {
        let urls = text.split("<url").skip(1).filter_map(|part| {
            let (_, rest) = part.split_once('>')?;
            let (url, _) = rest.split_once('<')?;
            url.trim().strip_suffix("/repodata/repomd.xml")
        });
        return urls.map(trimmed).filter(usable).take(MAX_MIRRORS).collect();
    }
    let lines = text.lines().map(str::trim).filter(|l| !l.starts_with('#'));
    lines.map(trimmed).filter(usable).take(MAX_MIRRORS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_host_is_left_out() {
        assert!(parse("https://\nhttp:///\n").is_empty());
        assert!(parse("<metalink><url>https:///repodata/repomd.xml</url></metalink>").is_empty());
    }

    #[test]
    fn both_forms_of_lists_are_read() {
        let plain = "# comment\nhttps://a.example/x/\n\nftp://b.example/x\nhttp://c.example/y\n";
        assert_eq!(parse(plain), ["https://a.example/x", "http://c.example/y"]);
        let metalink = r#"<metalink version="3.0"><files><file name="repomd.xml"><resources>
            <url protocol="https">https://a.example/x/repodata/repomd.xml</url>
            <url protocol="rsync">rsync://a.example/x/repodata/repomd.xml</url>
            </resources></file></files></metalink>"#;
        assert_eq!(parse(metalink), ["https://a.example/x"]);
    }
}
