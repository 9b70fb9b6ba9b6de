# shellcheck shell=bash
# The commands of the platform in containers. Needs nothing but bash, Docker's engine and Compose v2: whatever must know more
# runs in the platform's image.

env_file="${SLUICE_ENV_FILE:-.env}"
export SLUICE_ENV_FILE="$env_file"
needs_engine=25 needs_compose=2.24 needs_gib=4

fail() {
    echo "sluice: $1" >&2
    exit 1
}

# Chooses the files: with a profile, what differs by it comes on top.
use_profile() {
    export COMPOSE_PATH_SEPARATOR=: COMPOSE_FILE="docker-compose.yaml${1:+:infra/compose/$1.yaml}"
}

# Its progress is for who looks on; a log would get a line for each step of each container.
compose() {
    local progress=auto
    [ -t 2 ] || progress=quiet
    docker compose --progress "$progress" --env-file "$env_file" "$@"
}

in_containers() {
    local command="${1:-}"
    [ $# = 0 ] || shift
    case "$command" in up | doctor) ;; *) need_settings ;; esac
    case "$command" in
        up | down | clean | status | logs | doctor) "docker_$command" "$@" ;;
        *) run_cli "$command" "$@" ;;
    esac
}

need_settings() {
    local fault
    fault="$(engine_fault)"
    [ -z "$fault" ] || fail "$fault"
    [ -f "$env_file" ] || fail "there is no $env_file, so nothing was launched yet: \`make up\`"
}

run_cli() {
    local options=(--rm --no-deps --quiet-pull)
    # A terminal at both ends is the command's; else its output must stay as it is.
    if ! [ -t 0 ] || ! [ -t 1 ]; then options+=(--no-TTY --interactive=false); fi
    compose run "${options[@]}" cli "$@"
}

# --- what can be wrong with the machine: each prints a line with its mend, or nothing

engine_fault() {
    local said compose
    if ! command -v docker >/dev/null; then
        echo "Docker is not installed: see https://docs.docker.com/engine/install"
    elif ! said="$(docker version --format '{{.Server.Version}}' 2>&1)"; then
        case "$said" in
            *"permission denied"*)
                echo "no permission on Docker's socket: \`sudo usermod -aG docker $(id -un)\`, then log in again" ;;
            *) echo "Docker's engine does not answer: start it, as with \`sudo systemctl start docker\`" ;;
        esac
    elif older "$said" "$needs_engine"; then
        echo "Docker's engine $said is too old: update it to $needs_engine or later"
    elif ! compose="$(docker compose version --short 2>/dev/null)"; then
        echo "Docker has no Compose v2: install the package docker-compose-plugin"
    elif older "$compose" "$needs_compose"; then
        echo "Docker Compose $compose is too old: update it to $needs_compose or later"
    fi
}

older() {
    local found="${1#v}" wanted="$2.0"
    local major="${found%%.*}" rest="${found#*.}"
    local minor="${rest%%[!0-9]*}" wanted_rest="${wanted#*.}"
    [ "$major" -lt "${wanted%%.*}" ] || { [ "$major" -eq "${wanted%%.*}" ] && [ "${minor:-0}" -lt "${wanted_rest%%.*}" ]; }
}

memory_fault() {
    local bytes
    bytes="$(docker info --format '{{.MemTotal}}')"
    [ "$bytes" -ge $((needs_gib * 1000 ** 3)) ] ||
        echo "Docker has $((bytes / 1000 ** 2)) MB of memory, the platform needs $needs_gib GiB: give it more"
}

# Every published port, with the setting that changes it: "SLUICE_KAFKA_PORT 9092".
ports() {
    local name default given
    local files
    IFS=: read -r -a files <<<"$COMPOSE_FILE"
    cat "${files[@]}" | tr ',' '\n' | sed -n 's/.*"127\.0\.0\.1:\${\(SLUICE_[A-Z0-9_]*\):-\([0-9]*\)}.*/\1 \2/p' |
        while read -r name default; do
            given="$(setting "$name")"
            echo "$name ${given:-$default}"
        done
}

# A setting's value: the environment's, else the settings file's, else nothing.
setting() {
    if [ -n "${!1:-}" ]; then
        echo "${!1}"
    elif [ -f "$env_file" ]; then
        sed -n "s/^\(export \)\{0,1\}$1=//p" "$env_file" | tail -n 1 | tr -d "\"'\r"
    fi
}

port_faults() {
    local name port ours
    ours=" $([ ! -f "$env_file" ] || compose ps --format '{{range .Publishers}}{{.PublishedPort}} {{end}}' | tr '\n' ' ') "
    ports | while read -r name port; do
        if [[ $ours != *" $port "* ]] && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "port $port ($name) is taken by $(owner "$port"): end that, or choose another port in $env_file"
        fi
    done
}

owner() {
    local found
    found="$(docker ps --filter "publish=$1" --format 'the container {{.Names}}' | head -n 1)"
    if [ -z "$found" ] && command -v ss >/dev/null; then
        found="$(ss -Hltnp "sport = :$1" | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/process \2 (\1)/p' | head -n 1)"
    fi
    echo "${found:-a process of another user}"
}

# --- the commands

docker_doctor() {
    local fault faults=0
    fault="$(engine_fault)"
    [ -z "$fault" ] || { report Docker "$fault"; return 1; }
    report Docker "" "engine $(docker version --format '{{.Server.Version}}'), Compose $(docker compose version --short)"
    report memory "$(memory_fault)" "at least $needs_gib GiB" || faults=1
    report ports "$(port_faults)" "$(ports | while read -r _ port; do printf '%s ' "$port"; done)" || faults=1
    return "$faults"
}

