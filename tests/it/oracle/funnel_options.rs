//! Funnels with options drawn at random, each combination that is accepted: the kernel, and the same through SQL.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, Int64Array, RecordBatch};
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tenure::algo::calendar::{Calendar, Clock, Unit};
use tenure::algo::event::{Event, NO_CLASS};
use tenure::algo::funnel::{Between, By, Chains, Entry, Exclusion, Funnel, Order, Pick, Reached, Spec, Values, Window};

use super::funnel_brute::{Case, Passage};
use super::{random, seed};
use crate::ask::Asked;

/// A funnel drawn at random.
struct Shape {
    spec: Spec,
    /// Length of the window, or the number of weeks of a calendar window.
    window: Result<i64, i64>,
    by_week: bool,
    holds: bool,
}

fn weeks() -> Calendar {
    Calendar::new(Unit::Week, "UTC", 0, Clock::Dates).unwrap()
}

/// True once in `times`.
fn once_in(random: &mut ChaCha8Rng, times: u32) -> bool {
    random.random_ratio(1, times)
}

impl Shape {
    fn draw(random: &mut ChaCha8Rng) -> Self {
        let steps = random.random_range(1..=4);
        let window = match random.random_range(0..8) {
            7 => Err(random.random_range(1..=2)),
            n => Ok([0, 1, 2, 3, 5, 9, 100][n]),
        };
        let mut spec = Spec::plain(steps, window.unwrap_or(0));
        if let Err(count) = window {
            spec.window = Window::Calendar(weeks(), count);
        }
        spec.order = [Order::Ordered, Order::Ordered, Order::Increase, Order::AnyOrder][random.random_range(0..4)];
        match spec.order {
            Order::AnyOrder if once_in(random, 2) => spec.anchors = random.random_range(0..1 << steps),
            Order::AnyOrder => {}
            _ => Self::draw_order(random, &mut spec),
        }
        if steps > 1 && once_in(random, 3) {
            Self::draw_exclusions(random, &mut spec);
        }
        spec.entry = [Entry::Best, Entry::Best, Entry::First, Entry::All][random.random_range(0..4)];
        spec.drop_excluded = !spec.exclusions.is_empty() && spec.entry != Entry::All && once_in(random, 2);
        spec.pick = if once_in(random, 3) { Pick::EarliestStart } else { Pick::EarliestCompletion };
        let by_week = once_in(random, 5);
        spec.period = by_week.then(weeks);
        let step = random.random_range(0..steps);
        let step = if step == 0 && spec.order != Order::AnyOrder { By::Entry } else { By::Step(step) };
        spec.by = [By::Nothing, By::Nothing, By::Entry, By::Entry, By::FirstEntry, step][random.random_range(0..6)];
        spec.mature = once_in(random, 5);
        Self { spec, window, by_week, holds: once_in(random, 5) }
    }

    /// What only modes with an order have.
    fn draw_order(random: &mut ChaCha8Rng, spec: &mut Spec) {
        spec.reuse = spec.order == Order::Ordered && once_in(random, 4);
        if once_in(random, 2) {
            let modes = [Between::Strict, Between::StrictSteps, Between::DedupFirst, Between::Dedup];
            spec.between = modes[random.random_range(0..4)];
        }
        if once_in(random, 4) && !matches!(spec.between, Between::Dedup | Between::DedupFirst) {
            spec.optional = random.random_range(0..1 << spec.steps) & !1;
        }
        let limited = |gap: usize, random: &mut ChaCha8Rng| spec.optional >> gap & 3 == 0 && once_in(random, 2);
        let gaps = spec.steps - 1;
        if once_in(random, 4) {
            let after = |gap| if limited(gap, random) { random.random_range(0..3) } else { 0 };
            spec.step_after = (0..gaps).map(after).collect();
        }
        if once_in(random, 4) {
            let least = |gap: usize| spec.step_after.get(gap).copied().unwrap_or(0);
            let within = |gap| if limited(gap, random) { least(gap) + random.random_range(0..4) } else { i64::MAX };
            spec.step_within = (0..gaps).map(within).collect();
        }
    }

