//! A static web server on loopback, for guests and clients under test.

use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Serves one directory at a time below `/repository/`; requests for `/signal/NAME` are reported.
pub struct Server {
    port: u16,
    #[allow(dead_code)]
    dir: Arc<Mutex<PathBuf>>,
    #[allow(dead_code)]
    signals: Receiver<String>,
}

impl Server {
    /// Starts to serve `dir`, until the process ends.
    pub fn start(dir: &Path) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback");
        let port = listener.local_addr().expect("an address").port();
        let dir = Arc::new(Mutex::new(dir.to_owned()));
        let (sender, signals) = channel();
        let shared = dir.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (dir, sender) = (shared.lock().expect("no panic").clone(), sender.clone());
                // A client that goes away is its own business.
                std::thread::spawn(move || drop(answer(stream, &dir, &sender)));
            }
        });
        Self { port, dir, signals }
    }

    /// The address of the directory, as a guest of QEMU's user network sees it.
    pub fn guest_url(&self, below: &str) -> String {
        format!("http://10.0.2.2:{}/{below}", self.port)
    }

    /// Serves another directory from now on.
    #[allow(dead_code)] // Not every test that has this module needs it.
    pub fn switch(&self, dir: &Path) {
        dir.clone_into(&mut self.dir.lock().expect("no panic"));
    }

    /// Waits for the next signal; `None` after `limit`.
    #[allow(dead_code)] // The same.
    pub fn signal(&self, limit: Duration) -> Option<String> {
        self.signals.recv_timeout(limit).ok()
    }
}

/// One connection, request after request.
fn answer(stream: TcpStream, dir: &Path, signals: &Sender<String>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut request = String::new();
        if reader.by_ref().take(8192).read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut from = None;
        loop {
            let mut line = String::new();
            reader.by_ref().take(8192).read_line(&mut line)?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(range) = line.strip_prefix("range: bytes=") {
                from = range.strip_suffix('-').and_then(|n| n.parse::<u64>().ok());
            }
        }
        let mut words = request.split_whitespace();
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if let Some(signal) = path.strip_prefix("/signal/") {
            let _nobody_waits = signals.send(signal.to_owned());
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        }
        let below = Path::new(path.strip_prefix("/repository/").unwrap_or("-"));
        let plain = below.components().all(|c| matches!(c, Component::Normal(_)));
        let Some(mut file) = plain.then(|| lazuli_fs::open(dir.join(below)).ok()).flatten() else {
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        };
        let size = file.metadata()?.len();
        let start = from.unwrap_or(0).min(size);
        file.seek(SeekFrom::Start(start))?;
        let status = match from {
            None => "200 OK".to_owned(),
            Some(_) => format!(
                "206 Partial Content\r\nContent-Range: bytes {start}-{}/{size}",
                size.saturating_sub(1)
            ),
        };
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", size - start)?;
        if method == "GET" {
            std::io::copy(&mut file, &mut stream)?;
        }
    }
}
