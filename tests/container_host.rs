//! The image `container-host`, booted in a real virtual machine: what can be written and executed, and a container that is
//! reached from outside.
//!
//! One boot answers all questions: the guest prints facts in sections, and each test looks at some of them. It uses the
//! store and keys of whoever runs it; with an empty store it builds the kernel first.

use lazuli_cri::testing;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// What the guest prints, one section after another. `@ARCHIVE@` is the image in base64.
const SCRIPT: &str = r#"
echo "== state"; systemctl is-system-running --wait
echo "== failed"; systemctl --failed --no-legend --plain
echo "== root"; findmnt -n -o FSTYPE,OPTIONS /; touch /usr/x 2>&1
echo "== etc"; findmnt -n -o FSTYPE /etc; echo changed > /etc/motd && cat /etc/motd
echo "== var"; findmnt -n -o FSTYPE,OPTIONS /var; df --output=size -BM /var | tail -n 1; ls -d /var/lib/chrony /var/log/journal
echo "== interpreters"
for name in perl python3 lua awk mawk gawk rpm lapis dnf tdnf gcc cc make ctr bash; do command -v $name; done
echo "== libbpf"; find /usr/lib -name 'libbpf.so*'
echo "== machine-id"; cat /etc/machine-id
echo "== mounts below the overlay"; grep " /etc/machine-id " /proc/self/mountinfo
echo "== settings"
echo kept > /etc/hostname; lazuli-settings keep /etc/hostname && lazuli-settings list
lazuli-settings keep /etc/passwd 2>&1

echo "== executed"
for dir in /var /var/tmp /tmp /run /dev/shm /root /etc; do
    mount -o remount,exec "$(findmnt -n -o TARGET --target $dir)" 2> /dev/null
    cp /usr/bin/true $dir/copy && chmod 755 $dir/copy
    $dir/copy 2> /dev/null && echo "$dir itself"
    /lib64/ld-linux-x86-64.so.2 $dir/copy 2> /dev/null && echo "$dir by the loader"
    printf '#!/bin/sh\nexit 0\n' > $dir/script && chmod 755 $dir/script
    $dir/script 2> /dev/null && echo "$dir script"
    unshare -m $dir/copy 2> /dev/null && echo "$dir in another mount namespace"
    cp /usr/lib/x86_64-linux-gnu/libm.so.6 $dir/copy.so
    LD_PRELOAD=$dir/copy.so /usr/bin/true 2>&1 | grep -q 'cannot be preloaded' || echo "$dir library"
done
echo "== hook"
cp /usr/bin/touch /dev/shm/hook
mkdir -p /run/bundle/rootfs && cd /run/bundle && runc spec
sed -i 's/"terminal": true/"terminal": false/; s|"linux": {|"hooks": {"createRuntime": [{"path": "/dev/shm/hook", "args": ["touch", "/run/hooked"]}]}, "linux": {|' config.json
grep -c createRuntime config.json
runc run hooked < /dev/null > /dev/null 2>&1
ls /run/hooked 2> /dev/null
cd /
echo "== interpreter"; sh /var/script && echo "the known gap"
echo "== module"
cp "$(find /usr/lib/modules -name dummy.ko)" /tmp/dummy.ko; insmod /tmp/dummy.ko 2>&1 || echo refused
modprobe dummy && echo "from the root"
echo "== guard"
rm -f /run/lazuli/exec-guard/guard_execute 2> /dev/null && echo removed
mv /run/lazuli/exec-guard/guard_map /run/lazuli/exec-guard/x 2> /dev/null && echo renamed
umount /run/lazuli/exec-guard 2> /dev/null && echo unmounted
umount -l /run/lazuli/exec-guard 2> /dev/null && echo detached
ls /run/lazuli/exec-guard | wc -l

