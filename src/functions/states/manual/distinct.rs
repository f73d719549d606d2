//! What the manual says of sketches of distinct values.

use super::{argument, state};
use crate::functions::{ArgumentDoc, FunctionDoc, FunctionKind};

const HLL: &str = "Rows are hashed as DataSketches' `update` does in Java: integers as 64 bits, DOUBLE as 64 bits with one zero and one NaN, \
texts as UTF-8 bytes with the seed 9001; the empty text is not counted, as there. The bytes are those of DataSketches alone, without a header or checksum \
of ours: Java, C++, Python, Spark (`hll_sketch_estimate`) and Druid read them, and theirs of any layout are read here. Bytes whose registers and \
sums contradict each other are an error, other damage cannot be seen: where that matters use `users_state`.\n\n\
The same values have the same bytes and the same estimate, in whatever order and parts they come: the estimate that depends on the order of \
arrival, which DataSketches prefers where nothing was merged, is left out.";

const THETA: &str = "Hashed and stored as `distinct_hll_state` does, in the ordered compact form of DataSketches' theta sketches, of which \
intersections and differences have estimates, too. Exact up to 2^lg_k values. The same values have the same bytes.";

fn lg_k(text: &'static str) -> ArgumentDoc {
    argument("lg_k", "BIGINT", Some("12"), text)
}

