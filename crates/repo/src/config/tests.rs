//! What people who write these files may rely on.

use super::keys::{ALIASES, EFFECTIVE, INERT, Known, Scope, UNMET, look_up};
use super::*;
use lazuli_fs as fs;
use proptest::prelude::*;
use std::path::PathBuf;
use std::time::Duration;

fn config() -> Config {
    Config::new(Variables::new("x86_64", Some("1.2")))
}

fn with_main(text: &str) -> Config {
    let mut config = config();
    config.add_main(Path::new("dnf.conf"), text.as_bytes()).expect("reads");
    config
}

fn repo(text: &str) -> RepoConfig {
    let mut config = config();
    config.add_repositories(Path::new("a.repo"), format!("[a]\n{text}").as_bytes()).expect("reads");
    config.repositories.remove(0)
}

fn refused(text: &str) -> String {
    let mut config = config();
    let error = config.add_repositories(Path::new("a.repo"), text.as_bytes());
    error.expect_err(text).to_string()
}

/// A `.repo` file as another distribution ships it.
const FOREIGN: &str = "\
# A comment
[vendor-base]
name=Vendor Official Base $releasever $basearch
baseurl=https://packages.example.org/$releasever/prod/base/$basearch/
gpgkey=file:///etc/pki/rpm-gpg/VENDOR-KEY
\tfile:///etc/pki/rpm-gpg/VENDOR-KEY-2
gpgcheck=1
repo_gpgcheck=1
enabled=1
skip_if_unavailable=True
sslverify=1
metadata_expire=6h
priority = 50
module_hotfixes=1

[vendor-debug]
name=Debug
mirrorlist=https://mirrors.example.org/list?arch=${basearch}&v=${releasever_major}
enabled=0
gpgkey=https://packages.example.org/key
";

#[test]
fn a_foreign_file_is_understood_and_says_what_has_no_effect() {
    let mut config = config();
    config.add_repositories(Path::new("vendor.repo"), FOREIGN.as_bytes()).expect("reads");
    let [base, debug] = config.repositories.as_slice() else { panic!("two repositories") };
    assert_eq!(base.name, "Vendor Official Base 1.2 x86_64");
    assert_eq!(base.base_urls, ["https://packages.example.org/1.2/prod/base/x86_64"]);
    assert_eq!(base.gpg_keys, ["file:///etc/pki/rpm-gpg/VENDOR-KEY", "file:///etc/pki/rpm-gpg/VENDOR-KEY-2"]);
    assert!(base.enabled && base.skip_if_unavailable && base.transport.ssl_verify);
    assert_eq!(base.metadata_expire, Expire::After(Duration::from_secs(6 * 3600)));
    assert_eq!(base.priority, 50);
    assert_eq!(debug.mirrorlist.as_deref(), Some("https://mirrors.example.org/list?arch=x86_64&v=1"));
    assert!(!debug.enabled);
    assert_eq!(config.enabled().expect("usable").len(), 1);
    assert!(config.warnings().is_empty(), "{:?}", config.warnings());
    let notices: Vec<_> = config.notices.iter().map(ToString::to_string).collect();
    assert_eq!(
        notices,
        [
            "vendor.repo, line 14: [vendor-base] `module_hotfixes` has no effect: modular repositories are not supported"
        ]
    );
}

#[test]
fn a_misspelt_key_is_named_with_its_line_and_the_nearest_one() {
    let mut config = with_main("[main]\n\ngpgchek=1\nfrobnicate=7\n");
    config.add_repositories(Path::new("a.repo"), b"[a]\nbaseurls=https://x.example.org\n").expect("reads");
    let warnings: Vec<_> = config.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "dnf.conf, line 3: [main] `gpgchek` is not a known key and has no effect; did you mean `gpgcheck`?",
            "dnf.conf, line 4: [main] `frobnicate` is not a known key and has no effect",
            "a.repo, line 2: [a] `baseurls` is not a known key and has no effect; did you mean `baseurl`?",
        ]
    );
}

