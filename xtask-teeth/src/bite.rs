//! One bug, one engine, one seed, in this process.

use crate::backends;
use anyhow::{Context, Result};
use clap::Args;
use cp_conformance::cases;
use cp_conformance::teeth::{Seen, Tooth};
use cp_seam::planted;
use serde_json::json;

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Which bug
    bug: String,
    /// In which engine
    engine: String,
    /// The seed; a case takes it from CP_SEED
    #[arg(env = "CP_SEED")]
    seed: u64,
    /// The same run, without the bug
    #[arg(long)]
    control: bool,
    /// In this case instead of where the table has it
    #[arg(long)]
    case: Option<String>,
}

/// Prints which checker objected, if one did, as a line of JSON; the violation goes to stderr.
pub(crate) fn run(options: &Options) -> Result<()> {
    let tooth = Tooth::named(&options.bug).with_context(|| format!("no bug is called {}", options.bug))?;
    let backend =
        backends::named(&options.engine).with_context(|| format!("no engine is called {}", options.engine))?;
    if !options.control {
        planted::plant(tooth.bug);
    }
    let seen_in = match &options.case {
        None => tooth.seen_in,
        Some(name) => {
            let case = cases::ALL.iter().find(|case| case.name == name);
            Seen::Case(case.with_context(|| format!("no case is called {name}"))?.name)
        }
    };
    let answer = match seen_in.run(backend, options.seed) {
        Ok(report) => {
            anstream::eprintln!("{report}");
            json!({ "found_by": null, "what": "" })
        }
        Err(violation) => {
            anstream::eprintln!("{violation}");
            json!({ "found_by": violation.broken.checker, "what": violation.broken.what })
        }
    };
    anstream::println!("{answer}");
    Ok(())
}
