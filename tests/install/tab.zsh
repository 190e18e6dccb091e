# Types `broker tok` and Tab to a zsh that has only compinit, and waits for `broker token`.
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'autoload -Uz compinit && compinit -u -D && print rea''dy'
zpty -r -m shell line '*ready*'
zpty -w -n shell $'broker tok\t'
zpty -r -m shell line '*broker token*'
