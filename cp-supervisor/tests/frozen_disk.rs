//! A leader whose filesystem is frozen under it: a real process, a real ext4 on a loop
//! device, `fsfreeze` (CP-L2). It needs root and a loop device, so it is run by name:
//! `cargo test -p cp-supervisor --all-features --test frozen_disk -- --ignored`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of tests fails the test")]

mod common;

use common::{Place, Site, page, until};
use cp_supervisor::daemon::Engine;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::time::Instant;

/// The default election timeout.
const T: Duration = Duration::from_millis(500);

/// A filesystem of its own that can be frozen; thawed and unmounted when dropped.
struct Filesystem {
    mounted: PathBuf,
    frozen: bool,
}

fn sh(command: &str, arguments: &[&Path]) -> bool {
    let mut words = command.split(' ');
    Command::new(words.next().unwrap()).args(words).args(arguments).status().unwrap().success()
}

impl Filesystem {
    fn mount(site: &Site) -> Self {
        let (image, mounted) = (site.path().join("disk.img"), site.path().join("disk"));
        std::fs::File::create(&image).unwrap().set_len(256 << 20).unwrap();
        std::fs::create_dir(&mounted).unwrap();
        assert!(sh("mkfs.ext4 -q", &[&image]), "no ext4 could be made");
        assert!(sh("mount -o loop", &[&image, &mounted]), "no loop device: this test needs root and one");
        Self { mounted, frozen: false }
    }

    fn freeze(&mut self) {
        assert!(sh("fsfreeze --freeze", &[&self.mounted]));
        self.frozen = true;
    }

    fn thaw(&mut self) {
        assert!(sh("fsfreeze --unfreeze", &[&self.mounted]));
        self.frozen = false;
    }
}

impl Drop for Filesystem {
    fn drop(&mut self) {
        if self.frozen {
            self.thaw();
        }
        // A lazy unmount does not wait for the node that has files open there.
        assert!(sh("umount --lazy", &[&self.mounted]));
    }
}

fn metric(place: &Place, name: &str) -> bool {
    page(place, "/metrics").1.lines().any(|line| line == format!("{name} 1"))
}

fn elapsed_until(what: &str, begun: Instant, done: impl FnMut() -> bool) -> Duration {
    until(what, done);
    begun.elapsed()
}

/// Frozen, it leads no more within T (and a look), another leads within 3T, its own page
/// says that it is alive and not ready; thawed, it is whole again.
#[test]
#[ignore = "needs root and a loop device"]
fn a_leader_on_a_frozen_filesystem_is_replaced() {
    for engine in Engine::COMPILED {
        let site = Site::new();
        let (mut places, mut nodes) = site.cluster(3, engine.name(), &[]);
        nodes[0].kill();
        // Dropped before the nodes: a process on a frozen disk cannot be killed.
        let mut disk = Filesystem::mount(&site);
        assert!(sh("cp --archive", &[&places[0].data_dir, &disk.mounted]));
        places[0].data_dir = disk.mounted.join("n1");
        nodes[0] = site.serve(&places[0], &[]);
        until("n1 leads", || {
            let handed = site.run_as("tester.client", &places[1].client, &["leader", "transfer", "--to", "n1"]);
            handed.status.success() && metric(&places[0], "cp_is_leader")
        });
        site.run(&places[1], &["collection", "create", "before", "--group", "g", "--mode", "hash"]);

        let begun = Instant::now();
        disk.freeze();
        let silent = elapsed_until("n1 says that it does not lead", begun, || !metric(&places[0], "cp_is_leader"));
        let replaced = elapsed_until("another leads", begun, || places[1..].iter().any(|p| metric(p, "cp_is_leader")));
        println!("{}: n1 accepts nothing after {silent:?}, another leads after {replaced:?}", engine.name());
        assert!(silent <= T + T / 2, "it went on for {silent:?}");
        assert!(replaced <= T * 3, "it was replaced after {replaced:?}");
        assert_eq!((page(&places[0], "/livez").0, page(&places[0], "/readyz").0), (200, 503));
        site.run(&places[1], &["collection", "create", "meanwhile", "--group", "g", "--mode", "hash"]);

        disk.thaw();
        until("n1 is whole again", || page(&places[0], "/readyz").0 == 200);
        let listed = site.json(&places[0], &["collection", "list", "--stale"]);
        assert_eq!(listed["collections"].as_array().unwrap().len(), 2);
    }
}
