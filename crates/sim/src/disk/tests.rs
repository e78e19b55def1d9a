use super::*;

fn disk(seed: u64) -> Disk {
    Disk::new(1 << 16, DiskFaults::default(), Random::new(seed, "disk"))
}

fn run(disk: &mut Disk, op: DiskOp, bytes: &[u8]) -> Result<(), DiskError> {
    disk.ask(op, bytes, 0);
    disk.complete(op.segment(), 0, &mut Counts::default())
        .unwrap()
        .result
}

const A: SegmentId = SegmentId(1);

fn write(disk: &mut Disk, offset: u32, bytes: &[u8]) {
    let op = DiskOp::Write {
        segment: A,
        offset,
        len: bytes.len() as u32,
    };
    run(disk, op, bytes).unwrap();
}

fn image(disk: &Disk) -> Vec<u8> {
    let image = disk.images().next();
    image.map_or_else(Vec::new, |image| {
        let mut bytes = image.written.to_vec();
        bytes.resize(image.len, 0);
        bytes
    })
}

#[test]
fn what_was_synced_survives_and_what_was_not_may_go() {
    let mut lost = 0;
    for seed in 0..100 {
        let mut disk = disk(seed);
        run(&mut disk, DiskOp::Create { segment: A }, &[]).unwrap();
        write(&mut disk, 0, &[1; 5000]);
        run(&mut disk, DiskOp::Sync { segment: A }, &[]).unwrap();
        write(&mut disk, 5000, &[2; 5000]);
        disk.crash(Crash::Power, &mut Counts::default());
        assert_eq!(image(&disk)[..5000], [1; 5000]);
        let tail = &image(&disk)[5000..];
        lost += usize::from(tail.iter().take(5000).any(|&b| b != 2) || tail.len() < 5000);
    }
    assert!((20..100).contains(&lost), "{lost}");
}

#[test]
fn a_file_is_shorter_only_when_it_was_cut_and_then_it_is_whole() {
    let mut cut = 0;
    for seed in 0..200 {
        let mut disk = disk(seed);
        run(&mut disk, DiskOp::Create { segment: A }, &[]).unwrap();
        write(&mut disk, 0, &[1; 5000]);
        disk.ask(
            DiskOp::Close {
                segment: A,
                len: 5000,
            },
            &[],
            0,
        );
        disk.crash(Crash::Power, &mut Counts::default());
        let image = image(&disk);
        if image.len() < 1 << 16 && !image.is_empty() {
            assert_eq!(image, [1; 5000]);
            cut += 1;
        }
    }
    assert!((20..180).contains(&cut), "{cut}");
}

#[test]
fn a_process_that_dies_leaves_what_it_wrote() {
    for seed in 0..20 {
        let mut disk = disk(seed);
        run(&mut disk, DiskOp::Create { segment: A }, &[]).unwrap();
        write(&mut disk, 0, &[1; 5000]);
        disk.crash(Crash::Process, &mut Counts::default());
        assert_eq!(image(&disk)[..5000], [1; 5000]);
    }
}

#[test]
fn a_failed_sync_is_not_mended_by_a_later_one() {
    let mut disk = disk(1);
    run(&mut disk, DiskOp::Create { segment: A }, &[]).unwrap();
    run(&mut disk, DiskOp::Sync { segment: A }, &[]).unwrap();
    write(&mut disk, 0, &[1; 100]);
    disk.faults.sync = 10_000;
    assert!(run(&mut disk, DiskOp::Sync { segment: A }, &[]).is_err());
    disk.faults.sync = 0;
    run(&mut disk, DiskOp::Sync { segment: A }, &[]).unwrap();
    disk.crash(Crash::Power, &mut Counts::default());
    assert!(image(&disk).iter().take(100).all(|&b| b == 0));
}
