use super::*;

fn check(format: Format, good: &[&str], bad: &[&str]) {
    for text in good {
        assert!(format.matches(text), "{} should take {text:?}", format.name());
    }
    for text in bad {
        assert!(!format.matches(text), "{} should not take {text:?}", format.name());
    }
}

#[test]
fn formats_are_supported_by_type_and_spelling() {
    use JsonType::{Integer, Number, Object, String};
    for (name, kind, expected) in [
        ("date-time", Some(String), Some(Format::DateTime)),
        ("datetime", Some(String), Some(Format::DateTime)),
        ("k8s-short-name", Some(String), Some(Format::ShortName)),
        ("uuid", None, Some(Format::Uuid)),
        ("int32", Some(Integer), Some(Format::Int32)),
        ("int32", Some(Number), None),
        ("int-32", Some(Integer), None),
        ("int32", Some(String), None),
        ("double", Some(Number), Some(Format::Double)),
        ("uuid", Some(Object), None),
        ("quantity", Some(String), None),
    ] {
        assert_eq!(Format::supported(name, kind), expected, "{name} {kind:?}");
    }
}

#[test]
fn addresses() {
    check(
        Format::Ipv4,
        &["10.0.0.1", "010.000.0.255", "::ffff:1.2.3.4"],
        &["10.0.0", "1.2.3.256", "1.2.3.4.5", "::1", "", "1..2.3"],
    );
    check(Format::Ipv6, &["::1", "fd00::1:2", "::ffff:1.2.3.4"], &["10.0.0.1", "fe80::1%eth0", "[::1]", ""]);
    check(
        Format::Cidr,
        &["10.0.0.0/8", "010.0.0.1/32", "fd00::/48", "::/0"],
        &["10.0.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0.0/", "10.0.0.0/+8", "x/8"],
    );
    check(
        Format::Mac,
        &["01:23:45:67:89:ab", "01-23-45-67-89-AB-cd-ef", "0123.4567.89ab", "0123.4567.89ab.cdef"],
        &["01:23:45:67:89", "01:23-45:67:89:ab", "0123.4567", "g1:23:45:67:89:ab", ""],
    );
}

#[test]
fn names() {
    check(
        Format::Hostname,
        &["host", "a-bc", "example.com", "my-host.example.com", "münchen.de", "☃.net"],
        &["my-host", "-a.com", "a-.com", "a..com", "example.c", "example.c0m", "", "under_score.com"],
    );
    check(Format::Hostname, &[&format!("{}.com", "a".repeat(63))], &[&format!("{}.com", "a".repeat(64))]);
    check(
        Format::ShortName,
        &["a", "a-b", "0", &"a".repeat(63)],
        &["", "A", "a.b", "-a", "a-", &"a".repeat(64)],
    );
    check(Format::LongName, &["a.b", "a", &"a".repeat(253)], &["", "a..b", "a.-", "A.b", &"a".repeat(254)]);
    check(
        Format::Uri,
        &[
            "http://a.b/c?d=%zz",
            "/path",
            "mailto:x",
            "https://u:p@[::1]:443/",
            "http://h:/",
            "*",
            "http://%C3%A4/",
        ],
        &[
            "",
            "a/b",
            ":x",
            "http://a b/",
            "http://h:x/",
            "http://[::1",
            "/%zz",
            "http://%41/",
            "a\nb",
            "http://u^@h/",
        ],
    );
    check(
        Format::Email,
        &["a@b.example", "Ann B. <a@b.example>", "\"a b\"@c", "<a@b>", "a@[127.0.0.1]"],
        &["", "a", "@b", "a@", "a..b@c", "a b@c", "Ann a@b>", "a@[x]", "a@b@c\n"],
    );
}

#[test]
fn codes() {
    let uuid = "0123abcd-0123-4bcd-8123-0123456789ab";
    check(
        Format::Uuid,
        &[uuid, &uuid.to_uppercase(), &uuid.replace('-', "")],
        &["", &uuid[1..], &format!("{uuid}0")],
    );
    check(
        Format::Uuid4,
        &[uuid],
        &["0123abcd-0123-5bcd-8123-0123456789ab", "0123abcd-0123-4bcd-c123-0123456789ab"],
    );
    check(Format::Uuid3, &["0123abcd-0123-3bcd-c123-0123456789ab"], &[uuid]);
    check(Format::Uuid5, &["0123abcd-0123-5bcd-b123-0123456789ab"], &[uuid]);
    check(
        Format::Uuid,
        &[],
        &["0123abcd--0123-4bcd-8123-0123456789a", "ä123abcd-0123-4bcd-8123-0123456789a"],
    );
    check(Format::Isbn10, &["0321751043", "0-321-75104-3", "097522980X"], &["0321751044", "", "97522980XX"]);
    check(Format::Isbn13, &["978-0321751041"], &["978-0321751042", "9780321751041x", ""]);
    check(Format::Isbn, &["0321751043", "978-0321751041"], &["1"]);
    check(
        Format::CreditCard,
        &["4111 1111 1111 1111", "378282246310005"],
        &["4111111111111112", "", "1234567890123"],
    );
    check(Format::Ssn, &["123-45-6789", "123 45 6789"], &["123456789", "123-45-678x", ""]);
    check(Format::HexColor, &["#fff", "FFFFFF"], &["#ff", "#ggg", ""]);
    check(
        Format::RgbColor,
        &["rgb(0, 255,9)"],
        &["rgb(00,1,2)", "rgb(1,2)", "rgb(1,2,256)", "rgb(1,2,+3)", "rgb(,,)"],
    );
    check(Format::Byte, &["", "YQ==", "YWI=", "YWJj"], &["YQ", "YQ=", "Y===", "YQ==YQ==", "Y!==", "===="]);
    check(
        Format::BsonObjectId,
        &["507f1f77bcf86cd799439011"],
        &["507f1f77bcf86cd79943901", "x07f1f77bcf86cd799439011"],
    );
    check(Format::Password, &["", "anything"], &[]);
}

#[test]
fn times() {
    check(
        Format::Date,
        &["2024-02-29", "0000-01-01"],
        &["2023-02-29", "2024-13-01", "2024-1-1", "2024-01-00", "2024-01-01x", "é24-01-01"],
    );
    check(
        Format::DateTime,
        &["2014-12-15T19:30:20.000Z", "2014-12-15t19:30:20z", "2014-12-15T19:30:20+99:99"],
        &[
            "2014-12-15",
            "2014-12-15T24:00:00Z",
            "2014-12-15T19:30:20",
            "2014-12-15T19:30:60Z",
            "2014-12-15T19:30:20.Z",
            "",
            "t",
            "2014-12-15Té9:30:20Z",
        ],
    );
    check(
        Format::Duration,
        &[
            "0",
            "-1.5h",
            "1h2m3s",
            "22 ns",
            "3 days",
            "5 weeks",
            ".5s",
            "1\u{b5}s",
            "about 4 hours",
            "2562047h",
        ],
        &["", "-", "1", "s", "1x", ".s", "99999999999999999999 h", "9999999h9999999999999999999999h"],
    );
}
