//! The order of the crate's rooms is what its documentation says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms that the crate's documentation lists, and the line on which each stands.
fn lines(lib: &str) -> BTreeMap<&str, usize> {
    let picture = lib.split("//! ```text\n").nth(1).expect("a picture of the rooms");
    let picture = picture.split("//! ```\n").next().unwrap_or_default();
    let mut lines = BTreeMap::new();
    for (at, line) in picture.lines().enumerate() {
        for words in line.trim_start_matches("//! ").split("     ") {
            if let Some((room, _)) = words.split_once("  ") {
                assert_eq!(lines.insert(room, at), None, "{room} stands there twice");
            }
        }
    }
    lines
}

/// What the crate's root passes on, and from which room.
fn passed_on(lib: &str) -> BTreeMap<&str, &str> {
    let of = |statement| {
        let (path, _) = str::split_once(statement, ';').expect("an end");
        let (room, names) = path.split_once("::").expect("a room");
        words(names).map(move |name| (name, room)).collect::<Vec<_>>()
    };
    lib.split("\npub use ").skip(1).flat_map(of).collect()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The first names of all paths that begin at the crate's root, tests left out.
fn imports(code: &str) -> BTreeSet<String> {
    let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let mut names = BTreeSet::new();
    for path in code.join("\n").split("crate::").skip(1) {
        if let Some(several) = path.strip_prefix('{') {
            let several = several.split('}').next().unwrap_or_default();
            names.extend(several.split(',').filter_map(|path| words(path).next()).map(str::to_owned));
        } else {
            names.extend(words(path).next().map(str::to_owned));
        }
    }
    names
}

/// All source files of a folder, those of tests and of the command left out, and the room of each.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            let within = path.strip_prefix(folder).expect("within").to_owned();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "bin" {
                folders.push(path);
            } else if name.ends_with(".rs") && !name.ends_with("_tests.rs") && name != "testing.rs" {
                let room = within.iter().next().unwrap_or_default().to_string_lossy();
                found.push((path, room.trim_end_matches(".rs").to_owned()));
            }
        }
    }
    found
}

#[test]
fn every_room_knows_only_those_that_stand_below_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let lib = fs::read_to_string(folder.join("lib.rs")).expect("the crate's root");
    let (lines, passed_on) = (lines(&lib), passed_on(&lib));
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (path, room) in sources(&folder) {
        // The root knows all; what real kernels did is there for tests alone.
        if ["lib", "kernel"].contains(&room.as_str()) {
            continue;
        }
        let own = *lines.get(room.as_str()).unwrap_or_else(|| panic!("{room} is not in the picture"));
        for name in imports(&fs::read_to_string(&path).expect("a source file")) {
            let from = passed_on.get(name.as_str()).copied().unwrap_or(&name);
            let line = *lines.get(from).unwrap_or_else(|| panic!("{path:?}: {name} is of no room"));
            seen += 1;
            if from != room && line <= own {
                wrong.push(format!("{} imports {name} of {from}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 200, "{seen}");
}
