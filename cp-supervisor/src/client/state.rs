//! The whole state, read into memory.

use super::{Answer, Client, ClientError};
use cp_catalog::Catalog;
use cp_recovery::Backup;

impl Client {
    /// The whole state, reflecting everything acknowledged before, unless the client is told
    /// that stale answers will do.
    pub async fn catalog(&self) -> Result<Answer<Catalog>, ClientError> {
        let mut pieces = self.snapshot().await?;
        let meta = pieces.meta().clone();
        let mut chunks = Vec::new();
        while let Some(chunk) = pieces.next().await? {
            chunks.push(chunk);
        }
        let applied = meta.position.index;
        let value = Backup { meta, chunks }
            .catalog()
            .map_err(|error| ClientError::Server { reason: cp_driver::chain(&error) })?;
        Ok(Answer { value, applied, stale: self.stale })
    }
}
