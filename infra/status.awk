# Prints a table of containers from lines `memory|name|used / limit`, `process|/name|pid` and
# `name|service|state|health|exit code|uptime|ports`; exit code 0 only if all are healthy.
function mebibytes(text, number) {
    sub(/ \/.*/, "", text)
    number = text + 0
    if (text ~ /GiB/) return number * 1024
    if (text ~ /KiB/) return number / 1024
    if (text ~ /MiB/) return number
    return number / 1048576
}
function row(service, state, pid, port, memory, uptime, detail) {
    printf "%-22s  %-10s  %8s  %5s  %10s  %-16s  %s\n", service, state, pid, port, memory, uptime, detail
}
BEGIN { row("service", "state", "pid", "port", "memory", "uptime", "detail") }
$1 == "memory" { used[$2] = mebibytes($3); all += used[$2]; next }
$1 == "process" { pid[substr($2, 2)] = $3; next }
{
    state = $3; detail = ""
    # Completed steps of the launch are not shown.
    if ($3 == "exited" && $5 == 0 && $2 ~ /^(init|fill|marts)$/) next
    if ($2 == "cli") next
    if ($3 == "running") state = $4 == "" ? "healthy" : $4
    if ($3 != "running") detail = "exit code " $5
    if (state != "healthy") unhealthy = 1
    if ($2 == "producer") live = 1
    sub(/^Up /, "", $6); sub(/ \(.*/, "", $6); split($7, ports, " ")
    row($2, state, pid[$1], ports[1], used[$1] ? sprintf("%.0f MiB", used[$1]) : "", $3 == "running" ? $6 : "", detail)
}
END {
    if (!live) row("producer", "off", "", "", "", "", "`make up` starts it")
    row("all", "", "", "", sprintf("%.0f MiB", all), "", "")
    exit unhealthy
}
