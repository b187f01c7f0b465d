//! `distro/images/NAME.toml`: what an image consists of.

use crate::disk_spec::{DiskSpec, FileSystem};
use crate::{Error, Result};
use lazuli_component::schema::{AddFile, parse_mode};
use lazuli_layout::Version;
use lazuli_layout::fat::civil;
use lazuli_store::{Digest, Store};
use lazuli_tree::{Kind, Node, Tree, TreePath};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The description of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ImageSpec {
    /// One line for people.
    #[serde(default)]
    pub description: String,
    /// What is installed: dependency texts in RPM's syntax; their requirements come along.
    pub packages: Vec<String>,
    /// Whether recommended packages come along too.
    #[serde(default)]
    pub weak_dependencies: bool,
    /// Whether manuals and other documentation stay. Licence texts always do.
    #[serde(default)]
    pub documentation: bool,
    /// Translations that stay, for example `de`.
    #[serde(default)]
    pub locales: Vec<String>,
    /// The version of the image, where images have one (slots); by default the day of its inputs, as
    /// `2026.11.26`.
    pub version: Option<String>,
    /// The oldest version that a machine which kept this image may ever run again: raised when an older one has a hole
    /// that must not come back. By default any.
    pub minimum_version: Option<String>,
    /// `/etc/hostname`; without it the default of os-release holds.
    pub hostname: Option<String>,
    /// Words of the kernel's command line; `root=` and what belongs to it are added.
    #[serde(default)]
    pub kernel_command_line: Vec<String>,
    /// A second way to start, with an initrd; only for images with slots. The package `lazuli-initrd` has its program.
    pub recovery: Option<Recovery>,
    /// The disk.
    #[serde(default)]
    pub disk: DiskSpec,
    /// Files put over the packages' ones.
    #[serde(default)]
    pub file: Vec<AddFile>,
}

/// What is different if an image is started for recovery.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Recovery {
    /// Words that come behind those of the image's `kernel-command-line`, and so count where both set something.
    #[serde(default)]
    pub kernel_command_line: Vec<String>,
}

/// Linux takes 64 bytes, of which one ends the name; a label of a domain name takes 63.
const LONGEST_HOSTNAME: usize = 63;

/// Beginnings of words of the command line that are the composer's, as the kernel compares them.
const ADDED: [&str; 6] =
    ["root=", "rootfstype=", "dm_mod.", "dm_verity.", "lazuli.verity", "lazuli.recovery"];

/// Whether one of the words in an entry is the composer's. The kernel takes `_` and `-` for the same, and quotes around
/// a word for nothing; of two settings the last one counts, and those of an image come last.
fn is_added(entry: &str) -> bool {
    let words = entry.split(' ').map(|word| word.trim_start_matches('"').replace('-', "_"));
    words.into_iter().any(|word| ADDED.iter().any(|added| word.starts_with(added)))
}

/// A description together with the name it has and the files it puts into the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The name: the description's file name without `.toml`.
    pub name: String,
    /// The description.
    pub spec: ImageSpec,
    /// The files of `[[file]]` and `/etc/hostname`.
    pub files: Tree,
}

impl Image {
    /// Reads `NAME.toml` and the files that it names, which lie below its folder.
    pub fn read(file: &Path, store: &Store) -> Result<Self> {
        let spec: ImageSpec = lazuli_component::toml_file::read(file)?;
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let fail = |reason: String| Error::Spec { file: file.to_owned(), reason };
        spec.validate().map_err(fail)?;
        let mut files = Tree::new();
        for entry in &spec.file {
            let (path, node) = file_node(entry, file.parent().unwrap_or(Path::new(".")), store)?
                .map_err(|reason| fail(format!("[[file]] {}: {reason}", entry.path)))?;
            if files.insert(path, node).is_some() {
                return Err(fail(format!("[[file]] {} is there twice", entry.path)));
            }
        }
        if let Some(hostname) = &spec.hostname {
            let path = TreePath::new("etc/hostname").map_err(|e| fail(e.to_string()))?;
            files.put_file(store, path, format!("{hostname}\n").as_bytes())?;
        }
        Ok(Self { name, spec, files })
    }
}

