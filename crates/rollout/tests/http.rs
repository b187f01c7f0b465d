//! The reporting client against servers on loopback that take, refuse, stall, flood and redirect.

#![allow(clippy::unwrap_used)] // A helper of a test may fail the test.

use lazuli_rollout::client::{Delivery, Endpoint, deliver, deliver_in_background};
use lazuli_rollout::outbox::{MOST_REPORTS, Outbox};
use lazuli_rollout::report::{Cause, Outcome, Received};
use lazuli_rollout::{HostId, MachineId, Release, Report, Time};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A server that reads each request, keeps its body, and answers as the test says; it is told the number of the
/// request, from 1.
struct Server {
    url: String,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Server {
    fn start(answer: impl Fn(usize, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/reports", listener.local_addr().unwrap());
        let bodies: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let (kept, answer) = (bodies.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, answer) = (kept.clone(), answer.clone());
                std::thread::spawn(move || {
                    let mut stream = stream;
                    let Some(body) = request(&stream) else { return };
                    let number = {
                        let mut kept = kept.lock().unwrap();
                        kept.push(body);
                        kept.len()
                    };
                    answer(number, &mut stream);
                });
            }
        });
        Self { url, bodies }
    }

    fn status(status: u16) -> Self {
        Self::start(move |_, stream| respond(stream, status))
    }

    fn bodies(&self) -> Vec<Vec<u8>> {
        self.bodies.lock().unwrap().clone()
    }
}

