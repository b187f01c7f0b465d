//! What lies on the EFI system partition: systemd-boot, its configuration, the unified kernel image.

use crate::passes::tools::kernel_versions;
use crate::uki::{Profile, Uki};
use crate::{Context, Error, Result, esp, initrd, sparse};
use lazuli_layout::{ALIGNMENT, UkiName, esp as names};
use lazuli_tree::{Tree, TreePath};
use std::collections::BTreeMap;

/// systemd-boot shows no menu unless a key is held, and lets nobody edit the command line.
const LOADER_CONF: &str = "timeout 0\neditor no\n";

/// The programs that firmware starts.
#[derive(Debug, Clone)]
pub(crate) struct BootFiles {
    /// systemd-boot.
    pub systemd_boot: Vec<u8>,
    /// The unified kernel image.
    pub uki: Vec<u8>,
    /// Its name.
    pub name: UkiName,
}

/// systemd-boot as the tool root has it, unsigned.
pub(crate) fn systemd_boot(ctx: &Context<'_>) -> Result<Vec<u8>> {
    Ok(lazuli_fs::read(ctx.tool_root.join("usr/lib/systemd/boot/efi/systemd-bootx64.efi"))?)
}

/// The name of a tree's unified kernel image. It bears the version of the image if it has one, else that of the
/// distribution.
pub(crate) fn uki_name(ctx: &Context<'_>, tree: &Tree) -> Result<UkiName> {
    let osrel = os_release(ctx, tree)?;
    let field = |key: &str| os_release_field(&osrel, key).filter(|value| !value.is_empty());
    let version = field("IMAGE_VERSION").or_else(|| field("VERSION_ID")).unwrap_or_default();
    Ok(UkiName { id: field("ID").unwrap_or_default(), version, counter: None })
}

/// The command lines in a unified kernel image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandLines {
    /// That of the default profile, which has no initrd.
    pub main: String,
    /// That of the profile for recovery, which has one; `None` if there is no such profile.
    pub recovery: Option<String>,
}

/// The unified kernel image of a tree, unsigned, and its name.
pub(crate) fn unified_kernel(
    ctx: &Context<'_>,
    tree: &Tree,
    lines: &CommandLines,
) -> Result<(UkiName, Vec<u8>)> {
    let stub = lazuli_fs::read(ctx.tool_root.join("usr/lib/systemd/boot/efi/linuxx64.efi.stub"))?;
    let (uname, linux) = kernel(ctx, tree)?;
    let osrel = os_release(ctx, tree)?;
    let field = |key: &str| os_release_field(&osrel, key).unwrap_or_default();
    let (id, version) = (field("ID"), field("VERSION_ID"));
    let sbat = format!(
        "uki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/\n\
         {id},1,{},{id},{version},{}\n",
        field("NAME"),
        field("HOME_URL"),
    );
    let initrd = lines.recovery.as_ref().map(|_| initrd::build(ctx, tree)).transpose()?;
    let recovery_osrel = sorts_last(&osrel);
    let profiles = [
        Profile { id: "main", title: None, osrel: None, cmdline: None, initrd: None },
        Profile {
            id: "recovery",
            title: Some("Recovery"),
            osrel: Some(&recovery_osrel),
            cmdline: lines.recovery.as_deref(),
            initrd: initrd.as_deref(),
        },
    ];
    let uki = Uki {
        stub: &stub,
        linux: &linux,
        osrel: &osrel,
        cmdline: &lines.main,
        uname: &uname,
        sbat: &sbat,
        profiles: if lines.recovery.is_some() { &profiles } else { &[] },
    };
    let uki = uki.build().map_err(|e| Error::format("unified kernel image", e))?;
    Ok((uki_name(ctx, tree)?, uki))
}

