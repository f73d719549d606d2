//! Figures of made results: which kind, what is written, how wide; and SVG read back by a parser of XML.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use proptest::prelude::*;
use unicode_width::UnicodeWidthStr;

use super::{Chart, Figure, Kind};

fn batch(columns: Vec<(&str, ArrayRef)>) -> (SchemaRef, Vec<RecordBatch>) {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    (batch.schema(), vec![batch])
}

fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn doubles(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

fn drawn(columns: Vec<(&str, ArrayRef)>, chart: Chart) -> Figure {
    let (schema, batches) = batch(columns);
    Figure::of(&schema, &batches, chart).unwrap()
}

#[track_caller]
fn kind(columns: &[(&str, ArrayRef)]) -> Kind {
    drawn(columns.to_vec(), Chart::Fitting).kind()
}

#[test]
fn the_kind_follows_from_the_columns() {
    let (n, x, t) = (ints(&[1]), doubles(&[0.5]), texts(&["a"]));
    let day: ArrayRef = Arc::new(Date32Array::from(vec![1]));
    let of = |names: &[(&'static str, &ArrayRef)]| {
        kind(&names.iter().map(|(name, column)| (*name, (*column).clone())).collect::<Vec<_>>())
    };
    assert_eq!(of(&[("step", &n), ("name", &t), ("users", &n), ("conversion", &x)]), Kind::Funnel);
    assert_eq!(of(&[("cohort", &day), ("size", &n), ("period_0", &x), ("period_1", &x)]), Kind::Heatmap);
    assert_eq!(of(&[("cohort", &day), ("period", &n), ("retained", &n), ("rate", &x)]), Kind::Heatmap);
    assert_eq!(of(&[("period", &n), ("rate", &x), ("low", &x), ("high", &x)]), Kind::Curve);
    assert_eq!(of(&[("week", &n), ("eligible", &n), ("rate", &x), ("low", &x), ("high", &x)]), Kind::Curve);
    // Without a place on an axis a rate with bounds is a bar.
    assert_eq!(of(&[("platform", &t), ("rate", &x), ("low", &x), ("high", &x)]), Kind::Bars);
    let flows = [("period", &day), ("new", &n), ("returning", &n), ("resurrected", &n), ("dormant", &n)];
    assert_eq!(of(&flows), Kind::Lifecycle);
    assert_eq!(of(&[("at_least", &n), ("below", &n), ("users", &n)]), Kind::Histogram);
    assert_eq!(of(&[("source", &t), ("target", &t), ("users", &n)]), Kind::Flow);
    assert_eq!(of(&[("day", &day), ("count(*)", &n)]), Kind::Line);
    assert_eq!(of(&[("count(*)", &n), ("platform", &t)]), Kind::Bars);
    assert_eq!(of(&[("rank", &n), ("score", &x)]), Kind::Bars);
}

#[test]
fn a_kind_that_does_not_fit_says_what_is_missing() {
    let fails = |columns: Vec<(&str, ArrayRef)>, chart: Chart| {
        let (schema, batches) = batch(columns);
        Figure::of(&schema, &batches, chart).unwrap_err().message().to_string()
    };
    assert_eq!(
        fails(vec![("platform", texts(&["a"])), ("n", ints(&[1]))], Chart::Of(Kind::Funnel)),
        "a funnel chart lacks the column 'users'; what fits is bars"
    );
    assert_eq!(
        fails(
            vec![("step", ints(&[1])), ("users", texts(&["a"])), ("conversion", ints(&[1]))],
            Chart::Of(Kind::Funnel)
        ),
        "a funnel chart lacks numbers in the column 'users'; what fits is bars"
    );
    assert_eq!(
        fails(vec![("platform", texts(&["a"]))], Chart::Fitting),
        "no chart fits these columns: even bars lack a column of numbers"
    );
    assert_eq!(Chart::from_name("pie").unwrap_err().message().split(':').next(), Some("unknown chart 'pie'"));
}

/// Two to the 53rd and one more are the same double.
#[test]
fn every_digit_is_written() {
    let (schema, batches) = batch(vec![
        ("id", texts(&["a", "b"])),
        ("n", ints(&[9_007_199_254_740_993, -9_007_199_254_740_993])),
        ("rate", doubles(&[0.1 + 0.2, 1.0])),
    ]);
    let figure = Figure::of(&schema, &batches, Chart::Fitting).unwrap();
    assert!(figure.text(80, false).contains("9,007,199,254,740,993"));
    assert!(figure.svg("f").contains("<title>a: n 9007199254740993</title>"));
    assert!(figure.svg("f").contains("<title>b: n -9007199254740993</title>"));
    let curve = vec![
        ("period", ints(&[0])),
        ("rate", doubles(&[0.1 + 0.2])),
        ("low", doubles(&[0.1])),
        ("high", doubles(&[0.4])),
    ];
    let svg = drawn(curve, Chart::Fitting).svg("f");
    assert!(svg.contains("rate · 0: 0.30000000000000004 (0.1 to 0.4)"), "{svg}");
}

#[test]
fn bars_say_how_large_they_are() {
    let bars = |values: &[f64]| {
        let labels: Vec<String> = (0..values.len()).map(|n| format!("{n}")).collect();
        let labels = texts(&labels.iter().map(String::as_str).collect::<Vec<_>>());
        let text = drawn(vec![("label", labels), ("n", doubles(values))], Chart::Of(Kind::Bars)).text(40, false);
        text.lines().skip(1).map(|l| l.chars().filter(|c| *c == '█').count()).collect::<Vec<_>>()
    };
    let whole = bars(&[4.0, 2.0, 1.0, 0.0]);
    assert!(
        whole[0] >= 20 && whole[1].abs_diff(whole[0] / 2) <= 1 && whole[2].abs_diff(whole[0] / 4) <= 1,
        "{whole:?}"
    );
    assert_eq!(whole[3], 0);
    let mixed = bars(&[-3.0, 3.0, f64::NAN, f64::NEG_INFINITY]);
    assert!(mixed[0] >= 10 && mixed[0].abs_diff(mixed[1]) <= 1, "{mixed:?}");
    assert_eq!(mixed[2..], [0, 0]);
    // All below zero, and what is next to nothing.
    assert!(bars(&[-1.0, -2.0])[1] >= 20);
    assert_eq!(bars(&[-1e-9, 1.0])[0], 1);
}

#[test]
fn losses_stand_below_the_line_and_gains_above() {
    let flows = |new: i64, dormant: i64| {
        let column = |v: i64| ints(&[v]);
        let columns = vec![
            ("period", texts(&["2025-01"])),
            ("new", column(new)),
            ("returning", column(0)),
            ("resurrected", column(0)),
            ("dormant", column(dormant)),
        ];
        drawn(columns, Chart::Fitting).text(60, false)
    };
    // A loss told as a negative number is the same loss.
    let strip = |text: String| text.lines().take_while(|l| !l.contains("2025")).map(str::to_string).collect::<Vec<_>>();
    assert_eq!(strip(flows(5, 5)), strip(flows(5, -5)));
    let zero = |lines: &[String]| lines.iter().position(|l| l.contains("0 ┤")).unwrap();
    let lines = strip(flows(5, 5));
    let sign = |range: &[String], sign: char| range.iter().filter(|l| l.contains(sign)).count();
    let at = zero(&lines);
    assert_eq!((sign(&lines[..at], '█'), sign(&lines[at..], '░')), (7, 7));
    // A gain below zero is a loss.
    let lines = strip(flows(-5, 5));
    assert_eq!(sign(&lines[..zero(&lines)], '█'), 0);
    assert_eq!(sign(&lines[zero(&lines)..], '█'), 7);
}

#[test]
fn hostile_labels_stay_text() {
    let hostile = [
        "<script>alert(1)</script>",
        "]]>",
        "a\"b' onload='x",
        "\u{202e}rtl",
        "\x1b[31mred\x07",
        "\u{ffff}&amp;",
        "漢字👩‍👩‍👧",
    ];
    let figure = drawn(vec![("label", texts(&hostile)), ("n", ints(&[7, 6, 5, 4, 3, 2, 1]))], Chart::Fitting);
    let svg = figure.svg("f");
    let read = roxmltree::Document::parse(&svg).unwrap();
    let tags: Vec<&str> = read.descendants().filter(|n| n.is_element()).map(|n| n.tag_name().name()).collect();
    assert!(!tags.contains(&"script"), "{tags:?}");
    let known = ["svg", "title", "style", "rect", "text", "g", "path"];
    assert!(tags.iter().all(|t| known.contains(t)), "{tags:?}");
    let titles: Vec<&str> = read
        .descendants()
        .filter(|n| {
            n.has_tag_name("title")
                && n.parent().is_some_and(|p| p.has_tag_name("g") || p.attribute("class") == Some("mark"))
        })
        .filter_map(|n| n.text())
        .collect();
    assert_eq!(titles.len(), hostile.len());
    assert_eq!(titles[0], "<script>alert(1)</script>: n 7");
    assert_eq!(titles[2], "a\"b' onload='x: n 5");
    assert_eq!(titles[3], "\\u{202e}rtl: n 4");
    let text = figure.text(60, true);
    assert!(!text.contains('\x07') && !text.contains("\x1b[31m") && text.contains("\\x1b[31mred\\x07"), "{text}");
}

/// Text without the styles of a terminal.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\x1b') {
        out += &rest[..at];
        let end = rest[at..].find('m').expect("a style ends");
        rest = &rest[at + end + 1..];
    }
    out + rest
}

