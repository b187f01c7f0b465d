//! Taking a release: the way with the fewest bytes, into the idle slot.

use crate::client::Catalogue;
use crate::{Error, Result};
use lazuli_delta::choose::{self, Way};
use lazuli_delta::recipe::{self, Parts};
use lazuli_delta::reuse::{self, LEAF};
use lazuli_delta::{BLOCK, Held, ReadAt, Report, WriteAt, frames};
use lazuli_layout::manifest::{MAX_FULL_INDEX, MAX_RECIPE_INDEX, MAX_ROOT, Manifest, Target};
use lazuli_verity::{Salt, hash_block};
use std::io::{self, Read};
use std::ops::Range;

/// The running image, as far as it helps.
pub struct Base<'a> {
    /// The root hash of its verity tree.
    pub root_hash: [u8; 32],
    /// Its size in blocks.
    pub blocks: u64,
    /// The first 8 bytes of the digests of its blocks, from its verified hash tree; asked for only if no recipe
    /// is cheaper anyway.
    pub leaves: &'a dyn Fn() -> io::Result<Vec<[u8; LEAF]>>,
}

impl std::fmt::Debug for Base<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Base").field("blocks", &self.blocks).finish_non_exhaustive()
    }
}

/// How a release will be taken.
#[derive(Debug)]
pub struct Plan {
    /// The way.
    pub way: Way,
    /// The bytes of the root image that are fetched in all. Less if the slot holds some of it already.
    pub bytes: u64,
    /// The bytes of every way that was looked at.
    pub considered: Vec<(Way, u64)>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Recipe { index: recipe::Index, target: Target, offset: u64 },
    Frames { index: frames::Index, plan: reuse::Plan, target: Target },
}

/// Compares the ways from `base`, if there is one, to a release. Small parts (lists, indices) are fetched for it;
/// they count. Where there is a recipe, reuse is not even looked at: a recipe copies every block that reuse would,
/// and what it brings instead is smaller than the frames and the list that reuse must fetch.
pub fn plan(catalogue: &Catalogue, manifest: &Manifest, base: Option<&Base<'_>>) -> Result<Plan> {
    let root = &manifest.root;
    let known = base.and_then(|base| manifest.recipe(&lazuli_layout::manifest::Hex32(base.root_hash)));
    let mut considered = vec![(Way::Full, manifest.full.image.size + manifest.full.index.size)];
    if let Some(recipe) = known {
        considered.push((Way::Recipe, recipe.target.size));
    }
    let lists = manifest.leaves.size + manifest.full.index.size;
    let cheapest = choose::cheapest(considered.iter().copied()).map_or(0, |(_, bytes)| bytes);
    let mut reused = None;
    if let Some(base) = base
        && known.is_none()
        && lists < cheapest
    {
        let list = catalogue.read(&manifest.leaves, MAX_ROOT / BLOCK as u64 * LEAF as u64)?;
        let index = full_index(catalogue, manifest)?;
        let leaves =
            (base.leaves)().map_err(|e| Error::Other(format!("cannot read the running hash tree: {e}")))?;
        let plan = reuse::Plan::new(&list, root.blocks, zero(manifest)?, leaves, [])?;
        considered.push((Way::Reuse, lists + plan.bytes(&index)));
        reused = Some((index, plan));
    }
    considered.sort_unstable();
    let (way, bytes) = choose::cheapest(considered.iter().copied()).unwrap_or((Way::Full, 0));
    let kind = match (way, known, reused) {
        (Way::Recipe, Some(recipe), _) => {
            let index = catalogue.read_part(
                &recipe.target,
                0..recipe.index_size.min(MAX_RECIPE_INDEX),
                &recipe.index_sha256,
            )?;
            let index = recipe::Index::parse(&index)?;
            let blocks = base.map_or(0, |base| base.blocks);
            index.check(&recipe.base.0, blocks, &root.root_hash.0, root.blocks)?;
            Kind::Recipe { index, target: recipe.target.clone(), offset: recipe.index_size }
        }
        (Way::Reuse, _, Some((index, plan))) => {
            Kind::Frames { index, plan, target: manifest.full.image.clone() }
        }
        _ => return full(catalogue, manifest, considered),
    };
    Ok(Plan { way, bytes, considered, kind })
}

