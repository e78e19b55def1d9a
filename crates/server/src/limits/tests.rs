use super::{machine_memory, meminfo_total};

#[test]
fn meminfo_is_read_in_kib() {
    let text = "MemTotal:       24588344 kB\nMemFree:        1 kB\n";
    assert_eq!(meminfo_total(text), Some(24_588_344 * 1024));
    assert_eq!(meminfo_total("MemFree: 1 kB\n"), None);
}

#[test]
fn this_machine_has_some_memory() {
    assert!(machine_memory() > 64 << 20);
    assert!(machine_memory() < u64::MAX);
}
