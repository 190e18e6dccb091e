//! The web page on which the user approves a device login.

use super::super::http::{Reply, Seen, form_fields};
use super::device::{Codes, Decision};

/// Shows the approval page on `GET`, and approves or denies on `POST`. `user_code` is in the query or the form.
pub(super) fn activate(codes: &mut Codes, call: &Seen) -> Reply {
    let mut fields = form_fields(&call.query);
    fields.extend(call.form());
    let user_code = fields.remove("user_code").unwrap_or_default();
    if call.method == "GET" {
        return Reply::html(200, &question(&user_code));
    }
    let deny = fields.get("action").is_some_and(|action| action == "deny");
    let (decision, done) = if deny {
        (Decision::Deny, "Access denied.")
    } else {
        (Decision::ApproveAfter(0), "Device approved. You can close this page.")
    };
    if codes.decide(&user_code, decision) {
        Reply::html(200, &page(done))
    } else {
        Reply::html(404, &page("Unknown code."))
    }
}

fn question(user_code: &str) -> String {
    // Removes all characters that HTML would have to escape.
    let known = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    let user_code: String = user_code.chars().filter(known).collect();
    page(&format!(
        r#"<form method="post" action="/activate">
<label>Code shown by your device: <input name="user_code" value="{user_code}"></label>
<button name="action" value="approve">Approve</button>
<button name="action" value="deny">Deny</button>
</form>"#
    ))
}

fn page(content: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html><head><title>Fake server login</title></head>\n<body><h1>Fake server login</h1>\n{content}\n</body></html>\n"
    )
}
