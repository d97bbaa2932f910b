//! Who may do what, and who tried to.

use super::{Answer, Client, ClientError, newer};
use crate::api::messages::{AuditQuery, GrantsQuery, Query, ReadResult};
use cp_catalog::{AuditChain, AuditRecord, ClientName, Privileges, codec};

/// The records of the audit that are kept, and where their chain stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// The oldest first.
    pub records: Vec<AuditRecord>,
    /// Where the chain stood when the last of them was read.
    pub chain: AuditChain,
}

impl Audit {
    /// Whether the records lead from the chain's floor to its head: none was changed or left out.
    pub fn is_whole(&self) -> bool {
        self.chain.is_made_of(&self.records)
    }
}

impl Client {
    /// What was granted to whom, in ascending order of names; nothing if the cluster is open.
    pub async fn grants(&self) -> Result<Answer<Vec<(ClientName, Privileges)>>, ClientError> {
        let answer = self.ask(Query::Grants(GrantsQuery {}), self.stale).await?;
        let ReadResult::Grants(grants) = &answer.value else { return Err(newer()) };
        let mut granted = Vec::new();
        for grant in &grants.grants {
            let client =
                ClientName::new(&grant.client).map_err(|bad| ClientError::Server { reason: bad.to_string() })?;
            granted.push((client, Privileges { read: grant.read, operate: grant.operate, force: grant.force }));
        }
        Ok(answer.with(granted))
    }

    /// The whole audit that is kept. Asked for in pages; what is let go of meanwhile is not in it.
    pub async fn audit(&self) -> Result<Answer<Audit>, ClientError> {
        let mut records: Vec<AuditRecord> = Vec::new();
        loop {
            let after = records.last().map_or(0, |last| last.sequence);
            let answer = self.ask(Query::Audit(AuditQuery { after }), self.stale).await?;
            let ReadResult::Audit(page) = &answer.value else { return Err(newer()) };
            let bad = |reason: String| ClientError::Server { reason };
            let hash =
                |bytes: &[u8]| <[u8; 32]>::try_from(bytes).map_err(|_| bad("a hash has not 32 bytes".to_owned()));
            let chain = AuditChain {
                count: page.count,
                head: hash(&page.head)?,
                forgotten: page.forgotten,
                floor: hash(&page.floor)?,
            };
            records.retain(|record| record.sequence > chain.forgotten);
            for bytes in &page.records {
                records.push(codec::decode_audit(bytes).map_err(|error| bad(cp_driver::chain(&error)))?);
            }
            if page.records.is_empty() || records.last().is_some_and(|last| last.sequence >= chain.count) {
                return Ok(answer.with(Audit { records, chain }));
            }
        }
    }
}
