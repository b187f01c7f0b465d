//! Repositories on servers that fail, dawdle, lie or come to an end in the middle.

#![allow(clippy::unwrap_used)] // The server of the tests is shared.

#[allow(dead_code, reason = "each test uses a part of it")]
#[path = "../../fetch/tests/server/mod.rs"]
mod server;
#[allow(dead_code, reason = "each test uses a part of it")]
mod support;
#[path = "../../fetch/tests/server/tls.rs"]
mod tls;

use lazuli_fs as fs;
use lazuli_remote::{Error, Fetched, Freshness, Remote, Wanted};
use lazuli_repo::{Lack, RepoConfig};
use lazuli_rpm::Signer;
use lazuli_solve::Universe as _;
use server::{Answer, Asked, Server};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::{BORN, NOW, World, edit, signer, snapshot};

/// What an honest server answers.
fn honest(root: &Path, asked: &Asked) -> Answer {
    fs::read(root.join(asked.path.trim_start_matches('/'))).map_or(Answer::Status(404), Answer::Content)
}

/// The world's repository at these addresses, with little patience.
fn at(world: &World, urls: &[&str]) -> RepoConfig {
    let mut config = world.config();
    config.base_urls = urls.iter().map(|&url| url.to_owned()).collect();
    config.transport.retries = Some(1);
    config.transport.timeout = Duration::from_secs(1);
    config
}

fn server(world: &World) -> Server {
    let root = world.path("repo");
    Server::start(move |asked| honest(&root, asked))
}

/// A server's idea of an answer.
type Decide = fn(&Path, &Asked) -> Answer;

const EXPECTED: [&str; 2] = ["a-1-1.noarch", "b-1-1.noarch"];

#[test]
fn what_is_cached_is_not_asked_for_again() {
    let world = World::new();
    let server = server(&world);
    let config = at(&world, &[&server.url]);
    assert_eq!(world.names(&config, NOW, Freshness::IfOld).unwrap(), EXPECTED);
    let first = server.asked().len();
    assert_eq!(first, 3, "list, signature, primary");
    assert_eq!(world.names(&config, NOW + 60, Freshness::IfOld).unwrap(), EXPECTED);
    assert_eq!(server.asked().len(), first);
    // Looked at again, but the same: no part is fetched twice.
    assert_eq!(world.names(&config, NOW + 60, Freshness::Now).unwrap(), EXPECTED);
    assert_eq!(server.asked().len(), first + 2);
}

#[test]
fn the_next_mirror_helps_where_one_fails_lies_or_dawdles() {
    let world = World::new();
    let good = server(&world);
    let bad: [Decide; 5] = [
        |_, _| Answer::Status(503),
        |_, _| Answer::Status(404),
        |_, _| Answer::Raw(b"gopher".to_vec()),
        |_, _| Answer::Content(b"<repomd/>".to_vec()),
        |_, _| Answer::Trickle(vec![b' '; 100], Duration::from_millis(100)),
    ];
    for decide in bad {
        let root = world.path("repo");
        let first = Server::start(move |asked| decide(&root, asked));
        let _ = fs::remove_dir_all(world.path("cache"));
        let config = at(&world, &[&first.url, &good.url]);
        assert_eq!(world.names(&config, NOW, Freshness::Now).unwrap(), EXPECTED);
        assert!(!first.asked().is_empty());
    }
    // The list is honest, the part is not.
    let root = world.path("repo");
    let first = Server::start(move |asked| match honest(&root, asked) {
        Answer::Content(mut bytes) if asked.path.contains("primary") => {
            bytes.reverse();
            Answer::Content(bytes)
        }
        other => other,
    });
    let _ = fs::remove_dir_all(world.path("cache"));
    let config = at(&world, &[&first.url, &good.url]);
    assert_eq!(world.names(&config, NOW, Freshness::Now).unwrap(), EXPECTED);
}

#[test]
fn lists_of_mirrors_are_followed() {
    let world = World::new();
    let good = server(&world);
    let (plain, xml) = (
        format!("# mirrors\n{}/\n", good.url),
        format!("<metalink><url protocol=\"http\">{}/repodata/repomd.xml</url></metalink>", good.url),
    );
    let lists = Server::start(move |asked| {
        Answer::Content(if asked.path == "/plain" { plain.clone() } else { xml.clone() }.into_bytes())
    });
    let mut config = at(&world, &[]);
    config.mirrorlist = Some(format!("{}/plain", lists.url));
    assert_eq!(world.names(&config, NOW, Freshness::Now).unwrap(), EXPECTED);
    (config.mirrorlist, config.metalink) = (None, Some(format!("{}/metalink", lists.url)));
    assert_eq!(world.names(&config, NOW, Freshness::Now).unwrap(), EXPECTED);
}

