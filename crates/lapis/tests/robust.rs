//! What goes wrong in the field: networks, other programs, power cuts, hostile files, typing errors.

mod support;

use lazuli_fs as fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::{World, package};

/// Serves a directory on loopback; ends with the test.
fn serve(directory: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), directory) = (stream, directory.clone()) else { return };
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().expect("a stream")).lines();
                let first = lines.next().and_then(Result::ok).unwrap_or_default();
                for line in lines.by_ref() {
                    if line.is_ok_and(|l| l.is_empty()) {
                        break;
                    }
                }
                let path = first.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
                let answer = match fs::read(directory.join(path)) {
                    Ok(body) => {
                        let head = format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                            body.len()
                        );
                        [head.into_bytes(), body].concat()
                    }
                    Err(_) => {
                        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()
                    }
                };
                drop(stream.write_all(&answer));
            });
        }
    });
    url
}

#[test]
fn a_repository_over_http() {
    let world = World::new();
    world.publish("base", vec![package("app", "1").requires("lib"), package("lib", "1")], Vec::new());
    let url = serve(world.path().join("repos"));
    let repo = format!("[web]\nname=web\nbaseurl={url}/base\ngpgkey=file:///etc/pki/key\n");
    fs::write(world.root().join("etc/yum.repos.d/web.repo"), repo).expect("a file");
    world.yes(&["install", "app"]).ok();
    assert_eq!(world.installed(), "app-1-1.noarch lib-1-1.noarch");
    let cached = world.run(&["-C", "repoquery"]).ok();
    assert_eq!(cached.out.lines().count(), 2);
    // A package straight from an address has only its signature to vouch for it.
    let folder = world.path().join("repos");
    fs::write(folder.join("good-1-1.noarch.rpm"), world.rpm(package("good", "1"), true)).expect("a file");
    fs::write(folder.join("bad-1-1.noarch.rpm"), world.rpm(package("bad", "1"), false)).expect("a file");
    world.yes(&["install", &format!("{url}/good-1-1.noarch.rpm")]).ok();
    assert!(world.installed().contains("good-1-1"));
    let refused = world.yes(&["install", &format!("{url}/bad-1-1.noarch.rpm")]).fails();
    assert!(refused.err.contains("not signed"), "{}", refused.err);
    let gone = world.yes(&["install", &format!("{url}/gone-1-1.noarch.rpm")]).fails();
    assert!(gone.err.contains("cannot fetch"), "{}", gone.err);
}

#[test]
fn a_mirror_that_is_gone() {
    let world = World::with(vec![package("app", "1")]);
    let repo = |skip: u8| {
        format!(
            "[dead]\nname=dead\nbaseurl=http://127.0.0.1:1/x\ngpgkey=file:///etc/pki/key\nretries=1\n\
             skip_if_unavailable={skip}\n"
        )
    };
    let file = world.root().join("etc/yum.repos.d/dead.repo");
    fs::write(&file, repo(0)).expect("a file");
    let refused = world.yes(&["install", "app"]).fails();
    assert!(refused.err.contains("repository dead"), "{}", refused.err);
    fs::write(&file, repo(1)).expect("a file");
    let run = world.yes(&["install", "app"]).ok();
    assert!(run.err.contains("left out: repository dead"), "{}", run.err);
}

/// A package file in the pool of a repository.
fn pool_file(world: &World, name: &str) -> PathBuf {
    fn find(folder: &Path, name: &str) -> Option<PathBuf> {
        fs::read_dir(folder).expect("a folder").into_iter().find_map(|path| {
            if path.is_dir() {
                find(&path, name)
            } else {
                (path.file_name()?.to_str()? == name).then_some(path)
            }
        })
    }
    find(&world.repository("base").join("pool"), name).expect("a package")
}

#[test]
fn what_was_altered_is_refused_and_nothing_changes() {
    let world = World::with(vec![package("app", "1"), package("lib", "1")]);
    let app = pool_file(&world, "app-1-1.noarch.rpm");
    // Another package under its name, well signed.
    let other = fs::read(pool_file(&world, "lib-1-1.noarch.rpm")).expect("a file");
    let mine = fs::read(&app).expect("a file");
    fs::set_mode(&app, 0o644).expect("a mode");
    fs::write(&app, other).expect("a file");
    let refused = world.yes(&["install", "app"]).fails();
    assert!(refused.err.contains("app-1-1.noarch"), "{}", refused.err);
    // One byte of its payload.
    let mut bytes = mine.clone();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    fs::write(&app, bytes).expect("a file");
    world.yes(&["install", "app"]).fails();
    fs::write(&app, mine).expect("a file");
    // One byte of the metadata.
    let repomd = world.repository("base").join("repodata/repomd.xml");
    let text = fs::read_to_string(&repomd).expect("a file");
    fs::write(&repomd, text.replacen("<revision>1", "<revision>2", 1)).expect("a file");
    let refused = world.yes(&["install", "app"]).fails();
    assert!(refused.err.contains("repository base"), "{}", refused.err);
    assert_eq!(world.installed(), "");
    assert!(!world.root().join("usr/share").exists());
    fs::write(&repomd, text).expect("a file");
    world.yes(&["install", "app"]).ok();
}

