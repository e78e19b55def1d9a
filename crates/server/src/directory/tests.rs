use super::Directory;

#[test]
fn only_one_server_uses_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let first = Directory::open(dir.path()).unwrap();
    let error = Directory::open(dir.path()).unwrap_err().to_string();
    let me = format!("another server (process {})", std::process::id());
    assert!(error.contains(&me), "{error}");
    drop(first);
    Directory::open(dir.path()).unwrap();
}

#[test]
fn the_epoch_and_the_clean_mark_are_remembered_once() {
    let dir = tempfile::tempdir().unwrap();
    let new = Directory::open(dir.path()).unwrap();
    assert_eq!((new.was_clean, new.last_epoch), (true, 0));
    new.record_epoch(7).unwrap();
    drop(new);
    let killed = Directory::open(dir.path()).unwrap();
    assert_eq!((killed.was_clean, killed.last_epoch), (false, 7));
    killed.mark_clean().unwrap();
    drop(killed);
    assert!(Directory::open(dir.path()).unwrap().was_clean);
    assert!(!Directory::open(dir.path()).unwrap().was_clean);
}

#[test]
fn a_damaged_epoch_or_an_unknown_format_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    drop(Directory::open(dir.path()).unwrap());
    std::fs::write(dir.path().join("EPOCH"), "x").unwrap();
    assert!(
        Directory::open(dir.path())
            .unwrap_err()
            .to_string()
            .contains("EPOCH is damaged")
    );
    std::fs::write(
        dir.path().join("FORMAT"),
        "tenure data directory, format 99\nid 7\n",
    )
    .unwrap();
    assert!(
        Directory::open(dir.path())
            .unwrap_err()
            .to_string()
            .contains("format 99")
    );
}
