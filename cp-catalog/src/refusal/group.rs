//! What collections and authorities are already.

use super::text;
use crate::id::{CollectionName, Fence, GroupName};
use crate::range::CollectionSpec;
use cp_seam::MemberId;

/// A collection or an authority is not as the writer believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupRefusal {
    /// No collection has this name.
    #[error("collection {collection} does not exist; create it first")]
    UnknownCollection {
        /// The name.
        collection: CollectionName,
    },
    /// The collection exists with another group or mode.
    #[error("collection {collection} exists {}", text::spec(.exists))]
    CollectionDiffers {
        /// The name.
        collection: CollectionName,
        /// The one that exists.
        exists: Option<CollectionSpec>,
    },
    /// The group has an authority.
    #[error("group {group} is under {holder} at {fence}; reassign it under that fence")]
    AuthorityExists {
        /// The group.
        group: GroupName,
        /// Who decides.
        holder: MemberId,
        /// Its present fence.
        fence: Fence,
    },
    /// The group has no authority.
    #[error("group {group} has no placement authority; assign one")]
    UnknownAuthority {
        /// The group.
        group: GroupName,
    },
    /// The fence of an authority is stale.
    #[error("the authority of group {group} is {holder} at {fence} now; read it again")]
    StaleAuthority {
        /// The group.
        group: GroupName,
        /// Who decides.
        holder: MemberId,
        /// Its present fence.
        fence: Fence,
    },
}
