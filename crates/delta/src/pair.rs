//! Which old file a new one is most likely a later version of.

use crate::erofs::File;
use std::collections::HashMap;

/// Finds old files by path, and by path without its numbers, because versions are in names: `libx.so.1.2` and
/// `libx.so.1.3`, `lib/modules/6.12.48/...` and `lib/modules/6.12.57/...`.
pub(crate) struct Pairs<'a> {
    paths: HashMap<&'a [u8], &'a File>,
    shapes: HashMap<Vec<u8>, Vec<&'a File>>,
    names: HashMap<Vec<u8>, Vec<&'a File>>,
}

impl<'a> Pairs<'a> {
    pub(crate) fn new(old: &'a [File]) -> Self {
        let mut pairs = Self { paths: HashMap::new(), shapes: HashMap::new(), names: HashMap::new() };
        for file in old {
            pairs.paths.insert(&file.path, file);
            pairs.shapes.entry(shape(&file.path)).or_default().push(file);
            pairs.names.entry(shape(name(&file.path))).or_default().push(file);
        }
        pairs
    }

    /// The old file for a new one: of the same path, else of the same path but for numbers, else of the same
    /// name but for numbers; of several the one of the most similar size.
    pub(crate) fn find(&self, new: &File) -> Option<&'a File> {
        let nearest =
            |files: &Vec<&'a File>| files.iter().copied().min_by_key(|old| old.blocks.abs_diff(new.blocks));
        self.paths
            .get(new.path.as_slice())
            .copied()
            .or_else(|| self.shapes.get(&shape(&new.path)).and_then(nearest))
            .or_else(|| self.names.get(&shape(name(&new.path))).and_then(nearest))
    }
}

fn name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// The path with one `#` for each number.
fn shape(path: &[u8]) -> Vec<u8> {
    let mut shape: Vec<u8> = Vec::with_capacity(path.len());
    for byte in path {
        if !byte.is_ascii_digit() {
            shape.push(*byte);
        } else if shape.last() != Some(&b'#') {
            shape.push(b'#');
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_path_then_the_same_shape_then_the_same_name() {
        let file = |path: &str, blocks| File { path: path.into(), start: 0, blocks };
        let old = [
            file("lib/libx.so.1.2", 9),
            file("lib/libx.so.9.9", 90),
            file("lib/a", 1),
            file("modules/6.12.48/b.ko", 1),
            file("share/c", 1),
        ];
        let pairs = Pairs::new(&old);
        let found = |path: &str| {
            pairs.find(&file(path, 10)).map(|old| String::from_utf8_lossy(&old.path).into_owned())
        };
        assert_eq!(found("lib/a").as_deref(), Some("lib/a"));
        assert_eq!(found("lib/libx.so.1.3").as_deref(), Some("lib/libx.so.1.2"));
        assert_eq!(found("modules/6.12.57/b.ko").as_deref(), Some("modules/6.12.48/b.ko"));
        assert_eq!(found("lib/c").as_deref(), Some("share/c"));
        assert_eq!(found("lib/new"), None);
    }
}
