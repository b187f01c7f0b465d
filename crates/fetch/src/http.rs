//! One HTTP exchange.

use crate::connection::{Connection, Family, Throttle};
use crate::{Options, source};
use std::io::Read;
use std::sync::{Arc, OnceLock};
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
    /// No secure connection: a certificate that nobody vouches for, a protocol that is not spoken.
    Tls(String),
    /// The connection cannot even be tried: a proxy or a certificate of ours is not usable.
    Setup(String),
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
    reader: Box<dyn Read + Send>,
    window: Duration,
    min_rate: u64,
    since: Instant,
    got: u64,
    throttle: Option<Arc<Throttle>>,
}

impl Body {
    /// Reads some bytes; 0 at the end.
    pub(crate) fn read(&mut self, mut buffer: &mut [u8]) -> Result<usize, Failure> {
        if let Some(throttle) = &self.throttle {
            let step = throttle.step().min(buffer.len());
            buffer = &mut buffer[..step];
        }
        let n = self.reader.read(buffer).map_err(|e| Failure::Network(describe_io(&e)))?;
        if let Some(throttle) = &self.throttle {
            throttle.wait(n);
        }
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

/// An HTTP client with a connection pool, shared by all downloads. It is set up when it is used first: most
/// runs need none.
pub(crate) struct Client {
    agent: OnceLock<Result<ureq::Agent, String>>,
    options: Options,
    throttle: Option<Arc<Throttle>>,
}

impl Client {
    pub(crate) fn new(options: &Options) -> Self {
        let throttle = options.connection.rate_limit.map(|rate| Arc::new(Throttle::new(rate)));
        Self { agent: OnceLock::new(), options: options.clone(), throttle }
    }

    fn agent(&self) -> Result<&ureq::Agent, Failure> {
        let agent = self.agent.get_or_init(|| agent(&self.options));
        agent.as_ref().map_err(|reason| Failure::Setup(reason.clone()))
    }

    /// Asks for the content of `url` from byte `from` on, up to but without byte `until` if that is given. A
    /// server may answer with more.
    pub(crate) fn get(
        &self,
        url: &str,
        from: u64,
        until: Option<u64>,
        validator: Option<&str>,
    ) -> Result<Answer, Failure> {
        let (authorization, url) = self.options.connection.authorization(url);
        let mut request = self.agent()?.get(source::escaped(&url));
        if let Some(authorization) = authorization {
            request = request.header("Authorization", authorization);
        }
        let ranged = from > 0 || until.is_some();
        if ranged {
            let last = until.map(|until| until.saturating_sub(1).to_string()).unwrap_or_default();
            request = request.header("Range", format!("bytes={from}-{last}"));
            if let Some(validator) = validator {
                request = request.header("If-Range", validator);
            }
        }
        let response = request.call().map_err(describe)?;
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
        let length = || header("content-length").and_then(|v| v.trim().parse::<u64>().ok());
        let (start, total) = match response.status().as_u16() {
            200 => (0, length()),
            206 if ranged => match header("content-range").and_then(content_range) {
                Some((start, total)) if start == from => (start, total),
                _ => return Err(Failure::Range),
            },
            416 if ranged => return Err(Failure::Range),
            404 | 410 => return Err(Failure::NotFound),
            status => return Err(Failure::Status(status)),
        };
        let validator = header("etag")
            .filter(|tag| !tag.starts_with("W/"))
            .or_else(|| header("last-modified"))
            .map(str::to_owned);
        let body = Body {
            reader: Box::new(response.into_body().into_reader()),
            window: self.options.rate_window,
            // Who is held back by us is not stalled.
            min_rate: self.throttle.as_ref().map_or(self.options.min_rate, |_| 1),
            since: Instant::now(),
            got: 0,
            throttle: self.throttle.clone(),
        };
        Ok(Answer { start, total, validator, body })
    }

    /// Sends `body` to `url`, within `limit` in all. Success is any 2xx; the body of the answer is left unread, which
    /// closes the connection.
    pub(crate) fn post(
        &self,
        url: &str,
        content_type: &str,
        body: &[u8],
        limit: Duration,
    ) -> Result<(), Failure> {
        let (authorization, url) = self.options.connection.authorization(url);
        let mut request = self.agent()?.post(source::escaped(&url)).header("Content-Type", content_type);
        if let Some(authorization) = authorization {
            request = request.header("Authorization", authorization);
        }
        let config = request.config().timeout_global(Some(limit));
        // A redirect is an answer like any other here, and one that is no success.
        let request = config.max_redirects(0).max_redirects_will_error(false).build();
        let response = request.send(body).map_err(describe)?;
        match response.status().as_u16() {
            200..=299 => Ok(()),
            404 | 410 => Err(Failure::NotFound),
            status => Err(Failure::Status(status)),
        }
    }
}

fn agent(options: &Options) -> Result<ureq::Agent, String> {
    let connection: &Connection = &options.connection;
    let family = match connection.family {
        Family::Any => ureq::config::IpFamily::Any,
        Family::V4 => ureq::config::IpFamily::Ipv4Only,
        Family::V6 => ureq::config::IpFamily::Ipv6Only,
    };
    let config = ureq::Agent::config_builder()
        .user_agent(connection.user_agent.as_deref().unwrap_or(USER_AGENT))
        // The digests are of what the mirror stores, so nothing may be packed on the way.
        .accept_encoding("identity")
        .http_status_as_error(false)
        .ip_family(family)
        .proxy(connection.proxy()?)
        .tls_config(connection.tls()?)
        // Looked at again for each redirect.
        .https_only(connection.https_only)
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
    Ok(config.new_agent())
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
        ureq::Error::Tls(reason) => Failure::Tls(reason.to_owned()),
        ureq::Error::RequireHttpsOnly(url) => {
            Failure::Tls(format!("it leads to {}, which is not https", source::redact(&url)))
        }
        ureq::Error::Rustls(e) => Failure::Tls(e.to_string()),
        // Certificates that are refused come this way.
        ureq::Error::Io(e) if e.kind() == std::io::ErrorKind::InvalidData => Failure::Tls(e.to_string()),
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