fn number() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        4 => (-1e3..1e3f64).prop_map(Some),
        2 => (0.0..1.0f64).prop_map(Some),
        1 => prop::sample::select(vec![
            None, Some(0.0), Some(-0.0), Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY), Some(f64::MAX),
            Some(f64::MIN), Some(f64::MIN_POSITIVE), Some(5e-324), Some(1e15), Some(-1e-7)
        ]),
    ]
}

fn label() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        4 => "[a-c]{1,3}".prop_map(Some),
        1 => "\\PC{0,40}".prop_map(Some),
        1 => prop::sample::select(vec![
            None, Some(String::new()), Some("漢字漢字漢字漢字".into()), Some("👩‍👩‍👧‍👦 family".into()), Some("e\u{301}\u{301}".into()),
            Some("\u{200f}\t\n\x1b[2J".into())
        ]),
    ]
}

/// Columns of every shape over the same random rows.
fn shapes(
    labels: &[Option<String>],
    numbers: &[Option<f64>],
    days: &[Option<i32>],
) -> Vec<Vec<(&'static str, ArrayRef)>> {
    let rows = labels.len().min(numbers.len()).min(days.len());
    let t: ArrayRef = Arc::new(StringArray::from(labels[..rows].to_vec()));
    let x: ArrayRef = Arc::new(Float64Array::from(numbers[..rows].to_vec()));
    let reversed: ArrayRef = Arc::new(Float64Array::from(numbers[..rows].iter().rev().copied().collect::<Vec<_>>()));
    let whole = |v: &Option<f64>| v.map(|v| v as i64);
    let n: ArrayRef = Arc::new(Int64Array::from(numbers[..rows].iter().map(whole).collect::<Vec<_>>()));
    let d: ArrayRef = Arc::new(Date32Array::from(days[..rows].to_vec()));
    let open: ArrayRef =
        Arc::new(BooleanArray::from(days[..rows].iter().map(|d| d.map(|d| d % 2 == 0)).collect::<Vec<_>>()));
    let c = |name, column: &ArrayRef| (name, column.clone());
    vec![
        vec![c("by", &t), c("step", &n), c("name", &t), c("users", &n), c("conversion", &x), c("dropped", &reversed)],
        vec![c("cohort", &t), c("size", &n), c("period_0", &x), c("period_1", &reversed), c("period_2", &n)],
        vec![c("cohort", &d), c("period", &n), c("retained", &n), c("rate", &x), c("complete", &open)],
        vec![c("by", &t), c("period", &n), c("rate", &x), c("low", &reversed), c("high", &x)],
        vec![c("period", &d), c("new", &x), c("returning", &n), c("resurrected", &reversed), c("dormant", &x)],
        vec![c("at_least", &x), c("below", &reversed), c("users", &n), c("rate", &x)],
        vec![c("step", &n), c("source", &t), c("target", &t), c("users", &x), c("share", &reversed)],
        vec![c("day", &d), c("events", &n), c("price", &x), c("other", &reversed)],
        vec![c("day", &d), c("event", &t), c("x", &x)],
        vec![c("label", &t), c("x", &x), c("n", &n)],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// No line is wider than the page; colour adds nothing but colour; SVG is well formed, has the same marks and nothing that is not
    /// a number; the same figure is drawn the same.
    #[test]
    fn whatever_the_result_pictures_fit(
        labels in prop::collection::vec(label(), 0..60),
        numbers in prop::collection::vec(number(), 60),
        days in prop::collection::vec(prop::option::weighted(0.9, -800_000..3_000_000i32), 60),
        width in 1..140usize,
    ) {
        for (at, columns) in shapes(&labels, &numbers, &days).into_iter().enumerate() {
            let (schema, batches) = batch(columns);
            for kind in Kind::ALL {
                if !Chart::Of(kind).fits(&schema) {
                    continue;
                }
                let figure = Figure::of(&schema, &batches, Chart::Of(kind)).unwrap();
                let text = figure.text(width, false);
                for line in text.lines() {
                    prop_assert!(line.width() <= width.max(20), "shape {} as {}: {:?} is {} wide", at, kind.name(), line, line.width());
                    prop_assert!(!line.chars().any(char::is_control), "{:?}", line);
                }
                prop_assert_eq!(plain(&figure.text(width, true)), text);
                let svg = figure.svg("f");
                let read = roxmltree::Document::parse(&svg).map_err(|e| TestCaseError::fail(format!("{e}\n{svg}")))?;
                for mark in read.descendants().filter(|n| n.attribute("class") == Some("mark")) {
                    prop_assert!(mark.attribute("tabindex") == Some("0") && mark.children().any(|n| n.has_tag_name("title")));
                }
                for node in read.descendants().filter(|n| n.is_element()) {
                    for place in ["x", "y", "width", "height", "cx", "cy", "d", "points", "viewBox"] {
                        let value = node.attribute(place).unwrap_or("");
                        prop_assert!(!value.contains("NaN") && !value.contains("inf"), "{place}={value}");
                        let negative = ["width", "height"].contains(&place) && value.starts_with('-');
                        prop_assert!(!negative, "{place}={value}");
                    }
                }
                prop_assert_eq!(Figure::of(&schema, &batches, Chart::Of(kind)).unwrap().svg("f"), svg);
            }
        }
    }
}
