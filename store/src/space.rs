//! Which parts of a file are free, counted in units from its beginning.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What lies behind `end` is free, and so is what lies in the gaps before it.
#[derive(Debug, Default)]
pub(crate) struct Space {
    /// Behind the last unit in use.
    end: u32,
    /// Where each gap begins, and how long it is. No two touch, and none touches the end.
    gaps: BTreeMap<u32, u32>,
    /// The same by length.
    by_len: BTreeSet<(u32, u32)>,
}

impl Space {
    /// What is left by `used`, in the order of their beginnings. `None` if two of them overlap.
    pub(crate) fn around(used: impl IntoIterator<Item = Range<u32>>) -> Option<Self> {
        let mut space = Self::default();
        for Range { start, end } in used {
            if start < space.end {
                return None;
            }
            if space.end < start {
                space.add(space.end, start - space.end);
            }
            space.end = end;
        }
        Some(space)
    }

    /// Where `len` units may be put: in the smallest gap that has room, or at the end. `None` if that is too far.
    pub(crate) fn take(&mut self, len: u32) -> Option<u32> {
        let Some((gap_len, start)) = self.by_len.range((len, 0)..).next().copied() else {
            let start = self.end;
            self.end = start.checked_add(len)?;
            return Some(start);
        };
        self.remove(start, gap_len);
        if gap_len > len {
            self.add(start + len, gap_len - len);
        }
        Some(start)
    }

    /// What was taken is free again.
    pub(crate) fn give(&mut self, Range { mut start, mut end }: Range<u32>) {
        if let Some((before, len)) = self.gaps.range(..start).next_back().map(|(at, len)| (*at, *len))
            && before + len == start
        {
            self.remove(before, len);
            start = before;
        }
        if let Some(len) = self.gaps.get(&end).copied() {
            self.remove(end, len);
            end += len;
        }
        if end == self.end {
            self.end = start;
        } else {
            self.add(start, end - start);
        }
    }

    /// Behind the last unit in use.
    pub(crate) const fn end(&self) -> u32 {
        self.end
    }

    fn add(&mut self, start: u32, len: u32) {
        self.gaps.insert(start, len);
        self.by_len.insert((len, start));
    }

    fn remove(&mut self, start: u32, len: u32) {
        self.gaps.remove(&start);
        self.by_len.remove(&(len, start));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes so many units, or gives back the one of what is taken at this place.
    #[derive(Clone, Debug)]
    enum Step {
        Take(u32),
        Give(prop::sample::Index),
    }

    proptest! {
        #[test]
        fn nothing_is_given_out_twice_and_all_of_it_comes_back(
            steps in prop::collection::vec(
                prop_oneof![3 => (1..9u32).prop_map(Step::Take), 2 => any::<prop::sample::Index>().prop_map(Step::Give)],
                0..200,
            ),
        ) {
            let (mut space, mut taken) = (Space::default(), BTreeMap::new());
            for step in steps {
                match step {
                    Step::Take(len) => {
                        let start = space.take(len).unwrap();
                        taken.insert(start, start + len);
                    }
                    Step::Give(_) if taken.is_empty() => {}
                    Step::Give(which) => {
                        let start = *taken.keys().nth(which.index(taken.len())).unwrap();
                        let end = taken.remove(&start).unwrap();
                        space.give(start..end);
                    }
                }
                // What is in use does not overlap, and what it leaves is what is free.
                let around = Space::around(taken.iter().map(|(start, end)| *start..*end)).unwrap();
                prop_assert_eq!((&around.gaps, &around.by_len, around.end), (&space.gaps, &space.by_len, space.end));
            }
            for (start, end) in taken {
                space.give(start..end);
            }
            prop_assert_eq!((space.end, space.gaps.len(), space.by_len.len()), (0, 0, 0));
        }
    }

    #[test]
    fn the_smallest_gap_with_room_is_taken_before_the_end() {
        let mut space = Space::around([5..6, 8..9, 20..21]).unwrap();
        assert_eq!([2, 3, 3, 6, 4].map(|len| space.take(len).unwrap()), [6, 0, 9, 12, 21]);
        assert_eq!(space.take(u32::MAX), None);
    }

    #[test]
    fn what_overlaps_is_told() {
        assert!(Space::around([0..2, 1..3]).is_none());
    }
}
