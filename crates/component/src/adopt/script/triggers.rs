//! The `triggers` control file, deb-triggers(5).
//!
//! A package *activates* triggers (something else has to be done because of its files) and has
//! *interest* in others (its own `postinst triggered` does it). The list here names those that a pass of
//! the composition or systemd at boot replaces.

use super::Line;

/// What replaces a trigger, by its name or the path it watches.
const KNOWN: &[(&[&str], &str)] = &[
    (&["ldconfig"], "the library cache pass"),
    (&["update-initramfs"], "nothing: there is no initrd"),
    (&["/usr/lib/udev/hwdb.d", "/lib/udev/hwdb.d"], "the hardware database pass"),
    (&["/usr/lib/systemd/catalog"], "systemd-journal-catalog-update.service at boot"),
    (&["/usr/lib/sysctl.d"], "systemd-sysctl.service at boot"),
    (&["/usr/lib/binfmt.d"], "systemd-binfmt.service at boot"),
    (&["update-ca-certificates", "update-ca-certificates-fresh"], "the CA bundle pass"),
    (
        &["/usr/share/dbus-1/system.d", "/usr/share/dbus-1/system-services", "/etc/dbus-1/system.d"],
        "nothing: the bus watches its directories",
    ),
    (
        &[
            "/usr/share/man",
            "/usr/man",
            "/usr/local/man",
            "/usr/local/share/man",
            "/usr/X11R6/man",
            "/opt/man",
        ],
        "nothing: no index of manual pages is kept",
    ),
];

/// What replaces the trigger, if it is known.
pub fn replacement(name: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(names, _)| names.contains(&name)).map(|(_, why)| *why)
}

/// A `triggers` file, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Triggers {
    /// Known triggers and what replaces them.
    pub known: Vec<(String, &'static str)>,
    /// Lines with other triggers.
    pub unrecognised: Vec<Line>,
    /// Whether the package has interest in a trigger that is not known.
    pub interest: bool,
}

/// Reads the file.
pub fn read(file: &[u8]) -> Triggers {
    let mut triggers = Triggers::default();
    for (i, line) in String::from_utf8_lossy(file).lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (directive, name) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let name = name.trim();
        let directive =
            directive.strip_suffix("-noawait").or(directive.strip_suffix("-await")).unwrap_or(directive);
        if let ("interest" | "activate", Some(why)) = (directive, replacement(name)) {
            triggers.known.push((name.to_owned(), why));
        } else {
            triggers.interest |= directive != "activate";
            triggers.unrecognised.push(Line { number: i + 1, text: line.to_owned() });
        }
    }
    triggers
}
