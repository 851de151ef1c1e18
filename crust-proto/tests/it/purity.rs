//! The core's sources name nothing of the world: what the linter has no word for (`async`, the prelude's traits) is
//! looked for here.

use std::path::Path;

/// What must not stand in the core's code, and the reason.
const FORBIDDEN: [(&str, &str); 26] = [
    ("async ", "the core is a state machine"),
    (".await", "the core is a state machine"),
    ("std::fs", "the core touches no files"),
    ("std::env", "the core is configured by `Config` alone"),
    ("std::process", "the core starts nothing"),
    ("std::thread", "the core has no threads"),
    ("std::os", "the core knows no system"),
    ("std::io::", "the core reads and writes nothing"),
    ("UdpSocket", "the core opens no sockets"),
    ("TcpStream", "the core opens no sockets"),
    ("TcpListener", "the core opens no sockets"),
    ("UnixDatagram", "the core opens no sockets"),
    ("UnixStream", "the core opens no sockets"),
    ("to_socket_addrs", "the core asks no DNS"),
    ("ToSocketAddrs", "the core asks no DNS"),
    ("Instant::now", "the core is told the time"),
    ("SystemTime", "the core is told the time"),
    ("UNIX_EPOCH", "the core is told the time"),
    (".elapsed()", "the core is told the time"),
    ("RandomState", "the core's randomness grows from its seed"),
    ("getrandom", "the core's randomness grows from its seed"),
    ("OsRng", "the core's randomness grows from its seed"),
    ("Mutex", "the core is single-threaded; its owner locks"),
    ("static ", "the core has no globals"),
    ("println!", "the core says nothing but events"),
    ("f64", "floats differ from platform to platform"),
];

#[test]
#[allow(clippy::disallowed_methods, reason = "the test reads the sources; the core does not")]
fn the_cores_sources_name_nothing_of_the_world() {
    let mut read = 0;
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the sources are there") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "tests" {
                folders.push(path);
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") && name != "testing.rs" {
                read += 1;
                let text = std::fs::read_to_string(&path).expect("readable");
                for (number, line) in text.lines().enumerate() {
                    // Comments may speak of the world.
                    let code = line.split("//").next().unwrap_or_default();
                    for (word, why) in FORBIDDEN {
                        let found = match word {
                            // Not the lifetime, nor a name that ends so.
                            "static " => code.trim_start().trim_start_matches("pub ").starts_with(word),
                            _ => code.contains(word),
                        };
                        assert!(!found, "{}:{}: {word}: {why}", path.display(), number + 1);
                    }
                }
            }
        }
    }
    assert!(read > 50, "{read} files");
}
