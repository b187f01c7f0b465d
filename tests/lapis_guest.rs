//! `lapis` where it belongs: in the booted image `core`, with a repository on the host.
//!
//! A distribution of three small packages in two versions is built by the real rpmbuild, signed with the
//! key that the image trusts, published and served over HTTP. The guest installs, updates, removes and
//! undoes; a second one loses its power in the middle of an update, twice, and has to be whole each time.
//!
//! One guest runs at a time. Everything comes from the store of whoever runs the tests.

#[path = "support/server.rs"]
mod server;
#[path = "support/user.rs"]
mod user;

use lazuli_fs as fs;
use server::Server;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;
use user::{assert_fine, checkout, keys, lazuli, store};

/// Guests take a lot of memory and time: one after the other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
/// How long a guest may take in all, in seconds.
const LIMIT: &str = "1500";

/// A package with scriptlets that say what they were told, a configuration file and a dependency.
const HELLO: &str = r#"
Name: hello
Version: @VERSION@
Release: 1
Summary: Says hello
License: MIT
BuildArch: noarch
Requires: hello-data = %{version}
%description
Says hello.
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/etc
printf '#!/bin/sh\necho "hello %{version}"\n' >%{buildroot}/usr/bin/hello
chmod 755 %{buildroot}/usr/bin/hello
echo "greeting = %{version}" >%{buildroot}/etc/hello.conf
%pre
echo "%{version} pre $1" >>/var/log/hello.log
%post
echo "%{version} post $1" >>/var/log/hello.log
%preun
echo "%{version} preun $1" >>/var/log/hello.log
%postun
echo "%{version} postun $1" >>/var/log/hello.log
%files
/usr/bin/hello
%config(noreplace) /etc/hello.conf
"#;

/// Many files, so that there is a middle.
const DATA: &str = r#"
Name: hello-data
Version: @VERSION@
Release: 1
Summary: What hello has to say
License: MIT
BuildArch: noarch
Requires: hello-brake = %{version}
%description
A thousand files.
%install
mkdir -p %{buildroot}/usr/share/hello/only-%{version}
for n in $(seq 1000); do
    echo "%{version} $n" >%{buildroot}/usr/share/hello/$n
    echo "%{version} $n" >%{buildroot}/usr/share/hello/only-%{version}/$n
done
%files
/usr/share/hello
"#;

/// Comes before the other two, and stops in its scriptlet when there is somebody to tell: the moment to cut the
/// power.
const BRAKE: &str = r#"
Name: hello-brake
Version: @VERSION@
Release: 1
Summary: A scriptlet that takes its time
License: MIT
BuildArch: noarch
%description
Waits.
%install
mkdir -p %{buildroot}/usr/share/hello-brake
echo "%{version}" >%{buildroot}/usr/share/hello-brake/version
%@SLOT@
if [ -s /etc/hello-signal ] && [ "$1" = 2 ]; then
    curl -s "$(cat /etc/hello-signal)" && @AFTER@
fi
exit 0
%files
/usr/share/hello-brake
"#;

const SPECS: [(&str, &str); 3] = [("hello", HELLO), ("hello-data", DATA), ("hello-brake", BRAKE)];

