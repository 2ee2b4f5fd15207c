#![allow(clippy::unwrap_used)]

use super::*;
use crate::model::clock::Micros;

fn header() -> Header {
    Header {
        run_id: "run".into(),
        batch: 7,
        config_hash: "hash".into(),
        created: Micros(1_700_000_000_000_000),
    }
}

fn kept(folder: &Path, records: &[(Micros, &str)]) -> (Spool, PathBuf) {
    let mut spool = Spool::open(folder, 1 << 20).unwrap();
    let path = spool.keep(&header(), records).unwrap();
    (spool, path)
}

#[test]
fn what_is_kept_is_what_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let records = [
        (Micros(1), r#"{"id":1}"#),
        (Micros(2), ""),
        (Micros::MIN, "Zoë 李 🦀"),
    ];
    let (mut spool, path) = kept(folder.path(), &records);
    let Opened::Ready(waiting) = spool.open_file(&path).unwrap() else {
        panic!("not ready")
    };
    assert_eq!(waiting.header.batch, 7);
    let read: Vec<_> = waiting
        .entries
        .iter()
        .map(|e| (e.requested_at, e.raw.as_str()))
        .collect();
    assert_eq!(read, records);
    // This process has the lock, so opening the file again says that it is taken.
    assert!(matches!(spool.open_file(&path).unwrap(), Opened::Taken));
    spool.remove(&waiting).unwrap();
    assert!(spool.files().unwrap().is_empty());
    assert_eq!(spool.bytes(), 0);
}

#[test]
fn batches_share_a_file_until_it_is_sealed_and_count_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    spool.add(&header(), &[(Micros(1), "{}")]).unwrap();
    spool.add(&header(), &[(Micros(2), "[]")]).unwrap();
    assert_eq!((spool.files().unwrap().len(), spool.bytes()), (0, 0));
    let sealed = spool.seal().unwrap().unwrap();
    assert_eq!(sealed.records, 2);
    assert_eq!(spool.bytes(), fs::metadata(&sealed.path).unwrap().len());
    let Opened::Ready(waiting) = spool.open_file(&sealed.path).unwrap() else {
        panic!("not ready")
    };
    assert_eq!(waiting.entries.len(), 2);
    assert!(spool.seal().unwrap().is_none());
    // What was never sealed leaves no file.
    spool.add(&header(), &[(Micros(1), "{}")]).unwrap();
    drop(spool);
    assert_eq!(
        fs::read_dir(folder.path().join("spool")).unwrap().count(),
        1
    );
}

#[test]
fn a_full_spool_keeps_what_was_added_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 400).unwrap();
    spool.add(&header(), &[(Micros(1), "{}")]).unwrap();
    let long = "x".repeat(400);
    spool.add(&header(), &[(Micros(1), &long)]).unwrap_err();
    assert_eq!(spool.seal().unwrap().unwrap().records, 1);
}

#[test]
fn what_is_no_regular_file_is_set_aside_unread() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), 1 << 20).unwrap();
    let waiting = folder.path().join("spool");
    let mut files = vec![waiting.join("1-folder.spool"), waiting.join("2-link.spool")];
    fs::create_dir(&files[0]).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &files[1]).unwrap();
    let fifo = waiting.join("3-fifo.spool");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    files.push(fifo);
    // A sparse file of 3 GB, without a valid header.
    let huge = waiting.join("4-huge.spool");
    File::create(&huge).unwrap().set_len(3 << 30).unwrap();
    files.push(huge);
    for file in files {
        let opened = spool.open_file(&file).unwrap();
        assert!(
            matches!(opened, Opened::Quarantined(..)),
            "{}",
            file.display()
        );
    }
    assert!(spool.files().unwrap().is_empty());
}

#[test]
fn every_torn_or_flipped_file_is_quarantined() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, path) = kept(
        folder.path(),
        &[(Micros(1), r#"{"id":1}"#), (Micros(2), r#"{"id":2}"#)],
    );
    let whole = fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        assert!(
            format::decode(&whole[..cut]).is_err(),
            "cut at {cut} was accepted"
        );
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            assert!(
                format::decode(&flipped[..]).is_err(),
                "bit {bit} of byte {at} was accepted"
            );
        }
    }
    fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    let Opened::Quarantined(aside, reason) = spool.open_file(&path).unwrap() else {
        panic!("not quarantined")
    };
    assert!(aside.exists() && !path.exists());
    assert!(
        reason.contains("frame") || reason.contains("end"),
        "{reason}"
    );
}

