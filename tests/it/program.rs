//! The program as its users run it: a folder of its own, a known environment, and what came out as one text.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use tempfile::TempDir;

/// A folder to run the program in.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Names in the folder, hidden ones too.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The program in this folder, without the developer's own settings.
    pub fn tenure(&self) -> Command {
        let mut command = Command::new(program());
        command.current_dir(self.folder()).env("HOME", self.folder()).env("TMPDIR", self.folder());
        for name in ["XDG_STATE_HOME", "RUST_BACKTRACE", "NO_COLOR", "COLUMNS"] {
            command.env_remove(name);
        }
        command
    }

    /// Exit code, standard output and standard error of one run, as one text.
    pub fn run(&self, args: &[&str]) -> String {
        shown(self.tenure().args(args), self.folder())
    }

    /// The same with something on standard input.
    pub fn run_with_input(&self, args: &[&str], input: &str) -> String {
        shown(self.tenure().args(args).write_stdin(input), self.folder())
    }
}

/// The program that was built with these tests, or the one that `TENURE_PROGRAM` names: an optimised one for long trials.
pub fn program() -> &'static str {
    static NAMED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let named = NAMED.get_or_init(|| std::env::var("TENURE_PROGRAM").ok());
    named.as_deref().unwrap_or(env!("CARGO_BIN_EXE_tenure"))
}

fn shown(command: &mut Command, folder: &Path) -> String {
    let output = command.output().unwrap();
    let code = output.status.code().map_or("a signal".into(), |c| c.to_string());
    let mut text = format!("exit {code}\n");
    for (name, bytes) in [("stdout", output.stdout), ("stderr", output.stderr)] {
        if !bytes.is_empty() {
            text.push_str(&format!("-- {name}\n{}", String::from_utf8(bytes).unwrap()));
        }
    }
    text.replace(&folder.display().to_string(), "DIR")
}
