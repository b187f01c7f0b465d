//! Which packages are installed at a moment of the transaction.

use super::{Element, Error, Installed, Package, Rules, name};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// An installed package. Those that came in this transaction are after all others, in the order in which
/// they came, as their numbers in the database will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Id {
    /// It was there before, under this number.
    Before(u32),
    /// It is the nth that came.
    New(usize),
}

pub(super) struct State<'a> {
    before: &'a dyn Installed,
    elements: &'a [Element],
    /// Elements whose packages came, in that order.
    came: Vec<usize>,
    /// Numbers of packages that went.
    gone: BTreeSet<u32>,
    /// Elements that failed or were left out because of one that did.
    failed: BTreeSet<usize>,
    /// Numbers of packages that go, sooner or later.
    removed: BTreeSet<u32>,
    /// Packages with file triggers, which every element asks for.
    watchers: RefCell<HashMap<u32, Arc<Package>>>,
    pub(super) rules: Rules,
}

/// Among which packages files are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Among {
    /// All that are there.
    All,
    /// Those that came.
    New,
    /// Those that this transaction removes.
    Removed,
}

impl<'a> State<'a> {
    pub(super) fn new(before: &'a dyn Installed, elements: &'a [Element]) -> Self {
        let removed = elements.iter().filter_map(|element| match element {
            Element::Remove { hnum, .. } => Some(*hnum),
            Element::Install { .. } => None,
        });
        Self {
            removed: removed.collect(),
            watchers: RefCell::default(),
            before,
            elements,
            came: Vec::new(),
            gone: BTreeSet::new(),
            failed: BTreeSet::new(),
            rules: Rules::default(),
        }
    }

    /// The package that an element installs.
    pub(super) fn install(&self, index: usize) -> Result<Arc<Package>, Error> {
        match self.elements.get(index) {
            Some(Element::Install { package, .. }) => Ok(package.clone()),
            _ => Err(Error::Element { index, wanted: "install" }),
        }
    }

    /// The package that an element removes.
    pub(super) fn removal(&self, index: usize) -> Result<Arc<Package>, Error> {
        match self.elements.get(index) {
            Some(Element::Remove { hnum, .. }) => self.before.package(*hnum).map_err(Error::Installed),
            _ => Err(Error::Element { index, wanted: "remove" }),
        }
    }

    /// Every installation that has not failed.
    pub(super) fn installs(&self) -> impl Iterator<Item = (usize, &'a Arc<Package>)> {
        let failed = self.failed.clone();
        self.elements.iter().enumerate().filter_map(move |(index, element)| match element {
            Element::Install { package, .. } if !failed.contains(&index) => Some((index, package)),
            _ => None,
        })
    }

    /// Every removal that has not failed.
    pub(super) fn removals(&self) -> impl Iterator<Item = usize> {
        let indexes = self.elements.iter().enumerate();
        indexes
            .filter(|(index, element)| {
                matches!(element, Element::Remove { .. }) && !self.failed.contains(index)
            })
            .map(|(index, _)| index)
    }

