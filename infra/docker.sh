# shellcheck shell=bash
# The platform's commands in containers. Needs only bash, Docker's engine and Compose v2; everything that needs more runs in the
# platform's image.

env_file="${SLUICE_ENV_FILE:-.env}"
export SLUICE_ENV_FILE="$env_file"
# What is started only on request belongs to the project all the same: every command knows its containers.
optional=(--profile observe --profile spark)
container_id=1000 min_engine=25 min_compose=2.24 min_gib=4

# Prints an error as one line from a message and, optionally, a hint.
error_line() {
    echo "$1${2:+. Hint: $2.}"
}

fail() {
    echo "sluice: $(error_line "$@")" >&2
    exit 1
}

# Selects the Compose files; a profile adds a file that overrides the base. Compose's other variables in the user's shell are for
# other projects.
use_profile() {
    local variable
    for variable in ${!COMPOSE_*}; do
        [ "$variable" = COMPOSE_PROJECT_NAME ] || unset "$variable"
    done
    use_project
    export COMPOSE_PATH_SEPARATOR=: COMPOSE_FILE="docker-compose.yaml${1:+:infra/compose/$1.yaml}"
}

# The settings file fixes the name of the project, and so of its volumes. Until it does, the shell's or Compose's default counts.
use_project() {
    local name
    name="$(setting_in_file COMPOSE_PROJECT_NAME)"
    [ -z "$name" ] || export COMPOSE_PROJECT_NAME="$name"
}

# Progress is only for terminals; a log would get several lines for each container.
compose() {
    local progress=auto
    [ -t 2 ] || progress=quiet
    docker compose --progress "$progress" --env-file "$env_file" "${optional[@]}" "$@"
}

# Starts services and what they need. A log gets one line for each that is up or, for a step of the launch, done.
compose_up() {
    local kind name state rest seen=' '
    if [ -t 2 ]; then
        compose up --detach "$@"
        return
    fi
    docker compose --progress plain --env-file "$env_file" "${optional[@]}" up --detach "$@" 2>&1 | while read -r kind name state rest; do
        case "$kind $state" in
            "Container Healthy") state=healthy ;;
            "Container Exited") state="done" ;;
            "Container Error") state=failed ;;
            Container* | Network* | Volume* | Image*) continue ;;
            *) echo "$kind $name $state${rest:+ $rest}" >&2; continue ;;
        esac
        # Compose reports a container to each that waits for it.
        case "$seen" in *" $name "*) continue ;; esac
        seen="$seen$name "
        name="${name#"${COMPOSE_PROJECT_NAME:-}-"}"
        echo "${name%-[0-9]*}: $state ($((SECONDS - launch_start)) s)"
    done
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
    [ -f "$env_file" ] || fail "there is no $env_file: nothing has been launched yet" "run \`make up\`"
}

# A command that reads a file of the user's finds it in /data. One that writes to the source runs as the user.
run_cli() {
    local options=(--rm --no-deps --quiet-pull) arguments=() argument previous='' answers
    for argument in "$@"; do
        # The place of the file that is imported depends on the options.
        [ "$1" != contract ] || [ ! -f "$argument" ] || previous=FILE
        case "$1 $previous" in "new-stream --sample" | "send --file" | "contract FILE")
            [ -f "$argument" ] || fail "$argument is not a file" "give the path of a file to read"
            options+=(--volume "$(cd "$(dirname "$argument")" && pwd)/${argument##*/}:/data/${argument##*/}:ro")
            argument="/data/${argument##*/}" ;;
        "report --check")
            [ -f "$argument" ] || fail "$argument is not a file" "give the path of a report.json"
            # The answers are beside it.
            options+=(--volume "$(cd "$(dirname "$argument")" && pwd):/data:ro")
            argument="/data/${argument##*/}" ;;
        esac
        arguments+=("$argument")
        previous="$argument"
    done
    case "$1" in new-stream | new-mart)
        options+=(--user "$(id -u):$(id -g)" --env "USER=$(id -un)"
            --volume "$PWD/contracts:/source/contracts" --env SLUICE_CONTRACTS=/source/contracts
            --volume "$PWD/dbt:/source/dbt" --env SLUICE_DBT=/source/dbt) ;;
    esac
    case "$1" in learn | check | hint | solution | reset | report)
        answers="$(setting SLUICE_ANSWERS)"
        mkdir -p "${answers:=answers}"
        options+=(--user "$(id -u):$(id -g)" --volume "$PWD/exercises:/opt/sluice/exercises:ro"
            --volume "$(cd "$answers" && pwd):/opt/sluice/answers" --env SLUICE_ANSWERS=/opt/sluice/answers) ;;
    esac
    case "$1" in report)
        # Git runs in the container; the name may be in a file of the user's home.
        [ ! -d .git ] || options+=(--volume "$PWD/.git:/opt/sluice/.git:ro")
        options+=(--env GIT_CONFIG_COUNT=1 --env GIT_CONFIG_KEY_0=user.name
            --env "GIT_CONFIG_VALUE_0=$(git config user.name 2>/dev/null || id -un)") ;;
    esac
    case "$1" in new-exercise)
        options+=(--user "$(id -u):$(id -g)" --volume "$PWD/exercises:/opt/sluice/exercises") ;;
    esac
    # The command gets a terminal only if both ends have one; otherwise its output must stay unchanged.
    if ! [ -t 0 ] || ! [ -t 1 ]; then options+=(--no-TTY --interactive=false); fi
    compose run "${options[@]}" cli ${arguments[@]+"${arguments[@]}"}
}

