//! Flows stacked above the zero line, losses below it; a column for each period.

use unicode_width::UnicodeWidthStr;

use super::{Page, padded};
use crate::output::figure::Stack;
use crate::output::figure::number::Unit;

const HEIGHT: f64 = 14.0;
const SIGNS: [char; 4] = ['█', '▓', '▒', '░'];

pub(super) fn draw(stack: &Stack, page: &mut Page) {
    if stack.periods.is_empty() {
        return page.line("(no rows)");
    }
    let size = |n: &crate::output::figure::Number| n.at.map_or(0.0, f64::abs).min(1e300);
    let gains = |n: &[crate::output::figure::Number]| n[..3].iter().map(size).sum::<f64>();
    let most = |of: &dyn Fn(&Vec<crate::output::figure::Number>) -> f64| {
        stack.periods.iter().map(|(_, n)| of(n)).fold(0.0, f64::max)
    };
    let (above, below) = (most(&|n| gains(n)), most(&|n| size(&n[3])));
    let total = above + below;
    let scaled = |v: f64| if total > 0.0 { v / total * HEIGHT } else { 0.0 };
    let (up, down) = (scaled(above).ceil() as usize, scaled(below).ceil() as usize);
    let whole = |v: f64| crate::output::figure::number::grouped(&format!("{v:.0}"));
    let (top, bottom) = (whole(above), whole(-below));
    let axis = top.width().max(bottom.width()).min(page.width / 3);
    let room = page.width.saturating_sub(axis + 2);
    let wide = (room / stack.periods.len()).clamp(1, 6);
    let shown = &stack.periods[stack.periods.len().saturating_sub(room / wide)..];
    let mut rows = vec![String::new(); up + down + 1];
    for (_, numbers) in shown {
        let edges: Vec<f64> = (1..=3).map(|n| scaled(numbers[..n].iter().map(size).sum())).collect();
        for r in 0..up {
            let height = (up - r) as f64 - 0.5;
            let sign = edges.iter().position(|&e| height < e).map_or(' ', |n| SIGNS[n]);
            rows[r] += &column(sign, wide);
        }
        rows[up] += &"─".repeat(wide);
        for r in 0..down {
            let sign = if (r as f64 + 0.5) < scaled(size(&numbers[3])) { SIGNS[3] } else { ' ' };
            rows[up + 1 + r] += &column(sign, wide);
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
    page.line(&format!("{}{first} – {}", " ".repeat(axis + 2), last.0));
    for (at, name) in stack.names.iter().enumerate() {
        page.line(&format!("{} {name}  {} at {}", SIGNS[at], last.1[at].label(Unit::Plain), last.0));
    }
    if shown.len() < stack.periods.len() {
        page.line(&format!("{} earlier periods left out", stack.periods.len() - shown.len()));
    }
}

fn column(sign: char, wide: usize) -> String {
    let drawn = wide.saturating_sub(1).max(1);
    sign.to_string().repeat(drawn) + &" ".repeat(wide - drawn)
}