/// Publishes the packages in a version; the directory to serve.
fn publish(scratch: &Path, version: &str, (slot, after): (&str, &str)) -> PathBuf {
    let dir = scratch.join(format!("distribution-{version}"));
    let write = |below: &str, content: &[u8]| {
        let path = dir.join(below);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, content).expect("a file");
    };
    let distro = checkout().join("distro");
    for below in ["lazuli.toml", "keys", "macros"] {
        copy(&distro.join(below), &dir.join("distro").join(below));
    }
    fs::copy(checkout().join("lazuli.lock"), dir.join("lazuli.lock")).expect("the lock");
    for (name, spec) in SPECS {
        let spec = spec.replace("@VERSION@", version).replace("@SLOT@", slot).replace("@AFTER@", after);
        write(&format!("distro/components/{name}/{name}.spec"), spec.as_bytes());
        let toml = format!(
            "kind = \"built\"\nspec = \"{name}.spec\"\npackages = [\"{name}\"]\nsource-date-epoch = 1735689600\n"
        );
        write(&format!("distro/components/{name}/component.toml"), toml.as_bytes());
    }
    let published = scratch.join("published");
    let output = Command::new(env!("CARGO_BIN_EXE_lazuli"))
        .args(["--locked", "repo", "publish", published.to_str().expect("UTF-8")])
        .current_dir(&dir)
        .env("LAZULI_STORE", store())
        .env("LAZULI_KEYS", keys())
        .output()
        .expect("lazuli starts");
    assert_fine(&output, "repo publish");
    // What is served must not change under a guest that is to see the old state.
    let served = scratch.join(format!("served-{version}"));
    copy(&published, &served);
    served
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("a directory");
        for entry in fs::read_dir(from).expect("a directory") {
            copy(&entry, &to.join(entry.file_name().expect("a name")));
        }
    } else {
        fs::create_dir_all(to.parent().expect("a parent")).expect("a directory");
        fs::copy(from, to).expect("a file");
    }
}

/// What a guest printed: sections, each begun by `== name`.
type Sections = BTreeMap<String, String>;

fn sections(text: &str) -> Sections {
    text.split("== ")
        .filter_map(|part| part.split_once('\n'))
        .map(|(name, body)| (name.to_owned(), body.trim().to_owned()))
        .collect()
}

/// Starts a guest that runs `script`.
fn start(server: &Server, disk: Option<&Path>, script: &str) -> Child {
    let url = server.guest_url("repository/");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lazuli"));
    command.args(["run", "core", "--timeout", LIMIT, "--repository", &url, "--exec", script]);
    if let Some(disk) = disk {
        command.arg("--persist").arg(disk).args(["--disk", "4"]);
    }
    command.current_dir(checkout()).stdout(Stdio::piped()).spawn().expect("lazuli starts")
}

/// Runs a guest to its end.
fn run(server: &Server, disk: Option<&Path>, script: &str) -> Sections {
    let output = start(server, disk, script).wait_with_output().expect("lazuli ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    eprintln!("{text}");
    assert_fine(&output, "the guest");
    sections(&text)
}

/// Runs a guest and kills its virtual machine `after` the signal; returns what it had printed.
fn cut(server: &Server, disk: &Path, script: &str, after: Duration) -> String {
    let mut child = start(server, Some(disk), script);
    let signal = server.signal(Duration::from_secs(900));
    if signal.is_some() {
        std::thread::sleep(after);
    }
    let killed = kill_machine(child.id());
    let mut text = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut text).expect("text");
    let status = child.wait().expect("lazuli ends");
    eprintln!("{text}");
    assert_eq!(signal.as_deref(), Some("brake"), "the scriptlet did not run");
    assert!(killed && !status.success(), "the machine was not running any more");
    text
}

/// `kill -9` of the QEMU among the descendants of a process of ours.
fn kill_machine(parent: u32) -> bool {
    let mut family = vec![parent.to_string()];
    let mut killed = false;
    for _ in 0..8 {
        for path in fs::read_dir("/proc").expect("processes") {
            let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Ok(stat) = fs::read_to_string(path.join("stat")) else { continue };
            // pid (name) state parent ...
            let Some((name, rest)) = stat.rsplit_once(") ") else { continue };
            let above = rest.split_whitespace().nth(1).unwrap_or_default().to_owned();
            if !family.contains(&above) || family.contains(&id) {
                continue;
            }
            if name.contains("qemu-system") {
                let status = Command::new("kill").args(["-9", &id]).status().expect("kill starts");
                killed |= status.success();
            }
            family.push(id);
        }
    }
    killed
}

