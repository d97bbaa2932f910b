use super::*;

fn complete() -> Layer {
    let path = |p: &str| Some(PathBuf::from(p));
    Layer { data_dir: path("d"), ca: path("ca"), cert: path("cert"), key: path("key"), ..Layer::default() }
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let flags = Layer { election_timeout_ms: Some(400), ..complete() };
    let environment = Layer::from_env(|name| match name {
        "CP_ELECTION_TIMEOUT_MS" => Some("700".to_owned()),
        "CP_HEARTBEAT_MS" => Some("40".to_owned()),
        _ => None,
    })
    .unwrap();
    let file = Layer::from_toml("heartbeat_ms = 30\nretained = 7").unwrap();
    let settings = Settings::resolve(flags, environment, file).unwrap();
    assert_eq!(settings.election_timeout, Duration::from_millis(400));
    assert_eq!(settings.heartbeat, Duration::from_millis(40));
    assert_eq!(settings.retained, 7);
    let origin = |name| settings.effective.iter().find(|e| e.name == name).unwrap().origin;
    assert_eq!(
        ["election_timeout_ms", "heartbeat_ms", "retained", "log"].map(origin),
        [Origin::Flag, Origin::Environment, Origin::File, Origin::Default]
    );
}

#[test]
fn bad_values_name_the_setting_and_the_remedy() {
    let missing = Settings::resolve(Layer::default(), Layer::default(), Layer::default()).unwrap_err();
    assert!(missing.to_string().contains("--data-dir, CP_DATA_DIR"), "{missing}");
    let slow = Layer { heartbeat_ms: Some(200), ..complete() };
    let slow = Settings::resolve(slow, Layer::default(), Layer::default()).unwrap_err().to_string();
    assert!(slow.contains("heartbeat_ms") && slow.contains("1 to 100"), "{slow}");
    let variable = Layer::from_env(|name| (name == "CP_RETAINED").then(|| "many".to_owned())).unwrap_err().to_string();
    assert!(variable.starts_with("CP_RETAINED: ") && variable.contains("many"), "{variable}");
    let file = Layer::from_toml("retained = 3\nelection_timeout = 5").unwrap_err().to_string();
    assert!(file.contains("line 2") && file.contains("election_timeout"), "{file}");
}
