//! Makes a recipe for two images, follows it, and tells sizes and times: `recipe OLD NEW [OUT [DIRECTORY-FOR-STREAMS]]`.

#![allow(clippy::disallowed_methods, reason = "an example of its own, whose errors nobody has to act on")]

use lazuli_delta::recipe::{self, Image};
use lazuli_delta::{BLOCK, Held};
use lazuli_verity::{Salt, Tree};
use std::io::Read;
use std::ops::Range;
use std::time::Instant;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [old_path, new_path, rest @ ..] = arguments.as_slice() else {
        return Err("usage: recipe OLD NEW [OUT]".into());
    };
    let salt = Salt::of_product("example");
    let (old, new) = (std::fs::read(old_path)?, std::fs::read(new_path)?);
    let start = Instant::now();
    let (old, new) = (Image::new(&old, &salt)?, Image::new(&new, &salt)?);
    println!("{} and {} files, {:.2?} to hash", old.files(), new.files(), start.elapsed());
    let start = Instant::now();
    let made = recipe::build(&old, &new)?;
    let index = recipe::Index::parse(&made.index)?;
    println!(
        "{} bytes of index and {} of payload, {:.2?} to make",
        made.index.len(),
        made.payload.len(),
        start.elapsed()
    );
    for group in &index.groups {
        println!(
            "group of {} blocks: control {}, differences {}, literals {}",
            group.blocks, group.sizes[0], group.sizes[1], group.sizes[2]
        );
    }
    if let Some(dir) = rest.get(1) {
        for (number, group) in index.groups.iter().enumerate() {
            let mut at = group.offset as usize;
            for (name, size) in ["control", "differences", "literals"].iter().zip(group.sizes) {
                let bytes = &made.payload[at..at + size as usize];
                std::fs::write(format!("{dir}/{number}.{name}.zst"), bytes)?;
                at += size as usize;
            }
        }
    }
    let out = rest.first().map_or("/dev/null", String::as_str);
    if out != "/dev/null" {
        std::fs::write(out, [made.index, made.payload.clone()].concat())?;
    }
    let slot = tempfile(new.blocks())?;
    let running = std::fs::File::open(old_path)?;
    let payload = made.payload;
    let mut parts = |range: Range<u64>| -> std::io::Result<Box<dyn Read>> {
        Ok(Box::new(std::io::Cursor::new(payload[range.start as usize..range.end as usize].to_vec())))
    };
    let start = Instant::now();
    let report = recipe::run(&index, &mut parts, &running, &slot, Held::Nothing)?;
    println!("{:.3?} to follow: {report:?}", start.elapsed());
    let start = Instant::now();
    let tree = Tree::build(&slot, new.blocks(), &salt)?;
    println!("{:.3?} to prove", start.elapsed());
    if tree.root().as_bytes() == new.root() { Ok(()) } else { Err("another image was made".into()) }
}

/// A file without a name.
fn tempfile(blocks: u64) -> Result<std::fs::File, Error> {
    let path = std::env::temp_dir().join(format!("recipe-{}", std::process::id()));
    let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    file.set_len(blocks * BLOCK as u64)?;
    Ok(file)
}
