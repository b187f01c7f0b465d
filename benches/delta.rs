//! A month of security updates: bytes to fetch and time to apply, beside other ways, from the same two images.
//!
//!     cargo bench -p lazuli --bench delta [-- DIR]
//!
//! The images are erofs of the same packages of Debian stable: each in the newest version that the suites
//! `trixie`, `trixie-updates` and `trixie-security` have, and in the one before, where one of them still has it.
//! So they are as far apart as point release and security updates are on the day of the run. `DIR` keeps them,
//! and a second run takes them from there. Tools come from the same archive and run in a tool root.
//!
//! | row | how |
//! |---|---|
//! | full image | frames of the full image as published, and `zstd -19` of the whole as the smallest |
//! | recipe, block reuse | as published; time includes all that a host does but the proof, which is a line of its own |
//! | casync | chunks of 16:64:256 KiB, packed; chunks that the old image lacks, and the index; the old image is the seed |
//! | zstd | `--patch-from` of the whole image, level 19 |
//! | xdelta3 | level 9, window as large as the old image |
//! | bsdiff | of the whole image |
//! | RAUC, adaptive | its method computed here, as a lower bound: 32 bytes of index a block, and the blocks that the old image lacks as one zstd -19 stream; RAUC itself reads them through the squashfs of the bundle |
//!
//! Everything reads the old image from the page cache and writes a new file beside it; the median of three runs
//! is taken, and one run of what takes minutes. Every result is compared with the new image.

#[path = "delta_support/images.rs"]
mod images;

use images::{Error, Images};
use lazuli_delta::recipe::{self, Image, Parts};
use lazuli_delta::reuse::{self, Plan, short};
use lazuli_delta::{BLOCK, Held, frames};
use lazuli_fs as fs;
use lazuli_sandbox::{Access, Sandbox};
use lazuli_verity::{Salt, Tree, hash_block};
use std::collections::HashSet;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn main() -> Result<(), Error> {
    // Cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let temporary = tempfile::tempdir()?;
    let dir = arguments.first().map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let images = images::make(&std::path::absolute(&dir)?)?;
    let mut bench = Bench { dir: std::path::absolute(&dir)?, images, rows: Vec::new() };
    println!("{}", bench.images.what);
    bench.ours()?;
    bench.peers()?;
    println!("\n| way | bytes to fetch | of the full image | seconds to apply |\n|---|--:|--:|--:|");
    let full = bench.rows.first().map_or(1, |row| row.bytes);
    for row in &bench.rows {
        let time = row.time.map_or_else(String::new, |time| format!("{:.2}", time.as_secs_f64()));
        println!(
            "| {} | {} | {:.2} % | {time} |",
            row.name,
            row.bytes,
            row.bytes as f64 * 100.0 / full as f64
        );
    }
    Ok(())
}

struct Row {
    name: String,
    bytes: u64,
    time: Option<Duration>,
}

struct Bench {
    dir: PathBuf,
    images: Images,
    rows: Vec<Row>,
}

/// A file that is fetched in parts.
struct Local(std::fs::File, u64);

impl Parts for Local {
    fn open(&mut self, range: Range<u64>) -> std::io::Result<Box<dyn Read + '_>> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        self.0.read_exact_at(&mut bytes, range.start + self.1)?;
        Ok(Box::new(std::io::Cursor::new(bytes)))
    }
}

impl Bench {
    fn row(&mut self, name: &str, bytes: u64, time: Option<Duration>) {
        eprintln!("{name}: {bytes} bytes, {time:?}");
        self.rows.push(Row { name: name.into(), bytes, time });
    }

    /// The median time of what `run` says, three times over, with the result compared.
    fn median(
        &self,
        out: &Path,
        mut run: impl FnMut() -> Result<Duration, Error>,
    ) -> Result<Duration, Error> {
        let mut times = Vec::new();
        for _ in 0..3 {
            if out.exists() {
                fs::remove_file(out)?;
            }
            times.push(run()?);
        }
        self.compare(out)?;
        times.sort_unstable();
        Ok(times[1])
    }

    fn compare(&self, out: &Path) -> Result<(), Error> {
        let same = fs::read(out)? == fs::read(&self.images.new)?;
        fs::remove_file(out)?;
        if same { Ok(()) } else { Err(format!("{} is another image", out.display()).into()) }
    }

