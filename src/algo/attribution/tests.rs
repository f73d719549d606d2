use super::*;

const RULES: [Rule; 7] =
    [Rule::First, Rule::Last, Rule::LastNonDirect, Rule::Linear, Rule::Participation, Rule::Position, Rule::TimeDecay];
const UNTOUCHED: u32 = 99;

fn spec(lookback: i64, reset: bool) -> Spec {
    Spec {
        lookback,
        reset,
        rules: RULES.to_vec(),
        weights: [0.4, 0.2, 0.4],
        half_life: 7.0,
        moves: true,
        coalitions: true,
    }
}

fn touch(time: i64, channel: u32) -> Touch {
    Touch { time, channel, direct: channel.is_multiple_of(4), segment: 0 }
}

fn conversion(time: i64) -> Conversion {
    Conversion { time, value: 10.0, segment: 0 }
}

/// Credit of each rule by channel, in conversions.
fn credits(sums: &UserCredits, rule: Rule) -> Vec<(u32, f64)> {
    let at = RULES.iter().position(|r| *r == rule).unwrap();
    let credit = |c: &ChannelCredit| (c.channel, c.credits[at].parts as f64 / UNIT as f64);
    let mut all: Vec<(u32, f64)> = sums.channels.iter().map(credit).filter(|c| c.1 != 0.0).collect();
    all.sort_by_key(|c| c.0);
    all
}

fn user(spec: Spec, touches: &[Touch], conversions: &[Conversion]) -> UserCredits {
    let mut sums = UserCredits::default();
    Attribution::new(spec, UNTOUCHED).user(touches, conversions, &mut sums);
    sums
}

#[test]
fn a_unit_is_divided_by_every_number_up_to_forty() {
    assert!((1..=40).all(|n| UNIT % n == 0));
    assert_eq!(UNIT as f64 as i64, UNIT);
    assert!(UNIT.ilog2() == 61);
}

#[test]
fn each_rule_on_a_path_of_four() {
    // Ages 21, 14, 7 and 0: weights 1/8, 1/4, 1/2 and 1.
    let sums = user(spec(30, false), &[touch(0, 1), touch(7, 2), touch(14, 1), touch(21, 0)], &[conversion(21)]);
    assert_eq!(credits(&sums, Rule::First), [(1, 1.0)]);
    assert_eq!(credits(&sums, Rule::Last), [(0, 1.0)]);
    assert_eq!(credits(&sums, Rule::LastNonDirect), [(1, 1.0)]);
    assert_eq!(credits(&sums, Rule::Linear), [(0, 0.25), (1, 0.5), (2, 0.25)]);
    assert_eq!(credits(&sums, Rule::Participation), [(0, 1.0), (1, 1.0), (2, 1.0)]);
    assert_eq!(credits(&sums, Rule::Position), [(0, 0.4), (1, 0.5), (2, 0.1)]);
    let decay = credits(&sums, Rule::TimeDecay);
    for (got, want) in decay.iter().zip([8.0 / 15.0, 5.0 / 15.0, 2.0 / 15.0]) {
        assert!((got.1 - want).abs() < 1e-15, "{decay:?}");
    }
    let touches: Vec<(u32, i64)> = sums.channels.iter().map(|c| (c.channel, c.touches)).collect();
    assert_eq!(touches.iter().map(|t| t.1).sum::<i64>(), 4);
    let linear = &sums.channels.iter().find(|c| c.channel == 1).unwrap().credits[3];
    assert_eq!(linear.value.value() / (UNIT as f64 * VALUE_SCALE), 5.0);
    assert_eq!(sums.totals[&0].value.value(), 10.0);
}

