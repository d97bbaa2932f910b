use super::*;

fn closed_under(id: u64, epoch: u64) -> ClosedGate {
    let range = RangeKey::new(CollectionName::new("books").unwrap(), RangeId(id));
    ClosedGate { range, epoch: Epoch(epoch), last: DataPosition { term: 2, lsn: epoch } }
}

fn closed(id: u64) -> ClosedGate {
    closed_under(id, 1 << 48 | id)
}

#[tokio::test]
async fn what_was_kept_is_there_again_and_half_a_line_is_not() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("closed");
    for (number, torn) in [(1, "0123"), (2, ""), (3, "")] {
        let file = ClosureFile::open(&path).unwrap();
        file.keep(&closed(number)).await.unwrap();
        assert_eq!(file.kept().await.unwrap(), (1..=number).map(closed).collect::<Vec<_>>());
        File::options().append(true).open(&path).unwrap().write_all(torn.as_bytes()).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("books", "boots", 1)).unwrap();
    let file = ClosureFile::open_with(&path, 1).unwrap();
    let damaged = file.kept().await.unwrap_err().to_string();
    assert!(damaged.contains("line 1") && damaged.contains("damaged"), "{damaged}");
    // Nor is it rewritten without the line.
    file.keep(&closed(4)).await.unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 4);
}

#[tokio::test]
async fn after_an_append_that_failed_none_is_taken_before_the_file_is_opened_again() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("closed");
    let file = ClosureFile::open(&path).unwrap();
    let [first, second, third] = [1, 2, 3].map(closed);
    file.keep(&first).await.unwrap();
    // The disk takes half a line, and then no more.
    let writable = std::mem::replace(&mut file.end().file, File::open(&path).unwrap());
    (&writable).write_all(b"0123").unwrap();
    file.keep(&second).await.unwrap_err();
    file.end().file = writable;
    let refused = file.keep(&third).await.unwrap_err().to_string();
    assert!(refused.contains("open it again"), "{refused}");
    drop(file);
    let file = ClosureFile::open(&path).unwrap();
    file.keep(&third).await.unwrap();
    assert_eq!(file.kept().await.unwrap(), [first, third]);
}

#[tokio::test]
async fn nobody_else_opens_it_meanwhile_or_cuts_what_is_being_appended() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("closed");
    let file = ClosureFile::open(&path).unwrap();
    file.end().file.write_all(b"0123").unwrap();
    let refused = ClosureFile::open(&path).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldBlock, "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), b"0123");
    drop(file);
    ClosureFile::open(&path).unwrap();
}

/// Three ranges that come and go for ever.
#[tokio::test]
async fn the_file_is_as_long_as_what_counts_in_it() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("closed");
    let lines = || std::fs::read_to_string(&path).unwrap().lines().count();
    let file = ClosureFile::open_with(&path, 1).unwrap();
    let before = File::open(&path).unwrap();
    for epoch in 1..=100 {
        // One that comes late does not take the place of a newer one.
        for gate in [closed_under(epoch % 3, epoch), closed_under(epoch % 3, epoch - epoch.min(3))] {
            file.keep(&gate).await.unwrap();
        }
        assert!(lines() <= 3 * LINES_PER_RANGE, "{} lines after {epoch}", lines());
    }
    let expected: Vec<_> = [(0, 99), (1, 100), (2, 98)].map(|(id, epoch)| closed_under(id, epoch)).into();
    assert_eq!(newest(file.kept().await.unwrap()).into_values().collect::<Vec<_>>(), expected);
    // The lock is that of the file that is there now, and whoever had found the old one sees it.
    assert_eq!(ClosureFile::open(&path).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(!is_at(&before, &path).unwrap());
    drop(file);
    let file = ClosureFile::open(&path).unwrap();
    assert_eq!(newest(file.kept().await.unwrap()).into_values().collect::<Vec<_>>(), expected);
}

/// The process is killed before each step of a rewrite, and after the last.
#[tokio::test]
async fn a_rewrite_that_is_killed_loses_no_gate() {
    const STEPS: [Step; 4] = [Step::Write, Step::Sync, Step::Rename, Step::SyncDirectory];
    for killed in STEPS.map(Some).into_iter().chain([None]) {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("closed");
        let file = ClosureFile::open_with(&path, 8).unwrap();
        let (mut seen, mut left) = (Vec::new(), None);
        for epoch in 1..=8 {
            let mut told = |step| {
                seen.push(step);
                if Some(step) != killed {
                    return Ok(());
                }
                left = std::fs::read(beside(&path)).ok();
                Err(io::Error::other("killed"))
            };
            file.append(&line(&closed_under(epoch % 2, epoch)), &mut told).unwrap();
        }
        // One that is killed removes nothing.
        left.into_iter().for_each(|left| std::fs::write(beside(&path), left).unwrap());
        let upto = STEPS.iter().position(|step| Some(*step) == killed).map_or(4, |at| at + 1);
        assert_eq!(seen, STEPS[..upto], "{killed:?}");
        if killed == Some(Step::SyncDirectory) {
            // Which of the two files a power loss leaves is not known, so nothing is added to either.
            file.keep(&closed_under(0, 9)).await.unwrap_err();
        }
        drop(file);
        let file = ClosureFile::open_with(&path, 8).unwrap();
        let kept = newest(file.kept().await.unwrap());
        assert_eq!(kept.into_values().collect::<Vec<_>>(), [closed_under(0, 8), closed_under(1, 7)], "{killed:?}");
        assert!(!beside(&path).exists(), "{killed:?}");
        file.keep(&closed_under(1, 9)).await.unwrap();
        let kept = newest(file.kept().await.unwrap());
        assert_eq!(kept.into_values().collect::<Vec<_>>(), [closed_under(0, 8), closed_under(1, 9)], "{killed:?}");
    }
}

/// CP-D4: a sync is not believed of a file of which one has failed, also if that file could not be removed.
#[tokio::test]
async fn what_a_failed_rewrite_leaves_is_not_written_to_again() {
    for (fails, stays) in [(Step::Sync, false), (Step::Sync, true), (Step::Rename, false), (Step::Rename, true)] {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("closed");
        let aside = dir.path().join("aside");
        let file = ClosureFile::open_with(&path, 8).unwrap();
        let mut failed = None;
        for epoch in 1..=16 {
            let mut told = |step| {
                if step != fails || failed.is_some() {
                    return Ok(());
                }
                failed = Some(File::open(beside(&path))?);
                std::fs::hard_link(beside(&path), &aside)?;
                Err(io::Error::other("the disk failed"))
            };
            file.append(&line(&closed_under(epoch % 2, epoch)), &mut told).unwrap();
            if epoch == 8 {
                assert!(!beside(&path).exists(), "{fails:?}");
                if stays {
                    std::fs::rename(&aside, beside(&path)).unwrap();
                }
            }
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2, "it was rewritten the second time");
        assert!(!is_at(&failed.unwrap(), &path).unwrap(), "{fails:?}, {stays}");
        let kept = newest(file.kept().await.unwrap());
        assert_eq!(kept.into_values().collect::<Vec<_>>(), [closed_under(0, 16), closed_under(1, 15)]);
    }
}
