//! Pictures of results, as `--chart` and `--format svg` draw them. The prompt's `\chart` is in `repl`.

use insta::assert_snapshot;

use crate::browser::{self, EVERY_MARK_HAS_A_FOCUS};
use crate::program::Place;

fn over_shop(args: &[&str], sql: &str) -> String {
    let shop = format!("{}/testdata/shop", env!("CARGO_MANIFEST_DIR"));
    let args: Vec<&str> = ["-w", &shop].iter().chain(args).copied().chain(["-c", sql]).collect();
    Place::new().run(&args)
}

#[track_caller]
fn chart(sql: &str) -> String {
    let shown = over_shop(&["--chart"], sql);
    shown.strip_prefix("exit 0\n-- stdout\n").unwrap_or_else(|| panic!("{shown}")).to_string()
}

const TRIANGLE: &str = "SELECT * FROM retention_triangle(events, start => 'signup', unit => 'month', periods => 5)";
const CURVE: &str = "SELECT * FROM retention_curve(events, start => 'signup', unit => 'week', periods => 12)";
const FUNNEL: &str = "SELECT * FROM funnel(events, steps => ['view_item','add_to_cart','purchase'], within => INTERVAL '7 days', by => platform)";
const LIFECYCLE: &str = "SELECT * FROM lifecycle(events, unit => 'month')";

