//! Which packages own files.
//!
//! `Basenames` says where a base name is in a package's list of files, `Dirnames` where a directory is in
//! its list of directories; only the header's DIRINDEXES says which file is in which directory. Those are
//! read once per package and kept: a number of a row never stands for another package.

use crate::blob::View;
use crate::query::{Index, ROW, text};
use crate::{Database, Error};
use lazuli_rpm::tag;
use rusqlite::Row;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// More names than this are found by one pass over the table, fewer one by one through its index.
const FEW: usize = 200;

/// The directories of a package's files.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// The directories, with `/` at the end.
    names: Vec<Arc<str>>,
    /// For each file the position of its directory.
    of_file: Vec<u32>,
}

pub(crate) type Directories = HashMap<u32, Arc<Places>>;

/// A file of an installed package that has a wanted base name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// The number of the package's row.
    pub hnum: u32,
    /// The position among the package's files.
    pub index: u32,
    /// The directory as the package names it, with `/` at the end.
    pub directory: Arc<str>,
}

/// Directory, with `/` at the end, and base name.
fn split(path: &str) -> (&str, &str) {
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    path.split_at(path.rfind('/').map_or(0, |i| i + 1))
}

impl Database {
    /// Who owns `path`, an absolute path as packages write it: number of the package, and position among
    /// its files. Symbolic links are not followed; for that see [`candidates`](Self::candidates).
    pub fn owners(&self, path: &str) -> Result<Vec<(u32, u32)>, Error> {
        Ok(self.owners_of(&[path])?.pop().unwrap_or_default())
    }

    /// The owners of many paths at once, in the order of the paths.
    pub fn owners_of(&self, paths: &[&str]) -> Result<Vec<Vec<(u32, u32)>>, Error> {
        let parts: Vec<(&str, &str)> = paths.iter().map(|path| split(path)).collect();
        // Names such as README are in most packages: only those that have the directory count.
        let directories: HashSet<&str> = parts.iter().map(|p| p.0).collect();
        let mut places: HashMap<String, HashMap<u32, u32>> = HashMap::new();
        self.lookup(Index::Directory, &directories, |key, hnum, position| {
            places.entry(key).or_default().insert(hnum, position);
        })?;
        let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
        for (i, (directory, name)) in parts.iter().enumerate() {
            if places.contains_key(*directory) {
                by_name.entry(name).or_default().push(i);
            }
        }
        let mut matches = Vec::new();
        self.lookup(Index::Basename, &by_name.keys().copied().collect(), |key, hnum, index| {
            for &i in by_name.get(key.as_str()).into_iter().flatten() {
                if let Some(&position) = places.get(parts[i].0).and_then(|p| p.get(&hnum)) {
                    matches.push((i, hnum, index, position));
                }
            }
        })?;
        let mut owners = vec![Vec::new(); paths.len()];
        for (i, hnum, index, position) in matches {
            if self.places(hnum)?.of_file.get(index as usize) == Some(&position) {
                owners[i].push((hnum, index));
            }
        }
        for list in &mut owners {
            list.sort_unstable();
        }
        Ok(owners)
    }

    /// All files with these base names, with their directories as the packages write them: for whoever
    /// compares directories by what they are on the disk, because symbolic links lead to them.
    pub fn candidates(&self, names: &HashSet<&str>) -> Result<HashMap<String, Vec<Candidate>>, Error> {
        let mut rows = Vec::new();
        self.lookup(Index::Basename, names, |key, hnum, index| rows.push((key, hnum, index)))?;
        let mut found: HashMap<String, Vec<Candidate>> = HashMap::new();
        for (key, hnum, index) in rows {
            let places = self.places(hnum)?;
            let position = places.of_file.get(index as usize);
            if let Some(directory) = position.and_then(|p| places.names.get(*p as usize)) {
                let candidate = Candidate { hnum, index, directory: Arc::clone(directory) };
                found.entry(key).or_default().push(candidate);
            }
        }
        for list in found.values_mut() {
            list.sort_unstable();
        }
        Ok(found)
    }

    /// Calls `each` with key, number of the package and position for each row with one of the keys.
    fn lookup(
        &self,
        index: Index,
        keys: &HashSet<&str>,
        mut each: impl FnMut(String, u32, u32),
    ) -> Result<(), Error> {
        if keys.len() <= FEW {
            for key in keys {
                for (hnum, position) in self.find(index, key)? {
                    each((*key).to_owned(), hnum, position);
                }
            }
            return Ok(());
        }
        let mut run = || -> rusqlite::Result<()> {
            let sql = format!("SELECT key, hnum, idx FROM '{}'", index.table());
            let mut statement = self.db.prepare_cached(&sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if let Some((key, hnum, position)) = wanted(row, keys)? {
                    each(key, hnum, position);
                }
            }
            Ok(())
        };
        run().map_err(|e| self.at(e))
    }

    /// The directories of a package's files; empty if there is no such package.
    fn places(&self, hnum: u32) -> Result<Arc<Places>, Error> {
        if let Some(known) = self.directories.borrow().get(&hnum) {
            return Ok(Arc::clone(known));
        }
        let sql = format!("SELECT {ROW} FROM Packages WHERE hnum = ?1");
        let read = |_, blob: &[u8]| {
            let view = View::new(blob)?;
            Ok(Places {
                names: view.strings(tag::DIRNAMES).map(|name| Arc::from(name.as_ref())).collect(),
                of_file: view.numbers(tag::DIRINDEXES).into_iter().map(|n| n as u32).collect(),
            })
        };
        let places = Arc::new(self.rows(&sql, [hnum], read)?.pop().unwrap_or_default());
        self.directories.borrow_mut().insert(hnum, Arc::clone(&places));
        Ok(places)
    }
}

fn wanted(row: &Row<'_>, keys: &HashSet<&str>) -> rusqlite::Result<Option<(String, u32, u32)>> {
    let value = row.get_ref(0)?;
    let known = value.as_str().is_ok_and(|key| keys.contains(key));
    if known { Ok(Some((text(value), row.get(1)?, row.get(2)?))) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_path_is_split_as_in_the_tables() {
        assert_eq!(split("/usr/bin/a"), ("/usr/bin/", "a"));
        assert_eq!(split("/usr/bin/"), ("/usr/", "bin"));
        assert_eq!(split("/usr"), ("/", "usr"));
        assert_eq!(split("/"), ("/", ""));
    }
}
