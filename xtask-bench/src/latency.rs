//! Latencies, as they are kept and as they are passed on.

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Latencies in nanoseconds, to three digits.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(Histogram<u64>);

/// Their summary.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) mean_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
}

impl Latencies {
    /// None yet. Above ten minutes they count as that.
    pub(crate) fn none() -> Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, 600_000_000_000, 3)?))
    }

    pub(crate) fn add(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1));
    }

    pub(crate) fn merge(&mut self, other: &Self) -> Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    pub(crate) fn summary(&self) -> Summary {
        let at = |quantile| micros(self.0.value_at_quantile(quantile));
        Summary {
            count: self.0.len(),
            mean_us: self.0.mean() / 1e3,
            p50_us: at(0.5),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: micros(self.0.max()),
        }
    }

    /// Points of the distribution, for a plot: quantile and microseconds.
    pub(crate) fn curve(&self) -> Vec<(f64, f64)> {
        let quantiles = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 1.0];
        quantiles.iter().map(|quantile| (*quantile, micros(self.0.value_at_quantile(*quantile)))).collect()
    }

    /// Each recorded value and how often it came.
    pub(crate) fn recorded(&self) -> Vec<(u64, u64)> {
        self.0.iter_recorded().map(|at| (at.value_iterated_to(), at.count_at_value())).collect()
    }

    pub(crate) fn from_recorded(recorded: &[(u64, u64)]) -> Result<Self> {
        let mut all = Self::none()?;
        recorded.iter().for_each(|(value, count)| all.0.saturating_record_n(*value, *count));
        Ok(all)
    }
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

/// The median, for an even number the mean of the middle two.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = |at: usize| sorted.get(at).copied().unwrap_or(f64::NAN);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => middle(count / 2),
        count => f64::midpoint(middle(count / 2 - 1), middle(count / 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_on_is_the_same() {
        let mut one = Latencies::none().unwrap();
        (1..=1000).for_each(|micros| one.add(Duration::from_micros(micros)));
        let other = Latencies::from_recorded(&one.recorded()).unwrap();
        assert_eq!(one.summary(), other.summary());
        assert_eq!(one.curve(), other.curve());
        let p50 = one.summary().p50_us;
        assert!((p50 - 500.0).abs() < 1.0, "{p50}");
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }
}
