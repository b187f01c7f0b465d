//! What getopt would accept and clap does not: long options with one dash, and options that mean
//! different things to `tdnf` and `dnf`.

use super::{Name, command};
use std::collections::BTreeSet;
use std::ffi::OsString;

/// Rewrites a command line into the one that [`super::Cli`] defines.
///
/// 1. `-installroot` becomes `--installroot`, as `getopt_long_only` reads it. Only exact names count, so
///    that `-qy` stays two short options.
/// 2. `-i` is `--installroot` to `tdnf`, `--info` to `dnf repoquery`.
/// 3. `tdnfj` is `tdnf -j -y`.
/// 4. `dnf repo list` and `dnf repo info` are `repolist` and `repoinfo`.
/// 5. `yum groupinstall` is `group install`.
pub fn normalise(name: Name, args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args = args.into_iter();
    let program = args.next().unwrap_or_else(|| OsString::from("lapis"));
    let json = program.to_string_lossy().ends_with("tdnfj");
    let long = long_options();
    let mut out = vec![program];
    if json {
        out.extend(["--json", "--assumeyes"].map(OsString::from));
    }
    // Where the command stands, once it was seen.
    let mut command_at = None;
    let mut literal = false;
    let mut value_follows = false;
    for arg in args {
        let Some(text) = arg.to_str() else {
            out.push(arg);
            continue;
        };
        if literal || value_follows {
            value_follows = false;
            out.push(arg);
            continue;
        }
        literal = text == "--";
        if text == "-i" && (command_at.is_none() || name == Name::Tdnf) {
            out.push("--installroot".into());
            value_follows = true;
            continue;
        }
        if let Some(rest) = text.strip_prefix('-')
            && !rest.starts_with('-')
            && rest.len() > 1
            && long.iter().any(|(known, _)| known == rest.split('=').next().unwrap_or_default())
        {
            value_follows = takes_value(&long, rest);
            out.push(format!("-{text}").into());
            continue;
        }
        if let Some(rest) = text.strip_prefix("--") {
            value_follows = takes_value(&long, rest);
        } else if !text.starts_with('-') {
            command_at = command_at.or(Some(out.len()));
        } else if matches!(text, "-c" | "-x" | "-d" | "-e") {
            value_follows = true;
        }
        out.push(arg);
    }
    if let Some(at) = command_at {
        join_repo_command(&mut out, at);
        split_group_command(&mut out, at);
    }
    out
}

/// `groupinstall`, `group-list` and the like of yum.
fn split_group_command(args: &mut Vec<OsString>, at: usize) {
    let word = args[at].to_string_lossy().into_owned();
    let Some(action) = word.strip_prefix("group").map(|rest| rest.trim_start_matches('-')) else { return };
    let action = match action {
        "erase" => "remove",
        "update" => "upgrade",
        "list" | "info" | "install" | "remove" | "upgrade" => action,
        _ => return,
    };
    let words = ["group", action].map(OsString::from);
    args.splice(at..=at, words);
}

/// `repo list` and `repo info` of dnf5.
fn join_repo_command(args: &mut Vec<OsString>, at: usize) {
    if args[at] != "repo" {
        return;
    }
    let joined = match args.get(at + 1).and_then(|a| a.to_str()) {
        Some("list") => "repolist",
        Some("info") => "repoinfo",
        _ => return,
    };
    args.splice(at..at + 2, [OsString::from(joined)]);
}

fn takes_value(long: &BTreeSet<(String, bool)>, option: &str) -> bool {
    long.contains(&(option.to_owned(), true))
}

/// All long options and their aliases, and whether a value follows.
fn long_options() -> BTreeSet<(String, bool)> {
    fn collect(command: &clap::Command, into: &mut BTreeSet<(String, bool)>) {
        for arg in command.get_arguments() {
            let takes = matches!(arg.get_action(), clap::ArgAction::Set | clap::ArgAction::Append)
                && arg.get_num_args().is_none_or(|n| n.min_values() > 0);
            for name in arg.get_long().into_iter().chain(arg.get_all_aliases().unwrap_or_default()) {
                into.insert((name.to_owned(), takes));
            }
        }
        for sub in command.get_subcommands() {
            collect(sub, into);
        }
    }
    let mut names = BTreeSet::new();
    collect(&command(Name::Lapis), &mut names);
    names.insert(("help".to_owned(), false));
    names.insert(("version".to_owned(), false));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(line: &str) -> String {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let name = Name::of(&words[0]);
        let out: Vec<String> =
            normalise(name, words).into_iter().map(|w| w.to_string_lossy().into_owned()).collect();
        out.join(" ")
    }

    #[test]
    fn one_dash_is_enough_for_a_long_option() {
        assert_eq!(normal("tdnf -installroot /x install a"), "tdnf --installroot /x install a");
        assert_eq!(normal("tdnf install -assumeyes a"), "tdnf install --assumeyes a");
        assert_eq!(normal("lapis -setopt=best=0 list"), "lapis --setopt=best=0 list");
        assert_eq!(normal("dnf -qy install a"), "dnf -qy install a");
        assert_eq!(normal("tdnf install -- -assumeyes"), "tdnf install -- -assumeyes");
    }

    #[test]
    fn the_value_of_an_option_is_left_alone() {
        assert_eq!(normal("tdnf --exclude -json list"), "tdnf --exclude -json list");
    }

    #[test]
    fn names_differ_in_what_short_options_mean() {
        assert_eq!(normal("tdnf -i /x list"), "tdnf --installroot /x list");
        assert_eq!(normal("tdnf list -i /x"), "tdnf list --installroot /x");
        assert_eq!(normal("dnf repoquery -i bash"), "dnf repoquery -i bash");
        assert_eq!(normal("tdnfj list"), "tdnfj --json --assumeyes list");
    }

    #[test]
    fn the_spelling_of_dnf5_is_known() {
        assert_eq!(normal("dnf repo list --all"), "dnf repolist --all");
        assert_eq!(normal("dnf install repo list"), "dnf install repo list");
        assert_eq!(normal("dnf --installroot /x repo list"), "dnf --installroot /x repolist");
        assert_eq!(normal("yum -y groupinstall web"), "yum -y group install web");
        assert_eq!(normal("yum group-update web"), "yum group upgrade web");
        assert_eq!(normal("yum install groupinstall"), "yum install groupinstall");
    }
}
