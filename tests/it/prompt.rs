//! What the prompt does beside running statements, in a pseudo-terminal: the last result, pagers, editors, saved queries, completion.

use crate::program::Place;
use crate::repl::{Terminal, last_line, matches};

const SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/shop");

/// Where a shell finds `cat`, `sed` and `head`.
fn path() -> String {
    std::env::var("PATH").unwrap()
}

/// Waits for the prompt below something.
fn prompt_after(terminal: &Terminal, seen: &str) -> String {
    terminal.wait(seen, |text| text.contains(seen) && last_line(text) == "tenure>")
}

fn clear(terminal: &Terminal) {
    terminal.press("\x0c");
    terminal.wait("an empty screen", |text| text.trim() == "tenure>");
}

#[test]
fn the_last_result_is_a_table_and_is_shown_again_without_a_second_run() {
    let place = Place::new();
    let terminal = Terminal::fresh(&place, &[], &[]);
    assert!(terminal.answer("SELECT * FROM _;").contains("table '_' not found"));
    assert!(terminal.answer("\\last").contains("there is no last result"));
    let shown = terminal.answer("SELECT * FROM (VALUES (1, 'x'), (20, 'y')) AS v(n, t);");
    assert!(shown.contains("│ BIGINT │ VARCHAR │"), "types stand below the names: {shown}");
    assert!(matches(&shown, r"(?m)^2 rows in \d+\.\d{3} s(, \d+ [kM]B)?$"), "{shown}");
    assert!(terminal.answer("\\d").contains("no tables"), "it is no table of the session");
    assert!(terminal.answer("\\d _").contains("│ n      │ BIGINT"));
    assert!(terminal.answer("SELECT sum(n) AS s FROM _ WHERE t <> 'z';").contains("│     21 │"));
    assert!(terminal.answer("SELECT s + 1 AS more FROM _;").contains("│     22 │"));
    // A number that no second run would give.
    let random = terminal.answer("SELECT random() AS r;");
    let number = random.lines().find(|line| line.contains("0.")).unwrap().to_string();
    assert!(terminal.answer("SELECT nope;").contains("error: "));
    assert!(terminal.answer("\\last").contains(&number), "an error leaves the last result");
    assert!(terminal.answer("CREATE TABLE kept AS SELECT 5 AS five;").contains("ok in "));
    assert!(terminal.answer("\\last").contains(&number), "so does a statement without one");
    assert!(terminal.answer("\\explain SELECT 6").contains("plan"));
    assert!(terminal.answer("\\last").contains(&number), "and a plan");
    assert_eq!(terminal.answer("\\o last.csv"), "the next result goes to last.csv as csv");
    assert_eq!(terminal.answer("\\last"), "wrote last.csv; results are back on the screen");
    assert!(place.read("last.csv").starts_with("r\n0."));
}

#[test]
fn a_plan_of_the_last_statement() {
    let terminal = Terminal::prompt(&Place::new());
    assert!(terminal.answer("\\explain").contains("there is no last statement"));
    terminal.answer("SELECT 41 + 1 AS answer;");
    for command in ["\\explain", "\\explain SELECT 42 AS answer", "\\explain EXPLAIN SELECT 42 AS answer;"] {
        let plan = terminal.answer(command);
        assert!(plan.contains("logical_plan") && plan.contains("Int64(42) AS answer"), "{plan}");
    }
}

