# Completion of nexusctl in fish: nexusctl completion fish | source
function __nexusctl_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in ($words[1] __complete -- $words[2..-1] 2>/dev/null)
        switch $line
            case ':files'
                __fish_complete_path (commandline -ct)
            case ':*' ''
            case '*'
                echo $line
        end
    end
end
complete -c nexusctl -f -k -a '(__nexusctl_complete)'
