//! Lines in braille, several of them by signs, the interval shaded; numbers on other scales as sparklines.

use unicode_width::UnicodeWidthStr;

use super::{Page, padded};
use crate::output::figure::scale::{Scale, tick_labels};
use crate::output::figure::{Lines, Point, Series};

const HEIGHT: usize = 12;
/// Lines drawn at most.
const MOST: usize = 8;
const SIGNS: [char; MOST] = ['●', '○', '▲', '△', '■', '□', '◆', '◇'];
const SPARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

pub(super) fn draw(lines: &Lines, page: &mut Page) {
    let series: Vec<&Series> = lines.largest(MOST).into_iter().map(|at| &lines.series[at]).collect();
    let points = || series.iter().flat_map(|s| &s.points);
    if points().all(|p| p.y.at.is_none()) {
        page.line(if points().next().is_none() { "(no rows)" } else { "(no finite numbers)" });
    } else {
        canvas(lines, &series, page);
    }
    for (at, line) in series.iter().enumerate() {
        let sign = if series.len() > 1 { format!("{} ", SIGNS[at]) } else { String::new() };
        let last = line.points.last().map(|p| {
            let (low, high) = p.interval.as_ref().map(|(l, h)| (l.label(lines.unit), h.label(lines.unit))).unzip();
            let bounds = low.zip(high).map(|(low, high)| format!(" ({low} to {high})")).unwrap_or_default();
            format!("  {}{bounds} at {}", p.y.label(lines.unit), p.label)
        });
        let last = last.unwrap_or_default();
        page.line(&format!("{sign}{}{last}", line.name));
    }
    let all = lines.series.len();
    if all > series.len() {
        page.line(&format!("the {MOST} largest of {all} lines; {} left out", all - series.len()));
    }
    let names = lines.sparks.iter().map(|(s, _)| s.name.width()).max().unwrap_or(0).min(page.width / 3);
    for (line, unit) in &lines.sparks {
        let last = line.points.last().map(|p| p.y.label(*unit)).unwrap_or_default();
        let room = page.width.saturating_sub(names + last.width() + 2);
        page.line(&format!("{} {} {last}", padded(&line.name, names, false), spark(&line.points, room)));
    }
}

/// The last `room` points, a block each.
fn spark(points: &[Point], room: usize) -> String {
    let points = &points[points.len().saturating_sub(room)..];
    let scale = Scale::around(points.iter().filter_map(|p| p.y.at));
    points.iter().map(|p| p.y.at.map_or(' ', |v| SPARKS[(scale.share(v) * 7.0).round() as usize])).collect()
}

fn canvas(lines: &Lines, series: &[&Series], page: &mut Page) {
    let points = || series.iter().flat_map(|s| &s.points);
    let bounds = points().filter_map(|p| p.interval.as_ref()).flat_map(|(low, high)| [low.at, high.at]).flatten();
    let (scale, ticks) = Scale::with_zero(points().filter_map(|p| p.y.at).chain(bounds)).ticks(4);
    let labels = tick_labels(&ticks, lines.unit);
    let axis = labels.iter().map(|l| l.width()).max().unwrap_or(0).min(page.width / 3);
    let width = page.width.saturating_sub(axis + 2).max(4);
    let across = Scale::around(points().map(|p| p.x));
    // In dots of braille: two across and four down in each character.
    let column = |x: f64| (across.share(x) * (width * 2 - 1) as f64).round() as usize;
    let row_of = |y: f64| (1.0 - scale.share(y)) * (HEIGHT * 4 - 1) as f64;
    let row = |y: f64| row_of(y).round() as usize;
    let mut cells = vec![vec![' '; width]; HEIGHT];
    let mut dots = vec![vec![0u8; width]; HEIGHT];
    for line in series {
        let mut before: Option<[f64; 3]> = None;
        for point in &line.points {
            let bounds = point.interval.as_ref().and_then(|(low, high)| Some((low.at?, high.at?)));
            let here = bounds.map(|(low, high)| [column(point.x) as f64 / 2.0, row_of(low), row_of(high)]);
            if let Some(here) = here {
                shade(&mut cells, before.unwrap_or(here), here);
            }
            before = here;
        }
    }
    for (at, line) in series.iter().enumerate() {
        let mut before: Option<(usize, usize)> = None;
        for point in &line.points {
            // A number that is missing breaks the line.
            let Some(y) = point.y.at else {
                before = None;
                continue;
            };
            let here = (column(point.x), row(y));
            for (x, y) in stroke(before.unwrap_or(here), here) {
                if series.len() > 1 { cells[y / 4][x / 2] = SIGNS[at] } else { dots[y / 4][x / 2] |= dot(x % 2, y % 4) }
            }
            before = Some(here);
        }
    }
    for r in 0..HEIGHT {
        let tick = ticks.iter().position(|&t| row(t) / 4 == r);
        let label = tick.map_or("", |at| labels[at].as_str());
        let drawn: String = (0..width)
            .map(|c| {
                if dots[r][c] > 0 { char::from_u32(0x2800 + u32::from(dots[r][c])).unwrap_or(' ') } else { cells[r][c] }
            })
            .collect();
        page.line(&format!("{} {}{drawn}", padded(label, axis, true), if tick.is_some() { '┤' } else { '│' }));
    }
    let first = points().min_by(|a, b| a.x.total_cmp(&b.x)).map_or("", |p| p.label.as_str());
    let last = points().max_by(|a, b| a.x.total_cmp(&b.x)).map_or("", |p| p.label.as_str());
    page.line(&format!("{} └{}", " ".repeat(axis), "─".repeat(width)));
    let gap = width.saturating_sub(first.width() + last.width());
    let ends = if gap > 0 && first != last { format!("{first}{}{last}", " ".repeat(gap)) } else { first.to_string() };
    page.line(&format!("{}{ends}", " ".repeat(axis + 2)));
}

/// Shades the cells whose middle lies between the two bounds, from one place to the next. `[column, row of low, row of high]`, rows in
/// dots.
fn shade(cells: &mut [Vec<char>], from: [f64; 3], to: [f64; 3]) {
    for column in from[0] as usize..=to[0] as usize {
        let part = if to[0] > from[0] { ((column as f64 - from[0]) / (to[0] - from[0])).clamp(0.0, 1.0) } else { 1.0 };
        let [one, other] = [1, 2].map(|n| from[n] + (to[n] - from[n]) * part);
        for (r, line) in cells.iter_mut().enumerate() {
            let middle = r as f64 * 4.0 + 1.5;
            if one.min(other) <= middle && middle <= one.max(other) {
                line[column] = '░';
            }
        }
    }
}

fn dot(x: usize, y: usize) -> u8 {
    [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]][x][y]
}

/// The dots from one to the other.
fn stroke(from: (usize, usize), to: (usize, usize)) -> impl Iterator<Item = (usize, usize)> {
    let steps = from.0.abs_diff(to.0).max(from.1.abs_diff(to.1)).max(1);
    let between = move |a: usize, b: usize, n: usize| {
        (a as f64 + (b as f64 - a as f64) * n as f64 / steps as f64).round() as usize
    };
    (0..=steps).map(move |n| (between(from.0, to.0, n), between(from.1, to.1, n)))
}