#[test]
fn what_the_screen_has_no_room_for_goes_to_the_pager() {
    let place = Place::new();
    let environment = [("PATH", &path() as &str), ("PAGER", "cat > paged.txt; echo was paged"), ("NO_COLOR", "1")];
    let terminal = Terminal::fresh(&place, &[], &environment);
    terminal.plain();
    assert!(terminal.answer("SELECT 'small' AS word;").contains("│ small │"));
    assert!(!place.path("paged.txt").exists(), "what fits stays on the screen");
    // Longer than the screen, and than the rows that a screen is given.
    let answer = terminal.answer("SELECT value AS number FROM generate_series(1, 123);");
    assert!(answer.contains("was paged") && !answer.contains("│"), "{answer}");
    let paged = place.read("paged.txt");
    assert!(paged.contains("│ number │") && paged.contains("│    123 │") && paged.contains("123 rows\n"), "{paged}");
    // Wider than the screen: nothing is cut.
    terminal.answer("SELECT repeat('word ', 100) AS text;");
    assert!(place.read("paged.txt").contains(&"word ".repeat(100)));
    assert!(terminal.answer("\\last").contains("was paged"));
    // The user's own number of rows holds.
    terminal.answer("\\rows 3");
    assert!(terminal.answer("SELECT * FROM generate_series(1, 123);").contains("123 rows (first 3 shown"));
    assert_eq!(terminal.answer("\\pager off"), "the pager is off");
    assert!(terminal.answer("SELECT repeat('word ', 100) AS text;").contains('…'));
    assert!(terminal.answer("\\pager on").starts_with("the pager is on: cat > "));
    assert!(terminal.answer("SELECT repeat('word ', 100) AS text;").contains("was paged"));
}

#[test]
fn a_pager_that_leaves_or_is_not_there_does_not_end_the_prompt() {
    let place = Place::new();
    let environment = [("PATH", &path() as &str), ("PAGER", "no"), ("TENURE_PAGER", "head -n 1 > /dev/null")];
    let terminal = Terminal::fresh(&place, &[], &environment);
    terminal.plain();
    assert_eq!(terminal.answer("SELECT * FROM generate_series(1, 200000);"), "");
    assert!(terminal.answer("SELECT count(*) AS n FROM _;").contains("│ 200000 │"), "it was kept whole");
    // Too much to keep: it is shown as it comes, and the query ends with its reader.
    assert_eq!(terminal.answer("SELECT * FROM generate_series(1, 100000000000);"), "");
    assert!(terminal.answer("SELECT * FROM _;").contains("the last result was not kept: it holds more than 64 MB"));
    assert!(terminal.answer("SELECT 1 AS a;").contains("│ 1 │"));
    let terminal = Terminal::fresh(&place, &[], &[("PATH", &path()), ("TENURE_PAGER", "tenure-has-no-such-pager")]);
    terminal.plain();
    let answer = terminal.answer("SELECT * FROM generate_series(1, 123);");
    assert!(answer.contains("the pager 'tenure-has-no-such-pager' cannot be run"), "{answer}");
    assert!(answer.contains("123 rows (first 40 shown"), "{answer}");
    assert!(terminal.answer("SELECT 1 AS a;").contains("│ 1 │"));
}

#[test]
fn a_statement_is_watched_until_ctrl_c() {
    let terminal = Terminal::prompt(&Place::new());
    assert!(terminal.answer("\\watch").contains("there is no last statement"));
    terminal.answer("SELECT 7 AS n;");
    clear(&terminal);
    terminal.press("\\watch 0.1\r");
    terminal.wait("the third time", |text| text.matches("│ 7 │").count() >= 3);
    terminal.press("\x03");
    prompt_after(&terminal, "stopped");
    assert!(terminal.answer("SELECT 8 AS n;").contains("│ 8 │"));
    terminal.answer("SELECT nope;");
    assert!(terminal.answer("\\watch 0.1").contains("error: "), "an error ends it");
}

#[cfg(unix)]
#[test]
fn statements_are_edited_in_the_users_editor() {
    let place = Place::new();
    let environment = [("PATH", &path() as &str), ("EDITOR", "sed -i -e s/1/41/")];
    let terminal = Terminal::fresh(&place, &[], &environment);
    terminal.plain();
    terminal.answer("SELECT 1 AS n;");
    let answer = terminal.answer("\\e");
    assert!(answer.starts_with("SELECT 41 AS n\n") && answer.contains("│ 41 │"), "{answer}");
    let answer = terminal.answer("\\e SELECT '1' AS text;");
    assert!(answer.starts_with("SELECT '41' AS text\n") && answer.contains("│ 41   │"), "{answer}");
    assert!(place.read("state/tenure/history").contains("SELECT '41' AS text"));
    // What is being typed.
    clear(&terminal);
    terminal.press("SELECT 1 AS typed");
    terminal.wait("the text", |text| last_line(text) == "tenure> SELECT 1 AS typed");
    terminal.press("\x0f");
    terminal.wait("the edited text", |text| last_line(text) == "tenure> SELECT 41 AS typed");
    terminal.press(";\r");
    prompt_after(&terminal, "│    41 │");
    // An editor that fails runs nothing.
    let terminal = Terminal::fresh(&place, &[], &[("PATH", &path()), ("EDITOR", "no"), ("VISUAL", "false")]);
    terminal.answer("SELECT 1 AS n;");
    assert!(terminal.answer("\\e").contains("nothing is run"));
}

