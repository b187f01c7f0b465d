//! The tables: which commands debhelper's tools write, and which commands change nothing.

/// The effect of a debhelper tool's commands, if they are its own.
pub(super) struct Tool {
    /// Its names.
    pub(super) names: &'static [&'static str],
    /// Commands that its blocks have, besides those that only read.
    pub(super) commands: &'static [&'static str],
    /// Why nothing replaces it; empty if the commands' effects say what does.
    pub(super) why: &'static str,
}

/// The tools whose blocks are recognised.
pub(super) const TOOLS: &[Tool] = &[
    Tool {
        names: &["dh_installsystemd", "dh_systemd_enable", "dh_systemd_start", "dh_installsystemduser"],
        commands: &["deb-systemd-helper", "deb-systemd-invoke", "systemctl"],
        why: "",
    },
    Tool { names: &["dh_installsysusers"], commands: &["systemd-sysusers"], why: "" },
    Tool { names: &["dh_installtmpfiles"], commands: &["systemd-tmpfiles"], why: "" },
    Tool { names: &["dh_makeshlibs"], commands: &["ldconfig"], why: "" },
    Tool { names: &["dh_installalternatives"], commands: &["update-alternatives"], why: "" },
    Tool {
        names: &["dh_installinit", "dh_runit"],
        commands: &["update-rc.d", "invoke-rc.d", "chmod", "/usr/lib/runit-helper/runit-helper"],
        why: "systemd is the only service manager",
    },
    Tool {
        names: &["dh_installdeb"],
        commands: &["dpkg-maintscript-helper"],
        why: "it moves files of older Debian releases",
    },
    Tool {
        names: &["dh_installdebconf"],
        commands: &["db_purge", "db_stop", "."],
        why: "there is no debconf",
    },
    Tool {
        names: &["dh_python3", "dh_python2", "dh_pypy", "dh_pypy3"],
        commands: &[
            "py3compile",
            "py3clean",
            "pypy3compile",
            "pypy3clean",
            "pycompile",
            "pyclean",
            "find",
            "xargs",
            "sed",
            "dpkg",
        ],
        why: "byte code is not shipped",
    },
    Tool {
        names: &["dh_apparmor"],
        commands: &["mkdir", "install", "apparmor_parser", "aa-enabled", "aa-status", "rm", "rmdir"],
        why: "AppArmor is not used",
    },
    Tool { names: &["dh_installmenu"], commands: &["update-menus"], why: "there are no menus" },
    Tool { names: &["dh_icons"], commands: &["update-icon-caches"], why: "there are no icons" },
    Tool {
        names: &["dh_installxmlcatalogs", "dh_installcatalogs"],
        commands: &["update-xmlcatalog", "update-catalog", "rm"],
        why: "there is no catalogue of XML and SGML document types",
    },
    Tool {
        names: &["dh_usrlocal"],
        commands: &["set", "mkdir", "chown", "chmod", "rmdir", "read"],
        why: "/usr/local belongs to the administrator",
    },
];

/// Commands that only read or only speak, whatever their arguments.
pub(super) const READERS: &[&str] = &[
    ":",
    "true",
    "echo",
    "printf",
    "cat",
    "test",
    "[",
    "which",
    "type",
    "grep",
    "egrep",
    "fgrep",
    "cut",
    "tr",
    "head",
    "tail",
    "basename",
    "dirname",
    "readlink",
    "getent",
    "id",
    "uname",
    "stat",
    "ls",
    "md5sum",
    "sha1sum",
    "sha256sum",
    "sha512sum",
    "cmp",
    "diff",
    "wc",
    "expr",
    "read",
    "export",
    "local",
    "readonly",
    "unset",
    "umask",
    "pidof",
    "ischroot",
    "dpkg-query",
    "return",
    "break",
    "continue",
    "seq",
];

/// Commands that nothing replaces, wherever they stand, and why.
pub(super) const NOTHING: &[(&[&str], &str)] = &[
    (&["dpkg-maintscript-helper"], "it moves files of older Debian releases"),
    (&["py3compile", "py3clean", "pypy3compile"], "byte code is not shipped"),
    (&["invoke-rc.d", "update-rc.d"], "systemd is the only service manager"),
    (&["update-initramfs"], "there is no initrd"),
    (&["update-grub"], "the boot loader is systemd-boot"),
    (&["udevadm"], "devices are enumerated at boot"),
];

/// Whether the command with these arguments acts on the running system only, which an image is not.
pub(super) fn only_at_run_time(name: &str, arguments: &[&str]) -> bool {
    let verb = arguments.iter().find(|a| !a.starts_with('-')).copied().unwrap_or_default();
    match name {
        "udevadm" => matches!(verb, "control" | "trigger" | "settle"),
        "update-rc.d" => arguments.iter().any(|a| matches!(*a, "defaults" | "remove")),
        _ => matches!(
            verb,
            "daemon-reload"
                | "daemon-reexec"
                | "start"
                | "stop"
                | "restart"
                | "try-restart"
                | "reload"
                | "reload-or-restart"
                | "try-reload-or-restart"
                | "is-active"
                | "is-enabled"
                | "is-system-running"
        ),
    }
}

/// debconf's commands, debconf-devel(7). Their only effect is on debconf's own database.
pub(super) const DEBCONF: &[&str] = &[
    "db_version",
    "db_capb",
    "db_stop",
    "db_settitle",
    "db_title",
    "db_input",
    "db_beginblock",
    "db_endblock",
    "db_go",
    "db_clear",
    "db_get",
    "db_set",
    "db_reset",
    "db_subst",
    "db_fget",
    "db_fset",
    "db_metaget",
    "db_register",
    "db_unregister",
    "db_purge",
    "db_x_loadtemplatefile",
];

/// The tool of that name.
pub(super) fn tool(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.names.contains(&name))
}
