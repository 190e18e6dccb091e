//! The refresh intent: the time at which a refresh token was sent, stored until the response is saved. After a
//! crash, the intent shows that the service may have replaced the refresh token.

use chrono::{DateTime, Utc};

use super::operation::{LockedRecord, Operation};
use crate::{ErrorKind, RecordUpdate, Result, TokenRequest};

/// The note in the record that an exchange is sending the refresh token.
pub(super) struct RefreshIntent {
    /// The time at which an earlier exchange sent the same refresh token, without getting a response.
    before: Option<DateTime<Utc>>,
}

impl Operation {
    /// Prepares an exchange: checks that the store can save the response. If the exchange will send the refresh token,
    /// first saves the time of sending in the record: the refresh intent.
    pub(super) async fn open_refresh_intent(
        &self,
        locked_record: &mut LockedRecord,
        request: &TokenRequest,
    ) -> Result<Option<RefreshIntent>> {
        self.context.check_not_cancelled().await?;
        self.context.delivery.begin();
        let now = self.context.now();
        let spends = self.provider().spends_grant(&locked_record.record, request, now);
        // A provider without a login or secret sends no request, so the store need not be writable.
        if spends || self.provider().can_renew(&locked_record.record) {
            locked_record.locked.probe(1 + usize::from(spends)).await?;
        }
        if !spends {
            return Ok(None);
        }
        let before = locked_record.record.grant().and_then(|grant| grant.sent_at);
        if let Some(at) = before {
            tracing::info!(%at, "an earlier renewal was interrupted; the refresh token is sent once more");
        } else {
            // Delays termination signals: otherwise the record might say that an unsent refresh token was sent.
            self.context.in_flight.begin();
            locked_record.record.set_sent(Some(now));
            self.write(locked_record).await?;
        }
        Ok(Some(RefreshIntent { before }))
    }

    /// Clears the refresh intent after an exchange, or restores the intent of an earlier exchange. Keeps the
    /// intent if a response with a new refresh token may be lost. The caller saves the record.
    pub(super) fn close_refresh_intent(
        &self,
        locked_record: &mut LockedRecord,
        intent: Option<&RefreshIntent>,
        exchanged: &Result<RecordUpdate>,
    ) {
        let Some(before) = intent.map(|intent| intent.before) else { return };
        let noted = locked_record.record.grant().and_then(|grant| grant.sent_at);
        let delivery = &self.context.delivery;
        let (lost, answered) = (delivery.lost_response(), delivery.was_answered());
        let sent_at = match exchanged {
            Ok(update) if update.refuses_grant() && lost => noted,
            Ok(update) if update.refuses_grant() => before,
            Ok(_) => None,
            Err(_) if lost => noted,
            // Even a malformed response may mean that the service replaced the refresh token.
            Err(error) if answered && error.kind() == ErrorKind::Unavailable => noted,
            Err(_) => before,
        };
        locked_record.record.set_sent(sent_at);
        locked_record.unsaved = sent_at != noted;
    }
}
