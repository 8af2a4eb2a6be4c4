#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Finds what the machine lacks for `make run`, `make test` or `make check`, says what it will
# download and how large that is, and gets it. With everything present it calls no apt at all.
set -eu

usage()
{
    cat <<'EOF'
usage: tools/deps.sh run|test|check|conformance|arm64|list
       tools/deps.sh source-line SUITE

  run, test, check   Debian packages for that make target, and the arm64 pieces
  conformance        what `make conformance` compiles the kernel's selftest with: packages only
  arm64              only the arm64 pieces (never needs root)
  list               print the packages that `check` (which needs the most) would install
  source-line        print a line for a private sources.list: this machine's mirror, Debian's key

Debian packages are installed with apt-get, which needs root. On Debian 12 its QEMU is too old
(no SMMUv3 stage 2), so one file, /etc/apt/sources.list.d/tenon-backports.sources, is added if no
backports suite is configured yet.

The arm64 pieces (Debian's kernel 6.12, two or more kernel modules, busybox, libfdt) are fetched
with apt in a private directory, checked by apt's signatures, and unpacked. They are never
installed, and the machine's list of architectures stays as it is. They end in build/debian; a
copy is kept for other clones and for use without a network:

  $TENON_CACHE if set, else /var/cache/tenon for root, else ${XDG_CACHE_HOME:-~/.cache}/tenon
  (looked into in this order, whoever runs it)

Environment: TENON_CACHE  as above
             TENON_MIRROR a Debian mirror (default: the one the machine uses)
             TENON_QEMU   the qemu-system-aarch64 to use (then none is installed)
EOF
}

top=$(cd "$(dirname "$0")/.." && pwd)
dest=$top/build/debian
recipe=2 # raise it when the unpacked pieces change: older copies are then fetched anew

say() { printf '%s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
root() { [ "$(id -u)" -eq 0 ]; }
mib() { awk -v b="$1" 'BEGIN { printf "%.1f MB", b / 1e6 }'; }

release() # 12, 13 or "other"
{
    release_id=other
    if [ -r /etc/os-release ]; then
        # shellcheck disable=SC1091
        release_id=$(. /etc/os-release && echo "${ID:-}-${VERSION_ID:-}")
    fi
    case $release_id in
    debian-12 | debian-13) echo "${release_id#debian-}" ;;
    *) echo other ;;
    esac
}

codename() { if [ "$1" = 12 ]; then echo bookworm; else echo trixie; fi; }

# The mirror this machine uses for its own release, from either form of source file.
mirror()
{
    if [ -n "${TENON_MIRROR:-}" ]; then
        echo "$TENON_MIRROR"
        return
    fi
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources \
        2>/dev/null | awk -v suite="$1" '
        /^[ \t]*#/ { next }
        /^deb[ \t]/ {
            sub(/\[[^]]*\]/, "")
            if ($3 == suite && $2 ~ /^(http|https|file|copy):/ && !found) found = $2
        }
        /^URIs:/ { uri = $2 }
        /^Suites:/ { for (i = 2; i <= NF; i++) if ($i == suite && !found) want = 1 }
        want && uri { found = uri }
        /^[ \t]*$/ { uri = ""; want = 0 }
        END { sub(/\/$/, "", found); print found ? found : "http://deb.debian.org/debian" }'
}

# Debian's archive key, for source lines of our own; without the file apt's default trust holds.
archive_key()
{
    for archive_key_file in /usr/share/keyrings/debian-archive-keyring.gpg \
        /usr/share/keyrings/debian-archive-keyring.pgp; do
        if [ -r "$archive_key_file" ]; then
            echo "$archive_key_file"
            return
        fi
    done
}

# ---- Debian packages ------------------------------------------------------------------------

installed()
{
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

qemu_ok()
{
    qemu_major=$("${TENON_QEMU:-qemu-system-aarch64}" --version 2>/dev/null |
        sed -n '1s/.*version \([0-9]*\)\..*/\1/p')
    [ "${qemu_major:-0}" -ge 10 ]
}

wanted()
{
    if [ "$1" = conformance ]; then
        echo make gcc libc6-dev xz-utils patch libcap-dev
        return
    fi
    set -- "$1" make gcc libc6-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross cpio xz-utils \
        patch libcmocka-dev
    case $1 in
    test) set -- "$@" cmake pkgconf libfdt-dev spin qemu-utils ;;
    check | list)
        set -- "$@" cmake pkgconf libfdt-dev spin qemu-utils clang clang-tidy clang-format
        ;;
    esac
    shift
    echo "$@"
}