#[test]
fn lookback_is_inclusive_and_ties_count_as_before() {
    let touches = [touch(0, 1), touch(5, 2), touch(10, 3), touch(11, 4)];
    let channels = |lookback| credits(&user(spec(lookback, false), &touches, &[conversion(10)]), Rule::Participation);
    assert_eq!(channels(10), [(1, 1.0), (2, 1.0), (3, 1.0)]);
    assert_eq!(channels(9), [(2, 1.0), (3, 1.0)]);
    assert_eq!(channels(0), [(3, 1.0)]);
    assert_eq!(credits(&user(spec(5, false), &[], &[conversion(10)]), Rule::Linear), [(UNTOUCHED, 1.0)]);
    // At the ends of time nothing overflows.
    let far = [touch(i64::MIN, 1), touch(i64::MAX, 2)];
    let ends = user(spec(i64::MAX, false), &far, &[conversion(i64::MIN), conversion(i64::MAX)]);
    assert_eq!(credits(&ends, Rule::Linear), [(1, 1.0), (2, 1.0)]);
    assert_eq!(credits(&ends, Rule::TimeDecay), [(1, 1.0), (2, 1.0)]);
}

#[test]
fn a_reset_takes_effect_after_the_instant() {
    let touches = [touch(0, 1), touch(10, 2), touch(20, 3)];
    let conversions = [conversion(10), conversion(10), conversion(20), conversion(25)];
    let reset = user(spec(30, true), &touches, &conversions);
    assert_eq!(credits(&reset, Rule::Linear), [(1, 1.0), (2, 1.0), (3, 1.0), (UNTOUCHED, 1.0)]);
    let overlap = user(spec(30, false), &touches, &conversions);
    assert_eq!(credits(&overlap, Rule::First), [(1, 4.0)]);
    assert_eq!(credits(&overlap, Rule::Last), [(2, 2.0), (3, 2.0)]);
}

#[test]
fn paths_that_are_lost_and_moves() {
    // 1 1 2 convert at 10; 3 stays; 4 and 5 are more than a lookback apart; 5 5 6 are exactly one apart, so one path.
    let touches =
        [touch(0, 1), touch(1, 1), touch(2, 2), touch(11, 3), touch(40, 4), touch(90, 5), touch(110, 5), touch(130, 6)];
    let sums = user(spec(20, false), &touches, &[conversion(10)]);
    let mut moves: Vec<(Move, i64)> = sums.moves.iter().map(|((_, m), flow)| (*m, flow.times)).collect();
    moves.sort();
    let want = [
        (Move::Start(1), 1),
        (Move::To(1, 2), 1),
        (Move::Converted(2), 1),
        (Move::LostStart(3), 1),
        (Move::LostStart(4), 1),
        (Move::LostStart(5), 1),
        (Move::LostTo(5, 6), 1),
        (Move::Lost(3), 1),
        (Move::Lost(4), 1),
        (Move::Lost(6), 1),
    ];
    assert_eq!(moves, want);
}

#[test]
fn position_parts_are_a_whole() {
    for weights in
        [[0.4, 0.2, 0.4], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.1, 0.0, 0.9], [0.3, 0.7, 0.0]]
    {
        for n in 1..6 {
            let parts = share::position_parts(weights, n);
            assert_eq!(parts.iter().sum::<i64>(), UNIT, "{weights:?} {n}");
            assert!(parts.iter().all(|p| *p >= 0), "{weights:?} {n}");
            if n > 2 {
                assert!(
                    parts
                        .iter()
                        .zip(weights)
                        .all(|(p, w)| (*p as f64 / UNIT as f64 - w).abs() < 1e-15 && (w > 0.0 || *p == 0))
                );
            }
        }
    }
}

fn add(moves: &HashMap<(u32, Move), Flow>, to: &mut HashMap<(u32, Move), Flow>) {
    for (step, flow) in moves {
        let sum = to.entry(*step).or_default();
        sum.times += flow.times;
        flow.gained.parts().iter().for_each(|p| sum.gained.add(*p));
        flow.taken.parts().iter().for_each(|p| sum.taken.add(*p));
    }
}

