//! A static web server on loopback, as small as the peers need it, and the metadata of a repository.

use lazuli_fs as fs;
use lazuli_repo::{Href, Options, Package};
use lazuli_rpm::{PackageFile, Signer};
use lazuli_store::Digest;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};

/// Serves the files below `dir` until the process ends.
pub fn serve(dir: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let dir = dir.clone();
            std::thread::spawn(move || drop(converse(&stream, &dir)));
        }
    });
    address
}

/// Answers the requests of one connection.
fn converse(stream: &TcpStream, dir: &Path) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut input, mut output) = (BufReader::new(stream), stream);
    loop {
        let mut request = String::new();
        if input.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut from = None;
        loop {
            let mut line = String::new();
            if input.read_line(&mut line)? == 0 || line == "\r\n" {
                break;
            }
            if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                from = range.split('-').next().and_then(|n| n.trim().parse::<u64>().ok());
            }
        }
        let mut words = request.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        // Some clients escape `+` and `~`.
        let path = path.replace("%2B", "+").replace("%2b", "+").replace("%7E", "~").replace("%7e", "~");
        let file = dir.join(path.trim_start_matches('/'));
        let opened = if path.contains("..") || !file.is_file() { None } else { fs::open(&file).ok() };
        let Some(mut file) = opened else {
            output.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        };
        let size = file.metadata()?.len();
        let start = from.unwrap_or(0).min(size);
        let status = if from.is_some() {
            format!("206 Partial Content\r\nContent-Range: bytes {start}-{}/{size}", size.saturating_sub(1))
        } else {
            "200 OK".to_owned()
        };
        let length = size - start;
        write!(output, "HTTP/1.1 {status}\r\nAccept-Ranges: bytes\r\nContent-Length: {length}\r\n\r\n")?;
        if method != "HEAD" {
            file.seek(SeekFrom::Start(start))?;
            std::io::copy(&mut file.take(length), &mut output)?;
        }
    }
}

/// Writes the metadata of packages that lie below `packages/`.
pub fn index(repository: &Path, files: &[(String, Vec<u8>)], signer: &Signer) {
    let packages: Vec<Package> = files
        .iter()
        .map(|(name, bytes)| {
            let package = PackageFile::parse(bytes).expect("a package");
            let href = Href::new(&format!("packages/{name}")).expect("a location");
            Package::from_headers(
                &package.signature,
                &package.header,
                bytes.len() as u64,
                Digest::of(bytes),
                href,
            )
            .expect("a package")
        })
        .collect();
    let options = Options { revision: 1_700_000_000, ..Options::default() };
    lazuli_repo::write_repository(repository, &packages, &options, signer).expect("metadata");
}
