//! Anonymous pipes: bytes one way.

use std::io::{Read, Write};

use strait::nt::pipe::{self, QUOTA_MAX};
use strait::wait;

use super::*;

#[test]
fn what_was_written_is_read_after_the_writer_has_gone() {
    let (reader, writer) = pipe::anonymous(0).unwrap();
    assert_eq!(writer.write(b"").unwrap(), 0);
    assert_eq!(reader.peek(&mut []).unwrap().available, 0);
    writer.write(b"last ").unwrap();
    writer.write(b"words").unwrap();
    drop(writer);
    let mut buffer = [0; 64];
    assert_eq!(reader.peek(&mut buffer).unwrap().len, 10);
    assert_eq!(reader.read(&mut buffer).unwrap(), 10);
    assert_eq!(&buffer[..10], b"last words");
    is_code(reader.read(&mut buffer), ErrorKind::PeerGone, 109);
    is_code(reader.peek(&mut buffer), ErrorKind::PeerGone, 109);
    assert_eq!(
        Read::read(&mut &reader, &mut buffer).unwrap(),
        0,
        "an end to std"
    );
    let (reader, writer) = pipe::anonymous(0).unwrap();
    drop(reader);
    is_code(writer.write(b"x"), ErrorKind::PeerGone, 232);
}

#[test]
fn the_quota_is_what_was_asked_for() {
    is_code(
        pipe::anonymous(QUOTA_MAX as usize + 1),
        ErrorKind::InvalidInput,
        87,
    );
    for (quota, bytes) in [(0, 4096), (1, 1), (100_000, 100_000)] {
        let (reader, writer) = pipe::anonymous(quota).unwrap();
        writer.write(&vec![1; bytes]).unwrap();
        let mut one_more = writer.write_overlapped(vec![2]).unwrap();
        until("it is there", || {
            reader.peek(&mut []).unwrap().available == bytes as u64 + 1
        });
        assert!(one_more.try_result().unwrap().is_none());
        assert_eq!(reader.read(&mut [0]).unwrap(), 1);
        assert_eq!(one_more.wait_for(GUARD).unwrap().unwrap().len, 1);
    }
}

#[test]
fn a_reader_that_goes_frees_its_writer() {
    let (reader, writer) = pipe::anonymous(16).unwrap();
    let write = || code(writer.write(&[0; 1 << 20]));
    let broken = beside(write, || {
        reader.read(&mut [0; 100]).unwrap();
        drop(reader);
    });
    assert_eq!(broken, 109);
    let (reader, writer) = pipe::anonymous(16).unwrap();
    assert_eq!(beside(|| code(reader.read(&mut [0])), || drop(writer)), 109);
}

#[test]
fn many_threads_share_an_end() {
    const RECORDS: u32 = 2000;
    let (reader, writer) = pipe::anonymous(512).unwrap();
    let writer = std::sync::Arc::new(writer);
    let sum = Count::default();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4u32)
            .map(|n| {
                let writer = writer.clone();
                scope.spawn(move || {
                    for _ in 0..RECORDS {
                        (&*writer).write_all(&n.to_ne_bytes()).unwrap();
                    }
                })
            })
            .collect();
        for _ in 0..3 {
            scope.spawn(|| {
                let mut buffer = [0; 4];
                while let Ok(len) = reader.read(&mut buffer) {
                    assert_eq!(len, 4, "what is written at once is read at once");
                    sum.0
                        .fetch_add(u32::from_ne_bytes(buffer), Ordering::SeqCst);
                }
            });
        }
        writers
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        drop(writer);
    });
    assert_eq!(sum.get(), RECORDS * (1 + 2 + 3));
}

#[test]
fn a_reader_is_waited_for_with_others() {
    let (reader, writer) = pipe::anonymous(0).unwrap();
    let (other, other_writer) = pipe::anonymous(0).unwrap();
    assert_eq!(wait::any_for(&[&reader, &other], ZERO).unwrap(), None);
    let won = beside(
        || {
            wait::any_for(&[&reader, &other], GUARD)
                .unwrap()
                .unwrap()
                .index
        },
        || drop(other_writer.write(b"x")),
    );
    assert_eq!(won, 1);
    assert_eq!(other.read(&mut [0; 9]).unwrap(), 1, "nothing was taken");
    drop(writer);
    assert_eq!(
        wait::any_for(&[&reader, &other], GUARD)
            .unwrap()
            .unwrap()
            .index,
        0
    );
}
