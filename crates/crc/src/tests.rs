use alloc::vec::Vec;

use super::{crc32c, over, portable, shift, step};

#[test]
fn check_value_of_the_polynomial() {
    assert_eq!(crc32c([&b"1234"[..], b"56789"]), 0xE306_9283);
    assert_eq!(!portable(!0, b"123456789"), 0xE306_9283);
}

#[test]
fn hardware_and_tables_agree_at_every_length() {
    let bytes: Vec<u8> = (0..7000u32).map(|i| ((i * i) >> 3) as u8).collect();
    for len in (0..2000).chain((2000..bytes.len()).step_by(37)) {
        let bytes = &bytes[..len];
        assert_eq!(
            over(over(over(7, bytes), b"xyz"), bytes),
            portable(portable(portable(7, bytes), b"xyz"), bytes),
            "{len}"
        );
    }
}

#[test]
fn the_effect_of_the_last_word_does_not_depend_on_what_is_before() {
    for before in [&b"a"[..], b"some other bytes"] {
        let state = portable(!0, before);
        let (old, new) = (0x0123_4567_89ab_cdef, 0xfedc_0000_1111_2222);
        assert_eq!(step(state, old) ^ step(0, old ^ new), step(state, new));
    }
}

#[test]
fn the_effect_of_the_beginning_does_not_depend_on_what_comes_behind() {
    let bytes: Vec<u8> = (0..1500u32).map(|i| (i * 7) as u8).collect();
    for len in (0..bytes.len()).step_by(7) {
        let (old, new) = (0x1234_5678, 0x9abc_def1);
        let rest = &bytes[..len];
        let changed = portable(old, rest) ^ shift(old ^ new, len);
        assert_eq!(changed, portable(new, rest), "{len}");
    }
}
