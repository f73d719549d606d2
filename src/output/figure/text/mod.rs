//! The pen for terminals: blocks, shades and braille, no line wider than the width, legible without colour.
//!
//! Deals with: panels, headings, notes, fitting. Does not deal with: SVG. Labels come escaped, so nothing here can drive a terminal.

mod bars;
mod grid;
mod lines;
mod stack;

use unicode_width::UnicodeWidthStr;

use super::{Body, Figure};
use crate::output::cell::fitted;
use crate::output::table::{BOLD, PLAIN};
use crate::output::thousands;

/// Panels drawn at most.
const MOST_PANELS: usize = 12;

/// Lines of a picture, and how wide they may be.
struct Page {
    width: usize,
    color: bool,
    lines: Vec<String>,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.lines.push(fitted(text.trim_end(), self.width).into_owned());
    }

    /// A line of texts with a style each; the styles take no columns.
    fn styled(&mut self, parts: &[(&str, &str)]) {
        let mut room = self.width;
        let mut line = String::new();
        for (text, style) in parts {
            let text = fitted(text, room);
            room -= text.width().min(room);
            if self.color && !style.is_empty() && !text.trim().is_empty() {
                line.extend([style, &*text, PLAIN]);
            } else {
                line += &text;
            }
            if room == 0 {
                break;
            }
        }
        line.truncate(line.trim_end().len());
        self.lines.push(line);
    }
}

/// The text in `width` columns, flush left or right.
fn padded(text: &str, width: usize, right: bool) -> String {
    let text = fitted(text, width);
    let pad = " ".repeat(width.saturating_sub(text.width()));
    if right { format!("{pad}{text}") } else { format!("{text}{pad}") }
}

pub(super) fn draw(figure: &Figure, width: usize, color: bool) -> String {
    let mut page = Page { width, color, lines: Vec::new() };
    if figure.panels.is_empty() {
        page.line("(no rows)");
    }
    for (at, panel) in figure.panels.iter().take(MOST_PANELS).enumerate() {
        if at > 0 {
            page.line("");
        }
        if !panel.label.is_empty() {
            page.styled(&[(panel.label.trim_end(), BOLD)]);
        }
        match &panel.body {
            Body::Bars(bars) => bars::draw(bars, &mut page),
            Body::Grid(grid) => grid::draw(grid, &mut page),
            Body::Lines(lines) => lines::draw(lines, &mut page),
            Body::Stack(stack) => stack::draw(stack, &mut page),
        }
    }
    let left = figure.panels.len().saturating_sub(MOST_PANELS);
    if left > 0 {
        page.line(&format!("{} more breakdown values left out", thousands(left as u64)));
    }
    figure.notes.iter().for_each(|note| page.line(note));
    page.lines.iter().fold(String::new(), |text, line| text + line + "\n")
}
