//! Downloads from a server that fails in every way that servers fail in.

#![allow(clippy::unwrap_used)] // A helper of a test may fail the test.

mod server;

use lazuli_fetch::{Error, Fetcher, Options, Outcome, Progress, Request, Summary};
use lazuli_store::{Digest, Store};
use server::{Answer, Server};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What a listener heard.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<String>>);

impl Heard {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// All that `advance` said of `name`.
    fn sum(&self, name: &str) -> u64 {
        self.lines().iter().filter_map(|l| l.strip_prefix(&format!("{name} +"))?.parse::<u64>().ok()).sum()
    }
}

impl Progress for Heard {
    fn start(&self, name: &str, total: u64) {
        self.0.lock().unwrap().push(format!("{name} of {total}"));
    }

    fn advance(&self, name: &str, bytes: u64) {
        self.0.lock().unwrap().push(format!("{name} +{bytes}"));
    }

    fn done(&self, name: &str, outcome: Outcome) {
        self.0.lock().unwrap().push(format!("{name} {outcome:?}"));
    }
}

/// A store and a listener.
struct Bench {
    dir: tempfile::TempDir,
    store: Store,
    heard: Arc<Heard>,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        Self { dir, store, heard: Arc::default() }
    }

    fn fetcher(&self) -> Fetcher<'_> {
        let options = Options {
            attempts: 3,
            backoff: Duration::from_millis(5),
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_millis(300),
            rate_window: Duration::from_millis(400),
            min_rate: 1000,
            ..Options::default()
        };
        Fetcher::with_options(&self.store, self.heard.clone(), options)
    }

    fn fetch(&self, requests: &[Request]) -> Result<Summary, Error> {
        self.fetcher().fetch_all(requests)
    }

    fn has(&self, content: &[u8]) -> bool {
        self.store.contains(&Digest::of(content)).unwrap()
    }

    /// Names of unfinished downloads.
    fn partial(&self) -> Vec<std::path::PathBuf> {
        lazuli_fs::read_dir(self.store.root().join("partial")).unwrap_or_default()
    }
}

/// Content that no two places of are alike.
fn content(size: usize) -> Vec<u8> {
    (0..size).map(|i| u8::try_from((i * 31 + i / 251) % 256).unwrap()).collect()
}

fn request(content: &[u8], urls: &[String]) -> Request {
    Request {
        urls: urls.to_vec(),
        digest: Digest::of(content),
        size: content.len() as u64,
        name: "thing".into(),
    }
}

fn one(server: &Server, content: &[u8]) -> [Request; 1] {
    [request(content, &[format!("{}/thing", server.url)])]
}

