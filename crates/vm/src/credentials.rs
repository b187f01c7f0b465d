//! systemd credentials handed to the guest in SMBIOS strings (type 11, "OEM strings").
//!
//! systemd(1) in the guest reads `io.systemd.credential.binary:NAME=BASE64` at its start and gives the
//! value to whoever asks for the credential NAME. So the host can place a key or a unit in an image
//! without touching it, and without a network. See systemd.system-credentials(7).

use crate::base64;
use crate::{Error, GuestFile};

/// The table that holds all strings is limited by its 16-bit length in the oldest entry point format.
const MAX_TOTAL: usize = 60_000;

/// The credential with lines of tmpfiles.d(5).
const TMPFILES: &str = "tmpfiles.extra";

/// Named values for the guest's systemd.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    values: Vec<(String, Vec<u8>)>,
    /// Lines of tmpfiles.d(5), which have one credential for all of them.
    tmpfiles: String,
}

impl Credentials {
    pub(crate) fn add(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.values.push((name.to_owned(), value.into()));
    }

    /// Writes a file in the guest early in its boot, over what is there.
    pub(crate) fn file(&mut self, file: &GuestFile) {
        let GuestFile { path, mode, content } = file;
        self.tmpfiles += &format!("f+~ {path} {mode:04o} root root - {}\n", base64::encode(content));
    }

    /// The SMBIOS strings; none has a comma, which QEMU's option parser would take for a separator.
    pub(crate) fn smbios(&self) -> Result<Vec<String>, Error> {
        let text = |name: &str, value: &[u8]| {
            format!("io.systemd.credential.binary:{name}={}", base64::encode(value))
        };
        let mut names: Vec<&str> = self.values.iter().map(|(name, _)| name.as_str()).collect();
        names.extend((!self.tmpfiles.is_empty()).then_some(TMPFILES));
        names.sort_unstable();
        if let Some((name, _)) = names.iter().zip(names.iter().skip(1)).find(|(one, next)| one == next) {
            return Err(Error::Config(format!(
                "the credential `{name}` is given twice, or this run needs it itself"
            )));
        }
        let mut strings: Vec<String> = self.values.iter().map(|(name, value)| text(name, value)).collect();
        if !self.tmpfiles.is_empty() {
            strings.push(text(TMPFILES, self.tmpfiles.as_bytes()));
        }
        let total: usize = strings.iter().map(String::len).sum();
        if total > MAX_TOTAL {
            return Err(Error::Config(format!(
                "the command is too long: what the firmware tables carry is limited to about 40 kB; put it \
                 into a script and copy that by `--ssh`, or shorten it ({total} of {MAX_TOTAL} bytes encoded)"
            )));
        }
        Ok(strings)
    }

    /// Makes the guest run `command` by `/bin/sh` once it has reached multi-user.target.
    ///
    /// Its standard output and error and in the end a line with its exit status go to virtio-serial
    /// ports. The unit has no default dependencies, so that multi-user.target, which wants it, does not
    /// wait for it; its start is done when the shell has been executed, so that the system can become
    /// `running` while the command waits for just that. It is started as well where the target could not be reached (in
    /// emergency mode); then it says so instead, after the system has had time to help itself.
    pub(crate) fn exec(&mut self, command: &str, power_off: bool) {
        let end = if power_off { "; systemctl --no-block poweroff" } else { "" };
        let ports = "/dev/virtio-ports/org.lazuli";
        self.add("lazuli.exec", command);
        self.add(
            "systemd.extra-unit.lazuli-exec.service",
            format!(
                "[Unit]\n\
                 Description=Command of lazuli run\n\
                 DefaultDependencies=no\n\
                 After=multi-user.target\n\
                 Conflicts=shutdown.target\n\
                 Before=shutdown.target\n\
                 [Service]\n\
                 Type=exec\n\
                 LoadCredential=lazuli.exec\n\
                 WorkingDirectory=-/root\n\
                 Environment=HOME=/root USER=root LOGNAME=root\n\
                 StandardInput=null\n\
                 StandardOutput=journal\n\
                 StandardError=journal\n\
                 KillMode=process\n\
                 ExecStart=/bin/sh -c 'if systemctl --quiet is-active multi-user.target; then \
                 /bin/sh \"$$CREDENTIALS_DIRECTORY/lazuli.exec\" >{ports}.stdout 2>{ports}.stderr; else sleep 30; \
                 {{ echo \"The command was not run: the system did not reach multi-user.target. What failed:\"; \
                 systemctl list-units --state=failed --plain --no-legend --no-pager; false; }} >{ports}.stderr; fi; \
                 echo \"exit $$?\" >{ports}.status{end}'\n"
            ),
        );
        self.add("systemd.unit-dropin.multi-user.target~lazuli-exec", "[Unit]\nWants=lazuli-exec.service\n");
    }

