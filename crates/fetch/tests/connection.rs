//! Certificates, logins, proxies and rates, with servers on loopback.

#![allow(clippy::unwrap_used)] // A helper of a test may fail the test.

#[allow(dead_code, reason = "each test uses a part of it")]
mod server;
#[path = "server/tls.rs"]
mod tls;

use lazuli_fetch::{ClientCertificate, Connection, Error, Fetcher, Login, Options, Proxy, Roots, Silent};
use lazuli_store::Store;
use server::{Answer, Server};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn get(connection: Connection, url: &str) -> Result<Vec<u8>, Error> {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let options =
        Options { attempts: 2, backoff: Duration::from_millis(5), connection, ..Options::default() };
    Fetcher::with_options(&store, Arc::new(Silent), options).get_unpinned(url, 1 << 20)
}

fn secret(path: &str) -> Option<Vec<u8>> {
    (path == "/x").then(|| b"content".to_vec())
}

#[test]
fn a_server_must_be_vouched_for() {
    let url = tls::start(false, secret) + "/x";
    for roots in [Roots::BuiltIn, Roots::System] {
        let error = get(Connection { roots, ..Connection::default() }, &url).unwrap_err();
        assert!(matches!(error, Error::Tls { .. }), "{error}");
    }
    let ours = Connection { roots: Roots::File(tls::file("ca.pem")), ..Connection::default() };
    assert_eq!(get(ours.clone(), &url).unwrap(), b"content");
    // The certificate is of 127.0.0.1 and of localhost, of nobody else.
    let other = url.replace("127.0.0.1", "127.0.0.2");
    assert!(get(ours, &other).is_err());
    let insecure = Connection { insecure: true, ..Connection::default() };
    assert_eq!(get(insecure, &url).unwrap(), b"content");
}

#[test]
fn a_client_shows_its_certificate() {
    let url = tls::start(true, secret) + "/x";
    let nobody = Connection { roots: Roots::File(tls::file("ca.pem")), ..Connection::default() };
    assert!(get(nobody.clone(), &url).is_err());
    let certificate =
        ClientCertificate { certificate: tls::file("client.pem"), key: Some(tls::file("client.key")) };
    let known = Connection { client: Some(certificate), ..nobody };
    assert_eq!(get(known, &url).unwrap(), b"content");
}

#[test]
fn a_connection_that_cannot_be_set_up_says_why() {
    let roots = Roots::File(tls::file("none.pem"));
    let error = get(Connection { roots, ..Connection::default() }, "http://127.0.0.1:1/x").unwrap_err();
    assert!(matches!(error, Error::Setup { .. }) && error.to_string().contains("none.pem"), "{error}");
}

#[test]
fn logins_are_sent_to_their_server_only() {
    let server = Server::start(|_| Answer::Content(b"content".to_vec()));
    let host = server.url.trim_start_matches("http://").to_owned();
    let login = |hosts| {
        let login = Login { user: "Aladdin".into(), password: "open sesame".into(), hosts };
        Connection { login: Some(login), ..Connection::default() }
    };
    get(login(vec![host.clone()]), &server.url).unwrap();
    get(login(vec!["other.example".into()]), &server.url).unwrap();
    get(Connection::default(), &format!("http://Aladdin:open%20sesame@{host}/")).unwrap();
    let seen: Vec<_> = server.asked().into_iter().map(|a| a.authorization).collect();
    let header = Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_owned());
    assert_eq!(seen, [header.clone(), None, header]);
}

#[test]
fn a_redirect_to_another_server_does_not_take_the_login_along() {
    let other = Server::start(|_| Answer::Content(b"content".to_vec()));
    let target = other.url.replace("127.0.0.1", "localhost");
    let server = Server::start(move |_| Answer::Redirect(target.clone()));
    let host = server.url.trim_start_matches("http://").to_owned();
    let login = Login { user: "me".into(), password: "secret".into(), hosts: vec![host] };
    get(Connection { login: Some(login), ..Connection::default() }, &server.url).unwrap();
    assert!(server.asked()[0].authorization.is_some());
    assert!(other.asked()[0].authorization.is_none());
}

#[test]
fn a_proxy_is_asked_instead_of_the_server() {
    let proxy = Server::start(|_| Answer::Status(403));
    let connection =
        Connection { proxy: Some(Proxy { url: proxy.url.clone(), login: None }), ..Connection::default() };
    assert!(get(connection, "http://repository.invalid/x").is_err());
    assert!(proxy.asked()[0].path.contains("repository.invalid"), "{:?}", proxy.asked());
}

#[test]
fn a_rate_is_not_exceeded() {
    let server = Server::start(|_| Answer::Content(vec![0; 30_000]));
    let start = Instant::now();
    get(Connection { rate_limit: Some(60_000), ..Connection::default() }, &server.url).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(450), "{:?}", start.elapsed());
}
