# Completion of nexusctl in bash: source <(nexusctl completion bash)
_nexusctl() {
    local line="${COMP_LINE:0:COMP_POINT}" current='' quote='' begun='' char value rest prefix=''
    local -a words=()
    local -i at
    # The words as the shell would hand them over: without quotes and backslashes.
    for ((at = 0; at < ${#line}; at++)); do
        char="${line:at:1}"
        case "$quote$char" in
        "''" | '""') quote='' ;;
        '"\'*) at+=1 current+="${line:at:1}" ;;
        "'"?* | '"'?*) current+="$char" ;;
        "'" | '"') quote="$char" begun=1 prefix="$current" ;;
        '\') at+=1 current+="${line:at:1}" begun=1 ;;
        [[:space:]])
            [[ -n $begun ]] && words+=("$current")
            current='' begun='' prefix=''
            ;;
        # bash completes what stands behind the last of these, not the whole word.
        [=:]) current+="$char" begun=1 prefix="$current" ;;
        *) current+="$char" begun=1 ;;
        esac
    done
    words+=("$current")
    COMPREPLY=()
    while IFS=$'\t' read -r value rest; do
        case $value in
        '') ;;
        :nospace) compopt -o nospace 2>/dev/null ;;
        :files)
            # What is a name and no file ends as it is.
            if ((${#COMPREPLY[@]})); then compopt -o nospace 2>/dev/null; else compopt -o filenames 2>/dev/null; fi
            while IFS= read -r value; do
                ((${#COMPREPLY[@]})) && [[ -d $value ]] && value+=/
                COMPREPLY+=("$value")
            done < <(compgen -f -- "${current#*=}")
            return 0
            ;;
        *) COMPREPLY+=("$value") ;;
        esac
    done < <("${words[0]/#\~/$HOME}" __complete -- "${words[@]:1}" 2>/dev/null)
    [[ -n $prefix ]] && COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
    return 0
}
# Revisions come newest first, and stay so where the shell can.
complete -o nosort -F _nexusctl nexusctl 2>/dev/null || complete -F _nexusctl nexusctl
