//! The image `core`, built from the real archive and booted in a real virtual machine.
//!
//! One boot answers all questions: the guest prints facts in sections, and each test looks at one of
//! them. It uses the store and keys of whoever runs it; with an empty store it builds the kernel first.

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::sync::OnceLock;

/// What the guest prints, one section after another.
const SCRIPT: &str = r#"
echo "== state"; systemctl is-system-running --wait
echo "== failed"; systemctl --failed --no-legend --plain
echo "== firewall4"; iptables-save
echo "== firewall6"; ip6tables-save
echo "== root"; df --output=size -B1 / | tail -n 1
echo "== listening"; ss -Htuln
echo "== config"; zcat /proc/config.gz | sha256sum
echo "== packages"; rpm -qa | grep -v gpg-pubkey | wc -l
echo "== keys"; rpm -qa gpg-pubkey; rpm -q --qf '%{RSAHEADER:pgpsig}\n' bash
echo "== unknown signers"; rpm -qa --qf '%{SIGPGP:pgpsig}%{RSAHEADER:pgpsig}\n' | grep -c none
echo "== owner"; rpm -qf /usr/bin/bash
echo "== verify"; rpm -Va
echo "== module"
modprobe dummy && echo loaded; rmmod dummy
cp "$(find /usr/lib/modules -name dummy.ko)" /tmp/dummy.ko; truncate -s -100 /tmp/dummy.ko
insmod /tmp/dummy.ko 2>&1 || echo refused
echo "== machine-id"; cat /etc/machine-id
echo "== no firewall"
systemctl stop systemd-networkd.socket systemd-networkd lazuli-firewall; rm /run/lazuli/firewall-closed
mount --bind /bin/false /usr/libexec/lazuli/firewall
systemctl start lazuli-firewall systemd-networkd 2>&1 && echo up || echo down
systemctl is-active systemd-networkd
umount /usr/libexec/lazuli/firewall
systemctl start lazuli-firewall && systemctl start systemd-networkd && echo up again
echo "== jumps"; systemctl reload lazuli-firewall
for save in iptables-save ip6tables-save; do $save | grep -- '^-A [A-Z]* '; done
echo "== passwords"; cut -d: -f2 /etc/shadow | sort -u
exit 7
"#;

fn lazuli(args: &[&str]) -> Output {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    Command::new(env!("CARGO_BIN_EXE_lazuli")).args(args).current_dir(root).output().expect("lazuli starts")
}

struct Guest {
    status: Option<i32>,
    sections: BTreeMap<String, String>,
}

/// Boots once, whichever test comes first.
fn guest() -> &'static Guest {
    static GUEST: OnceLock<Guest> = OnceLock::new();
    GUEST.get_or_init(|| {
        let output = lazuli(&["run", "core", "--timeout", "900", "--disk", "6", "--exec", SCRIPT]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        eprintln!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
        let sections = text
            .split("== ")
            .filter_map(|part| part.split_once('\n'))
            .map(|(name, body)| (name.to_owned(), body.trim().to_owned()))
            .collect();
        Guest { status: output.status.code(), sections }
    })
}

fn section(name: &str) -> &'static str {
    guest().sections.get(name).map_or_else(|| panic!("the guest did not print `{name}`"), String::as_str)
}

#[test]
fn the_system_runs_without_a_failed_unit_and_the_status_comes_through() {
    assert_eq!(section("state"), "running");
    assert_eq!(section("failed"), "");
    assert_eq!(guest().status, Some(7));
}

#[test]
fn the_firewall_is_closed_but_for_ssh_in_both_families() {
    for family in ["firewall4", "firewall6"] {
        let rules = section(family);
        assert!(rules.contains(":INPUT DROP") && rules.contains(":FORWARD DROP"), "{rules}");
        let open: Vec<&str> = rules.lines().filter(|l| l.contains("--dport") && l.contains("NEW")).collect();
        assert_eq!(open.len(), 1, "{rules}");
        assert!(open[0].contains("--dport 22 "), "{rules}");
    }
}

#[test]
fn there_is_no_network_without_a_firewall() {
    let text = section("no firewall");
    assert!(text.contains("\ndown\ninactive\n") || text.contains("\ndown\nfailed\n"), "{text}");
    assert!(text.ends_with("up again"), "{text}");
}

#[test]
fn input_and_forward_jump_into_the_rules_once_after_any_number_of_loads() {
    let family = "-A INPUT -j LAZULI-INPUT\n-A FORWARD -j LAZULI-FORWARD";
    assert_eq!(section("jumps"), format!("{family}\n{family}"));
}

#[test]
fn nothing_but_ssh_listens_to_others() {
    for line in section("listening").lines() {
        let local = line.split_whitespace().nth(4).expect("an address");
        // Port 68 is the DHCP client's.
        let fine = local.starts_with("127.0.0.") || local.ends_with(":22") || local.ends_with(":68");
        assert!(fine, "{line}");
    }
}

#[test]
fn the_root_grows_to_the_disk() {
    let size: u64 = section("root").parse().expect("a size");
    assert!(size > 4 << 30, "{size} bytes on a disk of 6 GiB");
}

#[test]
fn the_running_configuration_is_the_built_one() {
    let output = lazuli(&["kernel", "config"]);
    assert!(output.status.success());
    let digest = lazuli_store::Digest::of(&output.stdout).to_string();
    assert_eq!(section("config").split_whitespace().next(), Some(digest.as_str()));
}

#[test]
fn signed_modules_load_and_unsigned_ones_do_not() {
    let text = section("module");
    assert!(
        text.starts_with("loaded") && text.contains("Key was rejected") && text.ends_with("refused"),
        "{text}"
    );
}

#[test]
fn rpm_knows_every_package_and_finds_nothing_changed() {
    let listed = lazuli(&["image", "show", "core"]);
    let count = String::from_utf8_lossy(&listed.stdout).lines().count();
    assert!(count > 100);
    assert_eq!(section("packages"), count.to_string());
    assert!(section("owner").starts_with("bash-"), "{}", section("owner"));
    // systemd's tmpfiles.d sets other permissions on a few directories; no file may differ.
    for line in section("verify").lines() {
        let directory = ["/var/lib/chrony", "/var/log/journal", "/etc/credstore", "/etc/credstore.encrypted"];
        assert!(directory.iter().any(|d| line.ends_with(d)), "{line}");
    }
}

#[test]
fn nobody_has_a_password_and_the_machine_has_an_identity() {
    for password in section("passwords").lines() {
        assert!(password.starts_with(['!', '*']), "{password}");
    }
    assert_eq!(section("machine-id").len(), 32);
}

/// What the search for an accelerator waits for is what this firmware says. Under emulation it always runs.
#[test]
fn the_firmware_says_what_the_probe_of_kvm_waits_for() {
    let output = lazuli(&["tool-root", "vm"]);
    let tools = String::from_utf8(output.stdout).expect("text");
    let failure = lazuli_vm::accel::run_firmware(std::path::Path::new(tools.trim()), false);
    assert_eq!(failure.expect("QEMU starts"), None);
}
