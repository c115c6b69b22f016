//! Each type's reader agrees with its pattern.

use super::*;
use regex::Regex;

/// Texts of every form, right and wrong for each type, and every edge of a length.
fn samples() -> Vec<String> {
    let mut samples: Vec<String> = [
        "",
        "a",
        "A",
        "0",
        "-",
        "_",
        ".",
        "..",
        "...",
        "/",
        "@",
        "*",
        "=",
        " ",
        "a-b",
        "-a",
        "a-",
        "a_b",
        "_a",
        "a_",
        "a.b",
        "a..b",
        ".a",
        "a.",
        "a.b.",
        "A.b",
        "*.a",
        "a.*",
        "*a",
        "_sip._tcp",
        "@.a",
        "acme.",
        "dev.acme.",
        "www.acme",
        "a/b",
        "a/",
        "/a",
        "a//b",
        "a/./b",
        "a/../b",
        "..a",
        ".a/..b",
        "a/..",
        "/etc/hosts",
        "/a:b",
        "http",
        "8080",
        "k8s.io/name",
        "K8s.io/name",
        "k8s..io/name",
        "k8s.io/",
        "/name",
        "a/b/c",
        "PATH",
        "MY VAR",
        "A=B",
        "é",
        "a\nb",
        "10.0.0.1",
        "::1",
        "fd00::",
        "fd00::/8",
        "10.0.0.0/24",
        "10.0.0.0/33",
        "10.0.0.0/08",
        "::/129",
        "::/128",
        "10.0.0.0/",
        "/8",
        "spiffe://c/ns/d",
        "spiffe:",
        "Spiffe://c",
        "a:b c",
        "metadata.name",
        "metadata.labels['a']",
        "metadata.labels['']",
        "metadata.labels['a'b']",
        "metadata.labels[a]",
        "metadata.annotations['x/y']",
        "spec.nodeName",
        "spec.containers",
        "status.podIP",
        "a\u{0}",
    ]
    .map(str::to_owned)
    .into();
    for length in [14, 15, 16, 62, 63, 64, 65, 251, 252, 253, 254, 255] {
        samples.push("a".repeat(length));
        samples.push(format!("{}.", "a".repeat(length)));
        samples.push(format!("{}/n", "a".repeat(length)));
        samples.push(format!("k/{}", "n".repeat(length)));
        samples.push("a.".repeat(length / 2));
    }
    samples
}

fn disagreements<T>(
    pattern: &str,
    max: usize,
    parse: impl Fn(&str) -> Result<T, InvalidValue>,
) -> Vec<String> {
    let pattern = Regex::new(pattern).unwrap();
    let min = if pattern.is_match("") { 0 } else { 1 };
    samples()
        .into_iter()
        .filter(|text| {
            let allowed = (min..=max).contains(&text.chars().count()) && pattern.is_match(text);
            allowed != parse(text).is_ok()
        })
        .collect()
}

macro_rules! agrees {
    ($($name:ident),*) => {
        $(assert_eq!(disagreements($name::PATTERN, $name::MAX_LENGTH, $name::parse), Vec::<String>::new(), stringify!($name));)*
    };
}

#[test]
fn readers_take_exactly_what_their_patterns_match() {
    agrees!(
        DnsLabel,
        DnsSubdomain,
        RecordName,
        PortName,
        LabelKey,
        LabelValue,
        EnvName,
        RelativePath,
        AbsolutePath,
        PublicKey,
        FieldPath
    );
    assert_eq!(disagreements(ZoneName::PATTERN, ZoneName::MAX_LENGTH, ZoneName::parse), Vec::<String>::new());
    assert_eq!(disagreements(Uri::PATTERN, Uri::MAX_LENGTH, Uri::parse), Vec::<String>::new());
}

#[test]
fn addresses_are_read_exactly() {
    let taken: Vec<String> = samples().into_iter().filter(|text| Cidr::parse(text).is_ok()).collect();
    assert_eq!(taken, ["fd00::/8", "10.0.0.0/24", "::/128"]);
    let taken: Vec<String> = samples().into_iter().filter(|text| IpAddress::parse(text).is_ok()).collect();
    assert_eq!(taken, ["10.0.0.1", "::1", "fd00::"]);
    let cidr = Regex::new(Cidr::PATTERN).unwrap();
    let address = Regex::new(IpAddress::PATTERN).unwrap();
    assert!(samples().iter().filter(|text| Cidr::parse(text).is_ok()).all(|text| cidr.is_match(text)));
    assert!(
        samples().iter().filter(|text| IpAddress::parse(text).is_ok()).all(|text| address.is_match(text))
    );
}

#[test]
fn what_is_shown_of_a_wrong_text_is_short() {
    let error = DnsLabel::parse(&"Z".repeat(1_000)).unwrap_err();
    assert_eq!(error.to_string(), format!("\"{}\" is not a lower-case DNS label", "Z".repeat(64)));
}
