use clap::CommandFactory;

use super::*;
use crate::failure::Kind;

#[test]
fn the_definition_of_the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn rates_and_times_are_read_with_their_units_and_nonsense_is_refused() {
    assert_eq!(rate("4096"), Ok(4096));
    assert_eq!(rate("500K"), Ok(500 << 10));
    assert_eq!(rate("2.5MiB"), Ok(5 << 19));
    assert_eq!(rate("1g"), Ok(1 << 30));
    for bad in ["", "0", "-1", "M", "1X", "NaN", "inf", "1e40"] {
        assert!(rate(bad).is_err(), "{bad}");
    }
    assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
    for bad in ["0", "-1", "NaN", "inf", "1e9", "soon"] {
        assert!(seconds(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_place_to_listen_is_an_address_or_an_ip_or_a_port() {
    assert_eq!(listen("127.0.0.1:4433"), Ok(Listen::At(([127, 0, 0, 1], 4433).into())));
    assert_eq!(listen("127.0.0.1"), Ok(Listen::At(([127, 0, 0, 1], 0).into())));
    assert_eq!(listen("::1"), Ok(Listen::At((Ipv6Addr::LOCALHOST, 0).into())));
    assert_eq!(listen("[::1]"), listen("::1"));
    assert_eq!(listen("4433").unwrap().addresses().len(), 2);
    assert!(listen("70000").is_err() && listen("host:1").is_err());
}

#[test]
fn the_help_lists_every_exit_code() {
    for kind in [
        Kind::Internal,
        Kind::Usage,
        Kind::NoAnswer,
        Kind::Lost,
        Kind::File,
        Kind::Integrity,
        Kind::Interrupted,
    ] {
        assert!(EXIT_CODES.contains(&format!("\n  {:<5}", kind.exit())), "{kind:?}");
    }
}
