# Checks the variables on make's command line, GIVEN, against those that the targets to be made, GOALS, take: their help texts in
# the Makefile name each as `NAME=`. Prints one line for the first that is unknown, with the name that was meant, and exits with 1.
# So does a yes or no, which the recipes call a flag, that is neither.
function distance(a, b, i, j, row, diagonal, above, cost) {
    for (j = 0; j <= length(b); j++) row[j] = j
    for (i = 1; i <= length(a); i++) {
        diagonal = row[0]
        row[0] = i
        for (j = 1; j <= length(b); j++) {
            above = row[j]
            cost = diagonal + (substr(a, i, 1) != substr(b, j, 1))
            if (above + 1 < cost) cost = above + 1
            if (row[j - 1] + 1 < cost) cost = row[j - 1] + 1
            row[j] = cost
            diagonal = above
        }
    }
    return row[length(b)]
}
# Of two words that have a letter or two in common, such as N and NAME, neither is short for the other.
function is_short_for(a, b) { return length(a) > 2 && length(b) > 2 && (index(a, b) == 1 || index(b, a) == 1) }
function closest(name, i, words, far, best, nearest) {
    if (name in takes) return name
    for (i = split(synonyms[name], words, "|"); i > 0; i--) if (words[i] in takes) best = words[i]
    if (best != "") return best
    nearest = 3
    for (i = 1; i <= count; i++) {
        far = is_short_for(name, names[i]) ? 1 : distance(name, names[i])
        if (far < nearest && far < length(name)) { nearest = far; best = names[i] }
    }
    return best
}
# Spelled as the Makefile knows a no: it would take any other for a yes.
function is_yes_or_no(value) {
    return value == "" || value ~ /^(0|n|N|no|No|NO|off|Off|OFF|false|False|FALSE|1|y|Y|yes|Yes|YES|on|On|ON|true|True|TRUE)$/
}
function is_global(name) {
    return name ~ /^(OPENLINEAGE_URL|RUNTIME|PROFILE|PYTHON|SHELL|SLUICE)$/ || name ~ /^(SLUICE|PIP|UV|DOCKER)_/ || toupper(name) ~ /PROXY$/
}
function add(list, item) { return list == "" ? item : list ", " item }
BEGIN {
    goal_count = split(ENVIRON["GOALS"], words, " ")
    for (i = 1; i <= goal_count; i++) {
        wanted[words[i]]
        goals = add(goals, "`make " words[i] "`")
    }
    # What else people call a variable; of several meanings, the first that a target takes.
    split("START FROM SINCE FROM END TO UNTIL TO DAY DATE|FROM DATE FROM COUNT N LIMIT N QUERY Q SQL Q ROLE AS SERVICE S MODE WHAT " \
        "NAME STREAM|STREAMS|N TOPIC STREAM|STREAMS|NAME STREAM STREAMS|NAME EXERCISE N", words, " ")
    for (i = 1; i in words; i += 2) synonyms[words[i]] = words[i + 1]
    flags["LIVE"]
}
{
    line = $0
    while (match(line, /call flag,[A-Z_]+/)) {
        flags[substr(line, RSTART + 10, RLENGTH - 10)]
        line = substr(line, RSTART + RLENGTH)
    }
}
/^[a-z0-9-]+:.*## / {
    target = substr($0, 1, index($0, ":") - 1)
    help = substr($0, index($0, "## "))
    while (match(help, /[A-Z][A-Z_]*=/)) {
        name = substr(help, RSTART, RLENGTH - 1)
        help = substr(help, RSTART + RLENGTH)
        owners[name] = add(owners[name], "`make " target "`")
        if (target in wanted && !(name in takes)) { takes[name]; names[++count] = name; all = add(all, name) }
    }
}
END {
    given_count = split(ENVIRON["GIVEN"], given, " ")
    for (i = 1; i <= given_count; i++) {
        if (given[i] in takes && given[i] in flags && !is_yes_or_no(ENVIRON[given[i]])) {
            print "sluice: " given[i] " is neither a yes nor a no. Hint: write " given[i] "=1 or " given[i] "=0." >"/dev/stderr"
            exit 1
        }
        if (given[i] in takes || is_global(given[i])) continue
        meant = closest(toupper(given[i]))
        if (meant != "") hint = "write " meant "=" (count > 1 ? "; it takes " all : "")
        else if (all != "") hint = "it takes " all
        else if (given[i] in owners) hint = "it takes no variables; " given[i] "= is for " owners[given[i]]
        else hint = "it takes no variables"
        print "sluice: " goals " has no variable " given[i] ". Hint: " hint "." >"/dev/stderr"
        exit 1
    }
}
