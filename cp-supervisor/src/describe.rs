//! Commands in words, for logs and for `watch`.

use cp_catalog::{Command, MembershipCommand, OwnershipCommand};

/// What `command` is called and what it is about.
pub fn describe(command: &Command) -> (&'static str, String) {
    match command {
        Command::Membership(command) => membership(command),
        Command::Ownership(command) => ownership(command),
    }
}

fn membership(command: &MembershipCommand) -> (&'static str, String) {
    match command {
        MembershipCommand::Admit(admission) => ("admit", admission.member.to_string()),
        MembershipCommand::Joined(joining) => ("joined", joining.member.to_string()),
        MembershipCommand::SetVoting { member } => ("set_voting", member.to_string()),
        MembershipCommand::Demote { member, .. } => ("demote", member.to_string()),
        MembershipCommand::Drain { member } => ("drain", member.to_string()),
        MembershipCommand::Undrain { member } => ("undrain", member.to_string()),
        MembershipCommand::Remove { member, .. } => ("remove", member.to_string()),
        MembershipCommand::ForceRemove { member, .. } => ("force_remove", member.to_string()),
        MembershipCommand::Replace { member, .. } => ("replace", member.to_string()),
        MembershipCommand::SetAddresses { member, .. } => ("set_addresses", member.to_string()),
        MembershipCommand::SetLocality { member, .. } => ("set_locality", member.to_string()),
        MembershipCommand::SetFeatures { member, .. } => ("set_features", member.to_string()),
        MembershipCommand::Grant { client, .. } => ("grant", client.to_string()),
        MembershipCommand::RaiseFeatureLevel { to } => ("raise_feature_level", to.to_string()),
    }
}

fn ownership(command: &OwnershipCommand) -> (&'static str, String) {
    match command {
        OwnershipCommand::CreateCollection { collection, .. } => ("create_collection", collection.to_string()),
        OwnershipCommand::AssignAuthority { group, .. } => ("assign_authority", group.to_string()),
        OwnershipCommand::ReassignAuthority { group, .. } => ("reassign_authority", group.to_string()),
        OwnershipCommand::CreateRange(new) => ("create_range", new.range.to_string()),
        OwnershipCommand::Handoff(transfer) => ("handoff", transfer.range.to_string()),
        OwnershipCommand::Promote(transfer) => ("promote", transfer.range.to_string()),
        OwnershipCommand::BeginMove { range, .. } => ("begin_move", range.to_string()),
        OwnershipCommand::AdvanceMove { range, .. } => ("advance_move", range.to_string()),
        OwnershipCommand::CompleteMove { range, .. } => ("complete_move", range.to_string()),
        OwnershipCommand::ResolveMove { range, .. } => ("resolve_move", range.to_string()),
        OwnershipCommand::AbortMove { range, .. } => ("abort_move", range.to_string()),
        OwnershipCommand::Split { range, .. } => ("split", range.to_string()),
        OwnershipCommand::Merge { survivor, .. } => ("merge", survivor.to_string()),
        OwnershipCommand::AddReplica(edit) => ("add_replica", edit.range.to_string()),
        OwnershipCommand::RemoveReplica(edit) => ("remove_replica", edit.range.to_string()),
        OwnershipCommand::AddArchive(edit) => ("add_archive", edit.range.to_string()),
        OwnershipCommand::RemoveArchive(edit) => ("remove_archive", edit.range.to_string()),
        OwnershipCommand::Force { range, .. } => ("force", range.to_string()),
        OwnershipCommand::RestoreArchive(restore) => ("restore_archive", restore.range.to_string()),
        OwnershipCommand::SetPlacement { range, .. } => ("set_placement", range.to_string()),
    }
}
