//! The micro-cases of each option, and adversarial inputs.

use super::*;
use crate::algo::event::Event;

const A: u64 = 1;
const B: u64 = 2;
const C: u64 = 4;
const D: u64 = 8;
/// Satisfies no condition.
const X: u64 = 0;

fn events(list: &[(i64, u64)]) -> Vec<Event> {
    let mut events: Vec<Event> =
        list.iter().zip(0..).map(|((time, mask), tag)| Event { time: *time, mask: *mask, tag }).collect();
    events.sort_by_key(|e| e.time);
    events
}

/// Level, and the time of each step of the only chain.
fn run(list: &[(i64, u64)], spec: &Spec) -> (usize, Vec<i64>) {
    let events = events(list);
    let mut funnel = Funnel::new(spec.clone());
    let mut chains = Chains::default();
    funnel.chains(&events, None, None, &mut chains);
    assert!(chains.chains.len() <= 1);
    let level = funnel.level(&events, None).level;
    assert_eq!(level, chains.chains.first().map_or(0, |c| c.reached.level));
    (level, chains.places.iter().map(|p| events[p.at as usize].time).collect())
}

fn level(list: &[(i64, u64)], spec: &Spec) -> usize {
    run(list, spec).0
}

fn plain(steps: usize, window: i64) -> Spec {
    Spec::plain(steps, window)
}

fn between(steps: usize, between: Between) -> Spec {
    Spec { between, ..plain(steps, 1_000) }
}

/// One event a second.
fn in_turn(masks: &[u64]) -> Vec<(i64, u64)> {
    (0..).zip(masks.iter().copied()).collect()
}

#[test]
fn one_row_serves_one_step_unless_reused() {
    assert_eq!(level(&[(0, A | B)], &plain(2, 10)), 1);
    assert_eq!(level(&[(0, A | B)], &Spec { reuse: true, ..plain(2, 10) }), 2);
}

#[test]
fn the_window_is_inclusive() {
    assert_eq!(level(&[(0, A), (10, B)], &plain(2, 10)), 2);
    assert_eq!(level(&[(0, A), (10, B)], &plain(2, 9)), 1);
}

#[test]
fn a_later_start_may_be_needed() {
    // 13:00 A, 13:30 A, 13:45 B, 14:15 C within one hour.
    let list = [(0, A), (30, A), (45, B), (75, C)];
    assert_eq!(run(&list, &plain(3, 60)), (3, vec![30, 45, 75]));
    assert_eq!(run(&list, &Spec { entry: Entry::First, ..plain(3, 60) }), (2, vec![0, 45]));
}

#[test]
fn increase_keeps_the_earlier_start_when_the_later_one_is_tied() {
    // The case that a single "last start" loses: A@0 A@5 B@5.
    let increase = Spec { order: Order::Increase, ..plain(2, 100) };
    assert_eq!(run(&[(0, A), (5, A), (5, B)], &increase), (2, vec![0, 5]));
    assert_eq!(level(&[(5, A), (5, B)], &increase), 1);
    assert_eq!(level(&[(5, B), (5, A)], &plain(2, 100)), 2);
    assert_eq!(level(&[(10, B), (11, A)], &plain(2, 100)), 1);
}

#[test]
fn tied_rows_with_several_conditions_are_matched() {
    // Two rows that both satisfy A, B and C serve only two steps; with a third that satisfies B all three.
    assert_eq!(level(&[(0, A | B | C), (0, A | B | C)], &plain(3, 10)), 2);
    assert_eq!(level(&[(0, A | B | C), (0, A | B | C), (0, B)], &plain(3, 10)), 3);
    assert_eq!(run(&[(0, A), (1, B | C), (1, B)], &plain(3, 10)), (3, vec![0, 1, 1]));
}

#[test]
fn the_canonical_chain_completes_early_and_starts_late() {
    let list = in_turn(&[A, A, B, B, C, A, B, C]);
    assert_eq!(run(&list, &plain(3, 100)), (3, vec![1, 2, 4]));
    assert_eq!(run(&list, &Spec { pick: Pick::EarliestStart, ..plain(3, 100) }), (3, vec![0, 2, 4]));
    // The earliest start that is in time, not the earliest of all.
    let list = [(0, A), (2, A), (3, A), (4, B), (9, C)];
    assert_eq!(run(&list, &Spec { pick: Pick::EarliestStart, ..plain(3, 7) }), (3, vec![2, 4, 9]));
}

