use super::*;
use crate::monitor::Moment;

fn disk() -> Disk {
    Disk::new(5, "test", Latency::default())
}

fn read(dir: &dyn Directory, name: &str) -> io::Result<Vec<u8>> {
    let file = dir.open(name)?;
    let mut out = vec![0; usize::try_from(file.len()?).unwrap()];
    file.read_at(0, &mut out)?;
    Ok(out)
}

fn fresh(disk: &Disk) -> Arc<dyn Directory> {
    disk.mount(Arc::new(Life::new(0, 9)))
}

#[test]
fn a_crash_keeps_what_was_synced_and_nothing_else() {
    let disk = disk();
    let dir = fresh(&disk);
    let file = dir.create("log").unwrap();
    file.write_at(0, b"synced").unwrap();
    file.sync_data().unwrap();
    disk.crash(Survivors::Nothing);
    assert!(fresh(&disk).list().unwrap().is_empty(), "the name was never synced");

    let dir = fresh(&disk);
    let file = dir.create("log").unwrap();
    file.write_at(0, b"synced").unwrap();
    file.sync_data().unwrap();
    dir.sync().unwrap();
    file.write_at(0, b"LOSTED").unwrap();
    file.set_len(100).unwrap();
    assert_eq!(read(&*dir, "log").unwrap().len(), 100, "the living see everything");
    assert_eq!(read(&*fresh(&disk.synced_only()), "log").unwrap(), b"synced");
    disk.crash(Survivors::Nothing);
    assert_eq!(read(&*fresh(&disk), "log").unwrap(), b"synced");
    assert!(disk.effects().lost_changes >= 2);
}

#[test]
fn renames_and_removals_wait_for_the_directory() {
    let disk = disk();
    let dir = fresh(&disk);
    for (name, bytes) in [("old", b"1"), ("new", b"2")] {
        let file = dir.create(name).unwrap();
        file.write_at(0, bytes).unwrap();
        file.sync_data().unwrap();
    }
    dir.sync().unwrap();
    dir.rename("new", "old").unwrap();
    assert_eq!(read(&*fresh(&disk.synced_only()), "old").unwrap(), b"1");
    dir.sync().unwrap();
    assert_eq!(read(&*fresh(&disk.synced_only()), "old").unwrap(), b"2");
    dir.remove("old").unwrap();
    disk.crash(Survivors::Nothing);
    assert_eq!(fresh(&disk).list().unwrap(), ["old"]);
}

