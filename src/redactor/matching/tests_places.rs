//! Where something is found, and what it becomes.

use super::tests::{patterns, redacted, text};
use super::*;

#[test]
fn written_escapes_are_replaced_whole_and_all_else_stays_as_it_is_written() {
    let patterns = patterns(&[("NAME", "hunter22"), ("KEY", "🔑🔑 geheim/é")]);
    let cases = [
        (r#"{"a" :"\u0068unter22" }"#, r#"{"a" :"$NAME" }"#),
        (
            r#"["\u0041\/\u0068\u0075nter2\u0032\u00e9\/é"]"#,
            r#"["\u0041\/$NAME\u00e9\/é"]"#,
        ),
        (
            r#"["hunter22\u0041", "hunter22\n", "\\hunter22"]"#,
            r#"["${NAME}\u0041", "$NAME\n", "\\$NAME"]"#,
        ),
        (
            r#"["é\ud83d\udd11\uD83D\uDD11 geheim\/\u00E9é"]"#,
            r#"["é$KEYé"]"#,
        ),
        (
            r#"["\ud83d🔑🔑 geheim/é\udd11"]"#,
            r#"["\ud83d$KEY\udd11"]"#,
        ),
        (
            r#"["x\\u0068unter22\"hunter22\""]"#,
            r#"["x$NAME\"$NAME\""]"#,
        ),
    ];
    for (before, after) in cases {
        assert_eq!(redacted(&patterns, before), after);
    }
}

#[test]
fn keys_and_numbers_are_searched_too() {
    let patterns = patterns(&[("NAME", "hunter22"), ("PIN", "4929123456789012")]);
    let before = r#"{"hunter22": 1, "a": 4929123456789012, "b": [-4929123456789012e1, 49], "c": "4929123456789012"}"#;
    let after = r#"{"$NAME": 1, "a": "$PIN", "b": ["$PIN", 49], "c": "$PIN"}"#;
    let out = patterns.of(before.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(out.body).unwrap(), after);
    assert_eq!(out.found, [("NAME".to_owned(), 1), ("PIN".to_owned(), 3)]);
}

#[test]
fn a_value_that_is_cut_in_two_is_not_found() {
    let patterns = patterns(&[("NAME", "hunter22-hunter22")]);
    for body in [
        r#"["hunter22-", "hunter22"]"#,
        r#"["hunter22-hunter2"]"#,
        r#"{"hunter22-": "hunter22"}"#,
    ] {
        assert!(patterns.of(body.as_bytes()).is_none());
    }
}

#[test]
fn what_is_left_over_is_found_again() {
    // What is put in makes a value together with what stood before it.
    let known = [
        ("A", "hunter22"),
        ("LONG_NAME", "xyz$A-b-"),
        ("Z", "zzzz$LONG_NAME"),
    ];
    let patterns = patterns(&known);
    assert_eq!(text(&patterns, "zzzzxyzhunter22-b-!"), "$Z!");
    let body = patterns.of(br#"["zzzzxyzhunter22-b-!"]"#).unwrap();
    assert_eq!(body.found.len(), 3);
}

#[test]
fn there_is_an_end_when_placeholders_are_values() {
    // What becomes a placeholder makes the next value with its end, forty times.
    let known = [("AAAA", "AAA-------"), ("BAAA", "-secret-value-")];
    let out = text(
        &patterns(&known),
        &("-secret-value-".to_owned() + &"-------".repeat(40)),
    );
    assert_eq!(out, "$AAAA");
    // Those in the middle of a placeholder are not looked for, and the caller is told.
    let names = [
        ("TOKEN_OF_ADA", "TOKEN_OF_EVE"),
        ("TOKEN_OF_EVE", "{TOKEN_OF_ADA}"),
        ("SAFE", "hunter22"),
    ];
    let known = names.iter().map(|(name, value)| Known {
        name,
        value: value.as_bytes(),
    });
    let (patterns, unlooked) = Patterns::new(known).unwrap();
    assert_eq!(
        unlooked,
        [
            ("TOKEN_OF_ADA".to_owned(), Unlooked::TooCommon),
            ("TOKEN_OF_EVE".to_owned(), Unlooked::TooCommon)
        ]
    );
    assert_eq!(
        text(&patterns, "TOKEN_OF_EVE hunter22"),
        "TOKEN_OF_EVE $SAFE"
    );
}

#[test]
fn what_overlaps_is_one_with_the_leftmost_then_longest_then_first_name_whatever_the_order() {
    let mut known = [
        ("OTHER", "abcdefgh"),
        ("LONGER", "abcdefghijkl"),
        ("LATER", "efghijklmnopq"),
        ("SAME", "hunter22"),
        ("ALSO_SAME", "hunter22"),
        ("SAME", "hunter33"),
        ("SHORT", "1234567"),
    ];
    let message = "abcdefghijklmnopq abcdefghi hunter22 hunter33 abcdEfghijklmnop";
    let expected = "$LONGER ${OTHER}i $ALSO_SAME $SAME abcdEfghijklmnop";
    for _ in 0..known.len() {
        known.rotate_left(1);
        let all = known.iter().map(|(name, value)| Known {
            name,
            value: value.as_bytes(),
        });
        let (patterns, unlooked) = Patterns::new(all).unwrap();
        assert_eq!(unlooked, [("SHORT".to_owned(), Unlooked::TooShort)]);
        assert_eq!(text(&patterns, message), expected);
    }
}

#[test]
fn braces_stand_where_the_name_would_go_on() {
    let patterns = patterns(&[("NAME", "hunter22"), ("dotted.name", "hunter33")]);
    let cases = [
        ("hunter22", "$NAME"),
        ("hunter22/x", "$NAME/x"),
        ("hunter22_x", "${NAME}_x"),
        ("hunter220", "${NAME}0"),
        ("hunter22é", "$NAMEé"),
        ("hunter22hunter22", "${NAME}$NAME"),
        // Whoever decodes the address sees the letter.
        ("hunter22%41", "${NAME}%41"),
        ("%68unter22%20x", "$NAME%20x"),
        ("hunter33", "$dotted_name"),
    ];
    for (before, after) in cases {
        assert_eq!(text(&patterns, before), after);
    }
}

#[test]
fn more_than_memory_is_given_for_is_refused() {
    let value: Vec<u8> = (0..9_000_000_u32)
        .map(|n| (n.wrapping_mul(n) >> 9) as u8 | 0x80)
        .collect();
    let known = [Known {
        name: "LARGE",
        value: &value,
    }];
    let Err(error) = Patterns::new(known) else {
        panic!("was taken");
    };
    assert!(error.to_string().contains("more than 8388608 bytes"));
}

#[test]
fn without_a_hit_or_a_value_there_is_nothing_to_say() {
    let body = br#"{"messages": [{"role": "user", "content": "hunter22 \u00e9 %41 \\n"}]}"#;
    assert!(patterns(&[]).of(body).is_none());
    assert!(
        patterns(&[("NAME", "hunter23"), ("SHORT", "hunter")])
            .of(body)
            .is_none()
    );
    assert!(patterns(&[("NAME", "hunter23")]).of(b"").is_none());
}