echo "== images"; lazuli-cri images -o json
echo "== container"
cd /run
cat > pod.json << END
{"metadata": {"name": "web"}, "port_mappings": [{"container_port": 8080, "host_port": 80}]}
END
cat > container.json << END
{"metadata": {"name": "server"}, "image": {"image": "localhost/test/server:1"}}
END
base64 -d > server.tar << END
@ARCHIVE@
END
lazuli-cri import server.tar
id=$(lazuli-cri run container.json pod.json)
lazuli-cri ps -o json
echo "== logs"
for _ in $(seq 100); do
    lazuli-cri logs $id 2> /dev/null | grep -q served && break
    sleep 1
done
lazuli-cri logs $id
sleep 3
echo "== crictl"; crictl version; crictl pods -q | wc -l
echo "== stopped"
lazuli-cri stop --grace 0 $id && lazuli-cri rm $id && lazuli-cri rmp -f $(lazuli-cri pods -q) && lazuli-cri ps -a -q && ls /sys/fs/cgroup/containers.slice | grep -c cri-containerd
exit 7
"#;

struct Guest {
    status: Option<i32>,
    sections: BTreeMap<String, String>,
    /// What the published port answered.
    answer: Option<String>,
    /// What a port answered that the container listens on and nobody published.
    closed: Option<String>,
}

/// The container's image: one program.
fn archive() -> Vec<u8> {
    let work = tempfile::tempdir().expect("a temporary directory");
    let program = work.path().join("server");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/container_host/server.c");
    let options = "-Os -static -nostdlib -ffreestanding -fno-stack-protector -fcf-protection=none \
                   -fno-asynchronous-unwind-tables -fno-pie -no-pie -Wl,--build-id=none -Wl,-z,noexecstack,-z,norelro,-z,noseparate-code -s";
    let status =
        Command::new("cc").args(options.split_whitespace()).arg(source).arg("-o").arg(&program).status();
    assert!(status.expect("cc starts").success());
    let program = lazuli_fs::read(&program).expect("the program");
    testing::image("localhost/test/server:1", &[("server", &program)], &["/server"]).expect("memory")
}

fn base64(bytes: &[u8]) -> String {
    let mut child =
        Command::new("base64").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("base64 starts");
    child.stdin.take().expect("piped").write_all(bytes).expect("base64 reads");
    String::from_utf8(child.wait_with_output().expect("base64 ends").stdout).expect("text")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// One request; `None` if nobody answers in time.
fn ask(port: u16, patience: Duration) -> Option<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}

/// How long a port is waited for that nobody may answer on.
const BRIEF: Duration = Duration::from_secs(3);
/// How long the published one is. What was asked before the port was open is asked again by the network of QEMU, and
/// answered late: the guest must not take that for the end while this side has hung up.
const LONG: Duration = Duration::from_secs(60);

/// Boots once, whichever test comes first.
fn guest() -> &'static Guest {
    static GUEST: OnceLock<Guest> = OnceLock::new();
    GUEST.get_or_init(|| {
        let script = SCRIPT.replace("@ARCHIVE@", base64(&archive()).trim());
        let (published, unpublished) = (free_port(), free_port());
        let forward = [format!("{published}:80"), format!("{unpublished}:8080")];
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
        let child = Command::new(env!("CARGO_BIN_EXE_lazuli"))
            .args(["run", "container-host", "--timeout", "1500", "--memory", "2048", "--disk", "6"])
            .args(["--forward", &forward[0], "--forward", &forward[1], "--exec", &script])
            .current_dir(root)
            .stdout(Stdio::piped())
            .spawn()
            .expect("lazuli starts");
        let output = std::thread::spawn(move || child.wait_with_output().expect("lazuli ends"));
        let (mut answer, mut closed) = (None, None);
        let end = Instant::now() + Duration::from_secs(1500);
        while !output.is_finished() && answer.is_none() && Instant::now() < end {
            // Before the container serves, and after it, so that an answer here would not be luck.
            closed = closed.or_else(|| ask(unpublished, BRIEF));
            answer = ask(published, LONG);
            closed = closed.or_else(|| ask(unpublished, BRIEF));
            std::thread::sleep(Duration::from_millis(500));
        }
        let output = output.join().expect("no panic");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        eprintln!("{text}");
        let sections = text
            .split("== ")
            .filter_map(|part| part.split_once('\n'))
            .map(|(name, body)| (name.to_owned(), body.trim().to_owned()))
            .collect();
        Guest { status: output.status.code(), sections, answer, closed }
    })
}

