//! An HTTPS server on loopback. Its certificate and that of a client are vouched for by an authority of the
//! tests; all of them hold until 2120 and protect nothing.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file beside the test certificates.
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fetch/tests/server/tls").join(name)
}

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file(name)).unwrap()
}

/// Starts a server that answers each path with what `content` says, or 404; returns its address. With
/// `ask_client` it talks to nobody who shows no certificate.
pub fn start(ask_client: bool, content: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> String {
    listen(ask_client, move |path| match content(path) {
        Some(body) => {
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            [head.into_bytes(), body].concat()
        }
        None => b"HTTP/1.1 404 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
    })
}

/// Starts a server that says that everything is at another one.
#[allow(dead_code)] // Not every test that has this module needs it.
pub fn redirect(to: String) -> String {
    listen(false, move |path| {
        format!("HTTP/1.1 302 X\r\nLocation: {to}{path}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .into_bytes()
    })
}

fn listen(ask_client: bool, answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = if ask_client {
        let mut roots = RootCertStore::empty();
        roots.add(certificate("ca.pem")).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let config = Arc::new(builder.with_single_cert(vec![certificate("server.pem")], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, answer) = (config.clone(), answer.clone());
            // A client that does not like our certificate hangs up; that is part of the tests.
            std::thread::spawn(move || drop(serve(stream, config, answer.as_ref())));
        }
    });
    url
}

/// One exchange.
fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    answer: &(impl Fn(&str) -> Vec<u8> + ?Sized),
) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    stream.write_all(&answer(head.split(' ').nth(1).unwrap_or("")))?;
    stream.conn.send_close_notify();
    stream.flush()
}
