//! The pen for pages: one `<svg>` element with its own style, light and dark, a title on every mark; no script, nothing from elsewhere.
//!
//! Deals with: the frame, colours, escaping. Does not deal with: terminals. The whole numbers stand in the titles, digit for digit.

mod marks;
mod plot;

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use super::{Body, Figure};
use crate::output::cell::{escape, fitted};

/// Colours that stay apart for colour-blind readers, after Okabe and Ito.
const STYLE: &str = "--bg:#fff;--fg:#1f2933;--dim:#66727f;--grid:#e3e7eb;--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#b0528a;--c4:#b07800;--c5:#3a9bd5;--c6:#6a51a3;--c7:#666";
const DARK: &str = "--bg:#14191f;--fg:#e6eaee;--dim:#9aa5b1;--grid:#2b333c;--c0:#4ba9e0;--c1:#f08a3c;--c2:#2fbf95;--c3:#d98ab9;--c4:#e0a93a;--c5:#8accf5;--c6:#a896dd;--c7:#aaa";
const WIDTH: f64 = 760.0;
const MOST_PANELS: usize = 12;

/// The element while it is written, from top to bottom.
struct Sheet {
    text: String,
    y: f64,
}

/// How a text is anchored.
#[derive(Clone, Copy)]
enum At {
    Start,
    Middle,
    End,
}

impl Sheet {
    fn text(&mut self, x: f64, y: f64, at: At, class: &str, text: &str) {
        let anchor = match at {
            At::Start => "start",
            At::Middle => "middle",
            At::End => "end",
        };
        let _ = writeln!(
            self.text,
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" class="{class}">{}</text>"#,
            xml(text)
        );
    }

    /// A mark that can be reached by key and says what it is.
    fn mark(&mut self, shape: &str, title: &str) {
        let title = xml(title);
        let _ = writeln!(
            self.text,
            r#"<g class="mark" tabindex="0" role="img" aria-label="{title}"><title>{title}</title>{shape}</g>"#
        );
    }

    fn rule(&mut self, x1: f64, y1: f64, x2: f64, y2: f64) {
        let _ = writeln!(self.text, r#"<path class="grid" d="M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}"/>"#);
    }
}

/// Text for an element or an attribute. Characters that XML does not know are shown as escapes.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in escape(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => out.push_str(&c.escape_unicode().to_string()),
            c => out.push(c),
        }
    }
    out
}

/// About how wide a text of the usual size is.
fn extent(text: &str) -> f64 {
    text.width() as f64 * 6.8
}

/// The text cut to about this extent.
fn cut(text: &str, room: f64) -> String {
    fitted(text, (room / 6.8).max(1.0) as usize).into_owned()
}

pub(super) fn draw(figure: &Figure, id: &str) -> String {
    let mut id: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).collect();
    if !id.starts_with(|c: char| c.is_ascii_alphabetic()) {
        id.insert_str(0, "figure");
    }
    let mut sheet = Sheet { text: String::new(), y: 16.0 };
    for panel in figure.panels.iter().take(MOST_PANELS) {
        if !panel.label.is_empty() {
            sheet.y += 14.0;
            sheet.text(16.0, sheet.y, At::Start, "head", &cut(&panel.label, WIDTH - 32.0));
            sheet.y += 8.0;
        }
        match &panel.body {
            Body::Bars(bars) => marks::bars(bars, &mut sheet),
            Body::Grid(grid) => marks::grid(grid, &mut sheet),
            Body::Lines(lines) => plot::lines(lines, &mut sheet),
            Body::Stack(stack) => plot::stack(stack, &mut sheet),
        }
        sheet.y += 12.0;
    }
    let mut notes = figure.notes.clone();
    if figure.panels.is_empty() {
        notes.insert(0, "no rows".into());
    }
    if figure.panels.len() > MOST_PANELS {
        notes.push(format!("{} more breakdown values left out", figure.panels.len() - MOST_PANELS));
    }
    for note in notes {
        sheet.y += 16.0;
        sheet.text(16.0, sheet.y, At::Start, "dim", &cut(&note, WIDTH - 32.0));
    }
    let height = sheet.y + 16.0;
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" id="{id}" viewBox="0 0 {WIDTH:.0} {height:.0}" width="{WIDTH:.0}" height="{height:.0}" role="group" aria-labelledby="{id}-title">
<title id="{id}-title">{kind}</title>
<style>#{id}{{{STYLE};background:var(--bg);font:12px system-ui,"Noto Sans","Noto Sans CJK SC",sans-serif;font-variant-numeric:tabular-nums}}
@media (prefers-color-scheme:dark){{#{id}:not(.light){{{DARK}}}}}
#{id}.dark{{{DARK}}}
#{id} text{{fill:var(--fg);font-size:12px;unicode-bidi:isolate}}#{id} .dim{{fill:var(--dim)}}#{id} .head{{font-weight:600}}#{id} .in{{fill:var(--bg)}}
#{id} .grid{{stroke:var(--grid);fill:none}}#{id} .mark:focus{{outline:2px solid var(--fg)}}</style>
<rect width="100%" height="100%" style="fill:var(--bg)"/>
{body}</svg>
"#,
        kind = figure.kind.name(),
        body = sheet.text
    )
}
