//! A disk that is full, and files that are damaged.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::running::{PATIENCE, Running, segment_files, tenure};
use crate::wire::{Client, Reply};

/// A small file system of its own. Only root can make one.
pub struct SmallDisk {
    path: PathBuf,
    _folder: Option<tempfile::TempDir>,
}

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = Self::mount_at(folder.path(), size)?;
        disk._folder = Some(folder);
        Some(disk)
    }

    /// In a folder that is made, if it is not there.
    pub fn mount_at(path: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let option = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &option, "tenure-test"])
            .arg(path)
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then(|| Self {
            path: path.to_owned(),
            _folder: None,
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }

    /// Writes until nothing fits any more; what has become free since the last time, too.
    pub fn fill(&self) {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .append(true)
            .create(true)
            .open(self.filler())
            .unwrap();
        for piece in [1 << 20, 1 << 12, 1] {
            let zeros = vec![0; piece];
            while file.write_all(&zeros).is_ok() {}
        }
    }

    /// Gives back what [`SmallDisk::fill`] took.
    pub fn clear(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

fn key(i: u64) -> String {
    format!("key:{i}")
}

fn value(i: u64) -> Vec<u8> {
    let mut value = format!("value {i} ").into_bytes();
    value.resize(10_000, b'x');
    value
}

/// Writes keys until one is refused. Returns how many were acknowledged, and the refusal.
fn fill(client: &mut Client, from: u64) -> (u64, String) {
    for i in from.. {
        if let Err(refusal) = set(client, i) {
            return (i, refusal);
        }
    }
    unreachable!("there are not so many numbers");
}

/// Writes a key, or says why not.
fn set(client: &mut Client, i: u64) -> Result<(), String> {
    let reply = client
        .call(&[b"SET", key(i).as_bytes(), &value(i)])
        .unwrap();
    if reply.is_ok() {
        return Ok(());
    }
    Err(reply.error().expect("OK or an error").to_owned())
}

/// Writes a key as soon as the disk takes it.
fn set_again(server: &Running, client: &mut Client, i: u64) {
    let began = Instant::now();
    while set(client, i).is_err() {
        let log = server.log();
        assert!(began.elapsed() < PATIENCE, "writes did not resume: {log}");
    }
    println!("writes resumed after {:?}", began.elapsed());
}

fn set_all(client: &mut Client, count: u64) {
    for i in 0..count {
        set(client, i).unwrap();
    }
}

fn assert_all_there(client: &mut Client, count: u64) {
    for i in 0..count {
        let reply = client.call(&[b"GET", key(i).as_bytes()]).unwrap();
        assert_eq!(reply, Reply::Bulk(Some(value(i))), "{}", key(i));
    }
}

#[test]
fn a_full_disk_stops_writes_only_and_only_as_long_as_it_is_full() {
    let Some(disk) = SmallDisk::mount("120m") else {
        println!("skipped: only root can mount a small file system");
        return;
    };
    let filler = disk.path().join("filler");
    std::fs::write(&filler, vec![0; 60 << 20]).unwrap();
    let dir = disk.path().join("data");
    let server = Running::start(&dir, &[]);
    let mut client = server.client();
    let (count, refusal) = fill(&mut client, 0);
    assert!(count > 1000, "{count}");
    assert!(
        refusal.starts_with("MISCONF") && refusal.contains("no space"),
        "{refusal}"
    );
    assert_all_there(&mut client, count);
    assert!(server.metric("tenure_log_errors_total") > 0.0);
    assert!(
        server.log().contains("no space left for the log"),
        "{}",
        server.log()
    );
    // A client that was refused before may try again and again.
    let (still, _) = fill(&mut client, count);
    assert_eq!(still, count);

    std::fs::remove_file(&filler).unwrap();
    set_again(&server, &mut client, count);
    let (count, _) = fill(&mut client, count + 1);
    server.kill();

    let server = Running::start(&dir, &[]);
    assert_all_there(&mut server.client(), count);
}

#[test]
fn a_start_on_a_full_disk_still_serves_what_is_there() {
    let Some(disk) = SmallDisk::mount("60m") else {
        println!("skipped: only root can mount a small file system");
        return;
    };
    let dir = disk.path().join("data");
    let server = Running::start(&dir, &[]);
    let (count, _) = fill(&mut server.client(), 0);
    server.kill();
    let server = Running::start(&dir, &[]);
    assert_all_there(&mut server.client(), count);
}

#[test]
fn a_disk_that_was_full_for_a_while_ends_clean() {
    let Some(disk) = SmallDisk::mount("120m") else {
        println!("skipped: only root can mount a small file system");
        return;
    };
    let dir = disk.path().join("data");
    let server = Running::start(&dir, &[]);
    let mut client = server.client();
    disk.fill();
    let (count, _) = fill(&mut client, 0);
    disk.clear();
    set_again(&server, &mut client, count);
    let log = server.stop();
    assert!(!log.contains("not marked as clean"), "{log}");
    let server = Running::start(&dir, &[]);
    assert_all_there(&mut server.client(), count + 1);
    let log = server.stop();
    assert!(!log.contains("did not shut down"), "{log}");
}

#[test]
fn a_segment_file_that_somebody_has_deleted_is_reported_once() {
    let dir = tempfile::tempdir().unwrap();
    let count = 3000;
    let server = Running::start(dir.path(), &[]);
    set_all(&mut server.client(), count);
    // Whether the end was a clean one makes no difference.
    server.kill();
    let log = Running::start(dir.path(), &[]).stop();
    assert!(!log.contains("is missing"), "nothing is: {log}");
    let file = &segment_files(dir.path())[0];
    let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
    std::fs::remove_file(file).unwrap();
    let server = Running::start(dir.path(), &[]);
    let mut client = server.client();
    let found = (0..count).filter(|i| {
        let reply = client.call(&[b"GET", key(*i).as_bytes()]).unwrap();
        assert!(reply == Reply::Bulk(None) || reply == Reply::Bulk(Some(value(*i))));
        reply != Reply::Bulk(None)
    });
    let found = found.count() as u64;
    assert!(found > 0 && found < count, "{found} of {count} are there");
    assert!(client.run("SET after loss").is_ok());
    let log = server.stop();
    assert!(
        log.contains("a segment file is missing") && log.contains(&name),
        "{log}"
    );
    let log = Running::start(dir.path(), &[]).stop();
    assert!(!log.contains("is missing"), "it is reported once: {log}");
}

/// The mark says that the disk may have less of the file than is read: what is in it is served, and written anew.
#[test]
fn a_disowned_file_is_served_and_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let count = 3000;
    let server = Running::start(dir.path(), &[]);
    set_all(&mut server.client(), count);
    server.kill();
    let files = std::fs::read_dir(dir.path().join("segments")).unwrap();
    let files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    let disowned = |file: &PathBuf| file.with_extension("disowned");
    for file in &files {
        std::fs::rename(file, disowned(file)).unwrap();
    }
    let server = Running::start(dir.path(), &["--sync", "always"]);
    let mut client = server.client();
    assert_all_there(&mut client, count);
    let began = Instant::now();
    while files.iter().any(|file| disowned(file).exists()) {
        assert!(began.elapsed() < PATIENCE, "some are still there");
        assert!(client.run("SET time passes").is_ok());
    }
    let log = server.stop();
    let whole = !log.contains("is missing") && !log.contains("damage in");
    assert!(whole, "{log}");
    let server = Running::start(dir.path(), &[]);
    assert_all_there(&mut server.client(), count);
}

fn flip(file: &PathBuf, bit: u64) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn a_flipped_bit_is_reported_and_never_served() {
    let dir = tempfile::tempdir().unwrap();
    let count = 3000;
    let server = Running::start(dir.path(), &[]);
    set_all(&mut server.client(), count);
    server.stop();
    // In the first entry, in the middle of the file, near its end.
    for place in [64 * 8 + 77, 31_000_003, 66_000_000] {
        let copy = tempfile::tempdir().unwrap();
        let copied = Command::new("cp")
            .arg("-a")
            .arg(dir.path())
            .arg(copy.path().join("data"))
            .status();
        assert!(copied.unwrap().success());
        let data = copy.path().join("data");
        flip(&segment_files(&data)[0], place);
        let server = Running::spawn(&mut tenure(&data, &[]));
        let mut client = server.client();
        let mut lost = 0;
        for i in 0..count {
            match client.call(&[b"GET", key(i).as_bytes()]).unwrap() {
                Reply::Bulk(Some(seen)) => assert!(seen == value(i), "a damaged value was served"),
                Reply::Bulk(None) => lost += 1,
                other @ (Reply::Status(_)
                | Reply::Error(_)
                | Reply::Integer(_)
                | Reply::Array(_)) => panic!("{other:?}"),
            }
        }
        assert!(lost <= 1, "one bit took {lost} values");
        assert!(client.run("SET after damage").is_ok());
        let log = server.stop();
        assert!(
            log.contains("damage in a segment file"),
            "bit {place}: {log}"
        );
        let aside = std::fs::read_dir(data.join("quarantine"))
            .expect("a quarantine")
            .count();
        assert_eq!(aside, 1, "the damaged file is kept aside");
        let log = Running::start(&data, &[]).stop();
        assert!(
            !log.contains("damage in a segment file"),
            "it is reported once: {log}"
        );
    }
}
