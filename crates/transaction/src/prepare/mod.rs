//! Deciding everything before anything changes.

mod decide;
mod erase;
mod resolve;
mod space;

use crate::files::{self, FileInfo, Kind};
use crate::plan::{Add, Keep, Plan, Remove, Step, VERSION};
use crate::root::{Root, split};
use crate::{DIR, Element, Error, Options, Package, Problem, Problems, Trust};
use lazuli_rpm::builder::FileFlags;
use lazuli_rpm::{Header, order};
use lazuli_rpmdb::{Database, FileState, Installed};
use resolve::Resolver;
use std::collections::{HashMap, HashSet};

/// A package that comes, with the fate of each file.
pub(crate) struct Incoming {
    pub(crate) package: Package,
    pub(crate) files: Vec<FileInfo>,
    /// Where each file really is.
    pub(crate) real: Vec<String>,
    pub(crate) states: Vec<FileState>,
    /// Files that are not written.
    pub(crate) skipped: HashSet<usize>,
    /// Files that are written as `.rpmnew`.
    beside: HashSet<usize>,
    /// What becomes of the old file after all, because a later package has the path as configuration.
    keep: HashMap<usize, Keep>,
    /// Files that stay as somebody wrote them after all, for the same reason.
    left: HashSet<usize>,
}

/// An installed package that goes or shares a path.
pub(crate) struct Row {
    pub(crate) installed: Installed,
    pub(crate) files: Vec<FileInfo>,
    /// The element that it goes with.
    pub(crate) goes: Option<usize>,
    /// Files that stay although the package goes.
    pub(crate) stays: HashSet<usize>,
}

/// An element in its place in the order.
pub(crate) struct Ordered {
    pub(crate) label: String,
    pub(crate) add: Option<Incoming>,
    pub(crate) remove: Vec<u32>,
}

/// Everything that the parts of this module share.
pub(crate) struct Work<'a> {
    pub(crate) root: &'a Root,
    pub(crate) database: &'a Database,
    pub(crate) options: &'a Options,
    pub(crate) resolver: Resolver<'a>,
    pub(crate) elements: Vec<Ordered>,
    pub(crate) rows: HashMap<u32, Row>,
    /// Installed owners of real paths: number of the row, and of the file.
    pub(crate) owners: HashMap<String, Vec<(u32, usize)>>,
    /// Packages that come and own a real path: number of the element, and of the file.
    pub(crate) claims: HashMap<String, Vec<(usize, usize)>>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) mounts: Mounts,
    id: String,
}

/// The mounts that the transaction concerns.
#[derive(Default)]
pub(crate) struct Mounts {
    /// Number of the mount, and the path of its topmost directory.
    pub(crate) list: Vec<(u64, String)>,
    known: HashMap<String, usize>,
}

/// What [`prepare`] gives.
pub(crate) struct Ready {
    pub(crate) plan: Plan,
    pub(crate) elements: Vec<Ordered>,
    pub(crate) rows: HashMap<u32, Row>,
}

/// Decides.
pub(crate) fn prepare(
    root: &Root,
    database: &Database,
    elements: Vec<Element>,
    options: &Options,
    id: String,
) -> Result<Ready, Error> {
    let mut problems = Vec::new();
    let rows = rows(database, &elements, &mut problems)?;
    stop(&mut problems)?;
    let mut elements = arrange(elements, &rows)?;
    let mut rows: HashMap<u32, Row> = rows;
    for (i, element) in elements.iter().enumerate() {
        for hnum in &element.remove {
            if let Some(row) = rows.get_mut(hnum) {
                row.goes = Some(i);
            }
        }
    }
    twice(&elements, &mut problems);
    stop(&mut problems)?;
    let links = elements.iter().filter_map(|e| e.add.as_ref()).flat_map(|a| &a.files);
    let links = links.filter(|f| f.kind() == Kind::Symlink && !f.is(FileFlags::GHOST));
    let resolver = Resolver::new(root, links.map(|f| (&f.path[..], &f.link[..])))?;
    for incoming in elements.iter_mut().filter_map(|e| e.add.as_mut()) {
        incoming.real =
            incoming.files.iter().map(|f| resolver.path(&f.path)).collect::<Result<_, Error>>()?;
    }
    let mut work = Work {
        root,
        database,
        options,
        resolver,
        elements,
        rows,
        owners: HashMap::new(),
        claims: HashMap::new(),
        problems,
        mounts: Mounts::default(),
        id,
    };
    work.find_owners()?;
    let mut steps = work.steps();
    if !options.justdb {
        work.decide(&mut steps)?;
        work.erase(&mut steps)?;
        work.check_space(&steps)?;
    }
    stop(&mut work.problems)?;
    for (step, element) in steps.iter_mut().zip(&work.elements) {
        if let (Some(add), Some(incoming)) = (&mut step.add, &element.add) {
            add.states = incoming.states.iter().map(|s| *s as u8).collect();
        }
    }
    let plan = Plan {
        version: VERSION,
        id: work.id.clone(),
        time: options.time,
        color: options.color,
        ownership: options.ownership,
        users: !options.justdb && !options.no_scripts,
        stages: (0..work.mounts.list.len()).map(|i| work.stage(i)).collect(),
        steps,
        scripts: Vec::new(),
    };
    Ok(Ready { plan, elements: work.elements, rows: work.rows })
}

