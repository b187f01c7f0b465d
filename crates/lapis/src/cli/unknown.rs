//! Words that are no command: commands of dnf that do not exist here, with what does instead, and typing
//! errors.

use super::{Name, command};

/// Commands of `dnf` and of its plugins that do not exist here, and what to do instead.
const ELSEWHERE: [(&[&str], &str); 14] = [
    (
        &["module"],
        "modules do not exist here: each package has one stream of versions. Install packages by name",
    ),
    (
        &["shell", "sh"],
        "there is no shell: several words in one command are one transaction, and `swap` replaces",
    ),
    (
        &["system-upgrade", "offline", "offline-upgrade", "offline-distrosync", "fedup"],
        "transactions need not run offline: one that is interrupted is finished at the next boot. \
         `upgrade --releasever VERSION` goes to another version of the system",
    ),
    (&["copr"], "add the repository with `config-manager --add-repo` and name its key"),
    (&["builddep", "build-dep"], "install what BuildRequires names with `install`"),
    (&["debuginfo-install"], "install NAME-debuginfo by name, from a repository that has it"),
    (&["alias"], "aliases are a shell's business"),
    (&["leaves"], "`history userinstalled` lists what somebody asked for"),
    (&["repoclosure"], "`check` looks at what is installed, `check-local DIR` at packages in a directory"),
    (&["repomanage", "repodiff", "repograph"], "there is no tool for it here"),
    (&["createrepo", "createrepo_c"], "`lazuli repo build` makes repositories"),
    (
        &["playground", "debug-dump", "debug-restore", "debug"],
        "`history` and `repoquery --installed` tell what is there",
    ),
    (&["replay", "do", "manifest"], "`history redo` does a transaction again"),
    (&["repository-packages", "repo-pkgs"], "use --repo ID with the command itself"),
];

/// What is said of a word that is no command.
pub fn unknown(word: &str) -> String {
    let word: String = word.chars().take(100).collect();
    if let Some((_, instead)) = ELSEWHERE.iter().find(|(words, _)| words.contains(&word.as_str())) {
        return format!("No such command: {word}; {instead}.");
    }
    let definition = command(Name::Lapis);
    let names = definition.get_subcommands().filter(|sub| !sub.is_hide_set());
    let near = names
        .flat_map(|sub| std::iter::once(sub.get_name()).chain(sub.get_visible_aliases()))
        .map(|name| (strsim::jaro_winkler(name, &word), name))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((likeness, name)) if likeness > 0.8 => {
            format!("No such command: {word}; did you mean `{name}`? `help` lists all commands.")
        }
        _ => format!("No such command: {word}. `help` lists all commands."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_is_explained_and_a_slip_is_noticed() {
        assert!(unknown("module").contains("Install packages by name"));
        assert!(unknown("instal").contains("did you mean `install`"));
        assert_eq!(unknown("xyzzy"), "No such command: xyzzy. `help` lists all commands.");
    }

    #[test]
    fn none_of_them_is_a_command() {
        let definition = command(Name::Lapis);
        for word in ELSEWHERE.iter().flat_map(|(words, _)| *words) {
            assert!(definition.find_subcommand(word).is_none(), "{word} exists");
        }
    }
}