/// The os-release of a profile that is started by hand only. systemd-boot starts the entry that sorts first: by IMAGE_ID (ID if
/// there is none), then by version, then by file name. By the file name alone systemd-boot 257 takes the second profile for the
/// first entry while the name bears tries. So its IMAGE_ID is another one, which sorts behind.
fn sorts_last(osrel: &str) -> String {
    let field = |key: &str| os_release_field(osrel, key).filter(|value| !value.is_empty());
    let id = field("IMAGE_ID").or_else(|| field("ID")).unwrap_or_default();
    let others = osrel.lines().filter(|line| !line.starts_with("IMAGE_ID="));
    others.chain([format!("IMAGE_ID={id}-recovery").as_str()]).map(|line| format!("{line}\n")).collect()
}

/// The EFI system partition of `size` bytes.
pub(crate) fn system_partition(
    ctx: &Context<'_>,
    boot: &BootFiles,
    size: u64,
    volume_id: u32,
) -> Result<sparse::SparseBuffer> {
    ctx.progress("make the EFI system partition");
    let files = BTreeMap::from([
        (names::FALLBACK_X86_64.to_owned(), boot.systemd_boot.clone()),
        (names::SYSTEMD_BOOT_X86_64.to_owned(), boot.systemd_boot.clone()),
        (format!("{}/{}", names::UKI_DIRECTORY, boot.name), boot.uki.clone()),
        (names::LOADER_CONF.to_owned(), LOADER_CONF.as_bytes().to_vec()),
    ]);
    esp::build(&esp::Volume { size, start: ALIGNMENT, id: volume_id, time: ctx.source_date_epoch }, &files)
}

/// The one kernel of the tree: its release and its image.
fn kernel(ctx: &Context<'_>, tree: &Tree) -> Result<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for version in kernel_versions(tree)? {
        let path = TreePath::new(&format!("usr/lib/modules/{version}/vmlinuz"))
            .map_err(crate::passes::Error::from)?;
        if let Some(image) = tree.read(ctx.store, &path)? {
            found.push((version, image));
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Error::Missing {
            what: "kernel",
            path: "/usr/lib/modules/VERSION/vmlinuz".into(),
            hint: "add `kernel` to the image's packages".into(),
        }),
        _ => {
            let versions: Vec<&str> = found.iter().map(|(v, _)| v.as_str()).collect();
            let reason = format!("the image has several kernels ({}); keep one", versions.join(", "));
            Err(Error::format("unified kernel image", reason))
        }
    }
}

pub(crate) fn os_release(ctx: &Context<'_>, tree: &Tree) -> Result<String> {
    let path = TreePath::new("usr/lib/os-release").map_err(crate::passes::Error::from)?;
    let missing =
        |hint: &str| Error::Missing { what: "os-release", path: path.to_string(), hint: hint.into() };
    let text = tree.read(ctx.store, &path)?.ok_or_else(|| missing("add `lazuli-release` to the packages"))?;
    let text = String::from_utf8(text).map_err(|_| missing("it is not UTF-8"))?;
    for key in ["ID", "VERSION_ID", "NAME"] {
        if os_release_field(&text, key).is_none_or(|value| value.is_empty()) {
            return Err(missing(&format!("it has no {key}")));
        }
    }
    Ok(text)
}

/// A value of os-release(5), without its quotes.
fn os_release_field(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?.trim();
    let bare = |quote: char| value.strip_prefix(quote).and_then(|v| v.strip_suffix(quote));
    // A comma would end a field of .sbat.
    Some(bare('"').or_else(|| bare('\'')).unwrap_or(value).replace(['\\', ','], ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_has_an_image_id_that_sorts_behind() {
        assert_eq!(
            sorts_last("ID=lazuli\nNAME=\"L\"\n"),
            "ID=lazuli\nNAME=\"L\"\nIMAGE_ID=lazuli-recovery\n"
        );
        assert_eq!(sorts_last("IMAGE_ID=\"edge\"\nID=lazuli\n"), "ID=lazuli\nIMAGE_ID=edge-recovery\n");
    }
}
