use std::path::PathBuf;

use super::units::{Share, duration_ms, duration_text, size, size_rounded, size_text};
use super::{Config, ConfigError, KEYS, Sources};

fn load(
    file: Option<&str>,
    environment: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Config, ConfigError> {
    let pairs = |items: &[(&str, &str)]| {
        items
            .iter()
            .map(|&(a, b)| (a.to_owned(), b.to_owned()))
            .collect()
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tenure.toml");
    let file: Option<PathBuf> = file.map(|text| {
        std::fs::write(&path, text).unwrap();
        path.clone()
    });
    Config::load(&Sources {
        file,
        environment: pairs(environment),
        flags: pairs(flags),
    })
}

#[test]
fn later_layers_win() {
    let file = "max-clients = 1\nslowlog-max-len = 1\ntimeout = \"1s\"\n";
    let environment = [
        ("TENURE_SLOWLOG_MAX_LEN", "2"),
        ("TENURE_TIMEOUT", "2s"),
        ("HOME", "/"),
    ];
    let config = load(Some(file), &environment, &[("timeout", "3s")]).unwrap();
    assert_eq!(
        (config.max_clients, config.slowlog_max_len, config.timeout_s),
        (1, 2, 3)
    );
}

#[test]
fn an_unknown_key_is_named_wherever_it_stands() {
    let error = load(Some("max-client = 1"), &[], &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("tenure.toml: unknown key `max-client`; did you mean `max-clients`?"),
        "{error}"
    );
    let error = load(None, &[("TENURE_MEMROY", "1GiB")], &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("unknown key TENURE_MEMROY; did you mean TENURE_MEMORY?"),
        "{error}"
    );
    let error = load(None, &[], &[("zzz", "1")]).unwrap_err().to_string();
    assert!(
        error.contains("unknown key `zzz`; `tenure serve --help`"),
        "{error}"
    );
}

#[test]
fn what_kubernetes_sets_for_a_service_called_tenure_is_left_alone() {
    let environment = [
        ("TENURE_PORT", "tcp://10.0.0.1:6379"),
        ("TENURE_SERVICE_HOST", "10.0.0.1"),
    ];
    assert!(load(None, &environment, &[]).is_ok());
}

#[test]
fn a_bad_value_says_where_and_what_was_expected() {
    let error = load(None, &[("TENURE_SYNC", "sometimes")], &[])
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "the environment (TENURE_SYNC): sync = sometimes: expected one of always, everysec, none"
    );
    let error = load(Some("\n\nlisten = [1, 2"), &[], &[])
        .unwrap_err()
        .to_string();
    assert!(error.contains("tenure.toml:3:"), "{error}");
    let error = load(None, &[], &[("memory", "1MiB")])
        .unwrap_err()
        .to_string();
    assert!(error.ends_with("expected at least 128MiB"), "{error}");
}

#[test]
fn other_machines_are_served_only_with_a_password_or_if_told_so() {
    let open = ("listen", "127.0.0.1:6379,0.0.0.0:6379");
    let error = load(None, &[], &[open]).unwrap_err().to_string();
    assert!(
        error.contains("0.0.0.0:6379 is reachable") && error.contains("allow-unauthenticated"),
        "{error}"
    );
    assert!(load(None, &[], &[open, ("password", "x")]).is_ok());
    assert!(load(None, &[], &[open, ("allow-unauthenticated", "true")]).is_ok());
    assert!(load(None, &[], &[("listen", "[::1]:6379")]).is_ok());
}

#[test]
fn the_password_comes_from_a_file_and_is_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    std::fs::write(&path, "s3cret words\n").unwrap();
    let config = load(None, &[], &[("password-file", path.to_str().unwrap())]).unwrap();
    assert_eq!(config.password, "s3cret words");
    assert!(!config.to_toml().contains("s3cret"));
    std::fs::write(&path, "\n").unwrap();
    assert!(load(None, &[], &[("password-file", path.to_str().unwrap())]).is_err());
}