/// The full image, whatever else there is: what is left if another way ended in a wrong root hash.
pub fn plan_full(catalogue: &Catalogue, manifest: &Manifest) -> Result<Plan> {
    let bytes = manifest.full.image.size + manifest.full.index.size;
    full(catalogue, manifest, vec![(Way::Full, bytes)])
}

fn full(catalogue: &Catalogue, manifest: &Manifest, considered: Vec<(Way, u64)>) -> Result<Plan> {
    let index = full_index(catalogue, manifest)?;
    let kind = Kind::Frames {
        index,
        plan: reuse::Plan::full(manifest.root.blocks),
        target: manifest.full.image.clone(),
    };
    let bytes = manifest.full.image.size + manifest.full.index.size;
    Ok(Plan { way: Way::Full, bytes, considered, kind })
}

fn full_index(catalogue: &Catalogue, manifest: &Manifest) -> Result<frames::Index> {
    let index = frames::Index::parse(&catalogue.read(&manifest.full.index, MAX_FULL_INDEX)?)?;
    if index.blocks != manifest.root.blocks || index.size() > manifest.full.image.size {
        let detail = format!("{} does not describe {}", manifest.full.index.name, manifest.full.image.name);
        return Err(Error::refused(crate::Refusal::MixAndMatch, detail));
    }
    Ok(index)
}

fn salt(manifest: &Manifest) -> Result<Salt> {
    Salt::from_bytes(manifest.root.salt.0.to_vec()).ok_or_else(|| Error::Other("the salt is too long".into()))
}

fn zero(manifest: &Manifest) -> Result<[u8; LEAF]> {
    Ok(reuse::short(hash_block(&salt(manifest)?, &[0; BLOCK]).as_bytes()))
}

impl Plan {
    /// Leaves out what the slot holds already in its place, after a reboot for example; for ways that know the
    /// digests of the new blocks. (A recipe looks for itself, with [`Held::Something`].)
    pub fn resume(&mut self, catalogue: &Catalogue, manifest: &Manifest, slot: &dyn ReadAt) -> Result<()> {
        let Kind::Frames { plan, .. } = &mut self.kind else { return Ok(()) };
        let list = catalogue.read(&manifest.leaves, MAX_ROOT / BLOCK as u64 * LEAF as u64)?;
        plan.keep(&list, &salt(manifest)?, slot)?;
        Ok(())
    }

    /// Writes the new root image into `slot`, from `old`, the running root image, and what is fetched.
    ///
    /// Afterwards the caller flushes the slot, reads it back from the device and compares the root of its hash
    /// tree with the manifest's; nothing may point at the slot before. If they differ after [`Way::Reuse`] or
    /// [`Way::Recipe`], [`plan_full`] is what is left.
    pub fn run(
        &self,
        catalogue: &Catalogue,
        old: &dyn ReadAt,
        slot: &dyn WriteAt,
        held: Held,
    ) -> Result<Report> {
        Ok(match &self.kind {
            Kind::Recipe { index, target, offset } => {
                let mut parts = Remote { catalogue, target, offset: *offset };
                recipe::run(index, &mut parts, old, slot, held)?
            }
            Kind::Frames { index, plan, target } => {
                let mut parts = Remote { catalogue, target, offset: 0 };
                plan.run(index, &mut parts, old, slot, held)?
            }
        })
    }
}

/// A target of the repository, from `offset` on.
struct Remote<'a> {
    catalogue: &'a Catalogue,
    target: &'a Target,
    offset: u64,
}

impl Parts for Remote<'_> {
    fn open(&mut self, range: Range<u64>) -> io::Result<Box<dyn Read + '_>> {
        let range = range.start + self.offset..range.end + self.offset;
        Ok(Box::new(self.catalogue.open(self.target, range).map_err(io::Error::other)?))
    }
}
