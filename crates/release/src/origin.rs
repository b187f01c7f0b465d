//! Where a repository lies.

use crate::{Error, Result};
use lazuli_fetch::{Options, Reader, Stream};
use std::ops::Range;
use std::path::Path;
use url::Url;

/// A repository at an address or in a folder.
#[derive(Debug, Clone)]
pub struct Origin {
    base: Url,
    reader: Reader,
}

impl Origin {
    /// From an `http://` or `https://` URL, or an absolute path (a USB stick).
    pub fn new(place: &str, options: Options) -> Result<Self> {
        let bad =
            |reason: &str| Error::Other(format!("`{place}` is not the place of a repository: {reason}"));
        let base = if place.starts_with('/') {
            Url::from_directory_path(Path::new(place)).map_err(|()| bad("the path cannot be used"))?
        } else {
            let slash = if place.ends_with('/') { "" } else { "/" };
            let url = Url::parse(&format!("{place}{slash}")).map_err(|e| bad(&e.to_string()))?;
            if !matches!(url.scheme(), "http" | "https") {
                return Err(bad("it begins with neither http://, https:// nor /"));
            }
            url
        };
        Ok(Self { base, reader: Reader::new(options) })
    }

    /// The URL of a directory of the repository, with a slash at its end.
    pub(crate) fn directory(&self, name: &str) -> Result<Url> {
        self.base.join(&format!("{name}/")).map_err(|e| Error::Other(format!("{}: {e}", self.base)))
    }

    /// Opens a file of the repository by its URL.
    pub(crate) fn open_url(&self, url: &Url, range: Option<Range<u64>>) -> Result<Stream> {
        let place = if url.scheme() == "file" {
            let path = url.to_file_path().map_err(|()| Error::Other(format!("{url} is not a file")))?;
            path.to_str().ok_or_else(|| Error::Other(format!("{url} is not UTF-8")))?.to_owned()
        } else {
            url.to_string()
        };
        Ok(self.reader.open(&place, range)?)
    }

    /// Opens a target. `file` is its file name with the digest in front.
    pub(crate) fn open_target(&self, file: &str, range: Range<u64>) -> Result<Stream> {
        let url = self.directory("targets")?.join(file).map_err(|e| Error::Other(format!("{file}: {e}")))?;
        self.open_url(&url, Some(range))
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.base)
    }
}
