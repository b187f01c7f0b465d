//! `config-manager`: what it writes, what it refuses, and that no command stops working after it.

mod support;

use lazuli_fs as fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use support::{World, package};

fn world() -> World {
    World::with(vec![package("app", "1")])
}

fn repo(world: &World, id: &str) -> PathBuf {
    world.root().join(format!("etc/yum.repos.d/{id}.repo"))
}

fn file(world: &World, name: &str, text: &str) -> String {
    let path = world.path().join(name);
    fs::write(&path, text).expect("a file");
    path.to_str().expect("UTF-8").to_owned()
}

fn mode(path: &PathBuf) -> u32 {
    fs::symlink_metadata(path).expect("a file").permissions().mode() & 0o7777
}

/// Serves each path's response on this machine, and returns the address.
fn serve(responses: Vec<(&'static str, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let response = responses.iter().find(|(p, _)| *p == path).map(|(_, r)| r.as_str());
            let response = response.unwrap_or("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
            drop(stream.write_all(response.as_bytes()));
        }
    });
    address
}

fn found(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}

const GOOD: &str = "[new]\nname=New\nbaseurl=https://n.example\ngpgkey=https://n.example/key\n";

#[test]
fn a_file_from_the_network_does_not_lead_elsewhere() {
    let world = world();
    let elsewhere = serve(vec![("/evil.repo", found(GOOD))]);
    let moved = format!(
        "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: {elsewhere}/evil.repo\r\nContent-Length: 0\r\n\r\n"
    );
    let server = serve(vec![("/a.repo", moved), ("/new.repo", found(GOOD))]);
    let redirected = world.run(&["config-manager", "--add-repo", &format!("{server}/a.repo")]).fails();
    assert!(redirected.err.contains("redirect"), "{}", redirected.err);
    assert!(!repo(&world, "a").exists());
    let good = format!("{server}/new.repo");
    let offline = world.run(&["-C", "config-manager", "--add-repo", &good]).fails();
    assert!(offline.err.contains("cacheonly"), "{}", offline.err);
    world.run(&["config-manager", "--add-repo", &good]).ok();
    assert!(repo(&world, "new").exists());
}

#[test]
fn a_file_from_the_network_gives_up_no_protection() {
    let world = world();
    let text = GOOD.to_owned() + "lapis_trust=no-expiry no-package-signature\n";
    // What is said twice counts the second time.
    let twice = text.clone() + "[new]\nlapis_trust=no-expiry no-version\n";
    let server = serve(vec![("/new.repo", found(&text)), ("/twice.repo", found(&twice))]);
    let add = format!("--add-repo={server}/new.repo");
    let refused = world.run(&["config-manager", &add]).fails();
    assert!(refused.err.contains("lapis_trust=no-expiry no-package-signature"), "{}", refused.err);
    assert!(refused.err.contains("only as good as the metadata"), "{}", refused.err);
    world.run(&["config-manager", &add, "--set=lapis_trust=no-version"]).ok();
    let text = fs::read_to_string(repo(&world, "new")).expect("a file");
    assert!(text.contains("lapis_trust=no-version\n") && !text.contains("no-expiry"), "{text}");
    let all = "--set=lapis_trust=no-expiry no-package-signature";
    let added = world.run(&["config-manager", &add, all]).ok();
    assert!(added.out.contains("lapis_trust = no-package-signature: packages are only"), "{}", added.out);
    assert!(!added.out.contains("Packages signed by these keys"), "{}", added.out);
    fs::remove_file(repo(&world, "new")).expect("a file");
    let twice = format!("--add-repo={server}/twice.repo");
    world.run(&["config-manager", &twice]).fails();
    world.run(&["config-manager", &twice, "--set=lapis_trust=no-expiry"]).ok();
    let text = fs::read_to_string(repo(&world, "twice")).expect("a file");
    assert!(!text.contains("no-version"), "{text}");
}

#[test]
fn no_command_stops_working_after_an_addition() {
    let world = world();
    for (name, text, words) in [
        ("a", "[a]\nbaseurl=https://a.example\n", "no `gpgkey`"),
        ("b", "[b]\ngpgkey=file:///etc/pki/key\nenabled=1\n", "no address"),
        (
            "c",
            "[c]\nbaseurl=http://c.example\nlapis_trust=no-metadata-signature no-package-signature\n",
            "https",
        ),
    ] {
        let from = file(&world, &format!("{name}.repo"), text);
        let added = world.run(&["config-manager", "--add-repo", &from]).ok();
        assert!(added.err.contains("added disabled") && added.err.contains(words), "{}", added.err);
        assert!(fs::read_to_string(repo(&world, name)).expect("a file").contains("enabled=0"));
        world.run(&["repolist"]).ok();
        world.run(&["list", "app"]).ok();
    }
    world.run(&["config-manager", "addrepo", "--id=d", "--set=baseurl=https://d.example"]).ok();
    world.run(&["list", "app"]).ok();
    // Nor does it start with a repository that cannot be used.
    let refused = world.run(&["config-manager", "enable", "a"]).fails();
    assert!(refused.err.contains("gpgkey"), "{}", refused.err);
    world.run(&["config-manager", "setopt", "b.baseurl=https://b.example", "b.enabled=1"]).ok();
    assert!(fs::read_to_string(repo(&world, "b")).expect("a file").contains("enabled=1"));
}