#[test]
fn strict_modes() {
    assert_eq!(level(&in_turn(&[A, X, B]), &between(2, Between::Strict)), 1);
    assert_eq!(level(&in_turn(&[A, X, B]), &between(2, Between::StrictSteps)), 2);
    assert_eq!(level(&in_turn(&[A, A, B]), &between(2, Between::Strict)), 2);
    assert_eq!(level(&in_turn(&[A, C, B]), &between(3, Between::StrictSteps)), 1);
    // Tied events lie between no others: neither X at the time of A, nor X at the time of B.
    assert_eq!(level(&[(0, A), (0, X), (1, X), (1, B), (2, C)], &between(3, Between::Strict)), 3);
}

#[test]
fn dedup_modes() {
    assert_eq!(level(&in_turn(&[A, B, A, C]), &between(3, Between::Dedup)), 3);
    assert_eq!(level(&in_turn(&[A, B, A, C]), &between(3, Between::DedupFirst)), 2);
    assert_eq!(level(&in_turn(&[A, B, C, B, D]), &between(4, Between::Dedup)), 3);
    // The second B is the chain's own; the first came before step 2 was reached.
    assert_eq!(run(&in_turn(&[A, B, B, C]), &between(3, Between::Dedup)), (3, vec![0, 2, 3]));
}

#[test]
fn limits_between_steps() {
    let within = Spec { step_within: vec![5, i64::MAX], ..plain(3, 1_000) };
    assert_eq!(run(&[(0, A), (3, A), (8, B), (500, C)], &within), (3, vec![3, 8, 500]));
    assert_eq!(level(&[(0, A), (6, B), (7, C)], &within), 1);
    let after = Spec { step_after: vec![5], ..plain(2, 1_000) };
    assert_eq!(run(&[(0, A), (3, A), (5, B)], &after), (2, vec![0, 5]));
    assert_eq!(level(&[(0, A), (4, B)], &after), 1);
    // Neither the latest nor the earliest A is within both limits.
    let both = Spec { step_within: vec![6], ..after };
    assert_eq!(run(&[(0, A), (4, A), (6, A), (10, B)], &both), (2, vec![4, 10]));
}

#[test]
fn exclusions_cut_chains_or_drop_users() {
    // Conditions: A, B, C, then the exclusion.
    let spec = |after, before| Spec { exclusions: vec![Exclusion { after, before }], ..plain(3, 1_000) };
    let list = in_turn(&[A, D, B, C]);
    assert_eq!(level(&list, &spec(1, 3)), 1);
    assert_eq!(level(&list, &spec(2, 3)), 3);
    assert_eq!(level(&in_turn(&[A, B, D, C]), &spec(2, 3)), 2);
    // It ends the chain although step 3 is never reached.
    assert_eq!(level(&in_turn(&[A, D, B]), &spec(1, 3)), 1);
    // Tied with an inner step it lies between steps 1 and 3, tied with an outer one it does not.
    assert_eq!(level(&[(0, A), (1, B), (1, D), (2, C)], &spec(1, 3)), 2);
    assert_eq!(level(&[(0, A), (0, D), (1, B), (2, C), (2, D)], &spec(1, 3)), 3);
    // A later start is free of it.
    assert_eq!(run(&in_turn(&[A, D, A, B, C]), &spec(1, 3)), (3, vec![2, 3, 4]));

    let dropping = Spec { drop_excluded: true, ..spec(1, 3) };
    let reached = |list: &[(i64, u64)]| Funnel::new(dropping.clone()).level(&events(list), None);
    assert_eq!(reached(&list), Reached { level: 0, dropped: true });
    assert_eq!(reached(&in_turn(&[A, D, A, B, C])), Reached { level: 3, dropped: false });
    assert_eq!(reached(&in_turn(&[A, D])), Reached { level: 1, dropped: false });
}

#[test]
fn optional_steps_are_taken_where_they_can_be() {
    let spec = Spec { optional: B, ..plain(3, 1_000) };
    assert_eq!(run(&in_turn(&[A, B, C]), &spec), (2, vec![0, 1, 2]));
    assert_eq!(run(&in_turn(&[A, C]), &spec), (2, vec![0, 1]));
    assert_eq!(run(&in_turn(&[A, B]), &spec), (1, vec![0, 1]));
    // B counts for more than a late start, and less than an early completion.
    assert_eq!(run(&in_turn(&[A, B, A, C]), &spec), (2, vec![0, 1, 3]));
    assert_eq!(run(&[(0, A), (1, C), (2, B), (3, C)], &spec), (2, vec![0, 1]));
    assert_eq!(run(&[(0, A), (1, B), (1, C)], &spec), (2, vec![0, 1, 1]));
    assert_eq!(run(&[(0, A), (1, B | C)], &spec), (2, vec![0, 1]));
}

