//! Past evidence: a range is forced onto a member, or given to an archive of it.

use super::super::connection::{Connection, named};
use super::super::exit::invalid;
use super::super::output::Format;
use super::{change, data_position, key, read};
use anyhow::Result;
use clap::Args;
use cp_catalog::{DataPosition, OwnershipCommand, Restore as RestoreCommand, RestoreProof};
use cp_seam::MemberId;

#[derive(Debug, Args)]
pub(crate) struct Force {
    /// Which range, as collection/id
    #[arg(value_name = "RANGE")]
    range: String,
    /// The member that becomes the owner, whatever it holds
    #[arg(long, value_name = "MEMBER")]
    to: String,
    /// Why; goes on record
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    connection: Connection,
}

impl Force {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        let (range, to) = (key(&self.range)?, named::<MemberId>("--to", &self.to)?);
        let command = OwnershipCommand::Force { range, to, reason: self.reason };
        change(&self.connection.client()?, format, command).await
    }
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// Which range, as collection/id
    #[arg(value_name = "RANGE")]
    range: String,
    /// The archive that was restored and becomes the owner
    #[arg(long, value_name = "MEMBER")]
    archive: String,
    /// The checksum of what was restored: 64 hexadecimal digits
    #[arg(long, value_name = "HEX")]
    checksum: String,
    /// The checksum recorded when it was archived
    #[arg(long, value_name = "HEX")]
    recorded: String,
    /// Up to where its writes are there, as term.lsn
    #[arg(long, value_name = "POSITION", value_parser = data_position)]
    restored: DataPosition,
    /// Up to where the range's writes were acknowledged, as term.lsn
    #[arg(long, value_name = "POSITION", value_parser = data_position)]
    watermark: DataPosition,
    /// Take it although it lacks writes, and why; goes on record
    #[arg(long, value_name = "REASON")]
    force: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Restore {
    pub(super) async fn run(self, format: Format) -> Result<()> {
        let archive: MemberId = named("--archive", &self.archive)?;
        let (checksum, recorded) = (checksum("--checksum", &self.checksum)?, checksum("--recorded", &self.recorded)?);
        let client = self.connection.client()?;
        let (range, found) = read(&client, &self.range).await?;
        let (restored, watermark, fence) = (self.restored, self.watermark, found.fence());
        let proof = RestoreProof { checksum, recorded, bounds: found.bounds, restored, watermark };
        let command = RestoreCommand { range, fence, archive, proof, forced: self.force };
        change(&client, format, OwnershipCommand::RestoreArchive(command)).await
    }
}

fn checksum(flag: &str, text: &str) -> Result<[u8; 32]> {
    let bytes = super::bytes(flag, &format!("hex:{text}"))?;
    let length = bytes.len();
    bytes.try_into().map_err(|_| invalid(flag, format!("{length} bytes are no checksum; write 64 hexadecimal digits")))
}