const EVERYDAY: &str = r#"
set +e
echo "== version"; lapis --version; readlink /usr/bin/tdnf /usr/bin/dnf
echo "== repository"; lapis repolist 2>&1
echo "== idle"; systemctl show -P ConditionResult lapis-recover.service; systemctl is-enabled lapis-update.timer
echo "== install"; dnf -y install hello 2>&1; echo "status $?"
hello; rpm -q hello hello-data
echo "== nothing to do"; dnf -y install hello 2>&1; echo "status $?"
echo "== none yet"; dnf check-update 2>&1; echo "status $?"
echo changed >>/etc/hello.conf
curl -s "$SIGNAL/next"; sleep 2
echo "== check-update"; dnf --refresh check-update 2>&1; echo "status $?"
echo "== update"; tdnf -y update 2>&1; echo "status $?"
hello; rpm -q hello hello-data; ls /etc/hello.conf*; ls -d /usr/share/hello/only-*
echo "== scriptlets"; cat /var/log/hello.log
echo "== remove"; dnf -y remove hello 2>&1; echo "status $?"
rpm -q hello; ls /usr/bin/hello /usr/share/hello 2>&1
echo "== undo"; dnf -y history undo last 2>&1; echo "status $?"
hello; rpm -q hello hello-data
echo "== history"; dnf history list 2>&1
echo "== verify"; rpm -Va
echo "== check"; dnf check 2>&1; echo "status $?"
echo "== strays"; find / -xdev -name '.lapis-*'; ls -A /var/lib/lapis/txn 2>/dev/null
echo "== units"; systemd-analyze --man=no verify lapis-recover.service lapis-update.service lapis-update.timer 2>&1
echo "== failed"; systemctl --failed --no-legend --plain
echo "== end"
"#;

#[test]
fn packages_come_change_and_go_in_the_booted_guest() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    lazuli(&["tool-root", "build"]);
    let scratch = tempfile::tempdir_in(store().parent().expect("a parent")).expect("a directory");
    let first = publish(scratch.path(), "1", ("post", "true"));
    let second = publish(scratch.path(), "2", ("post", "true"));
    let server = Server::start(&first);
    let script = format!("SIGNAL={}\n{EVERYDAY}", server.guest_url("signal"));
    let got = std::thread::scope(|scope| {
        let server = &server;
        let guest = scope.spawn({
            let script = script.clone();
            let url = server.guest_url("repository/");
            move || run_with(&url, &script)
        });
        // The second version is published while the guest runs.
        assert_eq!(server.signal(Duration::from_secs(900)).as_deref(), Some("next"));
        server.switch(&second);
        guest.join().expect("the guest ends")
    });
    let get = |name: &str| got.get(name).map_or_else(|| panic!("no section `{name}`"), String::as_str);
    let has = |name: &str, words: &[&str]| {
        for word in words {
            assert!(get(name).contains(word), "{name}: no `{word}` in: {}", get(name));
        }
    };
    has("version", &["lapis", "lapis\nlapis"]);
    has("repository", &["lazuli"]);
    assert_eq!(get("idle"), "no\ndisabled");
    has("install", &["status 0", "hello 1", "hello-1-1.noarch", "hello-data-1-1.noarch"]);
    has("nothing to do", &["status 0"]);
    has("none yet", &["status 0"]);
    has("check-update", &["hello", "status 100"]);
    has("update", &["status 0", "hello 2", "hello-2-1.noarch", "hello-data-2-1.noarch"]);
    // Changed by the person: theirs stays, the package's lies beside it.
    has("update", &["/etc/hello.conf\n", "/etc/hello.conf.rpmnew", "/usr/share/hello/only-2"]);
    assert!(!get("update").contains("only-1"), "{}", get("update"));
    assert_eq!(get("scriptlets"), "1 pre 1\n1 post 1\n2 pre 2\n2 post 2\n1 preun 1\n1 postun 1");
    has("remove", &["status 0", "package hello is not installed", "No such file"]);
    has("undo", &["status 0", "hello 2", "hello-2-1.noarch"]);
    has("history", &["1", "2", "3", "4"]);
    verified(get("verify"), &["/etc/hello.conf"]);
    has("check", &["status 0"]);
    assert_eq!(get("strays"), "");
    assert_eq!(get("units"), "");
    assert_eq!(get("failed"), "");
}

