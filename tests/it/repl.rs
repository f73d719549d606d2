//! The prompt in a pseudo-terminal: keys in, a screen out.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::program::{Place, program};

/// Long enough for a slow machine that builds something else meanwhile; a test that passes never waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
const ROWS: u16 = 50;
const COLUMNS: u16 = 100;

/// A terminal with the program in it.
pub struct Terminal {
    pub child: Box<dyn Child + Send + Sync>,
    keys: Arc<Mutex<Box<dyn Write + Send>>>,
    screen: Arc<Mutex<vt100::Parser>>,
    master: Box<dyn MasterPty + Send>,
}

impl Terminal {
    pub fn open(place: &Place, args: &[&str]) -> Self {
        Self::open_in(place, args, &[])
    }

    /// With more in the environment than a bare terminal has.
    pub fn open_in(place: &Place, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let size = PtySize { rows: ROWS, cols: COLUMNS, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(program());
        command.args(args);
        command.cwd(place.folder());
        command.env_clear();
        command.env("TERM", "xterm-256color");
        command.env("HOME", place.path("home"));
        command.env("XDG_STATE_HOME", place.path("state"));
        environment.iter().for_each(|(name, value)| command.env(name, value));
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let keys = Arc::new(Mutex::new(pair.master.take_writer().unwrap()));
        let screen = Arc::new(Mutex::new(vt100::Parser::new(ROWS, COLUMNS, 10_000)));
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (screen_of_reader, keys_of_reader) = (Arc::clone(&screen), Arc::clone(&keys));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut bytes) {
                for part in bytes[..read].split_inclusive(|b| *b == b'n') {
                    let mut screen = screen_of_reader.lock().unwrap();
                    screen.process(part);
                    // "Where is the cursor?" A terminal answers; the editor waits for it.
                    if part.ends_with(b"\x1b[6n") {
                        let (row, column) = screen.screen().cursor_position();
                        let answer = format!("\x1b[{};{}R", row + 1, column + 1);
                        keys_of_reader.lock().unwrap().write_all(answer.as_bytes()).unwrap();
                    }
                }
            }
        });
        Self { child, keys, screen, master: pair.master }
    }

    /// Opens the prompt and waits for it.
    pub fn fresh(place: &Place, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let terminal = Self::open_in(place, args, environment);
        terminal.wait("the first prompt", |text| last_line(text) == "tenure>");
        terminal
    }

    /// The same, with results as plain as can be.
    pub fn prompt(place: &Place) -> Self {
        let terminal = Self::fresh(place, &[], &[]);
        terminal.plain();
        terminal
    }

    pub fn plain(&self) {
        assert_eq!(self.answer("\\types off"), "types of columns are off");
        assert_eq!(self.answer("\\timing off"), "timing is off");
    }

    /// Gives the terminal another size.
    pub fn resize(&self, rows: u16, columns: u16) {
        self.screen.lock().unwrap().screen_mut().set_size(rows, columns);
        self.master.resize(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }).unwrap();
    }

    pub fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    pub fn press(&self, keys: &str) {
        self.keys.lock().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    pub fn wait(&self, what: &str, seen: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let text = self.text();
            if seen(&text) {
                return text;
            }
            assert!(start.elapsed() < PATIENCE, "waited in vain for {what}; the screen:\n{text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Types a line on a cleared screen, and gives what stands between it and the next prompt.
    pub fn answer(&self, line: &str) -> String {
        // Ctrl-L leaves nothing of earlier answers that a test could take for this one's.
        self.press("\x0c");
        self.wait("an empty screen", |text| text.trim() == "tenure>");
        self.press(&format!("{line}\r"));
        let text = self.wait(&format!("the answer to {line}"), |text| {
            text.trim_end() != "tenure>" && last_line(text) == "tenure>" && text.matches("tenure>").count() >= 2
        });
        let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
        let echoed = lines.iter().take_while(|l| l.starts_with("tenure> ") || l.starts_with("     ->")).count();
        lines[echoed..lines.len() - 1].join("\n")
    }

    pub fn leave(mut self) -> u32 {
        self.press("\\q\r");
        self.child.wait().unwrap().exit_code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

pub fn last_line(text: &str) -> &str {
    text.trim_end().lines().last().unwrap_or_default().trim_end()
}

pub fn matches(text: &str, pattern: &str) -> bool {
    regex::Regex::new(pattern).unwrap().is_match(text)
}

#[test]
fn a_statement_may_span_lines() {
    let place = Place::new();
    let terminal = Terminal::prompt(&place);
    terminal.press("SELECT 6 * 7\r");
    terminal.wait("the prompt to go on", |text| last_line(text).starts_with("     ->"));
    let answer = terminal.answer_of_open_line("AS answer;");
    assert_eq!(answer, "┌────────┐\n│ answer │\n├────────┤\n│     42 │\n└────────┘\n1 row");
    assert_eq!(terminal.answer("SELECT 1 AS a; SELECT 2 AS b;").matches("1 row").count(), 2);
    assert_eq!(terminal.leave(), 0);
}

impl Terminal {
    /// Ends the statement that is being typed.
    fn answer_of_open_line(&self, line: &str) -> String {
        self.press(&format!("{line}\r"));
        let text = self.wait("the answer", |text| text.contains("row") && last_line(text) == "tenure>");
        let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
        let from = lines.iter().position(|l| l.starts_with('┌')).unwrap();
        lines[from..lines.len() - 1].join("\n")
    }
}

#[test]
fn an_error_is_told_and_the_session_goes_on() {
    let terminal = Terminal::prompt(&Place::new());
    assert!(terminal.answer("SELECT nope;").starts_with("error: "));
    assert!(terminal.answer("SELEC 1;").starts_with("error: syntax error"));
    assert!(terminal.answer("SELECT 5 AS five;").contains("│    5 │"));
    let unknown = terminal.answer("\\tming");
    assert!(unknown.contains("unknown command \\tming: did you mean \\timing?"), "{unknown}");
}

#[test]
fn the_prompts_own_commands() {
    let place = Place::new();
    let terminal = Terminal::prompt(&place);
    for command in ["\\d", "\\dt", "\\df", "\\timing", "\\x", "\\o", "\\format", "\\i", "\\p", "\\q"] {
        assert!(terminal.answer("\\?").contains(command), "{command}");
    }
    assert_eq!(terminal.answer("\\timing"), "timing is on");
    let timed = terminal.answer("SELECT 1 AS a;");
    assert!(matches(&timed, r"(?m)^1 row in \d+\.\d{3} s(, \d+ [kM]B)?$"), "{timed}");
    assert_eq!(terminal.answer("\\timing off"), "timing is off");
    assert_eq!(terminal.answer("\\x"), "expanded display is on");
    let expanded = terminal.answer("SELECT 1 AS a, 'x' AS b;");
    assert!(expanded.contains("─[ 1 ]─") && expanded.contains("a │ 1") && expanded.contains("b │ x"), "{expanded}");
    assert_eq!(terminal.answer("\\x off"), "expanded display is off");
    assert_eq!(terminal.answer("\\format csv"), "format is csv");
    assert_eq!(terminal.answer("SELECT 1 AS a, 'x' AS b;"), "a,b\n1,x");
    assert!(terminal.answer("\\format parquet").contains("parquet"));
    assert!(terminal.answer("SELECT 1;").contains("not for a terminal"));
    assert_eq!(terminal.answer("\\format table"), "format is table");
    terminal.answer("\\p country=DE");
    assert!(terminal.answer("\\p").contains("│ country   │ DE    │"));
}

#[test]
fn tables_are_listed_and_described() {
    let terminal = Terminal::prompt(&Place::new());
    assert!(terminal.answer("\\d").contains("no tables"));
    terminal.answer("CREATE TABLE kept AS SELECT 1 AS n, 'x' AS text;");
    assert!(terminal.answer("\\dt").contains("│ kept  │       2 │"), "{}", terminal.answer("\\dt"));
    let columns = terminal.answer("\\d kept");
    assert!(columns.contains("│ n      │ BIGINT") && columns.contains("│ text   │"), "{columns}");
    assert!(terminal.answer("\\d kpt").contains("no table 'kpt': did you mean 'kept'?"));
}

#[test]
fn one_result_goes_to_a_file() {
    let place = Place::new();
    let terminal = Terminal::prompt(&place);
    assert_eq!(terminal.answer("\\o out.csv"), "the next result goes to out.csv as csv");
    assert!(terminal.answer("SELECT nope;").starts_with("error: "));
    assert_eq!(terminal.answer("SELECT 1 AS a;"), "wrote out.csv; results are back on the screen");
    assert_eq!(place.read("out.csv"), "a\n1\n");
    assert!(terminal.answer("SELECT 2 AS b;").contains("│ 2 │"));
    assert_eq!(place.read("out.csv"), "a\n1\n");
}

#[test]
fn a_file_of_statements() {
    let place = Place::new();
    place.write("s.sql", "SELECT 1 AS one;\nSELECT nope;\nSELECT 3 AS three;");
    let terminal = Terminal::prompt(&place);
    let answer = terminal.answer("\\i s.sql");
    assert!(answer.contains("│ one │") && answer.contains("error: s.sql:2: statement 2 of 3: "), "{answer}");
    assert!(!answer.contains("three"), "{answer}");
    assert!(terminal.answer("\\i none.sql").contains("cannot read 'none.sql'"));
}

#[test]
fn ctrl_c_stops_the_query_and_keeps_the_session() {
    let terminal = Terminal::prompt(&Place::new());
    terminal.answer("CREATE TABLE kept AS SELECT 11 AS n;");
    terminal.press("SELECT count(*) FROM generate_series(1, 100000000000);\r");
    terminal.wait("the progress line", |text| last_line(text).contains("running") || last_line(text).contains("rows"));
    terminal.press("\x03");
    let text = terminal.wait("the prompt again", |text| last_line(text) == "tenure>");
    assert!(text.contains("stopped"), "{text}");
    assert!(!text.contains("running"), "the progress line is erased: {text}");
    assert!(terminal.answer("SELECT n FROM kept;").contains("│ 11 │"));
}

#[test]
fn ctrl_c_clears_a_line_and_ctrl_d_leaves() {
    let mut terminal = Terminal::prompt(&Place::new());
    terminal.press("SELECT 'half\r");
    terminal.wait("the prompt to go on", |text| last_line(text).starts_with("     ->"));
    terminal.press("\x03");
    terminal.wait("an empty prompt", |text| last_line(text) == "tenure>");
    assert!(terminal.answer("SELECT 8 AS eight;").contains("│     8 │"));
    terminal.press("\x04");
    assert_eq!(terminal.child.wait().unwrap().exit_code(), 0);
}

#[test]
fn history_lies_in_the_state_folder() {
    let place = Place::new();
    let terminal = Terminal::prompt(&place);
    terminal.answer("SELECT 123 AS remembered;");
    assert_eq!(terminal.leave(), 0);
    assert!(place.read("state/tenure/history").contains("SELECT 123 AS remembered;"));
    assert_eq!(place.names(), ["state"], "nothing else in the working folder");
    let again = Terminal::fresh(&place, &[], &[]);
    again.press("\x1b[A\x1b[A");
    again.wait("the line before", |text| last_line(text) == "tenure> SELECT 123 AS remembered;");
}

#[test]
fn a_history_that_cannot_be_kept_is_a_warning() {
    let place = Place::new();
    place.write("state", "a file where a folder should be");
    let terminal = Terminal::fresh(&place, &[], &[]);
    assert!(terminal.text().contains("warning: the history is not kept"), "{}", terminal.text());
    terminal.plain();
    assert!(terminal.answer("SELECT 1 AS a;").contains("│ 1 │"));
}

#[test]
fn tab_completes() {
    let place = Place::new();
    let terminal = Terminal::prompt(&place);
    terminal.press("SELECT coales\t");
    terminal.wait("the function", |text| last_line(text).starts_with("tenure> SELECT coalesce"));
    terminal.press("(NULL, 3) AS three;\r");
    terminal.wait("the answer", |text| text.contains("│     3 │") && last_line(text) == "tenure>");
}

#[test]
fn long_results_are_cut_and_say_so() {
    let terminal = Terminal::prompt(&Place::new());
    let answer = terminal.answer("SELECT * FROM generate_series(1, 12345);");
    let last = answer.lines().last().unwrap();
    assert_eq!(last, "12,345 rows (first 40 shown; \\o FILE or --format csv for all)");
    assert!(answer.contains("│    40 │") && !answer.contains("│    41 │"), "{answer}");
    terminal.answer("\\rows 3");
    assert!(terminal.answer("SELECT * FROM generate_series(1, 9);").contains("9 rows (first 3 shown"));
}

#[test]
fn wide_results_fit_the_terminal() {
    let terminal = Terminal::prompt(&Place::new());
    let answer = terminal.answer("SELECT 123456789 AS number, repeat('word ', 100) AS text;");
    let widths: Vec<usize> = answer.lines().map(|l| l.chars().count()).collect();
    assert!(widths.iter().all(|w| *w <= usize::from(COLUMNS)), "{answer}");
    assert!(answer.contains("123456789") && answer.contains('…'), "{answer}");
}

#[test]
fn data_cannot_drive_the_terminal() {
    let terminal = Terminal::prompt(&Place::new());
    let answer = terminal.answer("SELECT concat('a', chr(27), '[2Jb', chr(10), 'c') AS text;");
    assert!(answer.contains("│ a\\x1b[2Jb\\nc │"), "{answer}");
}

#[test]
fn a_stopped_join_of_everything_leaves_the_prompt_free() {
    let place = Place::new();
    let terminal = Terminal::open(&place, &["--threads", "2"]);
    terminal.wait("the first prompt", |text| last_line(text) == "tenure>");
    let endless = "SELECT count(*) FROM range(100000) AS a, range(100000) AS b, range(100000) AS c;";
    for _ in 0..2 {
        terminal.press("\x0c");
        terminal.wait("an empty screen", |text| text.trim() == "tenure>");
        terminal.press(&format!("{endless}\r"));
        terminal
            .wait("the statement to run", |text| text.contains("range(100000) AS c;") && last_line(text) != "tenure>");
        // Into the middle of the join.
        std::thread::sleep(Duration::from_millis(300));
        terminal.press("\x03");
        terminal.wait("the next prompt", |text| text.contains("stopped") && last_line(text) == "tenure>");
        assert!(terminal.answer("SELECT 40 + 2 AS answer;").contains("42"));
    }
    assert_eq!(terminal.leave(), 0);
}

#[test]
fn control_characters_in_data_do_not_reach_the_terminal() {
    let place = Place::new();
    let terminal = Terminal::open(&place, &["--format", "csv", "-c", "SELECT 'a' || chr(27) || '[2Jb' || chr(7) AS x"]);
    let text = terminal.wait("the answer", |text| text.contains("[2Jb"));
    assert!(text.contains(r"a\x1b[2Jb\x07"), "{text}");
}

/// A list on a terminal, and as a pipe gets it.
#[test]
fn names_of_files_do_not_drive_the_terminal() {
    let place = Place::new();
    place.write("e.csv", "user_id,ts,event\nu1,2024-01-01T00:00:00Z,view\n");
    assert!(place.run(&["ingest", "e.csv", "--into", "data", "--table", "events", "-q"]).starts_with("exit 0"));
    // As a writer that was killed long ago would have left it.
    let odd = "data/events/\x1b[2Jodd.parquet";
    place.write(odd, "");
    let file = std::fs::File::options().append(true).open(place.path(odd)).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(3 * 86_400)).unwrap();
    let args = ["vacuum", "data/events", "--older-than", "0", "--dry-run"];
    let terminal = Terminal::open(&place, &args);
    let text = terminal.wait("the list", |text| text.contains("would remove"));
    assert!(text.contains("\\x1b[2Jodd.parquet"), "{text}");
    assert!(place.run(&args).contains("\x1b[2Jodd.parquet\n"));
}

/// Hints, errors and offers that name what is in data.
#[test]
fn names_of_columns_do_not_drive_the_terminal() {
    let place = Place::new();
    place.write("e.csv", "user_id,pri\x1bce\n1,2\n");
    let terminal = Terminal::open(&place, &["-t", "t=e.csv"]);
    terminal.wait("the first prompt", |text| last_line(text) == "tenure>");
    let told = terminal.answer("SELECT price FROM t;");
    assert!(told.contains("\\x1b"), "{told}");
    assert!(terminal.answer("\\d t").contains("pri\\x1bce"));
    // Tab offers no such name.
    terminal.press("SELECT t.pri\t");
    std::thread::sleep(Duration::from_millis(300));
    terminal.press("\x03");
    let text = terminal.wait("the prompt", |text| last_line(text) == "tenure>");
    assert!(!text.contains("pri\x1b") && text.contains("SELECT t.pri"), "{text}");
}

/// Whoever asks the prompt to end gets an end: nothing is left but the history.
#[cfg(unix)]
#[test]
fn a_request_to_end_ends_the_prompt() {
    let send = |terminal: &Terminal, name: &str| {
        let id = terminal.child.process_id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    };
    for (name, code) in [("TERM", 143), ("HUP", 129), ("QUIT", 131)] {
        let place = Place::new();
        let mut terminal = Terminal::prompt(&place);
        assert!(terminal.answer("SELECT 41 + 1 AS kept;").contains("42"));
        send(&terminal, name);
        assert_eq!(terminal.child.wait().unwrap().exit_code(), code, "{name}");
        assert!(place.read("state/tenure/history").contains("SELECT 41 + 1 AS kept;"), "{name}");
        // In the middle of a statement that writes a file.
        let mut terminal = Terminal::prompt(&place);
        std::fs::create_dir(place.path("out")).unwrap();
        terminal.press("COPY (SELECT * FROM generate_series(1, 100000000000)) TO 'out/x.csv';\r");
        let out = place.path("out");
        terminal.wait("the file", |_| std::fs::read_dir(&out).unwrap().count() > 0);
        send(&terminal, name);
        assert_eq!(terminal.child.wait().unwrap().exit_code(), code, "{name}");
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0, "{name}");
        assert!(place.read("state/tenure/history").contains("TO 'out/x.csv'"), "{name}");
        assert_eq!(place.names(), ["out", "state"], "{name}");
    }
}

/// Files are neither written nor read nor offered where a session only reads its tables.
#[test]
fn a_read_only_prompt_names_no_files() {
    let place = Place::new();
    place.write("t.csv", "user_id\n1\n");
    place.write("s.sql", "SELECT 1;");
    let terminal = Terminal::fresh(&place, &["--read-only", "-t", "t=t.csv"], &[]);
    terminal.plain();
    assert!(terminal.answer("SELECT count(*) AS n FROM t;").contains("│ 1 │"));
    for command in ["\\o x.csv", "\\i s.sql", "\\save x", "\\run x", "\\e"] {
        assert!(terminal.answer(command).contains("the session is read-only"), "{command}");
    }
    terminal.press("SELECT * FROM 't.\t");
    std::thread::sleep(Duration::from_millis(300));
    terminal.press("\x03");
    let text = terminal.wait("the prompt", |text| last_line(text) == "tenure>");
    assert!(!text.contains("t.csv'"), "{text}");
    assert_eq!(place.names(), ["s.sql", "state", "t.csv"]);
}
