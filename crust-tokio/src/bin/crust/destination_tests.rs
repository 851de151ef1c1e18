use super::*;
use crate::protocol::VERSION;

fn offer(content: &[u8]) -> Offer {
    Offer {
        version: VERSION,
        length: content.len() as u64,
        root: blake3::hash(content),
        name: "file".to_owned(),
    }
}

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn open(&self, force: bool, content: &[u8]) -> Result<Partial, Failure> {
        Destination::new(Some(self.directory.path()), force)?.open(&offer(content))
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_file_has_its_name_only_when_it_is_whole() {
    let place = Place::new();
    let mut partial = place.open(false, b"content").unwrap();
    partial.write(b"cont").unwrap();
    assert_eq!(place.names(), ["file.part", "file.part.info"]);
    partial.write(b"ent").unwrap();
    assert_eq!(place.names(), ["file.part", "file.part.info"]);
    assert_eq!(partial.finish(blake3::hash(b"content")).unwrap(), place.path("file"));
    assert_eq!(place.names(), ["file"]);
    assert_eq!(fs::read(place.path("file")).unwrap(), b"content");
}

#[test]
fn a_part_of_the_same_file_is_gone_on_with() {
    let place = Place::new();
    place.open(false, b"content").unwrap().write(b"cont").unwrap();
    let mut partial = place.open(false, b"content").unwrap();
    assert_eq!((partial.have(), partial.prefix()), (4, blake3::hash(b"cont")));
    partial.write(b"ent").unwrap();
    partial.finish(blake3::hash(b"content")).unwrap();
    assert_eq!(fs::read(place.path("file")).unwrap(), b"content");
}

#[test]
fn a_part_of_another_file_is_begun_anew() {
    let place = Place::new();
    place.open(false, b"old content").unwrap().write(b"old c").unwrap();
    let partial = place.open(false, b"new content").unwrap();
    assert_eq!((partial.have(), fs::metadata(place.path("file.part")).unwrap().len()), (0, 0));
}

#[test]
fn a_part_longer_than_the_file_is_begun_anew() {
    let place = Place::new();
    place.open(false, b"content").unwrap().write(b"content and more").unwrap();
    assert_eq!(place.open(false, b"content").unwrap().have(), 0);
}

#[test]
fn somebody_elses_part_file_is_not_touched_unless_forced() {
    let place = Place::new();
    fs::write(place.path("file.part"), b"mine").unwrap();
    assert_eq!(place.open(false, b"content").unwrap_err().kind, Kind::Exists);
    fs::write(place.path("file.part.info"), b"not ours").unwrap();
    assert_eq!(place.open(false, b"content").unwrap_err().kind, Kind::Exists);
    assert_eq!(fs::read(place.path("file.part")).unwrap(), b"mine");
    assert_eq!(place.open(true, b"content").unwrap().have(), 0);
}

#[test]
fn two_processes_cannot_write_the_same_part() {
    let place = Place::new();
    let first = place.open(false, b"content").unwrap();
    let failure = place.open(true, b"content").unwrap_err();
    assert!(failure.message.contains("another process"), "{failure}");
    drop(first);
    assert!(place.open(false, b"content").is_ok());
}

#[test]
fn a_wrong_hash_is_an_integrity_failure_and_nothing_stays() {
    let place = Place::new();
    let mut partial = place.open(false, b"content").unwrap();
    partial.write(b"cantent").unwrap();
    assert_eq!(partial.finish(blake3::hash(b"content")).unwrap_err().kind, Kind::Integrity);
    assert_eq!(place.names(), Vec::<String>::new());
}

#[test]
fn an_existing_file_is_replaced_only_if_forced_even_if_it_appears_in_the_middle() {
    let place = Place::new();
    let mut partial = place.open(false, b"content").unwrap();
    partial.write(b"content").unwrap();
    fs::write(place.path("file"), b"precious").unwrap();
    assert_eq!(partial.finish(blake3::hash(b"content")).unwrap_err().kind, Kind::Exists);
    assert_eq!(place.open(false, b"content").unwrap_err().kind, Kind::Exists);
    assert_eq!(fs::read(place.path("file")).unwrap(), b"precious");

    // All of it had arrived: forced, it only needs its name.
    let partial = place.open(true, b"content").unwrap();
    assert_eq!(partial.have(), 7);
    partial.finish(blake3::hash(b"content")).unwrap();
    assert_eq!(fs::read(place.path("file")).unwrap(), b"content");
}

#[test]
fn a_place_where_nothing_can_be_written_is_refused_before_anybody_is_asked() {
    let place = Place::new();
    let new = |path: &Path| Destination::new(Some(path), false);
    assert_eq!(new(&place.path("missing/file")).unwrap_err().kind, Kind::File);
    assert_eq!(new(&place.path("missing/")).unwrap_err().kind, Kind::File);
    assert_eq!(new(Path::new("-")).unwrap_err().kind, Kind::Usage);
    fs::write(place.path("file"), b"").unwrap();
    assert_eq!(new(&place.path("file")).unwrap_err().kind, Kind::Exists);
    assert!(new(&place.path("other")).is_ok());
    assert!(Destination::new(Some(&place.path("file")), true).is_ok());
    // A directory of the sender's name for the file.
    let parent = place.directory.path();
    fs::create_dir(place.path("taken")).unwrap();
    let offer = Offer { name: "taken".to_owned(), ..offer(b"") };
    assert_eq!(new(parent).unwrap().open(&offer).unwrap_err().kind, Kind::Exists);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_named_and_says_how_much_is_to_come() {
    // /dev/full takes nothing, as a full disk does.
    let place = Place::new();
    let mut partial = place.open(false, b"content").unwrap();
    partial.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let failure = partial.write(b"content").unwrap_err();
    assert_eq!(failure.kind, Kind::DiskFull);
    assert!(failure.message.contains("7 more bytes"), "{failure}");
}
