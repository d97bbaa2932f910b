//! Failing over from members that are lost.

use super::super::connection::{Connection, named};
use super::super::exit::invalid;
use super::super::output::Format;
use super::super::plan::{How, Seen, bring_about};
use super::super::status::nodes;
use anyhow::Result;
use clap::Args;
use cp_catalog::plan::{Health, HealthSettings, Heard, Observed};
use cp_catalog::{Catalog, Role};
use cp_seam::MemberId;
use cp_supervisor::executor::Goal;
use std::collections::BTreeSet;

#[derive(Debug, Args)]
pub(crate) struct Failover {
    /// Who is lost: their ranges go to replicas that have all that was acknowledged. Those
    /// that answer now may take over. A run is refused for one that answers, unless --observed
    /// shows its gates closed: it may have more acknowledged than was seen
    #[arg(long, required = true, value_delimiter = ',', value_name = "MEMBER")]
    lost: Vec<String>,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    seen: Seen,
    #[command(flatten)]
    connection: Connection,
}

impl Failover {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        let lost: BTreeSet<MemberId> = self.lost.iter().map(|name| named("--lost", name)).collect::<Result<_>>()?;
        let client = self.connection.client()?;
        let members = client.members().await?.value;
        let mut alive = Vec::new();
        let (mut health, mut warnings) = (Health::new(HealthSettings::default()), Vec::new());
        if let Some(unknown) = lost.iter().find(|lost| members.iter().all(|member| member.id != **lost)) {
            let why = format!("{unknown} is not a member; `cp-supervisor member list` lists them");
            return Err(invalid("--lost", why));
        }
        for (member, node) in members.iter().zip(nodes(&client, &members).await) {
            match (node, lost.contains(&member.id)) {
                (Ok(_), false) => health.observe(&member.id, 0, Heard::default()),
                (Ok(_), true) => {
                    alive.push(&member.id);
                    warnings.push(format!(
                        "{} answers; if it lives, `member drain` hands its ranges over without a wait for its leases",
                        member.id
                    ));
                }
                (Err(why), false) => warnings.push(format!("{} is given nothing: {why}", member.id)),
                (Err(_), true) => {}
            }
        }
        if self.how.is_run() && !alive.is_empty() {
            let (state, file) = (client.catalog().await?, self.seen.read()?);
            alive.into_iter().try_for_each(|member| fenced_off(&state.value, file.observed(), member))?;
        }
        let goal = Goal::Failover { health, now_ms: 0, lost };
        bring_about(&self.connection, &goal, self.how, &self.seen, warnings, format).await
    }
}

/// Whether `member`, which answers, cannot have had anything acknowledged since it was observed.
fn fenced_off(catalog: &Catalog, observed: &Observed, member: &MemberId) -> Result<()> {
    let open =
        catalog.held_by(member).find(|(key, role, range)| *role == Role::Owner && !observed.is_closed(key, range));
    let Some((key, _, range)) = open else { return Ok(()) };
    let epoch = range.epoch;
    let why = format!(
        "{member} answers, and its gate of epoch {epoch} for range {key} is not shown to be closed, so that it may \
         acknowledge more than was observed; stop it, or close its gates and export again, or drain it"
    );
    Err(invalid("--lost", why))
}