    fn slot(&self) -> Result<(std::fs::File, PathBuf), Error> {
        let path = self.dir.join("slot");
        let file =
            std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        Ok((file, path))
    }

    fn ours(&mut self) -> Result<(), Error> {
        let salt = Salt::of_product("bench");
        let (old_bytes, new_bytes) = (fs::read(&self.images.old)?, fs::read(&self.images.new)?);
        let start = Instant::now();
        let (old, new) = (Image::new(&old_bytes, &salt)?, Image::new(&new_bytes, &salt)?);
        eprintln!("{} and {} blocks, hashed in {:?}", old.blocks(), new.blocks(), start.elapsed());

        let kept = self.dir.join("full");
        let (index, file) = match (fs::read(kept.with_extension("index")), fs::read(&kept)) {
            (Ok(index), Ok(file)) => (frames::Index::parse(&index)?, file),
            _ => frames::pack(&new_bytes, frames::FRAME_BLOCKS, 19)?,
        };
        fs::write(kept.with_extension("index"), index.to_bytes())?;
        fs::write(&kept, &file)?;
        let running = fs::open(&self.images.old)?;
        let lists = index.to_bytes().len() as u64;
        let by_frames = |bench: &Self, plan: &Plan| -> Result<Duration, Error> {
            let out = bench.dir.join("slot");
            bench.median(&out, || {
                let (slot, _) = bench.slot()?;
                let mut parts = Local(fs::open(&kept)?, 0);
                let start = Instant::now();
                plan.run(&index, &mut parts, &running, &slot, Held::Nothing)?;
                Ok(start.elapsed())
            })
        };
        let time = by_frames(self, &Plan::full(new.blocks()))?;
        self.row("full image, frames of 128 KiB", file.len() as u64 + lists, Some(time));

        let start = Instant::now();
        let made = recipe::build(&old, &new)?;
        eprintln!("recipe made in {:?}", start.elapsed());
        let size = (made.index.len() + made.payload.len()) as u64;
        let offset = made.index.len() as u64;
        let recipe_path = self.dir.join("recipe");
        fs::write(&recipe_path, [made.index.clone(), made.payload].concat())?;
        let out = self.dir.join("slot");
        let time = self.median(&out, || {
            let (slot, _) = self.slot()?;
            let start = Instant::now();
            let index = recipe::Index::parse(&made.index)?;
            recipe::run(&index, &mut Local(fs::open(&recipe_path)?, offset), &running, &slot, Held::Nothing)?;
            Ok(start.elapsed())
        })?;
        self.row("**recipe**", size, Some(time));

        let zero = short(hash_block(&salt, &[0; BLOCK]).as_bytes());
        let list = reuse::list(new.leaves());
        let known = old.leaves().iter().map(short);
        let plan = Plan::new(&list, new.blocks(), zero, known, [])?;
        let time = by_frames(self, &plan)?;
        let bytes = lists + list.len() as u64 + plan.bytes(&index);
        self.row("block reuse", bytes, Some(time));
        eprintln!("{} of {} blocks are missing", plan.missing(), new.blocks());

        let mut missing = Vec::new();
        let there: HashSet<&[u8; 32]> = old.leaves().iter().collect();
        for (leaf, block) in new.leaves().iter().zip(new_bytes.chunks(BLOCK)) {
            if !there.contains(leaf) {
                missing.extend_from_slice(block);
            }
        }
        let packed = zstd::bulk::compress(&missing, 19)?.len() as u64;
        self.row("RAUC, adaptive (lower bound)", new.blocks() * 32 + packed, None);
        let start = Instant::now();
        Tree::build(new_bytes.as_slice(), new.blocks(), &salt)?;
        eprintln!("hash tree in {:?}: the proof that no other way has", start.elapsed());
        Ok(())
    }

    /// Runs a script in the tool root, in the directory of the images.
    fn script(&self, script: &str) -> Result<Duration, Error> {
        let start = Instant::now();
        Sandbox::new(&self.images.tools)
            .bind(&self.dir, "/build", Access::ReadWrite)
            .workdir("/build")
            // casync keeps what it knows of the seed there.
            .env("TMPDIR", "/build")
            .command("bash")
            .args(["-euc", script])
            .run(|_| {})?;
        Ok(start.elapsed())
    }

