//! How servers are reached: proxy, certificates, logins, addresses, rate.

use lazuli_fs as fs;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// How servers are reached. The default asks the environment for a proxy and believes the authorities that
/// are built in.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// A proxy instead of the one in the environment.
    pub proxy: Option<Proxy>,
    /// A login for servers that ask for one.
    pub login: Option<Login>,
    /// Authorities that vouch for servers.
    pub roots: Roots,
    /// Does not check certificates of servers: whoever is in between can then answer in their name.
    pub insecure: bool,
    /// Nothing but https, wherever servers lead to: for content that nothing else vouches for.
    pub https_only: bool,
    /// A certificate of our own to show.
    pub client: Option<ClientCertificate>,
    /// Which addresses of a server are used.
    pub family: Family,
    /// Who we say we are, instead of the usual.
    pub user_agent: Option<String>,
    /// The rate in bytes a second that all downloads together do not exceed.
    pub rate_limit: Option<u64>,
}

/// A proxy. `no_proxy` in the environment says who is reached without it.
#[derive(Clone)]
pub struct Proxy {
    /// Its address, `http://HOST:PORT`.
    pub url: String,
    /// A user name and a password for it.
    pub login: Option<(String, String)>,
}

impl fmt::Debug for Proxy {
    // Passwords must not get into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({})", crate::source::redact(&self.url))
    }
}

/// A user name and a password.
#[derive(Clone)]
pub struct Login {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: String,
    /// Hosts (with their port, where the address names one) that it is sent to: a mirror that a list names is
    /// somebody else.
    pub hosts: Vec<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({} at {})", self.user, self.hosts.join(", "))
    }
}

/// Authorities that vouch for servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Roots {
    /// Those of Mozilla, as they were when the program was built.
    #[default]
    BuiltIn,
    /// Those that the system's administrator believes; where there is no such file, the built-in ones.
    System,
    /// Those in a file in PEM form, and no others.
    File(PathBuf),
}

/// A certificate of our own and its key, in PEM form.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// The certificate, followed by those that vouch for it.
    pub certificate: PathBuf,
    /// The key; `None` if it lies in the same file.
    pub key: Option<PathBuf>,
}

/// Which addresses of a server are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Family {
    /// Whichever answers.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// Where distributions keep the authorities that the administrator believes.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

impl Connection {
    /// What the HTTP client wants to know about TLS.
    pub(crate) fn tls(&self) -> Result<TlsConfig, String> {
        let roots = match &self.roots {
            Roots::BuiltIn => RootCerts::WebPki,
            Roots::File(path) => read_roots(path)?,
            Roots::System => match BUNDLES.iter().map(Path::new).find(|p| p.exists()) {
                Some(path) => read_roots(path)?,
                None => RootCerts::WebPki,
            },
        };
        let client = self.client.as_ref().map(read_client).transpose()?;
        let builder = TlsConfig::builder().root_certs(roots).client_cert(client);
        Ok(builder.disable_verification(self.insecure).build())
    }

    /// The proxy, in the form that the HTTP client wants.
    pub(crate) fn proxy(&self) -> Result<Option<ureq::Proxy>, String> {
        let Some(wanted) = &self.proxy else { return Ok(ureq::Proxy::try_from_env()) };
        let wrong = |e: ureq::Error| format!("proxy {}: {e}", crate::source::redact(&wanted.url));
        let parsed = ureq::Proxy::new(&wanted.url).map_err(wrong)?;
        let mut builder = ureq::Proxy::builder(parsed.protocol()).host(parsed.host()).port(parsed.port());
        let own = || Some((parsed.username()?.to_owned(), parsed.password().unwrap_or_default().to_owned()));
        if let Some((user, password)) = wanted.login.clone().or_else(own) {
            builder = builder.username(&user).password(&password);
        }
        let exceptions = std::env::var("no_proxy").or_else(|_| std::env::var("NO_PROXY")).unwrap_or_default();
        for exception in exceptions.split(',').map(str::trim).filter(|e| !e.is_empty()) {
            builder = builder.no_proxy(exception);
        }
        builder.build().map(Some).map_err(wrong)
    }

    /// What an `Authorization` header says to the server of `url`, if anything (RFC 7617), and the address
    /// without a login in it.
    pub(crate) fn authorization(&self, url: &str) -> (Option<String>, String) {
        let Some((scheme, rest)) = url.split_once("://") else { return (None, url.to_owned()) };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let basic =
            |user: &str, password: &str| format!("Basic {}", base64(format!("{user}:{password}").as_bytes()));
        if let Some((login, host)) = authority.rsplit_once('@') {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            let header = basic(&unescaped(user), &unescaped(password));
            return (Some(header), format!("{scheme}://{host}{path}"));
        }
        let login = self.login.as_ref();
        let login = login.filter(|l| l.hosts.iter().any(|h| h.eq_ignore_ascii_case(authority)));
        (login.map(|l| basic(&l.user, &l.password)), url.to_owned())
    }
}

