# shellcheck shell=sh
# Finds, installs and runs PostgreSQL for the demo, the tests and the benchmark. Sourced, never run; plain POSIX sh.
# It knows nothing of datasync.
#
#   pg_find           sets PG_BIN to a folder with initdb, pg_ctl, postgres and psql; fails if there is none
#   pg_require        pg_find, else installs the server with the system's package manager, says so, and finds again
#   promtool_offer    gets promtool out of Debian's package where there is apt-get; succeeds without it too, and says so
#   bouncer_offer, strace_offer, faketime_offer
#                     install these where that takes no password; succeed without them too, and say so
#   valgrind_require  sets VALGRIND; installs valgrind where that takes no password, else fails and says what to type
#   pg_start          starts a private throw-away cluster on a free loopback port; sets PG_DIR and exports DB_*
#   pg_stop           stops it and removes every trace; safe to call twice, or when nothing was started
#
# PG_BIN set beforehand wins. PG_SETTINGS holds server settings for pg_start: PG_SETTINGS="fsync=off work_mem=8MB".

pg_complete() {
    [ -n "$1" ] && [ -x "$1/initdb" ] && [ -x "$1/pg_ctl" ] && [ -x "$1/postgres" ] && [ -x "$1/psql" ]
}

pg_candidates() {
    [ -z "${PG_BIN:-}" ] || echo "$PG_BIN"
    initdb=$(command -v initdb) && dirname "$initdb"
    pg_config --bindir 2>/dev/null
    version=30
    while [ "$version" -ge 13 ]; do
        echo "/usr/lib/postgresql/$version/bin"
        echo "/usr/pgsql-$version/bin"
        echo "/usr/libexec/postgresql$version"
        echo "/opt/homebrew/opt/postgresql@$version/bin"
        echo "/usr/local/opt/postgresql@$version/bin"
        echo "/home/linuxbrew/.linuxbrew/opt/postgresql@$version/bin"
        echo "/Applications/Postgres.app/Contents/Versions/$version/bin"
        version=$((version - 1))
    done
    echo /usr/bin
    echo /usr/local/pgsql/bin
    echo /usr/libexec/postgresql
    echo /opt/homebrew/opt/postgresql/bin
    echo /usr/local/opt/postgresql/bin
    echo /Applications/Postgres.app/Contents/Versions/latest/bin
}

pg_find() {
    while IFS= read -r candidate; do
        if pg_complete "$candidate"; then
            PG_BIN=$candidate
            export PG_BIN
            return 0
        fi
    done <<CANDIDATES
$(pg_candidates)
CANDIDATES
    return 1
}

pg_as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# Debian starts a cluster of its own when the server is installed; we need the binaries only, and leave nothing running.
pg_install_apt() {
    pg_as_root apt-get update -q &&
        pg_as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends postgresql-common || return 1
    pg_conf=/etc/postgresql-common/createcluster.d/throw-away-only.conf
    pg_as_root mkdir -p "${pg_conf%/*}"
    echo 'create_main_cluster = false' | pg_as_root tee "$pg_conf" >/dev/null
    pg_as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends postgresql postgresql-client
    pg_status=$?
    pg_as_root rm -f "$pg_conf"
    return "$pg_status"
}

# The system's package manager, or nothing.
package_manager() {
    for manager in apt-get dnf yum zypper pacman apk brew; do
        ! command -v "$manager" >/dev/null || { echo "$manager" && return 0; }
    done
    return 1
}

# May packages be installed? By root, by sudo that asks for no password or has somebody to ask, and with Homebrew.
may_install() {
    [ "$(package_manager)" = brew ] || [ "$(id -u)" -eq 0 ] ||
        { command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; }
}

# The command that installs a package, by its names in Debian, Fedora or SUSE, Arch, and Alpine.
install_command() {
    case $(package_manager) in
        apt-get) echo "apt-get install $1" ;;
        dnf) echo "dnf install $2" ;;
        yum) echo "yum install $2" ;;
        zypper) echo "zypper install $2" ;;
        pacman) echo "pacman -S $3" ;;
        apk) echo "apk add $4" ;;
        *) echo 'the command that installs it' ;;
    esac
}

pg_ask_administrator() {
    echo "Ask an administrator to run $(install_command postgresql 'postgresql-server postgresql' postgresql \
        'postgresql postgresql-client'), or set PG_BIN to the folder of initdb, pg_ctl, postgres and psql." >&2
    echo 'PostgreSQL 13 or later was not found, and you may not install packages here.' >&2
}

pg_install() {
    manager=$(package_manager)
    echo "PostgreSQL was not found: installing it with $manager." >&2
    case $manager in
        apt-get) pg_install_apt ;;
        dnf | yum) pg_as_root "$manager" install -y postgresql-server postgresql ;;
        zypper) pg_as_root zypper --non-interactive install postgresql-server postgresql ;;
        pacman) pg_as_root pacman -Sy --noconfirm postgresql ;;
        apk) pg_as_root apk add postgresql postgresql-client ;;
        brew) brew install postgresql@17 ;;
    esac >&2
}

pg_require() {
    pg_find && return 0
    if ! package_manager >/dev/null; then
        echo 'Install PostgreSQL 13 or later, or set PG_BIN to the folder of initdb, pg_ctl, postgres and psql.' >&2
        echo 'PostgreSQL was not found, and no package manager that this script knows.' >&2
        return 1
    fi
    may_install || { pg_ask_administrator && return 1; }
    pg_install || return 1
    pg_find && return 0
    echo 'Set PG_BIN to the folder of initdb, pg_ctl, postgres and psql.' >&2
    echo 'PostgreSQL was installed, but these programs are not in any of the usual folders.' >&2
    return 1
}

