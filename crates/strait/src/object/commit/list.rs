//! Which objects a record's present transaction is about.
//!
//! A mark says its record and a sequence of 17 bits. One that outlived 131,072 transactions, left
//! on an object by a thread that died, would be taken for the present one's if the record did not
//! also name its objects. Who reads the list looks at the record's status before and after:
//! unchanged, the list is of that transaction. Hence the orders: a list may not be seen before
//! the end of the transaction before it.

use std::sync::atomic::Ordering;

use strait_sys::cell::Word;

use crate::object::flaw;

/// Objects in one transaction.
pub(crate) const PARTICIPANTS: usize = 64;

/// Half a word of a record: mapped memory, or a model checker's.
pub(crate) trait Half: Copy {
    fn load(self, order: Ordering) -> u32;
    fn store(self, value: u32, order: Ordering);
}

impl Half for Word<'_, u32> {
    fn load(self, order: Ordering) -> u32 {
        self.load(order)
    }

    fn store(self, value: u32, order: Ordering) {
        self.store(value, order);
    }
}

/// The count and the entries of one record.
#[derive(Copy, Clone, Debug)]
pub(crate) struct List<H, E> {
    pub(crate) count: H,
    /// The entry of that index, below [`PARTICIPANTS`].
    pub(crate) entry: E,
}

impl<H: Half, E: Fn(usize) -> Option<H>> List<H, E> {
    /// Writes what the coming transaction is about. At most [`PARTICIPANTS`] ids.
    pub(crate) fn write(&self, ids: impl ExactSizeIterator<Item = u32>) {
        let order = if flaw("list: in any order") {
            Ordering::Relaxed
        } else {
            Ordering::Release
        };
        let count = u32::try_from(ids.len()).unwrap_or(0);
        for (index, id) in ids.enumerate() {
            if let Some(entry) = (self.entry)(index) {
                entry.store(id, order);
            }
        }
        self.count.store(count, order);
    }

    /// The ids as they are found, though another may be writing.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u32> {
        let count = self.count.load(Ordering::Acquire) as usize;
        (0..count.min(PARTICIPANTS))
            .filter_map(|index| Some((self.entry)(index)?.load(Ordering::Acquire)))
    }

    /// Whether the object of that id is among them.
    pub(crate) fn names(&self, id: u32) -> bool {
        self.ids().any(|found| found == id)
    }
}
