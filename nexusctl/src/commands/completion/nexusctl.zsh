#compdef nexusctl
# Completion of nexusctl in zsh: source <(nexusctl completion zsh)
_nexusctl() {
    local line value help directive
    local -a described
    for line in "${(@f)$("${words[1]}" __complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $line in
        '') ;;
        :*) directive=$line ;;
        *)
            value=${line%%$'\t'*}
            help=${line#$value}
            help=${help#$'\t'}
            described+=("${value//:/\\:}${help:+:$help}")
            ;;
        esac
    done
    case $directive in
    :files)
        ((${#described})) && _describe -V nexusctl described -S ''
        _files
        ;;
    :nospace) _describe -V nexusctl described -S '' ;;
    *) _describe -V nexusctl described ;;
    esac
}
if [ "${funcstack[1]}" = _nexusctl ]; then
    _nexusctl "$@"
else
    compdef _nexusctl nexusctl
fi
