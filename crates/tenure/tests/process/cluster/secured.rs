//! A cluster whose map is in etcd with TLS and users, and what an operator is told who has set that up wrong.

use std::io::{BufRead as _, BufReader};
use std::process::Command;

use super::metadata::{without_the_store, write_and_read};
use super::rig::Cluster;
use super::secured_etcd::{PASSWORD, SecuredEtcd, USER};
use crate::running::{fails, tenure};

/// The options of a node that etcd lets in.
fn options(etcd: &SecuredEtcd) -> Vec<(&'static str, String)> {
    let path = |path: std::path::PathBuf| path.display().to_string();
    vec![
        ("--cluster", "test".into()),
        ("--meta", format!("etcd://{}", etcd.address)),
        ("--meta-ca", path(etcd.papers.certificate("ca"))),
        ("--meta-cert", path(etcd.papers.certificate("node"))),
        ("--meta-key", path(etcd.papers.key("node"))),
        ("--meta-user", USER.into()),
        ("--meta-password", PASSWORD.into()),
    ]
}

/// The same with something else for one option; without it if that is empty.
fn but(etcd: &SecuredEtcd, changes: &[(&'static str, &str)]) -> Vec<String> {
    let mut options = options(etcd);
    for (name, value) in changes {
        options.retain(|(option, _)| option != name);
        if !value.is_empty() {
            options.push((name, (*value).to_owned()));
        }
    }
    let words = options.into_iter();
    words
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
}

/// etcd is killed, and has forgotten its tokens when it is back.
#[test]
fn a_cluster_with_its_map_behind_tls_and_a_password_fails_over() {
    let mut etcd = SecuredEtcd::start();
    let words = but(&etcd, &[("--meta", "")]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let meta = format!("etcd://{}", etcd.address);
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::with(folder, None, &meta, 3, &words);
    let mut client = cluster.client();
    write_and_read(&mut client, "before");
    cluster.settle();
    etcd.kill();
    without_the_store(&mut cluster, &mut client, |cluster| {
        // The first to notice may have been the one that was killed.
        cluster.until_logged("the metadata store does not answer");
        etcd.start_again();
    });
    let mut logs = cluster.nodes.values().map(|node| node.log());
    let told = logs.find(|log| log.contains("the metadata store answers again"));
    let log = told.unwrap_or_else(|| panic!("{:?}", cluster.nodes[&1].log()));
    assert!(log.contains("the metadata store does not answer"), "{log}");
    assert!(!log.contains(PASSWORD), "{log}");
}

/// What is changed of the options, and words of what is told then.
type Case<'a> = (&'a [(&'static str, &'a str)], &'a [&'a str]);

#[test]
fn doctor_tells_how_etcd_is_reached_or_why_not() {
    let etcd = SecuredEtcd::start();
    let dir = tempfile::tempdir().unwrap();
    let other = etcd.papers.certificate("other-ca").display().to_string();
    let nowhere = dir.path().join("nowhere.pem").display().to_string();
    let cases: [Case<'_>; 6] = [
        (
            &[],
            &["etcd 3.", "over TLS with a certificate, as user tenure"],
        ),
        (
            &[("--meta-password", "sesame")],
            &["user tenure", "TENURE_META_PASSWORD"],
        ),
        (&[("--meta-ca", &other)], &["meta-ca", "--cert-file"]),
        (
            &[("--meta-ca", ""), ("--meta-cert", ""), ("--meta-key", "")],
            &["if it speaks TLS", "meta-ca"],
        ),
        (
            &[("--meta-cert", ""), ("--meta-key", "")],
            &["set meta-cert and meta-key"],
        ),
        (&[("--meta-ca", &nowhere)], &["nowhere.pem: cannot read it"]),
    ];
    for (changes, words) in cases {
        let (code, line) = doctor(&but(&etcd, changes));
        let missing: Vec<_> = words.iter().filter(|word| !line.contains(**word)).collect();
        assert!(
            missing.is_empty(),
            "{changes:?}: {missing:?} should be in: {line}"
        );
        assert!(changes.is_empty() || code == 1, "{changes:?}: {line}");
    }
}

/// What the doctor says of the metadata store, and its exit code.
fn doctor(words: &[String]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
    let (code, told, _) = fails(
        command
            .env_clear()
            .args(["doctor", "--dir", "off"])
            .args(words),
    );
    let at = told.find("metadata store").expect("it looks at it");
    let line = told[at..].lines().take(2).collect::<Vec<_>>().join(" ");
    (code, line)
}

/// A node that is not let in says so, and goes on asking.
#[test]
fn a_node_that_etcd_does_not_let_in_says_why() {
    let etcd = SecuredEtcd::start();
    let dir = tempfile::tempdir().unwrap();
    let mut command = tenure(dir.path(), &["--peer", "127.0.0.1:0"]);
    let mut child = command
        .args(but(&etcd, &[("--meta-password", "sesame")]))
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    let line = lines.find(|line| line.contains("waiting for the metadata store"));
    child.kill().unwrap();
    child.wait().unwrap();
    let line = line.expect("it says so before it ends");
    assert!(
        line.contains("TENURE_META_PASSWORD") && !line.contains("sesame"),
        "{line}"
    );
}

#[test]
fn files_that_do_not_fit_end_the_start() {
    let etcd = SecuredEtcd::start();
    let dir = tempfile::tempdir().unwrap();
    let key = etcd.papers.key("stranger").display().to_string();
    let mut command = tenure(dir.path(), &["--peer", "127.0.0.1:0"]);
    let (code, _, why) = fails(command.args(but(&etcd, &[("--meta-key", &key)])));
    assert_eq!(code, 1);
    assert!(why.contains("meta-key is not the key"), "{why}");
}
