use store::Pages as _;

use super::MappedPages;

fn resident_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

/// One test, as what is resident is counted for the whole process.
#[test]
fn only_touched_memory_is_resident_and_it_goes_when_the_region_goes() {
    of_a_segment();
    of_tables();
}

fn of_a_segment() {
    let before = resident_kib();
    let mut region = MappedPages.allocate(64 << 20).unwrap();
    assert!(resident_kib() < before + (8 << 10));
    region.bytes_mut()[..32 << 20].fill(7);
    assert!(resident_kib() > before + (31 << 10));
    drop(region);
    assert!(resident_kib() < before + (8 << 10));
}

/// Tables lie beside each other, each with room to grow: with huge pages they would all be resident.
fn of_tables() {
    let before = resident_kib();
    let allocate = |_| MappedPages.allocate_table(1 << 20).unwrap();
    let mut tables: Vec<_> = (0..64).map(allocate).collect();
    for table in &mut tables {
        table.bytes_mut()[..256 << 10].fill(7);
    }
    assert!(resident_kib() > before + (15 << 10));
    assert!(resident_kib() < before + (24 << 10));
    drop(tables);
    assert!(resident_kib() < before + (8 << 10));
}

#[test]
fn more_than_there_can_be_is_refused() {
    assert!(MappedPages.allocate(1 << 60).is_none());
}