missing()
{
    for missing_one in $(wanted "$1"); do
        installed "$missing_one" || echo "$missing_one"
    done
    [ "$1" = conformance ] || qemu_ok || echo qemu-system-arm
}

has_backports()
{
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources \
        2>/dev/null | grep -v '^[[:space:]]*#' | grep -q 'bookworm-backports'
}

backports_file=/etc/apt/sources.list.d/tenon-backports.sources

add_backports()
{
    has_backports && return
    add_key=$(archive_key)
    say "Adding $backports_file (Debian 12's backports, for QEMU 10); nothing else about this"
    say "machine's package sources is changed. Delete the file to undo it."
    {
        echo "# Added by Tenon (tools/deps.sh): QEMU with SMMUv3 stage 2. May be deleted."
        echo "Types: deb"
        echo "URIs: $(mirror bookworm)"
        echo "Suites: bookworm-backports"
        echo "Components: main"
        if [ -n "$add_key" ]; then echo "Signed-By: $add_key"; fi
    } >"$backports_file"
}

# One line for every few packages, so that a long installation is seen to move.
show_progress()
{
    progress_n=0
    while IFS= read -r progress_line; do
        printf '%s\n' "$progress_line" >>"$log"
        case $progress_line in
        Get:* | Unpacking* | "Setting up"*) ;;
        E:* | W:* | Err:*) printf '  %s\n' "$progress_line"; continue ;;
        *) continue ;;
        esac
        progress_n=$((progress_n + 1))
        if [ $((progress_n % 25)) -eq 0 ]; then
            printf '  %s\n' "$progress_line" | cut -c 1-99
        fi
    done
}

# Runs an apt command with its output in $log and a little of it shown; its status is kept.
apt_shown()
{
    rm -f "$log.status"
    {
        if "$@" 2>&1; then echo 0 >"$log.status"; else echo $? >"$log.status"; fi
    } | show_progress
    if [ "$(cat "$log.status")" != 0 ]; then
        tail -n 15 "$log" >&2
        die "'$1 ${2:-}' failed; the whole output is in $log"
    fi
}

# The names for apt-get install. On Debian 12 the three packages of one QEMU version are named with
# their suite, so that nothing else comes from backports.
apt_names()
{
    for apt_one in "$@"; do
        if [ "$apt_one" = qemu-system-arm ] && [ "$rel" = 12 ]; then
            for apt_qemu in arm common data; do
                echo "qemu-system-$apt_qemu/bookworm-backports"
            done
        else
            echo "$apt_one"
        fi
    done
}

refuse_without_root()
{
    {
        echo "error: these Debian packages are missing, and only root can install them:"
        echo
        echo "    $*"
        echo
        echo "Run this script once as root, or:"
        case " $* " in
        *" qemu-system-arm "*)
            if [ "$rel" = 12 ] && ! has_backports; then
                echo
                echo "    echo 'deb $(mirror bookworm) bookworm-backports main' |"
                echo "        sudo tee /etc/apt/sources.list.d/tenon-backports.list"
            fi
            ;;
        esac
        # shellcheck disable=SC2046
        set -- $(apt_names "$@")
        echo
        echo "    sudo apt-get update"
        echo "    sudo apt-get install --no-install-recommends $*"
    } >&2
    exit 1
}

apt_sum() # "count bytes" of what the apt command given would download
{
    "$@" --print-uris 2>>"$log" >"$log.uris" || {
        tail -n 15 "$log" >&2
        die "apt cannot install what is needed; the whole output is in $log"
    }
    awk '/^\047/ { n++; s += $3 } END { printf "%d %.0f\n", n, s }' "$log.uris"
}

# ---- the arm64 pieces -----------------------------------------------------------------------

cache_dirs()
{
    if [ -n "${TENON_CACHE:-}" ]; then echo "$TENON_CACHE"; fi
    echo /var/cache/tenon
    if [ -n "${XDG_CACHE_HOME:-${HOME:-}}" ]; then echo "${XDG_CACHE_HOME:-$HOME/.cache}/tenon"; fi
}

cache_to_write()
{
    if [ -n "${TENON_CACHE:-}" ]; then
        echo "$TENON_CACHE"
    elif root; then
        echo /var/cache/tenon
    else
        echo "${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/tenon"
    fi
}

# Complete pieces of this recipe? The stamp is written last.
pieces_ok() { [ "$(sed -n '1p' "$1/stamp" 2>/dev/null)" = "recipe $recipe for Debian $arm_rel" ]; }

copy_pieces() # from, to: all or nothing
{
    mkdir -p "$(dirname "$2")" || return 1
    rm -rf "$2.new.$$"
    cp -r "$1" "$2.new.$$" || return 1
    rm -rf "$2"
    mv "$2.new.$$" "$2"
}