#[test]
fn what_a_killed_run_left_half_written_is_swept_and_what_a_live_one_writes_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (_, path) = kept(folder.path(), &[(Micros(1), "{}")]);
    let (dead, live) = (
        path.with_file_name("probe-7.0.tmp"),
        path.with_file_name("live.0.tmp"),
    );
    fs::write(&dead, "half").unwrap();
    let writing = File::create_new(&live).unwrap();
    assert!(lock(&writing, &live).unwrap());
    let spool = Spool::open(folder.path(), 1 << 20).unwrap();
    assert!(!dead.exists() && live.exists());
    assert_eq!(spool.files().unwrap(), [path]);
}

/// Writers and starting processes run at once: a sweep between a writer's create and its lock must not remove its file.
#[test]
fn a_starting_process_never_sweeps_what_another_is_about_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    Spool::open(root, 1 << 20).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..3_u64 {
            scope.spawn(move || {
                let mut spool = Spool::open(root, 1 << 20).unwrap();
                for batch in 0..40 {
                    let header = Header {
                        batch: writer * 100 + batch,
                        ..header()
                    };
                    spool.keep(&header, &[(Micros(1), "{}")]).unwrap();
                }
            });
        }
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..60 {
                    Spool::open(root, 1 << 20).unwrap();
                }
            });
        }
    });
    let spool = Spool::open(root, 1 << 20).unwrap();
    assert_eq!(spool.files().unwrap().len(), 120);
    assert_eq!(
        fs::read_dir(root.join("spool")).unwrap().count(),
        120,
        "no temporary file is left"
    );
}

#[test]
fn a_glance_sees_what_waits_and_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("not").join("yet");
    assert_eq!(status(&state).unwrap(), SpoolStatus::default());
    assert!(!state.exists());
    let mut spool = Spool::open(&state, 1 << 20).unwrap();
    let path = spool.keep(&header(), &[(Micros(1), "{}")]).unwrap();
    fs::write(state.join("quarantine").join("damaged.spool"), "x").unwrap();
    let seen = status(&state).unwrap();
    assert_eq!((seen.files, seen.quarantined), (1, 1));
    assert_eq!(seen.bytes, fs::metadata(path).unwrap().len());
    assert_eq!(seen.oldest, Some(header().created));
    // There is a file where the folder should be.
    let blocked = folder.path().join("file");
    fs::write(&blocked, "").unwrap();
    assert!(status(&blocked.join("state")).is_err());
}

#[test]
fn a_full_spool_says_so_and_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 400).unwrap();
    spool.keep(&header(), &[(Micros(1), "{}")]).unwrap();
    let long = "x".repeat(400);
    let error = spool
        .keep(
            &Header {
                batch: 8,
                ..header()
            },
            &[(Micros(1), long.as_str())],
        )
        .unwrap_err();
    assert!(error.to_string().contains("spool is full"), "{error}");
    assert_eq!(spool.files().unwrap().len(), 1);
}

#[test]
fn a_file_is_removed_once_all_of_its_records_are_kept_again_by_another_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
    let of_run = |run: &str, batch: u64| Header {
        run_id: run.into(),
        batch,
        ..header()
    };
    let mut keep = |run: &str, batch: u64, texts: &[&str]| {
        let entries: Vec<_> = texts.iter().map(|text| (Micros(1), *text)).collect();
        spool.keep(&of_run(run, batch), &entries).unwrap()
    };
    let whole = keep("old", 1, &["a", "b"]);
    let part = keep("old", 2, &["c", "changed since"]);
    // The new run divides its records differently, and there is one file of a third run.
    keep("new", 1, &["b", "c"]);
    keep("new", 2, &["a", "d"]);
    keep("third", 1, &["changed since"]);
    let removed = spool.remove_repeated(&[whole.clone(), part.clone()], "new");
    assert_eq!(removed.unwrap(), 2);
    assert!(!whole.exists() && part.exists());
    assert_eq!(spool.files().unwrap().len(), 4);
}