impl ImageSpec {
    /// What a single key cannot say about itself.
    fn validate(&self) -> std::result::Result<(), String> {
        if self.packages.is_empty() {
            return Err("`packages` is empty; name at least one package".into());
        }
        if let Some(name) = &self.hostname {
            let good = |label: &str| {
                !label.is_empty()
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                    && !label.starts_with('-')
                    && !label.ends_with('-')
            };
            if name.len() > LONGEST_HOSTNAME || !name.split('.').all(good) {
                return Err(format!("hostname: `{name}` is not a host name"));
            }
        }
        let recovery = self.recovery.iter().flat_map(|recovery| &recovery.kernel_command_line);
        if let Some(word) =
            self.kernel_command_line.iter().chain(recovery).find(|w| {
                w.is_empty() || !w.bytes().all(|b| b.is_ascii_graphic() || b == b' ') || is_added(w)
            })
        {
            return Err(format!(
                "kernel-command-line: `{word}` cannot stand there (one option an entry, printable ASCII, and \
                 `root=`, `rootfstype=`, `dm-mod.`, `dm_verity.`, `lazuli.verity` and `lazuli.recovery` are added \
                 by the composer)"
            ));
        }
        if self.recovery.is_some() && self.disk.root.filesystem != FileSystem::Erofs {
            return Err("recovery: only an image with slots (disk.root.filesystem = \"erofs\") has it".into());
        }
        if let Some(version) = &self.version {
            if self.disk.root.filesystem != FileSystem::Erofs {
                return Err(
                    "version: only an image with slots (disk.root.filesystem = \"erofs\") has one".into()
                );
            }
            check_version(version)?;
        }
        if let Some(version) = &self.minimum_version {
            if self.disk.root.filesystem != FileSystem::Erofs {
                return Err(
                    "minimum-version: only an image with slots (disk.root.filesystem = \"erofs\") has one"
                        .into(),
                );
            }
            check_version(version).map_err(|reason| format!("minimum-{reason}"))?;
        }
        self.disk.validate()?;
        for entry in &self.file {
            if entry.config {
                return Err(format!("[[file]] {}: `config` is only for packages", entry.path));
            }
        }
        Ok(())
    }

    /// The digest of everything in the description that decides what is in the root file system.
    pub(crate) fn root_digest(&self) -> Digest {
        let relevant = (&self.documentation, &self.locales);
        Digest::of(serde_json::to_vec(&relevant).unwrap_or_default())
    }
}

impl Image {
    /// Whether the image has two slots and a state partition instead of one root that is written to.
    pub fn has_slots(&self) -> bool {
        self.spec.disk.root.filesystem == FileSystem::Erofs
    }

    /// Gives the image a version other than its description's or its inputs'.
    pub fn set_version(&mut self, version: &str) -> Result<()> {
        let fail = |reason| Error::Version { version: version.to_owned(), reason };
        check_version(version).map_err(fail)?;
        if !self.has_slots() {
            return Err(fail(format!("the image `{}` has no slots, and so no version", self.name)));
        }
        self.spec.version = Some(version.to_owned());
        Ok(())
    }

    /// The version of an image with slots that is made from inputs of this time (seconds since 1970, UTC).
    /// Without a version of its own it is the day, which sorts as versions do.
    pub fn version(&self, source_date_epoch: i64) -> String {
        self.spec.version.clone().unwrap_or_else(|| {
            let (year, month, day) = civil(source_date_epoch.div_euclid(86_400));
            format!("{year:04}.{month:02}.{day:02}")
        })
    }
}

impl Image {
    /// The oldest version that a machine which kept this image may ever run again; `0` is before all others.
    pub fn minimum_version(&self) -> &str {
        self.spec.minimum_version.as_deref().unwrap_or("0")
    }
}

/// Versions stand in labels of partitions, in file names and in os-release.
fn check_version(version: &str) -> std::result::Result<(), String> {
    version.parse::<Version>().map(drop).map_err(|error| format!("version: {error}"))
}