# --- checks of the machine: each prints its errors, one per line, or nothing

engine_fault() {
    local engine compose
    if ! command -v docker >/dev/null; then
        error_line "Docker is not installed" "see https://docs.docker.com/engine/install"
    elif ! engine="$(docker version --format '{{.Server.Version}}' 2>&1)"; then
        case "$engine" in
            *"permission denied"*)
                error_line "no permission on Docker's socket" "run \`sudo usermod -aG docker $(id -un)\` and log in again" ;;
            *) error_line "Docker's engine is down" "start it, for example with \`sudo systemctl start docker\`" ;;
        esac
    elif is_older "$engine" "$min_engine"; then
        error_line "Docker's engine $engine is too old" "update it to $min_engine or later"
    elif ! compose="$(docker compose version --short 2>/dev/null)"; then
        error_line "Docker has no Compose v2" "install the package docker-compose-plugin"
    elif is_older "$compose" "$min_compose"; then
        error_line "Docker Compose $compose is too old" "update it to $min_compose or later"
    fi
}

# Whether a version is older than a minimum.
is_older() {
    local version="${1#v}" minimum="$2.0"
    local major="${version%%.*}" rest="${version#*.}"
    local minor="${rest%%[!0-9]*}" min_major="${minimum%%.*}" min_rest="${minimum#*.}"
    [ "$major" -lt "$min_major" ] || { [ "$major" -eq "$min_major" ] && [ "${minor:-0}" -lt "${min_rest%%.*}" ]; }
}

memory_fault() {
    local bytes
    bytes="$(docker info --format '{{.MemTotal}}')"
    [ "$bytes" -ge $((min_gib * 1000 ** 3)) ] ||
        error_line "Docker has $((bytes / 1000 ** 2)) MB of memory, and the platform needs $min_gib GiB" "give Docker more memory"
}

# Containers read the mounted source as a user of their own; Docker Desktop on macOS maps the owner.
mount_fault() {
    local folders file=''
    [ "$(uname)" = Linux ] || return 0
    folders="$(sed -n 's#.* \./\([a-z]*\):/opt/sluice/.*#\1#p' docker-compose.yaml | tr '\n' ' ')"
    # `find` ends with an error when `head` has its line, or at a folder that this user cannot read, which it printed.
    # shellcheck disable=SC2086 # words without spaces
    file="$(find $folders \( -name '.*' -o -name __pycache__ \) -prune -o ! -user "$container_id" ! \( -group "$container_id" -perm -040 \) \
        \( ! -perm -004 -o -type d ! -perm -001 \) -print 2>/dev/null | head -n 1)" || true
    [ -z "$file" ] || error_line "containers cannot read $file: its permissions are for its owner alone" \
        "run \`chmod -R go+rX ${folders% }\`, which a clone with \`umask 022\` does not need"
}

# A settings file that other users can read although it is closed to them, as on vfat or WSL's /mnt/c.
protection_fault() {
    [ -f "$env_file" ] || return 0
    chmod 600 "$env_file" 2>/dev/null || true
    [ -z "$(find "$env_file" \( -perm -004 -o -perm -040 \))" ] || error_line \
        "the file system of $env_file keeps no permissions: every user of this machine can read the passwords" \
        "move the clone to a folder of this machine's own file system"
}