fn section(name: &str) -> &'static str {
    guest().sections.get(name).map_or_else(|| panic!("the guest did not print `{name}`"), String::as_str)
}

#[test]
fn the_system_runs_without_a_failed_unit() {
    assert_eq!(section("state"), "running");
    assert_eq!(section("failed"), "");
    assert_eq!(guest().status, Some(7));
}

#[test]
fn the_root_is_read_only_and_the_rest_is_where_it_belongs() {
    let root = section("root");
    assert!(root.contains("ro,"), "{root}");
    assert!(root.contains("Read-only file system"), "{root}");
    assert_eq!(section("etc"), "overlay\nchanged");
    let var = section("var");
    assert!(var.starts_with("ext4") && var.contains("noexec"), "{var}");
    assert!(var.contains("/var/lib/chrony") && var.contains("/var/log/journal"), "{var}");
}

#[test]
fn the_state_partition_grew_to_the_disk() {
    let size =
        section("var").lines().nth(1).and_then(|line| line.trim().strip_suffix('M')?.parse::<u64>().ok());
    assert!(size.is_some_and(|size| size > 1024), "{}", section("var"));
}

#[test]
fn nothing_is_on_board_that_could_interpret_compile_or_install() {
    assert_eq!(section("interpreters"), "");
}

#[test]
fn systemd_finds_no_libbpf_to_load_programs_with_at_each_boot() {
    assert_eq!(section("libbpf"), "");
}

#[test]
fn settings_are_kept_and_accounts_are_not_settings() {
    let settings = section("settings");
    assert!(settings.starts_with("/etc/hostname"), "{settings}");
    assert!(settings.contains("/etc/passwd: cannot be a setting"), "{settings}");
    assert_eq!(section("machine-id").len(), 32);
    assert_eq!(section("mounts below the overlay"), "", "nobody could unmount it when the machine stops");
}

#[test]
fn nothing_outside_the_root_is_executed_even_where_mount_options_allow_it() {
    assert_eq!(section("executed"), "");
    // What the guard cannot see: a file that an interpreter of the root reads.
    assert_eq!(section("interpreter"), "the known gap");
}

#[test]
fn modules_come_from_the_root_only() {
    assert!(section("module").ends_with("refused\nfrom the root"), "{}", section("module"));
}

/// runc may execute a copy of itself, for containerd; whoever starts it by hand must not have it execute something else.
#[test]
fn runc_started_by_hand_executes_nothing_of_others() {
    assert_eq!(section("hook"), "1");
}

#[test]
fn the_guard_cannot_be_taken_off() {
    assert_eq!(section("guard"), "9");
}

#[test]
fn the_image_of_pods_is_on_board_and_pinned() {
    let images = section("images");
    assert!(images.contains("localhost/lazuli/pause:1") && images.contains(r#""pinned": true"#), "{images}");
}

#[test]
fn a_container_is_reached_by_its_published_port_and_by_no_other() {
    let container = section("container");
    assert!(container.contains("Imported localhost/test/server:1@sha256:"), "{container}");
    assert!(container.contains(r#""state": "CONTAINER_RUNNING""#), "{container}");
    let answer = guest().answer.as_deref().expect("the published port answers");
    assert!(answer.ends_with("\r\n\r\ncontained\n"), "{answer}");
    assert!(section("logs").starts_with("listening\nserved"), "{}", section("logs"));
    assert_eq!(guest().closed, None);
}

#[test]
fn the_other_name_answers_and_everything_can_be_removed() {
    assert!(section("crictl").contains("RuntimeName:  containerd") && section("crictl").ends_with('1'));
    assert!(section("stopped").ends_with('0'), "{}", section("stopped"));
}