bouncer_found() {
    command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ]
}

# The package would bring a service; one program of it is enough, and needs no right to install anything.
promtool_offer() {
    promtool=target/tools/usr/bin/promtool
    ! command -v promtool >/dev/null && [ ! -x $promtool ] || return 0
    if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
        echo 'promtool was not found: taking it from the package prometheus, into target/tools.' >&2
        mkdir -p target/tools &&
            (cd target/tools && apt-get download -q prometheus >&2 &&
                dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool && rm -f prometheus_*.deb)
        [ ! -x $promtool ] || return 0
    fi
    echo 'promtool is not installed: the metrics are not checked by it.' >&2
    TEST_WITHOUT_PROMTOOL=1
    export TEST_WITHOUT_PROMTOOL
}

# Only where that asks for no password. pgbouncer's package starts a service of its own when it is installed; a runlevel
# in which nothing is started prevents that.
package_install() {
    package=$1
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" -eq 0 ]; then
        set --
    elif sudo -n true 2>/dev/null; then
        set -- sudo -n
    else
        return 1
    fi
    echo "$package was not found: installing it with apt-get." >&2
    "$@" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -qy --no-install-recommends "$package" >&2
}

# The package, and what is not tested without it.
package_offer() {
    package_install "$1" ||
        echo "NOT TESTED $2: $1 is not installed, and could not be. On Debian: apt-get install $1" >&2
}

bouncer_offer() {
    bouncer_found || package_offer pgbouncer 'behind pgbouncer'
}

strace_offer() {
    command -v strace >/dev/null || package_offer strace 'with a kill or an I/O error at each call of the spool'
}

# shellcheck disable=SC2034 # the Makefile uses it
valgrind_require() {
    VALGRIND=$(command -v valgrind) && return 0
    package_install valgrind && VALGRIND=$(command -v valgrind) && return 0
    echo 'valgrind is not installed, and could not be. On Debian: apt-get install valgrind' >&2
    return 1
}

# A library, not a program.
faketime_offer() {
    for folder in /usr/lib /usr/lib/*; do
        [ ! -f "$folder/faketime/libfaketime.so.1" ] || return 0
    done
    package_offer libfaketime 'with a wrong clock'
}

# PostgreSQL refuses to run as root: then its processes belong to "postgres", or "nobody" where there is no such user.
pg_as_server_user() {
    if [ "$(id -u)" -ne 0 ]; then
        "$@"
    elif command -v runuser >/dev/null; then
        runuser -u "$PG_OWNER" -- "$@"
    elif command -v sudo >/dev/null; then
        sudo -u "$PG_OWNER" -- "$@"
    else
        # shellcheck disable=SC2016 # the inner shell expands them
        su -s /bin/sh "$PG_OWNER" -c 'exec "$0" "$@"' -- "$@"
    fi
}

pg_random() {
    od -An -N4 -tu4 /dev/urandom | tr -d ' '
}

pg_start() {
    PG_DIR=$(mktemp -d "${TMPDIR:-/tmp}/datasync-postgres.XXXXXX") || return 1
    DB_HOST=127.0.0.1 DB_NAME=datasync DB_USER=datasync DB_PASSWORD=$(pg_random)$(pg_random)
    export DB_HOST DB_PORT DB_NAME DB_USER DB_PASSWORD
    (umask 077 && printf '%s\n' "$DB_PASSWORD" >"$PG_DIR/password")
    if [ "$(id -u)" -eq 0 ]; then
        PG_OWNER=nobody
        ! id postgres >/dev/null 2>&1 || PG_OWNER=postgres
        chown -R "$PG_OWNER" "$PG_DIR" || return 1
    fi
    if ! (cd "$PG_DIR" && pg_as_server_user "$PG_BIN/initdb" --pgdata="$PG_DIR/data" --username="$DB_USER" \
        --pwfile="$PG_DIR/password" --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync) >"$PG_DIR/initdb.log" 2>&1; then
        cat "$PG_DIR/initdb.log" >&2
        return 1
    fi
    pg_options="-c listen_addresses=$DB_HOST -c unix_socket_directories=''"
    for setting in ${PG_SETTINGS:-}; do
        pg_options="$pg_options -c $setting"
    done
    attempt=1
    until DB_PORT=$((20000 + $(pg_random) % 12000)) &&
        (cd "$PG_DIR" && pg_as_server_user "$PG_BIN/pg_ctl" start -w -t 30 -s -D "$PG_DIR/data" -l "$PG_DIR/server.log" \
            -o "$pg_options -p $DB_PORT") >/dev/null 2>&1; do
        # The port may have been taken: another one, a few times.
        if [ "$attempt" -ge 5 ]; then
            cat "$PG_DIR/server.log" >&2
            return 1
        fi
        attempt=$((attempt + 1))
    done
    pg_psql -d postgres -c "CREATE DATABASE $DB_NAME"
}

# psql on the private cluster; quiet, no start-up file, no pager, stops at the first error.
pg_psql() {
    PGPASSWORD=$DB_PASSWORD PGHOST=$DB_HOST PGPORT=$DB_PORT PGUSER=$DB_USER PGDATABASE=$DB_NAME \
        "$PG_BIN/psql" -Xq -P pager=off -v ON_ERROR_STOP=1 "$@"
}

pg_stop() {
    [ -n "${PG_DIR:-}" ] || return 0
    if [ -f "$PG_DIR/data/postmaster.pid" ]; then
        (cd "$PG_DIR" && pg_as_server_user "$PG_BIN/pg_ctl" stop -s -m immediate -w -D "$PG_DIR/data") >/dev/null 2>&1
    fi
    rm -rf "$PG_DIR"
    PG_DIR=
}
