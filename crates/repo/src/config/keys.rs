//! Every key that a configuration file may have: which have an effect, which are another spelling, and which
//! exist in dnf, yum or tdnf but mean nothing here.

/// In which sections a key may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `[main]`.
    Main,
    /// A repository.
    Repo,
    /// Both; `[main]` gives the default.
    Both,
}

impl Scope {
    fn has(self, wanted: Self) -> bool {
        self == Self::Both || self == wanted
    }
}

/// Keys with an effect. Each is handled in the `set` of its type; a test holds the two together.
pub const EFFECTIVE: &[(Scope, &str)] = &[
    (Scope::Main, "arch"),
    (Scope::Main, "assumeno"),
    (Scope::Main, "assumeyes"),
    (Scope::Both, "bandwidth"),
    (Scope::Repo, "baseurl"),
    (Scope::Main, "best"),
    (Scope::Main, "cachedir"),
    (Scope::Main, "cacheonly"),
    (Scope::Main, "clean_requirements_on_remove"),
    (Scope::Main, "color"),
    (Scope::Repo, "cost"),
    (Scope::Main, "defaultyes"),
    (Scope::Main, "disable_excludes"),
    (Scope::Main, "diskspacecheck"),
    (Scope::Main, "distroverpkg"),
    (Scope::Main, "dnf_check_update_compat"),
    (Scope::Repo, "enabled"),
    (Scope::Main, "exclude_from_weak"),
    (Scope::Both, "excludepkgs"),
    (Scope::Both, "gpgcheck"),
    (Scope::Repo, "gpgkey"),
    (Scope::Main, "ignorearch"),
    (Scope::Both, "includepkgs"),
    (Scope::Main, "install_weak_deps"),
    (Scope::Main, "installonly_limit"),
    (Scope::Main, "installonlypkgs"),
    (Scope::Both, "ip_resolve"),
    (Scope::Main, "keepcache"),
    (Scope::Repo, "lapis_snapshot"),
    (Scope::Repo, "lapis_trust"),
    (Scope::Main, "max_parallel_downloads"),
    (Scope::Both, "metadata_expire"),
    (Scope::Repo, "metalink"),
    (Scope::Main, "minversions"),
    (Scope::Both, "minrate"),
    (Scope::Repo, "mirrorlist"),
    (Scope::Repo, "name"),
    (Scope::Main, "obsoletes"),
    (Scope::Both, "password"),
    (Scope::Main, "persistdir"),
    (Scope::Repo, "priority"),
    (Scope::Main, "protect_running_kernel"),
    (Scope::Main, "protected_packages"),
    (Scope::Both, "proxy"),
    (Scope::Both, "proxy_password"),
    (Scope::Both, "proxy_username"),
    (Scope::Main, "releasever"),
    (Scope::Both, "repo_gpgcheck"),
    (Scope::Main, "reposdir"),
    (Scope::Both, "retries"),
    (Scope::Main, "skip_broken"),
    (Scope::Both, "skip_if_unavailable"),
    (Scope::Main, "skip_unavailable"),
    (Scope::Both, "snapshottime"),
    (Scope::Both, "sslcacert"),
    (Scope::Both, "sslclientcert"),
    (Scope::Both, "sslclientkey"),
    (Scope::Both, "sslverify"),
    (Scope::Main, "strict"),
    (Scope::Both, "throttle"),
    (Scope::Both, "timeout"),
    (Scope::Main, "tsflags"),
    (Scope::Repo, "type"),
    (Scope::Both, "user_agent"),
    (Scope::Both, "username"),
    (Scope::Main, "varsdir"),
];

/// Other spellings: the key as found, the key that it is.
pub const ALIASES: &[(&str, &str)] =
    &[("exclude", "excludepkgs"), ("pkg_gpgcheck", "gpgcheck"), ("repodir", "reposdir")];

