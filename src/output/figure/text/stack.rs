//! Flows stacked above the zero line, losses below it; a column for each period.

use std::cmp::Ordering;

use unicode_width::UnicodeWidthStr;

use super::{Page, padded};
use crate::output::figure::number::{Unit, grouped};
use crate::output::figure::{Side, Stack};
use crate::output::thousands;

const HEIGHT: f64 = 14.0;
const SIGNS: [char; 4] = ['█', '▓', '▒', '░'];

pub(super) fn draw(stack: &Stack, page: &mut Page) {
    if stack.periods.is_empty() {
        return page.line("(no rows)");
    }
    let (above, below) = stack.reach();
    let total = above + below;
    let scaled = |v: f64| if total > 0.0 { v / total * HEIGHT } else { 0.0 };
    let (up, down) = (scaled(above).ceil() as usize, scaled(below).ceil() as usize);
    let whole = |v: f64| grouped(&if v < 1e15 { format!("{v:.0}") } else { format!("{v:e}") });
    let (top, bottom) = (whole(above), format!("-{}", whole(below)));
    let axis = top.width().max(if down > 0 { bottom.width() } else { 0 }).min(page.width / 3);
    let room = page.width.saturating_sub(axis + 2).max(1);
    let wide = (room / stack.periods.len()).clamp(1, 6);
    let shown = &stack.periods[stack.periods.len().saturating_sub(room / wide)..];
    let mut rows = vec![String::new(); up + down + 1];
    for (_, numbers) in shown {
        let (gains, losses) = Stack::sides(numbers);
        for (r, row) in rows.iter_mut().enumerate() {
            *row += &match r.cmp(&up) {
                Ordering::Less => column(sign_at(&gains, scaled, (up - r) as f64 - 0.5), wide),
                Ordering::Equal => "─".repeat(wide),
                Ordering::Greater => column(sign_at(&losses, scaled, (r - up) as f64 - 0.5), wide),
            };
        }
    }
    for (r, row) in rows.iter().enumerate() {
        let label = match r {
            r if r == up => "0",
            0 => &top,
            r if r == up + down => &bottom,
            _ => "",
        };
        page.line(&format!("{} {}{row}", padded(label, axis, true), if label.is_empty() { '│' } else { '┤' }));
    }
    let (first, last) = (&shown[0].0, &shown[shown.len() - 1]);
    let ends = if shown.len() > 1 { format!("{first} – {}", last.0) } else { first.clone() };
    page.line(&format!("{}{ends}", " ".repeat(axis + 2)));
    for (at, name) in stack.names.iter().enumerate() {
        page.line(&format!("{} {name}  {} at {}", SIGNS[at], last.1[at].label(Unit::Plain), last.0));
    }
    if shown.len() < stack.periods.len() {
        page.line(&format!("{} earlier periods left out", thousands((stack.periods.len() - shown.len()) as u64)));
    }
}

/// What stands this many lines away from the zero line.
fn sign_at(side: &Side, scaled: impl Fn(f64) -> f64, height: f64) -> char {
    let mut edge = 0.0;
    for (n, size) in side {
        edge += size;
        if height < scaled(edge) {
            return SIGNS[*n];
        }
    }
    ' '
}

fn column(sign: char, wide: usize) -> String {
    let drawn = wide.saturating_sub(1).max(1);
    sign.to_string().repeat(drawn) + &" ".repeat(wide - drawn)
}
