//! Horizontal bars with figures beside them.

use unicode_width::UnicodeWidthStr;

use super::{Page, padded};
use crate::output::figure::Bars;
use crate::output::figure::scale::Scale;
use crate::output::thousands;

/// Bars drawn at most: the largest ones, in the order of the rows.
const MOST: usize = 40;
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
const BLUE: &str = "\x1b[34m";

pub(super) fn draw(bars: &Bars, page: &mut Page) {
    let chosen = bars.largest(MOST);
    let scale = Scale::with_zero(bars.bars.iter().filter_map(|bar| bar.value.at));
    let labels: Vec<String> =
        chosen.iter().map(|&at| "  ".repeat(bars.bars[at].depth) + &bars.bars[at].label).collect();
    // The columns of figures: the measure itself, then as many of the others as have room.
    let mut columns: Vec<(String, Vec<String>)> =
        vec![(bars.measure.0.clone(), chosen.iter().map(|&at| bars.bars[at].value.label(bars.measure.1)).collect())];
    for (n, (name, unit)) in bars.beside.iter().enumerate() {
        columns.push((name.clone(), chosen.iter().map(|&at| bars.bars[at].beside[n].label(*unit)).collect()));
    }
    let widths: Vec<usize> = columns
        .iter()
        .map(|(name, texts)| texts.iter().map(|t| t.width()).chain([name.width().min(15)]).max().unwrap_or(0))
        .collect();
    let label = labels.iter().map(|l| l.width()).max().unwrap_or(0).min(page.width / 3).max(4);
    let least = page.width / 5;
    let mut shown = columns.len();
    while shown > 1 && label + widths[..shown].iter().map(|w| w + 2).sum::<usize>() + 1 + least > page.width {
        shown -= 1;
    }
    let figures: usize = widths[..shown].iter().map(|w| w + 2).sum();
    let room = page.width.saturating_sub(label + 1 + figures);
    let heads: String = columns[..shown]
        .iter()
        .zip(&widths)
        .map(|((name, _), width)| format!("  {}", padded(name, *width, true)))
        .collect();
    page.line(&format!("{}{heads}", " ".repeat(label + 1 + room)));
    for (row, &at) in chosen.iter().enumerate() {
        let texts: String = columns[..shown]
            .iter()
            .zip(&widths)
            .map(|((_, t), width)| format!("  {}", padded(&t[row], *width, true)))
            .collect();
        let bar = bar(bars.bars[at].value.at, scale, room);
        page.styled(&[(&padded(&labels[row], label, false), ""), (" ", ""), (&bar, BLUE), (&texts, "")]);
    }
    let left = bars.bars.len() - chosen.len();
    if bars.bars.is_empty() {
        page.line("(no rows)");
    } else if left > 0 {
        page.line(&format!(
            "the {MOST} largest of {}; {} left out",
            thousands(bars.bars.len() as u64),
            thousands(left as u64)
        ));
    }
}

/// A bar in exactly `room` columns; negative ones go left from the zero line. What is not finite has none.
fn bar(value: Option<f64>, scale: Scale, room: usize) -> String {
    // A number that is not zero shows, however small: where there are some on a side, the side has a column.
    let (least, most) = (usize::from(scale.low < 0.0), room.saturating_sub(usize::from(scale.high > 0.0)));
    let zero = ((scale.share(0.0) * room as f64).round() as usize).min(most).max(least.min(room));
    match value {
        Some(v) if v < 0.0 => {
            let drawn = ((v / scale.low * zero as f64).round() as usize).clamp(zero.min(1), zero);
            format!("{}{}{}", " ".repeat(zero - drawn), "█".repeat(drawn), " ".repeat(room - zero))
        }
        Some(v) if v > 0.0 => {
            let above = room - zero;
            let eighths = ((v / scale.high * (above * 8) as f64).round() as usize).clamp(above.min(1), above * 8);
            let drawn = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
            let rest = above - drawn.width();
            format!("{}{drawn}{}", " ".repeat(zero), " ".repeat(rest))
        }
        _ => " ".repeat(room),
    }
}