const CACHE: &str = "metadata is kept in lapis's own index";
const PLUGINS: &str = "lapis has no plugins";
const LOGGING: &str = "the history records transactions; messages go to the journal";
const MODULES: &str = "modular repositories are not supported";
const GROUPS: &str = "groups bring their mandatory and default packages, and nothing is kept about them";
const DELTA: &str = "delta packages are not supported";
const PRIVACY: &str = "lapis does not count machines";
const CERTIFICATES: &str = "proxies are reached without certificates of their own, server certificates are checked \
                            as `sslverify` and `sslcacert` say";
const INTERFACE: &str = "lapis's output has one form; use --json for programs";
const ON_DEMAND: &str = "what a command does not need is not fetched";
const RPM: &str = "lapis installs packages itself, not through librpm";

/// Keys that exist elsewhere and mean nothing here, and why.
pub const INERT: &[(Scope, &str, &str)] = &[
    (Scope::Main, "alwaysprompt", INTERFACE),
    (Scope::Both, "async", "downloads are always parallel; see max_parallel_downloads"),
    (Scope::Main, "autocheck_running_kernel", "see protect_running_kernel"),
    (Scope::Main, "autodetect_releasever", "see distroverpkg"),
    (Scope::Main, "bugtracker_url", INTERFACE),
    (Scope::Main, "build_cache", CACHE),
    (Scope::Main, "check_config_file_age", CACHE),
    (Scope::Main, "color_list_available_downgrade", INTERFACE),
    (Scope::Main, "color_list_available_install", INTERFACE),
    (Scope::Main, "color_list_available_reinstall", INTERFACE),
    (Scope::Main, "color_list_available_upgrade", INTERFACE),
    (Scope::Main, "color_list_installed_extra", INTERFACE),
    (Scope::Main, "color_list_installed_newer", INTERFACE),
    (Scope::Main, "color_list_installed_older", INTERFACE),
    (Scope::Main, "color_list_installed_reinstall", INTERFACE),
    (Scope::Main, "color_search_match", INTERFACE),
    (Scope::Main, "color_update_installed", INTERFACE),
    (Scope::Main, "color_update_local", INTERFACE),
    (Scope::Main, "color_update_remote", INTERFACE),
    (Scope::Main, "comment", "give --comment with the command"),
    (Scope::Main, "config_file_path", "give --config with the command"),
    (Scope::Both, "countme", PRIVACY),
    (Scope::Main, "debug_solver", "give --debugsolver with the command"),
    (Scope::Both, "deltarpm", DELTA),
    (Scope::Both, "deltarpm_percentage", DELTA),
    (Scope::Main, "destdir", "give --downloaddir with the command"),
    (Scope::Main, "distroarchpkg", "the machine's architecture is that of its kernel"),
    (Scope::Main, "downloaddir", "give --downloaddir with the command"),
    (Scope::Main, "downloadonly", "give --downloadonly with the command"),
    (Scope::Both, "enablegroups", GROUPS),
    (Scope::Main, "errorlevel", LOGGING),
    (Scope::Main, "exit_on_lock", "a transaction waits for the lock and says who holds it"),
    (Scope::Repo, "failovermethod", "all addresses of a repository are used"),
    (Scope::Both, "gpgkey_dns_verification", "keys are compared with the files that `gpgkey` names"),
    (Scope::Main, "group_package_types", GROUPS),
    (Scope::Main, "groupremove_leaf_only", GROUPS),
    (Scope::Main, "history_list_view", INTERFACE),
    (
        Scope::Both,
        "http_caching",
        "repomd.xml is always asked for anew, everything else is named by its digest",
    ),
    (Scope::Main, "installroot", "give --installroot with the command"),
    (Scope::Both, "keepalive", "connections are always kept"),
    (Scope::Main, "log_compress", LOGGING),
    (Scope::Main, "log_rotate", LOGGING),
    (Scope::Main, "log_size", LOGGING),
    (Scope::Main, "logfile", LOGGING),
    (Scope::Main, "logfile_level", LOGGING),
    (Scope::Main, "logfilelevel", LOGGING),
    (Scope::Both, "max_mirror_tries", "see retries"),
    (Scope::Main, "maxstringlen", "strings have fixed limits"),
    (Scope::Both, "mdpolicy", "what a command does not need is not fetched"),
    (Scope::Main, "metadata_timer_sync", "metadata is fetched when a command needs it; there is no timer"),
    (Scope::Repo, "mediaid", "media are not changed while packages are installed"),
    (Scope::Both, "mirrorlist_expire", "see metadata_expire"),
    (Scope::Main, "module_obsoletes", MODULES),
    (Scope::Main, "module_platform_id", MODULES),
    (Scope::Main, "module_stream_switch", MODULES),
    (Scope::Repo, "module_hotfixes", MODULES),
    (Scope::Main, "openmax", "few files are open at any time"),
    (Scope::Main, "pluginconfpath", PLUGINS),
    (Scope::Main, "pluginpath", PLUGINS),
    (Scope::Main, "plugins", PLUGINS),
    (Scope::Main, "prevent_upgrade_of_installonly", "install-only packages are never upgraded in place"),
    (Scope::Both, "proxy_auth_method", "basic authentication is used"),
    (Scope::Both, "proxy_sslcacert", CERTIFICATES),
    (Scope::Both, "proxy_sslclientcert", CERTIFICATES),
    (Scope::Both, "proxy_sslclientkey", CERTIFICATES),
    (Scope::Both, "proxy_sslverify", CERTIFICATES),
    (Scope::Main, "recent", "`list --recent` shows the last 7 days"),
    (Scope::Main, "releasever_major", "it follows from releasever"),
    (Scope::Main, "releasever_minor", "it follows from releasever"),
    (Scope::Main, "reset_nice", RPM),
    (Scope::Main, "rpmverbosity", RPM),
    (Scope::Main, "showdupesfromrepos", "give --showduplicates with the command"),
    (Scope::Main, "sslcertdir", CERTIFICATES),
    (Scope::Both, "sslverifystatus", CERTIFICATES),
    (Scope::Main, "syslog_device", LOGGING),
    (Scope::Main, "syslog_facility", LOGGING),
    (Scope::Main, "syslog_ident", LOGGING),
    (Scope::Main, "system_cachedir", "see cachedir"),
    (Scope::Main, "system_state_dir", "see persistdir"),
    (Scope::Main, "transaction_history_dir", LOGGING),
    (Scope::Main, "tolerant", "an unknown name is always an error; see skip_unavailable"),
    (Scope::Main, "transformdb", RPM),
    (Scope::Both, "ui_repoid_vars", INTERFACE),
    (Scope::Main, "upgrade_group_objects_upgrade", GROUPS),
    (Scope::Main, "use_host_config", "give --installroot with the command"),
    (Scope::Main, "usercache", CACHE),
    (Scope::Main, "usr_drift_protected_paths", "images whose /usr is read-only refuse transactions"),
    (Scope::Both, "zchunk", "metadata is fetched whole, by digest"),
    (Scope::Repo, "autorefresh", "see metadata_expire"),
    (Scope::Repo, "keeppackages", "see keepcache"),
    (Scope::Main, "debuglevel", "give -v with the command, once or twice"),
    (
        Scope::Main,
        "exclude_from_weak_autodetect",
        "what was refused or removed once is never brought back by a weak dependency",
    ),
    (
        Scope::Main,
        "fastestmirror",
        "mirrors are tried in the order of their list, and one that fails is left",
    ),
    (Scope::Main, "gpgcheck_policy", "everything that can carry a signature is checked; see lapis_trust"),
    (Scope::Main, "history_record", "every transaction is recorded: undoing and recovery need it"),
    (Scope::Main, "logdir", LOGGING),
    (Scope::Main, "optional_metadata_types", ON_DEMAND),
    (Scope::Main, "reboot_required", "what needs a restart is always said after a transaction"),
    (Scope::Repo, "skip_md_filelists", ON_DEMAND),
    (Scope::Repo, "skip_md_other", ON_DEMAND),
    (Scope::Repo, "skip_md_updateinfo", ON_DEMAND),
    (Scope::Repo, "path", "addresses are whole; put the path into baseurl"),
    (Scope::Repo, "service", "repository services are not supported"),
];

