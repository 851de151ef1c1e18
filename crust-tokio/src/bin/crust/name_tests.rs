use proptest::prelude::*;

use super::*;

#[test]
fn ordinary_names_stay_as_they_are() {
    for name in
        ["report.pdf", "Übergröße (2).tar.gz", "日本語.txt", "no extension", "a.b.c", "❤️.png", "comic.txt"]
    {
        assert_eq!(safe(name), name);
    }
}

#[test]
fn names_that_mean_to_surprise_are_made_plain() {
    for (name, made) in [
        (".bashrc", "_bashrc"),
        ("..hidden", "_.hidden"),
        ("-rf", "_rf"),
        ("~root", "_root"),
        ("..\\..\\evil.exe", "_._.._evil.exe"),
        ("C:\\evil", "C__evil"),
        ("file:stream", "file_stream"),
        ("\u{1b}[31mred\u{7}", "_[31mred_"),
        ("two\nlines", "two_lines"),
        ("gpj.\u{202e}exe", "gpj._exe"),
        ("zero\u{200b}width", "zero_width"),
        ("trailing. . .", "trailing"),
        ("...", "_"),
        ("NUL", "_NUL"),
        ("con.txt", "_con.txt"),
        ("Com1.tar.gz", "_Com1.tar.gz"),
        ("lpt9 .txt", "_lpt9 .txt"),
        ("what?*", "what__"),
    ] {
        assert_eq!(safe(name), made, "{name:?}");
    }
}

#[test]
fn a_name_too_long_keeps_its_extension() {
    let long = format!("{}.jpeg", "ä".repeat(300));
    let short = safe(&long);
    assert!(short.len() <= MAX_NAME - ROOM && short.ends_with("ä.jpeg"), "{short}");
}

#[test]
fn a_path_is_offered_by_its_last_part_alone() {
    assert_eq!(offered(Path::new("/home/me/secret project/plan.odt")), "plan.odt");
    assert_eq!(offered(Path::new("plan.odt")), "plan.odt");
}

proptest! {
    #[test]
    fn whatever_the_name_it_is_one_plain_file_in_the_directory(name in any::<String>()) {
        let made = safe(&name);
        let mut parts = Path::new(&made).components();
        prop_assert!(matches!(parts.next(), Some(std::path::Component::Normal(_))), "{:?}", made);
        prop_assert_eq!(parts.next(), None);
        prop_assert!(!made.starts_with(['.', '-', '~']) && !made.ends_with(['.', ' ']), "{:?}", made);
        prop_assert!(!made.chars().any(|c| c.is_control() || "/\\:".contains(c)), "{:?}", made);
        prop_assert!(made.len() + ".part.info".len() <= MAX_NAME);
        prop_assert_eq!(safe(&made), made.clone(), "safe names are left alone");
    }

    #[test]
    fn what_is_printed_of_a_stranger_is_one_short_line(text in any::<String>()) {
        let shown = printable(&text);
        prop_assert!(!shown.chars().any(char::is_control) && shown.chars().count() <= 200);
    }
}