#[test]
fn guards_are_read_and_checked() {
    let file =
        "[[guard]]\nprefix = \"sess:\"\nno-resurrection = \"10s\"\nlock-suffix = \"_LOCK\"\n";
    let config = load(Some(file), &[], &[]).unwrap();
    assert_eq!(config.guards[0].no_resurrection_ms, 10_000);
    let error = load(
        Some("[[guard]]\nprefix = \"a\"\nno-resurection = \"1s\""),
        &[],
        &[],
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("did you mean `no-resurrection`?"),
        "{error}"
    );
    assert!(load(Some("[[guard]]\nprefix = \"a\""), &[], &[]).is_err());
}

#[test]
fn what_is_printed_can_be_read_again() {
    let file = "memory = \"300MB\"\nmax-value = \"2MiB\"\ntimeout = \"5m\"\nsync = \"always\"\nadmin = \"off\"\nlisten = [\"127.0.0.1:1\", \"[::1]:2\"]\n[[guard]]\nprefix = \"a\\\"b\"\nlock-suffix = \"_LOCK\"\n";
    let config = load(Some(file), &[], &[]).unwrap();
    let mut again = Config::default();
    again.apply_toml(&config.to_toml(), "printed").unwrap();
    assert_eq!(again, config);
}

#[test]
fn every_key_can_be_set_by_its_own_default() {
    let flags: Vec<_> = KEYS.iter().map(|key| (key.name, key.default)).collect();
    assert_eq!(load(None, &[], &flags).unwrap(), Config::default());
}

#[test]
fn sizes_and_durations() {
    assert_eq!(size("512MB"), Ok(Share::Bytes(512_000_000)));
    assert_eq!(size("2 GiB"), Ok(Share::Bytes(2 << 30)));
    assert_eq!(size("7"), Ok(Share::Bytes(7)));
    assert_eq!(size("50%"), Ok(Share::Percent(50)));
    for bad in [
        "",
        "x",
        "1XB",
        "0%",
        "100%",
        "99999999999999999999",
        "99999999TiB",
        "-1",
    ] {
        assert!(size(bad).is_err(), "{bad}");
    }
    assert_eq!(duration_ms("1h"), Ok(3_600_000));
    assert_eq!(duration_ms("250ms"), Ok(250));
    assert_eq!(duration_ms("10"), Ok(10_000));
    assert!(duration_ms("ten").is_err());
    assert_eq!(
        (size_text(300_000_000), size_text(2 << 30)),
        ("300000000".into(), "2GiB".into())
    );
    assert_eq!(
        (size_rounded(12 << 30), size_rounded(5)),
        ("12.0 GiB".into(), "5 B".into())
    );
    assert_eq!(
        (duration_text(90_000), duration_text(0)),
        ("90s".into(), "0".into())
    );
}

#[test]
fn half_a_way_to_etcd_is_refused() {
    let etcd = ("meta", "etcd://127.0.0.1:2379");
    let wrong: &[(&[(&str, &str)], &str)] = &[
        (&[etcd, ("meta-cert", "c"), ("meta-ca", "a")], "meta-key"),
        (&[etcd, ("meta-cert", "c"), ("meta-key", "k")], "meta-ca"),
        (&[etcd, ("meta-password", "p")], "meta-user"),
        (
            &[("meta", "embedded"), ("meta-ca", "a")],
            "meta-ca is about etcd",
        ),
        (
            &[("meta", "tenure://a:1"), ("meta-user", "u")],
            "meta-user is about etcd",
        ),
    ];
    for (flags, word) in wrong {
        let error = load(None, &[], flags).unwrap_err().to_string();
        assert!(error.contains(word), "{flags:?}: {error}");
    }
    let all = [
        "meta-ca",
        "meta-cert",
        "meta-key",
        "meta-user",
        "meta-password",
    ];
    let mut flags: Vec<_> = all.iter().map(|key| (*key, "x")).collect();
    flags.push(etcd);
    assert!(load(None, &[], &flags).is_ok());
    assert!(load(None, &[], &[etcd, ("meta-ca", "x")]).is_ok());
}