from_cache()
{
    for cache_one in $(cache_dirs); do
        if pieces_ok "$cache_one/debian-$arm_rel"; then
            copy_pieces "$cache_one/debian-$arm_rel" "$dest"
            touch "$dest/stamp"
            say "arm64 pieces: taken from $cache_one"
            return 0
        fi
    done
    return 1
}

# apt with lists, state and architecture of its own; the machine's configuration (a proxy) stays.
arm_apt()
{
    arm_apt_cmd=$1
    shift
    "$arm_apt_cmd" -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 \
        -o Dir::State="$work" -o Dir::State::lists="$work/lists" \
        -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" \
        -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o APT::Sandbox::User=root -o Acquire::Languages=none \
        -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false "$@"
}

arm_lists() # makes $work, fetches the lists, sets arm_packages
{
    work=$(mktemp -d "$top/build/arm64.XXXXXX")
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
    : >"$work/status"
    arm_code=$(codename "$arm_rel")
    arm_key=$(archive_key)
    arm_line="deb ${arm_key:+[signed-by=$arm_key] }$(mirror "$arm_code")"
    arm_kernel_suite=$arm_code
    echo "$arm_line $arm_code main" >"$work/sources.list"
    if [ "$arm_rel" = 12 ]; then
        arm_kernel_suite=bookworm-backports
        echo "$arm_line bookworm-backports main" >>"$work/sources.list"
    fi
    apt_shown arm_apt apt-get -o APT::Update::Error-Mode=any update
    arm_image=$(arm_apt apt-cache show "linux-image-arm64/$arm_kernel_suite" 2>>"$log" |
        sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p' | sort -V | tail -n 1)
    [ -n "$arm_image" ] || die "no linux-image-arm64 in $arm_kernel_suite (see $log)"
    arm_packages="$arm_image busybox-static libfdt-dev"
}

# Decompresses a module and, first, those it needs (the names in its own .modinfo section).
# POSIX sh has no local variables: the subshell keeps the loop of each level apart.
take_module()
(
    module_name=$1
    grep -qx "$module_name.ko" "$new/modules.order" && exit 0
    module_file=$(find "$work/root" -name "$module_name.ko*" | head -n 1)
    if [ -z "$module_file" ]; then # file names use - or _, as their author liked
        module_file=$(find "$work/root" -name "$(echo "$module_name" | tr _- '??').ko*" | head -n 1)
        [ -n "$module_file" ] || die "the kernel package has no module $module_name"
        module_name=$(basename "${module_file%%.ko*}")
        grep -qx "$module_name.ko" "$new/modules.order" && exit 0
    fi
    case $module_file in
    *.xz) xz -dc "$module_file" >"$new/modules/$module_name.ko" ;;
    *.gz) gzip -dc "$module_file" >"$new/modules/$module_name.ko" ;;
    *.ko) cp "$module_file" "$new/modules/$module_name.ko" ;;
    *) die "do not know how to unpack $module_file" ;;
    esac
    for module_dep in $(tr '\0' '\n' <"$new/modules/$module_name.ko" |
        sed -n 's/^depends=//p' | tr , ' '); do
        take_module "$module_dep" || exit 1
    done
    echo "$module_name.ko" >>"$new/modules.order"
)

