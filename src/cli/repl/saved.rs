//! Queries with names: `\save`, `\run`.
//!
//! Deals with: files `NAME.sql` in the folder `tenure/queries` beside the user's other settings. Does not deal with: running them.

use std::path::{Path, PathBuf};

use crate::cli::script::{self, Script};
use crate::error::{Error, Result, suggest};
use crate::output::NewFile;

const EXTENSION: &str = "sql";

/// Longer names are a slip.
const LONGEST: usize = 64;

/// A folder of queries.
pub(super) struct Saved(PathBuf);

impl Saved {
    /// That of this user.
    pub fn of_user() -> Result<Self> {
        use etcetera::BaseStrategy;
        let base = etcetera::choose_base_strategy().map_err(|e| Error::user(format!("no folder for queries: {e}")))?;
        Ok(Self(base.config_dir().join("tenure").join("queries")))
    }

    /// Keeps a statement; gives whether one of that name was there.
    pub fn save(&self, name: &str, statement: &str) -> Result<bool> {
        let path = self.path(name)?;
        private_folder(&self.0).map_err(|e| Error::io("make the folder", &self.0, &e))?;
        let replaces = path.exists();
        let file = NewFile::create(&path)?;
        let mut writer = file.writer()?;
        std::io::Write::write_all(&mut writer, format!("{statement};\n").as_bytes())
            .map_err(|e| Error::io("write", &path, &e))?;
        drop(writer);
        file.commit()?;
        Ok(replaces)
    }

    /// The statements of a name.
    pub fn read(&self, name: &str) -> Result<Script> {
        let path = self.path(name)?;
        if !path.is_file() {
            let names = self.names();
            let near = if names.is_empty() {
                "none is saved".to_string()
            } else {
                suggest(name, names.iter().map(String::as_str))
            };
            return Err(
                Error::user(format!("no saved query '{name}': {near}")).hint("\\save NAME saves the last statement")
            );
        }
        script::file(&path)
    }

    /// The names, by the alphabet.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == EXTENSION))
            .filter_map(|path| path.file_stem()?.to_str().map(str::to_string))
            .filter(|name| check(name).is_ok())
            .collect();
        names.sort_unstable();
        names
    }

    fn path(&self, name: &str) -> Result<PathBuf> {
        check(name)?;
        Ok(self.0.join(name).with_extension(EXTENSION))
    }
}

fn check(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.len() <= LONGEST && name.chars().all(fits) {
        return Ok(());
    }
    Err(Error::user(format!(
        "a saved query cannot be called '{name}': up to {LONGEST} letters (a to z), digits, _ and -"
    )))
}

/// Statements may hold names and addresses: nobody else reads them.
fn private_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_saved_listed_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let saved = Saved(folder.path().join("queries"));
        assert!(saved.names().is_empty());
        assert!(saved.read("weekly").unwrap_err().message().ends_with("none is saved"));
        assert!(!saved.save("weekly", "SELECT 1").unwrap());
        assert!(saved.save("weekly", "SELECT 'it''s;'").unwrap());
        assert!(!saved.save("a-2", "SELECT 2").unwrap());
        std::fs::write(folder.path().join("queries/note.txt"), "").unwrap();
        std::fs::write(folder.path().join("queries/\u{1b}[2J.sql"), "").unwrap();
        assert_eq!(saved.names(), ["a-2", "weekly"]);
        assert_eq!(std::fs::read_to_string(folder.path().join("queries/weekly.sql")).unwrap(), "SELECT 'it''s;';\n");
        assert!(saved.read("wekly").unwrap_err().message().contains("did you mean 'weekly'?"));
        assert!(saved.read("weekly").is_ok());
    }

    #[test]
    fn names_are_no_paths() {
        let folder = tempfile::tempdir().unwrap();
        let saved = Saved(folder.path().join("queries"));
        for name in ["", "..", "a/b", "../x", "a.b", "a b", "é", "\u{1b}[2J", &"x".repeat(65)] {
            assert!(saved.save(name, "SELECT 1").unwrap_err().message().contains("cannot be called"), "{name}");
            assert!(saved.read(name).unwrap_err().message().contains("cannot be called"), "{name}");
        }
        assert!(!folder.path().join("queries").exists());
    }
}
