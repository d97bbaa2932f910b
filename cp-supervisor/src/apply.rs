//! Brings a cluster to what a cluster file says. Idempotent: what is there already is left as it is.

use crate::client::{Client, ClientError};
use crate::cluster_file::{ClusterFile, CollectionSpec, MemberSpec};
use crate::session::NoRandomness;
use crate::supervisor::Decision;
use crate::token::{Secret, Token};
use cp_catalog::{
    Admission, Copies, Effect, Join, Member, MembershipCommand, NewRange, OwnershipCommand, Placement, RangeId,
    RangeKey, Refusal, ShapeRefusal, Verdict,
};
use cp_seam::{MemberId, MemberKind};
use futures::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeSet;

/// How many ranges are created at once; within what one client may have in flight.
const CONCURRENCY: usize = 16;

/// What was done, and what is still to do.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// Members admitted now, with the tokens that let them in.
    pub admitted: Vec<(MemberId, Token)>,
    /// Members of the file that have not joined yet. Ranges are created once none is left.
    pub awaited: Vec<MemberId>,
    /// Collections created now.
    pub collections_created: usize,
    /// Ranges created now.
    pub ranges_created: usize,
    /// Ranges that were there, or whose keys others have by now.
    pub ranges_kept: usize,
}

/// The file was not applied, or not to its end. Applying it again goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The cluster was not reached, or did not serve.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The cluster refused a part of it.
    #[error("{what} was refused")]
    Refused {
        /// Which part.
        what: String,
        /// Why.
        #[source]
        refusal: Box<Refusal>,
    },
    /// The cluster is otherwise already.
    #[error("{what}; correct the file, or the cluster first")]
    Conflict {
        /// What differs.
        what: String,
    },
    /// No tokens.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// Applies `file` to the cluster of `client`: members first, then collections, and
/// ranges once every member of the file has joined.
pub async fn apply(client: &Client, file: &ClusterFile) -> Result<Applied, ApplyError> {
    let mut applied = Applied::default();
    admit(client, &file.members, &mut applied).await?;
    let known = client.collections().await?.value;
    for spec in &file.collections {
        match known.iter().find(|collection| collection.name == spec.name) {
            Some(there) if there.group != spec.group || there.mode != spec.mode => {
                let what = format!("collection {} is of group {} and mode {}", there.name, there.group, there.mode);
                return Err(ApplyError::Conflict { what });
            }
            Some(_) => {}
            None => {
                let command = OwnershipCommand::CreateCollection {
                    collection: spec.name.clone(),
                    group: spec.group.clone(),
                    mode: spec.mode,
                };
                done(client.submit(command).await?, || format!("collection {}", spec.name))?;
                applied.collections_created += 1;
            }
        }
    }
    if applied.awaited.is_empty() {
        let members = client.members().await?.value;
        create_ranges(client, file, &members, &mut applied).await?;
    }
    Ok(applied)
}

fn done(decision: Decision, what: impl FnOnce() -> String) -> Result<Effect, ApplyError> {
    match decision.verdict {
        Verdict::Done(effect) => Ok(effect),
        Verdict::Refused(refusal) => Err(ApplyError::Refused { what: what(), refusal: Box::new(refusal) }),
    }
}

async fn admit(client: &Client, specs: &[MemberSpec], applied: &mut Applied) -> Result<(), ApplyError> {
    let known = client.members().await?.value;
    for spec in specs {
        let there = known.iter().find(|member| member.id == spec.id);
        match there {
            Some(member) if member.kind != spec.kind => {
                let what = format!("{} is a {} member", member.id, kind_name(member.kind));
                return Err(ApplyError::Conflict { what });
            }
            Some(member) if member.join == Join::Expelled => {
                return Err(ApplyError::Conflict { what: format!("{} is being removed by force", member.id) });
            }
            Some(member) if member.join == Join::Joined => {}
            Some(member) if member.join != Join::Fenced => applied.awaited.push(member.id.clone()),
            _ => {
                let secret = Secret::new()?;
                let admission = Admission {
                    member: spec.id.clone(),
                    kind: spec.kind,
                    token_hash: secret.hash(),
                    locality: spec.locality.clone(),
                    standby: false,
                };
                let decision = client.submit(MembershipCommand::Admit(admission)).await?;
                if let Effect::Admitted { member, incarnation } = done(decision, || format!("member {}", spec.id))? {
                    applied.admitted.push((member, secret.for_life(incarnation)));
                }
                applied.awaited.push(spec.id.clone());
            }
        }
    }
    Ok(())
}

fn kind_name(kind: MemberKind) -> &'static str {
    match kind {
        MemberKind::Data => "data",
        MemberKind::Witness => "witness",
    }
}

