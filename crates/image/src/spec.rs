//! `distro/images/NAME.toml`: what an image consists of.

use crate::{Error, Result};
use lazuli_component::schema::{AddFile, parse_mode};
use lazuli_layout::{ALIGNMENT, ESP_SIZE};
use lazuli_store::{Digest, Store};
use lazuli_tree::{Kind, Node, Tree, TreePath};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

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
    /// `/etc/hostname`; without it the default of os-release holds.
    pub hostname: Option<String>,
    /// Words of the kernel's command line; `root=` and what belongs to it are added.
    #[serde(default)]
    pub kernel_command_line: Vec<String>,
    /// The disk.
    #[serde(default)]
    pub disk: DiskSpec,
    /// Files put over the packages' ones.
    #[serde(default)]
    pub file: Vec<AddFile>,
}

/// The disk of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct DiskSpec {
    /// The size of the EFI system partition.
    pub esp: Size,
    /// The root partition.
    pub root: RootSpec,
    /// What is written.
    pub formats: Vec<Format>,
}

impl Default for DiskSpec {
    fn default() -> Self {
        Self { esp: Size(ESP_SIZE), root: RootSpec::default(), formats: vec![Format::Raw] }
    }
}

/// The root partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RootSpec {
    /// Its size in the image; it grows on first boot.
    pub size: Size,
    /// Its file system.
    pub filesystem: FileSystem,
}

impl Default for RootSpec {
    fn default() -> Self {
        Self { size: Size(2 << 30), filesystem: FileSystem::Ext4 }
    }
}

/// File systems of a root partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileSystem {
    /// ext4, read-write.
    #[default]
    Ext4,
}

/// Formats of a disk image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// The disk as it is, sparse.
    Raw,
    /// QEMU's copy-on-write format, compressed.
    Qcow2,
    /// Azure's fixed VHD.
    Vhd,
}

impl Format {
    /// The ending of a file in this format.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vhd",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

/// A size in bytes, written as `512MiB` or `2GiB`; a multiple of 1 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let units = [("MiB", 20), ("GiB", 30), ("TiB", 40)];
        units
            .iter()
            .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?.trim(), 1_u64 << shift)))
            .and_then(|(number, unit)| number.parse::<u64>().ok()?.checked_mul(unit))
            .filter(|size| *size > 0)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a size such as 512MiB or 2GiB"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in [("TiB", 40), ("GiB", 30)] {
            if self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}MiB", self.0 / ALIGNMENT)
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

/// FAT32 needs 65,525 clusters; with clusters of 4 KiB that is a little over 256 MiB.
const SMALLEST_ESP: u64 = 260 << 20;
/// Linux takes 64 bytes, of which one ends the name; a label of a domain name takes 63.
const LONGEST_HOSTNAME: usize = 63;

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
        if let Some(word) = self.kernel_command_line.iter().find(|w| {
            w.is_empty() || !w.bytes().all(|b| b.is_ascii_graphic() || b == b' ') || w.starts_with("root=")
        }) {
            return Err(format!(
                "kernel-command-line: `{word}` cannot stand there (one option an entry, printable ASCII, and \
                 `root=` is added by the composer)"
            ));
        }
        if self.disk.esp.0 < SMALLEST_ESP {
            return Err(format!("disk.esp: {} is too small for FAT32; give at least 260MiB", self.disk.esp));
        }
        if self.disk.formats.is_empty() {
            return Err("disk.formats is empty; name at least one of raw, qcow2, vhd".into());
        }
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
        assert_eq!(image.spec.disk.root.size, Size(2 << 30));
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
            (CORE.replace("[\"bash\"]", "[]"), "`packages` is empty"),
            (CORE.replace("\"lazuli\"", "\"-x\""), "`-x` is not a host name"),
            (format!("kernel-command-line = [\"root=/dev/sda\"]\n{CORE}"), "`root=` is added"),
            (format!("{CORE}[[file]]\npath = \"/a\"\n"), "[[file]] /a: give exactly one of"),
            (format!("{CORE}[[file]]\npath = \"/a\"\nsource = \"../x\"\n"), "is not a path below"),
            (format!("{CORE}[[file]]\npath = \"a\"\ncontent = \"\"\n"), "not an absolute path"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}\nshould contain {expected}");
        }
    }

    #[test]
    fn sizes_print_as_they_are_written() {
        for text in ["1MiB", "1536MiB", "2GiB", "1TiB"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        assert!("99999999999TiB".parse::<Size>().is_err());
    }
}
