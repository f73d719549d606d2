//! Seating elements of a pattern on the events of one instant.
//!
//! Tied events are unordered, so a group of them can serve the elements `a..=i` of a match exactly when each of these gets
//! an event of its own (a bipartite matching) and every event left over has a place where it may lie. [`fits`] and
//! [`all_seated`] ask the two questions apart: where one matching covers all the elements and another covers all the events
//! that must be covered, a third covers both (Mendelsohn and Dulmage 1958).
//! [`Seats`] keeps a matching while elements are added, for matches that follow each other within one instant.
//!
//! Cost: `fits` and `all_seated` one pass over the group and O(m^3); adding to [`Seats`] O(m) a class of equal events where
//! an event is free for the taking, O(m^2) a class otherwise.

use super::search::Step;
use crate::algo::event::Event;

const FREE: u8 = u8::MAX;

/// Whether each of the elements can have an event of its own.
pub fn fits(group: &[Event], elements: &[Step]) -> bool {
    if elements.len() > group.len() {
        return false;
    }
    // More candidates than elements are never needed.
    let mut candidates: Vec<Vec<u32>> = vec![Vec::new(); elements.len()];
    let mut wanted = elements.len() * elements.len();
    for (at, event) in group.iter().enumerate() {
        for (element, found) in elements.iter().zip(&mut candidates) {
            if found.len() < elements.len() && element.takes(event.mask) {
                found.push(at as u32);
                wanted -= 1;
            }
        }
        if wanted == 0 {
            break;
        }
    }
    let mut chosen: Vec<u32> = candidates.iter().flatten().copied().collect();
    chosen.sort_unstable();
    chosen.dedup();
    let edges: Vec<Vec<usize>> = candidates
        .iter()
        .map(|found| found.iter().map(|at| chosen.binary_search(at).unwrap_or_default()).collect())
        .collect();
    covers_all(&edges, chosen.len())
}

/// Whether all events that `must` picks can be given to different elements.
pub fn all_seated(group: &[Event], elements: &[Step], must: impl Fn(u64) -> bool) -> bool {
    let mut edges: Vec<Vec<usize>> = Vec::new();
    for event in group.iter().filter(|event| must(event.mask)) {
        if edges.len() == elements.len() {
            return false;
        }
        edges.push((0..elements.len()).filter(|e| elements[*e].takes(event.mask)).collect());
    }
    covers_all(&edges, elements.len())
}

/// Kuhn's algorithm: whether every left node gets a right node of its own.
fn covers_all(edges: &[Vec<usize>], right: usize) -> bool {
    let mut holder = vec![FREE; right];
    (0..edges.len()).all(|left| {
        let mut visited = vec![false; right];
        augment(left, edges, &mut holder, &mut visited)
    })
}

/// Depth is bounded by the number of left nodes, at most [`super::MAX_ELEMENTS`].
fn augment(left: usize, edges: &[Vec<usize>], holder: &mut [u8], visited: &mut [bool]) -> bool {
    for &right in &edges[left] {
        if visited[right] {
            continue;
        }
        visited[right] = true;
        if holder[right] == FREE || augment(usize::from(holder[right]), edges, holder, visited) {
            holder[right] = left as u8;
            return true;
        }
    }
    false
}

/// A growing matching of elements, perhaps of several matches, to the events of a group.
///
/// Events that the same elements would take are one class: only their numbers matter.
#[derive(Debug, Clone)]
pub struct Seats {
    classes: Vec<Class>,
    /// For each element, the first class that may have a free event for it; classes never become freer.
    next: Vec<usize>,
    free: usize,
}

#[derive(Debug, Clone)]
struct Class {
    /// Which elements take its events.
    elements: u64,
    free: u32,
    /// Which elements hold how many of its events. A list, because a class is often a single event.
    held: Vec<(u8, u32)>,
}

impl Class {
    fn give(&mut self, element: usize) {
        match self.held.iter_mut().find(|(holder, _)| usize::from(*holder) == element) {
            Some((_, events)) => *events += 1,
            None => self.held.push((element as u8, 1)),
        }
    }

    fn take(&mut self, element: usize) {
        if let Some(at) = self.held.iter().position(|(holder, _)| usize::from(*holder) == element) {
            self.held[at].1 -= 1;
            if self.held[at].1 == 0 {
                self.held.swap_remove(at);
            }
        }
    }
}

