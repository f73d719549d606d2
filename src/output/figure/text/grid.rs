//! A heat map: the figure in each cell, a shade before it.

use unicode_width::UnicodeWidthStr;

use super::{Page, padded};
use crate::output::figure::number::Unit;
use crate::output::figure::scale::Scale;
use crate::output::figure::{Grid, GridCell, GridRow};
use crate::output::thousands;

/// Cohorts drawn at most: the last ones.
const MOST: usize = 60;
const SHADES: [&str; 5] = [" ", "░", "▒", "▓", "█"];
const COLORS: [&str; 5] = ["", "\x1b[2m", "\x1b[36m", "\x1b[34m", "\x1b[1;34m"];

pub(super) fn draw(grid: &Grid, page: &mut Page) {
    let rows = &grid.rows[grid.rows.len().saturating_sub(MOST)..];
    let unit = grid.measure.1;
    let values = || rows.iter().flat_map(|r| r.cells.iter().flatten());
    let scale = Scale::with_zero(values().filter_map(|c| c.value.at));
    let text = |cell: &GridCell| {
        let figure = match (unit, cell.value.at) {
            (Unit::Share, Some(v)) if v.abs() < 1e6 => format!("{:.0}%", v * 100.0),
            _ => cell.value.label(unit),
        };
        figure + if cell.complete { "" } else { "*" }
    };
    let cell_width =
        values().map(|c| text(c).width()).chain(grid.columns.iter().map(|c| c.width())).max().unwrap_or(1).min(14) + 1;
    let label = rows.iter().map(|r| r.label.width()).max().unwrap_or(0).clamp(6, (page.width / 3).max(6));
    let size_text = |row: &GridRow| row.size.as_ref().map(|s| s.label(Unit::Plain)).unwrap_or_default();
    let mut size = rows.iter().map(|r| size_text(r).width()).max().unwrap_or(0);
    if size > 0 {
        size = size.max(4);
    }
    if label + size + 2 + cell_width + 1 > page.width {
        size = 0;
    }
    let head = label + if size > 0 { size + 1 } else { 0 };
    let shown = (page.width.saturating_sub(head) / (cell_width + 1)).min(grid.columns.len());
    let size_column = |text: &str| if size > 0 { format!(" {}", padded(text, size, true)) } else { String::new() };
    let names: String = grid.columns[..shown].iter().map(|c| format!(" {}", padded(c, cell_width, true))).collect();
    page.line(&format!("{}{}{names}", padded("cohort", label, false), size_column("size")));
    for row in rows {
        let mut parts = vec![(padded(&row.label, label, false) + &size_column(&size_text(row)), "")];
        for cell in &row.cells[..shown] {
            let Some(cell) = cell else {
                parts.push((" ".repeat(cell_width + 1), ""));
                continue;
            };
            let share = cell.value.at.filter(|v| *v > 0.0 && scale.high > 0.0).map_or(0.0, |v| v / scale.high);
            let level = ((share * 4.0).ceil() as usize).min(4);
            let body = format!("{}{}", SHADES[level], padded(&text(cell), cell_width - 1, true));
            parts.extend([(" ".to_string(), ""), (body, COLORS[level])]);
        }
        page.styled(&parts.iter().map(|(text, style)| (text.as_str(), *style)).collect::<Vec<_>>());
    }
    if values().any(|c| !c.complete) {
        page.line("* not over yet");
    }
    if shown < grid.columns.len() {
        page.line(&format!("{} later periods left out", grid.columns.len() - shown));
    }
    if rows.len() < grid.rows.len() {
        page.line(&format!("{} earlier cohorts left out", thousands((grid.rows.len() - rows.len()) as u64)));
    }
    if rows.is_empty() {
        page.line("(no rows)");
    }
}
