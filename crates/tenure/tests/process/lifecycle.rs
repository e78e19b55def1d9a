//! Starting, stopping, and what is said when it cannot start.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;

use crate::running::{Running, fails, tenure};
use crate::wire::{Client, Reply};

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn it_says_on_one_line_that_it_is_ready_and_ends_well() {
    let dir = dir();
    let server = Running::start(dir.path(), &[]);
    let expected = format!(
        "tenure ready on {} (admin http://{}, data {}, memory 256.0 MiB, sync everysec)\n",
        server.address,
        server.admin,
        dir.path().display()
    );
    assert_eq!(server.ready, expected);
    assert_eq!(
        server.http("/healthz"),
        ("HTTP/1.1 200 OK".into(), "ok\n".into())
    );
    assert_eq!(
        server.http("/readyz"),
        ("HTTP/1.1 200 OK".into(), "serving\n".into())
    );
    assert!(server.client().run("SET a b").is_ok());
    let log = server.stop();
    assert!(log.contains("stopped"), "{log}");
    assert!(dir.path().join("CLEAN").exists());
}

#[test]
fn without_a_directory_sessions_end_with_the_process_and_fences_grow_all_the_same() {
    let work = dir();
    let memory_only = || {
        let mut command = tenure(Path::new("off"), &[]);
        Running::spawn(command.current_dir(work.path()))
    };
    let fence = |server: &Running| {
        let session = server.client().run("SESSION.OPEN s CREATE HOLD 1000");
        let Reply::Array(words) = session else {
            panic!("{session:?}");
        };
        let Reply::Integer(fence) = words[5] else {
            panic!("{words:?}");
        };
        fence
    };
    let server = memory_only();
    assert!(
        server
            .ready
            .ends_with("data off, memory 256.0 MiB, sync none)\n")
    );
    let first = fence(&server);
    server.stop();
    let server = memory_only();
    assert_eq!(server.client().run("DBSIZE"), Reply::Integer(0));
    assert!(fence(&server) > first);
    server.stop();
    let left = std::fs::read_dir(work.path()).unwrap().count();
    assert_eq!(left, 0, "nothing was written");
    let (code, _, err) = fails(&mut tenure(Path::new("off"), &["--sync=always"]));
    assert_eq!(code, 1);
    assert!(
        err.contains("nothing that sync = always could wait for"),
        "{err}"
    );
}

/// A walk through all sessions goes on where it was.
#[test]
fn a_scan_goes_on_after_a_restart() {
    let dir = dir();
    let mut server = Running::start(dir.path(), &[]);
    let mut client = server.client();
    for n in 0..500 {
        assert!(client.run(&format!("SET key:{n} {n}")).is_ok());
    }
    let (mut cursor, mut keys, mut pages) = (String::from("0"), BTreeSet::new(), 0);
    loop {
        let Reply::Array(page) = server.client().run(&format!("SCAN {cursor} COUNT 50")) else {
            panic!("no page");
        };
        let [Reply::Bulk(Some(next)), Reply::Array(found)] = page.as_slice() else {
            panic!("{page:?}");
        };
        keys.extend(found.iter().map(|key| format!("{key:?}")));
        cursor = String::from_utf8(next.clone()).unwrap();
        if cursor == "0" {
            break;
        }
        pages += 1;
        match pages {
            2 => drop(server.stop()),
            4 => server.kill(),
            _ => continue,
        }
        server = Running::start(dir.path(), &[]);
    }
    assert!(pages > 4, "{pages} pages");
    assert_eq!(keys.len(), 500);
}

#[test]
fn an_open_connection_does_not_hold_up_the_end() {
    let dir = dir();
    let server = Running::start(dir.path(), &[]);
    let mut idle = server.client();
    assert!(idle.run("SET a b").is_ok());
    server.stop();
    assert!(idle.rest().unwrap().is_empty());
}

