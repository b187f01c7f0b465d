//! Options of connections: `[main]` gives them for all repositories, each repository may differ.

use super::value::{self, Parsed, Throttle};
use std::path::PathBuf;
use std::time::Duration;

/// How files of a repository are fetched.
#[derive(Debug, Clone, PartialEq)]
pub struct Transport {
    /// `proxy`: the URL of a proxy. Empty in the file (or `_none_`) means none, whatever `[main]` says.
    pub proxy: Option<String>,
    /// `proxy_username`.
    pub proxy_username: Option<String>,
    /// `proxy_password`.
    pub proxy_password: Option<String>,
    /// `username`, for servers that ask for one.
    pub username: Option<String>,
    /// `password`.
    pub password: Option<String>,
    /// `timeout`: how long a connection may be silent or slower than [`Transport::min_rate`].
    pub timeout: Duration,
    /// `retries`: how often a file is tried; `None` (0 in the file) is without a limit of its own.
    pub retries: Option<u32>,
    /// `minrate`: bytes a second below which a connection counts as stuck.
    pub min_rate: u64,
    /// `throttle`: the rate that is not exceeded.
    pub throttle: Throttle,
    /// `bandwidth`: bytes a second that a percentage in `throttle` refers to; 0 is unknown.
    pub bandwidth: u64,
    /// `ip_resolve`: which addresses are used.
    pub ip_resolve: IpResolve,
    /// `sslverify`: whether the server's certificate is checked.
    pub ssl_verify: bool,
    /// `sslcacert`: certificate authorities instead of the system's.
    pub ssl_ca_cert: Option<PathBuf>,
    /// `sslclientcert`: the certificate to show.
    pub ssl_client_cert: Option<PathBuf>,
    /// `sslclientkey`: its key.
    pub ssl_client_key: Option<PathBuf>,
    /// `user_agent`, instead of the program's own.
    pub user_agent: Option<String>,
}

/// Which addresses of a server are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IpResolve {
    /// Whichever answers.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            proxy: None,
            proxy_username: None,
            proxy_password: None,
            username: None,
            password: None,
            timeout: Duration::from_secs(30),
            retries: Some(10),
            min_rate: 1000,
            throttle: Throttle::Unlimited,
            bandwidth: 0,
            ip_resolve: IpResolve::Any,
            ssl_verify: true,
            ssl_ca_cert: None,
            ssl_client_cert: None,
            ssl_client_key: None,
            user_agent: None,
        }
    }
}

impl Transport {
    /// The bytes a second that must not be exceeded, if any.
    pub fn rate_limit(&self) -> Option<u64> {
        match self.throttle {
            Throttle::Rate(rate) => Some(rate),
            Throttle::Share(share) if self.bandwidth > 0 => {
                Some(((self.bandwidth as f64) * share).max(1.0) as u64)
            }
            Throttle::Unlimited | Throttle::Share(_) => None,
        }
    }

    /// Sets the option `key`, which must be in its canonical spelling; says whether there is one.
    pub(crate) fn set(&mut self, key: &str, text: &str) -> Parsed<bool> {
        match key {
            "proxy" => self.proxy = value::optional(text),
            "proxy_username" => self.proxy_username = value::optional(text),
            "proxy_password" => self.proxy_password = value::optional(text),
            "username" => self.username = value::optional(text),
            "password" => self.password = value::optional(text),
            "timeout" => {
                self.timeout = value::duration(text)?;
                if self.timeout.is_zero() {
                    return Err("0 would wait for ever; give a time above 0".to_owned());
                }
            }
            "retries" => {
                let retries = value::number(text, 0, 1000)? as u32;
                self.retries = (retries > 0).then_some(retries);
            }
            "minrate" => self.min_rate = value::bytes(text)?,
            "throttle" => self.throttle = value::throttle(text)?,
            "bandwidth" => self.bandwidth = value::bytes(text)?,
            "ip_resolve" => {
                self.ip_resolve = value::choice(
                    text,
                    &[
                        ("ipv4", IpResolve::V4),
                        ("4", IpResolve::V4),
                        ("ipv6", IpResolve::V6),
                        ("6", IpResolve::V6),
                        ("whatever", IpResolve::Any),
                    ],
                )?;
            }
            "sslverify" => self.ssl_verify = value::boolean(text)?,
            "sslcacert" => self.ssl_ca_cert = value::optional(text).map(PathBuf::from),
            "sslclientcert" => self.ssl_client_cert = value::optional(text).map(PathBuf::from),
            "sslclientkey" => self.ssl_client_key = value::optional(text).map(PathBuf::from),
            "user_agent" => self.user_agent = value::optional(text),
            _ => return Ok(false),
        }
        Ok(true)
    }
}
