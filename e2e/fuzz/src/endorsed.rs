//! Endorsements of batches of which some requests are absent: one holds exactly if what is there, and what is said to be
//! absent, are together the batch that the replica signed.

use bytes::Bytes;
use hypermesh_chain::request::{Media, Method, User};
use hypermesh_chain::{
    Authority, BatchEndorsement, Bundle, Canonical, ClusterId, Endorsement, Hash, Request, SigningKey,
    Timestamp,
};

const CLUSTER: ClusterId = ClusterId(Hash([1; 32]));
/// Requests of the batch.
const MOST: usize = 8;

/// The first byte says how many requests there are, the second which are absent; then every three bytes change something.
pub fn target(data: &[u8]) {
    let [count, mask, script @ ..] = data else { return };
    let key = SigningKey::from_seed(&[1; 32]);
    let batch: Vec<Request> = (0..=usize::from(*count) % MOST).map(|place| request(&key, place)).collect();
    let digests: Vec<Hash> = batch.iter().map(Request::digest).collect();
    let is_absent = |place: usize| mask & (1 << place) != 0;
    let (absent, present): (Vec<usize>, Vec<usize>) = (0..batch.len()).partition(|place| is_absent(*place));
    let requests: Vec<Request> = present.iter().map(|place| batch[*place].clone()).collect();
    let indices = (0..requests.len() as u32).collect();
    let mut endorsement = BatchEndorsement::sign(&key, &CLUSTER, &digests, indices);
    endorsement.absent = absent.iter().map(|place| (*place as u32, digests[*place])).collect();
    let (changes, _) = script.as_chunks::<3>();
    changes.iter().for_each(|change| spoil(&mut endorsement, *change));

    let expected = !requests.is_empty()
        && covers_all(&endorsement, requests.len())
        && whole(&endorsement, &requests) == Some(digests);
    let bundle = Bundle { requests, endorsements: vec![endorsement] };
    let holds = bundle.check().is_ok() && bundle.verify(&CLUSTER).is_ok();
    assert_eq!(holds, expected, "{bundle:?}");
    if bundle.check().is_ok() {
        assert_eq!(Bundle::decode(&bundle.encode()).as_ref().ok(), Some(&bundle));
    }
}

fn request(key: &SigningKey, place: usize) -> Request {
    let endorsement = Endorsement {
        replica: key.public(),
        user: User::default(),
        received: Timestamp(1),
        nonce: place as u64,
        manager: String::new(),
    };
    Request {
        method: Method::Delete,
        target: "/api/v1/namespaces/a".into(),
        media: Media::None,
        body: Bytes::new(),
        authority: Authority::Endorsed(endorsement),
    }
}

fn spoil(endorsement: &mut BatchEndorsement, [what, a, b]: [u8; 3]) {
    let (at, to) = (usize::from(a), usize::from(b));
    let BatchEndorsement { indices, absent, signature, .. } = endorsement;
    let (index, place) = (at % indices.len().max(1), at % absent.len().max(1));
    match what % 9 {
        0 if !indices.is_empty() => {
            let other = to % indices.len();
            indices.swap(index, other);
        }
        1 if !indices.is_empty() => indices[index] = u32::from(b),
        2 => drop(indices.pop()),
        3 => indices.push(u32::from(a)),
        4 if !absent.is_empty() => absent[place].0 = u32::from(b) % 16,
        5 if !absent.is_empty() => absent[place].1.0[to % 32] ^= 1,
        6 => drop(absent.pop()),
        7 => absent.push((u32::from(a) % 16, Hash([b; 32]))),
        8 => signature.0[at % 64] ^= b,
        _ => {}
    }
}

/// Whether every request is covered once.
fn covers_all(endorsement: &BatchEndorsement, count: usize) -> bool {
    let mut covered = endorsement.indices.clone();
    covered.sort_unstable();
    covered.iter().map(|index| *index as usize).eq(0..count)
}

/// The batch that an endorsement stands for; nothing if it stands for none, or if it is not what was signed.
fn whole(endorsement: &BatchEndorsement, requests: &[Request]) -> Option<Vec<Hash>> {
    let BatchEndorsement { indices, absent, .. } = endorsement;
    if !absent.is_sorted_by(|a, b| a.0 < b.0) {
        return None;
    }
    let mut places: Vec<Option<Hash>> = vec![None; indices.len() + absent.len()];
    for (place, digest) in absent {
        *places.get_mut(*place as usize)? = Some(*digest);
    }
    let mut present = indices.iter().map(|index| requests.get(*index as usize).map(Request::digest));
    let mut whole = Vec::new();
    for place in places {
        whole.push(match place {
            Some(digest) => digest,
            None => present.next()??,
        });
    }
    let signed = endorsement.verify(&CLUSTER, &whole).is_ok();
    signed.then_some(whole)
}
