//! Where a path really is: through the symbolic links on the disk and those that the transaction brings.
//!
//! Two packages may name one file by different paths, `/bin/sh` and `/usr/bin/sh`; ownership and conflicts
//! are about the file. A path whose directories are not there yet leads where it will lead.

use crate::files::Kind;
use crate::root::{Root, split};
use crate::{Error, Problem, Problems};
use std::cell::RefCell;
use std::collections::HashMap;

/// The most symbolic links that one path may lead through.
const MAX_LINKS: usize = 40;

/// Looks paths up.
pub(crate) struct Resolver<'a> {
    root: &'a Root,
    /// Links that come, by where they will be.
    planned: HashMap<String, String>,
    known: RefCell<HashMap<String, String>>,
    uid: u32,
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

impl<'a> Resolver<'a> {
    /// `links` are the paths of symbolic links that packages bring, and their targets.
    pub(crate) fn new<'l>(
        root: &'a Root,
        links: impl IntoIterator<Item = (&'l str, &'l str)>,
    ) -> Result<Self, Error> {
        let uid = rustix::process::geteuid().as_raw();
        let mut resolver = Self { root, planned: HashMap::new(), known: RefCell::default(), uid };
        let mut links: Vec<_> = links.into_iter().collect();
        // A link in a directory that a shorter path's link leads to comes after that.
        links.sort_by_key(|(path, _)| (path.matches('/').count(), *path));
        for (path, target) in links {
            let real = resolver.path(path)?;
            // A directory that is there is not replaced by a link.
            let directory = root.stat(&real)?.is_some_and(|stat| Kind::of(stat.st_mode) == Kind::Directory);
            if !directory {
                resolver.planned.insert(real, target.to_owned());
                resolver.known.get_mut().clear();
            }
        }
        Ok(resolver)
    }

    /// The real path of a file, which itself may be a link.
    pub(crate) fn path(&self, path: &str) -> Result<String, Error> {
        if path.is_empty() {
            return Ok(String::new());
        }
        let (directory, name) = split(path);
        Ok(join(&self.directory(directory, 0)?, name))
    }

    /// The real path of a directory.
    pub(crate) fn directory(&self, path: &str, links: usize) -> Result<String, Error> {
        if path.is_empty() {
            return Ok(String::new());
        }
        if let Some(known) = self.known.borrow().get(path) {
            return Ok(known.clone());
        }
        let (parent, name) = split(path);
        let parent = self.directory(parent, links)?;
        let here = join(&parent, name);
        let mut result = here.clone();
        if let Some(target) = self.target(&here, path)? {
            if links >= MAX_LINKS {
                let problem = Problem::Obstacle { path: format!("/{path}"), obstacle: format!("/{here}") };
                return Err(Error::Problems(Problems(vec![problem])));
            }
            result = if target.starts_with('/') { String::new() } else { parent };
            for part in target.split('/') {
                match part {
                    "" | "." => {}
                    ".." => result = split(&result).0.to_owned(),
                    name => result = self.directory(&join(&result, name), links + 1)?,
                }
            }
        }
        self.known.borrow_mut().insert(path.to_owned(), result.clone());
        Ok(result)
    }

    /// The target of the link that is, or will be, at the real path `here`.
    fn target(&self, here: &str, path: &str) -> Result<Option<String>, Error> {
        if let Some(target) = self.planned.get(here) {
            return Ok(Some(target.clone()));
        }
        let Some(stat) = self.root.stat(here)? else { return Ok(None) };
        if Kind::of(stat.st_mode) != Kind::Symlink {
            return Ok(None);
        }
        if stat.st_uid != 0 && stat.st_uid != self.uid {
            let problem =
                Problem::Link { path: format!("/{path}"), link: format!("/{here}"), owner: stat.st_uid };
            return Err(Error::Problems(Problems(vec![problem])));
        }
        self.root.read_link(here).map(Some)
    }
}
