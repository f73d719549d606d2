//! Bars and cells.

use super::{At, Sheet, WIDTH, cut, extent};
use crate::output::figure::number::Unit;
use crate::output::figure::scale::Scale;
use crate::output::figure::{Bars, Grid};

const MOST_BARS: usize = 200;
const MOST_COHORTS: usize = 120;

pub(super) fn bars(bars: &Bars, sheet: &mut Sheet) {
    let chosen = bars.largest(MOST_BARS);
    let scale = Scale::with_zero(bars.bars.iter().filter_map(|b| b.value.at));
    let indent = |depth: usize| depth as f64 * 14.0;
    let label = chosen
        .iter()
        .map(|&at| extent(&bars.bars[at].label) + indent(bars.bars[at].depth))
        .fold(40.0, f64::max)
        .min(220.0);
    let measures: Vec<&(String, Unit)> = std::iter::once(&bars.measure).chain(&bars.beside).collect();
    let figure = |at: usize, n: usize| {
        let bar = &bars.bars[at];
        if n == 0 { &bar.value } else { &bar.beside[n - 1] }
    };
    let widths: Vec<f64> = measures
        .iter()
        .enumerate()
        .map(|(n, (name, unit))| {
            chosen.iter().map(|&at| extent(&figure(at, n).label(*unit))).fold(extent(name), f64::max).min(170.0) + 14.0
        })
        .collect();
    let left = 16.0 + label + 10.0;
    let mut shown = widths.len();
    while shown > 1 && left + 120.0 + widths[..shown].iter().sum::<f64>() > WIDTH - 16.0 {
        shown -= 1;
    }
    let right = (WIDTH - 16.0 - widths[..shown].iter().sum::<f64>()).max(left + 40.0);
    let ends: Vec<f64> = widths[..shown]
        .iter()
        .scan(right, |x, w| {
            *x += w;
            Some(*x)
        })
        .collect();
    sheet.y += 12.0;
    for (n, end) in ends.iter().enumerate() {
        sheet.text(*end, sheet.y, At::End, "dim", &cut(&measures[n].0, widths[n]));
    }
    sheet.y += 8.0;
    let zero = left + scale.share(0.0) * (right - left);
    let top = sheet.y;
    for &at in &chosen {
        let bar = &bars.bars[at];
        let named: Vec<String> =
            measures.iter().enumerate().map(|(n, (name, _))| format!("{name} {}", figure(at, n).exact)).collect();
        let title = format!("{}: {}", bar.label, named.join(", "));
        let end = bar.value.at.map_or(zero, |v| left + scale.share(v) * (right - left));
        let color = if bar.value.at.is_some_and(|v| v < 0.0) { 1 } else { 0 };
        let shape = format!(
            r#"<rect x="{:.1}" y="{:.1}" width="{:.1}" height="18" rx="2" style="fill:var(--c{color})"/>"#,
            zero.min(end),
            sheet.y + 3.0,
            (zero - end).abs().max(if bar.value.at.is_some_and(|v| v != 0.0) { 1.0 } else { 0.0 })
        );
        sheet.mark(&shape, &title);
        let base = sheet.y + 16.0;
        sheet.text(16.0 + indent(bar.depth), base, At::Start, "", &cut(&bar.label, label - indent(bar.depth) + 6.0));
        for (n, x) in ends.iter().enumerate() {
            sheet.text(
                *x,
                base,
                At::End,
                if n == 0 { "" } else { "dim" },
                &cut(&figure(at, n).label(measures[n].1), widths[n] + 20.0),
            );
        }
        sheet.y += 24.0;
    }
    sheet.rule(zero, top, zero, sheet.y);
    let all = bars.bars.len();
    if all > chosen.len() {
        sheet.y += 14.0;
        sheet.text(
            16.0,
            sheet.y,
            At::Start,
            "dim",
            &format!("the {MOST_BARS} largest of {all}; {} left out", all - chosen.len()),
        );
    }
}

pub(super) fn grid(grid: &Grid, sheet: &mut Sheet) {
    let rows = &grid.rows[grid.rows.len().saturating_sub(MOST_COHORTS)..];
    let unit = grid.measure.1;
    let values = || rows.iter().flat_map(|r| r.cells.iter().flatten());
    let scale = Scale::with_zero(values().filter_map(|c| c.value.at));
    let label = rows.iter().map(|r| extent(&r.label)).fold(46.0, f64::max).min(180.0);
    let size =
        |row: &crate::output::figure::GridRow| row.size.as_ref().map(|s| s.label(Unit::Plain)).unwrap_or_default();
    let sizes = rows.iter().map(|r| extent(&size(r))).fold(30.0, f64::max).min(110.0);
    let left = 16.0 + label + 10.0 + sizes + 10.0;
    let need = values().map(|c| extent(&c.value.label(unit)) + 14.0).fold(44.0, f64::max);
    let shown = (((WIDTH - 16.0 - left) / need) as usize).clamp(1, grid.columns.len().max(1)).min(grid.columns.len());
    let wide = ((WIDTH - 16.0 - left) / shown.max(1) as f64).min(80.0);
    sheet.y += 12.0;
    sheet.text(16.0, sheet.y, At::Start, "dim", "cohort");
    sheet.text(left - 10.0, sheet.y, At::End, "dim", "size");
    for (n, name) in grid.columns[..shown].iter().enumerate() {
        sheet.text(left + (n as f64 + 0.5) * wide, sheet.y, At::Middle, "dim", &cut(name, wide));
    }
    sheet.y += 8.0;
    for row in rows {
        let base = sheet.y + 17.0;
        sheet.text(16.0, base, At::Start, "", &cut(&row.label, label + 6.0));
        sheet.text(left - 10.0, base, At::End, "dim", &size(row));
        for (n, cell) in row.cells[..shown].iter().enumerate() {
            let Some(cell) = cell else { continue };
            let x = left + n as f64 * wide;
            let share = cell.value.at.filter(|v| *v > 0.0 && scale.high > 0.0).map_or(0.0, |v| v / scale.high);
            let also = cell.also.iter().map(|(name, n)| format!(", {name} {}", n.exact)).collect::<String>();
            let of = row.size.iter().map(|s| format!(" of {}", s.exact)).collect::<String>();
            let open = if cell.complete { "" } else { ", not over yet" };
            let title =
                format!("{} · {}: {} {}{also}{of}{open}", row.label, grid.columns[n], grid.measure.0, cell.value.exact);
            let dash = if cell.complete { "" } else { ";stroke:var(--dim);stroke-dasharray:3 2" };
            let shape = format!(
                r#"<rect x="{:.1}" y="{:.1}" width="{:.1}" height="24" rx="3" style="fill:var(--c0);fill-opacity:{:.2}{dash}"/>"#,
                x + 1.0,
                sheet.y + 1.0,
                wide - 2.0,
                0.06 + share * 0.86
            );
            sheet.mark(&shape, &title);
            let class = if share > 0.6 { "in" } else { "" };
            sheet.text(x + wide - 7.0, base, At::End, class, &cell.value.label(unit));
        }
        sheet.y += 26.0;
    }
    let later = grid.columns.len() - shown;
    let earlier = grid.rows.len() - rows.len();
    for (left, what) in [(later, "later periods"), (earlier, "earlier cohorts")] {
        if left > 0 {
            sheet.y += 16.0;
            sheet.text(16.0, sheet.y, At::Start, "dim", &format!("{left} {what} left out"));
        }
    }
}