# Prints every published port after the setting that changes it: "SLUICE_KAFKA_PORT 9092"; Prometheus's and Spark's only while
# they are launched.
ports() {
    local name default value
    local files
    IFS=: read -r -a files <<<"$COMPOSE_FILE"
    cat "${files[@]}" | tr ',' '\n' | sed -n 's/.*"127\.0\.0\.1:\${\(SLUICE_[A-Z0-9_]*\):-\([0-9]*\)}.*/\1 \2/p' |
        while read -r name default; do
            case "$name" in
                SLUICE_PROMETHEUS_PORT) [ -n "${observe:-}" ] || continue ;;
                SLUICE_SPARK_*) [ -n "${engine:-}" ] || continue ;;
            esac
            value="$(setting "$name")"
            echo "$name ${value:-$default}"
        done
}

# Prints a setting's value: from the environment, else from the settings file, else nothing.
setting() {
    if [ -n "${!1:-}" ]; then
        echo "${!1}"
    else
        setting_in_file "$1"
    fi
}

# Enough for ports and names, which need no quotes: sluice/settings/syntax.py reads all of a settings file's syntax.
setting_in_file() {
    local name="[[:space:]]*\\(export[[:space:]]\\)\\{0,1\\}[[:space:]]*$1[[:space:]]*=[[:space:]]*"
    [ ! -f "$env_file" ] || sed -n "1s/^$(printf '\357\273\277')//; s/^$name//p" "$env_file" | tail -n 1 |
        sed 's/[[:space:]]#.*//; s/[[:space:]]*$//' | tr -d "\"'"
}

port_faults() {
    local name port ours
    ours=" $([ ! -f "$env_file" ] || compose ps --format '{{range .Publishers}}{{.PublishedPort}} {{end}}' | tr '\n' ' ') "
    ports | while read -r name port; do
        if [[ $ours != *" $port "* ]] && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            error_line "port $port ($name) is taken by $(port_owner "$port")" "end that process or choose another port in $env_file"
        fi
    done
}

port_owner() {
    local owner
    owner="$(docker ps --filter "publish=$1" --format 'the container {{.Names}}' | head -n 1)"
    if [ -z "$owner" ] && command -v ss >/dev/null; then
        owner="$(ss -Hltnp "sport = :$1" | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/process \2 (\1)/p' | head -n 1)"
    fi
    echo "${owner:-a process of another user}"
}

# --- the commands

docker_doctor() {
    local fault faults=0
    fault="$(engine_fault)"
    [ -z "$fault" ] || { report Docker "$fault"; return 1; }
    report Docker "" "engine $(docker version --format '{{.Server.Version}}'), Compose $(docker compose version --short)"
    report memory "$(memory_fault)" "at least $min_gib GiB" || faults=1
    report files "$(mount_fault)" "readable by the containers" || faults=1
    fault="$(protection_fault)"
    [ -z "$fault" ] || printf '%-8s warning %s\n' secrets "$fault"
    report ports "$(port_faults)" "$(ports | while read -r _ port; do printf '%s ' "$port"; done)" || faults=1
    return "$faults"
}

report() {
    if [ -n "$2" ]; then
        while read -r line; do printf '%-8s error  %s\n' "$1" "$line"; done <<<"$2"
        return 1
    fi
    printf '%-8s ok     %s\n' "$1" "$3"
}

