//! Exact sets of users, by integers or by texts.
//!
//! Deals with: bytes of sets, set algebra. Does not deal with: the frame (`frame`), or how a set grows row by row.
//!
//! Integers are a 64-bit Roaring treemap, or sorted differences where these take less than half of that, as of ids that are drawn at
//! random: a treemap is read and merged much faster. Texts are sorted. A set without anybody is of neither kind and goes with both.

use std::cmp::Ordering;

use roaring::RoaringTreemap;

use super::frame::{Content, Kind, Read, close, content, damaged, open};
use crate::algo::value_runs::push_varint;

const NOBODY: u8 = 0;
const BITMAP: u8 = 1;
const DIFFERENCES: u8 = 2;
const TEXTS: u8 = 3;

/// A set of users.
#[derive(Debug, Clone, PartialEq)]
pub enum Users<'a> {
    /// The empty one.
    Nobody,
    /// Integers, by their 64 bits.
    Ids(RoaringTreemap),
    /// Texts, ascending, each once.
    Texts(Vec<&'a str>),
}

/// How two sets become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algebra {
    /// In both.
    And,
    /// In either.
    Or,
    /// In the first and not in the second.
    AndNot,
}

impl<'a> Users<'a> {
    /// Reads a state.
    pub fn read(bytes: &'a [u8]) -> Read<Self> {
        let (kind, count, mut rest) = head(bytes)?;
        match kind {
            NOBODY => {
                rest.end()?;
                Ok(Self::Nobody)
            }
            BITMAP => {
                let mut bytes = rest.0;
                let ids = RoaringTreemap::deserialize_from(&mut bytes).map_err(|e| damaged(&e.to_string()))?;
                Content(bytes).end()?;
                if ids.len() != count || ids.bitmaps().any(|(_, part)| part.is_empty()) {
                    return Err(damaged("its bitmap has another number of ids than it says"));
                }
                Ok(Self::Ids(ids))
            }
            DIFFERENCES => {
                let mut id = rest.number()?;
                let mut ids = vec![id];
                for _ in 1..count {
                    let more = rest.number()?;
                    id = id.checked_add(more).filter(|_| more > 0).ok_or_else(|| damaged("its ids do not ascend"))?;
                    ids.push(id);
                }
                rest.end()?;
                let ids = RoaringTreemap::from_sorted_iter(ids).map_err(|e| damaged(&e.to_string()))?;
                Ok(Self::Ids(ids))
            }
            _ => {
                let mut texts: Vec<&str> = Vec::new();
                for _ in 0..count {
                    let text = rest.text()?;
                    if texts.last().is_some_and(|last| *last >= text) {
                        return Err(damaged("its texts do not ascend"));
                    }
                    texts.push(text);
                }
                rest.end()?;
                Ok(Self::Texts(texts))
            }
        }
    }

    /// How many users a state has, without reading them.
    pub fn count(bytes: &[u8]) -> Read<u64> {
        Ok(head(bytes)?.1)
    }

    /// The state of this set.
    pub fn write(&self) -> Vec<u8> {
        match self {
            Self::Ids(ids) if !ids.is_empty() => write_ids(ids),
            Self::Texts(texts) if !texts.is_empty() => write_texts(texts),
            _ => {
                let mut bytes = open(Kind::Users);
                bytes.push(NOBODY);
                close(bytes)
            }
        }
    }

    /// What the two sets make together; what each consists of, where they are of different kinds.
    pub fn with(self, other: Self, how: Algebra) -> Result<Self, [&'static str; 2]> {
        let empty = |users: &Self| matches!(users, Self::Nobody);
        Ok(match (self, other) {
            (Self::Ids(a), Self::Ids(b)) => Self::Ids(match how {
                Algebra::And => a & b,
                Algebra::Or => a | b,
                Algebra::AndNot => a - b,
            }),
            (Self::Texts(a), Self::Texts(b)) => Self::Texts(merged(&a, &b, how)),
            (a, b) if empty(&a) || empty(&b) => match how {
                Algebra::And => Self::Nobody,
                Algebra::Or if empty(&a) => b,
                Algebra::Or | Algebra::AndNot => a,
            },
            (a, b) => return Err([a.consists_of(), b.consists_of()]),
        })
    }

    /// What a set consists of, for messages.
    pub fn consists_of(&self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Ids(_) => "integers",
            Self::Texts(_) => "texts",
        }
    }
}

