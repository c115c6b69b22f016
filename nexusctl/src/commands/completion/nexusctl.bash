# Completion of nexusctl in bash: source <(nexusctl completion bash)
_nexusctl() {
    local line="${COMP_LINE:0:COMP_POINT}" current value rest prefix
    local -a words
    read -r -a words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current="${words[${#words[@]} - 1]}"
    COMPREPLY=()
    while IFS=$'\t' read -r value rest; do
        case $value in
        '') ;;
        :nospace) compopt -o nospace 2>/dev/null ;;
        :files)
            compopt -o filenames 2>/dev/null
            while IFS= read -r value; do COMPREPLY+=("$value"); done < <(compgen -f -- "${current#*=}")
            return 0
            ;;
        *) COMPREPLY+=("$value") ;;
        esac
    done < <("${words[0]/#\~/$HOME}" __complete -- "${words[@]:1}" 2>/dev/null)
    # bash completes what stands behind the last of these, not the whole word.
    if [[ $current == *[=:]* ]]; then
        prefix="${current%"${current##*[=:]}"}"
        COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
    fi
}
complete -F _nexusctl nexusctl