    fn draw_exclusions(random: &mut ChaCha8Rng, spec: &mut Spec) {
        let optional = |step: usize| spec.optional >> (step - 1) & 1 == 1;
        for _ in 0..random.random_range(1..=2) {
            let mut e = Exclusion { after: 1, before: spec.steps };
            if spec.order != Order::AnyOrder && once_in(random, 2) {
                e.after = random.random_range(1..spec.steps);
                e.before = random.random_range(e.after + 1..=spec.steps);
            }
            if !optional(e.after) && (!optional(e.before) || e.before == spec.steps) {
                spec.exclusions.push(e);
            }
        }
    }

    fn conditions(&self) -> usize {
        self.spec.steps + self.spec.exclusions.len() + usize::from(self.spec.mature)
    }

    /// A user's events: few instants, conditions often several at once. Sorted by time, then class.
    fn case(&self, random: &mut ChaCha8Rng) -> Case {
        let instants = random.random_range(1..=if self.by_week || self.window.is_err() { 20 } else { 8 });
        let often = [0.2, 0.4, 0.6][random.random_range(0..3)];
        let until = random.random_range(0..=instants);
        let mature = |time: i64| if time <= until { self.spec.mature_bit() } else { 0 };
        let mut events: Vec<(i64, Option<u32>, u64, u32)> = (0..random.random_range(0..=8))
            .map(|_| {
                let met = |c| if c < self.spec.steps { often } else { 0.2 };
                let conditions = self.spec.steps + self.spec.exclusions.len();
                let mask = (0..conditions).fold(0, |mask, c| mask | u64::from(random.random_bool(met(c))) << c);
                let class = [None, Some(0), Some(1), Some(1), Some(2)][random.random_range(0..5)];
                let time = random.random_range(0..instants);
                (time, class, mask | mature(time), random.random_range(0..3))
            })
            .filter(|(_, _, mask, _)| *mask != 0 || self.spec.every_event())
            .collect();
        events.sort_unstable_by_key(|(time, class, ..)| (*time, *class));
        let classes = events.iter().map(|(_, class, ..)| class.unwrap_or(NO_CLASS)).collect();
        Case {
            values: events.iter().map(|e| e.3).collect(),
            mature_until: self.spec.mature.then_some(until),
            events: events.into_iter().zip(0..).map(|((time, _, mask, _), tag)| Event { time, mask, tag }).collect(),
            classes: self.holds.then_some(classes),
            spec: self.spec.clone(),
            window: self.window,
            by_week: self.by_week,
        }
    }
}

/// The values of a case, as the kernel asks for them.
struct ValuesOf<'a>(&'a [u32]);

impl Values for ValuesOf<'_> {
    fn class(&self, tag: u32) -> u32 {
        self.0[tag as usize]
    }

    fn compare(&self, a: u32, b: u32) -> std::cmp::Ordering {
        self.0[a as usize].cmp(&self.0[b as usize])
    }
}

/// What the kernel answers.
fn answers(case: &Case) -> (Reached, Vec<Passage>) {
    let mut funnel = Funnel::new(case.spec.clone());
    let mut chains = Chains::default();
    let held = case.classes.as_deref();
    let values = ValuesOf(&case.values);
    funnel.chains(&case.events, held, Some(&values), &mut chains);
    let mut from = 0;
    let passages = chains.chains.iter().map(|chain| {
        let mut places: Vec<(u32, u32)> = chains.places[from..chain.end].iter().map(|p| (p.step, p.at)).collect();
        from = chain.end;
        let times: Vec<i64> = places.iter().map(|p| case.events[p.1 as usize].time).collect();
        assert!(times.is_sorted(), "{places:?}");
        places.sort_unstable();
        Passage {
            period: chain.period,
            last_entry: chain.period.map(|_| chain.last_entry),
            value: chain.value.map(|tag| case.values[tag as usize]),
            level: chain.reached.level,
            dropped: chain.reached.dropped,
            places,
        }
    });
    let passages = passages.collect();
    (funnel.level(&case.events, held), passages)
}

