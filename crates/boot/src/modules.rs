//! Module indexes: `modules.dep` and its companions, which `depmod` makes and no package owns.

use crate::scan::{is_release, list, name};
use crate::{Error, Result};
use lazuli_fs as fs;
use std::path::Path;
use std::process::Command;

/// What `depmod` writes.
const MADE: [&str; 11] = [
    "modules.alias",
    "modules.alias.bin",
    "modules.builtin.alias.bin",
    "modules.builtin.bin",
    "modules.dep",
    "modules.dep.bin",
    "modules.devname",
    "modules.softdep",
    "modules.symbols",
    "modules.symbols.bin",
    "modules.weakdep",
];

/// The releases below `root` that have modules.
pub fn with_modules(root: &Path) -> Result<Vec<String>> {
    let dirs = list(&root.join("usr/lib/modules"))?;
    let dirs = dirs.iter().filter(|dir| dir.join("kernel").is_dir());
    Ok(dirs.filter_map(|dir| name(dir)).filter(|release| is_release(release)).collect())
}

/// Makes the index of each release anew, with the running system's `depmod`. It writes files under other
/// names and renames them. One that fails does not keep the others from theirs; the first error is returned.
pub fn index(root: &Path) -> Result<()> {
    index_with(root, "depmod".as_ref())
}

/// The same with another program.
fn index_with(root: &Path, depmod: &Path) -> Result<()> {
    let mut done = Ok(());
    for release in with_modules(root)? {
        let mut command = Command::new(depmod);
        command.arg("-a").arg("-b").arg(root).arg("--").arg(&release);
        let this = fs::process::run(command, |_| {}).map_err(|source| Error::Index { release, source });
        done = done.and(this.map(drop));
    }
    done
}

/// Takes away the indexes of kernels that are gone, so that nothing of them stays; returns their releases.
pub fn tidy(root: &Path) -> Result<Vec<String>> {
    let mut gone = Vec::new();
    for dir in list(&root.join("usr/lib/modules"))? {
        let Some(release) = name(&dir).filter(|release| is_release(release)) else { continue };
        let only_made = fs::read_dir(&dir).is_ok_and(|entries| {
            !entries.is_empty() && entries.iter().all(|e| name(e).is_some_and(|n| MADE.contains(&&*n)))
        });
        if only_made {
            fs::remove_dir_all(&dir)?;
            gone.push(release);
        }
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kernel_without_index_does_not_keep_the_others_from_theirs() {
        let dir = tempfile::tempdir().expect("a directory");
        for release in ["6.1-1", "6.2-1", "6.3-1"] {
            fs::create_dir_all(dir.path().join("usr/lib/modules").join(release).join("kernel"))
                .expect("a folder");
        }
        let program = dir.path().join("depmod");
        let script = "#!/bin/sh\n[ \"$5\" = 6.3-1 ] || exit 1\n: > \"$3/usr/lib/modules/$5/modules.dep\"\n";
        fs::write(&program, script).expect("a program");
        fs::set_mode(&program, 0o755).expect("a mode");
        let error = index_with(dir.path(), &program).expect_err("two fail").to_string();
        assert!(error.contains("6.1-1"), "{error}");
        fs::metadata(dir.path().join("usr/lib/modules/6.3-1/modules.dep")).expect("the last has one");
    }
}
