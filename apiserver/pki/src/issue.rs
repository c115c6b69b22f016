//! Certificates of clients whose keys are elsewhere: written in DER here, since a subject may be in several organisations.
//!
//! Source: RFC 5280, section 4.

use crate::certificate::Held;
use crate::error::PkiError;
use crate::keys::KeyFile;
use crate::request::{CertificateRequest, KeyKind};
use rcgen::SigningKey as _;
use time::{Duration, OffsetDateTime};
use x509_parser::extensions::ParsedExtension;
use yasna::models::{GeneralizedTime, ObjectIdentifier, UTCTime};
use yasna::{DERWriter, DERWriterSeq, Tag};

/// The longest life of a client's certificate.
pub const LONGEST_LIFE: Duration = Duration::days(90);
/// The shortest.
pub const SHORTEST_LIFE: Duration = Duration::minutes(10);
/// Clocks differ.
const BEFORE: Duration = Duration::minutes(5);

const COMMON_NAME: [u64; 4] = [2, 5, 4, 3];
const ORGANIZATION: [u64; 4] = [2, 5, 4, 10];
const KEY_USAGE: [u64; 4] = [2, 5, 29, 15];
const BASIC_CONSTRAINTS: [u64; 4] = [2, 5, 29, 19];
const AUTHORITY_KEY: [u64; 4] = [2, 5, 29, 35];
const EXTENDED_KEY_USAGE: [u64; 4] = [2, 5, 29, 37];
const CLIENT_AUTH: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 3, 2];
const ED25519: [u64; 4] = [1, 3, 101, 112];
const ECDSA_WITH_SHA256: [u64; 7] = [1, 2, 840, 10045, 4, 3, 2];

/// Signs what `request` asks for, for `life` (held within bounds, and within the authority's own life) from `now` on, in
/// seconds since the epoch. PEM.
pub(crate) fn client(
    authority: &Held,
    key: &KeyFile,
    request: &CertificateRequest,
    life: Option<Duration>,
    now: i64,
) -> Result<String, PkiError> {
    let failed = |why: &str| PkiError::Damaged {
        path: authority.path.clone(),
        what: "authority that can sign",
        why: why.to_owned(),
    };
    let (_, parsed) =
        x509_parser::parse_x509_certificate(&authority.der).map_err(|error| failed(&error.to_string()))?;
    let identifier = parsed.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0),
        _ => None,
    });
    let mut serial = [0_u8; 16];
    getrandom::fill(&mut serial).map_err(PkiError::Random)?;
    // Positive, and of full length (RFC 5280, section 4.1.2.2).
    serial[0] = serial[0] & 0x7f | 0x40;
    let begin = OffsetDateTime::from_unix_timestamp(now).map_err(|error| failed(&error.to_string()))?;
    let life = life.unwrap_or(LONGEST_LIFE).clamp(SHORTEST_LIFE, LONGEST_LIFE);
    let last = OffsetDateTime::from_unix_timestamp(authority.not_after).unwrap_or(begin);
    let signed = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_tagged(Tag::context(0), |writer| writer.write_u8(2));
            writer.next().write_bigint_bytes(&serial, true);
            algorithm(writer.next());
            writer.next().write_der(parsed.subject().as_raw());
            writer.next().write_sequence(|writer| {
                moment(writer.next(), begin - BEFORE);
                moment(writer.next(), (begin + life).min(last));
            });
            subject(writer.next(), request);
            writer.next().write_der(&request.info);
            writer.next().write_tagged(Tag::context(3), |writer| {
                writer.write_sequence(|writer| extensions(writer, request.key, identifier));
            });
        });
    });
    let issue = |source| PkiError::Issue { subject: request.common_name.clone(), source };
    let signature = key.pair().sign(&signed).map_err(issue)?;
    let der = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_der(&signed);
            algorithm(writer.next());
            writer.next().write_bitvec_bytes(&signature, signature.len() * 8);
        });
    });
    let lines = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    Ok(pem::encode_config(&pem::Pem::new("CERTIFICATE", der), lines))
}