#[test]
fn old_metadata_is_not_taken_for_new() {
    let world = World::with(vec![package("app", "1")]);
    let old = world.path().join("old");
    assert!(
        Command::new("cp").arg("-a").arg(world.repository("base")).arg(&old).status().expect("cp").success()
    );
    world.publish("base", vec![package("app", "2")], Vec::new());
    world.run(&["makecache"]).ok();
    fs::remove_dir_all(world.repository("base")).expect("gone");
    fs::rename(&old, world.repository("base")).expect("a move");
    let refused = world.run(&["makecache"]).fails();
    assert!(refused.err.contains("replays an old state"), "{}", refused.err);
    // Deleting the cache does not make it forget.
    world.run(&["clean", "all"]).ok();
    world.run(&["makecache"]).fails();
}

#[test]
fn a_killed_transaction_is_finished_or_has_not_begun() {
    let world = World::new();
    let many = || vec![package("big", "1").files(&world.store, 1500), package("small", "1")];
    world.publish("base", many(), Vec::new());
    world.add_repo("base");
    let mut seen = [0, 0];
    for round in 0..12_u64 {
        let mut child = world.start(&["-y", "install", "big", "small"]);
        if round % 2 == 0 {
            // Somewhere while packages are unpacked.
            let journals = world.root().join("var/lib/lapis/txn");
            let begun = || fs::read_dir(&journals).is_ok_and(|entries| !entries.is_empty());
            for _ in 0..2000 {
                if begun() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            std::thread::sleep(Duration::from_millis(round * 10));
        } else {
            // Somewhere while files get their names: the first package was announced.
            let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
            let announced = lines.by_ref().map_while(Result::ok).any(|line| line.contains("Installing"));
            assert!(announced);
            std::thread::sleep(Duration::from_millis(round * 4));
        }
        drop(child.kill());
        drop(child.wait());
        // Whatever the moment, also with a configuration that cannot be read.
        let config = world.root().join("etc/lapis");
        fs::create_dir_all(&config).expect("a folder");
        fs::write(config.join("lapis.conf"), "nonsense").expect("a file");
        world.run(&["recover"]).ok();
        fs::remove_file(config.join("lapis.conf")).expect("gone");
        let installed = world.installed();
        let whole = installed == "big-1-1.noarch small-1-1.noarch";
        assert!(whole || installed.is_empty(), "{installed}");
        assert_eq!(world.file("big").is_some(), whole);
        assert_eq!(world.root().join("usr/share/big/1499").exists(), whole);
        seen[usize::from(whole)] += 1;
        let history = world.run(&["-j", "history"]).ok().json();
        let states: Vec<&str> =
            history.as_array().expect("a list").iter().filter_map(|t| t["State"].as_str()).collect();
        assert!(!states.contains(&"running"), "{states:?}");
        let mut left = Vec::new();
        strays(&world.root(), &mut left);
        assert!(left.is_empty(), "{left:?}");
        if whole {
            world.yes(&["remove", "big", "small"]).ok();
        }
    }
    println!("{} times nothing had happened, {} times all", seen[0], seen[1]);
    assert!(seen[1] >= 6, "what was announced was committed");
}

/// Staging directories.
fn strays(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).expect("a folder") {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if name.starts_with(".lapis") {
            found.push(path);
        } else if path.is_dir() && !path.is_symlink() {
            strays(&path, found);
        }
    }
}