report() {
    if [ -n "$2" ]; then
        while read -r line; do printf '%-8s fault  %s\n' "$1" "$line"; done <<<"$2"
        return 1
    fi
    printf '%-8s ok     %s\n' "$1" "$3"
}

docker_up() {
    local months=1 live=yes fault start=$SECONDS
    while [ $# -gt 0 ]; do
        case "$1" in
            --months) months="$2"; shift 2 ;;
            --live) live=yes; shift ;;
            --no-live) live=; shift ;;
            *) fail "up takes --months, --live and --no-live, not $1" ;;
        esac
    done
    [[ $months =~ ^([0-9]|1[0-2])$ ]] ||
        fail "MONTHS=$months is not possible: the data has the 12 months of 2013; 0 replays nothing"
    fault="$(engine_fault)"
    [ -n "$fault" ] || fault="$(memory_fault)"
    [ -z "$fault" ] || fail "$fault"
    build_images
    complete_settings
    fault="$(port_faults)"
    [ -z "$fault" ] || fail "$fault"

    export MONTHS="$months" SLUICE_CONTRACTS_DIGEST
    SLUICE_CONTRACTS_DIGEST="$(cat contracts/*.yaml | cksum | tr ' ' -)"
    # The last step waits, through its needs, for all the services that others need, each until it is healthy.
    if ! compose up --detach --remove-orphans marts || [ "$(docker wait "$(compose ps --all --quiet marts)")" != 0 ]; then
        show_faults
        fail "the platform is not up; the lines above say why, and \`make logs S=<service>\` more"
    fi
    if [ -n "$live" ]; then
        compose up --detach --no-deps producer
    else
        compose rm --stop --force producer >/dev/null
    fi
    # shellcheck disable=SC2046 # words without spaces
    docker run --rm --network none $(ports | sed 's/\(.*\) /--env=\1=/') sluice-platform addresses "$env_file"
    echo "the platform is up ($((SECONDS - start)) s)"
}

# From the cache where nothing has changed, which takes a second or two.
build_images() {
    local logs="${SLUICE_HOME:-.sluice}/logs" failed=
    mkdir -p "$logs"
    docker image inspect sluice-platform sluice-minio >/dev/null 2>&1 ||
        echo "images: building MinIO from its source, and Airflow's and dbt's environments; some minutes, once"
    docker build --tag sluice-minio infra/images/minio >"$logs/build-minio.log" 2>&1 &
    docker build --tag sluice-platform --file infra/images/platform/Dockerfile . >"$logs/build-platform.log" 2>&1 ||
        failed=platform
    wait $! || failed="minio"
    [ -z "$failed" ] || { tail -n 25 "$logs/build-$failed.log" >&2; fail "the image sluice-$failed cannot be built"; }
}

# Writes the settings file, for its owner alone, or adds what it lacks; the image knows what there must be.
complete_settings() {
    local more
    more="$( ([ ! -f "$env_file" ] || cat "$env_file") | docker run --rm --interactive --network none sluice-platform settings)"
    [ -n "$more" ] || return 0
    # Whole or not at all: an interrupted launch must not leave a file without some of its secrets.
    (umask 077 && { [ ! -f "$env_file" ] || cat "$env_file"; echo "$more"; } >"$env_file.$$")
    mv "$env_file.$$" "$env_file"
    echo "settings: $env_file has the ports and secrets"
}

show_faults() {
    local name
    compose ps --all --format '{{.Service}} {{.State}} {{.ExitCode}} {{.Health}}' | while read -r name state code health; do
        # One that dies at each start is starting whenever it is looked at.
        if [ "${health:-healthy}" != healthy ] || { [ "$state" != running ] && [ "$code" != 0 ]; }; then
            echo "$name: $state, exit code $code${health:+, $health}"
            compose logs --no-log-prefix --tail 15 "$name" </dev/null | sed 's/^/    /'
        fi
    done >&2
}

docker_down() {
    compose down --remove-orphans
    echo "everything is stopped; the data stays, \`make up\` goes on with it"
}

docker_clean() {
    local answer
    if [ "${1:-}" != --force ]; then
        [ -t 0 ] || fail "nobody is there to ask whether the data may go: \`make clean FORCE=1\`"
        read -r -p "Delete all data of the platform, in Docker's volumes? [y/N] " answer
        [[ $answer == [yY]* ]] || fail "nothing is deleted"
    fi
    compose down --volumes --remove-orphans
    echo "the data is deleted; settings and images stay"
}

docker_logs() {
    if [ $# -gt 0 ] && [ -t 1 ]; then set -- --follow "$@"; fi
    compose logs --tail 20 "$@"
}

# A line per container: the same columns as without containers; exit code 0 only if every one is healthy.
docker_status() {
    local format='{{.Name}}|{{.Service}}|{{.State}}|{{.Health}}|{{.ExitCode}}|{{.Status}}|{{range .Publishers}}{{if .PublishedPort}}{{.PublishedPort}} {{end}}{{end}}'
    local containers ids
    containers="$(compose ps --all --format "$format")"
    [ -n "$containers" ] || { echo "nothing runs: \`make up\` starts it"; return 1; }
    ids="$(compose ps --quiet)"
    {
        # shellcheck disable=SC2086 # words without spaces
        [ -z "$ids" ] || {
            docker stats --no-stream --format 'memory|{{.Name}}|{{.MemUsage}}' $ids
            docker inspect --format 'process|{{.Name}}|{{.State.Pid}}' $ids
        }
        echo "$containers"
    } | awk -F '|' -f infra/status.awk
}
