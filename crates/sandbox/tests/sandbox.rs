//! What a command sees inside, what it cannot do, and how it ends. The root is an empty directory with
//! the host's /usr bound into it, so that nothing but a shell is expected of the host.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use lazuli_sandbox::overlay::{Change, changes};
use lazuli_sandbox::{Access, Error, Network, Output, Sandbox, Stdin};
use lazuli_tree::TreePath;
use tempfile::TempDir;

/// A tool root: programs come from the host's /usr (and /bin, /lib where those are not links to it).
fn sandbox(root: &TempDir) -> Sandbox {
    let mut sandbox = Sandbox::new(root.path()).bind("/usr", "/usr", Access::ReadOnly);
    for name in ["bin", "sbin", "lib", "lib64"] {
        let host = Path::new("/").join(name);
        match std::fs::read_link(&host) {
            Ok(target) => {
                let link = root.path().join(name);
                if lazuli_fs::symlink_metadata(&link).is_err() {
                    lazuli_fs::symlink(target, link).expect("link");
                }
            }
            Err(_) if host.is_dir() => sandbox = sandbox.bind(&host, &format!("/{name}"), Access::ReadOnly),
            Err(_) => {}
        }
    }
    sandbox
}

fn root() -> TempDir {
    tempfile::tempdir().expect("tempdir")
}

/// The output of a shell script.
fn shell(sandbox: &Sandbox, script: &str) -> String {
    let output = sandbox.command("sh").args(["-c", script]).run(|_| ()).expect("runs");
    String::from_utf8(output).expect("UTF-8").trim_end().to_owned()
}

#[test]
fn the_surroundings_are_fixed() {
    let dir = root();
    let sandbox = sandbox(&dir).source_date_epoch(1_700_000_000).env("EXTRA", "a b");
    assert_eq!(shell(&sandbox, "id -u; id -g; id -un; uname -n; umask; pwd"), "0\n0\nroot\nlazuli\n0022\n/");
    let mut env: Vec<_> = shell(&sandbox, "env").lines().map(str::to_owned).collect();
    // The shell's own.
    env.retain(|line| !["_=", "PWD=", "SHLVL=", "OLDPWD="].iter().any(|own| line.starts_with(own)));
    env.sort();
    assert_eq!(
        env,
        [
            "EXTRA=a b",
            "HOME=/root",
            "LANG=C.UTF-8",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "SOURCE_DATE_EPOCH=1700000000",
            "TZ=UTC",
            "USER=root"
        ]
    );
}

#[test]
fn the_root_is_read_only_and_unchanged_and_scratch_places_are_writable() {
    let dir = root();
    lazuli_fs::create_dir_all(dir.path().join("etc/deep")).expect("mkdir");
    lazuli_fs::write(dir.path().join("etc/kept"), "kept").expect("write");
    let work = root();
    let sandbox = sandbox(&dir)
        .bind(work.path(), "/build", Access::ReadWrite)
        .bind(work.path(), "/etc/deep/not/there", Access::ReadOnly)
        .file("/etc/kept", "hidden");
    let script = "for f in /x /etc/x /usr/x /etc/deep/x /etc/deep/not/there/x; do (: > $f) 2>/dev/null && echo wrote $f; done
        for f in /tmp/x /run/x /dev/shm/x /root/x /build/x; do : > $f || echo cannot write $f; done
        cat /etc/kept; ls /etc/deep/not/there; grep -c root /etc/passwd";
    assert_eq!(shell(&sandbox, script), "hiddenx\n1");
    assert!(work.path().join("x").exists());
    assert_eq!(lazuli_fs::read(dir.path().join("etc/kept")).expect("read"), b"kept");
    let left: Vec<_> = lazuli_fs::read_dir(dir.path().join("etc"))
        .expect("list")
        .into_iter()
        .map(|p| p.ends_with("deep") || p.ends_with("kept"))
        .collect();
    assert_eq!(left, [true, true], "the root got no mount points");
    assert!(lazuli_fs::read_dir(dir.path().join("etc/deep")).expect("list").is_empty());
}

#[test]
fn links_that_package_scripts_would_have_made_are_there() {
    let host = Path::new("/bin");
    if !host.is_symlink() {
        eprintln!("this host's /usr is not merged; nothing to try");
        return;
    }
    for overlay in [false, true] {
        let dir = root();
        for name in ["bin", "sbin", "lib", "lib64"] {
            if Path::new("/usr").join(name).exists() {
                lazuli_fs::create_dir_all(dir.path().join("usr").join(name)).expect("mkdir");
            }
        }
        let upper = root();
        let mut sandbox = Sandbox::new(dir.path()).bind("/usr", "/usr", Access::ReadOnly);
        if overlay {
            sandbox = sandbox.overlay(upper.path().join("upper"));
        }
        assert_eq!(shell(&sandbox, "readlink /bin; /bin/echo ok"), "usr/bin\nok");
    }
}

