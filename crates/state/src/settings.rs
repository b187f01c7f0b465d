//! Settings of this machine. Changes below `/etc` are gone at the next boot; what is kept here is put back.
//!
//! Kept are files below `/var/lib/lazuli/etc`, and only those that `settings.conf` allows: the rest of `/etc` is the image's,
//! whatever somebody has written to the state partition.
//!
//! A machine that was started for recovery (`lazuli.recovery=1` on the kernel's command line) gets back only what
//! `recovery.conf` allows: who it is, and who may log in. No other setting can keep its owner out then.

use crate::error::{Error, Result, refuse};
use crate::fill::{Durable, copy, unfinished};
use crate::say;
use lazuli_fs as fs;
use rustix::fs::Mode;
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
lazuli-settings keep FILE...   put files of /etc back at every boot, as they are now
lazuli-settings drop FILE...   do so no more
lazuli-settings list           what is kept
lazuli-settings allowed        what can be kept
lazuli-settings apply          put everything back now
lazuli-settings boot           the same, but in recovery only who the machine is and who may log in
";

/// Where everything is; tests have directories of their own.
#[derive(Debug)]
struct Settings {
    etc: PathBuf,
    kept: PathBuf,
    patterns: Vec<String>,
}

impl Settings {
    fn new(etc: &str, kept: &str, allowed: &str) -> Result<Self> {
        Ok(Self { etc: etc.into(), kept: kept.into(), patterns: patterns(&fs::read_to_string(allowed)?) })
    }

    /// Whether a path below `/etc` can be a setting.
    fn may(&self, name: &str) -> bool {
        let plain = name.split('/').all(|part| !matches!(part, "" | "." | ".."));
        plain && self.patterns.iter().any(|pattern| matches(pattern, name))
    }

