//! Files, in tasks.

#![cfg(feature = "fs")]

use std::io::SeekFrom;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use futures::TryStreamExt;
use futures::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use wq::System;
use wq::fs::{self, File, OpenOptions};

/// What no wait of these tests takes, unless something hangs.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs `f` in a task, with a directory.
fn in_a_task<F>(f: impl FnOnce(&'static Path) -> F)
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let dir = tempfile::tempdir().expect("a directory");
    let system = System::builder().workers(1).build().expect("a System");
    let path: &'static Path = Box::leak(dir.path().into());
    system
        .spawn(f(path))
        .wait()
        .expect("no panic")
        .expect("no error");
}

/// Goal: what is written piece by piece, at the end, at an offset and after a seek is what is read,
/// by owned and by shared handles.
#[test]
fn files_are_read_as_they_were_written() {
    in_a_task(|dir| async move {
        let path = dir.join("file");
        let mut file = File::create(&path).await?;
        file.write_all(b"0123").await?;
        (&file).write_all(b"4567").await?;
        assert_eq!(file.write_at(b"AB", 2).await?, 2);
        file.sync_all().await?;
        file.sync_data().await?;
        let mut log = OpenOptions::new().append(true).open(&path).await?;
        log.write_all(b"8").await?;
        log.close().await?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .await?;
        let mut text = String::new();
        file.read_to_string(&mut text).await?;
        assert_eq!(text, "01AB45678");
        assert_eq!(file.seek(SeekFrom::End(-3)).await?, 6);
        let mut two = [0; 2];
        (&file).read_exact(&mut two).await?;
        assert_eq!(&two, b"67");
        file.set_len(3).await?;
        assert_eq!(file.metadata().await?.len(), 3);
        assert_eq!(file.try_clone().await?.read_at(&mut two, 1).await?, 2);
        assert_eq!((&two, fs::read(&path).await?), (b"1A", b"01A".to_vec()));
        let new = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .await;
        assert_eq!(new.unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
        Ok(())
    });
}

/// Goal: a directory lists what is in it, and errors are `std`'s.
#[test]
fn directories_are_listed() {
    in_a_task(|dir| async move {
        fs::create_dir_all(dir.join("a/b")).await?;
        for name in ["x", "y", "z"] {
            fs::write(dir.join("a").join(name), name).await?;
        }
        fs::symlink("x", dir.join("a/link")).await?;
        let entries = fs::read_dir(dir.join("a")).await?;
        let entries: Vec<_> = entries.try_collect().await?;
        let mut names: Vec<_> = entries.iter().map(|entry| entry.file_name()).collect();
        names.sort_unstable();
        assert_eq!(names, ["b", "link", "x", "y", "z"]);
        assert!(fs::symlink_metadata(dir.join("a/link")).await?.is_symlink());
        assert_eq!(fs::read_to_string(dir.join("a/link")).await?, "x");
        fs::remove_file(dir.join("a/x")).await?;
        assert!(!fs::try_exists(dir.join("a/link")).await?);
        let error = fs::read_dir(dir.join("nothing")).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        assert!(fs::remove_dir(dir.join("a")).await.is_err());
        fs::remove_dir_all(dir.join("a")).await?;
        Ok(())
    });
}

/// Goal: a call that blocks in the kernel holds up nobody else, on the only lane. Method: opening a
/// FIFO waits for its other end, which another task opens.
#[test]
fn a_call_that_blocks_gives_its_lane_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("fifo");
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(
        made.is_ok_and(|status| status.success()),
        "`mkfifo` is a part of every Unix"
    );
    let system = System::builder().workers(1).build().unwrap();
    let other = path.clone();
    let reader = system.spawn(async move {
        let mut text = String::new();
        File::open(&other).await?.read_to_string(&mut text).await?;
        Ok::<_, std::io::Error>(text)
    });
    let writer = system.spawn(async move {
        let mut fifo = OpenOptions::new().write(true).open(&path).await?;
        fifo.write_all(b"through").await
    });
    writer
        .wait_timeout(LIMIT)
        .expect("it ends")
        .unwrap()
        .unwrap();
    let text = reader.wait_timeout(LIMIT).expect("it ends").unwrap();
    assert_eq!(text.unwrap(), "through");
}

/// Goal: a call does nothing before it is polled, and all of it in its first poll.
#[test]
fn a_call_is_one_poll() {
    use futures::FutureExt;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("file");
    drop(fs::write(&path, "text"));
    assert!(!path.exists());
    fs::write(&path, "text")
        .now_or_never()
        .expect("it is ready")
        .unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "text");
}
