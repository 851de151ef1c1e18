#![no_main]
//! Contacts, as bytes and as text that somebody pasted.

use crust_proto::Contact;
use libfuzzer_sys::fuzz_target;

fn check(contact: &Contact) {
    assert_eq!(Contact::from_bytes(&contact.to_bytes()).as_ref(), Ok(contact));
    assert_eq!(contact.to_string().parse::<Contact>().as_ref(), Ok(contact));
    assert_eq!(contact.qr_text().parse::<Contact>().as_ref(), Ok(contact));
}

fuzz_target!(|data: &[u8]| {
    if let Ok(contact) = Contact::from_bytes(data) {
        check(&contact);
    }
    if let Ok(text) = core::str::from_utf8(data) {
        match text.parse::<Contact>() {
            Ok(contact) => check(&contact),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        // The checksum hides everything behind it: let the fuzzer past.
        if let Ok(contact) = Contact::from_bytes(text.as_bytes()) {
            check(&contact);
        }
    }
});
