//! How long a repository takes to open, first and again, and how fast its index answers.
//!
//!     cargo run --release -p lazuli-remote --example open-repository -- URL KEYFILE CACHE

use lazuli_fetch::Silent;
use lazuli_remote::{Freshness, Remote};
use lazuli_repo::config::MainConfig;
use lazuli_repo::{Lack, RepoConfig};
use lazuli_solve::Universe as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, key, cache] = &args[..] else { return Err("give URL, KEYFILE and CACHE".into()) };
    let mut config = RepoConfig::new("example", &MainConfig::default());
    config.base_urls = vec![url.clone()];
    config.gpg_keys = vec![format!("file://{key}")];
    config.lacks.insert(Lack::Expiry);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().cast_signed();
    let cache = Path::new(cache);
    for freshness in [Freshness::Now, Freshness::Cached] {
        let start = Instant::now();
        let remote = Remote::new(cache, &cache.join("state"), now, Arc::new(Silent))?;
        let repository = remote.open(&config, freshness)?;
        println!("{freshness:?}: {} packages in {:?}", repository.index().count(), start.elapsed());
        let start = Instant::now();
        let named = repository.index().named("bash");
        let providers = repository.index().providers("mail-transport-agent");
        let requirers = repository.index().requirers("libzstd1");
        println!(
            "three lookups in {:?}: {} {} {}",
            start.elapsed(),
            named.len(),
            providers.len(),
            requirers.len()
        );
    }
    Ok(())
}
