//! Packages whose scripts log, the real `rpm` that installs them, and a small installer that only runs
//! the scripts that this crate selects.

#![allow(clippy::unwrap_used)] // A test may panic.

use lazuli_fs as fs;
use lazuli_rpm::{
    Builder, Dependency, Evr, FileEntry, FileFlags, FileTrigger, Nevra, PackageFile, Scriptlet, Scriptlets,
    Trigger, TriggerKind, tag,
};
use lazuli_scriptlet::helper::Helper;
use lazuli_scriptlet::{Answer, Element, Installed, Package, Rules, Runner, Script, Selection};
use lazuli_store::Store;
use lazuli_tree::{Node, TreePath};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// A package to be.
#[derive(Debug, Clone)]
pub struct Spec {
    pub name: String,
    pub version: u32,
    files: Vec<String>,
    requires: Vec<String>,
    triggers: Vec<(TriggerKind, Vec<String>)>,
    file_triggers: Vec<(TriggerKind, Vec<String>, u32, bool)>,
    failing: Option<String>,
}

impl Spec {
    pub fn new(name: &str, version: u32) -> Self {
        Self {
            name: name.into(),
            version,
            files: Vec::new(),
            requires: Vec::new(),
            triggers: Vec::new(),
            file_triggers: Vec::new(),
            failing: None,
        }
    }

    pub fn file(mut self, path: &str) -> Self {
        self.files.push(path.into());
        self
    }

    pub fn requires(mut self, name: &str) -> Self {
        self.requires.push(name.into());
        self
    }

    pub fn trigger(mut self, kind: TriggerKind, on: &[&str]) -> Self {
        self.triggers.push((kind, on.iter().map(ToString::to_string).collect()));
        self
    }

    pub fn file_trigger(mut self, kind: TriggerKind, prefixes: &[&str], priority: u32) -> Self {
        self.file_triggers.push((kind, prefixes.iter().map(ToString::to_string).collect(), priority, false));
        self
    }

    pub fn transaction_file_trigger(mut self, kind: TriggerKind, prefixes: &[&str], priority: u32) -> Self {
        self.file_triggers.push((kind, prefixes.iter().map(ToString::to_string).collect(), priority, true));
        self
    }

    /// Scripts of this sort raise an error after they have logged.
    pub fn failing(mut self, kind: &str) -> Self {
        self.failing = Some(kind.into());
        self
    }

    fn script(&self, kind: &str) -> Scriptlet {
        let error = if self.failing.as_deref().is_some_and(|f| kind.split('-').next() == Some(f)) {
            "error('on purpose')"
        } else {
            ""
        };
        let body = format!(
            "local f = io.open('/log', 'a')\n\
             f:write('{kind} {}-{}')\n\
             for i = 2, #arg do f:write(' ', arg[i]) end\n\
             if rpm.next_file then\n  local p = rpm.next_file()\n\
             while p do f:write(' ', p) p = rpm.next_file() end\nend\n\
             f:write('\\n')\nf:close()\n{error}\n",
            self.name, self.version
        );
        Scriptlet { interpreter: vec!["<lua>".into()], body }
    }

    fn build(&self, store: &Store) -> Vec<u8> {
        let script = |kind| Some(self.script(kind));
        let trigger = |(i, (kind, on)): (usize, &(TriggerKind, Vec<String>))| Trigger {
            kind: *kind,
            on: on.iter().map(|text| Dependency::parse(text).unwrap()).collect(),
            script: self.script(&format!("trigger-{kind:?}-{i}")),
        };
        let files = |transaction: bool| -> Vec<FileTrigger> {
            let chosen = self.file_triggers.iter().filter(|t| t.3 == transaction).enumerate();
            let sort = if transaction { "transfiletrigger" } else { "filetrigger" };
            chosen
                .map(|(i, (kind, prefixes, priority, _))| FileTrigger {
                    kind: *kind,
                    prefixes: prefixes.clone(),
                    script: self.script(&format!("{sort}-{kind:?}-{i}")),
                    priority: *priority,
                })
                .collect()
        };
        // Each version has its files to itself, so that several can be there at once.
        let entry = |path: &String| FileEntry {
            path: TreePath::new(&format!("{path}-{}", self.version)).unwrap(),
            node: Node::file(store.put(b"x").unwrap(), 1),
            flags: FileFlags::NONE,
            capabilities: None,
        };
        let unique: BTreeSet<&String> = self.files.iter().collect();
        let builder = Builder {
            nevra: Nevra {
                name: self.name.clone(),
                evr: Evr::new(None, self.version.to_string(), "1"),
                arch: "noarch".into(),
            },
            summary: "A sample".into(),
            license: "MIT".into(),
            build_host: "lazuli".into(),
            build_time: 1_600_000_000,
            requires: self.requires.iter().map(Dependency::any).collect(),
            scriptlets: Scriptlets {
                pretrans: script("pretrans"),
                pre: script("pre"),
                post: script("post"),
                preun: script("preun"),
                postun: script("postun"),
                posttrans: script("posttrans"),
                preuntrans: script("preuntrans"),
                postuntrans: script("postuntrans"),
                verify: None,
            },
            triggers: self.triggers.iter().enumerate().map(trigger).collect(),
            file_triggers: files(false),
            transaction_file_triggers: files(true),
            files: unique.into_iter().map(entry).collect(),
            level: 1,
            ..Builder::default()
        };
        let mut bytes = Vec::new();
        builder.write(store, None, &mut bytes).unwrap();
        bytes
    }
}