#[test]
fn a_funnel_is_bars_with_conversions() {
    assert_snapshot!(chart(FUNNEL), @r"
    android
                                         users  conversion  step_conversion  dropped
    view_item   ███████████████████████    269      100.0%           100.0%        0
    add_to_cart ████████▍                   98       36.4%            36.4%      171
    purchase    ████▏                       48       17.8%            49.0%       50

    ios
                                         users  conversion  step_conversion  dropped
    view_item   ███████████████████████    141      100.0%           100.0%        0
    add_to_cart ███████████▉                73       51.8%            51.8%       68
    purchase    █████                       31       22.0%            42.5%       42

    web
                                         users  conversion  step_conversion  dropped
    view_item   ███████████████████████    374      100.0%           100.0%        0
    add_to_cart █████████▋                 157       42.0%            42.0%      217
    purchase    █████▏                      83       22.2%            52.9%       74
    ");
}

#[test]
fn a_triangle_is_a_heat_map() {
    assert_snapshot!(chart(TRIANGLE), @r"
    cohort     size    0    1    2    3    4    5
    2025-01-01  368 █83% ▒33% ▒34% ▒26% ░21%
    2025-02-01  285 █83% ▒32% ▒34% ▒28%
    2025-03-01  359 █82% ▒36% ▒37%
    2025-04-01  317 █82% ▒38%
    2025-05-01  359 █87%
    2025-06-01  312
    ");
}

#[test]
fn a_curve_has_its_interval() {
    assert_snapshot!(chart(CURVE), @r"
    100% ┤
         │
         │⢣
     75% ┤⠈⡆
         │ ⠸⡀
         │  ⢣
     50% ┤  ⠈⢆
         │   ⠘⡄
     25% ┤    ⢱
         │     ⢇                      ⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀
         │     ⠘⣄⣀⠤⠤⠤⠒⠒⠒⠒⠒⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉            ⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠢⠤⠤⠤⠤⠤⠤⠤⠤⠤
      0% ┤
         └──────────────────────────────────────────────────────────────────────────
          0                                                                       12
    rate  10.2% (8.5% to 12.2%) at 12
    ");
}

#[test]
fn flows_are_stacked() {
    assert_snapshot!(chart(LIFECYCLE), @r"
     815 ┤                              ▒▒▒▒▒
         │                        ▒▒▒▒▒ ▓▓▓▓▓
         │                  ▒▒▒▒▒ ▓▓▓▓▓ ▓▓▓▓▓
         │            ▒▒▒▒▒ ▓▓▓▓▓ ▓▓▓▓▓ ▓▓▓▓▓
         │            ▓▓▓▓▓ ▓▓▓▓▓ ▓▓▓▓▓ ▓▓▓▓▓
         │      ▓▓▓▓▓ ▓▓▓▓▓ ▓▓▓▓▓ ▓▓▓▓▓ ▓▓▓▓▓
         │█████ ▓▓▓▓▓ █████ █████ █████ █████
         │█████ █████ █████ █████ █████ █████
         │█████ █████ █████ █████ █████ █████
         │█████ █████ █████ █████ █████ █████
       0 ┤────────────────────────────────────
         │      ░░░░░ ░░░░░ ░░░░░ ░░░░░ ░░░░░
         │      ░░░░░ ░░░░░ ░░░░░ ░░░░░ ░░░░░
         │      ░░░░░ ░░░░░ ░░░░░ ░░░░░ ░░░░░
         │                  ░░░░░ ░░░░░ ░░░░░
    -353 ┤
          2025-01-01 – 2025-06-01*
    █ new  312 at 2025-06-01*
    ▓ returning  416 at 2025-06-01*
    ▒ resurrected  87 at 2025-06-01*
    ░ dormant  353 at 2025-06-01*
    * not over yet
    ");
}

#[test]
fn numbers_over_time_are_lines_and_sparklines() {
    let sql = "SELECT CAST(date_trunc('week', ts) AS DATE) AS week, count(*) AS events, count(DISTINCT user_id) AS users, \
        avg(price) AS price FROM events GROUP BY ALL ORDER BY 1";
    assert_snapshot!(chart(sql), @r"
    3,000 ┤
          │
          │                                                          ●
          │                                                ●●●     ●●●●●●●●●●●●●●●●
    2,000 ┤                                             ●●●● ●●●●●●                ●
          │                            ●●●●●● ●●●●● ●●●●
          │                ●●●● ●●●●●●●●    ●●●    ●●
    1,000 ┤          ●●●●●●    ●●
          │       ●●●●
          │  ●●●●●●
          │●●                                           ○○○○○○○○○○○○○○○○○○○○○○○○○○○○
        0 ┤○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○○
          └─────────────────────────────────────────────────────────────────────────
           2024-12-30                                                     2025-06-23
    ● events  1,914 at 2025-06-23
    ○ users  274 at 2025-06-23
    price ▁▆▄▆▃▂▃▃▆▂▂▆█▃▅▄▄▂▄▅▆▅▁▄▆▄ 102.407722
    ");
}

#[test]
fn paths_are_set_in_by_step() {
    let sql = "SELECT * FROM paths(events, from => 'signup', depth => 2, top => 5)";
    assert_snapshot!(chart(sql), @r"
                                                                users  events  share
    signup → page_view      ██████████████████████████████████  1,142   1,142  57.1%
    signup → login          ███████████████▋                      524     524  26.2%
    signup → (end)          ██████████                            334     334  16.7%
      page_view → page_view █████████████████▎                    580     580  50.8%
      page_view → (end)     ███████████▍                          380     380  33.3%
      login → page_view     ████████▏                             271     271  51.7%
      page_view → search    █████▍                                182     182  15.9%
      login → (end)         █████▎                                175     175  33.4%
      login → search        ██▍                                    78      78  14.9%
    ");
}

#[test]
fn what_is_no_picture_is_a_table_or_an_error() {
    assert_snapshot!(over_shop(&["--chart"], "SELECT 'a' AS letter"), @r"
    exit 0
    -- stdout
    ┌────────┐
    │ letter │
    ├────────┤
    │ a      │
    └────────┘
    -- stderr
    no chart fits these columns; they are shown as a table
    ");
    assert_snapshot!(over_shop(&["--chart=funnel"], "SELECT 'a' AS letter, 1 AS n"), @r"
    exit 1
    -- stderr
    error: a funnel chart lacks the column 'users'; what fits is bars
    ");
    assert_snapshot!(over_shop(&["--chart=pie"], "SELECT 1"), @r"
    exit 2
    -- stderr
    error: invalid value 'pie' for '--chart[=<KIND>]': unknown chart 'pie': allowed: auto, funnel, heatmap, curve, lifecycle, histogram, flow, line, bars

    For more information, try '--help'.
    ");
    assert_snapshot!(over_shop(&["--chart", "--format", "csv"], "SELECT 1"), @r"
    exit 2
    -- stderr
    error: --chart draws a table or svg, and the format is csv
    ");
    assert_snapshot!(over_shop(&["--format", "svg"], "SELECT 'a' AS letter"), @r"
    exit 1
    -- stderr
    error: no chart fits these columns: even bars lack a column of numbers
    ");
    assert_snapshot!(over_shop(&["--chart"], "SELECT event, count(*) AS n FROM events WHERE event = 'x' GROUP BY event"), @r"
    exit 0
    -- stdout
    (no rows)
    ");
    assert_snapshot!(over_shop(&["--chart"], "SELECT value AS n, 'a' AS letter FROM generate_series(1, 200000)"), @r"
    exit 1
    -- stderr
    error: a chart is made of 100,000 rows and 64 MiB at most, and this result has more
    hint: aggregate the rows or add a LIMIT
    ");
}

/// A result in a file is whole or not there, and a second one has no place in it.
#[test]
fn a_file_holds_one_svg() {
    let place = Place::new();
    let made = place.run(&["-o", "n.svg", "-c", "SELECT 'a <b>' AS letter, 9007199254740993 AS n"]);
    assert_eq!(made, "exit 0\n");
    let text = place.read("n.svg");
    let read = roxmltree::Document::parse(&text).unwrap();
    assert!(read.descendants().any(|n| n.text() == Some("a <b>: n 9007199254740993")), "{text}");
    let failed = place.run(&["-o", "n.svg", "-c", "SELECT 'a' AS letter"]);
    assert!(failed.starts_with("exit 1\n"), "{failed}");
    assert_eq!(place.read("n.svg"), text);
    assert_eq!(place.names(), ["n.svg"]);
}

/// Chromium draws each picture without asking for anything, and every mark lies within it; left out with a word where there is none.
#[test]
fn a_browser_draws_every_kind_alone() {
    let mut page = String::from("<!doctype html><meta charset=utf-8><body>");
    for sql in [FUNNEL, TRIANGLE, CURVE, LIFECYCLE] {
        let shown = over_shop(&["--format", "svg"], sql);
        page += shown.strip_prefix("exit 0\n-- stdout\n").unwrap_or_else(|| panic!("{shown}"));
    }
    page += "</body>";
    let within = "[...document.querySelectorAll('.mark')].every(m => { const [i, o] = [m, m.closest('svg')].map(e => e.getBoundingClientRect()); \
        return i.left >= o.left && i.right <= o.right && i.top >= o.top && i.bottom <= o.bottom })";
    let wanted = format!(
        "[performance.getEntriesByType('resource').length, document.querySelectorAll('.mark').length, {EVERY_MARK_HAS_A_FOCUS}, {within}]"
    );
    let marks = page.matches("class=\"mark\"").count();
    assert!(marks > 50, "{marks}");
    if let Some(answer) = browser::asked(&Place::new(), &page, &wanted) {
        assert_eq!(answer, format!("0,{marks},true,true"));
    }
}