#[test]
fn the_kernel_with_options_on_sixty_thousand_users() {
    let mut random = random(21);
    for round in 0..20_000 {
        let shape = Shape::draw(&mut random);
        for _ in 0..3 {
            let case = shape.case(&mut random);
            let want = case.passages();
            let (reached, got) = answers(&case);
            assert_eq!(got, want, "seed {}, round {round}: {case:?}", seed());
            let mut apart = case.clone();
            apart.spec.by = By::Nothing;
            let best = apart.passages().iter().map(|p| p.level).max().unwrap_or(0);
            assert_eq!(reached.level, best, "seed {}, round {round}: {case:?}", seed());
        }
    }
}

/// The options as SQL.
fn options(shape: &Shape) -> String {
    let spec = &shape.spec;
    let order = match spec.order {
        Order::Ordered => "ordered",
        Order::Increase => "increase",
        Order::AnyOrder => "any_order",
    };
    let between = match spec.between {
        Between::Anything => "",
        Between::Strict => ", strict",
        Between::StrictSteps => ", strict_steps",
        Between::Dedup => ", dedup",
        Between::DedupFirst => ", dedup_first",
    };
    let mut fields = vec![format!("'mode': '{order}{between}{}'", if spec.reuse { ", reuse" } else { "" })];
    let steps = |bits: u64| {
        let numbers: Vec<String> = (0..64).filter(|s| bits >> s & 1 == 1).map(|s| (s + 1).to_string()).collect();
        numbers.join(", ")
    };
    let mut add = |given: bool, field: String| {
        if given {
            fields.push(field);
        }
    };
    let limits = |limits: &[i64], none: i64| {
        let one = |l: &i64| if *l == none { "NULL".to_string() } else { format!("INTERVAL '{l} days'") };
        limits.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let some = |limits: &[i64], none: i64| limits.iter().any(|l| *l != none);
    add(shape.window.is_err(), "'window_end': 'calendar'".into());
    add(some(&spec.step_within, i64::MAX), format!("'step_within': [{}]", limits(&spec.step_within, i64::MAX)));
    add(some(&spec.step_after, 0), format!("'step_after': [{}]", limits(&spec.step_after, 0)));
    let bounds = |e: &Exclusion| match (spec.order, e.before == spec.steps) {
        (Order::AnyOrder, _) => "{'after': NULL, 'before': NULL}".to_string(),
        (_, true) => format!("{{'after': {}, 'before': NULL}}", e.after),
        (_, false) => format!("{{'after': {}, 'before': {}}}", e.after, e.before),
    };
    let exclusions: Vec<String> = spec.exclusions.iter().map(bounds).collect();
    add(!exclusions.is_empty(), format!("'exclude': [{}]", exclusions.join(", ")));
    add(spec.drop_excluded, "'exclude_policy': 'drop'".into());
    add(spec.optional != 0, format!("'optional': [{}]", steps(spec.optional)));
    add(spec.anchors != 0, format!("'anchors': [{}]", steps(spec.anchors)));
    add(shape.holds, "'hold': ['class']".into());
    add(spec.entry == Entry::First, "'entry': 'first'".into());
    add(spec.entry == Entry::All, "'entry': 'all'".into());
    add(spec.pick == Pick::EarliestStart, "'chain': 'earliest_start'".into());
    add(shape.by_week, "'period': 'week'".into());
    add(spec.by != By::Nothing, "'by': 'v'".into());
    add(spec.by == By::FirstEntry, "'by_entry': 'first'".into());
    if let By::Step(step) = spec.by {
        add(true, format!("'by_step': {}", step + 1));
    }
    add(spec.mature, "'mature': true".into());
    format!("{{{}}}", fields.join(", "))
}

/// Users' events in random order, over three partitions of small batches. The id of an event is its place among its user's.
fn load(asked: &Asked, random: &mut ChaCha8Rng, conditions: usize, users: &[Case]) {
    let mut rows: Vec<(i64, &Event, Option<u32>, u32)> = Vec::new();
    for (user, case) in users.iter().enumerate() {
        for event in &case.events {
            let class =
                case.classes.as_ref().map_or(Some(0), |c| Some(c[event.tag as usize]).filter(|c| *c != NO_CLASS));
            rows.push((user as i64, event, class, case.values[event.tag as usize]));
        }
    }
    rows.shuffle(random);
    let batch = |rows: &[(i64, &Event, Option<u32>, u32)]| {
        let mut columns: Vec<(String, ArrayRef)> = vec![
            ("user_id".into(), Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.0)))),
            ("ts".into(), Arc::new(Date32Array::from_iter_values(rows.iter().map(|r| r.1.time as i32)))),
            ("class".into(), Arc::new(Int64Array::from_iter(rows.iter().map(|r| r.2.map(i64::from))))),
            // The value 0 is NULL, the least.
            ("v".into(), Arc::new(Int64Array::from_iter(rows.iter().map(|r| Some(i64::from(r.3)).filter(|v| *v > 0))))),
            ("id".into(), Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| i64::from(r.1.tag))))),
        ];
        for c in 0..conditions {
            let met: BooleanArray = rows.iter().map(|r| (r.1.mask >> c & 1 == 1).then_some(true)).collect();
            columns.push((format!("m{}", c + 1), Arc::new(met)));
        }
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, c)| (name, c, true))).unwrap()
    };
    let mut partitions = vec![Vec::new(); 3];
    for (at, chunk) in rows.chunks(37).enumerate() {
        partitions[at % 3].push(batch(chunk));
    }
    partitions.iter_mut().filter(|p| p.is_empty()).for_each(|p| p.push(batch(&[])));
    asked.table("t", partitions);
}

