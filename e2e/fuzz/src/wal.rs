//! A write-ahead log that was damaged: what is read was written, from the beginning and without a gap.

use hypermesh_wal::format::{self, Header, Tail};

/// Reads the input as a file; then writes entries, spoils the file as the input says, and reads that.
pub fn target(data: &[u8]) {
    if let Ok(header) = Header::decode(data) {
        let scan = format::scan(data, &header);
        assert!(scan.good <= data.len());
    }
    let (file, entries) = log();
    let mut spoilt = file.clone();
    let (changes, cut) = data.as_chunks::<4>();
    for [low, high, bits, _] in changes {
        let place = usize::from(u16::from_le_bytes([*low, *high])) % spoilt.len();
        spoilt[place] ^= bits;
    }
    if let Some(cut) = cut.first() {
        spoilt.truncate(spoilt.len() - usize::from(*cut).min(spoilt.len()));
    }
    let Ok(header) = Header::decode(&spoilt) else { return };
    let scan = format::scan(&spoilt, &header);
    assert!(entries.iter().map(Vec::as_slice).take(scan.entries.len()).eq(scan.entries.iter().copied()));
    assert_eq!(scan.tail == Tail::Clean, scan.good == spoilt.len());
    if spoilt == file {
        assert_eq!((scan.entries.len(), scan.tail), (entries.len(), Tail::Clean));
    }
}

/// A file of three frames, and its entries.
fn log() -> (Vec<u8>, Vec<Vec<u8>>) {
    let header = Header { salt: [7; 16], first: 3 };
    let mut file = header.encode().to_vec();
    let mut entries = Vec::new();
    for (number, sizes) in [(3, &[5_usize, 0][..]), (4, &[700]), (5, &[1, 2, 3])] {
        let mut body = Vec::new();
        for size in sizes {
            let entry = vec![*size as u8 + 1; *size];
            format::push(&mut body, &entry);
            entries.push(entry);
        }
        file.extend(format::frame(&header.salt, number, &body));
    }
    (file, entries)
}
