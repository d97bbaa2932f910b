//! The vote alone, for whoever elects through the seam's election half.

use crate::batch::Batch;
use crate::error::{Failure, Rejected};
use crate::shared::lock;
use crate::store::Store;
use cp_seam::{LastVote, LastVoteStore, VoteStoreError};
use std::sync::{Arc, mpsc};

/// `persist` blocks until the vote is durable. With a writer on a task, which may
/// share the caller's thread, it does the queued writes itself, without pace.
impl LastVoteStore for Store {
    fn load(&self) -> Result<LastVote, VoteStoreError> {
        let durable = self.durable();
        let durable = durable.borrow();
        match &durable.failed {
            None => {
                // A caller that has been told of its vote need not have been told of the watermark.
                let acknowledged = *lock(&self.shared().acknowledged);
                Ok(acknowledged.filter(|vote| durable.vote.may_become(vote)).unwrap_or(durable.vote))
            }
            Some(what) => Err(failed(Failure { what: what.clone(), source: None })),
        }
    }

    fn persist(&self, vote: LastVote) -> Result<(), VoteStoreError> {
        let (answer, asked) = mpsc::sync_channel(1);
        let batch = Batch { vote: Some(vote), ..Batch::default() };
        let shared = Arc::clone(self.shared());
        let queued = self.submit_then(batch, move |result| {
            if result.is_ok() {
                *lock(&shared.acknowledged) = Some(vote);
            }
            // The receiver is below and lives until it is answered.
            drop(answer.send(result));
        });
        queued.map_err(|rejected| match rejected {
            Rejected::Vote { current, next } => VoteStoreError::Contradiction { durable: current, next },
            Rejected::Failed(failure) => failed(failure),
            other => VoteStoreError::Failed(Box::new(other)),
        })?;
        self.flush_inline();
        asked.recv().unwrap_or_else(|_| Err(crate::store::Ticket::orphaned())).map_err(failed)
    }
}

fn failed(failure: Failure) -> VoteStoreError {
    VoteStoreError::Failed(Box::new(failure))
}