/// Every conversion on its own, from its definition, against the sliding window.
#[test]
fn the_window_slides_to_the_same_sums() {
    let mut state = 4u64;
    let mut random = move |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let mut before: (Vec<Touch>, Vec<Conversion>) = Default::default();
    for round in 0..3_000 {
        let span = [5, 50, 5_000][random(3) as usize];
        let mut touches: Vec<Touch> = (0..random(60)).map(|_| touch(random(span) as i64, random(5) as u32)).collect();
        touches.sort_by_key(|t| (t.time, t.channel));
        let mut conversions: Vec<Conversion> = (0..random(20))
            .map(|_| Conversion {
                time: random(span) as i64,
                value: random(9) as f64 / 3.0 - 0.7,
                segment: random(2) as u32,
            })
            .collect();
        conversions.sort_by_key(|c| c.time);
        let (lookback, reset) = (random(span) as i64, random(2) == 1);
        let mut spec = spec(lookback, reset);
        spec.half_life = [0.5, 7.0, 300.0][random(3) as usize];
        // A kernel that has seen another user.
        let (mut kernel, mut all) = (Attribution::new(spec.clone(), UNTOUCHED), UserCredits::default());
        kernel.user(&before.0, &before.1, &mut all);
        kernel.user(&touches, &conversions, &mut all);
        let mut unclaimed = touches.clone();
        let (mut moves, mut coalitions) = (HashMap::new(), HashMap::new());
        let mut want: HashMap<(u32, u32), ChannelCredit> = HashMap::new();
        for c in &conversions {
            let before = conversions.iter().rfind(|d| d.time < c.time).filter(|_| reset);
            let mine: Vec<Touch> = (touches.iter())
                .filter(|t| t.time <= c.time && t.time >= c.time - lookback && before.is_none_or(|b| t.time > b.time))
                .copied()
                .collect();
            unclaimed.retain(|t| t.time > c.time || !mine.contains(t));
            let one = user(spec.clone(), &mine, &[*c]);
            add(&one.moves, &mut moves);
            let mut members: Vec<u32> = mine.iter().map(|t| t.channel).collect();
            members.sort_unstable();
            members.dedup();
            if members.is_empty() {
                members.push(UNTOUCHED);
            }
            *coalitions.entry((c.segment, members)).or_insert(0) += 1;
            for one in one.channels {
                let sum = want.entry((one.segment, one.channel)).or_insert_with(|| ChannelCredit {
                    touches: 0,
                    credits: vec![Credit::default(); RULES.len()],
                    ..one
                });
                sum.touches += one.touches;
                for (sum, one) in sum.credits.iter_mut().zip(one.credits) {
                    sum.parts += one.parts;
                    one.value.parts().iter().for_each(|p| sum.value.add(*p));
                }
            }
        }
        // A touch before an unclaimed one is claimed only by conversions between them, so these are the same paths.
        let lost = user(spec.clone(), &unclaimed, &[]);
        add(&lost.moves, &mut moves);
        let told = |moves: &HashMap<(u32, Move), Flow>| -> HashMap<(u32, Move), (i64, f64, f64)> {
            moves.iter().map(|(step, f)| (*step, (f.times, f.gained.value(), f.taken.value()))).collect()
        };
        assert_eq!(told(&all.moves), told(&moves), "round {round}");
        let sets: HashMap<_, _> =
            all.coalitions.iter().map(|((segment, set), sum)| ((*segment, set.to_vec()), sum.parts)).collect();
        assert_eq!(sets, coalitions, "round {round}");
        before = (touches.clone(), conversions.clone());
        assert_eq!(all.channels.len(), want.len(), "round {round}");
        for got in &all.channels {
            let want = &want[&(got.segment, got.channel)];
            assert_eq!(got.touches, want.touches, "round {round}");
            for (rule, (got, want)) in RULES.iter().zip(got.credits.iter().zip(&want.credits)) {
                // Decayed weights are rounded; everything else is exact.
                let slack = if *rule == Rule::TimeDecay { UNIT as f64 * 1e-12 } else { 0.0 };
                assert!((got.parts - want.parts).abs() as f64 <= slack, "round {round}, {rule:?}");
                let apart = (got.value.value() - want.value.value()).abs() / VALUE_SCALE;
                assert!(apart <= slack * 4.0, "round {round}, {rule:?}: {apart}");
            }
        }
        for rule in RULES.iter().filter(|r| **r != Rule::Participation) {
            let at = RULES.iter().position(|r| r == rule).unwrap();
            let parts: i128 = all.channels.iter().map(|c| c.credits[at].parts).sum();
            assert_eq!(parts, conversions.len() as i128 * i128::from(UNIT), "round {round}, {rule:?}");
        }
    }
}
