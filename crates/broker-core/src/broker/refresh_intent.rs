//! The refresh intent: the record notes that the grant was sent until the response is saved. After a kill between the
//! two, the next process knows that the service may have replaced the grant.

use chrono::{DateTime, Utc};

use super::operation::{LockedRecord, Operation};
use crate::{ErrorKind, Grant, RecordUpdate, Result, TokenRequest};

/// An exchange that sends the grant.
pub(super) struct RefreshIntent {
    /// When an earlier exchange sent it and got no response.
    before: Option<DateTime<Utc>>,
}

impl Operation {
    /// Checks that the result can be saved. If the exchange will send the grant, notes that on disk.
    pub(super) async fn open_refresh_intent(
        &self,
        locked_record: &mut LockedRecord,
        request: &TokenRequest,
    ) -> Result<Option<RefreshIntent>> {
        self.context.check_not_cancelled().await?;
        self.delivery.begin();
        let now = self.context.now();
        let spends = self.provider().spends_grant(&locked_record.record, request, now);
        // Reserves space for the intent and the response: the disk must not fill up between the two. If the user has to
        // log in and nothing is sent, nothing is saved.
        if spends || self.provider().can_renew(&locked_record.record) {
            locked_record.locked.probe(1 + usize::from(spends)).await?;
        }
        if !spends {
            return Ok(None);
        }
        let before = locked_record.record.grant().and_then(Grant::sent_at);
        if let Some(at) = before {
            tracing::info!(%at, "a renewal was interrupted; the grant is tried once more");
        } else {
            // Signals wait, so that the intent does not stay on disk if nothing is sent.
            self.in_flight.begin();
            locked_record.record.set_sent(Some(now));
            self.write(locked_record).await?;
        }
        Ok(Some(RefreshIntent { before }))
    }

    /// Updates the intent in the record from the result of the exchange. The next save writes it.
    pub(super) fn close_refresh_intent(
        &self,
        locked_record: &mut LockedRecord,
        intent: Option<&RefreshIntent>,
        exchanged: &Result<RecordUpdate>,
    ) {
        let Some(before) = intent.map(|intent| intent.before) else { return };
        let noted = locked_record.record.grant().and_then(Grant::sent_at);
        let (lost, answered) = (self.delivery.lost_response(), self.delivery.was_answered());
        let sent_at = match exchanged {
            Ok(update) if update.refuses_grant() && lost => noted,
            Ok(update) if update.refuses_grant() => before,
            Ok(_) => None,
            Err(_) if lost => noted,
            // A malformed response may still mean that a token was issued.
            Err(error) if answered && error.kind() == ErrorKind::Unavailable => noted,
            Err(_) => before,
        };
        locked_record.record.set_sent(sent_at);
        locked_record.unsaved = sent_at != noted;
    }
}