#[test]
fn there_is_a_loopback_interface_and_nothing_else() {
    let dir = root();
    let list = "cut -d: -f1 -s /proc/net/dev | tr -d ' '";
    assert_eq!(shell(&sandbox(&dir), list), "lo");
    // Addresses appear in the routing trie only once the interface is up.
    assert!(shell(&sandbox(&dir), "cat /proc/net/fib_trie").contains("127.0.0.1"));
    let host = lazuli_fs::read_to_string("/proc/net/dev").expect("read").lines().count();
    assert_eq!(shell(&sandbox(&dir).network(Network::Host), "grep -c '' /proc/net/dev"), host.to_string());
}

#[test]
fn only_the_processes_inside_are_seen() {
    let dir = root();
    assert_eq!(shell(&sandbox(&dir), "echo /proc/[0-9]*; echo $$"), "/proc/1 /proc/2\n2");
}

#[test]
fn the_devices_work() {
    let dir = root();
    let script = "echo x > /dev/null; head -c 3 /dev/zero | wc -c; head -c 2 /dev/urandom | wc -c; ls -d /dev/fd/1 /dev/ptmx /dev/pts/ptmx; echo via-link > /dev/stdout";
    assert_eq!(shell(&sandbox(&dir), script), "3\n2\n/dev/fd/1\n/dev/ptmx\n/dev/pts/ptmx\nvia-link");
}

#[test]
fn exit_statuses_and_signals_come_through() {
    let dir = root();
    let status = |script: &str| {
        sandbox(&dir).command("sh").args(["-c", script]).spawn().expect("starts").wait().expect("ends")
    };
    assert_eq!(status("exit 0").code(), Some(0));
    assert_eq!(status("exit 217").code(), Some(217));
    assert_eq!(status("kill -TERM $$").signal(), Some(15));
    assert_eq!(status("kill -ABRT $$").signal(), Some(6));
    // Ignored by Rust programs, but not by what they start.
    assert_eq!(status("kill -PIPE $$").signal(), Some(13));
}

#[test]
fn a_failure_shows_command_status_and_the_tail_of_standard_error() {
    let dir = root();
    let mut lines = Vec::new();
    let error = sandbox(&dir)
        .command("sh")
        .args(["-c", "echo one >&2; echo two >&2; exit 3"])
        .run(|line| lines.push(line.to_owned()))
        .expect_err("must fail")
        .to_string();
    assert_eq!(lines, ["one", "two"]);
    assert!(error.contains("exit status: 3") && error.contains("one\n    two"), "{error}");
}

#[test]
fn a_missing_program_directory_or_root_is_named() {
    let dir = root();
    let error = sandbox(&dir).command("no-such-program").spawn().expect_err("must fail");
    assert!(matches!(&error, Error::NoProgram { program } if program == "no-such-program"), "{error}");
    let error = sandbox(&dir).workdir("/nowhere").command("sh").spawn().expect_err("must fail").to_string();
    assert!(error.starts_with("cannot enter the directory /nowhere: No such file"), "{error}");
    let error = Sandbox::new("/no/such/root").command("sh").spawn().expect_err("must fail").to_string();
    assert!(error.contains("/no/such/root"), "{error}");
    let lacking = sandbox(&dir).bind(dir.path(), "/usr/no-such-dir-here", Access::ReadOnly);
    let error = lacking.command("sh").spawn().expect_err("must fail").to_string();
    assert!(error.contains("/usr/no-such-dir-here") && error.contains("read-only"), "{error}");
    for bad in ["/a/../b", "/", "relative/../x"] {
        let error = sandbox(&dir).bind(dir.path(), bad, Access::ReadOnly).command("sh").spawn();
        assert!(matches!(error, Err(Error::Invalid { .. })), "{bad}");
    }
}

#[test]
fn standard_input_comes_from_where_it_is_told() {
    let dir = root();
    let cat = |stdin| sandbox(&dir).command("cat").stdin(stdin).run(|_| ()).expect("runs");
    assert_eq!(cat(Stdin::Null), b"");
    let long = vec![b'x'; 300_000];
    assert_eq!(cat(Stdin::Bytes(long.clone())), long);
    let path = dir.path().join("input");
    lazuli_fs::write(&path, "from a file").expect("write");
    assert_eq!(cat(Stdin::File(lazuli_fs::open(&path).expect("open"))), b"from a file");
    // A command that does not read must not hang or fail.
    assert_eq!(sandbox(&dir).command("true").stdin(Stdin::Bytes(long)).run(|_| ()).expect("runs"), b"");
}