arm_unpack()
{
    say "Unpacking the arm64 pieces ..."
    new=$work/new
    mkdir -p "$new/modules" "$work/root"
    : >"$new/modules.order"
    for unpack_deb in "$work"/*.deb; do
        dpkg-deb -x "$unpack_deb" "$work/root"
        echo "package $(dpkg-deb -f "$unpack_deb" Package) $(dpkg-deb -f "$unpack_deb" Version)"
    done >"$work/versions"
    set -- "$work"/root/boot/vmlinuz-*
    # Older and newer Debian kernels alike are a raw arm64 Image; accept a compressed one too.
    if [ "$(dd if="$1" bs=1 count=2 2>/dev/null | od -An -tx1 | tr -d ' ')" = 1f8b ]; then
        gzip -dc "$1" >"$new/vmlinuz"
    else
        cp "$1" "$new/vmlinuz"
    fi
    [ "$(dd if="$new/vmlinuz" bs=1 skip=56 count=4 2>/dev/null | od -An -tx1 | tr -d ' ')" = \
        41524d64 ] || die "Debian's kernel is not a raw arm64 Image"
    cp "$work"/root/boot/config-* "$new/config"
    take_module nvme
    cp "$(find "$work/root" -path '*bin/busybox' | head -n 1)" "$new/busybox"
    cp "$(find "$work/root" -name libfdt.a | head -n 1)" "$new/libfdt.a"
    mkdir -p "$new/include"
    cp "$work"/root/usr/include/*fdt*.h "$new/include/"
    chmod -R u+w,a+rX "$new"
    {
        echo "recipe $recipe for Debian $arm_rel"
        cat "$work/versions"
    } >"$new/stamp"
}

arm_keep() # into build/debian, and a copy in the cache if one can be written
{
    copy_pieces "$new" "$dest"
    keep_dir=$(cache_to_write)
    # The cache must be readable by others: "once as root, later without".
    if (umask 022 && copy_pieces "$new" "$keep_dir/debian-$arm_rel") 2>/dev/null; then
        say "arm64 pieces: in build/debian, and a copy for other clones in $keep_dir"
    else
        say "arm64 pieces: in build/debian ($keep_dir could not be written: no copy kept)"
    fi
}

# ---- main -----------------------------------------------------------------------------------

what=${1:-}
case $what in
run | test | check | conformance | arm64) ;;
list)
    wanted check
    echo qemu-system-arm
    exit 0
    ;;
source-line)
    [ $# -eq 2 ] || { usage >&2; exit 2; }
    line_key=$(archive_key)
    echo "deb ${line_key:+[signed-by=$line_key] }$(mirror "${2%%-*}") $2 main"
    exit 0
    ;;
-h | --help | help)
    usage
    exit 0
    ;;
*)
    usage >&2
    exit 2
    ;;
esac

rel=$(release)
arm_rel=$rel
if [ "$rel" = other ]; then arm_rel=13; fi
log=$top/build/deps.log
work=

if [ -e "$top/build" ] && [ ! -w "$top/build" ]; then
    die "$top/build belongs to $(stat -c %U "$top/build") (an earlier run as that user?)." \
        "Remove it, or use another clone"
fi
need_arm=yes
if [ "$what" = conformance ] || pieces_ok "$dest" || from_cache; then need_arm=; fi
need_packages=
if [ "$what" != arm64 ]; then need_packages=$(missing "$what" | tr '\n' ' '); fi
need_packages=${need_packages% }
if [ -z "$need_arm$need_packages" ]; then exit 0; fi

command -v apt-get >/dev/null 2>&1 ||
    die "this machine has no apt-get; Tenon's scripts know Debian 12 and 13. Missing:" \
        "$need_packages${need_arm:+, arm64 kernel pieces}"
if [ -n "$need_packages" ]; then
    if [ "$rel" = other ]; then
        die "not Debian 12 or 13, so nothing is installed here. Missing: $need_packages"
    fi
    # shellcheck disable=SC2086
    root || refuse_without_root $need_packages
fi

mkdir -p "$top/build"
: >"$log"
trap 'if [ -n "$work" ]; then rm -rf "$work"; fi; rm -f "$log.status" "$log.uris"' EXIT
trap 'exit 130' INT TERM

export DEBIAN_FRONTEND=noninteractive
say "Fetching Debian's package lists first (about 9 MB for each architecture" \
    "asked:${need_packages:+ $(dpkg --print-architecture)}${need_arm:+ arm64})."
if [ -n "$need_packages" ]; then
    case " $need_packages " in
    *" qemu-system-arm "*) if [ "$rel" = 12 ]; then add_backports; fi ;;
    esac
    apt_shown apt-get -q update
    # shellcheck disable=SC2046,SC2086
    set -- $(apt_names $need_packages)
    # shellcheck disable=SC2046
    sum=$(apt_sum apt-get install -y --no-install-recommends "$@")
    say "To download and install: ${sum%% *} packages, $(mib "${sum#* }"), for:"
    say "    $need_packages"
fi
if [ -n "$need_arm" ]; then
    arm_lists
    # shellcheck disable=SC2086
    arm_sum=$(cd "$work" && apt_sum arm_apt apt-get download $arm_packages)
    say "To download and unpack (not installed): ${arm_sum%% *} arm64 packages," \
        "$(mib "${arm_sum#* }"):"
    say "    $arm_packages"
fi
if [ -n "$need_packages" ]; then
    apt_shown apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 install "$@"
    still=$(missing "$what" | tr '\n' ' ')
    [ -z "$still" ] || die "still missing after the installation: $still(see $log)"
    say "Installed."
fi
if [ -n "$need_arm" ]; then
    command -v xz >/dev/null 2>&1 || die "xz is needed to unpack kernel modules (Debian: xz-utils)"
    # shellcheck disable=SC2086
    (cd "$work" && apt_shown arm_apt apt-get download $arm_packages)
    arm_unpack
    arm_keep
fi