fn request(stream: &TcpStream) -> Option<Vec<u8>> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    assert!(line.starts_with("POST /reports HTTP/1.1"), "{line}");
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let lower = line.trim_end().to_ascii_lowercase();
        if lower.is_empty() {
            break;
        }
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if let Some(value) = lower.strip_prefix("content-type:") {
            assert_eq!(value.trim(), "application/json");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

// A client that hangs up early is part of the tests, here and below.
fn respond(stream: &mut TcpStream, status: u16) {
    let _ = write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

fn report(n: u8) -> Report {
    let release = Release::new("container-host", "2.0").unwrap();
    let outcome = Outcome::RolledBack { cause: Cause::Health, detail: format!("check {n}") };
    let time = Time::from_unix(1_795_773_600 + i64::from(n));
    Report::new(HostId::of(MachineId::new([7; 16])), release, Some("1.0"), time, outcome)
}

/// An outbox with so many reports.
fn outbox(count: u8) -> (tempfile::TempDir, Outbox) {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::new(dir.path().join("reports"));
    for n in 0..count {
        outbox.put(&report(n)).unwrap();
    }
    (dir, outbox)
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint {
        attempts: 3,
        backoff: Duration::from_millis(20),
        try_limit: Duration::from_millis(400),
        limit: Duration::from_secs(2),
        ..Endpoint::new(url)
    }
}

fn numbers(delivery: &Delivery) -> (usize, usize, usize) {
    (delivery.sent, delivery.dropped, delivery.kept)
}

#[test]
fn reports_arrive_in_order_and_once() {
    let server = Server::status(204);
    let (_dir, outbox) = outbox(3);
    // The same report is kept once.
    outbox.put(&report(1)).unwrap();
    assert_eq!(numbers(&deliver(&outbox, &endpoint(&server.url)).unwrap()), (3, 0, 0));
    let read: Vec<_> = server.bodies().iter().map(|b| Received::from_json(b).unwrap().report).collect();
    assert_eq!(read, [report(0), report(1), report(2)]);
    assert!(outbox.waiting().unwrap().is_empty());
    assert_eq!(numbers(&deliver(&outbox, &endpoint(&server.url)).unwrap()), (0, 0, 0));
}

#[test]
fn a_refused_connection_keeps_them() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (_dir, outbox) = outbox(3);
    let delivery = deliver(&outbox, &endpoint(&format!("http://127.0.0.1:{port}/reports"))).unwrap();
    assert_eq!(numbers(&delivery), (0, 0, 3));
    assert!(delivery.error.unwrap().passes);
    assert_eq!(outbox.waiting().unwrap().len(), 3);
}

#[test]
fn a_server_in_trouble_is_tried_again_a_few_times() {
    let server = Server::start(|number, stream| respond(stream, if number < 3 { 503 } else { 200 }));
    let (_dir, one) = outbox(1);
    let begin = Instant::now();
    assert_eq!(numbers(&deliver(&one, &endpoint(&server.url)).unwrap()), (1, 0, 0));
    // Pauses of at least half of 20 and of 40 ms.
    assert!(begin.elapsed() >= Duration::from_millis(30));
    assert_eq!(server.bodies().len(), 3);

    let server = Server::status(500);
    let (_dir, many) = outbox(5);
    let delivery = deliver(&many, &endpoint(&server.url)).unwrap();
    assert_eq!(numbers(&delivery), (0, 0, 5));
    assert_eq!(delivery.error.unwrap().status, Some(500));
    // Three tries with the first, none with the others.
    assert_eq!(server.bodies().len(), 3);
}

#[test]
fn what_is_refused_for_good_goes_and_what_settings_may_mend_stays() {
    for (status, expected) in [
        (400, (0, 2, 0)),
        (413, (0, 2, 0)),
        (422, (0, 2, 0)),
        (401, (0, 0, 2)),
        (403, (0, 0, 2)),
        (404, (0, 0, 2)),
        (429, (0, 0, 2)),
    ] {
        let server = Server::status(status);
        let (_dir, outbox) = outbox(2);
        assert_eq!(numbers(&deliver(&outbox, &endpoint(&server.url)).unwrap()), expected, "{status}");
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let other = Server::status(200);
    let target = other.url.clone();
    let server = Server::start(move |_, stream| {
        let _ = write!(
            stream,
            "HTTP/1.1 307 X\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    });
    let (_dir, outbox) = outbox(1);
    let delivery = deliver(&outbox, &endpoint(&server.url)).unwrap();
    assert_eq!(delivery.sent, 0);
    assert!(delivery.error.unwrap().reason.contains("redirects are not followed"));
    assert!(other.bodies().is_empty());
}

#[test]
fn a_server_that_is_silent_or_trickles_takes_no_longer_than_the_limit() {
    let silent = Server::start(|_, _| std::thread::sleep(Duration::from_secs(20)));
    let trickle = Server::start(|_, stream| {
        for byte in "HTTP/1.1 200 OK\r\n".bytes().chain(std::iter::repeat_n(b'x', 1000)) {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    for server in [silent, trickle] {
        let (_dir, outbox) = outbox(4);
        let begin = Instant::now();
        let delivery = deliver(&outbox, &endpoint(&server.url)).unwrap();
        assert_eq!(numbers(&delivery), (0, 0, 4));
        assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    }
}

#[test]
fn a_huge_answer_is_not_read() {
    let written = Arc::new(Mutex::new(0_usize));
    let count = written.clone();
    let server = Server::start(move |_, stream| {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
        let chunk = vec![b'x'; 64 << 10];
        while stream.write_all(&chunk).is_ok() {
            *count.lock().unwrap() += chunk.len();
        }
    });
    let (_dir, outbox) = outbox(1);
    let begin = Instant::now();
    assert_eq!(numbers(&deliver(&outbox, &endpoint(&server.url)).unwrap()), (1, 0, 0));
    assert!(begin.elapsed() < Duration::from_secs(1));
    std::thread::sleep(Duration::from_millis(300));
    // No more than what the buffers of both sockets hold.
    assert!(*written.lock().unwrap() < 32 << 20);
}

#[test]
fn a_huge_head_is_a_failure() {
    let server = Server::start(|_, stream| {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\n");
        while write!(stream, "X-Filler: {}\r\n", "x".repeat(1000)).is_ok() {}
    });
    let (_dir, outbox) = outbox(1);
    let delivery = deliver(&outbox, &endpoint(&server.url)).unwrap();
    assert_eq!(numbers(&delivery), (0, 0, 1));
}

#[test]
fn an_answer_that_is_no_http_keeps_the_report() {
    let server = Server::start(|_, stream| drop(stream.write_all(b"hello\r\n\r\n")));
    let (_dir, outbox) = outbox(1);
    assert_eq!(numbers(&deliver(&outbox, &endpoint(&server.url)).unwrap()), (0, 0, 1));
}

#[test]
fn the_background_does_not_wait() {
    let server = Server::start(|_, stream| {
        std::thread::sleep(Duration::from_millis(200));
        respond(stream, 200);
    });
    let (_dir, outbox) = outbox(1);
    let begin = Instant::now();
    let handle = deliver_in_background(outbox.clone(), endpoint(&server.url)).unwrap();
    assert!(begin.elapsed() < Duration::from_millis(100));
    assert_eq!(numbers(&handle.join().unwrap().unwrap()), (1, 0, 0));
}

#[test]
fn an_outbox_is_bounded_and_survives_rubbish() {
    let (dir, outbox) = outbox(MOST_REPORTS as u8 + 8);
    assert_eq!(outbox.waiting().unwrap().len(), MOST_REPORTS);
    let reports = dir.path().join("reports");
    for n in 0..MOST_REPORTS as u8 - 2 {
        outbox.put(&report(100 + n)).unwrap();
    }
    lazuli_fs::write(reports.join("000000000001-rubbish.json"), "{").unwrap();
    lazuli_fs::write(reports.join("000000000002-huge.json"), vec![b' '; 1 << 20]).unwrap();
    lazuli_fs::write(reports.join("README"), "not a report").unwrap();
    let server = Server::status(200);
    let delivery = deliver(&outbox, &endpoint(&server.url)).unwrap();
    assert_eq!(numbers(&delivery), (MOST_REPORTS, 2, 0));
    // The newest were kept.
    let bodies = server.bodies();
    let first = Received::from_json(&bodies[0]).unwrap().report;
    assert_eq!(first, report(MOST_REPORTS as u8 + 6));
}

#[test]
fn an_endpoint_that_is_no_address_keeps_them_and_says_so() {
    for url in ["file:///tmp/x", "/tmp/x", "ftp://a/b", "reports"] {
        let (_dir, outbox) = outbox(1);
        let delivery = deliver(&outbox, &endpoint(url)).unwrap();
        assert_eq!(numbers(&delivery), (0, 0, 1), "{url}");
    }
    let (_dir, outbox) = outbox(1);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let delivery = deliver(&outbox, &endpoint(&format!("http://me:secret@127.0.0.1:{port}/"))).unwrap();
    assert!(!delivery.error.unwrap().to_string().contains("secret"));
}
