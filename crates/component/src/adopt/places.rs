//! Places in the file system that mean something to packaging.

use lazuli_tree::TreePath;

/// Debian's packaging ballast: directory, and why nothing below it is taken.
pub const BALLAST: &[(&str, &str)] = &[
    ("usr/share/bug", "hooks of Debian's reportbug"),
    ("usr/share/lintian", "exceptions of Debian's package checker"),
    ("usr/share/doc-base", "Debian's register of documentation"),
    ("usr/share/menu", "Debian's menu system"),
    ("etc/init.d", "systemd is the only service manager"),
];

/// The path in a merged /usr.
pub fn merged(path: &TreePath) -> TreePath {
    let text = path.as_str();
    let first = text.split('/').next().unwrap_or_default();
    if matches!(first, "bin" | "sbin" | "lib" | "lib64" | "lib32" | "libx32") {
        return TreePath::new(&format!("usr/{text}")).unwrap_or_else(|_| path.clone());
    }
    path.clone()
}

/// Whether the directory belongs to `filesystem`, or is one that so many packages put files into that
/// nobody owns it; it then exists because something is in it.
pub fn is_shared(path: &str) -> bool {
    const OWNED: &[&str] = &[
        "boot",
        "dev",
        "efi",
        "etc",
        "etc/default",
        "etc/opt",
        "etc/pki",
        "etc/profile.d",
        "etc/skel",
        "etc/ssl",
        "etc/sysctl.d",
        "etc/yum.repos.d",
        "home",
        "media",
        "mnt",
        "opt",
        "proc",
        "root",
        "run",
        "run/lock",
        "srv",
        "sys",
        "tmp",
        "usr",
        "usr/bin",
        "usr/games",
        "usr/include",
        "usr/lib",
        "usr/lib/firmware",
        "usr/lib/modules",
        "usr/lib/sysusers.d",
        "usr/lib/tmpfiles.d",
        "usr/lib/x86_64-linux-gnu",
        "usr/lib/aarch64-linux-gnu",
        "usr/lib/systemd",
        "usr/lib/systemd/system",
        "usr/lib/systemd/user",
        "usr/lib64",
        "usr/libexec",
        "usr/local",
        "usr/sbin",
        "usr/share",
        "usr/share/doc",
        "usr/share/info",
        "usr/share/licenses",
        "usr/share/locale",
        "usr/share/man",
        "usr/share/misc",
        "usr/src",
        "var",
        "var/cache",
        "var/lib",
        "var/lib/misc",
        "var/local",
        "var/lock",
        "var/log",
        "var/mail",
        "var/opt",
        "var/run",
        "var/spool",
        "var/tmp",
    ];
    const BELOW: &[&str] = &[
        "usr/local/",
        "usr/share/man/",
        "usr/share/locale/",
        "usr/share/bash-completion",
        "usr/share/zsh",
        "usr/share/fish",
        "usr/share/licenses/",
    ];
    OWNED.contains(&path) || BELOW.iter().any(|prefix| path.starts_with(prefix))
}

/// Whether it is a licence text, which every image keeps.
pub fn is_license(path: &TreePath) -> bool {
    ["usr/share/licenses/", "usr/share/common-licenses/"].iter().any(|p| path.as_str().starts_with(p))
}

/// Whether an image without documentation does without it.
pub fn is_documentation(path: &TreePath) -> bool {
    const BELOW: &[&str] =
        &["usr/share/doc/", "usr/share/man/", "usr/share/info/", "usr/share/gtk-doc/", "usr/share/help/"];
    BELOW.iter().any(|prefix| path.as_str().starts_with(prefix))
}
