use super::*;
use lazuli_rpm::DependencyFlags as Flags;
use lazuli_rpm::header::{HeaderBuilder, Value};
use lazuli_rpm::tag;

/// Installed packages by number.
struct World(Vec<(u32, Arc<Package>)>);

impl World {
    fn with(&self, fits: impl Fn(&Package) -> bool) -> Vec<u32> {
        self.0.iter().filter(|(_, package)| fits(package)).map(|(hnum, _)| *hnum).collect()
    }
}

impl Installed for World {
    fn package(&self, hnum: u32) -> Answer<Arc<Package>> {
        let found = self.0.iter().find(|(other, _)| *other == hnum);
        found.map(|(_, package)| package.clone()).ok_or_else(|| "there is no such package".into())
    }

    fn named(&self, wanted: &str) -> Answer<Vec<u32>> {
        Ok(self.with(|package| name(&package.header) == wanted))
    }

    fn with_trigger_on(&self, name: &str) -> Answer<Vec<u32>> {
        Ok(self.with(|package| package.header.strings(tag::TRIGGERNAME).iter().any(|other| other == name)))
    }

    fn with_file_triggers(&self) -> Answer<Vec<u32>> {
        Ok(self.with(|package| package.header.has(tag::FILETRIGGERNAME)))
    }

    fn with_transaction_file_triggers(&self) -> Answer<Vec<u32>> {
        Ok(self.with(|package| package.header.has(tag::TRANSFILETRIGGERNAME)))
    }

    fn with_files_below(&self, _: &str) -> Answer<Vec<u32>> {
        // More than needed is allowed.
        Ok(self.with(|_| true))
    }
}

/// A package with every scriptlet, files, and file triggers: prefix, priority, when.
fn package(name: &str, version: &str, files: &[&str], triggers: &[(&str, u32, Flags)]) -> Package {
    let mut h = HeaderBuilder::new();
    h.string(tag::NAME, name)
        .string(tag::VERSION, version)
        .string(tag::RELEASE, "1")
        .string(tag::ARCH, "noarch");
    for (body, program) in [
        (tag::PRETRANS, tag::PRETRANSPROG),
        (tag::PREIN, tag::PREINPROG),
        (tag::POSTIN, tag::POSTINPROG),
        (tag::PREUN, tag::PREUNPROG),
        (tag::POSTUN, tag::POSTUNPROG),
        (tag::POSTTRANS, tag::POSTTRANSPROG),
        (tag::PREUNTRANS, tag::PREUNTRANSPROG),
        (tag::POSTUNTRANS, tag::POSTUNTRANSPROG),
    ] {
        h.string(body, "run %{name}").string(program, "/bin/sh");
    }
    h.number(tag::POSTINFLAGS, crate::Flags::EXPAND.0);
    let list = |texts: Vec<&str>| Value::StringArray(texts.into_iter().map(str::to_owned).collect());
    let mut directories: Vec<String> = Vec::new();
    let (mut bases, mut indexes) = (Vec::new(), Vec::new());
    for path in files {
        let (directory, base) = path.rsplit_once('/').unwrap();
        let directory = format!("{directory}/");
        let index = directories.iter().position(|d| *d == directory).unwrap_or_else(|| {
            directories.push(directory);
            directories.len() - 1
        });
        bases.push(base);
        indexes.push(index as u32);
    }
    h.set(tag::DIRNAMES, Value::StringArray(directories)).set(tag::BASENAMES, list(bases));
    h.set(tag::DIRINDEXES, Value::Int32(indexes));
    h.set(tag::FILETRIGGERSCRIPTS, list(triggers.iter().map(|_| "run").collect()));
    h.set(tag::FILETRIGGERSCRIPTPROG, list(triggers.iter().map(|_| "/bin/sh").collect()));
    h.set(tag::FILETRIGGERNAME, list(triggers.iter().map(|t| t.0).collect()));
    h.set(tag::FILETRIGGERFLAGS, Value::Int32(triggers.iter().map(|t| t.2.0).collect()));
    h.set(tag::FILETRIGGERINDEX, Value::Int32((0..triggers.len() as u32).collect()));
    h.set(tag::FILETRIGGERPRIORITIES, Value::Int32(triggers.iter().map(|t| t.1).collect()));
    Package::new(Header::parse(&h.finish(tag::HEADERIMMUTABLE)).unwrap())
}

fn install(package: Package) -> Element {
    Element::Install { package: Arc::new(package), skipped: BTreeSet::new(), replaces: None }
}

fn remove(hnum: u32, replaced_by: Option<usize>) -> Element {
    Element::Remove { hnum, skipped: BTreeSet::new(), replaced_by }
}

/// `%post(a-1-1.noarch) 1`
fn shown(scripts: Result<Vec<Script>, Error>) -> Vec<String> {
    let show = |script: &Script| {
        let args: Vec<String> = script.args.iter().map(ToString::to_string).collect();
        format!("{script} {}", args.join(" "))
    };
    scripts.unwrap().iter().map(show).collect()
}

