use super::*;

/// Reads a drawing back into modules: `true` is dark.
fn modules(drawing: &Drawing, ink: Ink) -> Vec<Vec<bool>> {
    let mut rows = Vec::new();
    for line in &drawing.lines {
        let cells = line.trim_start_matches("\x1b[30;107m").trim_end_matches("\x1b[0m");
        let (mut upper, mut lower) = (Vec::new(), Vec::new());
        for cell in cells.chars() {
            let (up, down) = match cell {
                '█' => (true, true),
                '▀' => (true, false),
                '▄' => (false, true),
                ' ' => (false, false),
                other => panic!("{other:?} is no half block"),
            };
            upper.push(up == (ink == Ink::Colours));
            lower.push(down == (ink == Ink::Colours));
        }
        rows.extend([upper, lower]);
    }
    rows.truncate(drawing.width);
    rows
}

#[test]
fn both_inks_draw_the_same_code_with_a_quiet_zone_around_it() {
    let text = "CRUST0123456789ABCDEFGH";
    let code = QrCode::with_error_correction_level(text, EcLevel::L).unwrap();
    for ink in [Ink::Colours, Ink::Blocks] {
        let drawing = draw(text, ink).unwrap();
        let drawn = modules(&drawing, ink);
        assert_eq!(drawing.width, code.width() + 2 * QUIET);
        for (y, row) in drawn.iter().enumerate() {
            assert_eq!(row.len(), drawing.width);
            for (x, &dark) in row.iter().enumerate() {
                let inside =
                    (QUIET..QUIET + code.width()).contains(&x) && (QUIET..QUIET + code.width()).contains(&y);
                let expected = inside && code[(x - QUIET, y - QUIET)] == Color::Dark;
                assert_eq!(dark, expected, "module {x}, {y} in {ink:?}");
            }
        }
    }
}

#[test]
fn a_text_longer_than_any_code_is_not_drawn() {
    assert!(draw(&"A".repeat(5000), Ink::Blocks).is_none());
}
