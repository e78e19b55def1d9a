use super::{cpu_us, identity, refresh};

#[test]
fn the_fields_are_found_behind_a_name_with_spaces() {
    let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 1";
    assert_eq!(cpu_us(stat), Some((2_500_000, 500_000)));
    assert_eq!(cpu_us(""), None);
}

#[test]
fn this_process_uses_something() {
    let mut process = identity();
    refresh(&mut process);
    assert!(process.rss_bytes > 1 << 20 && process.rss_bytes < process.machine_memory_bytes);
    assert!(process.os.starts_with("Linux "), "{}", process.os);
}
