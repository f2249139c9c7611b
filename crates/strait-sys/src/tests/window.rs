//! Tests of [`crate::window`] and of words that keep their map.

use core::sync::atomic::Ordering::Relaxed;
use std::os::fd::AsFd;

use proptest::prelude::*;

use super::{sealed_file, shared};
use crate::cell::{ReadOnly, ReadWrite};
use crate::map::{Access, Map};
use crate::window::Window;

fn bytes(seed: u8, len: usize) -> Vec<u8> {
    // Never 0, which the padding is.
    let numbers = (1..=251_u8).cycle().skip(usize::from(seed));
    numbers.take(len).collect()
}

/// What a window promises, in the plain.
struct Model(Vec<u8>);

impl Model {
    fn place(&self, at: u64, step: usize) -> usize {
        let len = self.0.len() as u64;
        usize::try_from((at / 8 * 8 % len + step as u64) % len).unwrap()
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        let len = self.0.len();
        let bytes = &bytes[..bytes.len().min(len)];
        let padded = bytes.len().next_multiple_of(8);
        for i in 0..padded {
            let place = self.place(at, i);
            self.0[place] = bytes.get(i).copied().unwrap_or(0);
        }
    }

    fn read(&self, at: u64, bytes: &mut [u8]) {
        let len = self.0.len();
        for (i, byte) in bytes.iter_mut().take(len).enumerate() {
            *byte = self.0[self.place(at, i)];
        }
    }
}

/// Writes to a window within a larger map, and compares it and its surroundings with the model.
fn check(len: usize, at: u64, bytes: &[u8]) {
    let map = Map::private(len + 128).unwrap();
    assert!(map.write(0, &vec![0xee; len + 128]));
    let window = Window::<ReadWrite>::new(&map, 64, len).unwrap();
    let mut model = Model(vec![0xee; len]);
    window.write(at, bytes);
    model.write(at, bytes);
    let mut all = vec![0; len + 128];
    assert!(map.read(0, &mut all));
    assert!(all[64..64 + len] == model.0, "{} at {at}", bytes.len());
    assert!(all[..64].iter().chain(&all[64 + len..]).all(|b| *b == 0xee));
    let (mut found, mut expected) = (vec![0x55; bytes.len()], vec![0x55; bytes.len()]);
    window.read(at, &mut found);
    model.read(at, &mut expected);
    assert!(found == expected, "{} at {at}", bytes.len());
}

#[test]
fn every_small_copy_at_every_place() {
    for at in (0..128).step_by(8) {
        for len in 0..=130 {
            check(64, at, &bytes(3, len));
            check(128, at, &bytes(5, len));
        }
    }
}

#[test]
fn private_ends_may_lie_anywhere() {
    let map = Map::private(4096).unwrap();
    let window = Window::<ReadWrite>::new(&map, 0, 4096).unwrap();
    for len in [1, 9, 64, 300, 1500, 4000] {
        for skew in 0..64 {
            let source = bytes(skew, len + 64);
            let skew = usize::from(skew);
            window.write(4000, &source[skew..skew + len]);
            let mut found = vec![0; len + 64];
            window.read(4000, &mut found[64 - skew..64 - skew + len]);
            assert!(found[64 - skew..64 - skew + len] == source[skew..skew + len]);
            assert!(found[..64 - skew].iter().all(|b| *b == 0), "before it");
            assert!(found[64 - skew + len..].iter().all(|b| *b == 0), "after it");
        }
    }
}

proptest! {
    #[test]
    fn copies_are_those_of_the_model(
        shift in 6_u32..16, at: u64, len in 0_usize..70_000, seed: u8,
    ) {
        check(1 << shift, at, &bytes(seed, len));
    }
}

#[test]
fn what_is_no_window() {
    let fd = sealed_file(4096);
    let map = shared(&fd, 4096);
    let reader = Map::shared(fd.as_fd(), 0, 4096, Access::Read).unwrap();
    let new = |offset, len| {
        let writing = Window::<ReadWrite>::new(&map, offset, len).is_some();
        let looking = Window::<ReadOnly>::look(&map, offset, len).is_some();
        assert_eq!(writing, looking);
        writing
    };
    assert!(new(0, 4096) && new(4032, 64) && new(64, 2048));
    assert!(!new(64, 4096) && !new(4096, 64) && !new(0, 8192), "outside");
    assert!(!new(usize::MAX - 63, 64), "outside");
    assert!(!new(8, 64) && !new(32, 64), "not on a line");
    assert!(!new(0, 0) && !new(0, 32) && !new(0, 96), "no such length");
    assert!(Window::<ReadWrite>::new(&reader, 0, 64).is_none());
    assert!(Window::<ReadOnly>::look(&reader, 0, 64).is_some());
}

#[test]
fn windows_and_fixed_words_keep_their_map() {
    let fd = sealed_file(4096);
    let (map, reader) = (
        shared(&fd, 4096),
        Map::shared(fd.as_fd(), 0, 4096, Access::Read).unwrap(),
    );
    assert!(reader.fixed::<u32>(0).is_none() && map.fixed::<u64>(4092).is_none());
    let fixed = map.fixed::<u32>(4).unwrap();
    let look = reader.fixed_look::<u32>(4).unwrap();
    let writer = Window::<ReadWrite>::new(&map, 64, 64).unwrap();
    let watcher = Window::<ReadOnly>::look(&reader, 64, 64).unwrap();
    drop((map, reader));
    fixed.clone().word().store(5, Relaxed);
    assert_eq!(look.clone().word().load(Relaxed), 5);
    let last = writer.clone();
    drop(writer);
    // Positions count on for ever, and are rounded down.
    last.word(64 * 1000 + 9).store(6, Relaxed);
    last.prefetch(u64::MAX);
    assert_eq!(watcher.clone().word(8).load(Relaxed), 6);
    assert_eq!((watcher.len(), last.word(u64::MAX).load(Relaxed)), (64, 0));
}