docker_up() {
    local months='' live=yes observe='' engine='' force='' fault since
    launch_start=$SECONDS since="$(date -u +%Y-%m-%dT%H:%M:%SZ)"
    trap interrupted_launch INT
    while [ $# -gt 0 ]; do
        case "$1" in
            --months) months="$2"; shift 2 ;;
            --live) live=yes; shift ;;
            --no-live) live=; shift ;;
            --observe) observe=yes; shift ;;
            --engine) engine="$2"; shift 2 ;;
            --force) force=--force; shift ;;
            *) fail "unknown option of up: $1" "use --months, --live, --no-live, --observe, --engine or --force" ;;
        esac
    done
    [[ $months =~ ^([0-9]|1[0-2])?$ ]] ||
        fail "MONTHS=$months is out of range: the data covers the 12 months of 2013" \
            "set MONTHS to a number from 0 (no replay) to 12"
    case "$engine" in "" | spark) ;; *) fail "ENGINE=$engine is unknown" "set it to spark, or leave it out" ;; esac
    fault="$(engine_fault)"
    [ -n "$fault" ] || fault="$(memory_fault)"
    [ -n "$fault" ] || fault="$(mount_fault)"
    # Before the images, which take minutes: a new settings file has the ports that Compose's files name.
    [ -n "$fault" ] || fault="$(port_faults)"
    [ -z "$fault" ] || fail "$fault"
    build_images
    complete_settings
    fault="$(protection_fault)"
    [ -z "$fault" ] || echo "warning: $fault"

    export MONTHS="$months" ENGINE="$engine" SLUICE_CONTRACTS_DIGEST
    SLUICE_CONTRACTS_DIGEST="$(cat contracts/*.yaml | cksum | tr ' ' -)"
    # The last step depends, directly or indirectly, on all other services except the producer being healthy.
    if ! compose_up --remove-orphans marts || [ "$(docker wait "$(compose ps --all --quiet marts)")" != 0 ]; then
        show_unhealthy
        fail "the platform did not start: unhealthy services are listed above" "run \`make logs S=<service>\` for more"
    fi
    compose logs --no-log-prefix --since "$since" fill marts
    if [ -n "$live" ]; then
        compose_up --no-deps producer
    else
        compose rm --stop --force producer >/dev/null
    fi
    if [ -n "$observe" ]; then
        compose_up --no-deps prometheus
    else
        compose rm --stop --force prometheus >/dev/null
    fi
    if [ -n "$engine" ]; then
        compose_up --wait spark-worker-1 spark-worker-2 || {
            show_unhealthy
            fail "Spark did not start: unhealthy services are listed above" "run \`make logs S=spark-master\` for more"
        }
    else
        compose rm --stop --force spark-worker-1 spark-worker-2 spark-master >/dev/null
    fi
    # shellcheck disable=SC2046 # words without spaces
    docker run --rm --network none $(ports | sed 's/\(.*\) /--env=\1=/') sluice-platform addresses "$env_file"
    trap - INT
    echo "the platform is up ($((SECONDS - launch_start)) s)"
    check_contracts || true
    removed_contracts
    run_cli removed-marts --drop ${force:+"$force"} || true
}

# What keeps running after Ctrl-C.
interrupted_launch() {
    local running=''
    [ ! -f "$env_file" ] || running="$(compose ps --services --status running 2>/dev/null | tr '\n' ' ')"
    running="$(echo "$running" | sed 's/ *$//; s/ /, /g')"
    case "$running" in "") running="nothing runs" ;; *,*) running="$running keep running" ;; *) running="$running keeps running" ;; esac
    echo "sluice: interrupted: $running. Hint: \`make up\` resumes, \`make down\` stops everything." >&2
    exit 130
}

# Names the contracts that are not valid; their streams are left out.
check_contracts() {
    docker run --rm --network none --volume "$PWD/contracts:/opt/sluice/contracts:ro" sluice-platform contracts
}

# Names the streams whose contract was removed, and what they leave behind.
removed_contracts() {
    compose run --rm --no-deps --quiet-pull --no-TTY --interactive=false --entrypoint "python -m infra" cli removed || true
}

# Unchanged layers come from the cache; without changes this takes a second or two.
build_images() {
    local logs="${SLUICE_HOME:-.sluice}/logs" failed='' fault
    mkdir -p "$logs"
    docker image inspect sluice-platform sluice-minio >/dev/null 2>&1 ||
        echo "images: building MinIO from source and the environments of Airflow and dbt; takes a few minutes, once"
    docker build --tag sluice-minio --file infra/images/minio/Dockerfile infra/minio >"$logs/build-minio.log" 2>&1 &
    docker build --tag sluice-platform --file infra/images/platform/Dockerfile . >"$logs/build-platform.log" 2>&1 ||
        failed=platform
    wait $! || failed="minio"
    [ -z "${engine:-}" ] ||
        docker build --tag sluice-spark --file infra/images/spark/Dockerfile . >"$logs/build-spark.log" 2>&1 || failed=spark
    [ -z "$failed" ] || {
        # A line of `infra/bootstrap` says it all.
        fault="$(sed -n 's/^.*sluice: //p' "$logs/build-$failed.log" | tail -n 1)"
        [ -z "$fault" ] || { echo "sluice: $fault" >&2; exit 1; }
        tail -n 25 "$logs/build-$failed.log" >&2
        fail "cannot build the image sluice-$failed: the end of its log is above" "see $logs/build-$failed.log"
    }
}

