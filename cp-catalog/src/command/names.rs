//! The names in a command, as the state has them.

use super::{CopyEdit, Evidence, NewRange, OwnershipCommand, Transfer};
use crate::catalog::Catalog;
use crate::codec::Names;
use crate::id::CollectionName;
use cp_seam::MemberId;

impl Names for Catalog {
    fn member(&self, name: &str) -> Option<MemberId> {
        self.holders.entry(name).map_or_else(|| MemberId::new(name).ok(), |(own, _)| Some(own.clone()))
    }

    fn collection(&self, name: &str) -> Option<CollectionName> {
        let own = self.collections.named(name).map(|collection| collection.spec.name.clone());
        own.or_else(|| CollectionName::new(name).ok())
    }
}

impl Catalog {
    /// Puts the state's own names in place of equal ones in `command`.
    pub(crate) fn share_names(&self, command: &mut OwnershipCommand) {
        use OwnershipCommand as Command;
        match command {
            Command::CreateCollection { .. } | Command::AssignAuthority { .. } | Command::ReassignAuthority { .. } => {}
            Command::CreateRange(NewRange { range, owner, .. }) => self.share(&mut range.collection, [owner]),
            Command::Handoff(transfer) | Command::Promote(transfer) => {
                let Transfer { range, from, to, evidence, .. } = transfer;
                self.share(&mut range.collection, [from, to].into_iter().chain(candidate(evidence)));
            }
            Command::BeginMove { range, target: member, .. } | Command::Force { range, to: member, .. } => {
                self.share(&mut range.collection, [member]);
            }
            Command::CompleteMove { range, evidence, .. } | Command::ResolveMove { range, evidence, .. } => {
                self.share(&mut range.collection, candidate(evidence));
            }
            Command::AdvanceMove { range, .. }
            | Command::AbortMove { range, .. }
            | Command::Split { range, .. }
            | Command::Merge { survivor: range, .. }
            | Command::SetPlacement { range, .. } => self.share(&mut range.collection, []),
            Command::AddReplica(edit)
            | Command::RemoveReplica(edit)
            | Command::AddArchive(edit)
            | Command::RemoveArchive(edit) => {
                let CopyEdit { range, member, .. } = edit;
                self.share(&mut range.collection, [member]);
            }
            Command::RestoreArchive(restore) => self.share(&mut restore.range.collection, [&mut restore.archive]),
        }
    }

    fn share<'a>(&self, name: &mut CollectionName, members: impl IntoIterator<Item = &'a mut MemberId>) {
        if let Some(spec) = self.collection(name) {
            name.clone_from(&spec.name);
        }
        for member in members {
            if let Some((own, _)) = self.holders.entry(member.as_str()) {
                member.clone_from(own);
            }
        }
    }
}

fn candidate(evidence: &mut Option<Evidence>) -> Option<&mut MemberId> {
    evidence.as_mut().map(|evidence| &mut evidence.candidate)
}
