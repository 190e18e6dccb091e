//! Tests of the refresh tokens that are found in malformed or unusual answers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker_core::{ErrorCode, HttpFault, RequestSent, Secret, salvage, salvage_new};
use serde_json::{Value, json};

use crate::answers::{answer, read};

#[test]
fn refresh_token_is_salvaged_from_damaged_answers() {
    let whole = r#"{"access_token":"at","refresh_token":"rt-2","expires_in":60}"#;
    let in_string = Value::from(whole).to_string();
    let in_page = whole.replace('"', "&quot;");
    let in_lambda = json!({"statusCode": 200, "body": whole});
    for (kind, body) in [
        ("text/html", whole.to_owned()),
        ("text/html", format!("<html><pre>{whole}</pre></html>")),
        ("", format!("<html><pre>{in_page}</pre></html>")),
        ("", in_string.clone()),
        ("", format!("{{\"body\":{in_string}}}x")),
        ("", format!("callback({whole});")),
        ("", format!("[{whole}]")),
        ("", in_lambda.to_string()),
        ("", r#"{"accessToken":"at","refreshToken":"rt-2"}"#.to_owned()),
        ("", r#"{"data":{"ACCESS_TOKEN":"at","REFRESH_TOKEN":"rt-2"}}"#.to_owned()),
        ("", r#"{"data":{"token":"at","refreshToken":"rt-2"}}"#.to_owned()),
        ("", r#"{accessToken: "at", refreshToken: "rt-2",}"#.to_owned()),
        ("", "<r><access_token>at</access_token><refresh_token>rt-2</refresh_token></r>".to_owned()),
        ("", "<r><o:accessToken>at</o:accessToken><o:refreshToken a='b'>rt-2</o:refreshToken>".to_owned()),
        ("", "access_token: at\nrefresh_token: rt-2\n".to_owned()),
        ("", STANDARD.encode(whole)),
        ("", format!("{{\"data\":[1,{{\"token\":{whole}}}]}}")),
        ("", format!(")]}}',\n{whole}")),
        ("", format!("{whole}{{\"next\":1}}")),
        ("", format!("{whole}\u{0}\u{0}garbage")),
        ("", whole.replace('"', "'")),
        ("", r#"{"refresh_token":"rt-2","access_token":"a"#.to_owned()),
        ("", r#"{"use":"refresh_token" , "refresh_token" : "rt-2", x"#.to_owned()),
        ("", "access_token=a&refresh_token=rt-2".to_owned()),
        ("", "refresh_token=rt-2&access_token=a&x=%".to_owned()),
        ("", "accessToken=a&refreshToken=rt-2&x=1".to_owned()),
        ("text/html", format!("<b>Warning</b>: no log on line <b>3</b><br />\n{whole}")),
        ("", "{\"refresh_token\":\"rt-2\",\"name\":\"a\nb\"}".to_owned()),
    ] {
        let salvaged = salvage(&answer(200, kind, body.clone()), "refresh_token");
        assert_eq!(salvaged.as_ref().map(Secret::expose), Some("rt-2"), "{body}");
    }
    for (status, kind, body) in [
        (200, "", r#"{"refresh_token":"rt-"#),
        (200, "", r#"{"refresh_token":null,x"#),
        (200, "", r#"{"refresh_token":""#),
        // Cut inside of a token that contains a quotation mark.
        (200, "", r#"{"access_token":"at","refresh_token":"rt'2"#),
        (200, "", r#"{"access_token":"at","refresh_token":"rt\"2"#),
        (200, "", r#"{"access_token":"at","refresh_token":"rt&quot;2"#),
        (200, "", r#"{"access_token":"at","refresh_token":"rt\u00222"#),
        (400, "", r#"{"error":"invalid_request","access_token":"at","refresh_token":"rt-1"}"#),
        (503, "", r#"{"refresh_token":"rt-1"}"#),
        (503, "", r#"{"access_token":"at","refresh_token":"rt-2","#),
        (200, "text/html", r#"<script>var x = {"refresh_token":"/portal"}</script>"#),
        (200, "", "the refresh_token=rt-2 was sent"),
        (200, "", r#"{"request":{"refresh_token":"rt-1"}}"#),
        (200, "", r#"{"access_token":"at","old_refresh_token":"rt-1", x"#),
        (200, "", "<html><access/><a>refresh_token>x</a></html>"),
        // Pages, documents and messages with the same names.
        (200, "text/html", r#"<script>T={"access":"Access","refresh_token":"Refresh token"}</script>"#),
        (200, "", r#"{"accessibility":"on","refreshToken":"Sitzung erneuern"}"#),
        (200, "text/html", r#"<pre>{"access_token":"string","refresh_token":"string"}</pre>"#),
        (200, "text/html", r#"<pre>{"access_token":"eyJ0","refresh_token":"tGz2"}</pre> or an error"#),
        (200, "", r#"{"paths":{"/token":{"post":{"example":{"access_token":"a1","refresh_token":"r1"}}}}}"#),
        (200, "", r#"{"refresh_token":"Token is invalid or expired"}"#),
        (200, "", r#"{"success":false,"refresh_token":"***"}"#),
        (403, "", r#"{"accessible":true,"refreshToken":"no"}"#),
        (404, "", r#"{"access_token_url":"/t","refresh_token":"/t/refresh"}"#),
        (200, "", "access: denied\nrefresh_token: try later\n"),
    ] {
        assert!(salvage(&answer(status, kind, body), "refresh_token").is_none(), "{status} {body}");
    }
    for status in [302, 401, 429, 500, 503] {
        let whole = answer(status, "text/html", r#"{"access_token":"at","refresh_token":"rt-2"}"#);
        assert!(salvage(&whole, "refresh_token").is_some(), "{status}");
    }
    let damaged = b"{\"refresh_token\":\"rt\xff\"}";
    assert!(salvage(&answer(200, "", *damaged), "refresh_token").is_none(), "a damaged token");
    let path = salvage(&answer(200, "", r#"{"data":{"rt":"rt-2"}}"#), "data.rt");
    assert!(path.is_some_and(|token| token.expose() == "rt-2"));
}

#[test]
fn incomplete_form_answer_is_not_used() {
    let cut = Some(HttpFault::new(RequestSent::Maybe, ErrorCode::NetworkUnreachable, "cut".to_owned()));
    let mut form = answer(200, "", "access_token=at&refresh_token=rt-2&scope=a");
    form.cut.clone_from(&cut);
    assert!(read(&form).is_err());
    assert!(salvage(&form, "refresh_token").is_some_and(|token| token.expose() == "rt-2"));
    let mut short = answer(200, "", "access_token=at&refresh_token=rt-");
    short.cut = cut;
    assert!(salvage(&short, "refresh_token").is_none(), "the token may be cut");
}

#[test]
fn message_is_no_answer_to_a_login() {
    for (body, is_login) in [
        (r#"{"message":"maintenance","refresh_token":"60"}"#, false),
        (r#"{"success":false,"refresh_token":"60"}"#, false),
        (r#"{"refresh_token":"rt-2"}"#, true),
        (r#"{"message":"welcome","data":{"access_token":"at","refresh_token":"rt-2"}}"#, true),
        (r#"{"message":"welcome","refresh_token":"rt-2","access"#, true),
    ] {
        let response = answer(200, "", body);
        assert!(salvage(&response, "refresh_token").is_some(), "{body}");
        assert_eq!(salvage_new(&response, "refresh_token", None).is_some(), is_login, "{body}");
    }
}
