//! Lines with intervals, and stacked flows, over a horizontal axis.

use std::fmt::Write;

use super::{At, Sheet, WIDTH, cut, extent};
use crate::output::figure::number::Unit;
use crate::output::figure::scale::{Scale, tick_labels};
use crate::output::figure::{Lines, Series, Stack};

const HEIGHT: f64 = 240.0;
const MOST_LINES: usize = 8;

/// The frame: grid and ticks; gives the left edge and the widened scale.
fn frame(scale: Scale, unit: Unit, height: f64, sheet: &mut Sheet) -> (f64, Scale) {
    let (scale, ticks) = scale.ticks(if height > 100.0 { 5 } else { 1 });
    let labels = tick_labels(&ticks, unit);
    let left = 16.0 + labels.iter().map(|l| extent(l)).fold(20.0, f64::max).min(200.0) + 8.0;
    for (tick, label) in ticks.iter().zip(&labels) {
        let y = sheet.y + (1.0 - scale.share(*tick)) * height;
        sheet.rule(left, y, WIDTH - 16.0, y);
        sheet.text(left - 8.0, y + 4.0, At::End, "dim", label);
    }
    (left, scale)
}

/// Labels below the axis, as many as do not touch.
fn below(labels: &[(f64, &str)], sheet: &mut Sheet) {
    let mut free = f64::NEG_INFINITY;
    for (x, label) in labels {
        let half = extent(label) / 2.0;
        let middle = x.min(WIDTH - 8.0 - half).max(half + 4.0);
        if middle - half > free {
            sheet.text(middle, sheet.y + 16.0, At::Middle, "dim", label);
            free = middle + half + 14.0;
        }
    }
    sheet.y += 22.0;
}

pub(super) fn lines(lines: &Lines, sheet: &mut Sheet) {
    let series: Vec<&Series> = lines.largest(MOST_LINES).into_iter().map(|at| &lines.series[at]).collect();
    legend(series.iter().map(|s| s.name.as_str()), sheet);
    plot(&series, lines.unit, HEIGHT, 0, sheet);
    let all = lines.series.len();
    if all > series.len() {
        let left = format!("the {MOST_LINES} largest of {all} lines; {} left out", all - series.len());
        sheet.text(16.0, sheet.y + 12.0, At::Start, "dim", &left);
        sheet.y += 18.0;
    }
    for (line, unit) in &lines.sparks {
        sheet.y += 16.0;
        sheet.text(16.0, sheet.y, At::Start, "head", &cut(&line.name, WIDTH - 32.0));
        sheet.y += 10.0;
        plot(&[line], *unit, 60.0, 7, sheet);
    }
}

fn legend<'a>(names: impl Iterator<Item = &'a str>, sheet: &mut Sheet) {
    let mut x = 16.0;
    sheet.y += 12.0;
    for (at, name) in names.enumerate() {
        let name = cut(name, 200.0);
        if x + extent(&name) + 20.0 > WIDTH - 16.0 {
            x = 16.0;
            sheet.y += 18.0;
        }
        let _ = writeln!(
            sheet.text,
            r#"<rect x="{x:.1}" y="{:.1}" width="10" height="10" rx="2" style="fill:var(--c{at})"/>"#,
            sheet.y - 9.0
        );
        sheet.text(x + 15.0, sheet.y, At::Start, "", &name);
        x += extent(&name) + 34.0;
    }
    sheet.y += 14.0;
}

