use super::*;

fn temp() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_key_that_was_made_is_loaded_again() {
    let dir = temp();
    let path = dir.path().join("key");
    let made = load_or_create(&path).unwrap();
    assert_eq!(load_or_create(&path).unwrap().expose(), made.expose());
    assert_eq!(load(&path).unwrap().peer_id(), made.peer_id());
    assert_ne!(load_or_create(dir.path().join("other")).unwrap().expose(), made.expose());
}

#[test]
fn many_at_once_load_the_same_key_and_leave_nothing_else_behind() {
    let dir = temp();
    let path = dir.path().join("key");
    let barrier = std::sync::Barrier::new(16);
    let keys: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    load_or_create(&path).unwrap().peer_id()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_its_owner_can_read_the_file_and_the_folders_made_for_it() {
        let dir = temp();
        let path = dir.path().join("a/b/key");
        load_or_create(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&dir.path().join("a")), 0o700);
        assert_eq!(mode(&dir.path().join("a/b")), 0o700);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_and_the_message_says_what_to_do() {
        let dir = temp();
        let path = dir.path().join("key");
        load_or_create(&path).unwrap();
        for bits in [0o640, 0o604, 0o620, 0o602, 0o610, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
            let error = load_or_create(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::ReadableByOthers { mode, .. } if mode == bits));
            assert!(error.to_string().contains(&format!("chmod 600 '{}'", path.display())), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        load_or_create(&path).unwrap();
    }
}

#[test]
fn a_file_without_a_key_is_an_error_and_stays_as_it_is() {
    let dir = temp();
    let path = dir.path().join("key");
    let whole = load_or_create(&path).map(|key| key.to_key_file()).unwrap();
    let long = "#".repeat(10_000);
    let cases: [&[u8]; 5] =
        [b"", b"hello", b"\xff\xfe\x00", long.as_bytes(), &whole.as_bytes()[..whole.len() - 5]];
    for content in cases {
        fs::write(&path, content).unwrap();
        let error = load_or_create(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::Content { .. } | KeyFileError::TooLarge { .. }), "{error}");
        assert!(error.to_string().contains(&*path.to_string_lossy()));
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
    let dir = temp();
    fs::write(dir.path().join("file"), "").unwrap();
    let error = load_or_create(dir.path().join("file/sub/key")).unwrap_err();
    assert!(error.to_string().contains("file/sub"), "{error}");
}
