//! What has to be restarted after an update.
//!
//! A process that has files mapped which are no longer there runs old code: its package was updated, or
//! removed, since it started. The kernel marks such mappings `(deleted)` in `/proc/PID/maps`; so are mappings
//! of shared memory and of files that programs delete themselves, which do not count.

use lazuli_fs as fs;
use std::collections::BTreeMap;
use std::path::Path;

/// Packages after whose update only a reboot brings the new version into use.
pub const REBOOT: [&str; 13] = [
    "kernel",
    "kernel-core",
    "kernel-rt",
    "linux-firmware",
    "linux-image",
    "systemd",
    "systemd-udev",
    "udev",
    "glibc",
    "libc6",
    "dbus",
    "dbus-broker",
    "microcode_ctl",
];

/// A process that runs code which is not on the disk any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stale {
    /// Its number.
    pub pid: u32,
    /// What it was started as.
    pub command: String,
    /// Its user.
    pub uid: u32,
    /// The systemd service that it belongs to, if any.
    pub service: Option<String>,
    /// One of the files.
    pub file: String,
}

/// Looks at all processes that may be looked at.
pub fn stale_processes() -> Vec<Stale> {
    let mut found = Vec::new();
    for path in fs::read_dir("/proc").unwrap_or_default() {
        let Some(pid) = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse().ok()) else {
            continue;
        };
        // Processes come and go, and those of others cannot be looked at: neither is an error.
        let Ok(maps) = fs::read(path.join("maps")) else { continue };
        let Some(file) = deleted_code(&String::from_utf8_lossy(&maps)) else { continue };
        let text = |name: &str| {
            let bytes = fs::read(path.join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let command = text("cmdline").split('\0').collect::<Vec<_>>().join(" ").trim_end().to_owned();
        let command = if command.is_empty() { text("comm").trim_end().to_owned() } else { command };
        let uid = fs::metadata(&path).map_or(0, |m| std::os::unix::fs::MetadataExt::uid(&m));
        found.push(Stale { pid, command, uid, service: service(&text("cgroup")), file });
    }
    found.sort();
    found
}

/// The first mapped code file that was deleted.
fn deleted_code(maps: &str) -> Option<String> {
    maps.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let mode = fields.nth(1)?;
        let path = line.get(line.find('/')?..)?.strip_suffix(" (deleted)")?;
        let own = ["/dev/", "/memfd:", "/tmp/", "/var/tmp/", "/run/", "/SYSV", "/home/", "/[aio]", "/drm"];
        (mode.contains('x') && !own.iter().any(|start| path.starts_with(start))).then(|| path.to_owned())
    })
}

/// `NAME.service` in a line of `/proc/PID/cgroup`.
fn service(cgroup: &str) -> Option<String> {
    let path =
        cgroup.lines().find_map(|line| line.strip_prefix("0::").or_else(|| line.rsplit(':').next()))?;
    path.split('/').rfind(|part| part.ends_with(".service")).map(str::to_owned)
}

/// When the machine was started, in seconds since 1970.
pub fn boot_time() -> Option<i64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

/// Those of the packages (name, time of installation) that make a reboot due.
pub fn reboot_for<'a>(
    packages: impl IntoIterator<Item = (&'a str, i64)>,
    since: i64,
    more: &[String],
) -> Vec<&'a str> {
    let mut due: Vec<&str> = packages
        .into_iter()
        .filter(|(name, time)| {
            *time > since && (REBOOT.contains(name) || more.iter().any(|n| n == name) || is_kernel(name))
        })
        .map(|(name, _)| name)
        .collect();
    due.sort_unstable();
    due.dedup();
    due
}

/// Kernels of other flavours and names.
fn is_kernel(name: &str) -> bool {
    name.starts_with("kernel-") && !["-devel", "-headers", "-doc", "-tools"].iter().any(|e| name.ends_with(e))
}

/// Names in the files of `needs-restarting.d` folders, which packages and administrators add.
pub fn configured(root: &Path) -> Vec<String> {
    let folders = ["etc/lapis/needs-restarting.d", "etc/dnf/plugins/needs-restarting.d"];
    let files = folders.iter().flat_map(|f| fs::read_dir(root.join(f)).unwrap_or_default());
    let files = files.filter(|f| f.extension().is_some_and(|e| e == "conf"));
    files
        .filter_map(|file| fs::read_to_string(file).ok())
        .flat_map(|text| text.lines().map(|l| l.trim().to_owned()).collect::<Vec<_>>())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

/// Groups processes by service.
pub fn services(stale: &[Stale]) -> BTreeMap<&str, usize> {
    let mut services = BTreeMap::new();
    for service in stale.iter().filter_map(|s| s.service.as_deref()) {
        *services.entry(service).or_insert(0) += 1;
    }
    services
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_deleted_code_counts() {
        let line = |mode: &str, path: &str| format!("7f00-7f01 {mode} 00000000 08:01 123 {path}\n");
        let stale = line("r-xp", "/usr/lib/libssl.so.3 (deleted)");
        assert_eq!(deleted_code(&stale).as_deref(), Some("/usr/lib/libssl.so.3"));
        for fine in [
            line("r-xp", "/usr/lib/libssl.so.3"),
            line("r--p", "/usr/lib/locale/C.utf8 (deleted)"),
            line("rwxs", "/dev/zero (deleted)"),
            line("r-xp", "/memfd:jit (deleted)"),
            line("r-xp", ""),
        ] {
            assert_eq!(deleted_code(&fine), None, "{fine}");
        }
        assert!(deleted_code(&(line("r-xp", "/usr/bin/a b") + &stale)).is_some());
    }

    #[test]
    fn services_are_found_in_cgroups() {
        assert_eq!(service("0::/system.slice/sshd.service\n").as_deref(), Some("sshd.service"));
        assert_eq!(service("0::/user.slice/user-0.slice/session-1.scope\n"), None);
    }

    #[test]
    fn a_reboot_is_due_for_what_came_after_the_start() {
        let packages =
            [("kernel", 50), ("glibc", 150), ("bash", 150), ("kernel-lz", 160), ("kernel-devel", 160)];
        assert_eq!(reboot_for(packages, 100, &[]), ["glibc", "kernel-lz"]);
        assert_eq!(reboot_for(packages, 100, &["bash".to_owned()]), ["bash", "glibc", "kernel-lz"]);
    }

    #[test]
    fn this_test_runs_code_that_is_there() {
        let me = std::process::id();
        assert!(stale_processes().iter().all(|s| s.pid != me));
    }
}