/// Kind, number of users, and what follows.
fn head(bytes: &[u8]) -> Read<(u8, u64, Content<'_>)> {
    let mut rest = content(bytes, Kind::Users)?;
    let kind = rest.byte()?;
    match kind {
        NOBODY => Ok((kind, 0, rest)),
        BITMAP | DIFFERENCES | TEXTS => {
            let count = rest.number()?;
            // Only of a bitmap a byte may stand for several users.
            if count == 0 || (kind != BITMAP && count > rest.0.len() as u64) {
                return Err(damaged("it has another number of users than it says"));
            }
            Ok((kind, count, rest))
        }
        other => Err(damaged(&format!("a set of users cannot be of form {other}"))),
    }
}

fn begin(kind: u8, count: u64) -> Vec<u8> {
    let mut bytes = open(Kind::Users);
    bytes.push(kind);
    push_varint(&mut bytes, count);
    bytes
}

fn write_ids(ids: &RoaringTreemap) -> Vec<u8> {
    // How a container is held depends on what was done with it, so that each is given the shortest form anew.
    let mut parts = Vec::new();
    for (high, part) in ids.bitmaps() {
        let mut part = part.clone();
        part.remove_run_compression();
        part.optimize();
        parts.push((high, part));
    }
    let size: usize = 8 + parts.iter().map(|(_, part)| 4 + part.serialized_size()).sum::<usize>();
    if let Some(bytes) = write_differences(ids, size / 2) {
        return close(bytes);
    }
    let mut bytes = begin(BITMAP, ids.len());
    bytes.reserve(size + 4);
    bytes.extend((parts.len() as u64).to_le_bytes());
    for (high, part) in parts {
        bytes.extend(high.to_le_bytes());
        // Writing to memory does not fail.
        let written = part.serialize_into(&mut bytes);
        debug_assert!(written.is_ok());
    }
    close(bytes)
}

/// The same ids as differences, where these take at most so many bytes.
fn write_differences(ids: &RoaringTreemap, most: usize) -> Option<Vec<u8>> {
    if ids.len() > most as u64 {
        return None;
    }
    let mut bytes = begin(DIFFERENCES, ids.len());
    let most = bytes.len() + most;
    let mut before = 0;
    for id in ids {
        push_varint(&mut bytes, id - before);
        before = id;
        if bytes.len() > most {
            return None;
        }
    }
    Some(bytes)
}

/// The state of these texts, which ascend.
pub fn write_texts(texts: &[&str]) -> Vec<u8> {
    let mut bytes = begin(TEXTS, texts.len() as u64);
    for text in texts {
        super::frame::push_text(&mut bytes, text);
    }
    close(bytes)
}