/// Makes an Ed25519 key, or takes the one of `key` (PKCS#8 in PEM), and the request by which it asks for a certificate of
/// this name in these organisations. Both in PEM.
///
/// # Errors
/// No randomness, or a key of another algorithm.
pub fn request(
    name: &str,
    organizations: &[String],
    key: Option<String>,
) -> Result<(String, String), PkiError> {
    let path = std::path::PathBuf::from(name);
    let key = match key {
        Some(pem) => KeyFile::parse(path, pem)?,
        None => KeyFile::fresh(path)?,
    };
    let wanted = CertificateRequest {
        common_name: name.to_owned(),
        organizations: organizations.to_vec(),
        key: KeyKind::Ed25519(key.signing_key()?.public().0),
        info: key.public(),
    };
    let signed = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_u8(0);
            subject(writer.next(), &wanted);
            writer.next().write_der(&wanted.info);
            writer.next().write_tagged_implicit(Tag::context(0), |writer| writer.write_set(|_| ()));
        });
    });
    let issue = |source| PkiError::Issue { subject: name.to_owned(), source };
    let signature = key.pair().sign(&signed).map_err(issue)?;
    let der = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_der(&signed);
            writer.next().write_sequence(|writer| oid(writer.next(), &ED25519));
            writer.next().write_bitvec_bytes(&signature, signature.len() * 8);
        });
    });
    let lines = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    Ok((key.pem().to_owned(), pem::encode_config(&pem::Pem::new("CERTIFICATE REQUEST", der), lines)))
}

fn oid(writer: DERWriter<'_>, components: &[u64]) {
    writer.write_oid(&ObjectIdentifier::from_slice(components));
}

/// Authorities have keys on P-256.
fn algorithm(writer: DERWriter<'_>) {
    writer.write_sequence(|writer| oid(writer.next(), &ECDSA_WITH_SHA256));
}

/// Dates through 2049 are written in two digits (section 4.1.2.5).
fn moment(writer: DERWriter<'_>, time: OffsetDateTime) {
    let time = time.replace_nanosecond(0).unwrap_or(time);
    if (1950..2050).contains(&time.year()) {
        writer.write_utctime(&UTCTime::from_datetime(time));
    } else {
        writer.write_generalized_time(&GeneralizedTime::from_datetime(time));
    }
}

fn subject(writer: DERWriter<'_>, request: &CertificateRequest) {
    writer.write_sequence(|writer| {
        let mut attribute = |kind: &[u64], value: &str| {
            writer.next().write_set(|writer| {
                writer.next().write_sequence(|writer| {
                    oid(writer.next(), kind);
                    writer.next().write_utf8string(value);
                });
            });
        };
        for organization in &request.organizations {
            attribute(&ORGANIZATION, organization);
        }
        attribute(&COMMON_NAME, &request.common_name);
    });
}

fn extensions(writer: &mut DERWriterSeq<'_>, key: KeyKind, authority: Option<&[u8]>) {
    let mut extension = |kind: &[u64], critical: bool, value: Vec<u8>| {
        writer.next().write_sequence(|writer| {
            oid(writer.next(), kind);
            if critical {
                writer.next().write_bool(true);
            }
            writer.next().write_bytes(&value);
        });
    };
    // digitalSignature, and keyEncipherment for the keys that can (section 4.2.1.3).
    let usage: &[u8] = if matches!(key, KeyKind::Rsa(_)) { &[0b1010_0000] } else { &[0b1000_0000] };
    let bits = if matches!(key, KeyKind::Rsa(_)) { 3 } else { 1 };
    extension(&KEY_USAGE, true, yasna::construct_der(|writer| writer.write_bitvec_bytes(usage, bits)));
    let purposes =
        yasna::construct_der(|writer| writer.write_sequence(|writer| oid(writer.next(), &CLIENT_AUTH)));
    extension(&EXTENDED_KEY_USAGE, false, purposes);
    extension(&BASIC_CONSTRAINTS, true, yasna::construct_der(|writer| writer.write_sequence(|_| ())));
    if let Some(identifier) = authority {
        let value = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_tagged_implicit(Tag::context(0), |writer| writer.write_bytes(identifier));
            });
        });
        extension(&AUTHORITY_KEY, false, value);
    }
}
