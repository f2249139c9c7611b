//! Where the holders of an end in several processes go on, wherever one of them was killed.

use std::sync::atomic::Ordering;

use strait_sys::map::{Fixed, Map};

use crate::channel::layout::{MARK_CELLS, MARK_WORDS, MARKS, MARKS_TOLD, SUMS};

/// How far was read.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Mark {
    /// Where the next record lies.
    pub(super) position: u64,
    /// Bytes of it that were read.
    pub(super) offset: u64,
    /// Bytes read in all.
    pub(super) taken: u64,
    /// Bytes to come of a message in several records.
    pub(super) rest: Option<u64>,
    /// A caller has had a part of the present message.
    pub(super) begun: bool,
    /// Whoever had the turn has a part that no caller got yet.
    pub(super) in_hand: bool,
}

const REST: u64 = 1;
const BEGUN: u64 = 2;
const IN_HAND: u64 = 4;

/// The reader's marks: two cells, one of which counts. The other is written, then the count goes
/// up, then the writer is told; whoever takes the turn tells what a dead one had no time to.
#[derive(Debug)]
pub(super) struct Marks {
    count: Fixed<u64>,
    told: Fixed<u64>,
    cells: [[Fixed<u64>; MARK_WORDS]; 2],
}

impl Marks {
    pub(super) fn new(own: &Map) -> Option<Self> {
        let word = |cell: usize, index: usize| {
            own.fixed::<u64>(MARK_CELLS + 8 * (cell * MARK_WORDS + index))
        };
        let cell = |cell| {
            Some([
                word(cell, 0)?,
                word(cell, 1)?,
                word(cell, 2)?,
                word(cell, 3)?,
                word(cell, 4)?,
            ])
        };
        Some(Self {
            count: own.fixed(MARKS)?,
            told: own.fixed(MARKS_TOLD)?,
            cells: [cell(0)?, cell(1)?],
        })
    }

    fn count(&self) -> u64 {
        self.count.word().load(Ordering::SeqCst)
    }

    fn cell(&self, count: u64) -> &[Fixed<u64>; MARK_WORDS] {
        &self.cells[usize::from(!count.is_multiple_of(2))]
    }

    /// The mark that counts.
    pub(super) fn last(&self) -> Mark {
        let cell = self.cell(self.count());
        let [position, offset, taken, rest, flags] =
            [0, 1, 2, 3, 4].map(|index: usize| cell[index].word().load(Ordering::SeqCst));
        Mark {
            position,
            offset,
            taken,
            rest: (flags & REST != 0).then_some(rest),
            begun: flags & BEGUN != 0,
            in_hand: flags & IN_HAND != 0,
        }
    }

    /// From here on this one counts.
    pub(super) fn set(&self, mark: Mark) {
        let count = self.count().wrapping_add(1);
        let flag = |set: bool, flag| if set { flag } else { 0 };
        let flags =
            flag(mark.rest.is_some(), REST) | flag(mark.begun, BEGUN) | flag(mark.in_hand, IN_HAND);
        let words = [
            mark.position,
            mark.offset,
            mark.taken,
            mark.rest.unwrap_or(0),
            flags,
        ];
        for (word, value) in self.cell(count).iter().zip(words) {
            word.word().store(value, Ordering::SeqCst);
        }
        self.count.word().store(count, Ordering::SeqCst);
    }

    /// Whether the other side was told of the mark.
    pub(super) fn is_told(&self) -> bool {
        self.told.word().load(Ordering::SeqCst) == self.count()
    }

    pub(super) fn tell(&self) {
        self.told.word().store(self.count(), Ordering::SeqCst);
    }
}

/// The writer's: how many bytes were sent up to which head. Two of them, since the head itself
/// says which one counts.
#[derive(Debug)]
pub(super) struct Sums([[Fixed<u64>; 2]; 2]);

impl Sums {
    pub(super) fn new(own: &Map) -> Option<Self> {
        let word = |index: usize| own.fixed::<u64>(SUMS + 8 * index);
        Some(Self([[word(0)?, word(1)?], [word(2)?, word(3)?]]))
    }

    /// The sum at that head.
    pub(super) fn at(&self, head: u64) -> u64 {
        let load = |index: usize, word: usize| self.0[index][word].word().load(Ordering::SeqCst);
        load(usize::from(load(0, 0) != head), 1)
    }

    /// Before `next` is published, while `head` is: the sum there.
    pub(super) fn set(&self, head: u64, next: u64, sum: u64) {
        let first = self.0[0][0].word().load(Ordering::SeqCst);
        let cell = &self.0[usize::from(first == head)];
        // In this order: while the sum is written, no head leads here.
        cell[1].word().store(sum, Ordering::SeqCst);
        cell[0].word().store(next, Ordering::SeqCst);
    }
}