fn stop(problems: &mut Vec<Problem>) -> Result<(), Error> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::Problems(Problems(std::mem::take(problems))))
}

fn list(header: &Header, label: &str) -> Result<Vec<FileInfo>, Error> {
    files::read(header).map_err(|reason| Error::Files { package: label.to_owned(), reason })
}

/// The rows that go.
fn rows(
    database: &Database,
    elements: &[Element],
    problems: &mut Vec<Problem>,
) -> Result<HashMap<u32, Row>, Error> {
    let mut rows = HashMap::new();
    for &hnum in elements.iter().flat_map(|e| &e.remove) {
        let Some(installed) = database.get(hnum)? else {
            problems.push(Problem::Gone { hnum });
            continue;
        };
        let label = installed.nevra().to_string();
        let files = list(&installed.header, &label)?;
        if rows.insert(hnum, Row { installed, files, goes: None, stays: HashSet::new() }).is_some() {
            problems.push(Problem::Twice { package: label });
        }
    }
    Ok(rows)
}

/// Puts elements into their order: what comes, then what goes, the latter reversed.
fn arrange(elements: Vec<Element>, rows: &HashMap<u32, Row>) -> Result<Vec<Ordered>, Error> {
    let (adds, erasures): (Vec<Element>, Vec<Element>) = elements.into_iter().partition(|e| e.add.is_some());
    let item = |header: &Header, nevra| order::Item {
        nevra,
        provides: header.provides(),
        files: header.paths(),
        requires: header.requires(),
    };
    let items: Vec<order::Item> =
        adds.iter().filter_map(|e| e.add.as_ref()).map(|p| item(&p.header, p.nevra().clone())).collect();
    let gone: Vec<order::Item> = erasures
        .iter()
        .filter_map(|e| rows.get(e.remove.first()?))
        .map(|row| item(&row.installed.header, row.installed.nevra()))
        .collect();
    let mut result = Vec::with_capacity(adds.len() + erasures.len());
    let mut adds: Vec<Option<Element>> = adds.into_iter().map(Some).collect();
    for i in order::order(&items) {
        let Some(Element { add: Some(package), remove }) = adds[i].take() else { continue };
        let label = package.nevra().to_string();
        let files = list(&package.header, &label)?;
        let states = vec![FileState::Normal; files.len()];
        let add = Incoming {
            package,
            files,
            real: Vec::new(),
            states,
            skipped: HashSet::new(),
            beside: HashSet::new(),
            keep: HashMap::new(),
            left: HashSet::new(),
        };
        result.push(Ordered { label, add: Some(add), remove });
    }
    for i in order::order(&gone).into_iter().rev() {
        let label = gone[i].nevra.to_string();
        result.push(Ordered { label, add: None, remove: erasures[i].remove.clone() });
    }
    Ok(result)
}

fn twice(elements: &[Ordered], problems: &mut Vec<Problem>) {
    let mut seen = HashSet::new();
    for element in elements.iter().filter(|e| e.add.is_some()) {
        if !seen.insert(&element.label) {
            problems.push(Problem::Twice { package: element.label.clone() });
        }
    }
}

