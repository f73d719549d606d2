//! What the manual says of exact sets of users.

use super::{argument, state};
use crate::functions::{FunctionDoc, FunctionKind};

pub fn docs() -> Vec<FunctionDoc> {
    let two = || vec![state("A set of users."), argument("state", "BINARY", None, "Another one.")];
    let both = |name, summary, syntax, answer, example| FunctionDoc {
        name,
        kind: FunctionKind::Scalar,
        summary,
        syntax,
        arguments: two(),
        returns: vec![("BINARY", answer)],
        text: "NULL where a set is. A set of integers and a set of texts are an error; an empty set goes with both.",
        example,
    };
    vec![
        FunctionDoc {
            name: "users_state",
            kind: FunctionKind::Aggregate,
            summary: "The exact set of users, to be stored and merged later",
            syntax: "users_state(user)",
            arguments: vec![argument("user", "BIGINT or TEXT", None, "Who; NULLs are left out.")],
            returns: vec![("BINARY", "The set; of nobody where no row has a user.")],
            text: "A daily job stores a set for each day and group; `users_merge` of thirty of them has the month's users, \
                   `users_and` of two months those who came back. The answers are exact, and the same users have the same \
                   bytes.\n\n\
                   Integers are kept as a 64-bit Roaring treemap, or as differences where these take less than half: an eighth of a byte to 2 \
                   bytes for each of many ids near each other, 8 for ids drawn at random. Texts are kept as they are, sorted, \
                   since a hash of them would not be exact: number users where that is too much. Unsigned integers beyond the range of \
                   BIGINT are an error.\n\n\
                   States of tenure begin with `tns`, a version and their kind, and end with a checksum. Bytes of another \
                   version, of another kind, changed, cut or foreign are an error that says so.\n\nA stored set holds its users: erasing a person's events does not take them out of it, `users_and_not` \
                   does.\n\nMemory: as stored, with each \
                   distinct text once for all groups of a partition; up to 150 bytes for an id that is alone among 4 billion.",
            example: "SELECT date_trunc('month', ts) AS month, users_count(users_state(user_id)) AS users, length(encode(users_state(user_id), 'hex')) / 2 AS bytes\nFROM events GROUP BY month ORDER BY month",
        },
        FunctionDoc {
            name: "users_merge",
            kind: FunctionKind::Aggregate,
            summary: "The union of stored sets of users",
            syntax: "users_merge(state)",
            arguments: vec![state("From `users_state` or `users_merge`; NULLs are left out.")],
            returns: vec![("BINARY", "The users of any of them; NULL without a state.")],
            text: "Sets of integers and sets of texts in one group are an error. Over a window that slides, as in `users_merge(s) OVER (ORDER BY day \
                   RANGE BETWEEN INTERVAL '29 days' PRECEDING AND CURRENT ROW)`, each set costs three unions, however long the window is.",
            example: "SELECT users_count(users_merge(s)) AS users, sum(users_count(s)) AS user_days\nFROM (SELECT date_trunc('day', ts) AS day, users_state(user_id) AS s FROM events GROUP BY day)",
        },
        FunctionDoc {
            name: "users_count",
            kind: FunctionKind::Scalar,
            summary: "How many users a stored set has",
            syntax: "users_count(state)",
            arguments: vec![state("A set of users.")],
            returns: vec![("BIGINT", "Distinct users; NULL where the state is.")],
            text: "The number stands at the beginning of the state; the set itself is not read, only its checksum.",
            example: "SELECT country, users_count(users_state(user_id)) AS users FROM events GROUP BY country ORDER BY country",
        },
        both(
            "users_and",
            "The users of two stored sets",
            "users_and(state, state)",
            "The users in both.",
            "SELECT users_count(users_and(a, b)) AS came_back\nFROM (SELECT users_state(user_id) FILTER (WHERE ts < TIMESTAMP '2025-02-01') AS a,\n             users_state(user_id) FILTER (WHERE ts >= TIMESTAMP '2025-02-01') AS b FROM events)",
        ),
        both(
            "users_or",
            "The users of either of two stored sets",
            "users_or(state, state)",
            "The users in one or both.",
            "SELECT users_count(users_or(users_state(1), users_state(2))) AS users",
        ),
        both(
            "users_and_not",
            "The users of a stored set that are not in another",
            "users_and_not(state, state)",
            "The users of the first that are not in the second.",
            "SELECT users_count(users_and_not(a, b)) AS carts_left\nFROM (SELECT users_state(user_id) FILTER (WHERE event = 'add_to_cart') AS a,\n             users_state(user_id) FILTER (WHERE event = 'purchase') AS b FROM events)",
        ),
        FunctionDoc {
            name: "users_contains",
            kind: FunctionKind::Scalar,
            summary: "Whether a user is in a stored set",
            syntax: "users_contains(state, user)",
            arguments: vec![state("A set of users."), argument("user", "BIGINT or TEXT", None, "Who.")],
            returns: vec![("BOOLEAN", "Whether the set has the user; NULL where either is NULL.")],
            text: "A text looked up among integers, or an integer among texts, is an error; nobody is in an empty set. A set that is the \
                   same in rows that follow each other is read once.",
            example: "WITH buyers AS (SELECT users_state(user_id) AS s FROM events WHERE event = 'purchase')\nSELECT count(*) AS events_of_buyers FROM events CROSS JOIN buyers WHERE users_contains(s, user_id)",
        },
    ]
}