#[test]
fn endless_answers_are_cut_off() {
    let world = World::new();
    for endless in ["repomd.xml", "repomd.xml.asc", "primary"] {
        let root = world.path("repo");
        let server = Server::start(move |asked| {
            let is = asked.path.ends_with(endless) || asked.path.contains("-primary") && endless == "primary";
            if is { Answer::Endless } else { honest(&root, asked) }
        });
        let start = Instant::now();
        world.refuses(&at(&world, &[&server.url]), NOW, &[endless, "more"]);
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    }
}

#[test]
fn a_server_that_hardly_moves_is_given_up() {
    let world = World::new();
    let server = Server::start(|_| Answer::Trickle(vec![b' '; 1000], Duration::from_millis(50)));
    let start = Instant::now();
    world.refuses(&at(&world, &[&server.url]), NOW, &["cannot reach", "stalled"]);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let silent = Server::start(|_| Answer::Silent(vec![b' '; 1000], 10));
    world.refuses(&at(&world, &[&silent.url]), NOW, &["cannot reach", "timed out"]);
}

fn fetch_a(remote: &Remote, config: &RepoConfig) -> Result<Fetched, Error> {
    let repository = remote.open(config, Freshness::IfOld)?;
    let package = repository.index().named("a")[0];
    let mut all = remote.fetch(&[Wanted { repository: &repository, package }])?;
    Ok(all.remove(0))
}

fn content(mut fetched: Fetched) -> Vec<u8> {
    let mut bytes = Vec::new();
    fetched.file.read_to_end(&mut bytes).unwrap();
    bytes
}

fn package(world: &World) -> Vec<u8> {
    fs::read(world.path("repo/packages/a-1.rpm")).unwrap()
}

#[test]
fn a_package_that_breaks_off_is_continued_by_the_next_run() {
    let world = World::new();
    let root = world.path("repo");
    let server = Server::start(move |asked| match honest(&root, asked) {
        Answer::Content(bytes) if asked.path.contains(".rpm") && asked.range.is_none() => {
            Answer::Broken(bytes, 400)
        }
        other => other,
    });
    let config = at(&world, &[&server.url]);
    let remote = world.remote(NOW);
    let error = fetch_a(&remote, &config).unwrap_err().to_string();
    assert!(error.contains("cannot reach") && !error.contains("LAZULI"), "{error}");
    assert_eq!(content(fetch_a(&remote, &config).unwrap()), package(&world));
    assert_eq!(server.asked().last().unwrap().range, Some(400));
}

/// Where the cache keeps the package `a`.
fn cached(remote: &Remote, config: &RepoConfig) -> PathBuf {
    fetch_a(remote, config).unwrap().path
}

/// Changes a file without its times telling: what a disk does, or somebody who means it.
fn damage(path: &Path) {
    let times = fs::metadata(path).unwrap().modified().unwrap();
    edit(path, |bytes| bytes[300] ^= 1);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(times).unwrap();
}

#[test]
fn a_package_that_changed_in_the_cache_is_fetched_again() {
    let world = World::new();
    let server = server(&world);
    let config = at(&world, &[&server.url]);
    let remote = world.remote(NOW);
    let path = cached(&remote, &config);
    damage(&path);
    assert_eq!(content(fetch_a(&remote, &config).unwrap()), package(&world));
    damage(&path);
    let offline = world.remote(NOW).offline();
    let error = fetch_a(&offline, &config).unwrap_err();
    assert!(matches!(error, Error::NotCached { .. }), "{error}");
}

#[test]
fn what_was_checked_is_what_is_read_whatever_happens_to_the_name() {
    let world = World::new();
    let server = server(&world);
    let config = at(&world, &[&server.url]);
    let fetched = fetch_a(&world.remote(NOW), &config).unwrap();
    let other = world.path("other");
    fs::write(&other, "something else").unwrap();
    fs::rename(&other, &fetched.path).unwrap();
    assert_eq!(content(fetched), package(&world));
}

#[test]
fn damaged_metadata_in_the_cache_is_fetched_again() {
    let world = World::new();
    let server = server(&world);
    let config = at(&world, &[&server.url]);
    world.names(&config, NOW, Freshness::Now).unwrap();
    let mut damaged = 0;
    for folder in fs::read_dir(world.path("cache/store/blobs")).unwrap() {
        for blob in fs::read_dir(folder).unwrap() {
            damage(&blob);
            damaged += 1;
        }
    }
    assert!(damaged > 0);
    for path in fs::read_dir(world.path("cache/test")).unwrap() {
        if path.extension().is_some_and(|e| e == "index") {
            fs::remove_file(path).unwrap();
        }
    }
    assert_eq!(world.names(&config, NOW, Freshness::IfOld).unwrap(), EXPECTED);
}

