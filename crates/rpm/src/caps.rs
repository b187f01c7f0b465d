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

/// The attribute's value for a text such as `cap_net_raw=ep` or `cap_chown,cap_kill+eip`; `None` if it
/// is not understood.
pub fn parse(text: &str) -> Option<Vec<u8>> {
    let (mut permitted, mut inheritable, mut effective) = (0_u64, 0_u64, false);
    for clause in text.split_whitespace() {
        let at = clause.find(['=', '+'])?;
        let (names, flags) = (&clause[..at], &clause[at + 1..]);
        let mut set = 0_u64;
        for name in names.split(',').filter(|n| !n.is_empty()) {
            let name = name.to_ascii_lowercase();
            let number = NAMES.iter().position(|n| Some(*n) == name.strip_prefix("cap_"))?;
            set |= 1 << number;
        }
        if set == 0 {
            return None;
        }
        for flag in flags.chars() {
            match flag {
                'e' => effective = true,
                'p' => permitted |= set,
                'i' => inheritable |= set,
                _ => return None,
            }
        }
    }
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
        assert!(super::parse("cap_nonsense=ep").is_none() && super::parse("").is_none());
    }
}