impl Work<'_> {
    /// Finds all installed packages that own a path of a package that comes or goes.
    fn find_owners(&mut self) -> Result<(), Error> {
        let incoming = self.elements.iter().filter_map(|e| e.add.as_ref()).flat_map(|a| &a.files);
        let going = self.rows.values().flat_map(|r| &r.files);
        let names: HashSet<&str> = incoming.chain(going).map(|f| split(&f.path).1).collect();
        // The root itself has no name.
        let names = names.into_iter().map(|n| if n == "." { "" } else { n }).collect();
        let mut owners: HashMap<String, Vec<(u32, usize)>> = HashMap::new();
        for (name, candidates) in self.database.candidates(&names)? {
            for candidate in candidates {
                let directory = candidate.directory.trim_matches('/');
                let path = match (directory, &name[..]) {
                    ("", name) => name.to_owned(),
                    (directory, name) => format!("{directory}/{name}"),
                };
                let real = self.resolver.path(&path)?;
                owners.entry(real).or_default().push((candidate.hnum, candidate.index as usize));
            }
        }
        self.owners = owners;
        Ok(())
    }

    /// The file of an installed package.
    fn installed_file(&mut self, hnum: u32, index: usize) -> Result<Option<(FileInfo, FileState)>, Error> {
        if !self.rows.contains_key(&hnum) {
            let Some(installed) = self.database.get(hnum)? else { return Ok(None) };
            let files = list(&installed.header, &installed.nevra().to_string())?;
            self.rows.insert(hnum, Row { installed, files, goes: None, stays: HashSet::new() });
        }
        let row = &self.rows[&hnum];
        Ok(row.files.get(index).map(|file| (file.clone(), row.installed.state(index))))
    }

    fn steps(&self) -> Vec<Step> {
        self.elements
            .iter()
            .map(|element| Step {
                label: element.label.clone(),
                add: element.add.as_ref().map(|incoming| Add {
                    signer: match incoming.package.trust() {
                        Trust::Signed { signer } => Some(signer.clone()),
                        Trust::Unchecked => None,
                    },
                    states: Vec::new(),
                }),
                remove: element
                    .remove
                    .iter()
                    .filter_map(|hnum| {
                        let label = self.rows.get(hnum)?.installed.nevra().to_string();
                        Some(Remove { hnum: *hnum, label })
                    })
                    .collect(),
                files: Vec::new(),
                erase: Vec::new(),
                states: Vec::new(),
            })
            .collect()
    }

    /// The staging directory of a mount.
    fn stage(&self, mount: usize) -> String {
        let name = format!(".lapis-{}", self.id);
        match &self.mounts.list[mount].1[..] {
            "" => name,
            top => format!("{top}/{name}"),
        }
    }

    /// The mount on which the file with this real path is or will be.
    pub(crate) fn mount(&mut self, real: &str) -> Result<usize, Error> {
        let mut directory = split(real).0;
        if let Some(&known) = self.mounts.known.get(directory) {
            return Ok(known);
        }
        let asked = directory.to_owned();
        let number = loop {
            match self.root.mount(directory)? {
                Some(number) => break number,
                None if directory.is_empty() => break 0,
                None => directory = split(directory).0,
            }
        };
        let known = self.mounts.list.iter().position(|m| m.0 == number);
        let known = if let Some(known) = known {
            known
        } else {
            // The topmost directory of the mount.
            while !directory.is_empty() {
                let parent = split(directory).0;
                if self.root.mount(parent)? != Some(number) {
                    break;
                }
                directory = parent;
            }
            self.mounts.list.push((number, directory.to_owned()));
            self.mounts.list.len() - 1
        };
        self.mounts.known.insert(asked, known);
        Ok(known)
    }
}

/// Names of transactions that were interrupted, oldest first.
pub(crate) fn pending(root: &Root) -> Result<Vec<String>, Error> {
    let path = root.path().join(DIR);
    let entries = match lazuli_fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(e) if e.is_not_found() => return Ok(Vec::new()),
        Err(e) => return Err(e.into()),
    };
    Ok(entries.iter().filter_map(|e| Some(e.file_name()?.to_str()?.to_owned())).collect())
}