async fn create_ranges(
    client: &Client,
    file: &ClusterFile,
    members: &[Member],
    applied: &mut Applied,
) -> Result<(), ApplyError> {
    let there: BTreeSet<RangeKey> = client.ranges(None).await?.value.into_iter().map(|(key, _)| key).collect();
    let holders: Vec<&Member> = members.iter().filter(|member| member.eligibility().is_ok()).collect();
    let wanted = file.collections.iter().flat_map(ranges);
    let (kept, missing): (Vec<_>, Vec<_>) = wanted.enumerate().partition(|(_, (key, ..))| there.contains(key));
    applied.ranges_kept += kept.len();
    let commands = missing.into_iter().filter_map(|(turn, (key, spec, bounds))| {
        let (owner, replicas) = place(&holders, turn, spec.replication_factor)?;
        let placement = Placement { replication_factor: spec.replication_factor, ..Placement::default() };
        let archives = Copies::default();
        Some(NewRange { range: key, mode: spec.mode, bounds, owner, replicas, archives, placement })
    });
    let created: Vec<bool> = stream::iter(commands)
        .map(|range| async move {
            let name = range.range.clone();
            let decision = client.submit(OwnershipCommand::CreateRange(range)).await?;
            match decision.verdict {
                Verdict::Done(_) => Ok(true),
                // Split, merged or made by somebody else meanwhile: the cluster has moved on, the file has not.
                Verdict::Refused(
                    Refusal::Shape(ShapeRefusal::RangeExists { .. })
                    | Refusal::Shape(ShapeRefusal::RetiredId { .. })
                    | Refusal::Shape(ShapeRefusal::Overlap { .. }),
                ) => Ok(false),
                Verdict::Refused(refusal) => {
                    Err(ApplyError::Refused { what: format!("range {name}"), refusal: Box::new(refusal) })
                }
            }
        })
        .buffer_unordered(CONCURRENCY)
        .try_collect()
        .await?;
    let new = created.iter().filter(|new| **new).count();
    applied.ranges_created += new;
    applied.ranges_kept += created.len() - new;
    Ok(())
}

fn ranges(spec: &CollectionSpec) -> impl Iterator<Item = (RangeKey, &CollectionSpec, cp_catalog::Bounds)> {
    let ids = (1..).map(RangeId);
    ids.zip(&spec.bounds).map(move |(id, bounds)| (RangeKey::new(spec.name.clone(), id), spec, bounds.clone()))
}

/// The owner of the range whose turn it is, and its replicas: round robin, copies
/// in other failure domains first. `None` if nobody may hold a range.
fn place(holders: &[&Member], turn: usize, replication_factor: u32) -> Option<(MemberId, Copies)> {
    let count = holders.len();
    let at = turn.checked_rem(count)?;
    let owner = holders.get(at)?;
    let mut others: Vec<&&Member> = holders.iter().cycle().skip(at + 1).take(count.saturating_sub(1)).collect();
    others.sort_by_key(|member| member.locality.domain == owner.locality.domain);
    let copies = usize::try_from(replication_factor.saturating_sub(1)).unwrap_or(usize::MAX);
    Some((owner.id.clone(), others.into_iter().take(copies).map(|member| member.id.clone()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cp_catalog::{Addresses, FailureDomain, Features, Locality, Service, Voting};
    use cp_seam::Incarnation;

    fn member(id: &str, domain: &str) -> Member {
        Member {
            id: MemberId::new(id).unwrap(),
            incarnation: Incarnation(1),
            kind: MemberKind::Data,
            voting: Voting::Voting,
            service: Service::Active,
            join: Join::Joined,
            addresses: Addresses::default(),
            locality: Locality { domain: Some(FailureDomain::new(domain).unwrap()), weight: 1 },
            features: Features::default(),
        }
    }

    #[test]
    fn copies_go_to_other_failure_domains_first_and_turns_go_round() {
        let all = [member("a", "x"), member("b", "x"), member("c", "y")];
        let holders: Vec<&Member> = all.iter().collect();
        let names = |turn, factor| {
            let (owner, copies) = place(&holders, turn, factor).unwrap();
            (owner.to_string(), copies.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(names(0, 2), ("a".to_owned(), vec!["c".to_owned()]));
        assert_eq!(names(1, 2), ("b".to_owned(), vec!["c".to_owned()]));
        assert_eq!(names(2, 3).1, ["a", "b"]);
        assert_eq!(names(3, 9), ("a".to_owned(), vec!["b".to_owned(), "c".to_owned()]));
        assert_eq!(place(&[], 0, 1), None);
    }
}