#[test]
fn a_value_that_its_key_does_not_take_is_an_error_that_says_what_it_takes() {
    for (text, parts) in [
        ("[a]\nenabled=maybe\n", ["a.repo, line 2", "enabled = maybe", "switch"]),
        ("[a]\n\nmetadata_expire=soon\n", ["line 3", "soon", "never"]),
        ("[a]\nmetadata_expire=-5\n", ["line 2", "-5", "never"]),
        ("[a]\nminrate=5 parsecs\n", ["line 2", "parsecs", "k, M or G"]),
        ("[a]\npriority=high\n", ["line 2", "high", "whole number"]),
        ("[a]\nbaseurl=packages.example.org\n", ["line 2", "packages.example.org", "https://"]),
        ("[a]\ngpgkey=http://x.example.org/key\n", ["line 2", "over https", "http://x"]),
        ("[a]\nlapis_trust=everything\n", ["line 2", "no-metadata-signature", "no-expiry"]),
        ("[a]\nlapis_snapshot=../../etc\n", ["line 2", "snapshot", "number"]),
        ("[a]\npassword=\n[b]\ntimeout=0\n", ["line 4", "timeout", "above 0"]),
        ("[../x]\nname=x\n", ["line 1", "../x", "an id has letters"]),
        ("[a]\nname\n", ["line 2", "neither", "key = value"]),
        ("name=x\n", ["line 1", "before the first", "section"]),
        ("[a\n", ["line 1", "without", "]"]),
        ("[a] x\n", ["line 1", "follows", "heading"]),
        ("[a]\n  continued\n", ["line 2", "white space", "continue"]),
        ("[a]\nname=x\0y\n", ["line 2", "control", "character"]),
    ] {
        let error = refused(text);
        assert!(parts.iter().all(|part| error.contains(part)), "{text:?}: {error}");
    }
    let utf8 = config().add_main(Path::new("x"), b"[main]\nbest=\xff\n").expect_err("not text").to_string();
    assert!(utf8.contains("x, line 2") && utf8.contains("UTF-8"), "{utf8}");
}

#[test]
fn no_error_shows_a_password() {
    let long = "s3cret".repeat(20_000);
    let error = refused(&format!("[a]\nproxy_password={long}\n"));
    assert!(!error.contains("s3cret"), "{error}");
}

#[test]
fn spellings_of_switches_sizes_times_and_lists() {
    for (text, wanted) in [
        ("1", true),
        ("Yes", true),
        ("TRUE", true),
        ("on", true),
        ("0", false),
        ("no", false),
        ("Off", false),
    ] {
        assert_eq!(repo(&format!("enabled = {text}\n")).enabled, wanted, "{text}");
    }
    for (text, wanted) in [("90", 90), ("1.5h", 5400), ("2 d", 172_800), ("10m", 600), ("30S", 30)] {
        let wanted = Expire::After(Duration::from_secs(wanted));
        assert_eq!(repo(&format!("metadata_expire={text}\n")).metadata_expire, wanted, "{text}");
    }
    for text in ["never", "-1", "Never"] {
        assert_eq!(repo(&format!("metadata_expire={text}\n")).metadata_expire, Expire::Never);
    }
    for (text, wanted) in [("1000", 1000), ("1k", 1024), ("1.5M", 1_572_864), ("2G", 2 << 30)] {
        assert_eq!(repo(&format!("minrate={text}\n")).transport.min_rate, wanted, "{text}");
    }
    let throttled = repo("bandwidth=10M\nthrottle=50%\n");
    assert_eq!(throttled.transport.rate_limit(), Some(5 << 20));
    assert_eq!(repo("throttle=0\n").transport.rate_limit(), None);
    let list = repo("excludepkgs = a*, b\n  c,d\n# a comment between\n\te\nexclude=f\n").exclude;
    assert_eq!(list, ["a*", "b", "c", "d", "e", "f"]);
}

#[test]
fn main_gives_defaults_that_a_repository_may_change() {
    let mut config =
        with_main("[main]\nproxy=http://proxy.example.org:3128\nretries=3\nskip_if_unavailable=1\n");
    let text = "[a]\nbaseurl=/srv/a\n[b]\nbaseurl=/srv/b/\nproxy=_none_\nretries=0\nskip_if_unavailable=0\n";
    config.add_repositories(Path::new("x.repo"), text.as_bytes()).expect("reads");
    let [a, b] = config.repositories.as_slice() else { panic!("two") };
    assert_eq!(a.transport.proxy.as_deref(), Some("http://proxy.example.org:3128"));
    assert_eq!((a.transport.retries, a.skip_if_unavailable), (Some(3), true));
    assert_eq!((&b.transport.proxy, b.transport.retries, b.skip_if_unavailable), (&None, None, false));
    assert_eq!(b.base_urls, ["file:///srv/b"]);
}

