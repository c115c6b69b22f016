//! `certificates.k8s.io/v1` CertificateSigningRequest.

use super::schema::Node;
use super::{CREATED, built_in, column};
use crate::definition::{Hook, KindDefinition, PrinterColumn, Scope, Strategy, Subresources};

/// What a certificate may be used for (`certificates/v1` KeyUsage).
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// The most characters of a request in base64: one for RSA with 16,384 bits and a hundred names fits.
const LONGEST_REQUEST: u32 = 32 << 10;
/// The most characters of a chain in base64.
const LONGEST_CHAIN: u32 = 256 << 10;

pub(super) fn definition() -> KindDefinition {
    let schema = Node::object(
        "A CertificateSigningRequest asks a signer for a certificate. Somebody who may approves or denies it, and the signer \
         puts the certificate into its status.",
        [("spec", spec()), ("status", status())],
    )
    .required(["spec"]);
    let mut kind = built_in(
        "certificates.k8s.io",
        Scope::Cluster,
        "CertificateSigningRequest",
        "certificatesigningrequests",
        schema,
    );
    kind.names.short_names = vec!["csr".to_owned()];
    kind.subresources = Subresources { status: true, ..kind.subresources };
    kind.selectable_fields = vec![".spec.signerName".to_owned()];
    kind.printer_columns = columns();
    kind.strategy = Strategy {
        unconditional_update: true,
        hooks: vec![Hook::CertificateSigningRequest],
        ..kind.strategy
    };
    kind
}

fn spec() -> Node {
    Node::object(
        "What is asked for, and by whom. It never changes.",
        [
            (
                "expirationSeconds",
                Node::int32("For how long the certificate should be valid; its signer may choose less.")
                    .nullable(),
            ),
            (
                "extra",
                Node::map(
                    "Further facts about who asks. The server fills it in.",
                    Node::atomic_list("Values.", Node::string("A value.")),
                ),
            ),
            (
                "groups",
                Node::atomic_list(
                    "The groups of who asks. The server fills it in.",
                    Node::string("A group."),
                ),
            ),
            (
                "request",
                Node::bytes("A PKCS#10 request in PEM (CERTIFICATE REQUEST), in base64.")
                    .with("maxLength", LONGEST_REQUEST),
            ),
            ("signerName", Node::string("Who is to sign: example.com/signer-name.").with("maxLength", 571)),
            ("uid", Node::string("The uid of who asks. The server fills it in.")),
            (
                "usages",
                Node::atomic_list(
                    "What the certificate is to be used for.",
                    Node::string("A usage.").one_of(USAGES),
                )
                .with("maxItems", USAGES.len()),
            ),
            ("username", Node::string("The name of who asks. The server fills it in.")),
        ],
    )
    .required(["request", "signerName"])
}

fn status() -> Node {
    let condition = Node::object(
        "One aspect of the request: Approved, Denied, or Failed.",
        [
            ("lastTransitionTime", Node::time("When its status last changed.").nullable()),
            ("lastUpdateTime", Node::time("When it was last updated.").nullable()),
            ("message", Node::string("The reason in words.").with("maxLength", 32_768)),
            ("reason", Node::string("The reason in one word.").with("maxLength", 1024)),
            (
                "status",
                Node::string("True, False or Unknown; Approved, Denied and Failed are True.")
                    .one_of(["True", "False", "Unknown"]),
            ),
            ("type", Node::string("Which aspect.").with("maxLength", 316)),
        ],
    )
    .required(["type", "status"]);
    Node::object(
        "What became of the request.",
        [
            (
                "certificate",
                Node::bytes("The certificate and what its signer sends beside it, in PEM, in base64.")
                    .with("maxLength", LONGEST_CHAIN)
                    .nullable(),
            ),
            (
                "conditions",
                Node::map_list("Whether it is approved or denied, or has failed.", "type", condition)
                    .with("maxItems", 32),
            ),
        ],
    )
}

/// As `kubectl get csr` has them: nothing is added before or after.
fn columns() -> Vec<PrinterColumn> {
    vec![
        column("Name", "string", ".metadata.name", 0, "Name of the request."),
        column("Age", "date", CREATED, 0, "When it was made."),
        column("SignerName", "string", ".spec.signerName", 0, "Who is to sign."),
        column("Requestor", "string", ".spec.username", 0, "Who asks."),
        column(
            "RequestedDuration",
            "string",
            "duration(.spec.expirationSeconds)",
            0,
            "For how long the certificate should be valid.",
        ),
        column(
            "Condition",
            "string",
            "approval(.status.conditions[*].type, .status.certificate)",
            0,
            "Whether it is approved, denied or pending, and whether there is a certificate.",
        ),
    ]
}