/// A passage as SQL shows it: period, latest entry, value, level, dropped, met, times, steps, ids.
fn shown(case: &Case, passage: &Passage) -> Vec<String> {
    let day = |number: i64| jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(number)).unwrap();
    let any_order = case.spec.order == Order::AnyOrder;
    let mut places: Vec<Option<(u32, u32)>> = Vec::new();
    for place in &passage.places {
        if !any_order {
            places.resize(place.0 as usize, None);
        }
        places.push(Some(*place));
    }
    if any_order {
        let block = |step: u32| {
            (0..step).filter(|s| case.spec.anchors >> s & 1 == 1 || case.spec.anchors >> (s + 1) & 1 == 1).count()
        };
        places.sort_by_key(|p| p.map(|(step, at)| (case.events[at as usize].time, block(step), at)));
    }
    let list = |show: &dyn Fn(u32, u32) -> String| {
        let items: Vec<String> = places.iter().map(|p| p.map_or("NULL".into(), |(step, at)| show(step, at))).collect();
        format!("[{}]", items.join(", "))
    };
    let met = passage.places.iter().fold(0u64, |met, (step, _)| met | 1 << step);
    vec![
        passage.period.map_or("NULL".into(), |week| day(week * 7 - 3).to_string()),
        passage.last_entry.map_or("NULL".into(), |time| day(time).to_string()),
        passage.value.filter(|v| *v > 0).map_or("NULL".into(), |v| v.to_string()),
        passage.level.to_string(),
        passage.dropped.to_string(),
        met.to_string(),
        list(&|_, at| case.events[at as usize].time.to_string()),
        list(&|step, _| (step + 1).to_string()),
        list(&|_, at| at.to_string()),
    ]
}

