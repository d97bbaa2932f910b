//! What a cluster file may say.

use super::{ClusterFile, CollectionSpec, MemberSpec};
use cp_catalog::{Addresses, Bound, Bounds, CollectionName, FailureDomain, GroupName, Locality, Mode, SLOT_COUNT};
use cp_seam::{MemberId, MemberKind};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range as Span;
use toml::Spanned;

/// What is wrong, and at which byte.
pub(super) struct Fault {
    pub(super) at: Option<usize>,
    pub(super) why: String,
}

fn fault<T>(span: Span<usize>, why: String) -> Result<T, Fault> {
    Err(Fault { at: Some(span.start), why })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    #[serde(default, rename = "member")]
    members: Vec<RawMember>,
    #[serde(default, rename = "collection")]
    collections: Vec<RawCollection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMember {
    id: Spanned<String>,
    kind: Option<Spanned<String>>,
    peer: Spanned<String>,
    client: Spanned<String>,
    http: Option<Spanned<String>>,
    failure_domain: Spanned<String>,
    weight: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCollection {
    name: Spanned<String>,
    group: Spanned<String>,
    mode: Spanned<String>,
    replication_factor: Option<Spanned<u32>>,
    ranges: Option<Spanned<u16>>,
    split_at: Option<Spanned<Vec<Spanned<String>>>>,
}

impl Raw {
    pub(super) fn check(self) -> Result<ClusterFile, Fault> {
        let mut members: Vec<MemberSpec> = Vec::new();
        let mut ids = BTreeSet::new();
        let mut addresses = BTreeMap::new();
        for raw in self.members {
            let member = raw.check(&mut addresses)?;
            if !ids.insert(member.0.id.clone()) {
                return fault(member.1, format!("member {} is listed twice; remove one of them", member.0.id));
            }
            members.push(member.0);
        }
        let data = members.iter().filter(|m| m.kind == MemberKind::Data).count();
        let mut collections = Vec::new();
        let mut names = BTreeSet::new();
        for raw in self.collections {
            let span = raw.name.span();
            let collection = raw.check(data)?;
            if !names.insert(collection.name.clone()) {
                return fault(span, format!("collection {:?} is listed twice; remove one of them", collection.name));
            }
            collections.push(collection);
        }
        if members.is_empty() {
            return Err(Fault { at: None, why: "no member is listed; add a [[member]] table".to_owned() });
        }
        Ok(ClusterFile { members, collections })
    }
}

impl RawMember {
    fn check(self, addresses: &mut BTreeMap<String, MemberId>) -> Result<(MemberSpec, Span<usize>), Fault> {
        let span = self.id.span();
        let id = match MemberId::new(self.id.get_ref()) {
            Ok(id) => id,
            Err(bad) => return fault(span, bad.to_string()),
        };
        let kind = match self.kind.as_ref().map(|k| (k.get_ref().as_str(), k.span())) {
            None | Some(("data", _)) => MemberKind::Data,
            Some(("witness", _)) => MemberKind::Witness,
            Some((other, at)) => return fault(at, format!("kind {other:?} is unknown; use \"data\" or \"witness\"")),
        };
        let listed = [("peer", Some(&self.peer)), ("client", Some(&self.client)), ("http", self.http.as_ref())];
        for (name, address) in listed.into_iter().filter_map(|(name, address)| Some((name, address?))) {
            if let Err(why) = check_address(address.get_ref()) {
                return fault(address.span(), format!("{name} address {:?} {why}", address.get_ref()));
            }
            if let Some(holder) = addresses.insert(address.get_ref().clone(), id.clone()) {
                let why = format!("address {:?} is already that of {holder}; give {id} its own", address.get_ref());
                return fault(address.span(), why);
            }
        }
        let domain = match FailureDomain::new(self.failure_domain.get_ref()) {
            Ok(domain) => domain,
            Err(bad) => return fault(self.failure_domain.span(), format!("failure_domain: {bad}")),
        };
        let weight = self.weight.as_ref().map_or(100, |w| *w.get_ref());
        if let (0, Some(at)) = (weight, self.weight.map(|w| w.span())) {
            return fault(at, "weight 0 would get no range; use 1 or more, or kind = \"witness\"".to_owned());
        }
        let spec = MemberSpec {
            id,
            kind,
            addresses: Addresses {
                peer: self.peer.into_inner(),
                client: self.client.into_inner(),
                http: self.http.map(Spanned::into_inner).unwrap_or_default(),
            },
            locality: Locality { domain: Some(domain), weight },
        };
        Ok((spec, span))
    }
}

/// Whether `address` is a `host:port`, or what is wrong with it.
pub fn check_address(address: &str) -> Result<(), &'static str> {
    let Some((host, port)) = address.rsplit_once(':') else {
        return Err("has no port; write host:port");
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c == '/') || (host.contains(':') && !bracketed) {
        return Err("has no usable host; write host:port, or [ipv6]:port");
    }
    match port.parse::<u16>() {
        Ok(0) | Err(_) => Err("has no usable port; write host:port with a port from 1 to 65535"),
        Ok(_) => Ok(()),
    }
}

impl RawCollection {
    fn check(self, data_members: usize) -> Result<CollectionSpec, Fault> {
        let name = match CollectionName::new(self.name.get_ref()) {
            Ok(name) => name,
            Err(bad) => return fault(self.name.span(), bad.to_string()),
        };
        let group = match GroupName::new(self.group.get_ref()) {
            Ok(group) => group,
            Err(bad) => return fault(self.group.span(), format!("group: {bad}")),
        };
        let replication_factor = self.replication_factor.as_ref().map_or(1, |f| *f.get_ref());
        if let Some(at) = self.replication_factor.map(|f| f.span())
            && (replication_factor == 0 || usize::try_from(replication_factor).is_ok_and(|f| f > data_members))
        {
            let why = format!(
                "replication_factor {replication_factor} does not fit {data_members} data members; use 1 to {data_members}"
            );
            return fault(at, why);
        }
        let (mode, bounds) = match (self.mode.get_ref().as_str(), self.ranges, self.split_at) {
            ("hash", Some(ranges), None) => (Mode::Hash, even_slots(&ranges)?),
            ("hash", None, _) => {
                return fault(self.mode.span(), "a hash collection needs `ranges`, how many even ranges".to_owned());
            }
            ("hash", _, Some(keys)) => {
                return fault(keys.span(), "split_at is for mode = \"ordered\"; remove it".to_owned());
            }
            ("ordered", None, keys) => (Mode::Ordered, cut_at(keys.map(Spanned::into_inner).unwrap_or_default())?),
            ("ordered", Some(ranges), _) => {
                let why = "`ranges` is for mode = \"hash\"; an ordered collection is cut by `split_at`";
                return fault(ranges.span(), why.to_owned());
            }
            (other, ..) => {
                return fault(self.mode.span(), format!("mode {other:?} is unknown; use \"hash\" or \"ordered\""));
            }
        };
        Ok(CollectionSpec { name, group, mode, replication_factor, bounds })
    }
}

/// The slots in even ranges.
fn even_slots(ranges: &Spanned<u16>) -> Result<Vec<Bounds>, Fault> {
    let count = *ranges.get_ref();
    if count == 0 || count > SLOT_COUNT {
        return fault(ranges.span(), format!("ranges = {count} is impossible; use 1 to {SLOT_COUNT}"));
    }
    let cut = |i: u16| {
        let slot = u32::from(i) * u32::from(SLOT_COUNT) / u32::from(count);
        u16::try_from(slot).unwrap_or(SLOT_COUNT)
    };
    let bounds: Result<Vec<_>, _> = (0..count).map(|i| Bounds::slots(cut(i), cut(i + 1))).collect();
    bounds.or_else(|bad| fault(ranges.span(), bad.to_string()))
}

/// All keys, cut where `keys` begin.
fn cut_at(keys: Vec<Spanned<String>>) -> Result<Vec<Bounds>, Fault> {
    let mut bounds = Vec::new();
    let mut lower = Bound::Min;
    for key in keys {
        let cut = Bound::at(key.get_ref().as_bytes()).and_then(|upper| Bounds::new(lower.clone(), upper));
        match cut {
            Ok(range) => {
                lower = range.upper().clone();
                bounds.push(range);
            }
            Err(bad) if key.get_ref().is_empty() => return fault(key.span(), bad.to_string()),
            Err(_) => {
                let why = format!("split_at must ascend, and {:?} does not follow the key before it", key.get_ref());
                return fault(key.span(), why);
            }
        }
    }
    match Bounds::new(lower, Bound::Max) {
        Ok(last) => bounds.push(last),
        Err(bad) => return Err(Fault { at: None, why: bad.to_string() }),
    }
    Ok(bounds)
}