fn plot(series: &[&Series], unit: Unit, height: f64, color: usize, sheet: &mut Sheet) {
    let points = || series.iter().flat_map(|s| &s.points);
    let bounds = points().filter_map(|p| p.interval.as_ref()).flat_map(|(l, h)| [l.at, h.at]).flatten();
    let (left, scale) = frame(Scale::with_zero(points().filter_map(|p| p.y.at).chain(bounds)), unit, height, sheet);
    let across = Scale::around(points().map(|p| p.x));
    let x = |v: f64| left + 8.0 + across.share(v) * (WIDTH - 32.0 - left);
    let top = sheet.y;
    let y = |v: f64| top + (1.0 - scale.share(v)) * height;
    for (at, line) in series.iter().enumerate() {
        let color = color + at;
        let band: Vec<(f64, f64, f64)> = line
            .points
            .iter()
            .filter_map(|p| {
                let (low, high) = p.interval.as_ref()?;
                Some((x(p.x), y(low.at?), y(high.at?)))
            })
            .collect();
        if !band.is_empty() {
            let edge = band.iter().map(|b| (b.0, b.2)).chain(band.iter().rev().map(|b| (b.0, b.1)));
            let places: Vec<String> = edge.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let _ = writeln!(
                sheet.text,
                r#"<polygon points="{}" style="fill:var(--c{color});fill-opacity:.16"/>"#,
                places.join(" ")
            );
        }
        let mut path = String::new();
        let mut open = false;
        for point in &line.points {
            if let Some(v) = point.y.at {
                let _ = write!(path, "{}{:.1} {:.1}", if open { 'L' } else { 'M' }, x(point.x), y(v));
            }
            open = point.y.at.is_some();
        }
        let _ = writeln!(
            sheet.text,
            r#"<path d="{path}" style="fill:none;stroke:var(--c{color});stroke-width:2;stroke-linejoin:round"/>"#
        );
        for point in &line.points {
            let interval =
                point.interval.iter().map(|(l, h)| format!(" ({} to {})", l.exact, h.exact)).collect::<String>();
            let title = format!("{} · {}: {}{interval}", line.name, point.label, point.y.exact);
            let shape = point.y.at.map_or(String::new(), |v| {
                let radius = if line.points.len() > 60 { 1.5 } else { 3.0 };
                format!(
                    r#"<circle cx="{:.1}" cy="{:.1}" r="{radius}" style="fill:var(--c{color})"/>"#,
                    x(point.x),
                    y(v)
                )
            });
            sheet.mark(&shape, &title);
        }
    }
    sheet.y += height;
    let mut labels: Vec<(f64, &str)> = points().map(|p| (x(p.x), p.label.as_str())).collect();
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    labels.dedup();
    below(&labels, sheet);
}

pub(super) fn stack(stack: &Stack, sheet: &mut Sheet) {
    legend(stack.names.iter().map(String::as_str), sheet);
    let (above, depth) = stack.reach();
    let (left, scale) = frame(Scale { low: -depth, high: above }, Unit::Plain, HEIGHT, sheet);
    let wide = (WIDTH - 16.0 - left) / stack.periods.len().max(1) as f64;
    let bar = (wide * 0.8).min(44.0);
    let top = sheet.y;
    let y = |v: f64| top + (1.0 - scale.share(v)) * HEIGHT;
    let mut labels = Vec::new();
    for (at, (label, numbers)) in stack.periods.iter().enumerate() {
        let middle = left + (at as f64 + 0.5) * wide;
        labels.push((middle, label.as_str()));
        let (gains, losses) = Stack::sides(numbers);
        for (side, sign) in [(gains, 1.0), (losses, -1.0)] {
            let mut from = 0.0;
            for (n, size) in side {
                let to = from + size;
                let (one, other) = (y(from * sign), y(to * sign));
                let shape = format!(
                    r#"<rect x="{:.1}" y="{:.1}" width="{bar:.1}" height="{:.1}" style="fill:var(--c{n});stroke:var(--bg);stroke-width:.5"/>"#,
                    middle - bar / 2.0,
                    one.min(other),
                    (one - other).abs()
                );
                sheet.mark(&shape, &format!("{label} · {}: {}", stack.names[n], numbers[n].exact));
                from = to;
            }
        }
    }
    sheet.y += HEIGHT;
    below(&labels, sheet);
}
