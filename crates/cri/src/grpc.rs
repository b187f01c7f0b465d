//! Remote procedure calls by gRPC over a Unix socket.
//!
//! A call is an HTTP/2 request `POST /SERVICE/METHOD`. Its body is a sequence of messages, each after a byte that says
//! whether it is compressed (ours never are, and we ask for none) and its length in four bytes, big-endian. The answer
//! has the same form and ends with trailers: `grpc-status`, 0 for success, and `grpc-message`, percent-encoded. A call
//! that fails at once may have them among the headers.
//! See <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.
//!
//! Callers see blocking functions; one thread drives the connection while a call waits.

use bytes::{Buf as _, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, StatusCode};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

/// The longest message that is accepted, in bytes: containerd's own limit is 16 MiB.
const MAX_MESSAGE: usize = 16 << 20;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answers on the socket.
    #[error("{}: {source}; is containerd running? (`systemctl status containerd`)", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The connection broke, or the peer does not speak HTTP/2.
    #[error("{method}: the connection failed: {source}")]
    Connection {
        /// The method that was called.
        method: String,
        /// The reason.
        source: h2::Error,
    },
    /// The peer's answer is not gRPC.
    #[error("{method}: the answer is not gRPC: {reason}")]
    Answer {
        /// The method that was called.
        method: String,
        /// What is wrong.
        reason: String,
    },
    /// The peer refused the call.
    #[error("{message} ({code})")]
    Status {
        /// The reason's class.
        code: Code,
        /// What the peer says.
        message: String,
    },
    /// There was no answer in time.
    #[error("{method}: no answer within {} s", limit.as_secs())]
    Timeout {
        /// The method that was called.
        method: String,
        /// The limit.
        limit: Duration,
    },
}

/// The class of a refusal: the numbers of gRPC that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// 5: what the call names does not exist.
    NotFound,
    /// 6: what the call would make exists.
    AlreadyExists,
    /// 14: the peer is not ready.
    Unavailable,
    /// Any other number.
    Other(u32),
}

impl Code {
    fn new(number: u32) -> Self {
        match number {
            5 => Self::NotFound,
            6 => Self::AlreadyExists,
            14 => Self::Unavailable,
            other => Self::Other(other),
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotFound => f.write_str("not found"),
            Self::AlreadyExists => f.write_str("exists already"),
            Self::Unavailable => f.write_str("unavailable"),
            Self::Other(number) => {
                let names = [
                    "ok",
                    "cancelled",
                    "unknown",
                    "invalid argument",
                    "deadline exceeded",
                    "",
                    "",
                    "permission denied",
                    "resource exhausted",
                    "failed precondition",
                    "aborted",
                    "out of range",
                    "unimplemented",
                    "internal",
                    "",
                    "data loss",
                    "unauthenticated",
                ];
                match names.get(*number as usize).filter(|name| !name.is_empty()) {
                    Some(name) => f.write_str(name),
                    None => write!(f, "status {number}"),
                }
            }
        }
    }
}

