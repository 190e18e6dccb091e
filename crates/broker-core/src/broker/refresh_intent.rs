//! The journal of a renewal: the record says that the grant was sent, until its answer is saved. So whoever comes
//! after a kill between the two knows that the service may have replaced the login.

use chrono::{DateTime, Utc};

use super::operation::{LockedRecord, Operation};
use crate::{ErrorKind, Grant, RecordUpdate, Result, TokenRequest};

/// An exchange that sends the grant.
pub(super) struct RefreshIntent {
    /// Since when an earlier one has had no answer.
    before: Option<DateTime<Utc>>,
}

impl Operation {
    /// Makes sure that what comes can be saved, and puts on disk that the grant is about to be sent, if it is.
    pub(super) async fn open_refresh_intent(
        &self,
        locked_record: &mut LockedRecord,
        request: &TokenRequest,
    ) -> Result<Option<RefreshIntent>> {
        self.context.check_not_cancelled().await?;
        self.trail.begin();
        let now = self.context.now();
        let spends = self.provider().spends_grant(&locked_record.record, request, now);
        // For the journal and for the answer: the disk must not fill up between the two. Where nothing is to be sent but a
        // person has to log in, nothing is to be saved.
        if spends || self.provider().can_renew(&locked_record.record) {
            locked_record.locked.probe(1 + usize::from(spends)).await?;
        }
        if !spends {
            return Ok(None);
        }
        let before = locked_record.record.grant().and_then(Grant::sent_at);
        if let Some(at) = before {
            tracing::info!(%at, "a renewal was cut off; the login is tried once more");
        } else {
            // A signal waits, so that what is written here does not stay if nothing is sent.
            self.section.begin();
            locked_record.record.set_sent(Some(now));
            self.write(locked_record).await?;
        }
        Ok(Some(RefreshIntent { before }))
    }

    /// Notes in the record what the exchange tells of the grant: who saves it next saves that too.
    pub(super) fn close_refresh_intent(
        &self,
        locked_record: &mut LockedRecord,
        journal: Option<&RefreshIntent>,
        exchanged: &Result<RecordUpdate>,
    ) {
        let Some(before) = journal.map(|journal| journal.before) else { return };
        let noted = locked_record.record.grant().and_then(Grant::sent_at);
        let (lost, answered) = (self.trail.lost_answer(), self.trail.was_answered());
        let sent_at = match exchanged {
            Ok(change) if change.refuses_grant() && lost => noted,
            Ok(change) if change.refuses_grant() => before,
            Ok(_) => None,
            Err(_) if lost => noted,
            // What came may have been the ruins of an answer.
            Err(error) if answered && error.kind() == ErrorKind::Unavailable => noted,
            Err(_) => before,
        };
        locked_record.record.set_sent(sent_at);
        locked_record.unsaved = sent_at != noted;
    }
}
