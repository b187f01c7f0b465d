//! Why a download failed. What to try is for the program to say: what a server is, and where it is configured, differs.

use lazuli_store::Digest;

/// The result of a download.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Content that no address has any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What people call it.
    pub name: String,
    /// Its digest, where one was asked for.
    pub digest: Option<Digest>,
    /// Where it was looked for.
    pub urls: Vec<String>,
}

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No address of these has the content: the servers answered and do not carry it (404, 410).
    #[error("not found on the mirror: {}", list(.0))]
    NotFound(Vec<Missing>),
    /// The server could not be reached, or broke off every time.
    #[error("cannot reach {url}: {reason} ({attempts} attempts)")]
    Unreachable {
        /// The address.
        url: String,
        /// What happened at the last attempt.
        reason: String,
        /// How many attempts there were.
        attempts: u32,
    },
    /// The server answered with an HTTP status that is neither success nor "not found".
    #[error("{url}: the server answered {status}")]
    Status {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// A part of a file was asked for, and the server sends another one or all of it.
    #[error("{url}: the server does not send parts of a file (HTTP byte ranges); serve it by one that does")]
    Ranges {
        /// The address.
        url: String,
    },
    /// Redirects without end.
    #[error("{url}: redirected more than {limit} times")]
    Redirects {
        /// The address.
        url: String,
        /// The limit.
        limit: u32,
    },
    /// The content does not have the promised size.
    #[error("{url}: expected {expected} bytes, the server has {actual}; the mirror may be out of date")]
    Size {
        /// The address.
        url: String,
        /// The promised size in bytes.
        expected: u64,
        /// What the server has, or that it has more.
        actual: String,
    },
    /// More than the caller takes, of content whose size nobody knows beforehand.
    #[error("{url}: more than {limit} bytes; this is not what was asked for")]
    TooLarge {
        /// The address.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The content is not what was promised.
    #[error(
        "{url}: expected sha256 {expected}, got {actual}; it was damaged or changed at the server or on its way, and \
         the download was thrown away"
    )]
    Digest {
        /// The address.
        url: String,
        /// The promised digest.
        expected: Digest,
        /// The digest of what arrived.
        actual: Digest,
    },
    /// No secure connection to the server.
    #[error("{url}: no secure connection: {reason}")]
    Tls {
        /// The address.
        url: String,
        /// What is wrong, usually with its certificate.
        reason: String,
    },
    /// A connection that cannot be tried as it was configured.
    #[error("{url} cannot be asked: {reason}")]
    Setup {
        /// The address.
        url: String,
        /// What is wrong with the proxy or the certificates that are to be used.
        reason: String,
    },
    /// Something that is not an address.
    #[error("`{url}` cannot be fetched: {reason}")]
    Address {
        /// The text.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A path on disk, of the store or of a local mirror.
    #[error(transparent)]
    Fs(#[from] lazuli_fs::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] lazuli_store::Error),
    /// Another download failed first; never returned to callers.
    #[error("stopped, because another download failed")]
    Stopped,
}

impl Error {
    /// Whether the servers answered that they do not carry the content (any more).
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound(_))
    }

    /// Whether another server, or the same one at another time, may do better.
    pub fn blames_server(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Status { .. }
                | Self::Redirects { .. }
                | Self::Size { .. }
                | Self::Digest { .. }
        )
    }
}

/// How many missing files an error spells out.
const LISTED: usize = 10;

fn list(missing: &[Missing]) -> String {
    let text = missing
        .iter()
        .take(LISTED)
        .map(|m| match m.urls.first() {
            Some(url) => format!("{} ({url})", m.name),
            None => m.name.clone(),
        })
        .collect::<Vec<_>>()
        .join(", ");
    match missing.len().checked_sub(LISTED) {
        Some(more) if more > 0 => format!("{text} and {more} more"),
        _ => text,
    }
}