#[test]
fn no_habitual_switch_turns_a_check_off() {
    let mut config = with_main("[main]\ngpgcheck=0\n");
    let text = "[a]\nbaseurl=https://x.example.org\ngpgkey=file:///k\nrepo_gpgcheck=0\n\
                [b]\nbaseurl=https://x.example.org\ngpgkey=file:///k\ngpgcheck=0\nrepo_gpgcheck=0\n\
                lapis_trust=no-metadata-signature, no-expiry no-package-signature\n";
    config.add_repositories(Path::new("x.repo"), text.as_bytes()).expect("reads");
    let [a, b] = config.repositories.as_slice() else { panic!("two") };
    assert!(a.checks_packages() && a.checks_metadata() && Lack::ALL.iter().all(|lack| a.requires(*lack)));
    assert!(
        !b.checks_packages()
            && !b.checks_metadata()
            && !b.requires(Lack::Expiry)
            && b.requires(Lack::Version)
    );
    let warnings: Vec<_> = config.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].contains("[a] `gpgcheck`") && warnings[0].contains("lapis_trust = no-package-signature")
    );
    assert!(warnings[1].contains("[a] `repo_gpgcheck`") && warnings[1].contains("no-metadata-signature"));
}

#[test]
fn a_repository_that_cannot_be_checked_is_refused_when_enabled() {
    for (text, why) in [
        ("baseurl=https://x.example.org\n", "no `gpgkey`"),
        ("gpgkey=file:///k\n", "no address"),
        (
            "baseurl=http://x.example.org\nlapis_trust=no-metadata-signature no-package-signature\n",
            "only https",
        ),
        (
            "baseurl=https://x.example.org\nsslverify=0\nlapis_trust=no-metadata-signature no-package-signature\n",
            "sslverify",
        ),
    ] {
        let mut config = config();
        config.add_repositories(Path::new("x.repo"), format!("\n[a]\n{text}").as_bytes()).expect("reads");
        let error = config.enabled().expect_err(why).to_string();
        assert!(error.contains(why) && error.contains("x.repo, line 2") && error.contains("`a`"), "{error}");
        config.repositories[0].enabled = false;
        assert!(config.enabled().expect("a disabled one is nobody's trouble").is_empty());
    }
}

#[test]
fn variables() {
    let mut variables = Variables::new("i686", Some("41"));
    variables.set("stream", "lts");
    variables.set("empty", "");
    for (text, wanted) in [
        ("$basearch/$arch/$releasever", "i386/i686/41"),
        ("a${stream}b$streamc", "altsb$streamc"),
        ("${none:-other}/${stream:-other}", "other/lts"),
        ("${none:-$stream-${basearch}}", "lts-i386"),
        ("${empty:-x}${empty:+y}${stream:+-$stream}", "x-lts"),
        ("100$ and $$stream", "100$ and $lts"),
        ("${stream", "${stream"),
        ("${stream:=x}", "${stream:=x}"),
        ("$", "$"),
    ] {
        assert_eq!(variables.expand(text).0, wanted, "{text}");
    }
    assert_eq!(variables.expand("$none ${none} $arch").1, ["none", "none"]);
    assert!(!variables.set("a-b", "x") && !variables.set("", "x"));
    let config = with_main("[main]\nexclude=$wanted\n");
    assert!(config.warnings()[0].to_string().contains("`$wanted`, which has no value"));
}

#[test]
fn secrets_are_taken_as_they_stand() {
    let repo = repo("username=me$arch\npassword=a$arch#b;c=d\n");
    assert_eq!(repo.transport.username.as_deref(), Some("me$arch"));
    assert_eq!(repo.transport.password.as_deref(), Some("a$arch#b;c=d"));
}