# Creates the settings file, readable by its owner alone, or adds missing settings; the image knows which there are.
complete_settings() {
    local missing project
    project="$(new_project)"
    missing="$( ([ ! -f "$env_file" ] || cat "$env_file") | docker run --rm --interactive --network none sluice-platform settings)"
    [ -z "$project" ] || missing="$missing"$'\n'"COMPOSE_PROJECT_NAME=$project"
    [ -n "$missing" ] || return 0
    # All or nothing: an interrupted launch must not leave a file that lacks some of its secrets.
    (umask 077 && { [ ! -f "$env_file" ] || cat "$env_file"; echo "$missing"; } >"$env_file.$$")
    mv "$env_file.$$" "$env_file"
    echo "settings: ports and secrets written to $env_file"
    use_project
}

# Prints a name for this clone's project, with which no other clone shares volumes, unless the settings file has one. A platform
# that was launched before names were written to the settings file keeps its volumes.
new_project() {
    local folder name others
    [ -z "$(setting_in_file COMPOSE_PROJECT_NAME)" ] || return 0
    # As Compose names a project by default.
    folder="$(basename "$PWD" | tr '[:upper:]' '[:lower:]' | tr -cd 'a-z0-9_-' | sed 's/^[_-]*//')"
    name="${COMPOSE_PROJECT_NAME:-}"
    if [ -z "$name" ] && [ -f "$env_file" ] && projects | grep -qx "$folder"; then name="$folder"; fi
    if [ -z "$name" ]; then
        name="${folder:-sluice}-$(od -An -N3 -tx1 /dev/urandom | tr -d ' \n')"
        others="$(projects | grep -x "$folder\(-[0-9a-f]\{6\}\)\{0,1\}" | tr '\n' ' ')" || true
        [ -z "$others" ] || echo "a new project $name; ${others% } in Docker's volumes belongs to other clones, or to an earlier" \
            "$env_file: COMPOSE_PROJECT_NAME there chooses" >&2
    fi
    echo "$name"
}

# Prints the names of all projects that have a volume for Postgres.
projects() {
    docker volume ls --filter label=com.docker.compose.volume=postgres --format '{{.Label "com.docker.compose.project"}}'
}

# Prints every container that is not healthy, with the end of its log.
show_unhealthy() {
    local name
    compose ps --all --format '{{.Service}} {{.State}} {{.ExitCode}} {{.Health}}' | while read -r name state code health; do
        # The health of a container that crashes on each start is "starting".
        if [ "${health:-healthy}" != healthy ] || { [ "$state" != running ] && [ "$code" != 0 ]; }; then
            echo "$name: $state, exit code $code${health:+, $health}"
            compose logs --no-log-prefix --tail 15 "$name" </dev/null | sed 's/^/    /'
        fi
    done >&2
}

docker_down() {
    compose down --remove-orphans
    echo "stopped; the data is kept, \`make up\` resumes with it"
}

docker_clean() {
    local answer
    if [ "${1:-}" != --force ]; then
        [ -t 0 ] || fail "confirmation required: this deletes all data of the platform" "run \`make clean FORCE=1\`"
        read -r -p "Delete all data of the platform, in Docker's volumes? [y/N] " answer
        [[ $answer == [yY]* ]] || fail "cancelled: nothing was deleted"
    fi
    compose down --volumes --remove-orphans
    echo "deleted all data of the platform; settings and images are kept"
}

docker_logs() {
    if [ $# -gt 0 ] && [ -t 1 ]; then set -- --follow "$@"; fi
    compose logs --tail 20 "$@"
}

# One line per container, with the same columns as without containers; exit code 0 only if all are healthy and all
# contracts are valid.
docker_status() {
    local format='{{.Name}}|{{.Service}}|{{.State}}|{{.Health}}|{{.ExitCode}}|{{.Status}}|{{range .Publishers}}{{if .PublishedPort}}{{.PublishedPort}} {{end}}{{end}}'
    local containers ids fault=0
    containers="$(compose ps --all --format "$format")"
    ids="$(compose ps --quiet)"
    {
        # shellcheck disable=SC2086 # words without spaces
        [ -z "$ids" ] || {
            docker stats --no-stream --format 'memory|{{.Name}}|{{.MemUsage}}' $ids
            docker inspect --format 'process|{{.Name}}|{{.State.Pid}}' $ids
        }
        echo "$containers"
    } | awk -F '|' -f infra/status.awk || fault=1
    check_contracts || fault=1
    removed_contracts
    run_cli removed-marts || true
    return "$fault"
}