#[test]
fn any_order_and_anchors() {
    let any = Spec { order: Order::AnyOrder, ..plain(3, 10) };
    assert_eq!(run(&[(0, C), (4, A), (10, B)], &any), (3, vec![0, 4, 10]));
    assert_eq!(run(&[(0, C), (4, A), (11, B)], &any), (2, vec![0, 4]));
    assert_eq!(level(&[(0, A | B | C), (1, A | B)], &any), 2);
    assert_eq!(level(&[(0, A | B), (1, A | C), (2, A | B)], &any), 3);
    let anchored = |anchors| Spec { anchors, ..any.clone() };
    assert_eq!(level(&[(0, C), (4, A), (10, B)], &anchored(A)), 2);
    assert_eq!(level(&[(0, C), (4, A), (10, B)], &anchored(C)), 2);
    assert_eq!(level(&[(0, B), (4, A), (10, C)], &anchored(C)), 3);
    // The anchor's instant serves the steps before and after it.
    assert_eq!(level(&[(0, A), (4, B), (4, C)], &anchored(B)), 3);
    assert_eq!(any_order::blocks(6, 0b001001), vec![0b1, 0b110, 0b1000, 0b110000]);
}

#[test]
fn all_chains_one_after_the_other() {
    let all = Spec { entry: Entry::All, ..plain(2, 5) };
    let list = events(&in_turn(&[A, B, A, A, B, A, X, X, X, X, X, A]));
    let mut chains = Chains::default();
    Funnel::new(all).chains(&list, None, None, &mut chains);
    let levels: Vec<usize> = chains.chains.iter().map(|c| c.reached.level).collect();
    assert_eq!(levels, [2, 2, 1, 1]);
    assert_eq!(chains.places.iter().map(|p| p.at).collect::<Vec<_>>(), [0, 1, 3, 4, 5, 11]);
}

#[test]
fn held_values_keep_chains_apart() {
    let list = events(&[(0, A), (1, A), (2, B), (3, B), (4, C)]);
    let mut funnel = Funnel::new(plain(3, 100));
    assert_eq!(funnel.level(&list, Some(&[0, 1, 1, 0, 0])).level, 3);
    assert_eq!(funnel.level(&list, Some(&[0, 1, 1, 0, crate::algo::event::NO_CLASS])).level, 2);
    assert_eq!(funnel.level(&list, Some(&[0, 1, 2, 3, 4])).level, 1);
    let mut chains = Chains::default();
    funnel.chains(&list, Some(&[0, 1, 1, 0, 2]), None, &mut chains);
    assert_eq!(chains.places.iter().map(|p| p.at).collect::<Vec<_>>(), [1, 2]);
    // The first event that can start a chain is that of class 0.
    let mut first = Funnel::new(Spec { entry: Entry::First, ..plain(3, 100) });
    assert_eq!(first.level(&list, Some(&[0, 1, 1, 2, 1])).level, 1);
}

#[test]
fn extreme_times_do_not_overflow() {
    let ends = [(i64::MIN, A), (i64::MAX, B)];
    assert_eq!(level(&ends, &plain(2, 1_000)), 1);
    assert_eq!(level(&[(i64::MIN, A), (i64::MIN, B)], &plain(2, 0)), 2);
    for order in [Order::Ordered, Order::Increase, Order::AnyOrder] {
        for between in [Between::Anything, Between::Strict, Between::Dedup] {
            for entry in [Entry::Best, Entry::First, Entry::All] {
                for limit in [0, 1, i64::MAX] {
                    let mut spec = Spec { order, entry, ..plain(2, limit) };
                    if order != Order::AnyOrder {
                        (spec.between, spec.step_within, spec.step_after) = (between, vec![limit], vec![limit]);
                    }
                    let mut chains = Chains::default();
                    Funnel::new(spec).chains(&events(&ends), None, None, &mut chains);
                    assert!(!chains.chains.is_empty());
                }
            }
        }
    }
}

