//! A repository, its web server on loopback with faults, and a host that follows it.

#![allow(dead_code)] // Each test program uses a part of it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use jiff::Timestamp as Time;
use lazuli_delta::BLOCK;
use lazuli_fetch::Options;
use lazuli_fs as fs;
use lazuli_layout::Architecture;
use lazuli_release::Origin;
use lazuli_release::client::{Client, Host};
use lazuli_release::key::Key;
use lazuli_release::publisher::{Publisher, Release, Roles, Settings};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const PRODUCT: &str = "lazuli-test";

/// What a server does to one file.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Serves other bytes.
    Replace(Vec<u8>),
    /// Serves only so many bytes, and says so in its header.
    Truncate(usize),
    /// Never stops.
    Endless,
}

/// A static web server with byte ranges.
#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    faults: Arc<Mutex<BTreeMap<String, Fault>>>,
    /// Bytes of bodies that were sent.
    pub sent: Arc<AtomicU64>,
}

impl Server {
    pub fn start(dir: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server =
            Self { address: listener.local_addr().unwrap(), faults: Arc::default(), sent: Arc::default() };
        let (all, dir) = (server.clone(), dir.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (server, dir) = (all.clone(), dir.clone());
                std::thread::spawn(move || drop(server.converse(&stream, &dir)));
            }
        });
        server
    }

    /// From now on files whose path ends like this are served with a fault.
    pub fn fault(&self, end: &str, fault: Fault) {
        self.faults.lock().unwrap().insert(end.to_owned(), fault);
    }

    pub fn heal(&self) {
        self.faults.lock().unwrap().clear();
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn converse(&self, stream: &TcpStream, dir: &Path) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut input, mut output) = (BufReader::new(stream), stream);
        loop {
            let (mut request, mut range) = (String::new(), None);
            if input.read_line(&mut request)? == 0 {
                return Ok(());
            }
            loop {
                let mut line = String::new();
                if input.read_line(&mut line)? == 0 || line == "\r\n" {
                    break;
                }
                if let Some(text) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                    let (from, last) = text.trim().split_once('-').unwrap_or(("0", ""));
                    range = Some((from.parse::<usize>().unwrap_or(0), last.parse::<usize>().ok()));
                }
            }
            let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
            let fault = self
                .faults
                .lock()
                .unwrap()
                .iter()
                .find(|(end, _)| path.ends_with(*end))
                .map(|(_, f)| f.clone());
            if matches!(fault, Some(Fault::Endless)) {
                output.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
                loop {
                    output.write_all(&[b' '; 4096])?;
                    self.sent.fetch_add(4096, Ordering::Relaxed);
                }
            }
            let bytes = match fault {
                Some(Fault::Replace(ref bytes)) => Some(bytes.clone()),
                _ => fs::read(dir.join(path.trim_start_matches('/'))).ok(),
            };
            let Some(mut bytes) = bytes else {
                output.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
                continue;
            };
            if let Some(Fault::Truncate(size)) = fault {
                bytes.truncate(size);
            }
            let size = bytes.len();
            let (status, body) = match range {
                None => ("200 OK".to_owned(), &bytes[..]),
                Some((from, _)) if from >= size => {
                    output.write_all(b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n")?;
                    continue;
                }
                Some((from, last)) => {
                    let end = last.map_or(size, |last| (last + 1).min(size));
                    let range = format!("bytes {from}-{}/{size}", end.saturating_sub(1));
                    (format!("206 Partial Content\r\nContent-Range: {range}"), &bytes[from..end])
                }
            };
            write!(output, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len())?;
            // Before the client has it and looks at the number.
            self.sent.fetch_add(body.len() as u64, Ordering::SeqCst);
            output.write_all(body)?;
        }
    }
}

/// Bytes that do not compress, different for each seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut out = Vec::with_capacity(length);
    while out.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(length);
    out
}

/// The root image of a release: 1 MiB that all have, some blocks of its own, and zeros.
pub fn image(version: u64) -> Vec<u8> {
    let mut image = noise(1, 256 * BLOCK);
    let own = noise(1000 + version, 4 * BLOCK);
    image[40 * BLOCK..44 * BLOCK].copy_from_slice(&own);
    image[100 * BLOCK + 17] ^= version as u8;
    image.extend_from_slice(&vec![0; 8 * BLOCK]);
    image
}