#[test]
fn queries_are_saved_and_run_by_name() {
    let place = Place::new();
    let terminal = Terminal::fresh(&place, &[], &[("XDG_CONFIG_HOME", place.path("config").to_str().unwrap())]);
    terminal.plain();
    assert!(terminal.answer("\\run").contains("no saved queries"));
    assert!(terminal.answer("\\save nothing").contains("there is no last statement"));
    terminal.answer("SELECT 'it''s; saved' AS text;");
    assert!(terminal.answer("\\save weekly").contains("saved; \\run weekly runs it"));
    assert_eq!(place.read("config/tenure/queries/weekly.sql"), "SELECT 'it''s; saved' AS text;\n");
    terminal.answer("SELECT 2 AS two;");
    assert!(terminal.answer("\\run weekly").contains("it's; saved"));
    assert!(terminal.answer("\\run").contains("│ weekly │"));
    assert!(terminal.answer("\\save ../weekly").contains("a saved query cannot be called '../weekly'"));
    assert!(terminal.answer("\\run wekly").contains("did you mean 'weekly'?"));
    terminal.press("\\run we\t");
    terminal.wait("the name", |text| last_line(text) == "tenure> \\run weekly");
}

#[test]
fn keys_of_vi() {
    let place = Place::new();
    let terminal = Terminal::prompt(&place);
    assert_eq!(terminal.answer("\\keys"), "keys are those of emacs");
    assert_eq!(terminal.answer("\\keys vi"), "keys are those of vi");
    let with_vi = |terminal: &Terminal| {
        terminal.press("xSELECT 9 AS nine;");
        terminal.wait("the text", |text| last_line(text) == "tenure> xSELECT 9 AS nine;");
        terminal.press("\x1b");
        terminal.wait("the other mode", |text| last_line(text).starts_with("tenure: "));
        terminal.press("0x");
        terminal.wait("the text", |text| last_line(text) == "tenure: SELECT 9 AS nine;");
        terminal.press("\r");
        terminal.wait("the answer", |text| text.contains("│    9 │") && last_line(text).starts_with("tenure"));
    };
    clear(&terminal);
    with_vi(&terminal);
    place.write("tenure.toml", "[prompt]\nkeys = 'vi'\ntypes = false\ntiming = false\n");
    let terminal = Terminal::fresh(&place, &[], &[]);
    with_vi(&terminal);
    assert!(terminal.text().contains("1 row\n") && !terminal.text().contains("BIGINT"), "{}", terminal.text());
}

#[test]
fn arguments_and_events_are_completed() {
    let place = Place::new();
    let terminal = Terminal::fresh(&place, &["-w", SHOP], &[]);
    let complete = |typed: &str, completed: &str| {
        terminal.press(typed);
        terminal.wait(completed, |text| last_line(text) == completed);
    };
    complete("SELECT step FROM funnel(eve\t", "tenure> SELECT step FROM funnel(events");
    // The names are read meanwhile, and come when they are there.
    complete(", steps => ['page_v\t", "tenure> SELECT step FROM funnel(events, steps => ['page_view'");
    complete(", 'cart\t", "tenure> SELECT step FROM funnel(events, steps => ['page_view', 'add_to_cart'");
    complete("], wit\t", "tenure> SELECT step FROM funnel(events, steps => ['page_view', 'add_to_cart'], within =>");
    terminal.press(" INTERVAL '1 day') WHERE step = 2;\r");
    prompt_after(&terminal, "│       2 │");
    clear(&terminal);
    complete("SET tenure.time_z\t", "tenure> SET tenure.time_zone");
    terminal.press("= 'Europe/Berlin';\r");
    prompt_after(&terminal, "ok");
}

