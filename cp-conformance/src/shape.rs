//! What kind of cluster a storm falls upon.

use crate::disk::Latency;
use crate::options::Options;
use crate::rng::Rng;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A family of options; with a seed, options.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shape {
    /// Each seed draws its own: three to seven members, a witness or not, members
    /// that change or not, fast and slow disks, many and few snapshots.
    #[default]
    Mixed,
    /// Three voters.
    Three,
    /// Five voters.
    Five,
    /// Three voters at first; then members come and go.
    Churn,
    /// Two data members and a witness.
    Witness,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Self; 5] = [Self::Mixed, Self::Three, Self::Five, Self::Churn, Self::Witness];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Three => "three",
            Self::Five => "five",
            Self::Churn => "churn",
            Self::Witness => "witness",
        }
    }

    /// The options of `seed`, with a storm of this length.
    pub fn options(self, seed: u64, storm: Duration) -> Options {
        let options = match self {
            Self::Mixed => mixed(&mut Rng::new(seed, "shape")),
            Self::Three => Options::storm(3),
            Self::Five => Options::storm(5),
            Self::Churn => Options { churn: true, ..Options::storm(3) },
            Self::Witness => Options { witnesses: 1, ..Options::storm(3) },
        };
        Options { storm, ..options }
    }
}

fn mixed(rng: &mut Rng) -> Options {
    let nodes = rng.pick(&[3, 3, 3, 3, 4, 5, 5, 7]).copied().unwrap_or(3);
    let mut options = Options::storm(nodes);
    options.witnesses = usize::from(nodes == 3 && rng.per_mille(300));
    options.swarm = true;
    options.churn = rng.per_mille(250);
    options.clients = rng.pick(&[1, 2, 3, 4]).copied().unwrap_or(3);
    options.think = Duration::from_millis(rng.pick(&[300, 1_000, 2_000]).copied().unwrap_or(1_000));
    options.settings.snapshot_every = rng.pick(&[8, 24, 64, 256]).copied().unwrap_or(24);
    options.settings.retained = rng.pick(&[0, 4, 8, 32]).copied().unwrap_or(8);
    options.settings.append_bytes_max = rng.pick(&[64, 512, 1 << 20]).copied().unwrap_or(1 << 20);
    options.disk = match rng.below(3) {
        0 => Latency { low_us: 50, high_us: 1_000 },
        1 => Latency::default(),
        _ => Latency { low_us: 1_000, high_us: 20_000 },
    };
    options
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name of no shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no shape of a cluster; there are mixed, three, five, churn and witness")]
pub struct NoShape(String);

impl FromStr for Shape {
    type Err = NoShape;

    fn from_str(name: &str) -> Result<Self, NoShape> {
        Self::ALL.into_iter().find(|shape| shape.name() == name).ok_or_else(|| NoShape(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_draw_every_kind_of_cluster_and_names_are_read() {
        let drawn: Vec<Options> = (0..200).map(|seed| Shape::Mixed.options(seed, Duration::from_secs(1))).collect();
        let has = |what: fn(&Options) -> bool| drawn.iter().any(what);
        assert!(has(|o| o.witnesses == 1) && has(|o| o.churn) && has(|o| o.nodes == 7) && has(|o| o.nodes == 4));
        assert!(drawn.iter().all(|o| o.settings.check().is_ok() && o.witnesses < o.nodes));
        for shape in Shape::ALL {
            assert_eq!(shape.to_string().parse(), Ok(shape));
        }
        assert!("round".parse::<Shape>().is_err());
    }
}