#[test]
fn what_rpm_does_is_noticed() {
    let world = World::with(vec![package("app", "1")]);
    if Command::new("rpm").arg("--version").output().is_err() {
        println!("skipped: there is no rpm here");
        return;
    }
    world.yes(&["install", "app"]).ok();
    let file = world.path().join("own-1-1.noarch.rpm");
    fs::write(&file, world.rpm(package("own", "1"), true)).expect("a file");
    let status = Command::new("rpm")
        .arg("--root")
        .arg(world.root())
        .args(["--define", "_dbpath /usr/lib/sysimage/rpm", "-i", "--nosignature"])
        .arg(&file)
        .status()
        .expect("rpm");
    if !status.success() {
        println!("skipped: rpm cannot install here");
        return;
    }
    assert_eq!(world.installed(), "app-1-1.noarch own-1-1.noarch");
    world.run(&["history", "init"]).ok();
    let json = world.run(&["-j", "history"]).ok().json();
    assert_eq!(json[0]["Kind"], "rpm");
    assert_eq!(json[0]["Packages"][0]["Nevra"], "own-1-1.noarch");
    let extras = world.run(&["list", "--extras"]).ok();
    assert!(extras.out.contains("own.noarch"), "{}", extras.out);
    // rpm sees what we installed, and finds nothing wrong with it.
    let verify = Command::new("rpm")
        .arg("--root")
        .arg(world.root())
        .args(["--define", "_dbpath /usr/lib/sysimage/rpm", "-V", "--nosignature", "app"])
        .output()
        .expect("rpm");
    assert!(verify.status.success(), "{}", String::from_utf8_lossy(&verify.stdout));
}

#[test]
fn kernels_are_kept_side_by_side() {
    let world = World::with(vec![package("kernel", "1")]);
    for version in ["1", "2", "3", "4", "5"] {
        world.publish("base", vec![package("kernel", version)], Vec::new());
        world.yes(&["--setopt=installonly_limit=3", "upgrade", "kernel"]);
        world.yes(&["--setopt=installonly_limit=3", "install", "kernel"]).ok();
    }
    assert_eq!(world.installed(), "kernel-3-1.noarch kernel-4-1.noarch kernel-5-1.noarch");
    world.yes(&["remove", "--oldinstallonly"]).ok();
    assert_eq!(world.installed(), "kernel-5-1.noarch");
}

#[test]
fn configuration_is_read_and_changed() {
    let world = World::with(vec![package("app", "1")]);
    let conf = world.root().join("etc/dnf/dnf.conf");
    fs::create_dir_all(conf.parent().expect("a folder")).expect("a folder");
    fs::write(&conf, "[main]\nbset=1\nexcludepkgs=app\n").expect("a file");
    let run = world.run(&["repoquery"]).ok();
    assert!(run.err.contains("dnf.conf, line 2") && run.err.contains("did you mean `best`"), "{}", run.err);
    assert_eq!(run.out, "");
    assert_eq!(world.run(&["--disableexcludes=all", "repoquery"]).ok().out, "app-1-1.noarch\n");
    fs::remove_file(&conf).expect("gone");
    world.run(&["config-manager", "--set-disabled", "base"]).ok();
    let none = world.run(&["list", "available"]);
    assert_eq!(none.out, "");
    let file = fs::read_to_string(world.root().join("etc/yum.repos.d/base.repo")).expect("a file");
    assert!(file.contains("enabled=0") && file.contains("name=Packages of base"), "{file}");
    world.run(&["config-manager", "setopt", "base.enabled=1"]).ok();
    assert_eq!(world.run(&["repoquery"]).ok().out, "app-1-1.noarch\n");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let world = World::with((0..300).map(|n| package(&format!("p{n}"), "1")).collect());
    world.run(&["makecache"]).ok();
    let mut child =
        world.start(&["repoquery", "--qf", "%{name} %{description} %{description} %{description}\n"]);
    let mut first = String::new();
    let out = child.stdout.take().expect("a pipe");
    BufReader::new(out).read_line(&mut first).expect("a line");
    assert!(first.starts_with('p'), "{first}");
    let status = child.wait().expect("an end");
    assert!(matches!(status.code(), Some(0 | 141)), "{status}");
}

#[test]
fn autoremove_and_clean() {
    let world = World::with(vec![package("app", "1")]);
    world.yes(&["--setopt=keepcache=1", "install", "app"]).ok();
    let store = world.root().join("var/cache/lapis/store");
    assert!(store.exists());
    let cleaned = world.run(&["-j", "clean", "packages"]).ok().json();
    assert_eq!(cleaned["Files"], 1, "the package");
    world.run(&["-C", "repoquery"]).ok();
    world.run(&["clean", "all"]).ok();
    assert_eq!(fs::read_dir(world.root().join("var/cache/lapis")).expect("a folder").len(), 0);
    world.yes(&["install", "app"]).ok();
}