#[test]
fn what_was_sent_before_the_end_is_answered() {
    let dir = dir();
    let server = Running::start(dir.path(), &[]);
    let mut client = server.client();
    for round in 0..100 {
        client
            .send(format!("SET k{round} v\r\n").as_bytes())
            .unwrap();
    }
    for _ in 0..100 {
        assert!(client.reply().unwrap().is_ok());
    }
    server.stop();
    let server = Running::start(dir.path(), &[]);
    assert!(server.client().run("SET k v").is_ok());
}

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    let dir = dir();
    let first = Running::start(dir.path(), &[]);
    let (code, out, err) = fails(&mut tenure(dir.path(), &[]));
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.contains(&format!("another server (process {}) uses it", first.pid())),
        "{err}"
    );
    assert_eq!(err.lines().count(), 1, "{err}");
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for key in ["listen", "admin"] {
        let (code, _, err) = fails(&mut tenure(dir().path(), &[&format!("--{key}={address}")]));
        assert_eq!(code, 1);
        assert!(
            err.starts_with(&format!("tenure: {key} {address}: "))
                && err.contains("another process uses it"),
            "{err}"
        );
        assert_eq!(err.lines().count(), 1, "{err}");
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = dir();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (code, _, err) = fails(&mut tenure(&file.join("data"), &[]));
    assert_eq!(code, 1);
    assert!(
        err.contains("cannot make it") && err.contains("--dir"),
        "{err}"
    );
}

#[test]
fn a_bad_configuration_is_one_line_and_a_bad_option_is_usage() {
    let dir = dir();
    let file = dir.path().join("tenure.toml");
    std::fs::write(&file, "memry = \"1GiB\"\n").unwrap();
    let (code, _, err) = fails(tenure(dir.path(), &[]).arg("--config").arg(&file));
    assert_eq!(code, 1);
    assert!(
        err.contains("unknown key `memry`; did you mean `memory`?"),
        "{err}"
    );
    let (code, _, err) = fails(tenure(dir.path(), &[]).env("TENURE_SYNK", "always"));
    assert_eq!(code, 1);
    assert!(err.contains("unknown key TENURE_SYNK"), "{err}");
    let (code, _, err) = fails(&mut tenure(dir.path(), &["--synk", "always"]));
    assert_eq!(code, 2);
    assert!(err.contains("--sync"), "{err}");
}

#[test]
fn the_printed_configuration_is_what_would_be_used() {
    let dir = dir();
    let file = dir.path().join("tenure.toml");
    std::fs::write(&file, "sync = \"always\"\nmax-clients = 7\n").unwrap();
    let mut command = tenure(
        dir.path(),
        &[
            "--print-config",
            "--password=sesame",
            "--cluster-secret=sesame",
        ],
    );
    let (code, out, _) = fails(
        command
            .env("TENURE_MAX_CLIENTS", "8")
            .env("TENURE_CONFIG", &file),
    );
    assert_eq!(code, 0);
    assert!(
        out.contains("sync = \"always\"\n") && out.contains("max-clients = 8\n"),
        "{out}"
    );
    assert!(!out.contains("sesame"), "{out}");
    out.parse::<toml::Table>()
        .expect("it is a configuration file");
}

#[test]
fn without_a_password_only_this_machine_is_served() {
    let dir = dir();
    let open = ["--listen", "0.0.0.0:0"];
    let (code, _, err) = fails(&mut tenure(dir.path(), &open));
    assert_eq!(code, 1);
    assert!(err.contains("there is no password"), "{err}");
    let server = Running::spawn(tenure(dir.path(), &open).env("TENURE_PASSWORD", "pw"));
    let port = server.address.rsplit(':').next().unwrap();
    let mut client = Client::connect(&format!("127.0.0.1:{port}"));
    assert_eq!(
        client.run("GET a").error(),
        Some("NOAUTH Authentication required.")
    );
}

#[test]
fn a_second_signal_ends_at_once() {
    let dir = dir();
    let server = Running::start(dir.path(), &[]);
    // A client that does not read keeps the server from being drained.
    let mut stubborn = server.client();
    assert!(
        stubborn
            .call(&[b"SET", b"big", &vec![b'x'; 1 << 20]])
            .unwrap()
            .is_ok()
    );
    for _ in 0..64 {
        stubborn.send(b"GET big\r\n").unwrap();
    }
    server.signal("TERM");
    while server.http("/readyz").1 != "draining\n" {}
    server.signal("INT");
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("second signal"), "{log}");
}

#[test]
fn the_version_and_the_help_say_what_one_needs() {
    let output = |args: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_tenure"))
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(
        output(&["--version"]),
        format!("tenure {}\n", env!("CARGO_PKG_VERSION"))
    );
    assert!(output(&["--help"]).contains("tenure serve --memory"));
    for key in server::config::KEYS {
        assert!(
            output(&["serve", "--help"]).contains(&format!("--{}", key.name)),
            "{}",
            key.name
        );
    }
}
