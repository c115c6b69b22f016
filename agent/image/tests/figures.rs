//! What it costs: printed, not judged. Run with optimisation and on a quiet machine:
//!
//! ```sh
//! cargo test -p hypermesh-image --test figures --release -- --ignored --nocapture
//! ```

#![expect(clippy::unwrap_used, reason = "a figure that cannot be taken is none")]

use hypermesh_image::{
    Form, ImportOptions, PackSource, PackSpec, RootFsOptions, Store, StoreOptions, Wanted, gc,
};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const FILES: usize = 10_000;
const LARGE: usize = 64 << 20;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begin = Instant::now();
    let result = work();
    (begin.elapsed(), result)
}

fn open(path: &Path) -> Store {
    Store::open(path, StoreOptions::default()).unwrap().0
}

#[test]
#[ignore = "takes figures, which say nothing on a busy machine"]
fn figures() {
    let dir = tempfile::tempdir().unwrap();
    let files = dir.path().join("files");
    for at in 0..FILES {
        let folder = files.join(format!("{:02}", at % 100));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{at}")), format!("{at} ").repeat(200)).unwrap();
    }
    let mut state = 88_172_645_463_325_252_u64;
    let noise = (0..LARGE / 8).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    std::fs::write(files.join("large"), noise.collect::<Vec<u8>>()).unwrap();
    let name = "test/figures:1".parse().unwrap();
    let spec =
        PackSpec { sources: vec![PackSource { from: files, to: "srv".to_owned() }], ..PackSpec::default() };
    let store = open(&dir.path().join("store"));
    let (pack, packed) = timed(|| store.pack(&name, &spec).unwrap());
    println!("pack {FILES} files and {} MiB: {pack:?}, {} bytes", LARGE >> 20, packed.bytes);
    let (unpack, layers) = timed(|| store.unpack_image(&packed.manifest).unwrap());
    println!("unpack, digests checked, synced: {unpack:?}");
    let image = store.image(&packed.manifest).unwrap();
    let blob = store.root().join("blobs/sha256").join(image.manifest.layers[0].digest.hex());
    let tar: Vec<Duration> = (0..3)
        .map(|at| {
            let into = dir.path().join(format!("tar{at}"));
            std::fs::create_dir(&into).unwrap();
            let run = || Command::new("tar").arg("-xzf").arg(&blob).arg("-C").arg(&into).status().unwrap();
            let (time, status) = timed(|| {
                let status = run();
                Command::new("sync").arg("-f").arg(&into).status().unwrap();
                status
            });
            assert!(status.success());
            time
        })
        .collect();
    println!("GNU tar -xzf and sync -f of the same: {:?}", median(tar));
    let (scrub, _) = timed(|| store.scrub().unwrap());
    println!("hash all blobs again: {scrub:?}");
    for (form, rounds) in [(Wanted::Best, 100), (Wanted::Copy, 5)] {
        let (mut make, mut remove, mut kind) = (Vec::new(), Vec::new(), "");
        for at in 0..rounds {
            let id = format!("c{at}");
            let options = RootFsOptions { form, read_only: false };
            let (time, rootfs) = timed(|| store.prepare(&id, &packed.manifest, options).unwrap());
            kind = if matches!(rootfs.form, Form::Copy(_)) { "copy" } else { "overlay" };
            make.push(time);
            remove.push(timed(|| store.remove_snapshot(&id).unwrap()).0);
        }
        println!("root file system by {kind}: made in {:?}, removed in {:?}", median(make), median(remove));
    }
    let leases: Vec<Duration> =
        (0..100).map(|at| timed(|| store.lease(&format!("l{at}"), &packed.manifest).unwrap()).0).collect();
    println!("lease: {:?}", median(leases));
    let (collect, _) = timed(|| store.collect_garbage(&gc::Policy::default()).unwrap());
    println!("collection with nothing to do: {collect:?}, {} layers", layers.len());
    let archive = dir.path().join("layout.tar");
    store.export(std::slice::from_ref(&name), &hypermesh_image::ExportTo::Tar(archive.clone())).unwrap();
    let other = open(&dir.path().join("other"));
    let (import, _) = timed(|| other.import(&archive, &ImportOptions::default()).unwrap());
    println!("import of its layout: {import:?}");
}