#[test]
fn many_files_arrive_and_are_not_fetched_again() {
    let bench = Bench::new();
    let files: Vec<Vec<u8>> = (0..40).map(|i| content(1000 + i * 777)).collect();
    let known = files.clone();
    let server = Server::start(move |asked| {
        Answer::Content(known[asked.path.trim_start_matches('/').parse::<usize>().unwrap()].clone())
    });
    let requests: Vec<Request> = files
        .iter()
        .enumerate()
        .map(|(i, c)| Request { name: format!("f{i}"), ..request(c, &[format!("{}/{i}", server.url)]) })
        .collect();
    let bytes = requests.iter().map(|r| r.size).sum();
    assert_eq!(bench.fetch(&requests).unwrap(), Summary { cached: 0, fetched: 40, bytes });
    for (i, file) in files.iter().enumerate() {
        assert_eq!(bench.store.read(&Digest::of(file)).unwrap(), *file);
        assert_eq!(bench.heard.sum(&format!("f{i}")), file.len() as u64);
    }
    let lines = bench.heard.lines();
    assert!(lines[..40].iter().all(|l| l.contains(" of ")), "all are announced first: {lines:?}");
    assert!(server.asked().iter().all(|a| a.user_agent == concat!("lazuli/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(bench.fetch(&requests).unwrap(), Summary { cached: 40, fetched: 0, bytes: 0 });
    assert_eq!(server.asked().len(), 40);
    assert!(bench.partial().is_empty());
}

#[test]
fn a_broken_connection_is_continued_where_it_broke() {
    let bench = Bench::new();
    let thing = content(300_000);
    let sent = thing.clone();
    let server = Server::start(move |asked| match asked.number {
        1 => Answer::Broken(sent.clone(), 100_000),
        2 => Answer::Broken(sent.clone(), 50_000),
        _ => Answer::Tagged("\"x\"", sent.clone()),
    });
    bench.fetch(&one(&server, &thing)).unwrap();
    assert!(bench.has(&thing));
    let asked = server.asked();
    assert_eq!(asked.iter().map(|a| a.range).collect::<Vec<_>>(), [None, Some(100_000), Some(150_000)]);
    assert_eq!(asked[1].if_range.as_deref(), Some("\"x\""));
    assert_eq!(bench.heard.sum("thing"), 300_000);
}

#[test]
fn the_next_run_goes_on_where_this_one_gave_up() {
    let bench = Bench::new();
    let thing = content(200_000);
    let sent = thing.clone();
    let server = Server::start(move |asked| match asked.number {
        1..=3 => Answer::Broken(sent.clone(), 20_000),
        _ => Answer::Content(sent.clone()),
    });
    let error = bench.fetch(&one(&server, &thing)).unwrap_err();
    assert!(matches!(error, Error::Unreachable { attempts: 3, .. }), "{error}");
    assert!(!bench.has(&thing));
    assert_eq!(bench.partial().len(), 1);
    bench.fetch(&one(&server, &thing)).unwrap();
    assert_eq!(server.asked()[3].range, Some(60_000));
    assert!(bench.heard.lines().contains(&"thing Resumed(60000)".to_owned()));
    assert!(bench.has(&thing) && bench.partial().is_empty());
}

#[test]
fn a_server_that_ignores_ranges_or_has_changed_sends_everything() {
    let thing = content(100_000);
    for tagged in [false, true] {
        let bench = Bench::new();
        let sent = thing.clone();
        let server = Server::start(move |asked| match (asked.number, tagged) {
            (1, _) => Answer::Broken(sent.clone(), 40_000),
            (_, false) => Answer::Whole(sent.clone()),
            // Another entity tag than the first answer had.
            (_, true) => Answer::Tagged("\"y\"", sent.clone()),
        });
        bench.fetch(&one(&server, &thing)).unwrap();
        assert!(bench.has(&thing));
        assert_eq!(bench.heard.sum("thing"), 100_000, "progress must not count twice");
    }
}

#[test]
fn a_reader_of_parts_says_what_a_server_without_them_lacks() {
    let sent = content(1000);
    let server = Server::start(move |_| Answer::Whole(sent.clone()));
    let reader = lazuli_fetch::Reader::new(lazuli_fetch::Options::default());
    let error = reader.open(&format!("{}/thing", server.url), Some(10..20)).unwrap_err();
    assert!(matches!(error, Error::Ranges { .. }), "{error}");
    assert!(error.to_string().contains("HTTP byte ranges"), "{error}");
    assert_eq!(server.asked().len(), 1, "it is not asked again");
}

#[test]
fn a_damaged_beginning_from_an_earlier_run_is_thrown_away() {
    let bench = Bench::new();
    let thing = content(100_000);
    let dir = bench.store.root().join("partial");
    lazuli_fs::create_dir_all(&dir).unwrap();
    lazuli_fs::write(dir.join(Digest::of(&thing).to_string()), vec![0; 30_000]).unwrap();
    let sent = thing.clone();
    let server = Server::start(move |_| Answer::Content(sent.clone()));
    bench.fetch(&one(&server, &thing)).unwrap();
    assert!(bench.has(&thing));
    assert_eq!(server.asked().iter().map(|a| a.range).collect::<Vec<_>>(), [Some(30_000), None]);
}

#[test]
fn wrong_content_is_refused_and_the_next_address_tried() {
    let bench = Bench::new();
    let (thing, mut other) = (content(5000), content(5000));
    other[2500] ^= 1;
    let (good, bad) = (thing.clone(), other.clone());
    let server = Server::start(move |asked| {
        Answer::Content(if asked.path == "/good" { good.clone() } else { bad.clone() })
    });
    let error = bench.fetch(&one(&server, &thing)).unwrap_err();
    let Error::Digest { url, expected, actual } = &error else { panic!("{error}") };
    assert_eq!((expected, actual), (&Digest::of(&thing), &Digest::of(&other)));
    assert!(url.ends_with("/thing") && server.asked().len() == 1, "wrong content is not asked for again");
    assert!(!bench.has(&thing) && !bench.has(&other) && bench.partial().is_empty());
    let urls = [format!("{}/bad", server.url), format!("{}/good", server.url)];
    bench.fetch(&[request(&thing, &urls)]).unwrap();
    assert!(bench.has(&thing));
}

#[test]
fn another_size_is_refused_before_it_is_read() {
    let thing = content(5000);
    for size in [4999, 5001, 0] {
        let bench = Bench::new();
        let server = Server::start(move |_| Answer::Content(content(size)));
        let error = bench.fetch(&one(&server, &thing)).unwrap_err();
        assert!(
            matches!(&error, Error::Size { expected: 5000, actual, .. } if *actual == size.to_string()),
            "{error}"
        );
        assert_eq!(server.asked().len(), 1);
    }
}

#[test]
fn a_stream_without_end_is_cut_off_at_the_promised_size() {
    let bench = Bench::new();
    let server = Server::start(|_| Answer::Endless);
    let error = bench.fetch(&one(&server, &content(10_000))).unwrap_err();
    assert!(matches!(&error, Error::Size { actual, .. } if actual == "more"), "{error}");
    assert!(bench.partial().is_empty());
    let error = bench.fetcher().get_unpinned(&format!("{}/x", server.url), 10_000).unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 10_000, .. }), "{error}");
}

