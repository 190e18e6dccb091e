# A plugin that sends every kind of message, and records the messages of both sides in files next to itself.
send() { printf '%s\n' "$1" | tee -a "$0.from_plugin"; }
receive() { IFS= read -r message && printf '%s\n' "$message" >>"$0.from_broker"; }
send '{"v":[1,2]}'
while receive; do
    case $message in
    *'"action":"describe"'*)
        send '{"ok":{"issuer":"https://login.example.org","actions":["exchange","login","revoke"],"scopes":true,"expires":true}}' ;;
    *'"action":"login"'*)
        send '{"tell":{"message":"good morning"}}'
        send '{"ask":{"question":"Name: "}}'
        receive
        send '{"ask":{"question":"Password: ","hidden":true}}'
        receive
        send '{"show_code":{"verification_uri":"https://login.example.org/activate","user_code":"ABCD","expires_in":900}}'
        send '{"waiting":{"seconds_left":899}}'
        send '{"ok":{"grant":"the-grant","account":"ada","kept":{"id":7}}}' ;;
    *'"action":"exchange"'*'"scopes":["stac"]'*)
        send '{"ok":{"tokens":[{"scopes":["stac"],"secret":"stac-token","type":"Bearer","expires_at":null,"scope":"stac"}]}}' ;;
    *'"action":"exchange"'*)
        send '{"ok":{"tokens":[{"secret":"the-token","expires_in":"3600"}]}}' ;;
    *'"action":"revoke"'*)
        send '{"ok":{"revoked":true,"note":"all of it"}}' ;;
    esac
done
