//! The feature level: what the cluster as a whole may use.
//!
//! It is part of the replicated state, and is raised only when every member that has
//! joined supports it, so that no member ever meets what its release does not know. It
//! never falls: a release that does not support it cannot run a member any more.

use crate::apply::Decision;
use crate::catalog::Catalog;
use crate::edit::Edit;
use crate::member::{Features, Join};
use crate::refusal::{MemberRefusal, Refusal};
use crate::verdict::Effect;
use cp_seam::MemberId;

/// The feature level that this release supports; it supports all below too. Level 2 brought
/// grants, the audit, and forced transitions.
pub const FEATURE_LEVEL: u32 = 2;

impl Catalog {
    /// The level that every member supports, and that may be used.
    pub fn feature_level(&self) -> u32 {
        self.meta.feature_level
    }

    pub(crate) fn raise_feature_level(&self, to: u32) -> Decision {
        let current = self.feature_level();
        if to < current {
            return Err(Refusal::Member(MemberRefusal::LevelPassed { current }));
        }
        let joined = self.members().filter(|member| member.join == Join::Joined);
        for member in joined {
            supports(&member.id, &member.features, to)?;
        }
        let edits = if to == current { Vec::new() } else { vec![Edit::RaiseFeatureLevel(to)] };
        Ok((Effect::FeatureLevelAt { level: to }, edits))
    }
}

/// Refuses a member whose release does not support `level`.
pub(crate) fn supports(member: &MemberId, features: &Features, level: u32) -> Result<(), Refusal> {
    let supported = features.level;
    if supported >= level {
        return Ok(());
    }
    Err(Refusal::Member(MemberRefusal::UnsupportedLevel { member: member.clone(), supported, level }))
}
