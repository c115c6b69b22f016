use super::*;
use proptest::prelude::*;

const SALT: Salt = [7; 16];

fn file(frames: &[&[&[u8]]]) -> Vec<u8> {
    let header = Header { salt: SALT, first: 5 };
    let mut bytes = header.encode().to_vec();
    for (number, entries) in (5..).zip(frames) {
        let mut body = Vec::new();
        entries.iter().for_each(|entry| push(&mut body, entry));
        bytes.extend(frame(&SALT, number, &body));
    }
    bytes
}

fn read(bytes: &[u8]) -> Scan<'_> {
    scan(bytes, &Header::decode(bytes).unwrap())
}

#[test]
fn what_is_written_is_read() {
    let bytes = file(&[&[b"one", b""], &[b"two"]]);
    let scan = read(&bytes);
    assert_eq!(scan.entries, [&b"one"[..], b"", b"two"]);
    assert_eq!((scan.next, scan.good, scan.tail), (7, bytes.len(), Tail::Clean));
    assert!(read(&file(&[])).entries.is_empty());
}

/// The form of version 1: a changed one is another version.
#[test]
fn the_bytes_stay_as_they_are() {
    let bytes = file(&[&[b"hello"]]);
    let sums = [&bytes[34..50], &bytes[62..86]].concat();
    assert_eq!(bytes[..10], *b"HMWALOG\0\x01\0");
    assert_eq!(bytes[50..62], [9, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[86..], *b"\x05\0\0\0hello");
    assert_eq!(sums.len(), 40);
    assert_eq!(sums[..4], sum(&[&bytes[..34]])[..4]);
}

#[test]
fn a_header_that_is_not_one_is_refused() {
    let good = file(&[]);
    for place in 0..HEADER_BYTES {
        let mut bad = good.clone();
        bad[place] ^= 0x80;
        assert!(Header::decode(&bad).is_err(), "byte {place}");
    }
    assert!(matches!(Header::decode(&good[..49]), Err(HeaderError::Bad(_))));
    let mut newer = good;
    newer[8] = 2;
    assert_eq!(Header::decode(&newer), Err(HeaderError::Newer(2)));
}

#[test]
fn a_tail_that_was_cut_off_is_torn() {
    let bytes = file(&[&[b"first"], &[b"second"]]);
    let first = file(&[&[b"first"]]).len();
    for length in first + 1..bytes.len() {
        let scan = read(&bytes[..length]);
        assert_eq!((scan.entries.len(), scan.good, scan.tail), (1, first, Tail::Torn), "{length} bytes");
    }
}

#[test]
fn a_tail_whose_sectors_were_not_written_is_torn() {
    let long = vec![1; 2000];
    let bytes = file(&[&[b"first"], &[&long]]);
    for sector in 1..bytes.len() / SECTOR {
        let mut torn = bytes.clone();
        torn[sector * SECTOR..(sector + 1) * SECTOR].fill(0);
        assert_eq!(read(&torn).tail, Tail::Torn, "sector {sector}");
    }
}

#[test]
fn any_changed_bit_of_what_was_flushed_is_damage() {
    let bytes = file(&[&[b"first"], &[b"second", b"third"]]);
    for place in HEADER_BYTES..bytes.len() {
        for bit in 0..8 {
            let mut bad = bytes.clone();
            bad[place] ^= 1 << bit;
            // A length of the last frame that became too long looks as if the rest of it were missing; its own sum tells.
            assert!(matches!(read(&bad).tail, Tail::Damaged(_)), "bit {bit} of byte {place}");
        }
    }
}

#[test]
fn a_frame_of_another_file_or_place_is_no_frame() {
    let mut bytes = file(&[&[b"first"]]);
    let good = bytes.len();
    bytes.extend(frame(&[8; 16], 6, b"\x01\0\0\0x"));
    assert!(matches!(read(&bytes).tail, Tail::Damaged(_)));
    bytes.truncate(good);
    bytes.extend(frame(&SALT, 5, b"\x01\0\0\0x"));
    assert_eq!(read(&bytes).tail, Tail::Damaged("a frame has another's number"));
    bytes.truncate(good);
    bytes.extend(frame(&SALT, 6, b"\x02\0\0\0x"));
    assert_eq!(read(&bytes).tail, Tail::Damaged("a frame holds no list of entries"));
}

/// Whoever chooses entries cannot make a torn frame look damaged: the salt is not theirs to know.
#[test]
fn entries_that_look_like_frames_are_not_taken_for_them() {
    let forged = [frame(&[0; 16], 6, b"x"), frame(&[0; 16], 7, b"y")].concat();
    let bytes = file(&[&[&forged, &[9; 100]]]);
    assert_eq!(read(&bytes[..bytes.len() - 1]).tail, Tail::Torn);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(header: bool, mut bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        if header {
            bytes.splice(..0, Header { salt: SALT, first: 0 }.encode());
        }
        if let Ok(header) = Header::decode(&bytes) {
            let scan = scan(&bytes, &header);
            prop_assert!(scan.good <= bytes.len());
        }
    }
}