/// One transaction.
#[derive(Debug, Clone)]
pub enum Operation {
    /// `rpm -i`
    Install(Vec<Spec>),
    /// `rpm -U`
    Upgrade(Vec<Spec>),
    /// `rpm -U --replacepkgs` of the version that is there.
    Reinstall(Spec),
    /// `rpm -i --replacepkgs` of the version that is there.
    Replace(Spec),
    /// `rpm -e --allmatches`
    Remove(Vec<String>),
}

/// The packages that are installed, as this crate's user has them.
#[derive(Default)]
pub struct World {
    packages: BTreeMap<u32, Arc<Package>>,
    next: u32,
}

fn name(package: &Package) -> String {
    package.header.string(tag::NAME).unwrap()
}

impl World {
    /// Gives random packages versions that go up, and leaves out removals of what is not there.
    pub fn numbered(operations: Vec<Operation>) -> Vec<Operation> {
        let mut there = BTreeSet::new();
        let mut version = 0;
        let mut kept = Vec::new();
        for mut operation in operations {
            match &mut operation {
                Operation::Install(specs) | Operation::Upgrade(specs) => {
                    for spec in specs {
                        version += 1;
                        spec.version = version;
                        there.insert(spec.name.clone());
                    }
                }
                Operation::Remove(names) => {
                    names.retain(|name| there.remove(name));
                    if names.is_empty() {
                        continue;
                    }
                }
                Operation::Reinstall(_) | Operation::Replace(_) => {}
            }
            kept.push(operation);
        }
        kept
    }

    fn of(&self, wanted: &str) -> Vec<u32> {
        self.with(|package| name(package) == wanted)
    }

    fn with(&self, fits: impl Fn(&Package) -> bool) -> Vec<u32> {
        self.packages.iter().filter(|(_, package)| fits(package)).map(|(hnum, _)| *hnum).collect()
    }

    /// The elements in the order that `rpm` has: what comes, then what goes, in reverse.
    fn elements(&self, operation: &Operation, store: &Store) -> Vec<Element> {
        let install = |spec: &Spec, replaces| {
            let header = PackageFile::parse(&spec.build(store)).unwrap().header;
            Element::Install { package: Arc::new(Package::new(header)), skipped: BTreeSet::new(), replaces }
        };
        let remove = |hnum, replaced_by| Element::Remove { hnum, skipped: BTreeSet::new(), replaced_by };
        match operation {
            Operation::Install(specs) => specs.iter().map(|spec| install(spec, None)).collect(),
            Operation::Upgrade(specs) => {
                let mut elements: Vec<Element> = specs.iter().map(|spec| install(spec, None)).collect();
                for (index, spec) in specs.iter().enumerate().rev() {
                    elements
                        .extend(self.of(&spec.name).into_iter().rev().map(|hnum| remove(hnum, Some(index))));
                }
                elements
            }
            Operation::Reinstall(spec) => {
                let old = self.of(&spec.name).into_iter().map(|hnum| remove(hnum, Some(0)));
                std::iter::once(install(spec, None)).chain(old).collect()
            }
            Operation::Replace(spec) => vec![install(spec, self.of(&spec.name).last().copied())],
            Operation::Remove(names) => {
                let hnums = names.iter().rev().flat_map(|name| self.of(name).into_iter().rev());
                hnums.map(|hnum| remove(hnum, None)).collect()
            }
        }
    }