#[test]
fn many_processes_at_once_get_along() {
    let world = World::new();
    let server = server(&world);
    let config = at(&world, &[&server.url]);
    std::thread::scope(|scope| {
        let all: Vec<_> =
            (0..8).map(|_| scope.spawn(|| world.names(&config, NOW, Freshness::Now).unwrap())).collect();
        for one in all {
            assert_eq!(one.join().unwrap(), EXPECTED);
        }
    });
}

#[test]
fn keys_from_the_network_are_pinned_when_they_are_first_seen() {
    let world = World::new();
    let keys = [world.signer.public_armored().unwrap(), {
        let other = Signer::generate("Other <other@example.org>", BORN).unwrap();
        Signer::from_armored(&other.secret).unwrap().public_armored().unwrap()
    }];
    let which = Arc::new(AtomicUsize::new(0));
    let shown = which.clone();
    let url = tls::start(false, move |_| Some(keys.get(shown.load(Ordering::SeqCst))?.clone().into_bytes()));
    let mut config = world.config();
    config.gpg_keys = vec![format!("{url}/key")];
    // Nobody vouches for the server.
    world.refuses(&config, NOW, &["key", "no secure connection"]);
    config.transport.ssl_ca_cert = Some(tls::file("ca.pem"));
    assert_eq!(world.names(&config, NOW, Freshness::Now).unwrap(), EXPECTED);
    which.store(1, Ordering::SeqCst);
    world.refuses(&config, NOW, &["did not show before", "pinned_keys"]);
    // The server of the keys is gone: those that are pinned still do.
    which.store(2, Ordering::SeqCst);
    assert_eq!(world.names(&config, NOW, Freshness::Now).unwrap(), EXPECTED);
    assert_eq!(world.names(&config, NOW + 1, Freshness::Cached).unwrap(), EXPECTED);
}

#[test]
fn keys_do_not_come_over_http_on_a_detour() {
    let world = World::new();
    let public = world.signer.public_armored().unwrap();
    let plain = Server::start(move |_| Answer::Content(public.clone().into_bytes()));
    let mut config = world.config();
    config.gpg_keys = vec![format!("{}/key", tls::redirect(plain.url.clone()))];
    config.transport.ssl_ca_cert = Some(tls::file("ca.pem"));
    world.refuses(&config, NOW, &["no secure connection", &plain.url, "not https"]);
    assert!(plain.asked().is_empty());
}

#[test]
fn what_nothing_else_vouches_for_does_not_come_over_http_on_a_detour() {
    let world = World::new();
    let plain = server(&world);
    let mut config = at(&world, &[&tls::redirect(plain.url.clone())]);
    config.transport.ssl_ca_cert = Some(tls::file("ca.pem"));
    // Signatures are enough to allow it.
    assert_eq!(world.names(&config, NOW, Freshness::Now).unwrap(), EXPECTED);
    config.lacks.extend([Lack::MetadataSignature, Lack::PackageSignature]);
    let before = plain.asked().len();
    let _ = fs::remove_dir_all(world.path("cache"));
    world.refuses(&config, NOW, &["no secure connection", "not https"]);
    // Nor do mirrors that a list names.
    let lists = format!("{}\n", plain.url);
    let lists = tls::start(false, move |_| Some(lists.clone().into_bytes()));
    config.base_urls.clear();
    config.mirrorlist = Some(format!("{lists}/list"));
    world.refuses(&config, NOW, &["no secure connection", "not https"]);
    assert_eq!(plain.asked().len(), before);
}

#[test]
fn a_refused_state_leaves_no_trace_whatever_server_it_is_from() {
    let world = World::new();
    let good = server(&world);
    world.names(&at(&world, &[&good.url]), NOW, Freshness::Now).unwrap();
    let before = (snapshot(&world.path("state")), snapshot(&world.path("cache/test")));
    world.publish_with(&World::options(9), &[("evil", "1")], &signer());
    let error = world.names(&at(&world, &[&good.url]), NOW, Freshness::Now).unwrap_err();
    assert!(error.to_string().contains("not signed by a key"), "{error}");
    assert_eq!(before, (snapshot(&world.path("state")), snapshot(&world.path("cache/test"))));
}