#[test]
fn what_would_not_be_understood_is_not_written() {
    let world = world();
    let before = fs::read_to_string(repo(&world, "base")).expect("a file");
    for (option, words) in [
        ("base.priority=high", "priority"),
        ("base.gpgkey=http://x.example/key", "https"),
        ("base.gpgkey=", "gpgkey"),
        ("base.gpgcehck=1", "did you mean `gpgcheck`"),
        ("base.baseurl=$nothing", "$nothing"),
        ("base.cost=1\n[evil]", "one line"),
    ] {
        let refused = world.run(&["config-manager", "setopt", "base.cost=5", option]).fails();
        assert!(refused.err.contains(words), "{option}: {}", refused.err);
        assert_eq!(fs::read_to_string(repo(&world, "base")).expect("a file"), before, "{option}");
    }
    let add = ["config-manager", "addrepo", "--id=x", "--set=baseurl=https://x.example"];
    for set in ["--set=gpgcehck=1", "--set=priority=high", "--set=frobnicate"] {
        world.run(&[&add[..], &[set]].concat()).fails();
        assert!(!repo(&world, "x").exists(), "{set}");
    }
    world.run(&["list", "app"]).ok();
}

#[test]
fn a_new_file_does_not_change_what_is_there() {
    let world = world();
    let from =
        file(&world, "base2.repo", "[base]\nbaseurl=https://evil.example\ngpgkey=https://evil.example/k\n");
    let refused = world.run(&["config-manager", "--add-repo", &from]).fails();
    assert!(refused.err.contains("base is there already"), "{}", refused.err);
    assert!(!repo(&world, "base2").exists());
    let one = file(&world, "one.repo", GOOD);
    let two = file(&world, "two.repo", GOOD);
    let refused = world.run(&["config-manager", "--add-repo", &one, "--add-repo", &two]).fails();
    assert!(refused.err.contains("just added"), "{}", refused.err);
    // Its own file may be replaced.
    world.run(&["config-manager", "--add-repo", &one]).ok();
}

#[test]
fn files_stay_as_private_as_they_were_and_where_they_are() {
    let world = world();
    let real = world.root().join("etc/real.repo");
    fs::rename(repo(&world, "base"), &real).expect("a file");
    fs::symlink("../real.repo", repo(&world, "base")).expect("a link");
    fs::set_mode(&real, 0o600).expect("a mode");
    world.run(&["config-manager", "setopt", "base.cost=5"]).ok();
    assert!(fs::symlink_metadata(repo(&world, "base")).expect("a link").file_type().is_symlink());
    assert!(fs::read_to_string(&real).expect("a file").contains("cost=5\n"));
    assert_eq!(mode(&real), 0o600);
    let sets = ["--set=baseurl=https://p.example", "--set=username=me", "--set=password=secret"];
    world.run(&[&["config-manager", "addrepo", "--id=p"][..], &sets].concat()).ok();
    assert_eq!(mode(&repo(&world, "p")), 0o600);
    world.run(&["config-manager", "addrepo", "--id=q", "--set=baseurl=https://q.example"]).ok();
    assert_eq!(mode(&repo(&world, "q")), 0o644);
    world.run(&["config-manager", "setopt", "main.proxy_password=x"]).ok();
    assert_eq!(mode(&world.root().join("etc/lapis/lapis.conf")), 0o600);
    let outside = file(&world, "outside", "");
    fs::remove_file(repo(&world, "q")).expect("a file");
    fs::symlink(&outside, repo(&world, "new")).expect("a link");
    let from = file(&world, "new.repo", GOOD);
    let refused = world.run(&["config-manager", "--add-repo", &from]).fails();
    assert!(refused.err.contains("outside"), "{}", refused.err);
    assert_eq!(fs::read_to_string(&outside).expect("a file"), "");
}

#[test]
fn words_without_effect_are_errors() {
    let world = world();
    let from = file(&world, "new.repo", GOOD);
    for args in [
        &["unsetopt", "main.keepcache"][..],
        &["frobnicate"],
        &["enable"],
        &["disable"],
        &["setopt"],
        &["--set-enabled"],
        &["setopt", "base"],
        &["addrepo", "more", "--id=x"],
        &["enable", "base", "--set=cost=1"],
        &["enable", "base", "--id=x"],
        &["--save", "base"],
        &["--add-repo", &from, "--id=other"],
        &["--add-repo", &from, "--set-enabled", "base"],
    ] {
        let args = [&["config-manager"], args].concat();
        let run = world.run(&args).fails();
        assert!(run.err.starts_with("Error: "), "{args:?}: {}", run.err);
    }
    assert!(!repo(&world, "new").exists());
    world.run(&["config-manager", "addrepo", &format!("--from-repofile={from}"), "--set=cost=7"]).ok();
    assert!(fs::read_to_string(repo(&world, "new")).expect("a file").contains("cost=7\n"));
    assert_eq!(world.run(&["config-manager", "--dump", "new"]).ok().out.lines().count(), 1);
}
