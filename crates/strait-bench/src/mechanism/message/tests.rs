//! Every way a message can go wrong is noticed.

use super::*;

fn patterns() -> Vec<Pattern> {
    [16, 24, 56, 64, 72, 80, 128, 136, 1024, 4160, 65536]
        .into_iter()
        .flat_map(|len| [Check::Whole, Check::Ends].map(|check| (len, check)))
        .map(|(len, check)| Pattern::new(len, check, Side::Near).unwrap())
        .collect()
}

fn stamped(pattern: &Pattern, sequence: u64) -> Vec<u8> {
    let mut message = pattern.blank();
    pattern.stamp(&mut message, sequence);
    message
}

#[test]
fn what_was_stamped_is_verified() {
    for mut pattern in patterns() {
        let mut message = pattern.blank();
        for sequence in [0, 1, 2, 1000, u64::MAX - 1] {
            pattern.stamp(&mut message, sequence);
            assert_eq!(pattern.verify(&message, sequence), Ok(()), "{pattern:?}");
        }
    }
}

#[test]
fn every_changed_byte_is_noticed() {
    for mut pattern in patterns() {
        let message = stamped(&pattern, 77);
        let step = if message.len() > 1024 { 997 } else { 1 };
        for at in (0..message.len()).step_by(step) {
            let mut changed = message.clone();
            changed[at] ^= 0x10;
            let middle = at >= 64 && at < message.len() - 64;
            let noticed = pattern.verify(&changed, 77).is_err();
            assert_eq!(
                noticed,
                pattern.check == Check::Whole || !middle,
                "byte {at}"
            );
        }
    }
}

#[test]
fn loss_order_length_and_mixture_are_noticed() {
    let mut pattern = Pattern::new(1024, Check::Whole, Side::Near).unwrap();
    let (one, two) = (stamped(&pattern, 1), stamped(&pattern, 2));
    assert!(pattern.verify(&two, 1).is_err(), "lost or out of order");
    assert!(pattern.verify(&one[..1016], 1).is_err(), "cut");
    for cut in (8..1024).step_by(8) {
        let mixed = [&one[..cut], &two[cut..]].concat();
        assert!(pattern.verify(&mixed, 1).is_err(), "mixed at {cut}");
    }
    let mut swapped = one.clone();
    swapped.copy_within(128..192, 64);
    swapped[128..192].copy_from_slice(&one[64..128]);
    assert!(pattern.verify(&swapped, 1).is_err(), "blocks swapped");
}

#[test]
fn pages_that_changed_places_are_noticed() {
    let mut pattern = Pattern::new(4 * PAGE, Check::Whole, Side::Near).unwrap();
    let message = stamped(&pattern, 9);
    let mut swapped = message.clone();
    swapped.copy_within(2 * PAGE..3 * PAGE, PAGE);
    swapped[2 * PAGE..3 * PAGE].copy_from_slice(&message[PAGE..2 * PAGE]);
    assert!(pattern.verify(&swapped, 9).is_err());
    assert_eq!(pattern.verify(&message, 9), Ok(()));
}

#[test]
fn an_echo_is_no_reply() {
    let near = Pattern::new(64, Check::Whole, Side::Near).unwrap();
    let mut far = Pattern::new(64, Check::Whole, Side::Far).unwrap();
    assert!(far.verify(&stamped(&near, 5), 5).is_err());
    assert_eq!(far.verify(&stamped(&far, 5), 5), Ok(()));
}

#[test]
fn a_length_that_cannot_be_verified_is_refused() {
    for len in [0, 8, 15, 63] {
        assert!(Pattern::new(len, Check::Whole, Side::Near).is_err());
    }
}