/// The node of one `[[file]]`; the inner error is a message without its name.
fn file_node(
    entry: &AddFile,
    folder: &Path,
    store: &Store,
) -> Result<std::result::Result<(TreePath, Node), String>> {
    let path = match TreePath::new(&entry.path) {
        Ok(path) if !path.is_root() && entry.path.starts_with('/') => path,
        Ok(_) => return Ok(Err("`path` is not an absolute path".into())),
        Err(error) => return Ok(Err(error.to_string())),
    };
    let put =
        |content: &[u8]| store.put(content).map(|digest| Kind::File { digest, size: content.len() as u64 });
    let (kind, default_mode) = match (&entry.source, &entry.content, &entry.symlink, entry.directory) {
        (Some(source), None, None, false) => {
            // The description may only name what lies below its own folder.
            let source = match TreePath::new(source) {
                Ok(inside) if !source.starts_with('/') => inside,
                _ => return Ok(Err(format!("source: `{source}` is not a path below {}", folder.display()))),
            };
            (put(&lazuli_fs::read(folder.join(source.as_str()))?)?, 0o644)
        }
        (None, Some(content), None, false) => (put(content.as_bytes())?, 0o644),
        (None, None, Some(target), false) => (Kind::Symlink { target: target.clone() }, 0o777),
        (None, None, None, true) => (Kind::Directory, 0o755),
        _ => {
            let keys = "give exactly one of `source`, `content`, `symlink` and `directory = true`";
            return Ok(Err(keys.into()));
        }
    };
    let mode = match &entry.mode {
        None => default_mode,
        Some(text) => match parse_mode(text) {
            Ok(mode) => mode,
            Err(reason) => return Ok(Err(reason)),
        },
    };
    let owner = |name: &Option<String>| name.clone().unwrap_or_else(|| "root".into());
    Ok(Ok((path, Node::new(kind, mode).with_owner(owner(&entry.user), owner(&entry.group)))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk_spec::Size;

    fn read(text: &str) -> Result<Image> {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let file = dir.path().join("core.toml");
        lazuli_fs::write(&file, text).unwrap();
        lazuli_fs::write(dir.path().join("motd"), "hello\n").unwrap();
        Image::read(&file, &store)
    }

    const CORE: &str = "packages = [\"bash\"]\nhostname = \"lazuli\"\n[disk]\nesp = \"1GiB\"\n\
        root = { size = \"2GiB\", filesystem = \"ext4\" }\nformats = [\"raw\", \"qcow2\", \"vhd\"]\n";

    #[test]
    fn a_description_with_files_is_read() {
        let text = format!("{CORE}[[file]]\npath = \"/etc/motd\"\nsource = \"motd\"\nmode = \"0600\"\n");
        let image = read(&text).unwrap();
        assert_eq!(image.name, "core");
        assert_eq!(image.spec.disk.root.size, Some(Size(2 << 30)));
        let motd = image.files.get(&TreePath::new("/etc/motd").unwrap()).unwrap();
        assert_eq!((motd.mode, motd.size()), (0o600, Some(6)));
        assert!(image.files.contains(&TreePath::new("/etc/hostname").unwrap()));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            (format!("{CORE}rot = 1\n"), "core.toml:7: unknown key `rot`; did you mean `root`?"),
            (CORE.replace("2GiB", "2GB"), "`2GB` is not a size"),
            (CORE.replace("1GiB", "64MiB"), "too small for FAT32"),
            (CORE.replace("size = \"2GiB\"", "compression = \"zstd\""), "only for erofs"),
            (CORE.replace("esp =", "state = \"1GiB\"\nesp ="), "only an image with slots"),
            (format!("version = \"1\"\n{CORE}"), "only an image with slots"),
            (format!("minimum-version = \"1\"\n{CORE}"), "only an image with slots"),
            (format!("kernel-command-line = [\"dm-mod.create=\"]\n{CORE}"), "`dm-mod.`, "),
            (format!("kernel-command-line = [\"quiet dm_mod.create=x\"]\n{CORE}"), "`dm-mod.`, "),
            (format!("kernel-command-line = [\"dm-verity.require_signatures=0\"]\n{CORE}"), "`dm_verity.`, "),
            (format!("kernel-command-line = [\"lazuli.recovery=1\"]\n{CORE}"), "`lazuli.recovery` are added"),
            (format!("{CORE}[recovery]\n"), "recovery: only an image with slots"),
            (
                format!("{CORE}[recovery]\nkernel-command-line = [\"lazuli.verity=x\"]\n"),
                "`lazuli.verity=x` cannot stand there",
            ),
            (CORE.replace("[\"bash\"]", "[]"), "`packages` is empty"),
            (CORE.replace("\"lazuli\"", "\"-x\""), "`-x` is not a host name"),
            (format!("kernel-command-line = [\"root=/dev/sda\"]\n{CORE}"), "`root=`, "),
            (format!("kernel-command-line = [\"quiet \\\"root=/dev/sda\\\"\"]\n{CORE}"), "`root=`, "),
            (format!("{CORE}[[file]]\npath = \"/a\"\n"), "[[file]] /a: give exactly one of"),
            (format!("{CORE}[[file]]\npath = \"/a\"\nsource = \"../x\"\n"), "is not a path below"),
            (format!("{CORE}[[file]]\npath = \"a\"\ncontent = \"\"\n"), "not an absolute path"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}\nshould contain {expected}");
        }
    }

    #[test]
    fn the_version_is_the_day_of_the_inputs_unless_somebody_says_otherwise() {
        let slots = CORE.replace("size = \"2GiB\", filesystem = \"ext4\"", "filesystem = \"erofs\"");
        let mut image = read(&slots).unwrap();
        assert_eq!(image.version(1_795_573_351), "2026.11.25");
        image.set_version("2.0~rc1").unwrap();
        assert_eq!(image.version(1_795_573_351), "2.0~rc1");
        assert!(image.set_version("a b").is_err());
        assert!(image.set_version(&"1".repeat(33)).is_err());
        assert!(read(CORE).unwrap().set_version("1").is_err(), "an image without slots has no version");
    }
}