#[test]
fn an_upgrade_counts_what_will_be_there() {
    let world = World(vec![(7, Arc::new(package("a", "1", &[], &[])))]);
    let elements = [install(package("a", "2", &[], &[])), remove(7, Some(0))];
    let mut selection = Selection::new(&world, &elements);
    assert_eq!(shown(selection.pretrans()), ["%pretrans(a-2-1.noarch) 2"]);
    assert_eq!(shown(selection.before_transaction()), ["%preuntrans(a-1-1.noarch) 1"]);
    assert_eq!(shown(selection.before_install(0)), ["%pre(a-2-1.noarch) 2"]);
    selection.installed(0).unwrap();
    assert_eq!(shown(selection.after_install(0)), ["%post(a-2-1.noarch) 2"]);
    assert_eq!(shown(selection.before_erase(1)), ["%preun(a-1-1.noarch) 1"]);
    assert_eq!(shown(selection.after_erase(1)), ["%postun(a-1-1.noarch) 1"]);
    selection.erased(1).unwrap();
    let after = ["%posttrans(a-2-1.noarch) 2", "%postuntrans(a-1-1.noarch) 1"];
    assert_eq!(shown(selection.after_transaction()), after);
}

#[test]
fn what_fails_takes_the_removal_of_the_old_package_with_it() {
    let world = World(vec![(7, Arc::new(package("a", "1", &[], &[])))]);
    let elements =
        [install(package("a", "2", &[], &[])), install(package("b", "1", &[], &[])), remove(7, Some(0))];
    let mut selection = Selection::new(&world, &elements);
    let pre = selection.before_install(0).unwrap();
    assert!(pre[0].is_critical() && pre[0].element == Some(0));
    assert_eq!(selection.without(0), [2]);
    assert_eq!(selection.without(0), [0_usize; 0]);
    selection.installed(1).unwrap();
    assert_eq!(shown(selection.after_transaction()), ["%posttrans(b-1-1.noarch) 1"]);
}

#[test]
fn file_triggers_run_by_priority_before_and_after_the_scriptlet() {
    let seven = package(
        "seven",
        "1",
        &[],
        &[
            ("/usr", 9_999, Flags::TRIGGERIN),
            ("/usr/lib", 10_000, Flags::TRIGGERIN),
            ("/usr", 1, Flags::TRIGGERUN),
        ],
    );
    let eight = package(
        "eight",
        "1",
        &[],
        &[("/usr", 1_000_000, Flags::TRIGGERIN), ("/usr", 9_999, Flags::TRIGGERIN)],
    );
    let world = World(vec![(7, Arc::new(seven)), (8, Arc::new(eight))]);
    let element = install(package("a", "1", &["/usr/lib/x", "/usr/share/y", "/etc/z"], &[]));
    let elements = [element];
    let mut selection = Selection::new(&world, &elements);
    selection.installed(0).unwrap();
    let scripts = selection.after_install(0).unwrap();
    let paths: Vec<usize> = scripts.iter().map(|script| script.paths.len()).collect();
    assert_eq!(paths, [2, 1, 0, 2, 2]);
    assert_eq!(
        shown(Ok(scripts)),
        [
            "%filetriggerin(eight-1-1.noarch) 1 1",
            "%filetriggerin(seven-1-1.noarch) 1 1",
            "%post(a-1-1.noarch) 1",
            "%filetriggerin(seven-1-1.noarch) 1 1",
            "%filetriggerin(eight-1-1.noarch) 1 1",
        ]
    );
}

#[test]
fn files_that_are_not_touched_or_not_there_trigger_nothing() {
    let watcher = package("w", "1", &[], &[("/usr", 1, Flags::TRIGGERIN)]);
    let world = World(vec![(7, Arc::new(watcher.clone()))]);
    let files = package("a", "1", &["/usr/x", "/usr/y"], &[]);
    let element = |skipped: &[usize]| {
        let (package, skipped) = (Arc::new(files.clone()), skipped.iter().copied().collect());
        Element::Install { package, skipped, replaces: None }
    };
    for (skipped, paths) in [(vec![], Some(2)), (vec![0], Some(1)), (vec![0, 1], None)] {
        let elements = [element(&skipped)];
        let mut selection = Selection::new(&world, &elements);
        selection.installed(0).unwrap();
        let scripts = selection.after_install(0).unwrap();
        assert_eq!(scripts.iter().find(|s| s.kind != Kind::Post).map(|s| s.paths.len()), paths);
    }
    // A package's own triggers see all that is on the disk.
    let mut there = files.clone();
    there.absent.insert(1);
    let world = World(vec![(3, Arc::new(there))]);
    let elements = [install(watcher)];
    let mut selection = Selection::new(&world, &elements);
    selection.installed(0).unwrap();
    let scripts = selection.after_install(0).unwrap();
    assert_eq!(scripts.last().unwrap().paths, ["/usr/x"]);
}

#[test]
fn several_versions_side_by_side_are_counted() {
    let kernel = |version| Arc::new(package("kernel", version, &[], &[]));
    let world = World(vec![(1, kernel("1")), (2, kernel("2"))]);
    let elements = [install(package("kernel", "3", &[], &[])), remove(1, None)];
    let mut selection = Selection::new(&world, &elements);
    assert_eq!(shown(selection.before_install(0)), ["%pre(kernel-3-1.noarch) 3"]);
    selection.installed(0).unwrap();
    assert_eq!(shown(selection.before_erase(1)), ["%preun(kernel-1-1.noarch) 2"]);
}

#[test]
fn the_text_is_made_ready() {
    let world = World(Vec::new());
    let elements = [install(package("a", "1", &[], &[]))];
    let mut selection = Selection::new(&world, &elements);
    selection.installed(0).unwrap();
    assert_eq!(selection.after_install(0).unwrap()[0].body.as_deref(), Some("run a"));
    assert_eq!(selection.before_install(0).unwrap()[0].body.as_deref(), Some("run %{name}"));
    assert!(matches!(selection.before_erase(0), Err(Error::Element { index: 0, wanted: "remove" })));
    assert!(matches!(selection.before_install(9), Err(Error::Element { index: 9, .. })));
}
