//! The image `core` seen from the network: a machine on the same link finds SSH and nothing else.
//!
//! The guest and the scanner share a network of their own, made in the sandbox: QEMU on a tap device, which only root may open,
//! dnsmasq for addresses, nmap for the scan. Nothing reaches the host's network.

#[path = "support/user.rs"]
mod user;

use lazuli_fs as fs;
use lazuli_sandbox::{Access, Sandbox};
use std::path::Path;
use user::lazuli;

/// Makes the tap device with an address: TUNSETIFF with `IFF_TAP | IFF_NO_PI`, TUNSETPERSIST,
/// SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFFLAGS with `IFF_UP`.
const TAP: &str = r"
import fcntl, socket, struct
tun = open('/dev/net/tun', 'r+b', buffering=0)
fcntl.ioctl(tun, 0x400454ca, struct.pack('16sH22x', b'tap0', 0x1002))
fcntl.ioctl(tun, 0x400454cb, 1)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
address = lambda a: struct.pack('16sHH4s8x', b'tap0', socket.AF_INET, 0, socket.inet_aton(a))
fcntl.ioctl(s, 0x8916, address('10.9.0.1'))
fcntl.ioctl(s, 0x891c, address('255.255.255.0'))
fcntl.ioctl(s, 0x8914, struct.pack('16sH22x', b'tap0', 1))
";

/// Boots the guest, waits for its SSH server, scans it in both families.
const SCAN: &str = r#"
set -e
python3 /build/tap.py
dnsmasq --no-daemon --conf-file=/dev/null --user=root --pid-file= --port=0 --interface=tap0 --bind-interfaces \
    --dhcp-range=10.9.0.9,10.9.0.9,1h --dhcp-leasefile=/build/leases > /build/dnsmasq.log 2>&1 &
vm() {
    LD_LIBRARY_PATH=/vm/usr/lib/x86_64-linux-gnu:/vm/usr/lib/x86_64-linux-gnu/pulseaudio "/vm/usr/bin/$1" "${@:2}"
}
cp /vm/usr/share/OVMF/OVMF_VARS_4M.fd /build/vars.fd
qemu-img create -q -f qcow2 -F raw -b /image /build/disk.qcow2
vm qemu-system-x86_64 -L /vm/usr/share/qemu -L /vm/usr/share/seabios -L /vm/usr/lib/ipxe/qemu -nodefaults -no-user-config \
    -display none -machine q35,smm=off -accel tcg,thread=multi,tb-size=1024 -cpu max,cx16=off,la57=off -smp 2 -m 1024 \
    -drive if=pflash,unit=0,format=raw,readonly=on,file=/vm/usr/share/OVMF/OVMF_CODE_4M.fd \
    -drive if=pflash,unit=1,format=raw,file=/build/vars.fd \
    -drive if=none,id=disk,file=/build/disk.qcow2,format=qcow2,cache=unsafe -device virtio-blk-pci,drive=disk \
    -netdev tap,id=net,ifname=tap0,script=no,downscript=no \
    -device virtio-net-pci,netdev=net,romfile=,mac=52:54:00:12:34:56 \
    -device virtio-rng-pci -serial file:/build/console.log -no-reboot > /build/qemu.log 2>&1 &
up=
for _ in $(seq 300); do
    if (exec 3<>/dev/tcp/10.9.0.9/22) 2>/dev/null; then up=1; break; fi
    kill -0 $! || break
    sleep 1
done
[ "$up" ] || { cat /build/qemu.log /build/dnsmasq.log; tail -n 30 /build/console.log; exit 1; }
# The alternatives system would make links for these libraries; its scripts never run.
libraries=/usr/lib/x86_64-linux-gnu
scan() {
    LD_LIBRARY_PATH=$libraries/blas:$libraries/lapack nmap -n -Pn -T4 --min-rate 4000 --max-retries 1 --host-timeout 300s -oG - "$@"
}
echo "== tcp4"; scan -sS -p 1-65535 10.9.0.9
echo "== tcp6"; scan -6 -sS -p 1-65535 fe80::5054:ff:fe12:3456%tap0
echo "== udp4"; scan -sU --top-ports 200 10.9.0.9
echo "== end"
"#;

#[test]
fn a_neighbour_finds_ssh_and_nothing_else() {
    let tun = Path::new("/dev/net/tun");
    if let Err(error) = std::fs::OpenOptions::new().read(true).write(true).open(tun) {
        eprintln!("skipped: {}: {error}; the scan needs a tap device", tun.display());
        return;
    }
    let work = tempfile::tempdir().expect("a temporary directory");
    let output = work.path().join("out");
    lazuli(&["build", "core", "--format", "raw", "--output", output.to_str().expect("a path in UTF-8")]);
    fs::write(work.path().join("tap.py"), TAP).expect("a file");
    let tools = lazuli(&["tool-root", "check"]);
    let machine = lazuli(&["tool-root", "vm"]);
    let (status, text, errors) = Sandbox::new(tools.trim())
        .bind(machine.trim(), "/vm", Access::ReadOnly)
        .bind(output.join("core.raw"), "/image", Access::ReadOnly)
        .bind(work.path(), "/build", Access::ReadWrite)
        .device(tun)
        .workdir("/build")
        .command("/bin/bash")
        .args(["-c", SCAN])
        .capture(|_| ())
        .expect("the sandbox works");
    let text = String::from_utf8_lossy(&text);
    assert!(status.success(), "{text}\n{errors:#?}");
    for name in ["tcp4", "tcp6", "udp4"] {
        let (_, rest) =
            text.split_once(&format!("== {name}\n")).unwrap_or_else(|| panic!("no {name}: {text}"));
        let part = rest.split("== ").next().unwrap_or_default();
        // `Ports: 22/open/tcp//ssh///`; what does not answer is `open|filtered` for UDP and summed up.
        let open: Vec<&str> = part.split([' ', ',', '\t']).filter(|w| w.contains("/open/")).collect();
        assert!(part.contains("# Nmap done"), "{part}");
        if name == "udp4" {
            assert!(open.is_empty(), "{part}");
        } else {
            assert_eq!(open.len(), 1, "{part}");
            assert!(open[0].starts_with("22/open/tcp"), "{part}");
        }
    }
}
