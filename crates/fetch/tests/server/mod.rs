//! An HTTP server on loopback whose every answer a test decides, byte by byte.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The path.
    pub path: String,
    /// Where a `Range` begins.
    pub range: Option<usize>,
    /// `If-Range`.
    pub if_range: Option<String>,
    /// `User-Agent`.
    pub user_agent: String,
    /// `Authorization`.
    pub authorization: Option<String>,
    /// Which request this is, from 1.
    pub number: usize,
}

/// How to answer.
pub enum Answer {
    /// A status without content.
    Status(u16),
    /// 200 or, where a range was asked for, 206, as a proper server would.
    Content(Vec<u8>),
    /// The same, with an entity tag; `If-Range` with another one gets everything.
    Tagged(&'static str, Vec<u8>),
    /// 200 with all of the content, whatever range was asked for.
    Whole(Vec<u8>),
    /// A proper head, but the connection breaks after this many bytes of the body.
    Broken(Vec<u8>, usize),
    /// 200 without a length: bytes until the other side has had enough.
    Endless,
    /// A proper head, then this much of the body, then silence.
    Silent(Vec<u8>, usize),
    /// A proper head, then one byte after the other with this pause.
    Trickle(Vec<u8>, Duration),
    /// A redirect.
    Redirect(String),
    /// These bytes, whatever they are.
    Raw(Vec<u8>),
}

/// A running server; it ends with the test process.
pub struct Server {
    /// Its address, `http://127.0.0.1:PORT`.
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Starts a server that answers as `decide` says.
    pub fn start(decide: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, decide) = (asked.clone(), Arc::new(decide));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, decide) = (log.clone(), decide.clone());
                // A client that hangs up early is part of the tests.
                std::thread::spawn(move || drop(serve(stream, &log, decide.as_ref())));
            }
        });
        Self { url, asked }
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<Asked>>,
    decide: &(impl Fn(&Asked) -> Answer + ?Sized),
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or("").to_owned();
        let mut asked = Asked {
            path,
            range: None,
            if_range: None,
            user_agent: String::new(),
            authorization: None,
            number: 0,
        };
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
                break;
            }
            let (name, value) = header.split_once(':').unwrap_or((&header, ""));
            let value = value.trim().to_owned();
            match name.to_ascii_lowercase().as_str() {
                "range" => {
                    asked.range =
                        value.strip_prefix("bytes=").and_then(|r| r.trim_end_matches('-').parse().ok());
                }
                "if-range" => asked.if_range = Some(value),
                "authorization" => asked.authorization = Some(value),
                "user-agent" => asked.user_agent = value,
                _ => {}
            }
        }
        {
            let mut log = log.lock().unwrap();
            asked.number = log.len() + 1;
            log.push(asked.clone());
        }
        match decide(&asked) {
            Answer::Status(status) => {
                stream.write_all(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").as_bytes())?;
            }
            Answer::Content(content) => {
                let start = head(&mut stream, &content, asked.range, "")?;
                stream.write_all(&content[start..])?;
            }
            Answer::Tagged(tag, content) => {
                let same = asked.if_range.as_deref().is_none_or(|t| t == tag);
                let start =
                    head(&mut stream, &content, asked.range.filter(|_| same), &format!("ETag: {tag}\r\n"))?;
                stream.write_all(&content[start..])?;
            }
            Answer::Whole(content) => {
                head(&mut stream, &content, None, "")?;
                stream.write_all(&content)?;
            }
            Answer::Broken(content, after) => {
                let start = head(&mut stream, &content, asked.range, "ETag: \"x\"\r\n")?;
                stream.write_all(&content[start..content.len().min(start + after)])?;
                return stream.shutdown(std::net::Shutdown::Both);
            }
            Answer::Endless => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
                loop {
                    stream.write_all(&[b'x'; 4096])?;
                }
            }
            Answer::Silent(content, after) => {
                let start = head(&mut stream, &content, asked.range, "")?;
                stream.write_all(&content[start..start + after])?;
                std::thread::sleep(Duration::from_secs(60));
            }
            Answer::Trickle(content, pause) => {
                let start = head(&mut stream, &content, asked.range, "")?;
                for byte in &content[start..] {
                    stream.write_all(&[*byte])?;
                    std::thread::sleep(pause);
                }
            }
            Answer::Redirect(to) => {
                stream.write_all(
                    format!("HTTP/1.1 302 X\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").as_bytes(),
                )?;
            }
            Answer::Raw(bytes) => {
                stream.write_all(&bytes)?;
                return stream.shutdown(std::net::Shutdown::Both);
            }
        }
    }
}

/// Writes the head of an answer with content; returns where the body starts.
fn head(stream: &mut TcpStream, content: &[u8], range: Option<usize>, more: &str) -> std::io::Result<usize> {
    let total = content.len();
    let (start, text) = match range {
        None => (0, format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n{more}\r\n")),
        Some(start) if start >= total => (
            total,
            format!("HTTP/1.1 416 X\r\nContent-Length: 0\r\nContent-Range: bytes */{total}\r\n{more}\r\n"),
        ),
        Some(start) => (
            start,
            format!(
                "HTTP/1.1 206 X\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{}/{total}\r\n{more}\r\n",
                total - start,
                total - 1
            ),
        ),
    };
    stream.write_all(text.as_bytes())?;
    Ok(start)
}