    /// Runs the scripts of a transaction, without files.
    fn perform(&mut self, operation: &Operation, store: &Store, runner: &Runner, rules: Rules) {
        let elements = self.elements(operation, store);
        let mut failed: BTreeSet<usize> = BTreeSet::new();
        let mut after = self.packages.clone();
        let mut selection = Selection::new(self, &elements).with_rules(rules);
        let run = |scripts: Vec<Script>, failed: &mut BTreeSet<usize>| {
            for script in scripts {
                if script.element.is_some_and(|element| failed.contains(&element)) {
                    continue;
                }
                let outcome = runner.run(&script, &mut |_, line| println!("{line}")).unwrap();
                failed.extend(script.element.filter(|_| outcome.critical));
            }
        };
        let mut next = self.next;
        let scripts = selection.pretrans().unwrap();
        run(scripts, &mut failed);
        for index in failed.clone() {
            failed.extend(selection.without(index));
        }
        let scripts = selection.before_transaction().unwrap();
        run(scripts, &mut failed);
        for (index, element) in elements.iter().enumerate() {
            if failed.contains(&index) {
                failed.extend(selection.without(index));
                continue;
            }
            let before = match element {
                Element::Install { .. } => selection.before_install(index).unwrap(),
                Element::Remove { .. } => selection.before_erase(index).unwrap(),
            };
            run(before, &mut failed);
            if failed.contains(&index) {
                failed.extend(selection.without(index));
                continue;
            }
            match element {
                Element::Install { package, replaces, .. } => {
                    next += 1;
                    after.insert(next, package.clone());
                    if let Some(hnum) = replaces {
                        after.remove(hnum);
                    }
                    selection.installed(index).unwrap();
                    let scripts = selection.after_install(index).unwrap();
                    run(scripts, &mut failed);
                }
                Element::Remove { hnum, .. } => {
                    let scripts = selection.after_erase(index).unwrap();
                    run(scripts, &mut failed);
                    after.remove(hnum);
                    selection.erased(index).unwrap();
                }
            }
        }
        let scripts = selection.after_transaction().unwrap();
        run(scripts, &mut failed);
        drop(selection);
        (self.packages, self.next) = (after, next);
    }
}

impl Installed for World {
    fn package(&self, hnum: u32) -> Answer<Arc<Package>> {
        self.packages.get(&hnum).cloned().ok_or_else(|| format!("there is no package {hnum}").into())
    }

    fn named(&self, name: &str) -> Answer<Vec<u32>> {
        Ok(self.of(name))
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

    fn with_files_below(&self, prefix: &str) -> Answer<Vec<u32>> {
        Ok(self.with(|package| package.header.paths().iter().any(|path| path.starts_with(prefix))))
    }
}

/// A real `rpm`.
pub struct Judge {
    program: Vec<String>,
    config: Option<PathBuf>,
    /// For example (4, 20).
    version: (u32, u32),
    debian: bool,
}

/// All that there are.
pub struct Judges;

impl Judges {
    pub fn find() -> Vec<Judge> {
        let mut candidates = Vec::new();
        let roots = std::env::var("LAZULI_TEST_RPM_ROOTS").unwrap_or_default();
        for root in roots.split(':').filter(|root| !root.is_empty()) {
            let loader = format!("{root}/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2");
            let libraries = format!("{root}/usr/lib/x86_64-linux-gnu:{root}/lib/x86_64-linux-gnu");
            let program = vec![loader, "--library-path".into(), libraries, format!("{root}/usr/bin/rpm")];
            candidates.push((program, Some(Path::new(root).join("usr/lib/rpm"))));
        }
        candidates.push((vec!["rpm".to_owned()], None));
        let judges: Vec<Judge> =
            candidates.into_iter().filter_map(|(program, config)| Judge::new(program, config)).collect();
        if judges.is_empty() || !rustix::process::geteuid().is_root() {
            println!("skipped: there is no rpm on this machine, or this is not root");
            return Vec::new();
        }
        judges
    }
}

impl Judge {
    fn new(program: Vec<String>, config: Option<PathBuf>) -> Option<Self> {
        let mut judge = Self { program, config, version: (0, 0), debian: false };
        let text = judge.say(&["--version"])?;
        let mut numbers = text.split_whitespace().last()?.split('.').map(str::parse::<u32>);
        judge.version = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        judge.debian = judge.say(&["--help"])?.contains("--force-debian");
        Some(judge)
    }

