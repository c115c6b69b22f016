use super::*;

const FILE: &str = "/etc/hypermesh/apiserver.toml";

fn file(text: &str) -> Result<Flags, String> {
    Flags::parse_file(Path::new(FILE), text).map_err(|error| error.to_string())
}

/// A file with every flag, so that none is forgotten in one of the two.
const ALL: &str = r#"
data-dir = "/srv/hypermesh"
api = "0.0.0.0:6443"
peer = "0.0.0.0:6446"
join = "other:6446"
tls-san = ["api.example", "192.0.2.1"]
history = "7d"
max-memory = "128MiB"
max-connections = 100
max-connections-per-address = 10
key-rotation = "90d"
"#;

#[test]
fn a_file_may_hold_any_flag() {
    let flags = file(ALL).unwrap();
    let command = Flags::command();
    let names = command.get_arguments().filter_map(clap::Arg::get_long);
    for name in names.filter(|name| *name != "config") {
        assert!(ALL.contains(&format!("\n{name} = ")), "{name}");
    }
    let mut config = Config::new(PathBuf::new(), ([127, 0, 0, 1], 0).into());
    flags.tuning().apply(&mut config);
    assert_eq!(config.history, Duration::from_secs(7 * 24 * 3600));
    let Limits { memory, connections, connections_per_address, .. } = config.limits;
    assert_eq!((memory, connections, connections_per_address), (128 << 20, 100, 10));
    assert_eq!(config.key_rotation, KeyRotation::OlderThan(Duration::from_secs(90 * 24 * 3600)));
    assert_eq!(flags.tls_san, ["api.example", "192.0.2.1"]);
}

#[test]
fn what_is_not_given_stays_as_it_is() {
    let mut config = Config::new(PathBuf::new(), ([127, 0, 0, 1], 0).into());
    let before = (config.history, config.limits, config.key_rotation);
    file("").unwrap().tuning().apply(&mut config);
    assert_eq!((config.history, config.limits, config.key_rotation), before);
}

#[test]
fn the_command_line_goes_before_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.toml");
    std::fs::write(&path, ALL).unwrap();
    let said = ["nexus-apiserver", "--history", "2h", "--tls-san", "x", "--config", path.to_str().unwrap()];
    let flags = Flags::try_parse_from(said).unwrap().over_file().unwrap();
    assert_eq!(flags.history, Some(History(Duration::from_secs(7200))));
    assert_eq!((flags.tls_san.as_slice(), flags.max_connections), (["x".to_owned()].as_slice(), Some(100)));
    let gone = Flags { config: Some(dir.path().join("none")), ..Flags::default() };
    assert!(gone.over_file().unwrap_err().to_string().starts_with("cannot read "));
}

#[test]
fn a_key_that_is_no_flag_is_refused_with_the_nearest_that_is() {
    let unknown = |text: &str| file(text).unwrap_err();
    assert_eq!(
        unknown("api = \"127.0.0.1:1\"\n  max-conections = 5\n"),
        format!("{FILE}:2:3: unknown key `max-conections`; did you mean `max-connections`?")
    );
    assert_eq!(
        unknown("data_dir = 1"),
        format!("{FILE}:1:1: unknown key `data_dir`; did you mean `data-dir`?")
    );
    assert!(unknown("[xyzzy]\n").contains("unknown key `xyzzy`; there are data-dir, api, "));
    assert!(unknown("config = \"x\"").contains("unknown key `config`"), "a file names no other");
}

#[test]
fn values_that_are_wrong_are_told_with_their_line() {
    let wrong = file("api = \"127.0.0.1:1\"\nhistory = \"1m\"\n").unwrap_err();
    assert!(wrong.contains("line 2") && wrong.contains("5m is the least"), "{wrong}");
    let wrong = file("max-connections = -1\n").unwrap_err();
    assert!(wrong.contains("line 1"), "{wrong}");
    assert!(file("api = ").unwrap_err().contains("line 1"));
}

#[test]
fn durations_and_sizes() {
    let seconds = |text: &str| text.parse().map(|History(history)| history.as_secs());
    assert_eq!(seconds("24h"), Ok(86_400));
    assert_eq!(seconds("1d12h"), Ok(129_600));
    for bad in ["", "h", "1", "1w", "-1h", "1.5h", "99999999999999999999d", "9999999999999999d"] {
        assert!(seconds(bad).is_err(), "{bad}");
    }
    let bytes = |text: &str| text.parse().map(|Size(bytes)| bytes);
    assert_eq!(bytes("64MiB"), Ok(64 << 20));
    assert_eq!(bytes("2Gi"), Ok(2 << 30));
    for bad in ["", "64", "64MB", "64KiB", "1MiB", "64MiB1", "99999999999999999999GiB"] {
        assert!(bytes(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_key_gets_as_old_as_it_is_said_or_as_it_likes() {
    assert_eq!("never".parse(), Ok(Rotation(KeyRotation::Keep)));
    assert_eq!("36h".parse(), Ok(Rotation(KeyRotation::OlderThan(Duration::from_secs(36 * 3600)))));
    for (text, why) in [("59m", "1h is the least"), ("now", "and not `never`"), ("", "and not `never`")] {
        let error = text.parse::<Rotation>().unwrap_err();
        assert!(error.contains(why), "{text}: {error}");
    }
}
