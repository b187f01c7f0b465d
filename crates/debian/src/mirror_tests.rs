use super::*;

/// What `discover` finds on a host with these files below `/etc/apt` (and elsewhere, by absolute path).
fn host(variable: Option<&str>, files: &[(&str, &str)]) -> Result<Mirror, Error> {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    lazuli_fs::create_dir_all(root.join("etc/apt/sources.list.d")).unwrap();
    for (path, text) in files {
        let path = root.join(path);
        lazuli_fs::create_dir_all(path.parent().unwrap()).unwrap();
        lazuli_fs::write(path, text).unwrap();
    }
    let read = |path: &Path| {
        let path = path.strip_prefix("/").map_or_else(
            |_| path.to_owned(),
            |p| if path.starts_with(root) { path.to_owned() } else { root.join(p) },
        );
        Ok(lazuli_fs::read_to_string(path).ok())
    };
    discover_with(variable, &root.join("config.toml"), &root.join("etc/apt"), &read)
}

fn urls(mirror: &Mirror) -> (String, String) {
    (mirror.url("debian", "dists/x"), mirror.url("debian-security", "/dists/y"))
}

fn both(base: &str) -> (String, String) {
    (format!("{base}/debian/dists/x"), format!("{base}/debian-security/dists/y"))
}

const LIST: (&str, &str) = ("etc/apt/sources.list", "deb http://apt.example.org/debian bookworm main\n");

#[test]
fn the_variable_goes_before_the_file_before_apt() {
    let config = ("config.toml", "mirror = \"https://config.example.org/pub/\"\n");
    let mirror = host(Some("http://env.example.org/"), &[config, LIST]).unwrap();
    assert_eq!((urls(&mirror), mirror.origin()), (both("http://env.example.org"), &Origin::Environment));
    let mirror = host(Some(" "), &[config, LIST]).unwrap();
    assert_eq!(urls(&mirror), both("https://config.example.org/pub"));
    assert!(matches!(mirror.origin(), Origin::Config(path) if path.ends_with("config.toml")));
    let mirror = host(None, &[LIST]).unwrap();
    assert_eq!(urls(&mirror), both("http://apt.example.org"));
    assert!(matches!(mirror.origin(), Origin::Apt(path) if path.ends_with("etc/apt/sources.list")));
}

#[test]
fn the_archive_itself_or_a_directory_are_fine_as_base() {
    for base in ["http://h.invalid/debian", "http://h.invalid/debian/", "http://h.invalid"] {
        assert_eq!(urls(&host(Some(base), &[]).unwrap()), both("http://h.invalid"));
    }
    assert_eq!(urls(&host(Some("/srv/mirror"), &[]).unwrap()), both("/srv/mirror"));
    assert_eq!(urls(&host(Some("file:///srv/mirror"), &[]).unwrap()), both("file:///srv/mirror"));
    for base in ["h.invalid", "ftp://h.invalid", "http://", "http://a b", "srv/mirror"] {
        let error = host(Some(base), &[LIST]).expect_err(base).to_string();
        assert!(error.starts_with("LAZULI_MIRROR: ") && error.contains(base), "{error}");
    }
}

#[test]
fn a_wrong_configuration_file_is_an_error_with_its_line() {
    let error = host(None, &[("config.toml", "\nmiror = \"x\"\n"), LIST]).expect_err("a typo").to_string();
    assert!(error.contains("config.toml") && error.contains("line 2") && error.contains("miror"), "{error}");
    host(None, &[("config.toml", "# nothing\n"), LIST]).unwrap();
}

#[test]
fn deb822_sources_with_comments_and_other_vendors() {
    let debian = "Types: deb\n# a comment\nURIs: http://d.example.org/debian\nSuites: bookworm bookworm-updates\n\
                  Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
                  Types: deb deb-src\nURIs: http://s.example.org/debian-security\nSuites: bookworm-security\n\
                  Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n";
    let other = "Types: deb\nURIs: https://vendor.example.org/debian\nSuites: bookworm\nComponents: main\n\
                 Signed-By: /usr/share/keyrings/vendor.gpg\n";
    let mirror = host(
        None,
        &[
            ("etc/apt/sources.list.d/a-vendor.sources", other),
            ("etc/apt/sources.list.d/debian.sources", debian),
        ],
    )
    .unwrap();
    assert_eq!(
        urls(&mirror),
        ("http://d.example.org/debian/dists/x".into(), "http://s.example.org/debian-security/dists/y".into())
    );
    let off = debian.replace("Types: deb\n", "Enabled: no\nTypes: deb\n");
    let mirror = host(None, &[("etc/apt/sources.list.d/debian.sources", &off)]).unwrap();
    assert_eq!(urls(&mirror), both("http://s.example.org"));
}

#[test]
fn one_line_sources_with_options() {
    let list = "# deb http://no.example.org/debian bookworm main\n\
                deb-src http://no.example.org/debian bookworm main\n\
                deb [signed-by=/k/vendor.gpg] https://v.example.org/stable/debian bookworm main\n\
                deb https://w.example.org/linux/debian bookworm stable\n\
                deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] https://d.example.org/x/debian/ trixie main contrib # yes\n";
    assert_eq!(
        urls(&host(None, &[("etc/apt/sources.list", list)]).unwrap()),
        both("https://d.example.org/x")
    );
}

#[test]
fn mirror_lists_of_cloud_images() {
    let source = "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: bookworm\nComponents: main\n\n\
                  Types: deb\nURIs: mirror+file:///etc/apt/mirrors/security.list\nSuites: bookworm-security\nComponents: main\n";
    let mirror = host(
        None,
        &[
            ("etc/apt/sources.list.d/debian.sources", source),
            (
                "etc/apt/mirrors/debian.list",
                "# best first\nhttps://c.example.org/debian\tpriority:1\nhttps://z.example.org/debian\n",
            ),
            ("etc/apt/mirrors/security.list", "https://c.example.org/debian-security\n"),
        ],
    )
    .unwrap();
    assert_eq!(urls(&mirror), both("https://c.example.org"));
}

#[test]
fn a_host_without_debian_is_told_what_to_set() {
    let ubuntu = "deb http://u.example.org/ubuntu noble main universe\n";
    let error = host(None, &[("etc/apt/sources.list", ubuntu)]).expect_err("Ubuntu only").to_string();
    assert!(error.contains("Set LAZULI_MIRROR") && error.contains("http://u.example.org/ubuntu"), "{error}");
    let error = host(None, &[]).expect_err("no APT at all").to_string();
    assert!(error.contains("Set LAZULI_MIRROR") && error.contains("config.toml"), "{error}");
    let odd = "deb https://d.example.org/remote trixie main\n";
    let error = host(None, &[("etc/apt/sources.list", odd)]).expect_err("no security").to_string();
    assert!(error.contains("set LAZULI_MIRROR") && error.contains("https://d.example.org/remote"), "{error}");
}

#[test]
fn the_configuration_file_is_the_users() {
    let config = |xdg: Option<&str>, home: Option<&str>| {
        config_path(|name| match name {
            "XDG_CONFIG_HOME" => xdg.map(PathBuf::from),
            _ => home.map(PathBuf::from),
        })
    };
    assert_eq!(config(Some("/x"), Some("/h")), Path::new("/x/lazuli/config.toml"));
    assert_eq!(config(Some("relative"), Some("/h")), Path::new("/h/.config/lazuli/config.toml"));
}