fn merged<'a>(a: &[&'a str], b: &[&'a str], how: Algebra) -> Vec<&'a str> {
    let mut all = Vec::new();
    let (mut at, mut bt) = (0, 0);
    loop {
        let order = match (a.get(at), b.get(bt)) {
            (Some(a), Some(b)) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return all,
        };
        match (order, how) {
            (Ordering::Less, Algebra::Or | Algebra::AndNot) | (Ordering::Equal, Algebra::And | Algebra::Or) => {
                all.push(a[at]);
            }
            (Ordering::Greater, Algebra::Or) => all.push(b[bt]),
            _ => {}
        }
        at += usize::from(order != Ordering::Greater);
        bt += usize::from(order != Ordering::Less);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ids(set: &BTreeSet<u64>) -> Users<'static> {
        Users::Ids(set.iter().copied().collect())
    }

    fn texts(set: &BTreeSet<String>) -> Users<'_> {
        Users::Texts(set.iter().map(String::as_str).collect())
    }

    /// Ids near each other, in runs, and anywhere.
    fn some_ids() -> impl Strategy<Value = BTreeSet<u64>> {
        let near = proptest::collection::btree_set(0..300u64, 0..60);
        let anywhere = proptest::collection::btree_set(any::<u64>(), 0..20);
        (near, anywhere, 0..6000u64, 0..3u64).prop_map(|(near, anywhere, length, step)| {
            let run = (0..length * step.min(1)).map(|at| 70_000 + at * step);
            near.into_iter().chain(anywhere).chain(run).collect()
        })
    }

    fn algebra<T: Ord + Clone>(a: &BTreeSet<T>, b: &BTreeSet<T>, how: Algebra) -> BTreeSet<T> {
        match how {
            Algebra::And => a.intersection(b).cloned().collect(),
            Algebra::Or => a.union(b).cloned().collect(),
            Algebra::AndNot => a.difference(b).cloned().collect(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn sets_are_those_of_a_btree(a in some_ids(), b in some_ids()) {
            for how in [Algebra::And, Algebra::Or, Algebra::AndNot] {
                let (left, right) = (ids(&a).write(), ids(&b).write());
                let got = Users::read(&left).unwrap().with(Users::read(&right).unwrap(), how).unwrap().write();
                let wanted = algebra(&a, &b, how);
                // The same set has the same bytes, whatever was done to get it.
                prop_assert_eq!(&got, &ids(&wanted).write());
                prop_assert_eq!(Users::count(&got).unwrap(), wanted.len() as u64);
                let back: BTreeSet<u64> = match Users::read(&got).unwrap() {
                    Users::Ids(ids) => ids.into_iter().collect(),
                    _ => BTreeSet::new(),
                };
                prop_assert_eq!(back, wanted);
            }
        }

        #[test]
        fn sets_of_texts_are_those_of_a_btree(
            a in proptest::collection::btree_set("[abü]{0,3}", 0..20),
            b in proptest::collection::btree_set("[abü]{0,3}", 0..20),
        ) {
            for how in [Algebra::And, Algebra::Or, Algebra::AndNot] {
                let (left, right) = (texts(&a).write(), texts(&b).write());
                let got = Users::read(&left).unwrap().with(Users::read(&right).unwrap(), how).unwrap().write();
                let wanted = algebra(&a, &b, how);
                prop_assert_eq!(&got, &texts(&wanted).write());
                prop_assert_eq!(Users::count(&got).unwrap(), wanted.len() as u64);
            }
        }
    }

    #[test]
    fn kinds_do_not_mix() {
        let one = || Users::Ids([1].into_iter().collect());
        let text = || Users::Texts(vec!["1"]);
        assert_eq!(one().with(text(), Algebra::Or), Err(["integers", "texts"]));
        assert_eq!(one().with(Users::Nobody, Algebra::Or), Ok(one()));
        assert_eq!(Users::Nobody.with(text(), Algebra::Or), Ok(text()));
        assert_eq!(text().with(Users::Nobody, Algebra::And), Ok(Users::Nobody));
        assert_eq!(text().with(Users::Nobody, Algebra::AndNot), Ok(text()));
        assert_eq!(Users::Nobody.with(text(), Algebra::AndNot), Ok(Users::Nobody));
    }

    #[test]
    fn each_form_takes_the_room_it_should() {
        let run = ids(&(0..100_000).collect()).write();
        assert!(run.len() < 64, "{} bytes", run.len());
        // 64 random bits each: a bitmap would take three times as much.
        let random = ids(&(1..1000u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect()).write();
        assert!(random.len() < 9_000, "{} bytes", random.len());
    }

    #[test]
    fn sets_that_contradict_themselves_are_refused() {
        let framed = |content: &[u8]| {
            let mut bytes = open(Kind::Users);
            bytes.extend(content);
            close(bytes)
        };
        for (content, says) in [
            (&[][..], "ends early"),
            (&[9, 1], "form 9"),
            (&[NOBODY, 0], "more bytes"),
            (&[DIFFERENCES, 0], "another number"),
            (&[DIFFERENCES, 3, 1, 0, 4], "do not ascend"),
            (&[DIFFERENCES, 1, 1, 4], "more bytes"),
            (&[DIFFERENCES, 0xff, 0xff, 0xff, 0xff, 0x0f, 1], "another number"),
            (&[DIFFERENCES, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1], "do not ascend"),
            (&[TEXTS, 2, 1, b'b', 1, b'a'], "do not ascend"),
            (&[TEXTS, 1, 1, 0xff], "UTF-8"),
            (&[TEXTS, 1, 200, 1], "ends early"),
            (&[BITMAP, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], "damaged"),
            (&[BITMAP, 1, 0, 0, 0, 0, 0, 0, 0, 0], "another number"),
        ] {
            let fault = Users::read(&framed(content)).unwrap_err();
            assert!(fault.contains(says), "{content:?}: {fault}");
        }
    }
}