/// A guest whose server changes meanwhile.
fn run_with(url: &str, script: &str) -> Sections {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lazuli"));
    command.args(["run", "core", "--timeout", LIMIT, "--repository", url, "--exec", script]);
    let output = command.current_dir(checkout()).output().expect("lazuli starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    eprintln!("{text}");
    assert_fine(&output, "the guest");
    sections(&text)
}

/// `rpm -Va` found nothing but directories that tmpfiles.d sets otherwise, and what was changed on purpose.
fn verified(text: &str, changed: &[&str]) {
    let directories = ["/var/lib/chrony", "/var/log/journal", "/etc/credstore", "/etc/credstore.encrypted"];
    // `lazuli run --repository` writes the first one; the second is the EFI partition once it is mounted.
    let known = directories.iter().chain(changed).chain(&["/etc/yum.repos.d/lazuli.repo", " /boot"]);
    for line in text.lines() {
        assert!(known.clone().any(|path| line.ends_with(path)), "{line}");
    }
}

/// Looks whether the system is whole, whatever the moment was.
const WHOLE: &str = r#"
echo "== recovery"; systemctl show -P ConditionResult -P Result lapis-recover.service; journalctl -b -u lapis-recover.service -o cat
echo "== versions"; rpm -q hello hello-data hello-brake --qf '%{name} %{version}\n'
echo "== twice"; rpm -qa --qf '%{name}.%{arch}\n' | grep -v gpg-pubkey | sort | uniq -d
echo "== verify"; rpm -Va
echo "== strays"; find / -xdev -name '.lapis-*'; ls -A /var/lib/lapis/txn; ls -d /usr/share/hello/only-*
echo "== check"; lapis check 2>&1; echo "status $?"
echo "== history"; lapis history list 2>&1
echo "== again"; lapis -y update 2>&1; echo "status $?"; hello; rpm -q hello hello-data hello-brake --qf '%{version}\n'
echo "== verify again"; rpm -Va
exit 0
"#;

fn is_whole(got: &Sections) {
    let get = |name: &str| got.get(name).map_or_else(|| panic!("no section `{name}`"), String::as_str);
    let versions: Vec<&str> = get("versions").lines().collect();
    let newest = versions.iter().filter(|l| l.ends_with(" 2")).count();
    assert!(versions.len() == 3 && (newest == 0 || newest == 3), "{versions:?}");
    assert_eq!(get("twice"), "");
    verified(get("verify"), &[]);
    let version = if newest == 3 { 2 } else { 1 };
    assert_eq!(get("strays"), format!("/usr/share/hello/only-{version}"));
    assert!(get("check").ends_with("status 0"), "{}", get("check"));
    assert!(get("again").contains("status 0\nhello 2\n2\n2\n2"), "{}", get("again"));
    verified(get("verify again"), &[]);
}

/// The first power cut comes at a moment that is known exactly: in a scriptlet, with one of three packages
/// in place. The second comes a moment after the scriptlet that runs before the first visible change, wherever
/// in the thousands of files that is.
#[test]
fn a_power_cut_in_the_middle_of_an_update_leaves_a_whole_system() {
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    lazuli(&["tool-root", "build"]);
    let cases = [
        (("post", "sleep 30"), Duration::ZERO, true),
        (("pretrans", "true"), Duration::from_millis(300), false),
    ];
    for (scriptlet, after, exact) in cases {
        let scratch = tempfile::tempdir_in(store().parent().expect("a parent")).expect("a directory");
        let first = publish(scratch.path(), "1", scriptlet);
        let second = publish(scratch.path(), "2", scriptlet);
        let server = Server::start(&first);
        let disk = scratch.path().join("disk.raw");
        let install = "lapis -y install hello && sync && echo '== done'; echo";
        assert!(run(&server, Some(&disk), install).contains_key("done"));
        server.switch(&second);
        let update = format!(
            "echo {} >/etc/hello-signal; lapis --refresh -y update; echo '== end'; sleep 30",
            server.guest_url("signal/brake")
        );
        let text = cut(&server, &disk, &update, after);
        assert!(!exact || !text.contains("== end"), "the update was over before the power was cut");
        let got = run(&server, Some(&disk), &format!("rm -f /etc/hello-signal\n{WHOLE}"));
        let recovery = &got["recovery"];
        assert!(!exact || recovery.contains("yes") && recovery.contains("success"), "{recovery}");
        is_whole(&got);
    }
}
