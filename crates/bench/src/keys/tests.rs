use std::collections::BTreeSet;

use super::*;

fn name(names: &KeyNames, number: u64) -> String {
    let mut out = Vec::new();
    names.append(number, &mut out);
    String::from_utf8(out).expect("names are text")
}

#[test]
fn names_have_their_prefix_and_length() {
    let names = KeyNames::new("sess:", DEFAULT_DIGITS);
    let first = name(&names, 0);
    assert_eq!(first.len(), names.length());
    assert_eq!(first.len(), 37);
    let digits = first.strip_prefix("sess:").expect("the prefix");
    assert!(digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    assert_eq!(name(&KeyNames::new("", 20), 3).len(), 20);
}

#[test]
fn names_differ_and_stay_the_same() {
    let names = KeyNames::new("k", 20);
    let many: BTreeSet<String> = (0..100_000).map(|number| name(&names, number)).collect();
    assert_eq!(many.len(), 100_000);
    assert_eq!(name(&names, 5), name(&KeyNames::new("k", 20), 5));
}

#[test]
fn values_have_their_size_and_vary_by_key() {
    let pool = ValuePool::new(1024, 1);
    for key in 0..1000 {
        assert_eq!(pool.value(key, 1024).len(), 1024);
    }
    assert_ne!(pool.value(0, 100), pool.value(1, 100));
    assert_eq!(pool.value(0, 0), b"");
}
