//! The initrd of an image's second profile: one program, and modules for storage that the kernel has not built in.
//!
//! ```text
//! init                        /usr/lib/lazuli/initrd of the image, statically linked
//! lib/modules/RELEASE/        modules.dep and modules.alias of what is chosen, and the modules below their own paths
//! dev/console dev/null        for the moment before devtmpfs is there
//! dev proc sys sysroot        for mounts
//! ```
//!
//! Chosen are modules in [`STORAGE`] that drive a device of some bus, and what they need. All else that is a module serves
//! the system that runs, and is loaded from the root.

use crate::cpio::{self, Entries, Entry};
use crate::passes::tools::kernel_versions;
use crate::{Context, Error, Result};
use lazuli_initrd::modules::Index;
use lazuli_initrd::{INIT, MODULES};
use lazuli_tree::{Tree, TreePath};

/// What changes when the code here makes other bytes of the same tree.
pub(crate) const VERSION: u32 = 1;

/// Where the kernel has drivers of disks and of what disks are attached to, below `kernel/drivers`.
const STORAGE: [&str; 12] = [
    "acpi/nfit",
    "ata",
    "block",
    "message/fusion",
    "mmc",
    "nvdimm",
    "nvme/host",
    "pci/controller",
    "scsi",
    "ufs",
    "usb/host",
    "usb/storage",
];
/// Highest but for those that need gigabytes to compress; what the kernel can unpack has no limit below this.
const LEVEL: i32 = 19;

/// The initrd of a tree, as the kernel takes it: a cpio archive, compressed with zstd.
pub(crate) fn build(ctx: &Context<'_>, tree: &Tree) -> Result<Vec<u8>> {
    let failed = |reason: String| Error::format("initrd", reason);
    let archive = cpio::archive(&entries(ctx, tree)?).map_err(failed)?;
    zstd::bulk::compress(&archive, LEVEL).map_err(|error| failed(error.to_string()))
}

fn entries(ctx: &Context<'_>, tree: &Tree) -> Result<Entries> {
    let read = |path: &str| -> Result<Option<Vec<u8>>> {
        let path = TreePath::new(path).map_err(crate::passes::Error::from)?;
        Ok(tree.read(ctx.store, &path)?)
    };
    let init = read(INIT)?.ok_or_else(|| Error::Missing {
        what: "initrd",
        path: format!("/{INIT}"),
        hint: "add `lazuli-initrd` to the packages, or leave `[recovery]` out".into(),
    })?;
    let mut entries = Entries::new();
    cpio::put(&mut entries, "init", Entry::File(0o755, init));
    cpio::put(&mut entries, "dev/console", Entry::Device(0o600, 5, 1));
    cpio::put(&mut entries, "dev/null", Entry::Device(0o666, 1, 3));
    for place in ["proc", "sys", "sysroot"] {
        cpio::put(&mut entries, place, Entry::Directory);
    }
    for version in kernel_versions(tree)? {
        let directory = format!("usr/lib/modules/{version}");
        let text = |name: &str| -> Result<String> {
            let bytes = read(&format!("{directory}/{name}"))?.unwrap_or_default();
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let index = Index::parse(&text("modules.dep")?, &text("modules.alias")?).select(is_storage);
        let (dep, alias) = index.to_files();
        let mut put = |name: &str, content: Vec<u8>| {
            cpio::put(&mut entries, &format!("{MODULES}/{version}/{name}"), Entry::File(0o644, content));
        };
        for path in index.paths() {
            let module = read(&format!("{directory}/{path}"))?.ok_or_else(|| Error::Missing {
                what: "kernel module",
                path: format!("/{directory}/{path}"),
                hint: "modules.dep names it; the module index and the modules do not fit".into(),
            })?;
            put(path, module);
        }
        put("modules.dep", dep.into_bytes());
        put("modules.alias", alias.into_bytes());
    }
    Ok(entries)
}

/// Whether a path below the directory of a kernel's modules is that of a driver for storage.
fn is_storage(path: &str) -> bool {
    let below = path.strip_prefix("kernel/drivers/").unwrap_or_default();
    STORAGE.iter().any(|place| below.strip_prefix(place).is_some_and(|rest| rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpio::tests::read;
    use lazuli_store::Store;

    const DIRECTORY: &str = "usr/lib/modules/6.12";

    fn built(files: &[(&str, &str)]) -> Result<Entries> {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let mut tree = Tree::new();
        for (path, content) in files {
            tree.put_file(&store, TreePath::new(path).unwrap(), content.as_bytes()).unwrap();
        }
        let ctx = Context { store: &store, tool_root: dir.path(), source_date_epoch: 0, progress: &|_| () };
        let compressed = build(&ctx, &tree)?;
        assert_eq!(compressed, build(&ctx, &tree)?, "the same each time");
        Ok(read(&zstd::bulk::decompress(&compressed, 1 << 20).unwrap()))
    }

    #[test]
    fn it_has_the_program_and_modules_of_storage_with_what_they_need() {
        let entries = built(&[
            (INIT, "program"),
            (
                &format!("{DIRECTORY}/modules.dep"),
                "kernel/drivers/scsi/hba.ko: kernel/lib/crc.ko\nkernel/lib/crc.ko:\nkernel/drivers/net/nic.ko:\n\
                 kernel/drivers/scsi/protocol.ko:\n",
            ),
            (
                &format!("{DIRECTORY}/modules.alias"),
                "alias pci:v1d1* hba\nalias pci:v2* nic\nalias protocol-1 protocol\n",
            ),
            (&format!("{DIRECTORY}/kernel/drivers/scsi/hba.ko"), "hba"),
            (&format!("{DIRECTORY}/kernel/lib/crc.ko"), "crc"),
        ])
        .unwrap();
        let files: Vec<&str> = entries
            .iter()
            .filter(|(_, e)| matches!(e, Entry::File(..)))
            .map(|(path, _)| path.as_str())
            .collect();
        assert_eq!(
            files,
            [
                "init",
                "lib/modules/6.12/kernel/drivers/scsi/hba.ko",
                "lib/modules/6.12/kernel/lib/crc.ko",
                "lib/modules/6.12/modules.alias",
                "lib/modules/6.12/modules.dep",
            ]
        );
        assert_eq!(entries["init"], Entry::File(0o755, b"program".to_vec()));
        assert_eq!(entries["sysroot"], Entry::Directory);
        assert_eq!(
            entries["lib/modules/6.12/modules.alias"],
            Entry::File(0o644, b"alias pci:v1d1* hba\n".to_vec())
        );
    }

    #[test]
    fn without_the_program_or_a_module_there_is_no_initrd() {
        let error = built(&[("usr/bin/x", "")]).unwrap_err().to_string();
        assert!(error.contains("add `lazuli-initrd`"), "{error}");
        let error = built(&[
            (INIT, "program"),
            (&format!("{DIRECTORY}/modules.dep"), "kernel/drivers/mmc/host/x.ko:\n"),
            (&format!("{DIRECTORY}/modules.alias"), "alias pci:v1* x\n"),
        ]);
        assert!(error.unwrap_err().to_string().contains("kernel module"));
    }

    #[test]
    fn places_are_whole_directories() {
        assert!(is_storage("kernel/drivers/scsi/x.ko") && is_storage("kernel/drivers/usb/storage/uas.ko"));
        assert!(
            !is_storage("kernel/drivers/scsi_x.ko")
                && !is_storage("kernel/fs/x.ko")
                && !is_storage("updates/x.ko")
        );
    }
}
