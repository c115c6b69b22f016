//! What fields of kubeconfigs hold or name: base64 of certificates and keys, files, and names of servers; and what is wrong
//! with them, in words that say what was expected and what to do.
//!
//! Nothing of what is read is repeated in those words: it may be a key.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use rustls_pki_types::ServerName;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// The largest file that is read, in bytes: bundles of public authorities have a fifth of it.
const LARGEST: u64 = 1 << 20;
/// What links that lead in a circle come to (`ELOOP`).
const CIRCLE: i32 = 40;
/// Told of a file that is not there.
const NOT_THERE: &str = "there is no such file";
/// How base64 of PEM begins.
const ENCODED_PEM: &[u8] = b"LS0tLS1CRUdJTi";

/// The bytes of a field whose value is base64, as of `client-key-data`. `beside` is the field that names a file instead:
/// `client-key`.
///
/// # Errors
/// What it is instead of base64, and what to do.
pub fn decode(text: &str, beside: &str) -> Result<Vec<u8>, String> {
    if text.contains("-----BEGIN ") {
        return Err(format!(
            "holds PEM as it is, and base64 of it is expected: `base64 -w0 FILE` makes that; or name the file in {beside}"
        ));
    }
    let compact: String = text.split_ascii_whitespace().collect();
    if compact.is_empty() {
        return Err(format!("holds nothing but spaces: base64 of PEM is expected, or the file in {beside}"));
    }
    match STANDARD.decode(&compact) {
        Ok(bytes) if bytes.starts_with(ENCODED_PEM) => Err(
            "is base64 of base64: it was encoded twice (what `kubectl get secret -o yaml` shows is encoded already)".to_owned(),
        ),
        Ok(bytes) => Ok(bytes),
        Err(_) => Err(no_base64(&compact, beside)),
    }
}

fn no_base64(text: &str, beside: &str) -> String {
    let ending = |end: &&str| text.to_ascii_lowercase().ends_with(*end);
    let of_a_file = [".crt", ".pem", ".key", ".cer", ".der"].iter().any(ending);
    if of_a_file || text.starts_with(['/', '.', '~']) {
        return format!(
            "holds what looks like the name of a file: that belongs into {beside}, and base64 of the file's text here"
        );
    }
    let unpadded = text.trim_end_matches('=');
    if URL_SAFE.decode(text).is_ok()
        || URL_SAFE_NO_PAD.decode(unpadded).is_ok_and(|_| text.contains(['-', '_']))
    {
        return "is base64 as it stands in URLs, with - and _: the usual one, with + and /, is expected (`base64 -w0 FILE`)"
            .to_owned();
    }
    let strange = text.chars().position(|c| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')));
    if let Some(at) = strange {
        return format!(
            "is no base64: its character {} is none of A-Z, a-z, 0-9, + and /; `base64 -w0 FILE` makes it of a file",
            at + 1
        );
    }
    if STANDARD_NO_PAD.decode(unpadded).is_ok() {
        return "is no whole base64: the = at its end are missing or too many; take it anew from where it came from".to_owned();
    }
    "is no whole base64: it is cut off, or something stands in it that does not belong there; take it anew from where it came \
     from"
    .to_owned()
}

/// The bytes of a file that a field of a kubeconfig in `folder` names.
///
/// # Errors
/// Which file it is, why it cannot be read, and what to do.
pub fn read_beside(folder: &Path, named: &str) -> Result<Vec<u8>, String> {
    let path = folder.join(named);
    let why = match bytes(&path) {
        Ok(bytes) => return Ok(bytes),
        Err(why) => why,
    };
    let hint = match named {
        _ if named.starts_with('~') => "; ~ does not stand for the home here: write the whole path",
        _ if named.contains('$') => "; variables are not filled in here: write the whole path",
        _ if why == NOT_THERE && Path::new(named).is_relative() => {
            "; a path that does not begin with / begins at the kubeconfig's folder"
        }
        _ => "",
    };
    Err(format!("cannot read {}: {why}{hint}", path.display()))
}

/// The bytes of a file that somebody named.
///
/// # Errors
/// Which file it is, and why it cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    bytes(path).map_err(|why| format!("cannot read {}: {why}", path.display()))
}

