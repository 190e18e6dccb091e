#!/bin/sh
# Client credentials (RFC 6749 section 4.4), as a plugin in POSIX sh, with curl and jq.
# Settings: token_url, client_id, and timeout in seconds if not 10. Secrets: client_secret.
# Secrets stand in no argument: printf is the shell's own, and curl reads its settings on its standard input.

unavailable() { jq -cn --arg message "$1" '{err: {kind: "unavailable", message: $message}}'; }

exchange() {
    answer=$(printf '%s' "$asked" | jq -r '
        "user = \(.settings.client_id | @uri):\(.secrets.client_secret | @uri)",
        "url = \(.settings.token_url | tojson)",
        "max-time = \(.settings.timeout // 10)"' |
        curl --silent --config - --data grant_type=client_credentials --max-filesize 1048576 \
            --proto '=https,http' --write-out '\n%{http_code}') || { unavailable "no answer"; return; }
    # What is no JSON object says nothing, whatever its status.
    printf '%s' "${answer%????}" | jq -cse --argjson status "${answer##*
}" 'if length != 1 or (.[0] | type) != "object" then empty else .[0] end
        | if $status == 429 or $status >= 500 or .error == "server_error" or .error == "temporarily_unavailable" then empty
          elif .error then {err: {kind: "refused", message: (.error_description // .message // .error | tostring)}}
          elif $status == 200 and (.access_token | type == "string" and . != "") then
            {ok: {tokens: [{secret: .access_token, expires_in, scope}]}}
          else empty end' 2>/dev/null || unavailable "HTTP ${answer##*
}, and no token in it"
}

echo '{"v":[1]}'
while IFS= read -r asked; do
    case $(printf '%s' "$asked" | jq -r .action) in
        describe) printf '%s' "$asked" | jq -c '{ok: {issuer: .settings.token_url, actions: ["exchange"]}}' ;;
        exchange) exchange ;;
        *) echo '{"err":{"kind":"not-supported","message":"only exchange is"}}' ;;
    esac
done