    fn size(&self, name: &str) -> Result<u64, Error> {
        Ok(fs::metadata(self.dir.join(name))?.len())
    }

    /// A patch of the whole image by some tool: how it is made, how it is applied, how often.
    fn tool(&mut self, name: &str, make: &str, apply: &str, often: bool) -> Result<(), Error> {
        let file = format!("patch.{}", name.split([' ', ',']).next().unwrap_or(name));
        if !self.dir.join(&file).exists() {
            let time = self.script(&make.replace("PATCH", &format!("{file}.tmp")))?;
            eprintln!("{name}: made in {time:?}");
            fs::rename(self.dir.join(format!("{file}.tmp")), self.dir.join(&file))?;
        }
        let out = self.dir.join("out");
        let apply = apply.replace("PATCH", &file);
        let time = if often {
            self.median(&out, || self.script(&apply))?
        } else {
            let time = self.script(&apply)?;
            self.compare(&out)?;
            time
        };
        let bytes = self.size(&file)?;
        self.row(name, bytes, Some(time));
        Ok(())
    }

    fn peers(&mut self) -> Result<(), Error> {
        self.tool(
            "zstd, whole image, level 19",
            "zstd -q -19 -T2 --long=27 new.erofs -o PATCH",
            "zstd -q -d --long=27 PATCH -o out",
            true,
        )?;
        self.chunks("casync")?;
        self.tool(
            "zstd-patch, whole image, level 19",
            "zstd -q -19 --ultra --long=31 --patch-from=old.erofs new.erofs -o PATCH",
            "zstd -q -d --long=31 --patch-from=old.erofs PATCH -o out",
            true,
        )?;
        self.tool(
            "xdelta3, whole image",
            "xdelta3 -e -9 -S lzma -B 1073741824 -W 16777216 -s old.erofs new.erofs PATCH",
            "xdelta3 -d -B 1073741824 -s old.erofs PATCH out",
            true,
        )?;
        self.tool(
            "bsdiff, whole image",
            "bsdiff old.erofs new.erofs PATCH",
            "bspatch old.erofs out PATCH",
            false,
        )
    }

    /// Content-defined chunks: those that the old image lacks, and the index.
    fn chunks(&mut self, tool: &str) -> Result<(), Error> {
        let make = |image: &str| match tool {
            "desync" => {
                format!("desync make -m 16:64:256 -s {tool}-{image}.store {tool}-{image}.caibx {image}.erofs")
            }
            _ => format!("casync make --store={tool}-{image}.store {tool}-{image}.caibx {image}.erofs"),
        };
        for image in ["old", "new"] {
            if !self.dir.join(format!("{tool}-{image}.caibx")).exists() {
                self.script(&format!("mkdir -p {tool}-{image}.store; {}", make(image)))?;
            }
        }
        let (mut bytes, old) =
            (self.size(&format!("{tool}-new.caibx"))?, self.dir.join(format!("{tool}-old.store")));
        for folder in fs::read_dir(self.dir.join(format!("{tool}-new.store")))? {
            for chunk in fs::read_dir(&folder)? {
                let name = chunk.strip_prefix(self.dir.join(format!("{tool}-new.store")))?;
                if !old.join(name).exists() {
                    bytes += fs::metadata(&chunk)?.len();
                }
            }
        }
        let apply = match tool {
            "desync" => "desync extract --seed desync-old.caibx -s desync-new.store desync-new.caibx out",
            _ => "casync extract --seed=old.erofs --store=casync-new.store casync-new.caibx out",
        };
        // desync expects the seed under the name of its index.
        if tool == "desync" {
            self.script("ln -sf old.erofs desync-old")?;
        }
        let out = self.dir.join("out");
        let time = self.median(&out, || self.script(apply));
        match time {
            Ok(time) => self.row(&format!("{tool}, chunks of 64 KiB"), bytes, Some(time)),
            Err(error) => {
                eprintln!("{tool}: {error}");
                self.row(&format!("{tool}, chunks of 64 KiB"), bytes, None);
            }
        }
        Ok(())
    }
}