/// The text of bytes that were read.
///
/// # Errors
/// That they are none.
pub fn text(bytes: Vec<u8>) -> Result<String, &'static str> {
    String::from_utf8(bytes).map_err(|_| "is no text: it holds bytes that are not UTF-8")
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let read = || {
        let mut bytes = Vec::new();
        // Whatever its size claims to be: a device has none, and no end.
        File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| why(path, &error))?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("it is larger than {} KiB, which are read at most", LARGEST >> 10));
    }
    Ok(bytes)
}

fn why(path: &Path, error: &io::Error) -> String {
    let words = match error.kind() {
        io::ErrorKind::NotFound if path.is_symlink() => "it is a link that leads to nothing",
        io::ErrorKind::NotFound => NOT_THERE,
        io::ErrorKind::PermissionDenied => "its permissions keep this user from it",
        io::ErrorKind::IsADirectory => "it is a folder, and a file is expected",
        io::ErrorKind::NotADirectory => "a part of that path is no folder",
        _ if error.raw_os_error() == Some(CIRCLE) => "its links lead in a circle",
        _ => return error.to_string(),
    };
    words.to_owned()
}

/// That a text can be the name of a server: a DNS name, or an address.
///
/// # Errors
/// What is expected.
pub fn host(name: &str) -> Result<ServerName<'static>, String> {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare.to_owned()).map_err(|_| {
        let hint = match name {
            _ if name.contains("://") || name.contains('/') => ", without https:// and without a path",
            _ if name.contains(':') => ", without a port",
            _ if name.starts_with("*.") => ", not a pattern of them",
            _ => "",
        };
        format!("{name:?} is no name of a host: a DNS name or an address is expected{hint}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_is_no_base64_is_told_by_what_it_is() {
        let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        let encoded = STANDARD.encode(pem);
        assert_eq!(decode(&encoded, "f").unwrap(), pem.as_bytes());
        let wrapped: String =
            encoded.as_bytes().chunks(7).map(|c| format!("{}\n ", String::from_utf8_lossy(c))).collect();
        assert_eq!(decode(&wrapped, "f").unwrap(), pem.as_bytes());
        let told: Vec<String> = [
            pem,
            " \n",
            &STANDARD.encode(&encoded),
            "/etc/ssl/ca.crt",
            "ca.pem",
            &URL_SAFE.encode([0xfb, 0xff, 0xfe]),
            "aGk%",
            "aGk",
            "aGkg=a==",
        ]
        .iter()
        .map(|text| decode(text, "client-key").unwrap_err())
        .collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_why() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("d")).unwrap();
        std::fs::write(at("good"), "text").unwrap();
        std::fs::write(at("large"), vec![b'x'; 1 + (1 << 20)]).unwrap();
        symlink(at("b"), at("a")).unwrap();
        symlink(at("a"), at("b")).unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        assert_eq!(read_beside(folder.path(), "good").unwrap(), b"text");
        assert_eq!(read(&at("good")).unwrap(), b"text");
        let told: Vec<String> =
            ["none", "~/x", "$HOME/x", "d", "good/x", "a", "dangling", "large", "/dev/zero"]
                .iter()
                .map(|name| read_beside(folder.path(), name).unwrap_err())
                .collect();
        insta::assert_snapshot!(told.join("\n").replace(&folder.path().display().to_string(), "/k"));
    }

    #[test]
    fn names_of_hosts() {
        for good in ["a.example", "10.0.0.1", "::1", "[::1]", "localhost"] {
            assert!(host(good).is_ok(), "{good}");
        }
        let told: Vec<String> = ["", "a b", "https://a", "a:6443", "*.example", "-", "a..b"]
            .iter()
            .map(|name| host(name).unwrap_err())
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }
}
