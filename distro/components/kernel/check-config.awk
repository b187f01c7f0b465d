# Is the final kernel configuration exactly what the fragments ask for?
#
#   find . -name 'Kconfig*' -type f -exec cat {} + >symbols
#   awk -f check-config.awk symbols .config fragment.config...
#
# First file: every Kconfig text of the source tree, to know which options exist at all. Second file: the final
# configuration. The rest: fragments. Each thing that is wrong is one line on stderr naming file, line and option;
# the exit status is then 1. Wrong is: an option that this kernel does not have (a misspelt "is not set" would
# otherwise always be true), an option that two lines ask for, a line that is neither a request nor a comment, and
# a request that the final configuration does not grant.

function complain(text) {
    print FILENAME ":" FNR ": " text > "/dev/stderr"
    wrong++
}

FNR == 1 { part++ }

# Part 1: "config NAME" and "menuconfig NAME".
part == 1 {
    if ($1 == "config" || $1 == "menuconfig") known[$2] = 1
    next
}

# The value a line gives to an option, into `option` and `value`; false for anything else.
function assignment(line,    at) {
    if (line ~ /^# CONFIG_[A-Za-z0-9_]+ is not set$/) {
        option = substr(line, 10, length(line) - 9 - length(" is not set"))
        value = "n"
        return 1
    }
    if (line ~ /^CONFIG_[A-Za-z0-9_]+=/) {
        at = index(line, "=")
        option = substr(line, 8, at - 8)
        value = substr(line, at + 1)
        return 1
    }
    return 0
}

# Part 2: the final configuration.
part == 2 {
    if (assignment($0)) final[option] = value
    next
}

# Part 3 and later: fragments.
{
    if (!assignment($0)) {
        if ($0 !~ /^(#( .*)?)?$/) complain("neither `CONFIG_X=value`, `# CONFIG_X is not set` nor a comment: " $0)
        else if ($0 ~ /^# *CONFIG_[A-Za-z0-9_]+ *(=|is not)/) complain("looks like a request but is a comment: " $0)
        next
    }
    requests++
    if (option in asked) complain("CONFIG_" option " was already asked for at " asked[option])
    asked[option] = FILENAME ":" FNR
    got = (option in final) ? final[option] : "n"
    if (!(option in known)) complain("CONFIG_" option " does not exist in this kernel")
    else if (got != value) complain("CONFIG_" option "=" value " is wanted, but the final configuration has " (option in final ? "CONFIG_" option "=" got : "CONFIG_" option " not set (is a parent option missing?)"))
}

END {
    if (part < 3) { print "check-config.awk: no fragments given" > "/dev/stderr"; exit 1 }
    if (wrong) { print "check-config.awk: " wrong " faults, " requests " requests" > "/dev/stderr"; exit 1 }
    print "check-config.awk: all " requests " requests are met"
}