#[test]
fn options_through_sql() {
    let mut random = random(22);
    let asked = Asked::new(3);
    for round in 0..150 {
        let mut shape = Shape::draw(&mut random);
        let users: Vec<Case> = (0..30)
            .map(|_| {
                let mut case = shape.case(&mut random);
                if let Err(days) = shape.window {
                    // In SQL calendar windows are days; of dates, n of them are the n - 1 days after the first.
                    (case.window, case.spec.window) = (Ok(days - 1), Window::Ticks(days - 1));
                }
                case
            })
            .collect();
        shape.window = shape.window.map(|length| length.max(1));
        let users: Vec<Case> = users
            .into_iter()
            .map(|mut case| {
                if let (Ok(length), Ok(_)) = (shape.window, case.window) {
                    case.window = Ok(length);
                }
                case
            })
            .collect();
        load(&asked, &mut random, shape.conditions(), &users);
        let conditions: Vec<String> = (1..=shape.conditions()).map(|c| format!("m{c}")).collect();
        let days = shape.window.unwrap_or_else(|days| days);
        let arguments = |kept: &str| {
            let (options, conditions) = (options(&shape), conditions.join(", "));
            format!("INTERVAL '{days} days', {options}, ts, {conditions}{kept}")
        };
        let with_id = arguments(", named_struct('class', class, 'id', id, 'v', v)");
        let columns = "c.level, c.dropped, c.met, arrow_cast(c.times, 'List(Int64)'), c.steps, c.kept";
        let value = if shape.spec.by == By::Nothing { "'NULL'" } else { "CAST(c['by']['v'] AS VARCHAR)" };
        let all = format!(
            "SELECT user_id, CAST(c.period AS VARCHAR), CAST(c.last_entry AS VARCHAR), {value}, {columns}
             FROM (SELECT user_id, unnest(funnel_chains({with_id})) AS c FROM t GROUP BY user_id)"
        );
        let mut got: Vec<Vec<String>> = asked.rows(&all);
        let mut want = Vec::new();
        for (user, case) in users.iter().enumerate() {
            for passage in case.passages() {
                want.push([vec![user.to_string()], shown(case, &passage)].concat());
            }
        }
        let ids = |rows: &mut Vec<Vec<String>>| {
            // {class: 1, id: 3} becomes 3.
            for row in rows.iter_mut() {
                let kept = row.pop().unwrap();
                let items = kept.trim_matches(['[', ']']).split("id: ").skip(1);
                let ids: Vec<&str> = items.map(|i| i.split([',', '}']).next().unwrap()).collect();
                row.push(format!("[{}]", ids.join(", ")));
            }
        };
        ids(&mut got);
        let without_gaps = |row: &mut Vec<String>| {
            let ids = row.pop().unwrap();
            let ids: Vec<&str> = ids.trim_matches(['[', ']']).split(", ").filter(|i| *i != "NULL").collect();
            row.push(format!("[{}]", ids.join(", ")));
        };
        want.iter_mut().for_each(without_gaps);
        // A user's chains come in order; users do not.
        got.sort_by_key(|row| row[0].parse::<i64>().unwrap());
        assert_eq!(got, want, "seed {}, round {round}: {all}", seed());

        if shape.spec.entry == Entry::All || shape.by_week || shape.spec.by != By::Nothing {
            continue;
        }
        let level_arguments = arguments(if shape.holds { ", named_struct('class', class)" } else { "" });
        let one = format!(
            "SELECT user_id, 'NULL' AS p, 'NULL' AS e, 'NULL' AS v, {columns}, level FROM (SELECT user_id, funnel_chain({with_id}) AS c,
               window_funnel({level_arguments}) AS level FROM t GROUP BY user_id)"
        );
        let mut got: Vec<Vec<String>> = asked.rows(&one);
        for row in &mut got {
            let level = row.pop().unwrap();
            assert_eq!(level, row[4], "seed {}, round {round}: {one}", seed());
        }
        ids(&mut got);
        got.retain(|row| row[4] != "0" || row[5] == "true");
        got.sort_by_key(|row| row[0].parse::<i64>().unwrap());
        assert_eq!(got, want, "seed {}, round {round}: {one}", seed());
    }
}
