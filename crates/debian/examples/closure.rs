//! The closure of packages over real indices: `closure Packages=FILE... NAME...`.

use lazuli_debian::closure::{Universe, closure};
use lazuli_debian::index;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut packages, mut wanted) = (Vec::new(), Vec::new());
    for argument in std::env::args().skip(1) {
        match argument.strip_prefix("Packages=") {
            Some(path) => packages.extend(index::parse_packages(&lazuli_fs::read(path)?)?),
            None => wanted.push(argument),
        }
    }
    let start = Instant::now();
    let universe = Universe::new(&packages);
    let built = start.elapsed();
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let start = Instant::now();
    let answer = closure(&universe, &wanted)?;
    for package in &answer {
        println!("{package}");
    }
    let size: u64 = answer.iter().map(|p| p.size).sum();
    eprintln!("{} packages, {size} bytes; universe {built:?}, closure {:?}", answer.len(), start.elapsed());
    Ok(())
}
