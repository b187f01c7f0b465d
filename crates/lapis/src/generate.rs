//! Completions and manual pages, made from the command definitions.

use crate::cli::{self, Generated, Name};
use crate::error::{Error, Result};
use clap_complete::Shell;
use lazuli_fs as fs;
use std::path::Path;

/// Where each shell looks for completions, below a root.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "usr/share/bash-completion/completions"),
    (Shell::Zsh, "usr/share/zsh/site-functions"),
    (Shell::Fish, "usr/share/fish/vendor_completions.d"),
];

/// Writes what was asked for. For [`Generated::All`] the directory is a root, otherwise files go straight
/// into it.
pub fn generate(what: Generated, directory: &Path) -> Result<()> {
    let all = what == Generated::All;
    if matches!(what, Generated::Completions | Generated::All) {
        for (shell, place) in COMPLETIONS {
            let to = if all { directory.join(place) } else { directory.to_owned() };
            fs::create_dir_all(&to)?;
            for name in [Name::Lapis, Name::Tdnf, Name::Dnf] {
                let mut command = cli::command(name);
                let file = match shell {
                    Shell::Zsh => format!("_{}", name.as_str()),
                    Shell::Fish => format!("{}.fish", name.as_str()),
                    _ if all => name.as_str().to_owned(),
                    _ => format!("{}.bash", name.as_str()),
                };
                let mut text = Vec::new();
                clap_complete::generate(shell, &mut command, name.as_str(), &mut text);
                fs::write(to.join(file), text)?;
            }
        }
    }
    if matches!(what, Generated::Man | Generated::All) {
        let to = if all { directory.join("usr/share/man/man8") } else { directory.to_owned() };
        fs::create_dir_all(&to)?;
        let mut command = cli::command(Name::Lapis);
        command.build();
        page(&command, "lapis", &to)?;
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
            page(sub, &format!("lapis-{}", sub.get_name()), &to)?;
        }
        // tdnf and dnf are the same program.
        for name in [Name::Tdnf, Name::Dnf] {
            fs::write(to.join(format!("{}.8", name.as_str())), ".so man8/lapis.8\n")?;
        }
    }
    Ok(())
}

fn page(command: &clap::Command, name: &str, to: &Path) -> Result<()> {
    let mut text = Vec::new();
    let path = to.join(format!("{name}.8"));
    // Options of every command are described in lapis(8) only.
    let mut command = command.clone();
    if name != "lapis" {
        command = command.mut_args(|arg| if arg.is_global_set() { arg.hide(true) } else { arg });
    }
    clap_mangen::Man::new(command)
        .title(name)
        .section("8")
        .render(&mut text)
        .map_err(|e| Error::File { path: path.clone(), reason: e.to_string() })?;
    Ok(fs::write(path, text)?)
}
