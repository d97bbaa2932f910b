//! What the figures were taken on, and what a process of it uses.

use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// The machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: f64,
    pub(crate) kernel: String,
    pub(crate) filesystem: String,
    /// What the filesystem is on, where the system says.
    pub(crate) disk: Option<Disk>,
}

/// A block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Disk {
    pub(crate) name: String,
    /// Whether a hypervisor presents it; none where that cannot be told, as of a device over others.
    pub(crate) is_virtual: Option<bool>,
}

impl Machine {
    pub(crate) fn of(dir: &Path) -> Self {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let value = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let unknown = || "unknown".to_owned();
        let memory = value(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let kib: f64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
        Self {
            cpu: value(&read("/proc/cpuinfo"), "model name").unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: kib / f64::from(1 << 20),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            filesystem: filesystem(&read("/proc/mounts"), dir).unwrap_or_else(unknown),
            disk: Disk::below(dir),
        }
    }

    /// What the filesystem is on, in words.
    pub(crate) fn disk(&self) -> String {
        let Some(Disk { name, is_virtual }) = &self.disk else { return "an unknown disk".to_owned() };
        match is_virtual {
            Some(true) => format!("{name}, a virtual disk"),
            Some(false) => format!("{name}, not known to be virtual"),
            None => format!("{name}, perhaps over another disk"),
        }
    }
}

impl Disk {
    fn below(dir: &Path) -> Option<Self> {
        let (major, minor) = device(dir)?;
        let at = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
        // A partition's directory lies in its disk's.
        let at = if at.join("partition").exists() { at.parent()?.to_owned() } else { at };
        let model = fs::read_to_string(at.join("device/model")).unwrap_or_default();
        let name = at.file_name()?.to_string_lossy().into_owned();
        Some(Self { name, is_virtual: is_virtual(&at, &model) })
    }
}

/// By the bus that it is on, and by what it says that it is.
fn is_virtual(at: &Path, model: &str) -> Option<bool> {
    const MODELS: [&str; 6] = ["QEMU", "VBOX", "VMware", "Virtual", "Amazon Elastic Block Store", "PersistentDisk"];
    let on = |bus: &str| at.components().any(|part| part.as_os_str().to_string_lossy().starts_with(bus));
    if on("virtio") || on("vbd-") || MODELS.iter().any(|known| model.contains(known)) {
        return Some(true);
    }
    // Loops, mappings and arrays.
    (!at.starts_with("/sys/devices/virtual")).then_some(false)
}

/// Major and minor number of what `dir` is on, as Linux packs them.
fn device(dir: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let device = fs::metadata(dir).ok()?.dev();
    Some((((device >> 8) & 0xfff) | ((device >> 32) & !0xfff), (device & 0xff) | ((device >> 12) & !0xff)))
}

/// What the deepest mount above `dir` is.
fn filesystem(mounts: &str, dir: &Path) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    let mounted = mounts.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (_, at, kind) = (fields.next()?, fields.next()?, fields.next()?);
        dir.starts_with(at).then(|| (at.len(), kind.to_owned()))
    });
    mounted.max_by_key(|(len, _)| *len).map(|(_, kind)| kind)
}

/// How many bytes have been written to the disk below `dir`, by whomever. What the kernel says
/// of a process counts whole folios of the page cache, of which a small write dirties one.
pub(crate) fn written(dir: &Path) -> Option<u64> {
    let (major, minor) = device(dir)?;
    sectors(&fs::read_to_string("/proc/diskstats").ok()?, major, minor)?.checked_mul(512)
}

fn sectors(stats: &str, major: u64, minor: u64) -> Option<u64> {
    stats.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        (number(0)? == major && number(1)? == minor).then(|| number(9)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sectors_are_those_of_the_device() {
        let stats =
            " 7 0 loop0 1 2 3 4 5 6 7 8\n 254 0 vda 10 20 30 40 50 60 70 80 90 1 2\n 254 1 vda1 1 1 1 1 1 1 71\n";
        assert_eq!(sectors(stats, 254, 0), Some(70));
        assert_eq!(sectors(stats, 254, 1), Some(71));
        assert_eq!(sectors(stats, 8, 0), None);
    }

    #[test]
    fn the_deepest_mount_counts() {
        let mounts = "a / ext4 rw 0 0\nb /tmp tmpfs rw 0 0\nc /tmpfoo xfs rw 0 0\n";
        assert_eq!(filesystem(mounts, "/tmp".as_ref()).as_deref(), Some("tmpfs"));
        assert_eq!(filesystem(mounts, "/usr".as_ref()).as_deref(), Some("ext4"));
    }

    #[test]
    fn a_disk_is_virtual_by_its_bus_or_its_name() {
        let virtio = "/sys/devices/pci0000:00/0000:00:02.0/virtio1/block/vda";
        assert_eq!(is_virtual(virtio.as_ref(), ""), Some(true));
        let sata = "/sys/devices/pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0/block/sda";
        assert_eq!(is_virtual(sata.as_ref(), "QEMU HARDDISK   "), Some(true));
        assert_eq!(is_virtual(sata.as_ref(), "Samsung SSD 870"), Some(false));
        assert_eq!(is_virtual("/sys/devices/virtual/block/dm-0".as_ref(), ""), None);
    }
}