#[test]
fn what_is_gone_is_told_apart_and_all_of_it_is_named() {
    let bench = Bench::new();
    let thing = content(100);
    let sent = thing.clone();
    let server = Server::start(move |asked| match asked.path.as_str() {
        "/there" => Answer::Content(sent.clone()),
        "/gone" => Answer::Status(410),
        _ => Answer::Status(404),
    });
    let at = |path: &str, size| Request {
        name: path.to_owned(),
        ..request(&content(size), &[format!("{}/{path}", server.url), format!("{}/gone", server.url)])
    };
    let error = bench.fetch(&[at("b", 1), at("a", 2), at("there", 100)]).unwrap_err();
    assert!(error.is_not_found());
    let Error::NotFound(missing) = &error else { panic!("{error}") };
    assert_eq!(
        missing.iter().map(|m| (m.name.as_str(), m.urls.len())).collect::<Vec<_>>(),
        [("a", 2), ("b", 2)]
    );
    assert_eq!(missing[0].digest, Some(Digest::of(content(2))));
    assert!(bench.has(&thing), "the rest arrives all the same");
    assert!(error.to_string().contains(&format!("a ({}/a)", server.url)), "{error}");
    let error = bench.fetcher().get_unpinned(&format!("{}/InRelease", server.url), 10).unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains("InRelease"), "{error}");
    let urls = [format!("{}/gone", server.url), format!("{}/there", server.url)];
    bench.fetch(&[request(&thing, &urls)]).unwrap();
}

#[test]
fn a_server_in_trouble_is_asked_again_and_one_that_forbids_is_not() {
    let bench = Bench::new();
    let thing = content(100);
    let sent = thing.clone();
    let server = Server::start(move |asked| match asked.number {
        1 => Answer::Status(500),
        2 => Answer::Status(429),
        _ => Answer::Content(sent.clone()),
    });
    bench.fetch(&one(&server, &thing)).unwrap();
    assert!(bench.has(&thing));
    for (status, times) in [(503, 3), (403, 1)] {
        let server = Server::start(move |_| Answer::Status(status));
        let error = bench.fetch(&one(&server, &content(7))).unwrap_err();
        assert!(matches!(error, Error::Status { status: s, .. } if s == status), "{error}");
        assert_eq!(server.asked().len(), times);
    }
}

#[test]
fn silence_and_trickling_end_the_attempt_but_keep_what_came() {
    let thing = content(20_000);
    let bench = Bench::new();
    let sent = thing.clone();
    let server = Server::start(move |asked| match asked.number {
        1 => Answer::Silent(sent.clone(), 15_000),
        2 => Answer::Trickle(sent.clone(), Duration::from_millis(50)),
        _ => Answer::Content(sent.clone()),
    });
    let start = Instant::now();
    bench.fetch(&one(&server, &thing)).unwrap();
    assert!(bench.has(&thing));
    assert!(start.elapsed() < Duration::from_secs(20));
    let ranges: Vec<_> = server.asked().iter().map(|a| a.range).collect();
    assert_eq!((ranges[0], ranges[1]), (None, Some(15_000)));
    assert!(ranges[2].is_some_and(|at| at > 15_000 && at < 15_100), "{ranges:?}");
}