#[test]
fn options_of_the_command_line() {
    let mut config = with_main("[main]\nbest=1\n");
    config
        .add_repositories(Path::new("x.repo"), b"[ab]\nname=1\n[ac]\nname=2\n[b]\nname=3\n")
        .expect("reads");
    config.set_option("best=0").expect("sets");
    config.set_option("main.obsoletes=0").expect("sets");
    config.set_option("a*.priority=5").expect("sets");
    config.set_option("b.baseurl=https://x.example.org/a=b").expect("sets");
    assert!(!config.main.best && !config.main.obsoletes);
    assert_eq!(config.repositories.iter().map(|r| r.priority).collect::<Vec<_>>(), [5, 5, 99]);
    assert_eq!(config.repositories[2].base_urls, ["https://x.example.org/a=b"]);
    for (option, why) in [
        ("bets=1", "did you mean `best`"),
        ("a*.priorty=1", "did you mean `priority`"),
        ("z.priority=1", "no repository"),
        ("best", "key=value"),
        ("best=perhaps", "switch"),
    ] {
        let error = config.set_option(option).expect_err(option).to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn what_is_asked_for_and_not_done_is_said_with_what_to_use_instead() {
    let config = with_main(
        "[main]\nallow_vendor_change=0\nallow_downgrade=no\ndistrosync_reinstall_changed=1\nmultilib_policy=all\n\
         localpkg_gpgcheck=0\ntsflags=nodocs,nocrypto nocontexts\n",
    );
    let warnings: Vec<_> = config.warnings().iter().map(ToString::to_string).collect();
    for (line, words) in [
        (2, ["allow_vendor_change = 0", "priority"]),
        (3, ["allow_downgrade = no", "versionlock"]),
        (4, ["distrosync_reinstall_changed = 1", "reinstall"]),
        (5, ["multilib_policy = all", "NAME.ARCH"]),
        (6, ["localpkg_gpgcheck = 0", "--nogpgcheck"]),
        (7, ["tsflags = nocrypto", "always checked"]),
    ] {
        let warning = &warnings[line - 2];
        assert!(warning.starts_with(&format!("dnf.conf, line {line}: [main] ")), "{warning}");
        assert!(words.iter().all(|word| warning.contains(word)), "{warning}");
    }
    assert_eq!(warnings.len(), 6, "{warnings:?}");
    assert_eq!(config.main.tsflags, [TsFlag::NoDocs].into());
    let harmless = "[main]\nallow_vendor_change=1\nallow_downgrade=yes\ndistrosync_reinstall_changed=0\n\
                    multilib_policy=best\nlocalpkg_gpgcheck=1\ntsflags=deploops noplugins\nfastestmirror=1\n";
    assert!(with_main(harmless).warnings().is_empty());
    // The last value counts, and a wrong one is an error as anywhere else.
    assert!(with_main("[main]\nallow_downgrade=0\nallow_downgrade=1\n").warnings().is_empty());
    let mut config = config;
    assert!(config.set_option("multilib_policy=some").is_err());
    assert!(config.set_option("allow_downgrade=perhaps").is_err());
    assert!(config.set_option("tsflags=nosuch").is_err());
}

#[test]
fn every_listed_key_is_handled_and_no_key_is_listed_twice() {
    let samples = [
        "1",
        "https://x.example.org/",
        "file:///k",
        "2",
        "best",
        "legacy",
        "auto",
        "ipv4",
        "/x",
        "noscripts",
        "no-expiry",
        "rpm-md",
    ];
    for (scope, key) in EFFECTIVE {
        assert!(key.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{key}");
        let main = |sample: &&str| MainConfig::default().set(key, sample) == Ok(true);
        let repo = |sample: &&str| RepoConfig::new("a", &MainConfig::default()).set(key, sample) == Ok(true);
        if *scope != Scope::Repo {
            assert!(samples.iter().any(main), "[main] does not handle `{key}`");
        }
        if *scope != Scope::Main {
            assert!(samples.iter().any(repo), "a repository does not handle `{key}`");
        }
    }
    let mut all: Vec<&str> = EFFECTIVE.iter().map(|(_, key)| *key).collect();
    all.extend(INERT.iter().map(|(_, key, _)| *key));
    all.extend(UNMET.iter().map(|unmet| unmet.key));
    all.extend(ALIASES.iter().map(|(alias, _)| *alias));
    all.sort_unstable();
    let twice: Vec<_> = all.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "{twice:?}");
    for (alias, key) in ALIASES {
        assert!(EFFECTIVE.iter().any(|(_, effective)| effective == key), "{alias} leads nowhere");
    }
}

#[test]
fn every_key_of_the_peers_is_known() {
    // [main] of tdnf, then what users of dnf set; then the keys of repositories.
    let main = "gpgcheck installonly_limit installonlypkgs clean_requirements_on_remove repodir reposdir cachedir \
                persistdir proxy proxy_username proxy_password keepcache distroverpkg distroarchpkg maxstringlen \
                plugins pluginpath pluginconfpath sslverify excludepkgs minversions openmax varsdir \
                dnf_check_update_compat distrosync_reinstall_changed snapshottime \
                pkg_gpgcheck repo_gpgcheck localpkg_gpgcheck gpgcheck_policy best skip_if_unavailable skip_broken \
                skip_unavailable install_weak_deps obsoletes includepkgs protected_packages \
                protect_running_kernel max_parallel_downloads fastestmirror metadata_expire tsflags \
                multilib_policy optional_metadata_types sslcacert sslclientcert sslclientkey timeout minrate \
                retries throttle bandwidth ip_resolve user_agent countme zchunk module_platform_id \
                allow_vendor_change allow_downgrade exclude_from_weak";
    let repo = "baseurl enabled metalink mirrorlist name skip_if_unavailable gpgcheck gpgkey username password \
                priority metadata_expire timeout retries minrate throttle sslverify sslcacert sslclientcert \
                sslclientkey skip_md_filelists skip_md_updateinfo skip_md_other repo_gpgcheck cost type \
                module_hotfixes";
    for (scope, keys) in [(Scope::Main, main), (Scope::Repo, repo)] {
        for key in keys.split_whitespace() {
            assert!(!matches!(look_up(key, scope), Known::Unknown(_)), "{key}");
        }
    }
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("creates");
    fs::write(path, text).expect("writes");
}

#[test]
fn files_folders_and_variables_of_a_machine() {
    let dir = tempfile::tempdir().expect("tempdir");
    let root = dir.path();
    write(
        root,
        "etc/tdnf/tdnf.conf",
        "[main]\ncachedir=/var/cache/tdnf\ninstallonly_limit=5\nrepodir=/etc/r\n[in]\nbaseurl=/in\n",
    );
    write(root, "etc/dnf/dnf.conf", "[main]\nbest=False\n");
    write(root, "etc/tdnf/tdnf.conf.d/50-more.conf", "[main]\nvarsdir=/etc/v\n");
    write(root, "etc/tdnf/tdnf.conf.d/60-later.conf", "[main]\ninstallonly_limit=4\nexcludepkgs=$flavour\n");
    write(root, "etc/v/flavour", "mild\nignored\n");
    write(root, "etc/v/flavour~", "wild\n");
    write(root, "etc/r/b.repo", "[b]\nbaseurl=https://x.example.org/$flavour/$releasever\n");
    write(root, "etc/r/a.repo", "[a]\nbaseurl=/a\n[b]\npriority=7\n");
    write(root, "etc/r/b.repo.rpmnew", "not even the format");
    write(root, "etc/yum.repos.d/not.repo", "[not]\n");
    write(root, "etc/tdnf/protected.d/x.conf", "# of tdnf\nbash\n glibc # libc\n");
    write(root, "etc/tdnf/minversions.d/x.conf", "openssl=3\n");
    write(root, "etc/lapis/locks.d/x.conf", "vim\n");
    let places = Places {
        root: root.to_owned(),
        arch: "x86_64".to_owned(),
        detected_releasever: Some("9".to_owned()),
        options: vec!["best=1".to_owned(), "a.priority=3".to_owned()],
        ..Places::default()
    };
    let config = Config::load(&places).expect("loads");
    assert_eq!(config.main.cachedir, PathBuf::from("/var/cache/tdnf"));
    assert_eq!(config.main.installonly_limit, Some(4), "later drop-ins win");
    assert_eq!(config.main.exclude, ["mild"], "variables of a folder that [main] names");
    assert!(config.main.best, "only the first of the usual files counts, and options come last");
    let ids: Vec<_> = config.repositories.iter().map(|r| (r.id.as_str(), r.priority)).collect();
    assert_eq!(ids, [("in", 99), ("a", 3), ("b", 7)]);
    assert_eq!(config.repository("b").expect("b").base_urls, ["https://x.example.org/mild/9"]);
    for name in ["bash", "glibc", "lapis"] {
        assert!(config.main.protected_packages.contains(name), "{name}");
    }
    assert_eq!(
        (config.main.min_versions, config.main.locks),
        (vec!["openssl=3".to_owned()], vec!["vim".to_owned()])
    );
    let repeated = config.notices.iter().find(|n| matches!(n.kind, NoticeKind::Repeated { .. }));
    assert!(repeated.expect("said").to_string().contains("a.repo, line 3"));
    let given = Config::load(&Places { releasever: Some("8".to_owned()), ..places }).expect("loads");
    assert_eq!(given.variables.get("releasever"), Some("8"));
}

#[test]
fn a_machine_without_configuration_has_safe_defaults() {
    let dir = tempfile::tempdir().expect("tempdir");
    let places = Places { root: dir.path().to_owned(), arch: "x86_64".to_owned(), ..Places::default() };
    let mut config = Config::load(&places).expect("loads");
    assert_eq!(config.main, MainConfig::default());
    assert!(config.main.gpgcheck && config.main.repo_gpgcheck && config.main.transport.ssl_verify);
    config.add_from_path("local", "/srv/packages").expect("adds");
    assert!(config.enabled().expect_err("no key").to_string().contains("gpgkey"));
    config.set_option("local.gpgkey=/srv/key").expect("sets");
    assert_eq!(config.enabled().expect("usable")[0].gpg_keys, ["file:///srv/key"]);
}

#[test]
fn limits() {
    let file = Path::new("x");
    let big = vec![b'#'; ini::MAX_FILE + 1];
    assert!(ini::parse(file, &big).expect_err("too big").to_string().contains("bytes"));
    let many = "[a]\n".repeat(ini::MAX_SECTIONS + 1);
    assert!(ini::parse(file, many.as_bytes()).expect_err("too many").to_string().contains("sections"));
    let long = format!("[a]\nk=x\n{}", " 0123456789abcdef\n".repeat(ini::MAX_VALUE / 16));
    assert!(ini::parse(file, long.as_bytes()).expect_err("too long").to_string().contains("value"));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = ini::parse(Path::new("x"), &bytes);
    }

    #[test]
    fn no_text_of_the_dialect_panics(text in "(\\[[a-z./]{0,4}\\]\n|[a-z_]{1,9} ?[=:] ?[${}:+a-z0-9.%,-]{0,20}\n|[ \t#;=x]{0,5}\n){0,12}") {
        let mut config = config();
        let _ = config.add_main(Path::new("x"), text.as_bytes());
        let _ = config.add_repositories(Path::new("x"), text.as_bytes());
        prop_assert!(config.repositories.iter().all(|repository| RepoConfig::is_id(&repository.id)));
    }

    #[test]
    fn what_has_no_variable_stays(text in "[^$]{0,60}") {
        let variables = Variables::new("x86_64", Some("1"));
        prop_assert_eq!(variables.expand(&text), (text, Vec::new()));
    }

    #[test]
    fn entries_come_back(entries in proptest::collection::vec(("[a-z_]{1,8}", "[a-z0-9$/:=#;.-]{0,20}"), 0..8)) {
        let mut text = "[s]\n".to_owned();
        for (key, value) in &entries {
            text.push_str(&format!("{key} = {value}\n"));
        }
        let sections = ini::parse(Path::new("x"), text.as_bytes()).expect("reads");
        let found: Vec<_> = sections[0].entries.iter().map(|e| (e.key.clone(), e.value.clone())).collect();
        prop_assert_eq!(found, entries);
    }
}

/// Who builds a root names the repositories of the machine, whatever the root has by then.
#[test]
fn a_folder_that_the_command_line_names_is_not_below_the_root() {
    let dir = tempfile::tempdir().expect("a directory");
    let (root, repos) = (dir.path().join("root"), dir.path().join("repos"));
    write(&root, "etc/yum.repos.d/own.repo", "[own]\nbaseurl=https://example.org/own\n");
    write(&repos, "named.repo", "[named]\nbaseurl=https://example.org/named\n");
    let ids = |options: &[&str]| -> Vec<String> {
        let options = options.iter().map(|option| (*option).replace("REPOS", repos.to_str().expect("UTF-8")));
        let places = Places {
            root: root.clone(),
            arch: "x86_64".to_owned(),
            options: options.collect(),
            ..Places::default()
        };
        Config::load(&places).expect("loads").repositories.into_iter().map(|r| r.id).collect()
    };
    assert_eq!(ids(&[]), ["own"]);
    assert_eq!(ids(&["reposdir=REPOS"]), ["named"]);
    assert_eq!(ids(&["main.reposdir=REPOS"]), ["named"]);
}
