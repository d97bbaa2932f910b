//! A node in the process of its test.

use super::{CLUSTER, PATIENCE, Place, Site};
use cp_catalog::{Addresses, Locality, LongestLease};
use cp_seam::MemberId;
use cp_supervisor::daemon::found::{self, First};
use cp_supervisor::daemon::{Daemon, Layer, Settings};
use cp_supervisor::supervisor::Supervisor;

pub(crate) fn addresses(place: &Place) -> Addresses {
    Addresses { peer: place.peer.clone(), client: place.client.clone(), http: place.http.clone() }
}

/// The settings of the node at `place`, with `more` of them.
pub(crate) fn settings(site: &Site, place: &Place, more: Layer) -> Settings {
    let [ca, cert, key] = site.files(&place.name);
    let flags = Layer {
        data_dir: Some(place.data_dir.clone()),
        peer_listen: Some(place.peer.parse().unwrap()),
        client_listen: Some(place.client.parse().unwrap()),
        http_listen: Some(place.http.parse().unwrap()),
        ca: Some(ca),
        cert: Some(cert),
        key: Some(key),
        ..more
    };
    Settings::resolve(flags, Layer::default(), Layer::default()).unwrap()
}

/// Makes the directory of a new cluster at `place`.
pub(crate) fn found(place: &Place, longest_lease: LongestLease) {
    let first = First {
        member: MemberId::new(&place.name).unwrap(),
        cluster: Some(CLUSTER),
        addresses: addresses(place),
        locality: Locality::default(),
        longest_lease,
        engine: None,
    };
    found::init(&place.data_dir, first).unwrap();
}

pub(crate) async fn serving(supervisor: &Supervisor) {
    let mut watch = supervisor.consensus().watch();
    while !watch.current().serving {
        tokio::time::timeout(PATIENCE, watch.changed()).await.unwrap().unwrap();
    }
}

/// The one node of a new cluster, which leads.
pub(crate) async fn first(site: &Site, longest: LongestLease, more: Layer) -> (Place, Daemon) {
    let place = site.place(1);
    found(&place, longest);
    let node = Daemon::start(&settings(site, &place, more)).await.unwrap();
    serving(node.supervisor()).await;
    (place, node)
}