#[test]
fn no_descriptor_of_ours_is_open_inside() {
    let dir = root();
    let leak = lazuli_fs::open("/dev/null").expect("open");
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).expect("clear close-on-exec");
    assert_eq!(
        shell(&sandbox(&dir), "ls /proc/self/fd | tr '\\n' ' '"),
        "0 1 2 3",
        "3 is the listing itself"
    );
}

#[test]
fn an_overlay_keeps_the_root_and_yields_the_changes() {
    let dir = root();
    lazuli_fs::create_dir_all(dir.path().join("etc/gone-dir")).expect("mkdir");
    lazuli_fs::create_dir_all(dir.path().join("etc/new")).expect("mkdir");
    for name in ["changed", "gone", "kept", "gone-dir/x", "new/old"] {
        lazuli_fs::write(dir.path().join("etc").join(name), "old").expect("write");
    }
    let changed = root();
    // A name with overlayfs' own separators.
    let upper = changed.path().join("up,p:er");
    let writable = sandbox(&dir).overlay(&upper);
    let script = "cd /etc; echo new > changed; rm gone; rm -r gone-dir; mkdir -p a/b; echo 1 > a/b/c; rm -r new; mkdir new; : > /tmp/x";
    shell(&writable, script);
    assert_eq!(shell(&writable, "cat /etc/changed /etc/kept; ls /etc/new"), "new\nold", "changes last");
    assert_eq!(lazuli_fs::read(dir.path().join("etc/changed")).expect("read"), b"old");
    let path = |text: &str| TreePath::new(text).expect("path");
    assert_eq!(
        changes(&upper).expect("changes"),
        [
            Change::Write(path("etc")),
            Change::Write(path("etc/a")),
            Change::Write(path("etc/a/b")),
            Change::Write(path("etc/a/b/c")),
            Change::Write(path("etc/changed")),
            Change::Delete(path("etc/gone")),
            Change::Delete(path("etc/gone-dir")),
            Change::Opaque(path("etc/new")),
        ]
    );
    lazuli_sandbox::overlay::finish(&upper).expect("clean up");
    assert_eq!(lazuli_fs::read_dir(changed.path()).expect("list"), [upper]);
}

#[test]
fn the_end_of_the_command_ends_everything_inside() {
    let dir = root();
    let start = Instant::now();
    // A background process keeps standard output open: without the kill this would take a minute.
    assert_eq!(shell(&sandbox(&dir), "sleep 60 & echo started"), "started");
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_child_can_be_waited_for_and_killed() {
    let dir = root();
    let mut child = sandbox(&dir).command("sleep").arg("60").stdout(Output::Null).spawn().expect("starts");
    assert_eq!(child.wait_timeout(Duration::from_millis(50)).expect("wait"), None);
    child.kill();
    assert_eq!(child.wait().expect("ends").signal(), Some(9));
}

#[test]
fn everything_inside_dies_with_the_thread_that_started_it() {
    let dir = root();
    let sandbox = sandbox(&dir);
    let stdout = std::thread::spawn(move || {
        let mut child = sandbox.command("sleep").arg("60").spawn().expect("starts");
        let stdout = child.stdout.take();
        std::mem::forget(child);
        stdout
    });
    let mut stdout = stdout.join().expect("thread").expect("pipe");
    let start = Instant::now();
    std::io::Read::read_to_end(&mut stdout, &mut Vec::new()).expect("ends");
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn many_threads_can_start_commands_at_once() {
    let dir = root();
    let sandbox = sandbox(&dir);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let sandbox = &sandbox;
                scope.spawn(move || {
                    for _ in 0..5 {
                        // Allocating meanwhile, as another thread would.
                        let noise: Vec<String> = (0..1000).map(|i: i32| i.to_string()).collect();
                        assert_eq!(shell(sandbox, &format!("echo {n}")), n.to_string());
                        drop(noise);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no panic");
        }
    });
}

#[test]
fn set_user_id_programs_gain_nothing() {
    let dir = root();
    assert_eq!(shell(&sandbox(&dir), "grep NoNewPrivs /proc/self/status"), "NoNewPrivs:\t1");
}

#[test]
fn the_probe_finds_what_the_other_tests_rely_on() {
    let dir = root();
    let findings = lazuli_sandbox::probe::probe(dir.path());
    assert!(findings.len() >= 3, "{findings:?}");
    for finding in findings {
        assert_eq!(finding.verdict, lazuli_sandbox::probe::Verdict::Ok, "{finding:?}");
    }
}
