//! Reading TOML files with errors that name file, line and the nearest valid key.

use crate::schema::{nearest, suggestion};
use lazuli_fs as fs;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// A TOML file that does not say something valid.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] fs::Error),
    /// It cannot be understood.
    #[error("{file}:{line}: {message}", file = .file.display())]
    Invalid {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong and what to try.
        message: String,
    },
}

/// Reads and decodes the file.
pub fn read<T: DeserializeOwned>(file: &Path) -> Result<T, Error> {
    parse(file, &fs::read_to_string(file)?)
}

/// Decodes `text`; `file` is for errors only.
pub fn parse<T: DeserializeOwned>(file: &Path, text: &str) -> Result<T, Error> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.get(..start).map_or(1, |before| before.matches('\n').count() + 1);
        Error::Invalid { file: file.to_owned(), line, message: explain(error.message()) }
    })
}

/// An error that no span belongs to, for example of a cross-check; finds the line of `key`.
pub fn invalid(file: &Path, text: &str, key: &str, message: impl Into<String>) -> Error {
    let line = text.lines().position(|l| !key.is_empty() && l.contains(key)).map_or(1, |i| i + 1);
    Error::Invalid { file: file.to_owned(), line, message: message.into() }
}

/// serde lists all valid keys; a person wants the nearest one first.
fn explain(message: &str) -> String {
    let message = message.trim();
    for (prefix, what) in [("unknown field `", "key"), ("unknown variant `", "value")] {
        if let Some(rest) = message.strip_prefix(prefix)
            && let Some((word, list)) = rest.split_once('`')
        {
            let known: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
            let near = nearest(word, known.iter().copied());
            return format!("unknown {what} `{word}`{} (valid here: {})", suggestion(near), known.join(", "));
        }
    }
    message.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{ComponentFile, Distro};

    #[test]
    fn an_unknown_key_is_named_with_file_line_and_nearest_key() {
        let text = "kind = \"adopted\"\npackages = [\"bash\"]\n[package.bash]\ndrop-require = []\n";
        let error = parse::<ComponentFile>(Path::new("component.toml"), text).unwrap_err().to_string();
        assert!(
            error.starts_with("component.toml:4: unknown key `drop-require`; did you mean `drop-requires`?"),
            "{error}"
        );
    }

    #[test]
    fn a_wrong_type_is_named_with_its_line() {
        let text = "name = \"x\"\nid = \"x\"\nversion = 1\n";
        let error = parse::<Distro>(Path::new("lazuli.toml"), text).unwrap_err().to_string();
        assert!(error.starts_with("lazuli.toml:3: invalid type: integer `1`, expected a string"), "{error}");
    }

    #[test]
    fn a_wrong_kind_shows_the_valid_ones() {
        let error = parse::<ComponentFile>(Path::new("c"), "kind = \"adapted\"\npackages = []\n")
            .unwrap_err()
            .to_string();
        assert!(error.contains("c:1: unknown value `adapted`; did you mean `adopted`?"), "{error}");
    }
}