fn items(path: &Path) -> Result<Vec<PemItem<'static>>, String> {
    let bytes = fs::read(path).map_err(|e| e.to_string())?;
    parse_pem(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|e| format!("{}: {e}; it must be in PEM form", path.display()))
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let found = items(path)?.into_iter();
    let found: Vec<_> = found
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(format!("{}: there is no certificate in PEM form in it", path.display()));
    }
    Ok(found)
}

fn read_roots(path: &Path) -> Result<RootCerts, String> {
    Ok(RootCerts::new_with_certs(&certificates(path)?))
}

fn read_client(client: &ClientCertificate) -> Result<ClientCert, String> {
    let chain = certificates(&client.certificate)?;
    let path = client.key.as_ref().unwrap_or(&client.certificate);
    let bytes = fs::read(path).map_err(|e| e.to_string())?;
    let key = PrivateKey::from_pem(&bytes)
        .map_err(|e| format!("{}: {e}; a key must be in PEM form, without a password", path.display()))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

/// Resolves percent escapes; what is none stays as it is.
fn unescaped(text: &str) -> String {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, more)) = rest.split_first() {
        let code = more.get(..2).filter(|code| *first == b'%' && code.iter().all(u8::is_ascii_hexdigit));
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        if let Some(byte) = code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            out.push(byte);
            rest = &more[2..];
        } else {
            out.push(*first);
            rest = more;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Base 64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            out.push(if digit <= chunk.len() { char::from(DIGITS[value as usize]) } else { '=' });
        }
    }
    out
}

/// Keeps all readers together below a rate.
#[derive(Debug)]
pub(crate) struct Throttle {
    rate: u64,
    /// When what was read so far was due.
    due: Mutex<Instant>,
}

impl Throttle {
    pub(crate) fn new(rate: u64) -> Self {
        Self { rate: rate.max(1), due: Mutex::new(Instant::now()) }
    }

    /// How many bytes one read may bring, so that no pause gets long.
    pub(crate) fn step(&self) -> usize {
        usize::try_from(self.rate / 4).unwrap_or(usize::MAX).max(1)
    }

    /// Waits until `bytes` more are due.
    pub(crate) fn wait(&self, bytes: usize) {
        let now = Instant::now();
        let until = {
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            *due = (*due).max(now) + Duration::from_secs_f64(bytes as f64 / self.rate as f64);
            *due
        };
        std::thread::sleep(until.saturating_duration_since(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_go_to_their_hosts_only() {
        let login = Login {
            user: "Aladdin".into(),
            password: "open sesame".into(),
            hosts: vec!["a.example:8".into()],
        };
        let connection = Connection { login: Some(login), ..Connection::default() };
        // The example of RFC 7617.
        let header = Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_owned());
        let url = "https://A.example:8/x".to_owned();
        assert_eq!(connection.authorization(&url), (header.clone(), url));
        for url in ["https://a.example/x", "https://b.example:8/a.example:8/", "a.example:8"] {
            assert_eq!(connection.authorization(url), (None, url.to_owned()));
        }
        let within = "http://Aladdin:open%20sesame@b.example/x@y";
        assert_eq!(connection.authorization(within), (header, "http://b.example/x@y".to_owned()));
        assert!(!format!("{connection:?}").contains("sesame"));
    }

    #[test]
    fn base64_of_all_remainders() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn percent_escapes() {
        assert_eq!(unescaped("a%40b%"), "a@b%");
        assert_eq!(unescaped("%zz%4"), "%zz%4");
    }

    #[test]
    fn files_without_a_certificate_or_key_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("empty.pem");
        fs::write(&path, "nothing").unwrap();
        let roots = Connection { roots: Roots::File(path.clone()), ..Connection::default() };
        assert!(roots.tls().unwrap_err().contains("empty.pem"));
        let client = ClientCertificate { certificate: dir.path().join("none.pem"), key: None };
        let client = Connection { client: Some(client), ..Connection::default() };
        assert!(client.tls().unwrap_err().contains("none.pem"));
    }

    #[test]
    fn a_proxy_has_an_address() {
        let proxy = |url: &str| {
            let proxy = Proxy { url: url.into(), login: Some(("me".into(), "p@ss".into())) };
            Connection { proxy: Some(proxy), ..Connection::default() }.proxy()
        };
        let good = proxy("http://proxy.example:3128").unwrap().unwrap();
        assert_eq!((good.host(), good.port(), good.password()), ("proxy.example", 3128, Some("p@ss")));
        assert!(proxy("gopher://x").unwrap_err().contains("gopher"));
    }

    #[test]
    fn a_throttle_slows_down() {
        let throttle = Throttle::new(1000);
        let start = Instant::now();
        throttle.wait(50);
        throttle.wait(50);
        assert!(start.elapsed() >= Duration::from_millis(95));
    }
}
