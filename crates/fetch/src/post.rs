//! Small messages to a server: one HTTP POST each, whose answer is a status and nothing else.

use crate::http::{Client, Failure};
use crate::source::{Source, redact};
use crate::{Error, Options, Result};
use std::time::Duration;

/// Sends messages. Unlike a [`crate::Fetcher`] it needs no store.
pub struct Poster {
    client: Client,
}

impl std::fmt::Debug for Poster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poster").finish_non_exhaustive()
    }
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
#[error("cannot send to {url}: {reason}")]
pub struct PostError {
    /// The address, without a login in it.
    pub url: String,
    /// What happened.
    pub reason: String,
    /// The HTTP status, if the server answered.
    pub status: Option<u16>,
    /// Whether it may pass by itself (refused or dropped connection, timeout, 5xx, 408, 429), so that another try
    /// is worth it.
    pub passes: bool,
}

impl Poster {
    /// A sender that reaches servers as `options.connection` says, with the timeouts of `options`. It makes one attempt
    /// a message; when to try again is the caller's to know.
    pub fn new(options: &Options) -> Self {
        Self { client: Client::new(options) }
    }

    /// Checks that `url` is one that messages can be sent to: `http://` or `https://`.
    pub fn check(url: &str) -> Result<()> {
        match Source::parse(url)? {
            Source::Http(_) => Ok(()),
            Source::Local(_) => Err(Error::Address {
                url: redact(url),
                reason: "messages go to http:// or https:// only".into(),
            }),
        }
    }

    /// Sends one message, and waits for at most `limit` in all, however slowly bytes trickle. Any 2xx is success; the
    /// body of the answer is not read. Redirects are not followed: a message must not end up where nobody meant it to.
    pub fn post(&self, url: &str, content_type: &str, body: &[u8], limit: Duration) -> Result<(), PostError> {
        let error = |reason: String, status, passes| PostError { url: redact(url), reason, status, passes };
        if let Err(wrong) = Self::check(url) {
            return Err(error(wrong.to_string(), None, false));
        }
        // A limit of nothing would be none to the HTTP client.
        if limit.is_zero() {
            return Err(error("there is no time left".into(), None, false));
        }
        match self.client.post(url, content_type, body, limit) {
            Ok(()) => Ok(()),
            Err(failure) => {
                let passes = failure.passes();
                Err(match failure {
                    Failure::Status(status @ 300..400) => error(
                        format!("it answered {status}; redirects are not followed"),
                        Some(status),
                        passes,
                    ),
                    Failure::Status(status) => error(format!("it answered {status}"), Some(status), passes),
                    Failure::NotFound => error("it answered that there is nothing".into(), Some(404), false),
                    Failure::Redirects => error("redirects are not followed".into(), None, false),
                    Failure::Range => error("it answered with a part".into(), None, false),
                    Failure::Network(reason)
                    | Failure::Address(reason)
                    | Failure::Tls(reason)
                    | Failure::Setup(reason) => error(reason, None, passes),
                })
            }
        }
    }
}
