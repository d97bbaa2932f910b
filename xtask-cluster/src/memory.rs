//! What a process holds in memory, by the kernel's word.

use anyhow::{Context, Result};

/// What is in RAM of one process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// All of it, the mapped pages of its own program included.
    pub resident: u64,
    /// What it has allocated, and not mapped from a file.
    pub anonymous: u64,
}

impl Memory {
    /// Of a process that runs. Linux only.
    pub fn of(pid: u32) -> Result<Self> {
        let file = format!("/proc/{pid}/status");
        let text = std::fs::read_to_string(&file).with_context(|| format!("{file} cannot be read"))?;
        Self::read(&text).with_context(|| format!("{file} does not say what the process holds"))
    }

    fn read(status: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
            Some(kibibytes << 10)
        };
        Some(Self { resident: bytes("VmRSS:")?, anonymous: bytes("RssAnon:")? })
    }
}

/// As a figure to print.
pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_understood() {
        let status = "Name:\tcp\nVmHWM:\t  900 kB\nVmRSS:\t    612 kB\nRssAnon:\t     100 kB\nRssFile:\t 512 kB\n";
        assert_eq!(Memory::read(status), Some(Memory { resident: 612 << 10, anonymous: 100 << 10 }));
        assert_eq!(Memory::read("Name:\tkthreadd\n"), None);
    }
}
