//! File capabilities: the text of setcap(8) and the `security.capability` attribute (capabilities(7)).

const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];
/// Revision 2 of the attribute, little-endian like the rest of it.
const REVISION_2: u32 = 0x0200_0000;
const EFFECTIVE: u32 = 1;

/// All known capabilities.
const ALL: u64 = (1 << NAMES.len()) - 1;

/// The attribute's value for a text such as `cap_net_raw=ep`, `cap_chown,cap_kill+eip` or, as older
/// versions of RPM write it, `= cap_net_raw+ep`; `None` if it is not understood.
pub fn parse(text: &str) -> Option<Vec<u8>> {
    let (mut permitted, mut inheritable, mut effective) = (0_u64, 0_u64, 0_u64);
    for clause in text.split_whitespace() {
        let at = clause.find(['=', '+', '-'])?;
        let (names, operator, flags) = (&clause[..at], &clause[at..=at], &clause[at + 1..]);
        let mut set = 0_u64;
        for name in names.split(',').filter(|n| !n.is_empty()) {
            let name = name.to_ascii_lowercase();
            set |= match name.as_str() {
                "all" => ALL,
                name => 1 << NAMES.iter().position(|n| Some(*n) == name.strip_prefix("cap_"))?,
            };
        }
        if set == 0 {
            // Without names, `=` is about all of them.
            if operator != "=" {
                return None;
            }
            set = ALL;
        }
        if operator == "=" {
            (permitted, inheritable, effective) = (permitted & !set, inheritable & !set, effective & !set);
        }
        for flag in flags.chars() {
            let changed = match flag {
                'e' => &mut effective,
                'p' => &mut permitted,
                'i' => &mut inheritable,
                _ => return None,
            };
            if operator == "-" {
                *changed &= !set;
            } else {
                *changed |= set;
            }
        }
    }
    let effective = effective != 0;
    if permitted == 0 && inheritable == 0 {
        return None;
    }
    let mut value = Vec::new();
    value.extend((REVISION_2 | if effective { EFFECTIVE } else { 0 }).to_le_bytes());
    for half in [0, 32] {
        value.extend(((permitted >> half) as u32).to_le_bytes());
        value.extend(((inheritable >> half) as u32).to_le_bytes());
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_setcap_writes() {
        let ping = super::parse("cap_net_raw=ep").unwrap();
        assert_eq!(ping, [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(super::parse("= cap_net_raw+ep"), Some(ping.clone()));
        assert_eq!(super::parse("cap_net_raw,cap_chown=ep cap_chown-ep"), Some(ping));
        assert!(super::parse("cap_nonsense=ep").is_none() && super::parse("").is_none());
    }
}
