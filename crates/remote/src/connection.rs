//! From the options of a `.repo` file to a connection.

use lazuli_fetch::{ClientCertificate, Connection, Family, Login, Options, Proxy, Roots};
use lazuli_repo::RepoConfig;
use lazuli_repo::config::IpResolve;

/// The most attempts at one address while there are others: a mirror that is down must not hold up what the
/// next one has.
const ATTEMPTS_AMONG_MIRRORS: u32 = 2;
/// `retries = 0` asks for ever, a wrong address is wrong for ever.
const MAX_ATTEMPTS: u32 = 10;

/// How patient downloads of a repository are, and how they reach its servers.
pub(crate) fn options(config: &RepoConfig, parallel: usize) -> Options {
    let transport = &config.transport;
    let others = config.base_urls.len() > 1 || config.mirrorlist.is_some() || config.metalink.is_some();
    let limit = if others { ATTEMPTS_AMONG_MIRRORS } else { MAX_ATTEMPTS };
    Options {
        parallel,
        attempts: transport.retries.unwrap_or(MAX_ATTEMPTS).clamp(1, limit),
        read_timeout: transport.timeout,
        rate_window: transport.timeout,
        min_rate: transport.min_rate.saturating_mul(transport.timeout.as_secs().max(1)),
        connection: connection(config),
        ..Options::default()
    }
}

/// How whatever says whom to trust is fetched, keys for instance: when it is first seen nothing vouches for it but
/// the connection.
pub fn options_for_keys(config: &RepoConfig, parallel: usize) -> Options {
    let mut options = options(config, parallel);
    options.connection.https_only = true;
    options
}

fn connection(config: &RepoConfig) -> Connection {
    let transport = &config.transport;
    let login = transport.username.as_ref().map(|user| Login {
        user: user.clone(),
        password: transport.password.clone().unwrap_or_default(),
        // The mirrors in a list are other people's.
        hosts: config
            .base_urls
            .iter()
            .chain(&config.mirrorlist)
            .chain(&config.metalink)
            .filter_map(|url| Some(url.split_once("://")?.1.split('/').next()?.to_owned()))
            .collect(),
    });
    let proxy_login = transport.proxy_username.clone();
    Connection {
        proxy: transport.proxy.as_ref().map(|url| Proxy {
            url: url.clone(),
            login: proxy_login.map(|user| (user, transport.proxy_password.clone().unwrap_or_default())),
        }),
        login,
        roots: transport.ssl_ca_cert.clone().map_or(Roots::System, Roots::File),
        insecure: !transport.ssl_verify,
        // Then the server alone says what is right, so nobody may speak in its place.
        https_only: !config.checks_metadata() && !config.checks_packages(),
        client: transport
            .ssl_client_cert
            .clone()
            .map(|certificate| ClientCertificate { certificate, key: transport.ssl_client_key.clone() }),
        family: match transport.ip_resolve {
            IpResolve::Any => Family::Any,
            IpResolve::V4 => Family::V4,
            IpResolve::V6 => Family::V6,
        },
        user_agent: transport.user_agent.clone(),
        rate_limit: transport.rate_limit(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazuli_repo::config::MainConfig;

    #[test]
    fn options_of_a_repository_reach_its_connections() {
        let mut config = RepoConfig::new("test", &MainConfig::default());
        config.base_urls = vec!["https://a.example:8443/x".into()];
        config.mirrorlist = Some("https://b.example/list".into());
        let transport = &mut config.transport;
        (transport.username, transport.password) = (Some("me".into()), Some("secret".into()));
        transport.proxy = Some("http://proxy.example:1".into());
        transport.ssl_verify = false;
        transport.ssl_ca_cert = Some("/ca".into());
        transport.retries = Some(7);
        let options = options(&config, 3);
        assert_eq!((options.parallel, options.attempts), (3, ATTEMPTS_AMONG_MIRRORS));
        let connection = options.connection;
        assert!(connection.insecure && connection.proxy.is_some());
        assert_eq!(connection.roots, Roots::File("/ca".into()));
        assert_eq!(connection.login.expect("a login").hosts, ["a.example:8443", "b.example"]);
    }

    #[test]
    fn certificates_are_checked_with_the_systems_authorities_by_default() {
        let config = RepoConfig::new("test", &MainConfig::default());
        let connection = connection(&config);
        assert!(!connection.insecure);
        assert_eq!(connection.roots, Roots::System);
    }
}