#[test]
fn redirects_are_followed_but_not_in_circles() {
    let bench = Bench::new();
    let thing = content(100);
    let sent = thing.clone();
    let server = Server::start(move |asked| match asked.path.as_str() {
        "/thing" => Answer::Redirect("/moved".into()),
        "/moved" => Answer::Content(sent.clone()),
        _ => Answer::Redirect("/circle".into()),
    });
    bench.fetch(&one(&server, &thing)).unwrap();
    let error = bench.fetch(&[request(&content(7), &[format!("{}/circle", server.url)])]).unwrap_err();
    assert!(matches!(error, Error::Redirects { limit: 5, .. }), "{error}");
    assert!(server.asked().len() < 10);
}

#[test]
fn a_server_that_is_not_there_or_speaks_something_else_is_unreachable() {
    let bench = Bench::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/thing");
    let error = bench.fetch(&[request(&content(7), std::slice::from_ref(&url))]).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Unreachable { attempts: 3, .. }), "{text}");
    assert!(text.contains(&url), "{text}");
    assert!(bench.partial().is_empty(), "nothing half-written");
    assert!(matches!(bench.fetcher().get_unpinned(&url, 10), Err(Error::Unreachable { .. })));
    let server = Server::start(|_| Answer::Raw(b"SSH-2.0-x\r\n".to_vec()));
    let error = bench.fetch(&one(&server, &content(7))).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

#[test]
fn the_first_failure_stops_the_others() {
    let bench = Bench::new();
    let server = Server::start(|_| Answer::Status(403));
    let requests: Vec<Request> = (1..200)
        .map(|size| Request {
            name: format!("f{size}"),
            ..request(&content(size), &[format!("{}/{size}", server.url)])
        })
        .collect();
    assert!(matches!(bench.fetch(&requests), Err(Error::Status { status: 403, .. })));
    assert!(server.asked().len() < 40, "{}", server.asked().len());
    assert_eq!(bench.heard.lines().iter().filter(|l| l.ends_with("Failed")).count(), 199, "all are ended");
}

#[test]
fn mirrors_on_disk_are_read_with_the_same_checks() {
    let bench = Bench::new();
    let thing = content(150_000);
    let path = bench.dir.path().join("a~b+c:1.deb");
    lazuli_fs::write(&path, &thing).unwrap();
    let path = path.to_str().unwrap().to_owned();
    for url in [path.clone(), format!("file://{path}")] {
        let bench = Bench::new();
        bench.fetch(&[request(&thing, std::slice::from_ref(&url))]).unwrap();
        assert!(bench.has(&thing));
        assert_eq!(bench.fetcher().get_unpinned(&url, 150_000).unwrap(), thing);
        assert!(matches!(bench.fetcher().get_unpinned(&url, 149_999), Err(Error::TooLarge { .. })));
        let error =
            bench.fetch(&[Request { size: 150_001, digest: Digest::of(b"x"), ..request(&thing, &[url]) }]);
        assert!(matches!(error, Err(Error::Size { .. })));
    }
    let wrong = Request { digest: Digest::of(b"x"), ..request(&thing, std::slice::from_ref(&path)) };
    assert!(matches!(bench.fetch(&[wrong]), Err(Error::Digest { .. })));
    let missing = request(&thing, &[format!("{path}.not")]);
    assert!(bench.fetch(&[missing]).unwrap_err().is_not_found());
}

#[test]
fn two_at_once_fetch_the_same_content_once() {
    let bench = Bench::new();
    let thing = content(500_000);
    let sent = thing.clone();
    let server = Server::start(move |_| {
        std::thread::sleep(Duration::from_millis(100));
        Answer::Content(sent.clone())
    });
    let requests = one(&server, &thing);
    // Two stores on one directory, as two processes have them.
    let other = Store::open(bench.store.root()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| Fetcher::new(&other, Arc::new(lazuli_fetch::Silent)).fetch_all(&requests).unwrap());
        scope.spawn(|| bench.fetch(&requests).unwrap());
    });
    assert!(bench.has(&thing) && bench.partial().is_empty());
    assert_eq!(server.asked().len(), 1);
}