#[test]
fn sixty_four_steps() {
    let list: Vec<(i64, u64)> = (0..64).map(|s| (s, 1u64 << s)).collect();
    for spec in [plain(64, 63), between(64, Between::Strict), Spec { order: Order::AnyOrder, ..plain(64, 63) }] {
        assert_eq!(level(&list, &spec), 64);
    }
    assert_eq!(level(&list, &plain(64, 62)), 63);
}

/// Values by the tag: `tag / 1000`.
struct Thousands;

impl Values for Thousands {
    fn class(&self, tag: u32) -> u32 {
        tag / 1_000
    }

    fn compare(&self, a: u32, b: u32) -> std::cmp::Ordering {
        (a / 1_000).cmp(&(b / 1_000))
    }
}

/// The chains of each value, each from a pass over all events in which entries of other values satisfy step 1 no more.
fn value_by_value(list: &[Event], spec: &Spec) -> Chains {
    let mut found = Chains::default();
    let mut values: Vec<u32> = list.iter().filter(|e| e.mask & A != 0).map(|e| e.tag / 1_000).collect();
    values.sort_unstable();
    values.dedup();
    for value in values {
        let own = |e: &Event| Event { mask: if e.tag / 1_000 == value { e.mask } else { e.mask & !A }, ..*e };
        let own: Vec<Event> = list.iter().map(own).collect();
        let from = found.chains.len();
        let spec = Spec { by: By::Nothing, ..spec.clone() };
        Funnel::new(spec).chains(&own, None, None, &mut found);
        found.chains[from..].iter_mut().for_each(|chain| chain.value = Some(value));
    }
    found
}

#[test]
fn many_values_are_told_as_each_alone() {
    use rand::{Rng, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(5);
    let (mut complete, mut short) = (0, 0);
    for round in 0..400 {
        let kinds = [Between::Anything, Between::Strict, Between::StrictSteps, Between::DedupFirst, Between::Dedup];
        let mut spec = between(3, kinds[round % 5]);
        spec.by = By::Entry;
        spec.window = Window::Ticks([30, 200, 5_000][random.random_range(0..3)]);
        spec.entry = [Entry::Best, Entry::Best, Entry::First, Entry::All][random.random_range(0..4)];
        if random.random_bool(0.3) {
            spec.step_within = vec![random.random_range(1..40)];
        }
        if random.random_bool(0.2) {
            spec.pick = Pick::EarliestStart;
        }
        if random.random_bool(0.2) {
            spec.order = Order::Increase;
        }
        // A step that may be skipped goes with neither of the limits beside it, nor with the modes that look for repetitions.
        let may_skip = spec.step_within.is_empty() && !matches!(spec.between, Between::Dedup | Between::DedupFirst);
        if may_skip && random.random_bool(0.4) {
            spec.optional = 2;
        }
        // Rare last steps leave chains open for a long time.
        let masks: &[u64] =
            if random.random_bool(0.5) { &[A, A, A, B, X, A | B] } else { &[A, B, B, C, C, X, A | C, B | C] };
        let mut list: Vec<Event> = (0..random.random_range(1..400))
            .map(|_| Event {
                time: random.random_range(0..300),
                mask: if random.random_ratio(1, 40) { C } else { masks[random.random_range(0..masks.len())] },
                tag: random.random_range(0..30) * 1_000,
            })
            .collect();
        list.sort_by_key(|e| e.time);
        let every_event = spec.every_event();
        list.retain(|e| every_event || e.mask != 0);
        (0..).zip(&mut list).for_each(|(at, e)| e.tag += at);
        let want = value_by_value(&list, &spec);
        let mut got = Chains::default();
        Funnel::new(spec.clone()).chains(&list, None, Some(&Thousands), &mut got);
        got.chains.iter_mut().for_each(|chain| chain.value = chain.value.map(|tag| tag / 1_000));
        assert_eq!(got.chains, want.chains, "round {round}: {spec:?}");
        let times =
            |found: &Chains| found.places.iter().map(|p| (p.step, list[p.at as usize].time)).collect::<Vec<_>>();
        assert_eq!(times(&got), times(&want), "round {round}: {spec:?}");
        complete += got.chains.iter().filter(|c| c.reached.level == 3).count();
        short += got.chains.iter().filter(|c| c.reached.level < 3).count();
    }
    assert!(complete > 500 && short > 500, "{complete} complete, {short} not");
}