/// Everything that a test needs.
pub struct World {
    pub dir: tempfile::TempDir,
    pub roles: Roles,
    pub server: Server,
}

pub const SETTINGS: Settings = Settings { recipes: 3, frame_blocks: 8, level: 3 };

impl World {
    /// A repository with the releases 1.0 and 1.1.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let roles = Roles::development();
        for name in roles.names() {
            Key::generate(&dir.path().join("keys"), &name).unwrap();
        }
        let server = Server::start(&dir.path().join("repository"));
        let world = Self { dir, roles, server };
        world.publisher().create(&world.roles).unwrap();
        world.publish("1.0", 0);
        world.publish("1.1", 1);
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn keys(&self) -> Vec<Key> {
        Key::load_all(&self.path("keys")).unwrap()
    }

    pub fn publisher(&self) -> Publisher {
        self.publisher_at(Time::now())
    }

    pub fn publisher_at(&self, now: Time) -> Publisher {
        Publisher::new(&self.path("repository"), self.keys(), now)
    }

    pub fn release(&self, version: &str, content: u64) -> Release {
        let root = self.path(&format!("root-{version}"));
        let uki = self.path(&format!("uki-{version}"));
        fs::write(&root, image(content)).unwrap();
        fs::write(&uki, format!("UKI of {version}")).unwrap();
        Release {
            product: PRODUCT.into(),
            version: version.parse().unwrap(),
            architecture: Architecture::X86_64,
            minimum_version: "1.0".parse().unwrap(),
            root,
            uki,
            uki_file: format!("lazuli-{version}.efi"),
            systemd_boot: None,
        }
    }

    pub fn publish(&self, version: &str, content: u64) {
        self.publisher().publish(&[self.release(version, content)], &self.roles, &SETTINGS).unwrap();
    }

    /// The root metadata that images bring.
    pub fn anchor(&self) -> Vec<u8> {
        fs::read(self.path("repository/metadata/1.root.json")).unwrap()
    }

    /// A host that runs a version and follows the server.
    pub fn client(&self, running: &str) -> Client {
        self.client_of(&self.server.url(), running, self.anchor())
    }

    pub fn client_of(&self, place: &str, running: &str, anchor: Vec<u8>) -> Client {
        let options = Options {
            attempts: 2,
            backoff: Duration::from_millis(1),
            read_timeout: Duration::from_secs(10),
            ..Options::default()
        };
        let host = Host {
            product: PRODUCT.into(),
            architecture: Architecture::X86_64,
            running: running.parse().unwrap(),
            minimum: "1.0".parse().unwrap(),
        };
        Client::new(Origin::new(place, options).unwrap(), &self.path("state"), anchor, host)
    }

    /// All that the host remembers, to see that nothing of it changed.
    pub fn remembered(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = fs::read_dir(self.path("state")).unwrap_or_default();
        entries.into_iter().map(|path| (path.clone(), fs::read(&path).unwrap_or_default())).collect()
    }

    /// A copy of the repository's metadata, and back.
    pub fn save(&self, name: &str) {
        copy(&self.path("repository/metadata"), &self.path(name));
    }

    pub fn restore(&self, name: &str) {
        fs::remove_dir_all(self.path("repository/metadata")).unwrap();
        copy(&self.path(name), &self.path("repository/metadata"));
    }

    /// Lists a file as a target, signed with the publisher's own keys: what a publisher should not do.
    pub fn republish(&self, name: &str, bytes: &[u8]) {
        self.publisher().publish_raw(name, bytes, &self.roles).unwrap();
    }

    /// The one file of the repository's targets whose name ends like this.
    pub fn target(&self, end: &str) -> PathBuf {
        let all = fs::read_dir(self.path("repository/targets")).unwrap();
        let mut found: Vec<PathBuf> =
            all.into_iter().filter(|path| path.to_string_lossy().ends_with(end)).collect();
        assert_eq!(found.len(), 1, "{end}");
        found.remove(0)
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in fs::read_dir(from).unwrap() {
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}
