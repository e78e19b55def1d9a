//! The table against itself.

use super::{Begin, COMMANDS, Found, KeySpec, TABLE, find, find_name};

#[test]
fn every_command_is_found_in_any_case() {
    for (index, spec) in TABLE[..COMMANDS].iter().enumerate() {
        let upper = spec.name.to_ascii_uppercase();
        for name in [spec.name, &upper] {
            assert_eq!(find_name(name.as_bytes()), Some(index as u16), "{name}");
        }
        for sub in spec.subcommand_indices() {
            let own = TABLE[sub].own_name();
            assert!(
                TABLE[sub].name.starts_with(spec.name),
                "{}",
                TABLE[sub].name
            );
            let found = find(spec.name.as_bytes(), Some(own.as_bytes()));
            assert_eq!(found, Found::Entry(sub as u16));
        }
    }
    for unknown in [
        "",
        "nosuch",
        "getx",
        "ge",
        "g\u{0}t",
        "a-name-longer-than-any-command",
    ] {
        assert_eq!(find(unknown.as_bytes(), None), Found::Unknown);
    }
}

#[test]
fn names_are_lower_case_and_unique() {
    for (i, spec) in TABLE.iter().enumerate() {
        assert_eq!(spec.name, spec.name.to_ascii_lowercase());
        assert!(TABLE[..i].iter().all(|other| other.name != spec.name));
        assert!(!spec.summary.is_empty(), "{}", spec.name);
        // Keys that follow a keyword have no fixed place.
        let at_fixed_places = |keys: &KeySpec| matches!(keys.begin, Begin::Index(_));
        let fixed = spec.key_specs.iter().any(at_fixed_places);
        assert_eq!(fixed, spec.keys.first != 0, "{}", spec.name);
    }
}
