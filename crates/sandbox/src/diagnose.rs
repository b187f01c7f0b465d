//! Why the kernel refuses a sandbox, and which setting changes that.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::io::Errno;

/// What this host says about the settings that matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Host {
    /// `user.max_user_namespaces`.
    pub max_user_namespaces: Option<u64>,
    /// `kernel.unprivileged_userns_clone`, a setting of Debian's kernels.
    pub unprivileged_userns_clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, a setting of Ubuntu's kernels.
    pub apparmor_restrict: Option<u64>,
    /// The process is inside a chroot.
    pub chroot: bool,
    /// A seccomp filter is on, as in most containers.
    pub seccomp: bool,
    /// The caller is user 0.
    pub root: bool,
}

impl Host {
    /// Reads the settings of this host.
    pub(crate) fn read() -> Self {
        let number = |path: &str| lazuli_fs::read_to_string(path).ok()?.trim().parse().ok();
        Self {
            max_user_namespaces: number("/proc/sys/user/max_user_namespaces"),
            unprivileged_userns_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor_restrict: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            chroot: in_chroot(),
            seccomp: lazuli_fs::read_to_string("/proc/self/status")
                .is_ok_and(|status| status.lines().any(|line| line == "Seccomp:\t2")),
            root: rustix::process::geteuid().is_root(),
        }
    }

    /// What to do when a namespace or a mount is refused with `errno`; empty if nothing is known.
    pub(crate) fn hint(&self, errno: Errno, mounting: Mounting) -> String {
        let advice = match errno {
            Errno::NOSPC | Errno::USERS => Some(self.limit()),
            Errno::NOSYS => Some("The kernel is too old: 5.12 or newer is needed.".to_owned()),
            Errno::INVAL if mounting == Mounting::No => {
                Some("The kernel was built without user namespaces (CONFIG_USER_NS).".to_owned())
            }
            Errno::INVAL | Errno::NODEV if mounting == Mounting::Overlay => Some(
                "The directory for changes must lie on a file system with user.* extended attributes (ext4, \
                 xfs, btrfs), and the kernel must be 5.11 or newer with overlayfs (`modprobe overlay`)."
                    .to_owned(),
            ),
            Errno::PERM | Errno::ACCESS => self.refusal(mounting),
            _ => None,
        };
        advice.map(|text| format!("\n  {text}")).unwrap_or_default()
    }

    fn limit(&self) -> String {
        let now = self.max_user_namespaces.map(|n| format!(" (now {n})")).unwrap_or_default();
        format!(
            "The number of user namespaces is limited{now}: as root, set it with \
             `sysctl -w user.max_user_namespaces=15000`, lastingly in /etc/sysctl.d/."
        )
    }

    fn refusal(&self, mounting: Mounting) -> Option<String> {
        let sysctl = |what: &str, setting: &str| {
            format!("{what}: as root, `sysctl -w {setting}`, lastingly in /etc/sysctl.d/.")
        };
        if self.chroot {
            return Some(
                "This process is inside a chroot, where Linux refuses user namespaces: run it outside, or \
                 enter the directory by pivot_root (`bwrap`, `systemd-nspawn`, a container) instead."
                    .to_owned(),
            );
        }
        if self.max_user_namespaces == Some(0) {
            return Some(self.limit());
        }
        if self.unprivileged_userns_clone == Some(0) && !self.root {
            return Some(sysctl(
                "This host lets only root make user namespaces",
                "kernel.unprivileged_userns_clone=1",
            ));
        }
        if self.apparmor_restrict.is_some_and(|n| n != 0) && !self.root {
            return Some(sysctl(
                "AppArmor takes the rights away in user namespaces of ordinary users",
                "kernel.apparmor_restrict_unprivileged_userns=0",
            ));
        }
        if mounting == Mounting::Proc {
            return Some(
                "A new /proc is refused when parts of the present one are hidden, as container engines do: \
                 run the container with `--security-opt systempaths=unconfined`."
                    .to_owned(),
            );
        }
        if self.seccomp {
            return Some(
                "A seccomp filter is on, as in containers: run the container with \
                 `--security-opt seccomp=unconfined --security-opt apparmor=unconfined`."
                    .to_owned(),
            );
        }
        (mounting == Mounting::No).then(|| {
            "Linux refuses user namespaces inside a chroot, and a security module can forbid them: run it \
             outside a chroot, and look for a denial in the kernel's log (`dmesg`)."
                .to_owned()
        })
    }
}

/// What was being done when the kernel refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mounting {
    /// Entering the namespaces.
    No,
    /// Mounting /proc.
    Proc,
    /// Mounting an overlay.
    Overlay,
    /// Any other step.
    Other,
}

/// Whether this process' root directory is not the root of its mount namespace.
fn in_chroot() -> bool {
    let Ok(mounts) = lazuli_fs::read_to_string("/proc/self/mountinfo") else { return false };
    // Fields: mount ID, parent ID, device, root, mount point. A chroot into a directory that is no
    // mount point has no entry for "/".
    if !mounts.lines().any(|line| line.split(' ').nth(4) == Some("/")) {
        return true;
    }
    // The superuser can look at process 1's root.
    match (lazuli_fs::metadata(Path::new("/proc/1/root/.")), lazuli_fs::metadata("/")) {
        (Ok(theirs), Ok(ours)) => (theirs.dev(), theirs.ino()) != (ours.dev(), ours.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(host: &Host, errno: Errno) -> String {
        host.hint(errno, Mounting::No)
    }

    #[test]
    fn each_refusing_setting_is_named() {
        let limit = Host { max_user_namespaces: Some(0), ..Host::default() };
        assert!(hint(&limit, Errno::PERM).contains("user.max_user_namespaces"));
        assert!(hint(&limit, Errno::NOSPC).contains("(now 0)"));
        let debian = Host { unprivileged_userns_clone: Some(0), ..Host::default() };
        assert!(hint(&debian, Errno::PERM).contains("kernel.unprivileged_userns_clone=1"));
        let ubuntu = Host { apparmor_restrict: Some(1), ..Host::default() };
        assert!(hint(&ubuntu, Errno::ACCESS).contains("kernel.apparmor_restrict_unprivileged_userns=0"));
        let chroot = Host { chroot: true, ..Host::default() };
        assert!(hint(&chroot, Errno::PERM).contains("inside a chroot"));
        let container = Host { seccomp: true, ..Host::default() };
        assert!(hint(&container, Errno::PERM).contains("seccomp=unconfined"));
        assert!(container.hint(Errno::PERM, Mounting::Proc).contains("systempaths=unconfined"));
    }

    #[test]
    fn settings_for_ordinary_users_are_not_blamed_for_roots_trouble() {
        let host = Host {
            root: true,
            unprivileged_userns_clone: Some(0),
            apparmor_restrict: Some(1),
            ..Host::default()
        };
        assert!(!hint(&host, Errno::PERM).contains("sysctl"));
    }

    #[test]
    fn an_unrelated_error_gets_no_advice() {
        assert_eq!(hint(&Host::default(), Errno::NOENT), "");
    }
}