/// A connection.
pub struct Channel {
    runtime: Runtime,
    requests: SendRequest<Bytes>,
    /// A call without an answer fails after this time.
    limit: Duration,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Channel {
    /// Connects to the socket at `path`. Each call may take up to `limit`.
    pub fn connect(path: &Path, limit: Duration) -> Result<Self, Error> {
        let connect = |source| Error::Connect { path: path.to_owned(), source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(connect)?;
        let requests = runtime.block_on(async {
            let stream = UnixStream::connect(path).await.map_err(connect)?;
            let (requests, connection) = h2::client::Builder::new()
                .initial_window_size(1 << 20)
                .initial_connection_window_size(1 << 20)
                .handshake(stream)
                .await
                .map_err(|source| Error::Connection { method: "handshake".to_owned(), source })?;
            // It ends with the connection; errors reach the calls that wait.
            tokio::spawn(async move { drop(connection.await) });
            Ok::<_, Error>(requests)
        })?;
        Ok(Self { runtime, requests, limit })
    }

    /// Sends one message and returns the one that answers. `method` is `SERVICE/METHOD`.
    pub fn unary(
        &mut self,
        method: &str,
        metadata: &[(&'static str, String)],
        message: &[u8],
    ) -> Result<Bytes, Error> {
        let mut call = self.open(method, metadata)?;
        call.send(message, true)?;
        let answer = call.receive()?;
        call.finish()?;
        answer.ok_or_else(|| Error::Answer {
            method: method.to_owned(),
            reason: "it has no message".to_owned(),
        })
    }

    /// Begins a call in which messages go both ways.
    pub fn open(&mut self, method: &str, metadata: &[(&'static str, String)]) -> Result<Call<'_>, Error> {
        let mut request = Request::post(format!("http://localhost/{method}"))
            .header("te", "trailers")
            .header("content-type", "application/grpc");
        for (name, value) in metadata {
            request = request.header(*name, value);
        }
        let request = request.body(()).map_err(|error| Error::Answer {
            method: method.to_owned(),
            reason: format!("the request could not be made: {error}"),
        })?;
        let connection = |source| Error::Connection { method: method.to_owned(), source };
        let ready = self.requests.clone();
        let (response, outgoing) = self.runtime.block_on(async {
            let mut ready = ready.ready().await.map_err(connection)?;
            ready.send_request(request, false).map_err(connection)
        })?;
        Ok(Call {
            channel: self,
            method: method.to_owned(),
            outgoing,
            response: Some(response),
            incoming: None,
            buffer: BytesMut::new(),
        })
    }
}

/// A call in progress.
#[derive(Debug)]
pub struct Call<'a> {
    channel: &'a mut Channel,
    method: String,
    outgoing: SendStream<Bytes>,
    response: Option<ResponseFuture>,
    incoming: Option<RecvStream>,
    buffer: BytesMut,
}

impl Call<'_> {
    /// Sends a message; `last` says that none follows. It lies in memory until the peer takes it.
    pub fn send(&mut self, message: &[u8], last: bool) -> Result<(), Error> {
        let mut frame = BytesMut::with_capacity(5 + message.len());
        frame.extend_from_slice(&[0]);
        frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
        frame.extend_from_slice(message);
        match self.outgoing.send_data(frame.freeze(), last) {
            // A peer that refuses a call closes the stream before it has taken everything; why, its answer says.
            Err(source) if self.response.is_none() => {
                Err(Error::Connection { method: self.method.clone(), source })
            }
            _ => Ok(()),
        }
    }

    /// The next message of the peer; `None` after its last one.
    pub fn receive(&mut self) -> Result<Option<Bytes>, Error> {
        let limit = self.channel.limit;
        let Self { channel, method, response, incoming, buffer, .. } = self;
        let next = next_message(method, response, incoming, buffer);
        channel.runtime.block_on(async {
            tokio::time::timeout(limit, next)
                .await
                .unwrap_or_else(|_| Err(Error::Timeout { method: method.clone(), limit }))
        })
    }

    /// Reads the end of the answer: an error if the peer says that the call failed.
    pub fn finish(mut self) -> Result<(), Error> {
        while self.receive()?.is_some() {}
        Ok(())
    }
}

/// Reads until the buffer has a whole message, or the trailers say that there is none.
async fn next_message(
    method: &str,
    response: &mut Option<ResponseFuture>,
    incoming: &mut Option<RecvStream>,
    buffer: &mut BytesMut,
) -> Result<Option<Bytes>, Error> {
    let connection = |source| Error::Connection { method: method.to_owned(), source };
    let malformed = |reason: String| Error::Answer { method: method.to_owned(), reason };
    if let Some(waiting) = response.take() {
        let (head, body) = waiting.await.map_err(connection)?.into_parts();
        if head.status != StatusCode::OK {
            return Err(malformed(format!("HTTP status {}", head.status)));
        }
        // An answer without any message has its verdict in front, and nothing else.
        if status(&head.headers).transpose()?.is_some() {
            return Ok(None);
        }
        *incoming = Some(body);
    }
    let Some(body) = incoming else { return Ok(None) };
    loop {
        if let Some(head) = buffer.first_chunk::<5>() {
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            if head[0] != 0 {
                return Err(malformed("a message is compressed".to_owned()));
            }
            if length > MAX_MESSAGE {
                return Err(malformed(format!("a message has {length} bytes")));
            }
            if buffer.len() >= 5 + length {
                buffer.advance(5);
                return Ok(Some(buffer.split_to(length).freeze()));
            }
        }
        if let Some(data) = body.data().await {
            let data = data.map_err(connection)?;
            body.flow_control().release_capacity(data.len()).map_err(connection)?;
            buffer.extend_from_slice(&data);
        } else {
            let trailers = body.trailers().await.map_err(connection)?;
            *incoming = None;
            // Without a verdict nobody said that it succeeded.
            trailers
                .as_ref()
                .and_then(status)
                .unwrap_or_else(|| Err(malformed("it ends without a status".to_owned())))?;
            if buffer.is_empty() {
                return Ok(None);
            }
            return Err(malformed("it ends within a message".to_owned()));
        }
    }
}

/// The peer's verdict, if these headers or trailers have it.
fn status(headers: &HeaderMap) -> Option<Result<(), Error>> {
    let number = headers.get("grpc-status")?.to_str().ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    if number == 0 {
        return Some(Ok(()));
    }
    let message = headers.get("grpc-message").map(|text| percent_decode(text.as_bytes())).unwrap_or_default();
    Some(Err(Error::Status { code: Code::new(number), message }))
}

/// `%C3%A9` becomes `é`; what is not well-formed stays as it is.
fn percent_decode(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) if byte == b'%' => {
                out.push(decoded);
                rest = &after[2..];
            }
            _ => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_peer_are_readable() {
        assert_eq!(percent_decode(b"no such%3A %C3%A9 100%"), "no such: \u{e9} 100%");
        assert_eq!(percent_decode(b"%zz%4"), "%zz%4");
    }

    #[test]
    fn a_refusal_is_told_by_its_number() {
        let mut headers = HeaderMap::new();
        assert!(status(&headers).is_none());
        headers.insert("grpc-status", "0".parse().unwrap());
        assert!(matches!(status(&headers), Some(Ok(()))));
        headers.insert("grpc-status", "5".parse().unwrap());
        headers.insert("grpc-message", "container%20x".parse().unwrap());
        let Some(Err(error)) = status(&headers) else { panic!("it is a refusal") };
        assert_eq!(error.to_string(), "container x (not found)");
    }

    #[test]
    fn no_socket_is_explained() {
        let error = Channel::connect(Path::new("/nonexistent/socket"), Duration::from_secs(1)).unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/socket: No such file or directory"), "{error}");
        assert!(error.to_string().contains("is containerd running?"), "{error}");
    }
}