pub fn docs() -> Vec<FunctionDoc> {
    let value = || argument("value", "BIGINT, DOUBLE or TEXT", None, "What is counted; NULLs are left out.");
    let aggregate = |name, summary, syntax, arguments, answer, text, example| FunctionDoc {
        name,
        kind: FunctionKind::Aggregate,
        summary,
        syntax,
        arguments,
        returns: vec![("BINARY", answer)],
        text,
        example,
    };
    let reader = |name, summary, syntax, answer, example| FunctionDoc {
        name,
        kind: FunctionKind::Scalar,
        summary,
        syntax,
        arguments: vec![state("A sketch.")],
        returns: vec![("DOUBLE", answer)],
        text: "NULL where the sketch is.",
        example,
    };
    let both = |name, summary, syntax, answer, example| FunctionDoc {
        name,
        kind: FunctionKind::Scalar,
        summary,
        syntax,
        arguments: vec![state("A theta sketch."), argument("state", "BINARY", None, "Another one.")],
        returns: vec![("BINARY", answer)],
        text: "NULL where a sketch is. The smaller the answer beside the two sketches, the wider its bounds.",
        example,
    };
    vec![
        aggregate(
            "distinct_hll_state",
            "A HyperLogLog sketch of distinct values, as DataSketches stores it",
            "distinct_hll_state(value [, lg_k])",
            vec![
                value(),
                lg_k("4 to 21: 2^lg_k bytes at the most, a standard error of 1.04 / sqrt(2^lg_k); a constant."),
            ],
            "The sketch; an empty one without values.",
            HLL,
            "SELECT round(distinct_hll_estimate(distinct_hll_state(user_id))) AS users, count(DISTINCT user_id) AS exactly FROM events",
        ),
        aggregate(
            "distinct_hll_merge",
            "Stored HyperLogLog sketches as one",
            "distinct_hll_merge(state [, lg_k])",
            vec![
                state("From `distinct_hll_state` or another writer of DataSketches; NULLs are left out."),
                argument(
                    "lg_k",
                    "BIGINT",
                    Some("that of the smallest sketch"),
                    "The answer has no larger one; a constant.",
                ),
            ],
            "A sketch of the values of any of them; NULL without one.",
            "Sketches of different `lg_k` make one of the smallest, empty ones left out.",
            "SELECT round(distinct_hll_estimate(distinct_hll_merge(s))) AS users\nFROM (SELECT country, distinct_hll_state(user_id) AS s FROM events GROUP BY country)",
        ),
        aggregate(
            "distinct_theta_state",
            "A theta sketch of distinct values, as DataSketches stores it",
            "distinct_theta_state(value [, lg_k])",
            vec![
                value(),
                lg_k("5 to 26: 8 bytes times 2^lg_k at the most, a standard error of 1 / sqrt(2^lg_k); a constant."),
            ],
            "The sketch; an empty one without values.",
            THETA,
            "SELECT distinct_theta_estimate(distinct_theta_state(user_id)) AS users FROM events",
        ),
        aggregate(
            "distinct_theta_merge",
            "Stored theta sketches as one",
            "distinct_theta_merge(state [, lg_k])",
            vec![
                state("From `distinct_theta_state` or another writer of DataSketches; NULLs are left out."),
                lg_k("5 to 26: the most hashes that the answer keeps; a constant."),
            ],
            "A sketch of the values of any of them; NULL without one.",
            "Sketches of different size go together: the answer is as exact as the smallest that was full, and `lg_k`, allow.",
            "SELECT distinct_theta_estimate(distinct_theta_merge(s)) AS users\nFROM (SELECT country, distinct_theta_state(user_id) AS s FROM events GROUP BY country)",
        ),
        reader(
            "distinct_hll_estimate",
            "How many distinct values a HyperLogLog sketch has",
            "distinct_hll_estimate(state)",
            "The estimate.",
            "SELECT round(distinct_hll_estimate(distinct_hll_state(x)), 3) AS values FROM (VALUES (1), (2), (2)) AS t(x)",
        ),
        reader(
            "distinct_hll_low",
            "The lower bound of how many distinct values a HyperLogLog sketch has",
            "distinct_hll_low(state)",
            "Two standard deviations below: the true number is lower once in forty times.",
            "SELECT distinct_hll_low(distinct_hll_state(user_id, 8)) <= count(DISTINCT user_id) AS holds FROM events",
        ),
        reader(
            "distinct_hll_high",
            "The upper bound of how many distinct values a HyperLogLog sketch has",
            "distinct_hll_high(state)",
            "Two standard deviations above.",
            "SELECT distinct_hll_high(distinct_hll_state(user_id, 8)) >= count(DISTINCT user_id) AS holds FROM events",
        ),
        reader(
            "distinct_theta_estimate",
            "How many distinct values a theta sketch has",
            "distinct_theta_estimate(state)",
            "The estimate; exact where the sketch keeps every hash.",
            "SELECT distinct_theta_estimate(distinct_theta_state(x)) AS values FROM (VALUES ('a'), ('b'), ('b')) AS t(x)",
        ),
        reader(
            "distinct_theta_low",
            "The lower bound of how many distinct values a theta sketch has",
            "distinct_theta_low(state)",
            "Two standard deviations below.",
            "SELECT distinct_theta_low(distinct_theta_state(user_id, 8)) <= count(DISTINCT user_id) AS holds FROM events",
        ),
        reader(
            "distinct_theta_high",
            "The upper bound of how many distinct values a theta sketch has",
            "distinct_theta_high(state)",
            "Two standard deviations above.",
            "SELECT distinct_theta_high(distinct_theta_state(user_id, 8)) >= count(DISTINCT user_id) AS holds FROM events",
        ),
        both(
            "distinct_theta_and",
            "The values of two theta sketches",
            "distinct_theta_and(state, state)",
            "A sketch of the values in both.",
            "SELECT distinct_theta_estimate(distinct_theta_and(a, b)) AS looked_and_bought\nFROM (SELECT distinct_theta_state(user_id) FILTER (WHERE event = 'view_item') AS a,\n             distinct_theta_state(user_id) FILTER (WHERE event = 'purchase') AS b FROM events)",
        ),
        both(
            "distinct_theta_and_not",
            "The values of a theta sketch that are not in another",
            "distinct_theta_and_not(state, state)",
            "A sketch of the values of the first that are not in the second.",
            "SELECT distinct_theta_estimate(distinct_theta_and_not(a, b)) AS never_bought\nFROM (SELECT distinct_theta_state(user_id) AS a,\n             distinct_theta_state(user_id) FILTER (WHERE event = 'purchase') AS b FROM events)",
        ),
    ]
}