    /// The name below `/etc` of a file on the command line, if it can be a setting.
    fn name<'a>(&self, file: &'a str) -> Result<&'a str> {
        match file.strip_prefix("/etc/") {
            None => refuse(format!("{file}: not below /etc")),
            Some(name) if self.may(name) => Ok(name),
            Some(_) => refuse(format!("{file}: cannot be a setting; see lazuli-settings allowed")),
        }
    }

    /// Names of everything that is kept, in their order. A directory that is not there is an empty one.
    fn names(&self) -> Result<Vec<String>> {
        fn below(dir: &Path, prefix: &str, names: &mut Vec<String>) -> Result<()> {
            for path in fs::read_dir(dir)? {
                let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
                let name = format!("{prefix}{name}");
                if fs::symlink_metadata(&path)?.is_dir() {
                    below(&path, &format!("{name}/"), names)?;
                } else if !name.ends_with(".new~") {
                    names.push(name);
                }
            }
            Ok(())
        }
        let mut names = Vec::new();
        if self.kept.is_dir() {
            below(&self.kept, "", &mut names)?;
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Makes a file of `/etc` last. It is on the disk when this returns.
    fn keep(&self, name: &str) -> Result<()> {
        let file = self.etc.join(name);
        match fs::symlink_metadata(&file) {
            Ok(meta) if meta.is_file() || meta.is_symlink() => {}
            _ => return refuse(format!("/etc/{name}: no such file")),
        }
        let kept = self.kept.join(name);
        fs::create_dir_all(kept.parent().unwrap_or(&self.kept))?;
        copy(&file, &kept, Durable::Yes)
    }

    /// Lets it last no longer.
    fn drop(&self, name: &str) -> Result<()> {
        let kept = self.kept.join(name);
        for path in [unfinished(&kept), kept] {
            if fs::symlink_metadata(&path).is_ok() {
                fs::remove_file(&path)?;
                fs::sync_dir(path.parent().unwrap_or(&self.kept))?;
            }
        }
        Ok(())
    }

    /// Puts everything back that may be. `quiet`: says nothing of what may not.
    fn apply(&self, quiet: bool) -> Result<()> {
        let mut failed = Ok(());
        for name in self.names()? {
            if !self.may(&name) {
                if !quiet {
                    let path = self.kept.join(&name);
                    eprintln!("<4>settings: {} is not a setting, and is left out", path.display());
                }
                continue;
            }
            if name == "machine-id" && !is_identity(short(&self.kept.join(&name)).trim()) {
                eprintln!(
                    "<3>settings: {} is no machine ID, and is left out",
                    self.kept.join(&name).display()
                );
                continue;
            }
            // One that cannot be put back is no reason to leave out the others.
            let target = self.etc.join(&name);
            let parent = target.parent().unwrap_or(&self.etc);
            let done = fs::create_dir_all(parent).map_err(Error::from);
            if let Err(error) = done.and_then(|()| copy(&self.kept.join(&name), &target, Durable::No)) {
                eprintln!("<3>settings: /etc/{name}: {error}");
                failed = refuse("not everything that was kept could be put back");
            }
        }
        failed
    }

    /// Without an identity in the firmware, systemd makes one for this boot; then the first boot's counts for ever.
    fn identify(&self, firmware: &str) -> Result<()> {
        let kept = short(&self.kept.join("machine-id"));
        if has_identity(firmware) || is_identity(kept.trim()) {
            return Ok(());
        }
        self.keep("machine-id")
    }
}

/// Whether the text of `product_uuid` is an identity: some makers leave it empty or fill it with one digit.
fn has_identity(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty()
        && text != "00000000-0000-0000-0000-000000000000"
        && !text.to_ascii_lowercase().starts_with("ffffffff-")
}

/// The text of a file that is a line, and empty if it cannot be read or is no file: what somebody put on the state partition may
/// have no end.
fn short(path: &Path) -> String {
    let mut text = String::new();
    if fs::metadata(path).is_ok_and(|meta| meta.is_file())
        && let Ok(file) = fs::open(path)
        && file.take(4096).read_to_string(&mut text).is_err()
    {
        text.clear();
    }
    text
}

/// Whether this is a machine ID (machine-id(5)): 32 lowercase hexadecimal digits, not all of them zero.
fn is_identity(text: &str) -> bool {
    let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    text.len() == 32 && digits && text.bytes().any(|byte| byte != b'0')
}

/// The patterns of a file: a line each, without comments.
fn patterns(text: &str) -> Vec<String> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// Whether a pattern stands for a path. `*` stands for anything, `/` included.
fn matches(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| path.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn in_recovery() -> Result<bool> {
    Ok(fs::read_to_string("/proc/cmdline")?.split_ascii_whitespace().any(|word| word == "lazuli.recovery=1"))
}

/// The command `lazuli-settings`; 2 where it was called in a wrong way.
pub fn main(arguments: &[OsString]) -> ExitCode {
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let words: Vec<&str> = arguments.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    let done = match words[..] {
        ["keep", ref files @ ..] if !files.is_empty() => each(files, Settings::keep),
        ["drop", ref files @ ..] if !files.is_empty() => each(files, Settings::drop),
        ["list"] => here(false).and_then(|settings| {
            settings.names()?.iter().for_each(|name| say(&format!("/etc/{name}\n")));
            Ok(())
        }),
        ["allowed"] => here(false).map(|settings| {
            settings.patterns.iter().for_each(|pattern| say(&format!("/etc/{pattern}\n")));
        }),
        ["apply"] => put_back(false),
        ["boot"] => in_recovery().and_then(put_back),
        ["--help" | "-h"] => {
            say(USAGE);
            Ok(())
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lazuli-settings: {error}");
            ExitCode::FAILURE
        }
    }
}

fn here(recovery: bool) -> Result<Settings> {
    let allowed = if recovery { "recovery" } else { "settings" };
    let allowed = format!("/usr/share/lazuli/container-host/{allowed}.conf");
    Settings::new("/etc", "/var/lib/lazuli/etc", &allowed)
}

fn each(files: &[&str], step: impl Fn(&Settings, &str) -> Result<()>) -> Result<()> {
    let settings = here(false)?;
    files.iter().try_for_each(|file| step(&settings, settings.name(file)?))
}

fn put_back(recovery: bool) -> Result<()> {
    let settings = here(recovery)?;
    if recovery {
        eprintln!("<4>settings: started for recovery; settings wait for the next start");
    }
    let identity = settings.etc.join("machine-id");
    let before = fs::read_to_string(&identity)?;
    settings.identify(&fs::read_to_string("/sys/class/dmi/id/product_uuid").unwrap_or_default())?;
    let done = settings.apply(recovery);
    let name = settings.kept.join("hostname");
    if settings.may("hostname") && name.is_file() {
        let text = short(&name);
        if let Some(first) = text.lines().next().filter(|first| !first.trim().is_empty()) {
            rustix::system::sethostname(first.as_bytes())
                .map_err(Error::system("give the machine the name in", &name))?;
        }
    }
    let after = fs::read_to_string(&identity)?;
    if after != before
        && is_identity(after.trim())
        && let Err(error) = journal_follows(before.trim(), after.trim())
    {
        eprintln!(
            "<4>settings: the journal of this boot stays under the identity {}: {error}",
            before.trim()
        );
    }
    done
}

/// The journal began under an identity that was made for this boot; it goes on under the one that lasts, where
/// `journalctl` looks for it.
fn journal_follows(before: &str, after: &str) -> Result<()> {
    let journal = Path::new("/run/log/journal");
    let (from, to) = (journal.join(before), journal.join(after));
    if from.is_dir() && !to.exists() {
        fs::rename(from, to)?;
    }
    // Nothing waits for it here: it waits for jobs that wait for this one.
    crate::tool::must("systemctl", &["--no-block", "try-restart", "systemd-journald.service"].map(OsStr::new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn machine() -> (tempfile::TempDir, Settings) {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        fs::create_dir_all(at("etc/ssh")).unwrap();
        fs::write(at("allowed"), "# comment\n\nhostname\nmachine-id\nssh/ssh_host_*\nlazuli/*.d/*\n")
            .unwrap();
        let settings = Settings::new(&at("etc"), &at("kept"), &at("allowed")).unwrap();
        (dir, settings)
    }

    #[test]
    fn what_is_kept_comes_back_as_it_was() {
        let (_dir, settings) = machine();
        let key = settings.etc.join("ssh/ssh_host_key");
        fs::write(&key, "secret").unwrap();
        fs::set_mode(&key, 0o600).unwrap();
        assert_eq!(settings.names().unwrap(), Vec::<String>::new());
        settings.keep(settings.name("/etc/ssh/ssh_host_key").unwrap()).unwrap();
        settings.keep("ssh/ssh_host_key").unwrap();
        assert_eq!(settings.names().unwrap(), ["ssh/ssh_host_key"]);

        fs::remove_dir_all(&settings.etc).unwrap();
        settings.apply(false).unwrap();
        assert_eq!(fs::read_to_string(&key).unwrap(), "secret");
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&key).unwrap()) & 0o7777, 0o600);

        settings.drop("ssh/ssh_host_key").unwrap();
        settings.drop("ssh/ssh_host_key").unwrap();
        assert_eq!(settings.names().unwrap(), Vec::<String>::new());
        assert!(settings.keep("hostname").unwrap_err().to_string().contains("/etc/hostname: no such file"));
    }

    #[test]
    fn what_is_no_setting_is_not_put_back_whoever_wrote_it() {
        let (_dir, settings) = machine();
        fs::create_dir_all(settings.kept.join("pam.d")).unwrap();
        fs::write(settings.kept.join("pam.d/sshd"), "everybody").unwrap();
        fs::write(settings.kept.join("hostname"), "here\n").unwrap();
        fs::write(settings.kept.join("hostname.new~"), "half").unwrap();
        settings.apply(false).unwrap();
        assert_eq!(fs::read_to_string(settings.etc.join("hostname")).unwrap(), "here\n");
        assert!(!settings.etc.join("pam.d").exists());
        for file in [
            "/etc/passwd",
            "/etc/ssh/../ssh/ssh_host_x",
            "/etc/ssh//ssh_host_x",
            "/etc/",
            "/var/hostname",
            "hostname",
        ] {
            settings.name(file).unwrap_err();
        }
    }

    const FIRST: &str = "0123456789abcdef0123456789abcdef\n";

    #[test]
    fn what_is_no_identity_never_becomes_one() {
        let (_dir, settings) = machine();
        let kept = settings.kept.join("machine-id");
        fs::create_dir_all(&settings.kept).unwrap();
        for broken in ["", "../../tmp", &FIRST.to_uppercase(), &"0".repeat(32)] {
            fs::write(settings.etc.join("machine-id"), FIRST).unwrap();
            fs::write(&kept, broken).unwrap();
            settings.apply(false).unwrap();
            assert_eq!(fs::read_to_string(settings.etc.join("machine-id")).unwrap(), FIRST);
            settings.identify("").unwrap();
            assert_eq!(fs::read_to_string(&kept).unwrap(), FIRST, "it is kept anew");
        }
        assert_eq!(short(Path::new("/dev/zero")), "", "not a file");
        fs::write(&kept, "x".repeat(5000)).unwrap();
        assert_eq!(short(&kept).len(), 4096);
    }

    #[test]
    fn an_identity_is_kept_where_the_firmware_has_none() {
        let (_dir, settings) = machine();
        fs::write(settings.etc.join("machine-id"), FIRST).unwrap();
        settings.identify("4c4c4544-0033-5610-8051-b3c04f4b3732\n").unwrap();
        assert_eq!(settings.names().unwrap(), Vec::<String>::new());
        for (boot, text) in
            ["", "00000000-0000-0000-0000-000000000000\n", "FFFFFFFF-ffff\n"].iter().enumerate()
        {
            settings.identify(text).unwrap();
            settings.apply(false).unwrap();
            assert_eq!(fs::read_to_string(settings.etc.join("machine-id")).unwrap(), FIRST, "boot {boot}");
            fs::write(settings.etc.join("machine-id"), "another").unwrap();
        }
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, path) in
            [("a", "a"), ("a*", "a"), ("*", ""), ("a/*.conf", "a/b/c.conf"), ("a/*.d/*", "a/b.d/c")]
        {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in
            [("a", "ab"), ("a*", "b"), ("ab*b", "ab"), ("a/*.conf", "a/b.confx"), ("a/*.d/*", "a/bd/c")]
        {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    /// What a star means, said as plainly as possible.
    fn plainly(pattern: &[u8], path: &[u8]) -> bool {
        match pattern.split_first() {
            None => path.is_empty(),
            Some((b'*', rest)) => (0..=path.len()).any(|skip| plainly(rest, &path[skip..])),
            Some((byte, rest)) => path.first() == Some(byte) && plainly(rest, &path[1..]),
        }
    }

    proptest! {
        #[test]
        fn patterns_mean_what_they_say(pattern in "[ab*]{0,6}", path in "[ab]{0,8}") {
            prop_assert_eq!(matches(&pattern, &path), plainly(pattern.as_bytes(), path.as_bytes()));
        }
    }
}
