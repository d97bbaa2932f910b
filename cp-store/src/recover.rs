//! From what is on disk to what was promised: redb, then the frames it has not absorbed.

use crate::absorb::{Lap, state_at};
use crate::backend::{Directory, File};
use crate::base::{self, Base};
use crate::codec::{Bad, Kind, unseal};
use crate::convert::{identity_from_bytes, record_from_bytes};
use crate::error::OpenError;
use crate::fault::Fault;
use crate::file_set::{Home, on_disk};
use crate::identity::{self, Identity};
use crate::record::LogRecord;
use crate::state::{Change, Pointer, State, Unabsorbed};
use crate::{snapshot_file, wal, wire};
use cp_seam::{ControlPlaneLogIndex, LogPosition};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// All that an image holds.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// redb's state record, as found.
    pub(crate) base: wire::State,
    /// Where the next frame belongs.
    pub(crate) end: wal::End,
    pub(crate) state: State,
    /// The lap that redb names, if the writer had left it.
    pub(crate) left: Option<Lap>,
    /// Of the current lap.
    pub(crate) unabsorbed: Unabsorbed,
}

/// Reads the identity file; `None` if there is none.
pub(crate) fn read_identity(dir: &dyn Directory) -> Result<Option<Home>, Fault> {
    match dir.open(identity::NAME) {
        Ok(file) => Ok(Some(identity_from_bytes(&read_all(file.as_ref())?)?)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn read_all(file: &dyn File) -> io::Result<Vec<u8>> {
    let len = file.len()?.min(identity::LEN_MAX_BYTES);
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Opens a file that must be there.
pub(crate) fn open_file(dir: &dyn Directory, name: &str, home: &Home) -> Result<Arc<dyn File>, OpenError> {
    let opened = dir.open(&on_disk(home.set, name));
    #[cfg(planted_bugs)]
    let opened = opened.map(crate::planted::careless);
    opened.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => OpenError::Lost { file: name.to_owned(), member: home.member.clone() },
        _ => OpenError::Io { file: name.to_owned(), source },
    })
}

/// Opens both segments.
pub(crate) fn open_segments(dir: &dyn Directory, home: &Home) -> Result<[Arc<dyn File>; 2], OpenError> {
    let [even, odd] = wal::NAMES;
    Ok([open_file(dir, even, home)?, open_file(dir, odd, home)?])
}

/// Reads everything, verifies it and changes nothing.
pub(crate) fn recover(
    dir: &dyn Directory,
    home: &Home,
    base: &Base,
    segments: &[Arc<dyn File>; 2],
) -> Result<Recovered, OpenError> {
    let (found, mut state) = from_base(home, base).map_err(|fault| fault.opening(base::NAME))?;
    let mut unabsorbed = Unabsorbed::default();
    let mut left = None;
    let end = wal::replay(segments, home, &found, None, |end, payload| {
        replay_group(&mut state, end.last_seq(), payload, |sealed, change, dropped| {
            unabsorbed.note(sealed, change.append.first().map(|r| r.position.index.0), dropped);
        })?;
        if end.lap() > found.lap && left.is_none() {
            let then = state_at(&state.summary(), end.lap(), end.last_seq(), &found);
            left = Some(Lap { state: then, unabsorbed: std::mem::take(&mut unabsorbed), batch: 0 });
        }
        Ok(())
    })
    .map_err(|(name, fault)| fault.opening(name))?;
    let pointer = Arc::make_mut(&mut state.snapshot);
    let file = open_file(dir, &pointer.file, home)?;
    let body = snapshot_file::verify(file, pointer).map_err(|fault| fault.opening(&pointer.file))?;
    pointer.body = Some(Arc::new(body));
    Ok(Recovered { base: found, end, state, left, unabsorbed })
}

/// Applies the batches of the frame numbered `at`, and shows each of them.
pub(crate) fn replay_group(
    state: &mut State,
    at: u64,
    payload: &[u8],
    mut each: impl FnMut(&wire::Change, Change, bool),
) -> Result<(), Fault> {
    let group: wire::Group = unseal(Kind::Group, payload)?;
    for sealed in &group.changes {
        let change = Change::try_from(sealed)?;
        state.check(&change).map_err(|e| Bad::damaged(format!("write {at} contradicts the state: {e}")))?;
        let dropped = state.apply(&change);
        each(sealed, change, dropped);
    }
    Ok(())
}

fn from_base(identity: &Identity, base: &Base) -> Result<(wire::State, State), Fault> {
    let found = base.state()?;
    if found.cluster != identity.cluster.0 || found.incarnation != identity.incarnation.0 {
        return Err(Bad::damaged("it belongs to another node").into());
    }
    let snapshot = Pointer::try_from(found.snapshot.clone())?;
    let purged = LogPosition::from(found.purged);
    let mut state = State::founded(Arc::new(snapshot));
    state.vote = found.vote.into();
    state.purged = purged;
    let founded = state.last;
    let mut next = purged.index.next();
    base.log()?.scan(|index, sealed| {
        let record = record_from_bytes(sealed)?;
        if index != next.0 || record.position.index != next {
            return Err(Bad::damaged(format!("the log has {} at {index} where {next} belongs", record.position)).into());
        }
        if record.position.index > founded.index {
            state.note(&record);
        } else if state.term_at(next) != Some(record.position.term) {
            return Err(Bad::damaged(format!("{} is not in the history of terms", record.position)).into());
        }
        next = next.next();
        Ok(())
    })?;
    state.committed = ControlPlaneLogIndex(found.committed);
    let end = LogPosition::from(found.last);
    let ordered = purged.index <= founded.index && founded.index <= state.committed && state.committed <= end.index;
    if state.last != end || next != end.index.next() || !ordered {
        return Err(Bad::damaged(format!("the log ends at {}, not at {end}", state.last)).into());
    }
    Ok((found, state))
}

/// The retained records, redb's and those not absorbed.
pub(crate) fn retained(recovered: &Recovered, base: &Base) -> Result<Vec<LogRecord>, Fault> {
    let mut all = BTreeMap::new();
    base.log()?.scan(|index, sealed| {
        all.insert(index, record_from_bytes(sealed)?);
        Ok(())
    })?;
    let left = recovered.left.iter().map(|lap| &lap.unabsorbed);
    for Unabsorbed { cut, records } in left.chain([&recovered.unabsorbed]) {
        cut.iter().for_each(|cut| drop(all.split_off(cut)));
        for (index, sealed) in records {
            all.insert(*index, record_from_bytes(sealed)?);
        }
    }
    let first = recovered.state.purged.index.next().0;
    Ok(all.split_off(&first).into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::founded::founded;
    use crate::open::inspect;
    use crate::store::Inspection;

    /// Opens what a database holds whose state record was edited, its checksums being right.
    fn after(edit: impl FnOnce(&mut wire::State)) -> Result<Inspection, OpenError> {
        let dir = founded();
        let base = Base::open(dir.open(base::NAME).unwrap()).unwrap();
        let mut state = base.state().unwrap();
        edit(&mut state);
        base.absorb(&state, &Unabsorbed::default()).unwrap();
        base.close().unwrap();
        inspect(&dir).map(|(found, ..)| found)
    }

    /// CP-D4: what contradicts itself is not believed, whole as it may look.
    #[test]
    fn a_state_that_contradicts_itself_is_damaged() {
        assert!(after(|_| ()).is_ok());
        type Edit = fn(&mut wire::State);
        let edits: [(&str, Edit); 5] = [
            ("the cluster is another", |state| state.cluster = vec![8; 16]),
            ("the incarnation is another", |state| state.incarnation = 2),
            ("more is committed than there is", |state| state.committed = 9),
            ("the last term is another", |state| state.last.term = 9),
            ("the last index is another", |state| state.last.index = 9),
        ];
        for (what, edit) in edits {
            assert!(matches!(after(edit), Err(OpenError::Damaged { .. })), "{what}");
        }
    }
}
