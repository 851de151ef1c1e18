use super::*;

#[test]
fn a_full_disk_and_a_missing_permission_are_told_apart_and_say_what_to_do() {
    let path = Path::new("a.part");
    let failure = |kind: io::ErrorKind| Failure::writing(path, &kind.into());
    assert_eq!(failure(io::ErrorKind::StorageFull).kind, Kind::DiskFull);
    assert!(failure(io::ErrorKind::StorageFull).message.contains("make room"));
    assert_eq!(failure(io::ErrorKind::PermissionDenied).kind, Kind::Permission);
    assert_eq!(failure(io::ErrorKind::NotFound).kind, Kind::File);
    let unreadable = Failure::reading(path, &io::ErrorKind::PermissionDenied.into());
    assert_eq!(unreadable.kind, Kind::Permission);
    assert!(unreadable.message.contains("make it readable"), "{unreadable}");
}

#[test]
fn a_failure_is_one_line_whatever_it_quotes() {
    let failure = Failure::new(Kind::Internal, "first\n  second\r\nthird\n");
    assert_eq!(failure.to_string(), "first; second; third");
}

// The words are Unix's.
#[test]
#[cfg(unix)]
fn errors_of_the_system_are_quoted_without_their_numbers() {
    assert_eq!(plain(&io::Error::from_raw_os_error(2)), "no such file or directory");
    let passed_on = io::Error::other(format!("cannot do it: {}", io::Error::from_raw_os_error(2)));
    assert_eq!(plain(&passed_on), "cannot do it: no such file or directory");
    assert_eq!(plain(&io::Error::other("EOF: EOF")), "EOF: EOF");
}

#[test]
fn the_other_side_can_tell_an_interruption_from_a_full_disk() {
    assert_eq!(Kind::Interrupted.close().0, code::INTERRUPTED);
    assert_eq!(Kind::DiskFull.close().0, code::DESTINATION);
    assert_eq!(Kind::FileChanged.close().0, code::SOURCE);
}