/// The value of an [`UNMET`] key that asks for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harmless {
    /// A switch in this position.
    Switch(bool),
    /// This word, among others that the key takes.
    Word(&'static str, &'static [&'static str]),
}

/// A key of dnf or tdnf of which only one value can be obeyed.
#[derive(Debug, PartialEq, Eq)]
pub struct Unmet {
    /// The key.
    pub key: &'static str,
    /// The value that can.
    pub harmless: Harmless,
    /// What to use instead of the others.
    pub instead: &'static str,
}

/// Keys of `[main]` that restrict, or ask for, what is not done. Whoever sets them relies on it, so they are worth a
/// warning.
pub const UNMET: &[Unmet] = &[
    Unmet {
        key: "allow_downgrade",
        harmless: Harmless::Switch(true),
        instead: "a package may go back for another one's sake; `versionlock add` keeps its version",
    },
    Unmet {
        key: "allow_vendor_change",
        harmless: Harmless::Switch(true),
        instead: "vendors are not compared; `priority`, `excludepkgs` and `includepkgs` of the repositories say whose \
                  packages count",
    },
    Unmet {
        key: "distrosync_reinstall_changed",
        harmless: Harmless::Switch(false),
        instead: "packages of the same version are not compared; `reinstall` exchanges them",
    },
    Unmet {
        key: "localpkg_gpgcheck",
        harmless: Harmless::Switch(true),
        instead: "the check of package files is made; --nogpgcheck leaves it out for one command",
    },
    Unmet {
        key: "multilib_policy",
        harmless: Harmless::Word("best", &["best", "all"]),
        instead: "a name means the machine's own architecture; name the others too: NAME.ARCH",
    },
];

/// Words of `tsflags` that mean nothing here, and why.
pub const INERT_FLAGS: &[(&str, &str)] = &[
    ("deploops", "dependencies may form loops"),
    ("nocontexts", "security contexts are not set"),
    ("noplugins", PLUGINS),
];

/// Words of `tsflags` that ask for what is not done, and what to use instead.
pub const UNMET_FLAGS: &[(&str, &str)] = &[(
    "nocrypto",
    "digests and signatures are always checked; --nogpgcheck leaves signatures out for one command",
)];

/// What is known about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It has an effect under this name.
    Effective(&'static str),
    /// It has none, and why.
    Inert(&'static str),
    /// Only one of its values can be obeyed.
    Unmet(&'static Unmet),
    /// Nothing is known; the known key that is most like it.
    Unknown(Option<&'static str>),
}

/// Looks a key up. `scope` is [`Scope::Main`] or [`Scope::Repo`]. Case does not matter.
pub fn look_up(key: &str, scope: Scope) -> Known {
    let lower = key.to_ascii_lowercase();
    let name = ALIASES.iter().find(|(alias, _)| *alias == lower).map_or(lower.as_str(), |(_, name)| name);
    if let Some((_, name)) = EFFECTIVE.iter().find(|(s, known)| *known == name && s.has(scope)) {
        return Known::Effective(name);
    }
    if let Some((_, _, why)) = INERT.iter().find(|(s, known, _)| *known == name && s.has(scope)) {
        return Known::Inert(why);
    }
    if let Some(unmet) = UNMET.iter().find(|unmet| unmet.key == name && scope == Scope::Main) {
        return Known::Unmet(unmet);
    }
    let known = EFFECTIVE.iter().map(|(s, known)| (*s, *known));
    let known = known.chain(UNMET.iter().map(|unmet| (Scope::Main, unmet.key)));
    let known = known.chain(INERT.iter().map(|(s, known, _)| (*s, *known)));
    Known::Unknown(nearest(&lower, known.filter(|(s, _)| s.has(scope)).map(|(_, known)| known)))
}

/// The candidate that a person may have meant.
fn nearest<'a>(wanted: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A long name is not worth the quadratic time: nothing known is like it.
    if wanted.len() > 64 {
        return None;
    }
    let limit = (wanted.chars().count() / 3).clamp(1, 4);
    let scored = candidates.map(|candidate| (strsim::damerau_levenshtein(wanted, candidate), candidate));
    scored.filter(|(distance, _)| *distance <= limit).min().map(|(_, candidate)| candidate)
}
