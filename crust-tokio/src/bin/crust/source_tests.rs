use std::io::Write;

use super::*;

fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, content).unwrap();
    (directory, path)
}

/// Reads it as a receiver that has nothing, calling `between` after each piece.
fn drain(source: Source, root: blake3::Hash, mut between: impl FnMut()) -> Result<Vec<u8>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut reading = Arc::new(source).read(root, 0, blake3::hash(b""));
        let mut all = Vec::new();
        while let Some(piece) = reading.next().await {
            if let Piece::Data(data) = piece? {
                all.extend_from_slice(&data);
                reading.give_back(data);
            }
            between();
        }
        Ok(all)
    })
}

#[test]
fn what_is_no_file_is_not_served_and_the_message_says_why() {
    let directory = tempfile::tempdir().unwrap();
    for (path, says) in [
        (directory.path().join("missing"), "no such file"),
        (directory.path().to_owned(), "directory"),
        (PathBuf::from("/dev/null"), "not a regular file"),
    ] {
        if !path.starts_with("/dev") || cfg!(unix) {
            let failure = Source::open(&path).unwrap_err();
            assert_eq!(failure.kind, Kind::NoSuchFile);
            assert!(failure.message.contains(says), "{failure}");
        }
    }
}

#[test]
fn a_file_that_changes_in_place_is_never_handed_out_whole() {
    let content = vec![1; 3 * CHUNK];
    let (_directory, path) = file(&content);
    let mut source = Source::open(&path).unwrap();
    let root = source.hash(|_| ()).unwrap();
    let mut writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
    writer.write_all(b"2").unwrap();
    writer.sync_all().unwrap();
    // As on a file system whose times are too coarse to show it: the hash alone has to tell.
    source.modified = source.file.metadata().unwrap().modified().ok();
    assert_eq!(drain(source, root, || ()).unwrap_err().kind, Kind::FileChanged);
}

#[test]
fn a_file_that_shrinks_or_grows_is_noticed_at_the_next_piece() {
    for length in [10, 100 * CHUNK as u64] {
        let (_directory, path) = file(&vec![1; 40 * CHUNK]);
        let source = Source::open(&path).unwrap();
        let root = source.hash(|_| ()).unwrap();
        let mut pieces = 0;
        let result = drain(source, root, || {
            pieces += 1;
            fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
        });
        assert_eq!(result.unwrap_err().kind, Kind::FileChanged);
        assert!(pieces < 40, "noticed only at the end");
    }
}

#[test]
#[cfg(unix)]
fn a_file_replaced_under_its_name_is_served_as_it_was() {
    let (directory, path) = file(b"old");
    let source = Source::open(&path).unwrap();
    let root = source.hash(|_| ()).unwrap();
    fs::write(directory.path().join("new"), b"new").unwrap();
    fs::rename(directory.path().join("new"), &path).unwrap();
    assert_eq!(drain(source, root, || ()).unwrap(), b"old");
}
