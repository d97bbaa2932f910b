//! What a planted bug does to a gate. See [`cp_seam::planted`].

use crate::instant::Margin;
use cp_seam::planted::{Bug, active};
use std::time::Duration;

/// The margin that a gate allows for.
pub(crate) fn margin(of: Margin) -> Margin {
    if active(Bug::LeaseMarginLeftOut) { Margin::new(Duration::ZERO) } else { of }
}
