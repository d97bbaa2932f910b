//! Failing over from members that are lost.

use super::super::connection::{Connection, named};
use super::super::exit::invalid;
use super::super::output::Format;
use super::super::plan::{How, Seen, bring_about};
use super::super::status::nodes;
use anyhow::Result;
use clap::Args;
use cp_catalog::plan::{Health, HealthSettings, Heard};
use cp_seam::MemberId;
use cp_supervisor::executor::Goal;
use std::collections::BTreeSet;

#[derive(Debug, Args)]
pub(crate) struct Failover {
    /// Who is lost: their ranges go to replicas that have all that was acknowledged. Those
    /// that answer now may take over
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
        let (mut health, mut warnings) = (Health::new(HealthSettings::default()), Vec::new());
        if let Some(unknown) = lost.iter().find(|lost| members.iter().all(|member| member.id != **lost)) {
            let why = format!("{unknown} is not a member; `cp-supervisor member list` lists them");
            return Err(invalid("--lost", why));
        }
        for (member, node) in members.iter().zip(nodes(&client, &members).await) {
            match (node, lost.contains(&member.id)) {
                (Ok(_), false) => health.observe(&member.id, 0, Heard::default()),
                (Ok(_), true) => warnings.push(format!(
                    "{} answers; if it lives, `member drain` hands its ranges over without a wait for its leases",
                    member.id
                )),
                (Err(why), false) => warnings.push(format!("{} is given nothing: {why}", member.id)),
                (Err(_), true) => {}
            }
        }
        let goal = Goal::Failover { health, now_ms: 0, lost };
        bring_about(&self.connection, &goal, self.how, &self.seen, warnings, format).await
    }
}
