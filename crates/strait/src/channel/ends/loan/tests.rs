//! What a lender can lie about, and what its blocks cost.

use super::*;
use crate::channel::{Channel, Options};

fn pair() -> (Channel, Channel) {
    Channel::pair(&Options::new().blocks(2, 8192)).unwrap()
}

/// Sends a record as a peer might that keeps to no protocol.
fn forge(sender: &mut Sender, header: Header, bytes: &[u8]) {
    assert!(sender.out.has_room(header.span()).unwrap());
    sender.out.push(header, [bytes, &[]]);
    sender.flush();
}

#[test]
fn a_lender_that_lies_loses_its_session() {
    let note = |block, len| {
        let note = Note {
            block,
            count: 1,
            len,
        };
        note.encode()
    };
    let loan = Header::new(16, Header::LOAN);
    let with = |flag| Header::new(16, Header::LOAN | flag);
    let lies: [(Header, &[u8]); 7] = [
        (loan, &note(2, 8)),
        (loan, &note(u32::MAX, 8)),
        (loan, &note(0, 8193)),
        (loan, &note(1, u64::MAX)),
        (Header::new(8, Header::LOAN), &[0; 8]),
        (with(Header::MORE), &note(0, 8)),
        (with(Header::TOTAL), &note(0, 8)),
    ];
    for (index, (header, bytes)) in lies.into_iter().enumerate() {
        for in_place in [true, false] {
            let (mut near, mut far) = pair();
            forge(near.sender(), header, bytes);
            let mut buffer = [0; 64];
            let error = if in_place {
                far.receiver().recv_message(&mut buffer).map(drop)
            } else {
                far.recv(&mut buffer).map(drop)
            };
            let kind = error.unwrap_err().kind();
            // A flag may make it a message in pieces first: then what is wrong is another thing.
            assert_eq!(kind, ErrorKind::Broken, "lie {index}, in place: {in_place}");
            assert_eq!(near.send(b"x").unwrap_err().kind(), ErrorKind::PeerGone);
        }
    }
}

#[test]
fn a_loan_within_a_message_is_a_lie() {
    let (mut near, mut far) = pair();
    let begins = Header::new(8, Header::TOTAL | Header::MORE);
    forge(near.sender(), begins, &100u64.to_ne_bytes());
    let note = Note {
        block: 0,
        count: 1,
        len: 8,
    };
    forge(near.sender(), Header::new(16, Header::LOAN), &note.encode());
    let error = far.receiver().recv_message(&mut [0; 200]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Broken);
}

#[test]
fn the_largest_part_of_a_block_can_be_lent() {
    let (mut near, mut far) = pair();
    let mut loan = near.sender().loan(8192).unwrap();
    loan.write(8191, &[7]).unwrap();
    near.sender().send_loan(loan, 8192).unwrap();
    let mut buffer = [0; 8192];
    assert_eq!(far.recv(&mut buffer).unwrap(), Some(8192));
    assert_eq!((buffer[0], buffer[8191]), (0, 7));
}

#[test]
fn blocks_cost_memory_once_they_are_written() {
    let (mut near, _far) = Channel::pair(&Options::new().blocks(256, 1 << 20)).unwrap();
    let used = |channel: &mut Channel| {
        let files = channel.sender().link.files.as_ref().unwrap();
        rustix::fs::fstat(&files.own).unwrap().st_blocks * 512
    };
    let before = used(&mut near);
    assert!(before < 1 << 17, "{before} bytes");
    let mut loan = near.sender().loan(1 << 20).unwrap();
    loan.write(0, &[1; 1 << 20]).unwrap();
    let after = used(&mut near);
    assert!(
        (1 << 20..3 << 20).contains(&(after - before)),
        "{after} bytes"
    );
}
