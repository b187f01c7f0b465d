//! Sends the reports of a host to a collector, one HTTP POST each (`Content-Type: application/json`).
//!
//! # Rules
//!
//! - Sending never stands in the way of an update: [`deliver_in_background`] returns at once, [`deliver`] within its
//!   limit, however the server behaves. Reports that are not sent stay in the outbox for the next time.
//! - Any 2xx takes a report out of the outbox. So does an answer that says that it will never be taken (other 3xx and
//!   4xx than 408 and 429, and 404 and 410), except that wrong certificates and missing logins (401, 403, 407) and
//!   addresses where nothing is (404, 410) are mistakes in settings, which may be corrected: those keep it.
//! - What may pass is tried again with pauses that double and differ from host to host, a few times. Then the rest
//!   of the outbox is left alone too: where one report does not get through, the next one will not either.

use crate::outbox::{Outbox, OutboxError};
use lazuli_fetch::{Connection, Options, PostError, Poster};
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Where reports go, and how patiently.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// An `http://` or `https://` address.
    pub url: String,
    /// How the server is reached: authorities, certificate of the host, proxy, login.
    pub connection: Connection,
    /// How often one report is tried in one delivery.
    pub attempts: u32,
    /// The pause before the second try; it doubles each time, and is cut by up to half.
    pub backoff: Duration,
    /// The longest that one try may take.
    pub try_limit: Duration,
    /// The longest that a delivery may take.
    pub limit: Duration,
}

impl Endpoint {
    /// An endpoint with the usual patience: 4 tries of at most 20 s each, a delivery of at most 2 minutes.
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            connection: Connection::default(),
            attempts: 4,
            backoff: Duration::from_secs(2),
            try_limit: Duration::from_secs(20),
            limit: Duration::from_secs(120),
        }
    }
}

/// What became of the reports in the outbox.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Taken by the server.
    pub sent: usize,
    /// Refused by the server for good, or not reports at all; they are gone.
    pub dropped: usize,
    /// Still in the outbox.
    pub kept: usize,
    /// The last failure.
    pub error: Option<PostError>,
}

/// Whether a failed report is worth keeping.
fn keep(error: &PostError) -> bool {
    error.passes || matches!(error.status, None | Some(401 | 403 | 404 | 407 | 410))
}

/// Sends what waits in the outbox, the oldest first. It returns within `endpoint.limit`.
pub fn deliver(outbox: &Outbox, endpoint: &Endpoint) -> Result<Delivery, OutboxError> {
    let end = Instant::now() + endpoint.limit;
    let options = Options {
        connect_timeout: endpoint.try_limit,
        read_timeout: endpoint.try_limit,
        connection: endpoint.connection.clone(),
        ..Options::default()
    };
    let poster = Poster::new(&options);
    let (mut delivery, waiting) = (Delivery::default(), outbox.waiting()?);
    for (index, path) in waiting.iter().enumerate() {
        let content = match Outbox::content(path) {
            // A new report took the place of the oldest meanwhile.
            Err(OutboxError::Fs(error)) if error.is_not_found() => continue,
            content => content?,
        };
        let Some(content) = content else {
            Outbox::remove(path)?;
            delivery.dropped += 1;
            continue;
        };
        match send(&poster, endpoint, path, &content, end) {
            Ok(()) => {
                // Killed between the answer and this, the report is sent twice; a machine counts once.
                Outbox::remove(path)?;
                delivery.sent += 1;
            }
            Err(error) if keep(&error) => {
                (delivery.kept, delivery.error) = (waiting.len() - index, Some(error));
                break;
            }
            Err(error) => {
                Outbox::remove(path)?;
                delivery.dropped += 1;
                delivery.error = Some(error);
            }
        }
    }
    Ok(delivery)
}

/// [`deliver`] in a thread of its own. Who does not join it loses nothing: when the process ends, what was not sent is
/// still in the outbox.
pub fn deliver_in_background(
    outbox: Outbox,
    endpoint: Endpoint,
) -> std::io::Result<JoinHandle<Result<Delivery, OutboxError>>> {
    std::thread::Builder::new().name("reports".into()).spawn(move || deliver(&outbox, &endpoint))
}

fn send(
    poster: &Poster,
    endpoint: &Endpoint,
    path: &Path,
    content: &[u8],
    end: Instant,
) -> Result<(), PostError> {
    let mut attempt = 0;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let result = poster.post(&endpoint.url, "application/json", content, left.min(endpoint.try_limit));
        attempt += 1;
        match result {
            Err(error) if error.passes && attempt < endpoint.attempts => {
                let pause = pause(endpoint.backoff, attempt, path);
                if Instant::now() + pause >= end {
                    return Err(error);
                }
                std::thread::sleep(pause);
            }
            result => return result,
        }
    }
}

/// The pause before try number `attempt + 1`: doubled each time, at most 64 times the first, and between half and all of
/// that, so that a fleet whose collector comes back does not arrive at once.
fn pause(backoff: Duration, attempt: u32, path: &Path) -> Duration {
    let full = backoff * 2_u32.pow(attempt.saturating_sub(1).min(6));
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let hash = Sha256::new().chain_update(name).chain_update(attempt.to_be_bytes()).finalize();
    full.mul_f64(0.5 + f64::from(hash[0]) / 510.0)
}