    /// Files that an element neither writes nor removes.
    pub(super) fn skipped(&self, index: usize) -> Option<&'a BTreeSet<usize>> {
        match self.elements.get(index)? {
            Element::Install { skipped, .. } | Element::Remove { skipped, .. } => Some(skipped),
        }
    }

    pub(super) fn installed(&mut self, index: usize) -> Result<(), Error> {
        let Some(Element::Install { replaces, .. }) = self.elements.get(index) else {
            return Err(Error::Element { index, wanted: "install" });
        };
        self.gone.extend(replaces);
        if !self.came.contains(&index) {
            self.came.push(index);
        }
        Ok(())
    }

    pub(super) fn erased(&mut self, index: usize) -> Result<(), Error> {
        let Some(Element::Remove { hnum, .. }) = self.elements.get(index) else {
            return Err(Error::Element { index, wanted: "remove" });
        };
        self.gone.insert(*hnum);
        Ok(())
    }

    pub(super) fn without(&mut self, index: usize) -> Vec<usize> {
        let failed = &mut self.failed;
        failed.insert(index);
        let dependent = self.elements.iter().enumerate().filter(|(_, element)| {
            matches!(element, Element::Remove { replaced_by, .. } if *replaced_by == Some(index))
        });
        let dependent: Vec<usize> = dependent.map(|(i, _)| i).filter(|i| failed.insert(*i)).collect();
        dependent
    }

    /// Whether the package takes the place of another one.
    pub(super) fn is_update(&self, index: usize) -> bool {
        self.elements.iter().any(
            |element| matches!(element, Element::Remove { replaced_by, .. } if *replaced_by == Some(index)),
        )
    }

    /// The installed package that an element brought.
    pub(super) fn brought_by(&self, index: usize) -> Option<Id> {
        self.came.iter().position(|came| *came == index).map(Id::New)
    }

    /// Whether the package takes the row of the same one.
    pub(super) fn replaces(&self, index: usize) -> bool {
        matches!(self.elements.get(index), Some(Element::Install { replaces: Some(_), .. }))
    }

    /// How many instances there will be after the removal, before it has begun.
    pub(super) fn after_removal(&self, index: usize, name: &str) -> Result<u32, Error> {
        let count = self.count(name)?;
        let replaced = matches!(self.elements.get(index), Some(Element::Remove { replaced_by: Some(_), .. }));
        Ok(if replaced { count } else { count.saturating_sub(1) })
    }

    /// The packages of a name that are there now.
    pub(super) fn named(&self, wanted: &str) -> Result<Vec<Id>, Error> {
        let before = self.before.named(wanted).map_err(Error::Installed)?;
        Ok(self.now(before, |package| name(&package.header) == wanted))
    }

    /// How many packages of a name are there now.
    pub(super) fn count(&self, name: &str) -> Result<u32, Error> {
        Ok(self.named(name)?.len() as u32)
    }

    pub(super) fn with_trigger_on(&self, name: &str) -> Result<Vec<Id>, Error> {
        let before = self.before.with_trigger_on(name).map_err(Error::Installed)?;
        Ok(self.now(before, |p| {
            p.header.strings(lazuli_rpm::tag::TRIGGERNAME).iter().any(|other| other == name)
        }))
    }

    pub(super) fn with_file_triggers(&self) -> Result<Vec<Id>, Error> {
        let before = self.before.with_file_triggers().map_err(Error::Installed)?;
        Ok(self.now(before, |p| p.header.has(lazuli_rpm::tag::FILETRIGGERNAME)))
    }

    pub(super) fn with_transaction_file_triggers(&self) -> Result<Vec<Id>, Error> {
        let before = self.before.with_transaction_file_triggers().map_err(Error::Installed)?;
        Ok(self.now(before, |p| p.header.has(lazuli_rpm::tag::TRANSFILETRIGGERNAME)))
    }

    /// Packages that are there now and may have files below a path. The database is asked only for what
    /// this transaction does not know itself.
    pub(super) fn with_files_below(&self, prefix: &str, among: Among) -> Result<Vec<Id>, Error> {
        let before = match among {
            Among::All => self.before.with_files_below(prefix).map_err(Error::Installed)?,
            Among::New => Vec::new(),
            Among::Removed => self.removed.iter().copied().collect(),
        };
        Ok(self.now(before, |_| among != Among::Removed))
    }

    /// What is still there of the packages from before, and what came and fits.
    fn now(&self, before: Vec<u32>, fits: impl Fn(&Package) -> bool) -> Vec<Id> {
        let mut ids: Vec<Id> =
            before.into_iter().filter(|hnum| !self.gone.contains(hnum)).map(Id::Before).collect();
        ids.sort_unstable();
        ids.dedup();
        let came = self.came.iter().enumerate().filter(|(_, index)| match self.elements.get(**index) {
            Some(Element::Install { package, .. }) => fits(package),
            _ => false,
        });
        ids.extend(came.map(|(order, _)| Id::New(order)));
        ids
    }

    /// Whether a package is there now.
    pub(super) fn is_there(&self, id: Id) -> bool {
        match id {
            Id::Before(hnum) => !self.gone.contains(&hnum),
            Id::New(order) => order < self.came.len(),
        }
    }

    pub(super) fn package(&self, id: Id) -> Result<Arc<Package>, Error> {
        match id {
            Id::Before(hnum) => self.before.package(hnum).map_err(Error::Installed),
            Id::New(order) => self.install(self.came.get(order).copied().unwrap_or(usize::MAX)),
        }
    }

    /// A package with file triggers.
    pub(super) fn watcher(&self, id: Id) -> Result<Arc<Package>, Error> {
        let Id::Before(hnum) = id else { return self.package(id) };
        if let Some(known) = self.watchers.borrow().get(&hnum) {
            return Ok(known.clone());
        }
        let package = self.package(id)?;
        self.watchers.borrow_mut().insert(hnum, package.clone());
        Ok(package)
    }

    /// Whether this transaction removes it, sooner or later.
    pub(super) fn is_removed(&self, id: Id) -> bool {
        matches!(id, Id::Before(hnum) if self.removed.contains(&hnum))
    }

    /// Whether this transaction brought it.
    pub(super) fn is_new(id: Id) -> bool {
        matches!(id, Id::New(_))
    }
}
