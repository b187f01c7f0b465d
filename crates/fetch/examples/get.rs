//! Fetches into a store: `get STORE URL SHA256 SIZE [URL SHA256 SIZE]...`, or prints what an unpinned URL has:
//! `get STORE URL`.

use lazuli_fetch::{Fetcher, Outcome, Progress, Request};
use lazuli_store::Store;
use std::sync::Arc;
use std::time::Instant;

struct Lines;

impl Progress for Lines {
    fn start(&self, _: &str, _: u64) {}
    fn advance(&self, _: &str, _: u64) {}
    fn done(&self, name: &str, outcome: Outcome) {
        println!("{name}: {outcome:?}");
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (root, rest) = arguments.split_first().ok_or("usage: get STORE URL [SHA256 SIZE]")?;
    let store = Store::open(root)?;
    let fetcher = Fetcher::new(&store, Arc::new(Lines));
    let start = Instant::now();
    if let [url] = rest {
        let content = fetcher.get_unpinned(url, 64 << 20)?;
        println!("{} bytes in {:?}", content.len(), start.elapsed());
        return Ok(());
    }
    let mut requests = Vec::new();
    for request in rest.chunks_exact(3) {
        requests.push(Request {
            urls: vec![request[0].clone()],
            digest: request[1].parse()?,
            size: request[2].parse()?,
            name: request[0].rsplit('/').next().unwrap_or("").to_owned(),
        });
    }
    println!("{:?} in {:?}", fetcher.fetch_all(&requests)?, start.elapsed());
    Ok(())
}