/// Names of events are data of somebody else.
#[test]
fn names_of_events_do_not_drive_the_terminal() {
    let place = Place::new();
    place.write("e.csv", "user_id,ts,event\nu,2024-01-01T00:00:00Z,it's\nu,2024-01-01T00:00:00Z,is\x1b[2Jodd\n");
    let terminal = Terminal::fresh(&place, &["-t", "t=e.csv"], &[]);
    terminal.press("SELECT * FROM funnel(t, steps => ['i\t");
    let text = terminal.wait("the only name", |text| last_line(text).ends_with("['it''s'"));
    assert!(!text.contains("odd"), "{text}");
    terminal.press("\x03");
    terminal.wait("an empty prompt", |text| last_line(text) == "tenure>");
    assert!(terminal.answer("SELECT event FROM t WHERE event <> 'it''s';").contains("is\\x1b[2Jodd"));
}

#[test]
fn the_history_is_hinted_at_in_colours_only() {
    let place = Place::new();
    let terminal = Terminal::prompt(&place);
    terminal.answer("SELECT 123 AS remembered;");
    clear(&terminal);
    terminal.press("SELECT 1");
    terminal.wait("the hint", |text| last_line(text) == "tenure> SELECT 123 AS remembered;");
    assert_eq!(terminal.leave_line(), "tenure> SELECT 1");
    let plain = Terminal::fresh(&place, &[], &[("NO_COLOR", "1")]);
    plain.press("SELECT 12");
    plain.wait("the text alone", |text| last_line(text) == "tenure> SELECT 12");
}

impl Terminal {
    /// Gives up the line that is being typed, and gives it as it stands then.
    fn leave_line(&self) -> String {
        self.press("\x03");
        let text = self.wait("an empty prompt", |text| last_line(text) == "tenure>");
        let mut lines = text.trim_end().lines().rev().map(str::trim_end);
        lines.find(|line| !line.is_empty() && *line != "tenure>").unwrap_or_default().to_string()
    }
}

#[test]
fn results_follow_the_size_of_the_screen() {
    let terminal = Terminal::prompt(&Place::new());
    let widest = |text: &str| text.lines().map(|line| line.chars().count()).max().unwrap();
    assert_eq!(widest(&terminal.answer("SELECT repeat('word ', 100) AS text;")), 100);
    terminal.resize(30, 40);
    assert_eq!(widest(&terminal.answer("SELECT repeat('word ', 100) AS text;")), 40);
}

#[test]
fn charts_are_drawn_of_the_last_result_or_of_all() {
    let terminal = Terminal::prompt(&Place::new());
    assert!(terminal.answer("\\chart").contains("there is no last result"));
    let rows = "SELECT * FROM (VALUES ('web', 30), ('ios', 15)) AS v(platform, users);";
    assert!(terminal.answer(rows).contains("│ web"));
    let drawn = terminal.answer("\\chart");
    assert!(drawn.contains("web  █") && !drawn.contains('│'), "{drawn}");
    // It is drawn again, and the next one is a table.
    assert!(terminal.answer("\\chart bars").contains("ios  █"));
    assert!(terminal.answer("\\chart funnel").contains("a funnel chart lacks the column 'conversion'"));
    assert!(terminal.answer("\\chart pie").contains("unknown chart 'pie'"));
    assert!(terminal.answer("\\last").contains("│ web"));
    assert_eq!(terminal.answer("\\chart on"), "charts in place of tables are on");
    assert!(terminal.answer(rows).contains("web  █"));
    let shown = terminal.answer("SELECT 'a' AS letter;");
    assert!(shown.contains("no chart fits these columns") && shown.contains("│ a"), "{shown}");
    assert_eq!(terminal.answer("\\chart off"), "charts in place of tables are off");
    assert!(terminal.answer(rows).contains("│ web"));
}