impl Seats {
    /// Nothing seated yet.
    pub fn new(group: &[Event], elements: &[Step]) -> Self {
        let takers = |event: &Event| {
            let bits = elements.iter().enumerate().filter(|(_, element)| element.takes(event.mask));
            bits.fold(0u64, |bits, (e, _)| bits | 1 << e)
        };
        let mut sorted: Vec<u64> = group.iter().map(takers).collect();
        // Events that few elements take are given away first.
        sorted.sort_unstable_by_key(|bits| (bits.count_ones(), *bits));
        let classes = sorted.chunk_by(|a, b| a == b).map(|class| Class {
            elements: class[0],
            free: class.len() as u32,
            held: Vec::new(),
        });
        Self { classes: classes.collect(), next: vec![0; elements.len()], free: group.len() }
    }

    /// Whether every event is taken.
    pub fn is_full(&self) -> bool {
        self.free == 0
    }

    /// Seats one more of an element, moving others where needed; `false` changes nothing.
    pub fn add(&mut self, element: usize) -> bool {
        let mut visited = 0u64;
        let added = self.free > 0 && self.seat(element, &mut visited);
        self.free -= usize::from(added);
        added
    }

    fn seat(&mut self, element: usize, visited: &mut u64) -> bool {
        *visited |= 1 << element;
        while let Some(class) = self.classes.get_mut(self.next[element]) {
            if class.elements >> element & 1 == 1 && class.free > 0 {
                class.free -= 1;
                class.give(element);
                return true;
            }
            self.next[element] += 1;
        }
        for at in 0..self.classes.len() {
            if self.classes[at].elements >> element & 1 == 0 {
                continue;
            }
            for holder in 0..self.classes[at].held.len() {
                let other = usize::from(self.classes[at].held[holder].0);
                if *visited >> other & 1 == 0 && self.seat(other, visited) {
                    self.classes[at].take(other);
                    self.classes[at].give(element);
                    return true;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::super::search::Plan;
    use super::*;

    fn steps(pattern: &str) -> Vec<Step> {
        let pattern = parse::pattern(pattern, 8).unwrap();
        Plan::new(&pattern, None, 1).ways()[0].clone()
    }

    fn group(masks: &[u64]) -> Vec<Event> {
        masks.iter().map(|mask| Event { time: 0, mask: *mask, tag: 0 }).collect()
    }

    #[test]
    fn elements_get_different_events() {
        assert!(fits(&group(&[1, 2]), &steps("(?1)(?2)")));
        assert!(!fits(&group(&[3]), &steps("(?1)(?2)")));
        // The one event of both must go to the second element.
        assert!(fits(&group(&[3, 1]), &steps("(?1)(?2)")));
        assert!(!fits(&group(&[3, 4, 4]), &steps("(?1)(?2)")));
        assert!(fits(&group(&[0, 3]), &steps(".(?2)")));
        assert!(fits(&group(&vec![1; 1_000]), &steps(&"(?1)".repeat(64))));
    }

    #[test]
    fn events_that_must_serve_get_different_elements() {
        let all = |_| true;
        assert!(all_seated(&group(&[1, 2]), &steps("(?1)(?2)(?3)"), all));
        assert!(!all_seated(&group(&[1, 1]), &steps("(?1)(?2)(?3)"), all));
        assert!(!all_seated(&group(&[1, 4]), &steps("(?1)(?2)"), all));
        assert!(all_seated(&group(&[1, 4]), &steps("(?1)(?2)"), |mask| mask == 1));
    }

    #[test]
    fn seats_move_to_make_room() {
        // Element 2 takes the first event that serves it, which is the only one for element 1, and moves to the other.
        let mut seats = Seats::new(&group(&[0b011, 0b110]), &steps("(?1)(?2)(?3)"));
        assert!(seats.add(1) && seats.add(0));
        assert!(seats.is_full() && !seats.add(2));
        // Two moves: element 3 pushes 2, and 2 pushes 1.
        let mut seats = Seats::new(&group(&[0b0011, 0b0110, 0b1001]), &steps("(?1)(?2)(?3)(?4)"));
        assert!(seats.add(0) && seats.add(1) && seats.add(2) && seats.is_full());
        // Several of one element.
        let mut seats = Seats::new(&group(&[0b011, 0b110, 0b001]), &steps("(?1)(?2)(?3)"));
        assert!(seats.add(0) && seats.add(0) && !seats.add(0), "two events serve element 1");
        assert!(seats.add(2) && seats.is_full());
    }
}
