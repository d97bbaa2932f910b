//! The name that a certificate proves.

use cp_seam::{BadMemberId, ClusterId, MemberId};
use std::fmt;
use std::str::FromStr;

/// Every name ends so: a domain that no public authority can sign for.
const SUFFIX: &str = "cp.internal";

/// Who a certificate is for. Its `Display` is the certificate's DNS name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerName {
    /// A cluster member: `<member>.<cluster id>.cp.internal`.
    Member {
        /// Its name, the first label.
        member: MemberId,
        /// Its cluster.
        cluster: ClusterId,
    },
    /// An operator or application: `<name>.client.<cluster id>.cp.internal`.
    Client {
        /// Its name, a DNS label.
        name: String,
        /// The cluster it may talk to.
        cluster: ClusterId,
    },
}

impl PeerName {
    /// The name of a member's certificate.
    pub fn member(member: MemberId, cluster: ClusterId) -> Self {
        Self::Member { member, cluster }
    }

    /// The name of a client's certificate; `name` obeys the rules of a member id.
    pub fn client(name: &str, cluster: ClusterId) -> Result<Self, BadMemberId> {
        let label = MemberId::new(name)?;
        Ok(Self::Client { name: label.as_str().to_owned(), cluster })
    }

    /// The cluster it belongs to.
    pub fn cluster(&self) -> ClusterId {
        match self {
            Self::Member { cluster, .. } | Self::Client { cluster, .. } => *cluster,
        }
    }

    /// The first label.
    pub fn label(&self) -> &str {
        match self {
            Self::Member { member, .. } => member.as_str(),
            Self::Client { name, .. } => name,
        }
    }

    /// The member id, if it is a member's name.
    pub fn as_member(&self) -> Option<&MemberId> {
        match self {
            Self::Member { member, .. } => Some(member),
            Self::Client { .. } => None,
        }
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member { member, cluster } => write!(f, "{member}.{cluster}.{SUFFIX}"),
            Self::Client { name, cluster } => write!(f, "{name}.client.{cluster}.{SUFFIX}"),
        }
    }
}

impl FromStr for PeerName {
    type Err = BadPeerName;

    /// Takes exactly what `Display` gives: one spelling per name.
    fn from_str(text: &str) -> Result<Self, BadPeerName> {
        let bad = || BadPeerName { name: text.to_owned() };
        let stem = text.strip_suffix(SUFFIX).and_then(|stem| stem.strip_suffix('.')).ok_or_else(bad)?;
        let (front, cluster) = stem.rsplit_once('.').ok_or_else(bad)?;
        let cluster = ClusterId::from_str(cluster).map_err(|_| bad())?;
        let name = match front.split_once('.') {
            None => Self::member(MemberId::new(front).map_err(|_| bad())?, cluster),
            Some((name, "client")) => Self::client(name, cluster).map_err(|_| bad())?,
            Some(_) => return Err(bad()),
        };
        if name.to_string() == text { Ok(name) } else { Err(bad()) }
    }
}

/// A DNS name that is neither a member's nor a client's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is no name of this system; a member's is <member>.<cluster id>.cp.internal, a client's <name>.client.<cluster id>.cp.internal"
)]
pub struct BadPeerName {
    /// The name.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn members_and_clients_have_one_spelling_each() {
        let cluster = ClusterId([0xab; 16]);
        let member = PeerName::member(MemberId::new("n1").unwrap(), cluster);
        assert_eq!(member.to_string(), format!("n1.{}.cp.internal", "ab".repeat(16)));
        assert_eq!(member.to_string().parse(), Ok(member.clone()));
        let client = PeerName::client("alice", cluster).unwrap();
        assert_eq!(client.to_string(), format!("alice.client.{}.cp.internal", "ab".repeat(16)));
        assert_eq!(client.to_string().parse(), Ok(client));
        // A member may be called "client"; a client is never taken for it.
        let odd = PeerName::member(MemberId::new("client").unwrap(), cluster);
        assert_eq!(odd.to_string().parse(), Ok(odd));

        for bad in [
            member.to_string().to_uppercase(),
            format!("n1.{}.cp.internal", "AB".repeat(16)),
            format!("{member}."),
            format!("x.{member}"),
            format!("n1.{}.example.org", "ab".repeat(16)),
            "n1.cp.internal".to_owned(),
            format!(".{}.cp.internal", "ab".repeat(16)),
            format!("*.{}.cp.internal", "ab".repeat(16)),
            format!("n1{}.cp.internal", "ab".repeat(16)),
            String::new(),
        ] {
            assert!(bad.parse::<PeerName>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_comes_back_unchanged(text in "\\PC{0,80}") {
            if let Ok(name) = text.parse::<PeerName>() {
                prop_assert_eq!(name.to_string(), text);
            }
        }

        #[test]
        fn any_label_comes_back(label in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", cluster: [u8; 16]) {
            let member = PeerName::member(MemberId::new(&label).unwrap(), ClusterId(cluster));
            prop_assert_eq!(member.to_string().parse(), Ok(member));
            let client = PeerName::client(&label, ClusterId(cluster)).unwrap();
            prop_assert_eq!(client.to_string().parse(), Ok(client));
        }
    }
}