    fn say(&self, args: &[&str]) -> Option<String> {
        let output = self.command().args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]);
        if let Some(config) = &self.config {
            command.env("RPM_CONFIGDIR", config);
        }
        command
    }

    fn perform(&self, operation: &Operation, root: &Path, store: &Store) {
        let mut command = self.command();
        command.arg("--root").arg(root).args(["--define", "_dbpath /usr/lib/sysimage/rpm", "--nodeps"]);
        command.args(["--define", "__plugindir /none"]);
        let packages = tempfile::tempdir().unwrap();
        let write = |specs: &[Spec]| -> Vec<PathBuf> {
            let file = |spec: &Spec| packages.path().join(format!("{}-{}.rpm", spec.name, spec.version));
            for spec in specs {
                fs::write(file(spec), spec.build(store)).unwrap();
            }
            specs.iter().map(file).collect()
        };
        if !matches!(operation, Operation::Remove(_)) {
            command.args(["--nosignature", "--oldpackage"]);
            if self.debian {
                command.arg("--force-debian");
            }
        }
        match operation {
            Operation::Install(specs) => command.arg("-i").args(write(specs)),
            Operation::Upgrade(specs) => command.arg("-U").args(write(specs)),
            Operation::Reinstall(spec) => {
                command.args(["-U", "--replacepkgs"]).args(write(std::slice::from_ref(spec)))
            }
            Operation::Replace(spec) => {
                command.args(["-i", "--replacepkgs"]).args(write(std::slice::from_ref(spec)))
            }
            Operation::Remove(names) => command.args(["-e", "--allmatches"]).args(names),
        };
        let output = command.output().unwrap();
        println!("{operation:?}\n{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A root whose log is read in pieces.
struct Root {
    dir: tempfile::TempDir,
    read: usize,
}

impl Root {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("usr/lib/sysimage/rpm")).unwrap();
        Self { dir, read: 0 }
    }

    /// The lines since the last time.
    fn news(&mut self) -> Vec<String> {
        let text = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let news = text[self.read..].lines().map(str::to_owned).collect();
        self.read = text.len();
        news
    }
}

/// Performs the operations with every `rpm` and with this crate; the logs must be the same.
pub fn compare(operations: &[Operation]) {
    compare_since((0, 0), operations);
}

/// The same with those that are not older.
pub fn compare_since(version: (u32, u32), operations: &[Operation]) {
    for judge in Judges::find().into_iter().filter(|judge| judge.version >= version) {
        let store_dir = tempfile::tempdir().unwrap();
        let store = Store::open(store_dir.path()).unwrap();
        let (mut theirs, mut ours) = (Root::new(), Root::new());
        let runner = Runner::new(ours.dir.path()).unwrap().with_helper(Helper::test("scriptlet_helper"));
        let mut world = World::default();
        for operation in operations {
            judge.perform(operation, theirs.dir.path(), &store);
            let rules = if judge.version < (6, 0) { Rules::Rpm4 } else { Rules::Rpm6 };
            world.perform(operation, &store, &runner, rules);
            let (expected, got) = (judge.shown(theirs.news()), judge.shown(ours.news()));
            assert_eq!(got, expected, "rpm {:?}, {operation:?}", judge.version);
        }
    }
}

impl Judge {
    /// Leaves out what older versions do not do.
    fn shown(&self, lines: Vec<String>) -> Vec<String> {
        let known = |line: &String| {
            let unknown = ["preuntrans ", "postuntrans ", "transfiletrigger-PostUn"];
            self.version >= (4, 19) || !unknown.iter().any(|start| line.starts_with(start))
        };
        // Up to 4.18 file triggers get one argument, 0.
        let arguments = |line: String| {
            let is_number = |word: &&str| word.parse::<u32>().is_ok();
            if self.version >= (4, 19) || !line.contains("filetrigger-") {
                return line;
            }
            let mut words = line.split(' ');
            let words: Vec<&str> =
                words.by_ref().take(2).chain(line.split(' ').skip(2).skip_while(is_number)).collect();
            words.join(" ")
        };
        lines.into_iter().filter(known).map(arguments).collect()
    }
}
