#!/usr/bin/env python3
"""Refresh tokens (RFC 6749 section 6), as a plugin. Settings: token_url, client_id, and timeout in seconds if not 10."""
import json, sys, urllib.error, urllib.parse, urllib.request

class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args): return None

def say(message): print(json.dumps(message), flush=True)
def hear(): return json.loads(sys.stdin.readline())
def err(kind, message, **more): return {"err": {"kind": kind, "message": message, **more}}

def post(settings, form):
    request = urllib.request.Request(settings["token_url"], urllib.parse.urlencode(form).encode())
    try: return urllib.request.build_opener(NoRedirect).open(request, timeout=float(settings.get("timeout", 10)))
    except urllib.error.HTTPError as error: return error  # an answer too

def refresh(asked, grant):
    form = {"grant_type": "refresh_token", "refresh_token": grant, "client_id": asked["settings"]["client_id"]}
    try:  # what is no JSON object in time says nothing about the grant
        answer = post(asked["settings"], form)
        status, said = answer.status, dict(json.loads(answer.read(1 << 20)))
    except (OSError, ValueError, TypeError) as error: return err("unavailable", type(error).__name__)
    error, new = said.get("error"), said.get("refresh_token") or grant
    if status == 429 or status >= 500: return err("unavailable", f"HTTP {status}")
    if error == "invalid_grant": return {"ok": {"grant_refused": True}}
    if new != grant and (error or not said.get("access_token")): return {"ok": {"grant": new}}  # the old one may be spent
    if error and error not in ("server_error", "temporarily_unavailable"): return err("refused", str(said.get("error_description", error)))
    if error or status != 200 or not said.get("access_token"): return err("unavailable", "the answer has no token in it")
    token = {"secret": said["access_token"], "expires_in": said.get("expires_in"), "scope": said.get("scope")}
    return {"ok": {"tokens": [token], "grant": new}}

say({"v": [1]})
for asked in map(json.loads, sys.stdin):
    held = (asked.get("record") or {}).get("grant")
    if asked["action"] == "describe": say({"ok": {"issuer": asked["settings"]["token_url"], "actions": ["exchange", "login"], "login_with": ["refresh_token"]}})
    elif asked["action"] == "login":
        if "secret" not in asked["login"]: say({"ask": {"question": "Refresh token", "hidden": True}})
        say(refresh(asked, asked["login"].get("secret") or hear()["answer"]))
    else: say(refresh(asked, held["secret"]) if held else err("login-required", "there is no login"))