#[test]
fn handles_of_an_ended_life_fail() {
    let disk = disk();
    let life = Arc::new(Life::new(0, 1));
    let dir = disk.mount(Arc::clone(&life));
    let file = dir.create("log").unwrap();
    let _guard = dir.lock().unwrap();
    assert_eq!(dir.lock().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    life.finish();
    assert!(file.write_at(0, b"x").is_err() && file.sync_data().is_err() && file.len().is_err());
    assert!(dir.list().is_err() && dir.sync().is_err());
    disk.crash(Survivors::Nothing);
    assert!(fresh(&disk).lock().is_ok(), "a crash frees the lock");
}

#[test]
fn injected_failures_are_seen_once_and_counted() {
    let disk = disk();
    let dir = fresh(&disk);
    let file = dir.create("log").unwrap();
    dir.sync().unwrap();
    disk.with_faults(|f| f.fail_write = true);
    assert_eq!(file.write_at(0, b"x").unwrap_err().raw_os_error(), Some(5));
    file.write_at(0, b"kept").unwrap();
    disk.with_faults(|f| (f.fail_sync, f.drop_dirty) = (true, true));
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    assert_eq!(read(&*dir, "log").unwrap(), b"kept");
    assert_eq!(read(&*fresh(&disk.synced_only()), "log").unwrap(), b"", "the retried sync wrote nothing");
    disk.with_faults(|f| f.full = true);
    assert_eq!(file.write_at(4, b"more").unwrap_err().raw_os_error(), Some(28));
    assert!(file.write_at(0, b"over").is_ok(), "overwriting needs no room");
    assert_eq!(disk.effects().failed_operations, 3);
}

#[test]
fn a_lying_disk_loses_what_it_said_was_safe() {
    let disk = disk();
    let dir = fresh(&disk);
    let file = dir.create("log").unwrap();
    dir.sync().unwrap();
    disk.with_faults(|f| f.lies = true);
    file.write_at(0, b"gone").unwrap();
    file.sync_data().unwrap();
    assert_eq!(read(&*fresh(&disk.synced_only()), "log").unwrap(), b"");
}

#[test]
fn every_kind_of_survivor_happens() {
    let outcome = |survivors, seed| {
        let disk = Disk::new(seed, "s", Latency::default());
        let dir = fresh(&disk);
        let file = dir.create("log").unwrap();
        dir.sync().unwrap();
        for page in 0..4_u8 {
            file.write_at(u64::from(page) * 1024, &[page + 1; 1024]).unwrap();
        }
        disk.crash(survivors);
        let bytes = read(&*fresh(&disk), "log").unwrap();
        bytes.chunks(512).map(|sector| sector[0]).collect::<Vec<_>>()
    };
    assert_eq!(outcome(Survivors::Everything, 1), [1, 1, 2, 2, 3, 3, 4, 4]);
    let seen = |survivors| (0..64).map(|seed| outcome(survivors, seed)).collect::<std::collections::BTreeSet<_>>();
    assert!(seen(Survivors::Prefix).contains(&vec![1, 1, 2, 2]));
    assert!(
        seen(Survivors::Subset).contains(&vec![0, 0, 2, 2])
            || seen(Survivors::Subset).contains(&vec![1, 1, 0, 0, 3, 3])
    );
    assert!(seen(Survivors::Torn { unit_bytes: 512 }).contains(&vec![1, 1, 2]));
}

#[test]
fn a_crash_can_be_aimed_at_an_operation() {
    let disk = disk();
    let life = Arc::new(Life::new(0, 1));
    let dir = disk.mount(Arc::clone(&life));
    let file = dir.create("log").unwrap();
    dir.sync().unwrap();
    disk.with_faults(|f| f.crash_after = Some(1));
    file.write_at(0, b"x").unwrap();
    assert!(file.sync_data().is_err() && !life.goes_on());
}

#[test]
fn a_crash_can_be_aimed_at_either_side_of_a_sync() {
    for (moment, left) in [(Moment::Before, &b""[..]), (Moment::After, &b"x"[..])] {
        let disk = disk();
        let life = Arc::new(Life::new(0, 1));
        let dir = disk.mount(Arc::clone(&life));
        let file = dir.create("log").unwrap();
        dir.sync().unwrap();
        disk.with_faults(|f| f.crash_at_sync = Some((1, moment)));
        file.sync_data().unwrap();
        file.write_at(0, b"x").unwrap();
        assert!(file.sync_data().is_err() && !life.goes_on());
        disk.crash(Survivors::Nothing);
        assert_eq!(read(&*fresh(&disk), "log").unwrap(), left);
        assert_eq!(disk.effects().cut_syncs, 1);
    }
}

#[test]
fn lost_and_misdirected_writes_are_seen_until_the_crash() {
    let disk = disk();
    let dir = fresh(&disk);
    let file = dir.create("log").unwrap();
    file.write_at(0, &[1; 8192]).unwrap();
    dir.sync().unwrap();
    file.sync_data().unwrap();
    disk.with_faults(|f| f.lose_write = true);
    file.write_at(0, &[2; 512]).unwrap();
    disk.with_faults(|f| f.misdirect_write = true);
    file.write_at(0, &[3; 512]).unwrap();
    file.sync_data().unwrap();
    assert_eq!(read(&*dir, "log").unwrap()[..512], [3; 512]);
    disk.crash(Survivors::Everything);
    let bytes = read(&*fresh(&disk), "log").unwrap();
    assert_eq!(bytes[..512], [1; 512]);
    assert_eq!(bytes.iter().filter(|byte| **byte == 3).count(), 512);
    assert_eq!((disk.effects().lost_writes, disk.effects().misdirected_writes), (1, 1));
    assert!(disk.broke_its_word());
}

#[test]
fn files_are_cut_short_and_go_missing_and_reads_fail() {
    let disk = disk();
    let dir = fresh(&disk);
    let file = dir.create("log").unwrap();
    file.write_at(0, &[1; 100]).unwrap();
    file.sync_data().unwrap();
    dir.sync().unwrap();
    disk.with_faults(|f| f.fail_next_read = true);
    assert!(read(&*dir, "log").is_err() && read(&*dir, "log").is_ok());
    let at = disk.truncate("log").unwrap();
    assert_eq!(read(&*fresh(&disk), "log").unwrap().len() as u64, at);
    assert!(disk.lose("log"));
    assert!(fresh(&disk).list().unwrap().is_empty() && disk.files().is_empty());
    assert_eq!((disk.effects().truncated_files, disk.effects().missing_files), (1, 1));
}
