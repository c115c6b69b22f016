//! What is asked for, and by what right.
//!
//! Registers under names are written, and an administrator may write under `/administration/`. A request is its
//! author's, by a keyed digest whose key no replica has, or it is a client's on the word of the replica that took it, by
//! that replica's signature. No replica's word is enough for what an administrator writes: that is the one grant that is
//! modelled.

use bytes::Bytes;
use hypermesh_chain::request::{Authority, Endorsement, Media, Method, Request, User};
use hypermesh_chain::{ClusterId, Hash, PublicKey, Signature, SigningKey, Timestamp, ValidatorSet};

/// What authors sign with; replicas, honest or not, never see it.
const AUTHORS_KEY: &[u8] = b"known to authors alone";
/// What only administrators write.
const ADMINISTRATION: &str = "/administration/";
/// Whose word a request is made on.
const AUTHORS: &str = "author:";
const REPLICAS: &str = "replica:";

/// What a client does to a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which.
    pub register: u64,
    /// What it is set to; no two writes of clients set the same.
    pub value: u64,
}

/// The path of a register.
pub fn path(register: u64) -> String {
    format!("/registers/{register}")
}

/// The name of a client.
pub fn client(number: u64) -> String {
    format!("client-{number}")
}

/// A request of a client, signed by itself.
pub fn signed(client: &str, write: Write) -> Request {
    let mut request = unsigned(client, write);
    let tag = author_tag(&request);
    claim(&mut request, PublicKey([0; 32]), format!("{AUTHORS}{tag}"));
    request
}

/// A request in a client's name that the client knows nothing of.
pub fn forged(client: &str, write: Write) -> Request {
    let mut request = unsigned(client, write);
    claim(&mut request, PublicKey([0; 32]), format!("{AUTHORS}{}", Hash::default()));
    request
}

/// A client's request on the word of the replica that took it.
pub fn endorsed(client: &str, write: Write, key: &SigningKey, cluster: &ClusterId) -> Request {
    endorse(unsigned(client, write), key, cluster)
}

/// An administrator's write on the word of a replica, which is not enough.
pub fn administration(number: u64, key: &SigningKey, cluster: &ClusterId) -> Request {
    let mut request = unsigned("administrator", Write { register: 0, value: number });
    request.target = format!("{ADMINISTRATION}{number}");
    endorse(request, key, cluster)
}

fn unsigned(client: &str, write: Write) -> Request {
    let user = User { name: client.to_owned(), ..User::default() };
    let (replica, received) = (PublicKey([0; 32]), Timestamp(0));
    let endorsement = Endorsement { replica, user, received, nonce: write.value, manager: String::new() };
    Request {
        method: Method::Put,
        target: path(write.register),
        media: Media::Json,
        body: Bytes::from(write.value.to_string()),
        authority: Authority::Endorsed(endorsement),
    }
}

fn claim(request: &mut Request, by: PublicKey, word: String) {
    if let Authority::Endorsed(endorsement) = &mut request.authority {
        endorsement.replica = by;
        endorsement.manager = word;
    }
}

fn endorse(mut request: Request, key: &SigningKey, cluster: &ClusterId) -> Request {
    let signature = key.sign(&word_of(&request, cluster).0);
    claim(&mut request, key.public(), format!("{REPLICAS}{signature}"));
    request
}

/// What is said by whose word, without the word.
fn content(request: &Request) -> Hash {
    let endorsement = request.authority.endorsement();
    let name = endorsement.map_or("", |endorsement| &endorsement.user.name);
    let nonce = endorsement.map_or(0, |endorsement| endorsement.nonce);
    let parts = [name, &request.target].map(str::as_bytes);
    Hash::of(&[&request.content().0, parts[0], parts[1], &nonce.to_le_bytes()])
}

fn author_tag(request: &Request) -> Hash {
    Hash::of(&[AUTHORS_KEY, &content(request).0])
}

fn word_of(request: &Request, cluster: &ClusterId) -> Hash {
    Hash::of(&[b"endorsed", &cluster.0.0, &content(request).0])
}

/// Whether somebody may have what the request asks for on the word that it carries.
pub fn authorize(request: &Request, validators: &ValidatorSet, cluster: &ClusterId) -> Result<(), String> {
    let digest = request.digest();
    let Some(Endorsement { replica, manager: word, .. }) = request.authority.endorsement() else {
        return Err(format!("request {digest} is by nobody's word"));
    };
    if let Some(tag) = word.strip_prefix(AUTHORS) {
        let holds = author_tag(request).to_string() == tag;
        return if holds { Ok(()) } else { Err(format!("request {digest} is not its author's")) };
    }
    if is_administration(request) {
        return Err(format!(
            "request {digest} is an administrator's, and a replica's word is not enough for it"
        ));
    }
    let signature: Option<Signature> = word.strip_prefix(REPLICAS).and_then(|word| word.parse().ok());
    let message = word_of(request, cluster);
    let holds = validators.power(replica).is_some()
        && signature.is_some_and(|signature| replica.verify(&message.0, &signature).is_ok());
    if holds { Ok(()) } else { Err(format!("request {digest} is by nobody's word")) }
}

/// Whether only an administrator may ask for this.
pub fn is_administration(request: &Request) -> bool {
    request.target.starts_with(ADMINISTRATION)
}

/// The replica on whose word alone a request is made.
pub fn endorser(request: &Request) -> Option<PublicKey> {
    let endorsement = request.authority.endorsement()?;
    endorsement.manager.starts_with(REPLICAS).then_some(endorsement.replica)
}

/// Whose request it says it is.
pub fn author(request: &Request) -> &str {
    request.authority.endorsement().map_or("", |endorsement| &endorsement.user.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_chain::Validator;

    const CLUSTER: ClusterId = ClusterId(Hash([7; 32]));
    const WRITE: Write = Write { register: 1, value: 2 };

    fn judge(request: &Request) -> bool {
        let validator = Validator { key: SigningKey::from_seed(&[1; 32]).public(), power: 1 };
        authorize(request, &ValidatorSet::new(vec![validator]).unwrap(), &CLUSTER).is_ok()
    }

    #[test]
    fn a_word_is_for_one_request_of_one_author() {
        let (member, stranger) = (SigningKey::from_seed(&[1; 32]), SigningKey::from_seed(&[2; 32]));
        assert!(judge(&signed("a", WRITE)));
        assert!(judge(&endorsed("a", WRITE, &member, &CLUSTER)));
        assert!(!judge(&endorsed("a", WRITE, &stranger, &CLUSTER)));
        assert!(!judge(&endorsed("a", WRITE, &member, &ClusterId(Hash([8; 32])))));
        assert!(!judge(&forged("a", WRITE)));
        assert!(!judge(&administration(1, &member, &CLUSTER)));
        for request in [signed("a", WRITE), endorsed("a", WRITE, &member, &CLUSTER)] {
            let mut other = request.clone();
            other.body = Bytes::from_static(b"3");
            assert!(!judge(&other), "the words are another request's");
            let Authority::Endorsed(mut endorsement) = request.authority.clone() else { unreachable!() };
            endorsement.user.name = "b".to_owned();
            assert!(!judge(&Request { authority: Authority::Endorsed(endorsement), ..request }));
        }
    }
}
