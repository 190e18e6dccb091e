# A plugin that uses every message there is, and notes what is said either way beside itself.
say() { printf '%s\n' "$1" | tee -a "$0.from_plugin"; }
hear() { IFS= read -r heard && printf '%s\n' "$heard" >>"$0.from_broker"; }
say '{"v":[1,2]}'
while hear; do
    case $heard in
    *'"action":"describe"'*)
        say '{"ok":{"issuer":"https://login.example.org","actions":["exchange","login","revoke"],"scopes":true,"expires":true}}' ;;
    *'"action":"login"'*)
        say '{"tell":{"message":"good morning"}}'
        say '{"ask":{"question":"Name: "}}'
        hear
        say '{"ask":{"question":"Password: ","hidden":true}}'
        hear
        say '{"show_code":{"verification_uri":"https://login.example.org/activate","user_code":"ABCD","expires_in":900}}'
        say '{"waiting":{"seconds_left":899}}'
        say '{"ok":{"grant":"the-grant","account":"ada","kept":{"id":7}}}' ;;
    *'"action":"exchange"'*'"scopes":["stac"]'*)
        say '{"ok":{"tokens":[{"scopes":["stac"],"secret":"stac-token","type":"Bearer","expires_at":null,"scope":"stac"}]}}' ;;
    *'"action":"exchange"'*)
        say '{"ok":{"tokens":[{"secret":"the-token","expires_in":"3600"}]}}' ;;
    *'"action":"revoke"'*)
        say '{"ok":{"revoked":true,"note":"all of it"}}' ;;
    esac
done
