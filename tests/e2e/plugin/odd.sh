# A plugin whose behaviour the file $0.mode selects. It records the id of each process in $0.pids.
echo $$ >>"$0.pids"
mode=$(cat "$0.mode")
case $mode in
no-hello) echo 'welcome to the plugin' ;;
versions) echo '{"v":[7,8]}' ;;
crash-first) echo 'no such module: planets' >&2; exit 3 ;;
hang-first) sleep 600 ;;
esac
echo '{"v":[1],"since":"unknown fields are ignored"}'
IFS= read -r request || exit
issuer=https://login.example.org
actions='"exchange","revoke"'
case $mode in logs-in*) actions='"exchange","login"' ;; esac
[ "$mode" = elsewhere ] && issuer=https://login.example.com
# In one write, so that it arrives before the request.
early=
case $mode in unasked | logs-in-early) early='{"ok":{"grant":"KANARIE-early"}}' ;; esac
printf '%s\n' '{"ok":{"issuer":"'$issuer'","actions":['"$actions"'],"mood":"fine"}}' ${early:+"$early"}
IFS= read -r request || exit
good='{"v":1,"ok":{"tokens":[{"secret":"KANARIE-token-'$$'","expires_in":3600}],"grant":"KANARIE-grant-'$$'"}}'
case $mode in
good | elsewhere) echo "$good" ;;
hang) sleep 600 ;;
crash) echo 'the planets do not align' >&2; exit 7 ;;
killed) kill -9 $$ ;;
garbage) echo '<html>KANARIE</html>' ;;
half) printf '{"ok":{"tokens":[' ;;
nothing) echo '{"ok":{}}' ;;
asks) echo '{"ask":{"question":"Password: "}}'; sleep 600 ;;
long-line) head -c 100000000 /dev/zero | tr '\0' a ;;
many-lines) yes '' ;;
closes) exec >&-; sleep 600 ;;
forks) sleep 600 & echo $! >>"$0.pids" ;;
stays) : >"$0.answered"; echo "$good"; trap '' TERM; sleep 600 & echo $! >>"$0.pids"; wait; wait ;;
twice) echo "$good"; echo "$good" ;;
stderr) head -c 100000000 /dev/zero | tr '\0' a >&2; echo "$good" ;;
leaks) printf 'request: %s\nresponse: %s\n' "$request" "$good" >&2; echo "$good" ;;
waits) : >"$0.asked"; until [ -e "$0.go" ]; do sleep 0.02; done; echo "$good" ;;
env) [ -z "${PLUGIN_KEY+set}" ] && echo "$good" ;;
saves-request) umask 077; printf '%s\n' "$request" >"$0.saved-request"; echo "$good" ;;
jwt) echo '{"ok":{"tokens":[{"secret":"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.KANARIE"}]}}' ;;
refuses) echo '{"ok":{"grant_refused":true}}' ;;
empty) echo '{"ok":{"tokens":[{"secret":""}],"grant":""}}' ;;
control-scope) echo '{"ok":{"tokens":[{"secret":"KANARIE-t","scopes":["a\u001bb"]}]}}' ;;
other-scope) echo '{"ok":{"tokens":[{"secret":"KANARIE-t","scopes":["other"],"expires_in":3600}]}}' ;;
number) echo '{"err":{"kind":"unavailable","message":503,"retry_after":"90"}}' ;;
only-grant) echo '{"ok":{"tokens":[{"secret":7}],"grant":"KANARIE-grant-new"}}' ;;
rotates-*)
    case $request in
    *KANARIE-rotated*) echo "$good"; exit ;;
    *KANARIE-grant-*) ;;
    *) echo "$good"; exit ;;
    esac
    start='{"ok":{"grant":"KANARIE-rotated","tokens":[{"secret":"KANARIE-t",'
    whole=$start'"expires_in":3600}]}}'
    case $mode in
    *-cut) printf '%s' "$start" ;;
    *-cut-killed) printf '%s' "$start"; kill -9 $$ ;;
    *-cut-stays) printf '%s' "$start"; sleep 600 ;;
    *-no-line-end) printf '%s' "$whole"; sleep 600 ;;
    *-log-line) echo 'INFO refreshing'; sleep 0.3; echo "$whole"; sleep 600 ;;
    *-tell) echo '{"tell":{"message":"refreshing"}}'; sleep 0.3; echo "$whole" ;;
    *-pretty) printf '%s' "$whole" | sed 's/[{,]/&\n/g'; sleep 600 ;;
    *-mark) printf '\357\273\277%s\n' "$whole" ;;
    *-dict) printf '%s\n' "$whole" | tr '"' "'" ;;
    *-nan) echo "$start"'"expires_in":NaN}]}}' ;;
    *-twice) echo "$start"'"expires_in":3600}],"grant":"KANARIE-rotated"}}' ;;
    *-and-err) echo "${whole%?}"',"err":{"kind":"failed"}}' ;;
    *-long) printf '%s' "$start"; head -c 2000000 /dev/zero | tr '\0' a ;;
    esac
    ;;
logs-in-malformed) echo '{"ok":{"account":7,"grant":"KANARIE-grant-of-login"}}' ;;
*) echo "{\"err\":$mode}" ;;
esac
