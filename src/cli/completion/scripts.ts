export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** Each script only asks `gantry __complete` and hands on what it says, so it need not be renewed with gantry. */
export const SCRIPTS: Readonly<Record<Shell, string>> = {
  bash: `# bash completion of gantry. For this shell:   source <(gantry completion bash)
# For every one:   gantry completion bash > /etc/bash_completion.d/gantry
_gantry() {
    local IFS=$'\\n' line
    local -a lines
    mapfile -t lines < <("\${COMP_WORDS[0]}" __complete --shell bash -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    COMPREPLY=()
    if [[ \${lines[0]-} == ":files" ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}")
        return
    fi
    for line in "\${lines[@]}"; do
        COMPREPLY+=("\${line%%$'\\t'*}")
    done
}
complete -F _gantry gantry
`,
  zsh: `#compdef gantry
# zsh completion of gantry. For this shell:   source <(gantry completion zsh)
# For every one:   gantry completion zsh > "\${fpath[1]}/_gantry"
_gantry() {
    local line value
    local -a lines described
    lines=("\${(@f)$("\${words[1]}" __complete --shell zsh -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ "\${lines[1]}" == ":files" ]]; then
        _files
        return
    fi
    for line in "\${lines[@]}"; do
        [[ -n "$line" ]] || continue
        value="\${line%%$'\\t'*}"
        value="\${value//:/\\\\:}"
        [[ "$line" == *$'\\t'* ]] && value+=":\${line#*$'\\t'}"
        described+=("$value")
    done
    _describe 'gantry' described
}
if [ "\${funcstack[1]}" = "_gantry" ]; then
    _gantry
else
    compdef _gantry gantry
fi
`,
  fish: `# fish completion of gantry. For this shell:   gantry completion fish | source
# For every one:   gantry completion fish > ~/.config/fish/completions/gantry.fish
function __gantry_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -l lines ($before[1] __complete --shell fish -- $before[2..-1] "$current" 2>/dev/null)
    if test "$lines[1]" = ":files"
        __fish_complete_path "$current"
        return
    end
    printf '%s\\n' $lines
end
complete -c gantry -f -a '(__gantry_complete)'
`,
};
