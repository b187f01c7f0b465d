//! One HTTP exchange.

use crate::Options;
use std::io::Read;
use std::time::{Duration, Instant};

/// Who we say we are.
const USER_AGENT: &str = concat!("lazuli/", env!("CARGO_PKG_VERSION"));

/// Why one exchange failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The connection: refused, reset, timed out, ended early, not HTTP.
    Network(String),
    /// An HTTP status that is no success.
    Status(u16),
    /// 404 or 410.
    NotFound,
    /// Too many redirects.
    Redirects,
    /// Not an address.
    Address(String),
    /// The server cannot continue where we want to.
    Range,
}

impl Failure {
    /// Whether it may pass by itself.
    pub(crate) fn passes(&self) -> bool {
        match self {
            Self::Network(_) => true,
            Self::Status(status) => matches!(status, 408 | 429 | 500..=599),
            _ => false,
        }
    }
}

/// An answer whose body is still to be read.
pub(crate) struct Answer {
    /// Where in the content the body starts.
    pub(crate) start: u64,
    /// The size of the whole content as the server says it.
    pub(crate) total: Option<u64>,
    /// A validator for `If-Range`.
    pub(crate) validator: Option<String>,
    /// The body.
    pub(crate) body: Body,
}

/// A body that notices when it hardly moves.
pub(crate) struct Body {
    reader: Box<dyn Read>,
    window: Duration,
    min_rate: u64,
    since: Instant,
    got: u64,
}

impl Body {
    /// Reads some bytes; 0 at the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let n = self.reader.read(buffer).map_err(|e| Failure::Network(describe_io(&e)))?;
        self.got += n as u64;
        if self.since.elapsed() >= self.window {
            if n > 0 && self.got < self.min_rate {
                let seconds = self.window.as_secs_f32();
                return Err(Failure::Network(format!("stalled at {} bytes in {seconds:.0} s", self.got)));
            }
            (self.since, self.got) = (Instant::now(), 0);
        }
        Ok(n)
    }
}

/// An HTTP client with a connection pool, shared by all downloads.
pub(crate) struct Client {
    agent: ureq::Agent,
    window: Duration,
    min_rate: u64,
}

impl Client {
    pub(crate) fn new(options: &Options) -> Self {
        let config = ureq::Agent::config_builder()
            .user_agent(USER_AGENT)
            // The digests are of what the mirror stores, so nothing may be packed on the way.
            .accept_encoding("identity")
            .http_status_as_error(false)
            .max_redirects(options.redirects)
            .max_idle_connections(options.parallel)
            .max_idle_connections_per_host(options.parallel)
            .timeout_resolve(Some(options.connect_timeout))
            .timeout_connect(Some(options.connect_timeout))
            .timeout_send_request(Some(options.read_timeout))
            .timeout_recv_response(Some(options.read_timeout))
            .timeout_per_read(Some(options.read_timeout))
            .timeout_per_write(Some(options.read_timeout))
            .build();
        Self { agent: config.new_agent(), window: options.rate_window, min_rate: options.min_rate }
    }

    /// Asks for the content of `url` from byte `from` on.
    pub(crate) fn get(&self, url: &str, from: u64, validator: Option<&str>) -> Result<Answer, Failure> {
        let mut request = self.agent.get(url);
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
            if let Some(validator) = validator {
                request = request.header("If-Range", validator);
            }
        }
        let response = request.call().map_err(describe)?;
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
        let length = || header("content-length").and_then(|v| v.trim().parse::<u64>().ok());
        let (start, total) = match response.status().as_u16() {
            200 => (0, length()),
            206 if from > 0 => match header("content-range").and_then(content_range) {
                Some((start, total)) if start == from => (start, total),
                _ => return Err(Failure::Range),
            },
            416 if from > 0 => return Err(Failure::Range),
            404 | 410 => return Err(Failure::NotFound),
            status => return Err(Failure::Status(status)),
        };
        let validator = header("etag")
            .filter(|tag| !tag.starts_with("W/"))
            .or_else(|| header("last-modified"))
            .map(str::to_owned);
        let body = Body {
            reader: Box::new(response.into_body().into_reader()),
            window: self.window,
            min_rate: self.min_rate,
            since: Instant::now(),
            got: 0,
        };
        Ok(Answer { start, total, validator, body })
    }
}

/// Reads `bytes START-END/TOTAL`; the total may be `*`.
fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let (start, end) = (start.trim().parse::<u64>().ok()?, end.trim().parse::<u64>().ok()?);
    let total = match total.trim() {
        "*" => None,
        number => Some(number.parse::<u64>().ok()?),
    };
    (start <= end).then_some((start, total))
}

fn describe(error: ureq::Error) -> Failure {
    match error {
        ureq::Error::TooManyRedirects => Failure::Redirects,
        ureq::Error::StatusCode(status) => Failure::Status(status),
        ureq::Error::BadUri(reason) => Failure::Address(reason),
        ureq::Error::Http(reason) => Failure::Address(reason.to_string()),
        ureq::Error::HostNotFound => Failure::Network("the host name is not known".into()),
        ureq::Error::Timeout(what) => Failure::Network(timeout(what)),
        ureq::Error::Io(e) => Failure::Network(describe_io(&e)),
        other => Failure::Network(other.to_string()),
    }
}

fn describe_io(error: &std::io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
        Some(ureq::Error::Timeout(what)) => timeout(*what),
        _ => error.to_string(),
    }
}

fn timeout(what: ureq::Timeout) -> String {
    match what {
        ureq::Timeout::Resolve => "no answer from the name server in time".into(),
        ureq::Timeout::Connect => "no connection in time".into(),
        ureq::Timeout::RecvResponse => "no answer in time".into(),
        other => format!("timed out ({other})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for bad in ["5-9/10", "bytes 9-5/10", "bytes */10", "bytes 5-9", "bytes -9/10", "bytes 5-9/x"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }
}