    /// Logs root in on the serial console without a password. The image has none, so otherwise a person
    /// at the console of a trial run would stand before a locked door; who holds the hypervisor holds the
    /// guest anyway.
    pub(crate) fn console_login(&mut self) {
        self.add("agetty.autologin", "root");
        self.add("login.noauth", "yes");
    }

    /// Lets the holder of a key log in as root, and gives the SSH server a host key, so that the client
    /// can tell that it talks to this guest.
    pub(crate) fn ssh(&mut self, public_key: &str, host_key: &str, host_public_key: &str) {
        self.add("ssh.authorized_keys.root", public_key);
        let host = "/etc/ssh/ssh_host_ed25519_key";
        for (path, mode, content) in
            [(host.to_owned(), 0o600, host_key), (format!("{host}.pub"), 0o644, host_public_key)]
        {
            self.file(&GuestFile { path, mode, content: content.as_bytes().to_vec() });
        }
    }
}

/// The exit status in what the status port delivered, once its line is complete.
pub(crate) fn parse_status(received: &[u8]) -> Option<i32> {
    let text = std::str::from_utf8(received).ok()?;
    let (line, _) = text.split_once('\n')?;
    line.strip_prefix("exit ")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_have_no_separator_of_qemus_options() {
        let mut credentials = Credentials::default();
        credentials.exec("echo 'a,b=c'; printf \"%s\\n\" $HOME", true);
        credentials.ssh("ssh-ed25519 AAAA x", "-----BEGIN,\n", "ssh-ed25519 BBBB y");
        let strings = credentials.smbios().expect("short");
        assert_eq!(strings.len(), 5);
        for string in strings {
            assert!(string.starts_with("io.systemd.credential.binary:"), "{string}");
            assert!(!string.contains([',', '\n']), "{string}");
        }
    }

    #[test]
    fn all_files_share_the_one_credential_for_them() {
        let mut credentials = Credentials::default();
        credentials.ssh("ssh-ed25519 AAAA x", "private", "public");
        credentials.file(&GuestFile { path: "/etc/x".to_owned(), mode: 0o644, content: b"x, y".to_vec() });
        let strings = credentials.smbios().expect("short");
        let files: Vec<&String> = strings.iter().filter(|s| s.contains("tmpfiles.extra")).collect();
        assert_eq!(files.len(), 1);
        assert_eq!(credentials.tmpfiles.lines().count(), 3);
    }

    #[test]
    fn a_credential_that_the_run_needs_itself_cannot_be_given() {
        let mut credentials = Credentials::default();
        credentials.add("lazuli.exec", "true");
        credentials.exec("false", false);
        assert!(matches!(credentials.smbios(), Err(Error::Config(text)) if text.contains("`lazuli.exec`")));
    }

    #[test]
    fn a_command_that_does_not_fit_is_an_error() {
        let mut credentials = Credentials::default();
        credentials.exec(&"x".repeat(50_000), false);
        assert!(matches!(credentials.smbios(), Err(Error::Config(text)) if text.contains("too long")));
    }

    #[test]
    fn the_command_itself_is_carried_byte_for_byte() {
        let command = "echo \"it's 100% $ok\" \\\n | cat";
        let mut credentials = Credentials::default();
        credentials.exec(command, false);
        assert_eq!(
            credentials.values.first(),
            Some(&("lazuli.exec".to_owned(), command.as_bytes().to_vec()))
        );
    }

    #[test]
    fn a_status_counts_only_when_its_line_is_complete() {
        assert_eq!(parse_status(b""), None);
        assert_eq!(parse_status(b"exit 1"), None);
        assert_eq!(parse_status(b"exit 17\n"), Some(17));
        assert_eq!(parse_status(b"exit 137\r\n"), Some(137));
        assert_eq!(parse_status(b"noise\n"), None);
        assert_eq!(parse_status(&[0xff, b'\n']), None);
    }
}
