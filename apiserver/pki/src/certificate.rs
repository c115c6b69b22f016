//! One certificate: made, read, judged.

use crate::error::PkiError;
use crate::files;
use crate::keys::KeyFile;
use crate::legible;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use std::path::{Path, PathBuf};
use time::{Duration, OffsetDateTime};

/// Whom a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An authority of this name.
    Authority(String),
    /// A server that is reached under these DNS names and addresses.
    Server(Vec<String>),
    /// A client: user and groups, as Kubernetes reads common name and organisations.
    Client {
        /// User.
        user: String,
        /// Groups.
        groups: Vec<String>,
    },
}

/// A certificate in a file.
#[derive(Clone, Debug)]
pub struct Held {
    /// Where it is kept.
    pub path: PathBuf,
    /// In PEM.
    pub pem: String,
    /// In DER.
    pub der: CertificateDer<'static>,
    /// Its subject, for people.
    pub subject: String,
    /// Serial number in hexadecimal.
    pub serial: String,
    /// Seconds since the epoch.
    pub not_before: i64,
    /// Seconds since the epoch.
    pub not_after: i64,
    /// DNS names and addresses, sorted.
    pub names: Vec<String>,
}

impl Held {
    /// Reads the certificate at `path`; `None` when there is none.
    pub fn read(path: &Path) -> Result<Option<Self>, PkiError> {
        match files::read(path)? {
            Some(pem) => Self::parse(path, pem).map(Some),
            None => Ok(None),
        }
    }

    pub(crate) fn parse(path: &Path, pem: String) -> Result<Self, PkiError> {
        let damaged = |why: String| PkiError::Damaged { path: path.to_owned(), what: "certificate", why };
        let der = pem::parse(&pem).map_err(|error| damaged(legible::pem(&pem, &error)))?.into_contents();
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&der).map_err(|_| damaged(legible::NO_X509.to_owned()))?;
        let mut names = Vec::new();
        if let Ok(Some(extension)) = parsed.subject_alternative_name() {
            for name in &extension.value.general_names {
                match name {
                    x509_parser::extensions::GeneralName::DNSName(name) => names.push((*name).to_owned()),
                    x509_parser::extensions::GeneralName::IPAddress(bytes) => names.extend(address(bytes)),
                    _ => {}
                }
            }
        }
        names.sort();
        let (subject, serial) = (parsed.subject().to_string(), parsed.raw_serial_as_string());
        let (not_before, not_after) =
            (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
        Ok(Self {
            path: path.to_owned(),
            subject,
            serial,
            not_before,
            not_after,
            names,
            pem,
            der: CertificateDer::from(der),
        })
    }

    /// Its public key in DER (SubjectPublicKeyInfo).
    pub(crate) fn public(&self) -> Vec<u8> {
        let parsed = x509_parser::parse_x509_certificate(&self.der);
        parsed.map(|(_, parsed)| parsed.public_key().raw.to_vec()).unwrap_or_default()
    }

    /// The key identifier by which certificates that it signed name it (RFC 5280, section 4.2.1.2).
    pub fn key_identifier(&self) -> Option<Vec<u8>> {
        use x509_parser::extensions::ParsedExtension;
        let (_, parsed) = x509_parser::parse_x509_certificate(&self.der).ok()?;
        parsed.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
            _ => None,
        })
    }

    /// The key identifier of the authority that signed it (RFC 5280, section 4.2.1.1).
    pub(crate) fn authority_identifier(&self) -> Option<Vec<u8>> {
        use x509_parser::extensions::ParsedExtension;
        let (_, parsed) = x509_parser::parse_x509_certificate(&self.der).ok()?;
        parsed.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(authority) => {
                authority.key_identifier.as_ref().map(|identifier| identifier.0.to_vec())
            }
            _ => None,
        })
    }

    /// The name of its subject.
    pub fn common_name(&self) -> Option<String> {
        let (_, parsed) = x509_parser::parse_x509_certificate(&self.der).ok()?;
        parsed.subject().iter_common_name().next()?.as_str().ok().map(str::to_owned)
    }

    /// When it is to be renewed: at two thirds of its life.
    pub fn renew_at(&self) -> i64 {
        self.not_before + (self.not_after - self.not_before) / 3 * 2
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).map(|b| std::net::Ipv4Addr::from(b).to_string());
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(|b| std::net::Ipv6Addr::from(b).to_string())).ok()
}

/// Who signs.
pub(crate) enum Signer<'a> {
    /// The key itself.
    Itself,
    /// An authority: its certificate and key.
    Authority(&'a Held, &'a KeyFile),
}

/// Makes a certificate that is valid from an hour before `now` (clocks differ) for `life`.
pub(crate) fn issue(
    path: &Path,
    subject: &Subject,
    key: &KeyFile,
    signer: &Signer<'_>,
    now: i64,
    life: std::time::Duration,
) -> Result<Held, PkiError> {
    let label = path.display().to_string();
    let failed = |source| PkiError::Issue { subject: label.clone(), source };
    let mut params = params(subject)?;
    let mut serial = [0_u8; 16];
    getrandom::fill(&mut serial).map_err(PkiError::Random)?;
    // Positive, and of full length (RFC 5280, section 4.1.2.2).
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let start = OffsetDateTime::from_unix_timestamp(now).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    params.not_before = start - Duration::hours(1);
    params.not_after = start + life;
    let certificate = match signer {
        Signer::Itself => params.self_signed(key.pair()).map_err(failed)?,
        Signer::Authority(authority, authority_key) => {
            let issuer = Issuer::from_ca_cert_der(&authority.der, authority_key.pair()).map_err(failed)?;
            params.signed_by(key.pair(), &issuer).map_err(failed)?
        }
    };
    let pem = certificate.pem();
    files::replace(path, &pem, 0o644)?;
    Held::parse(path, pem)
}

fn params(subject: &Subject) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    params.use_authority_key_identifier_extension = true;
    let mut name = DistinguishedName::new();
    match subject {
        Subject::Authority(title) => {
            name.push(DnType::CommonName, title.as_str());
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        }
        Subject::Server(names) => {
            name.push(DnType::CommonName, "hypermesh-apiserver");
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            // It is what the server shows to agents, too, when it asks them.
            params.extended_key_usages =
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            for name in names {
                params.subject_alt_names.push(alternative(name)?);
            }
        }
        Subject::Client { user, groups } => {
            name.push(DnType::CommonName, user.as_str());
            // A distinguished name holds one value a type here; groups beyond the first come from the state.
            if let Some(group) = groups.first() {
                name.push(DnType::OrganizationName, group.as_str());
            }
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        }
    }
    params.distinguished_name = name;
    Ok(params)
}

fn alternative(name: &str) -> Result<SanType, PkiError> {
    if let Ok(address) = name.parse() {
        return Ok(SanType::IpAddress(address));
    }
    let text = name.try_into().map_err(|source| PkiError::Name { name: name.to_owned(), source })?;
    Ok(SanType::DnsName(text))
}
