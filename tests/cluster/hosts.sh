#!/bin/bash
# Machines made of namespaces: each has its own network address, processes, /tmp, /dev/shm, host name, a copy-on-write
# disk and an sshd that takes a key only. h1, h2 ... are a cluster's, "cli" is the user's laptop (address .254). The
# switch between them is in a namespace of its own, so nothing is added to the machine's own network.
# Needs root, iproute2, util-linux, openssh-server and rsync.
#   hosts.sh up N | down | add HOST [ADDRESS...] | remove HOST | sh HOST 'shell line' | crash HOST | boot HOST |
#            unplug HOST | plug HOST
# From the environment: HOSTS_STATE, a directory for keys, process ids and logs; HOSTS_BIND, paths that every host sees
# live and read-only; HOSTS_SHARED, a directory that all share; HOSTS_PREFIX and HOSTS_NET, so that two sets can be up
# at once.
set -euo pipefail
self=$(readlink -f "$0")
state=${HOSTS_STATE:?}
prefix=${HOSTS_PREFIX:-rs}
net=${HOSTS_NET:-10.77.0}
read -ra bind <<<"${HOSTS_BIND:-}"

number() {
    case $1 in
        cli) echo 254 ;;
        h[0-9] | h[0-9][0-9]) echo "${1#h}" ;;
        *) echo "there is no host $1" >&2; exit 2 ;;
    esac
}

keys() {
    mkdir -p "$state"
    chmod 700 "$state"
    [[ -f $state/key ]] || ssh-keygen -q -t ed25519 -N '' -C hosts -f "$state/key"
    [[ -f $state/hostkey ]] || ssh-keygen -q -t ed25519 -N '' -f "$state/hostkey"
}

disks() { # a process whose mount namespace holds the hosts' disks, in memory
    mkdir -p "$state/disk"
    local make="mount -t tmpfs -o size=4g tmpfs $state/disk; touch $state/disk/ready; exec sleep infinity"
    setsid unshare --mount --propagation slave sh -c "$make" >/dev/null 2>&1 </dev/null &
    echo $! >"$state/disks.pid"
    wait_for "/proc/$!/root$state/disk/ready"
}

wait_for() { # a file
    for _ in $(seq 100); do
        [[ -e $1 ]] && return
        sleep 0.1
    done
    echo "$1 does not come" >&2
    exit 1
}

wire() { # make a host's network namespace with these addresses, or the one of its number, and plug it into the switch
    local host=$1 address addresses=("${@:2}")
    [[ ${#addresses[@]} -gt 0 ]] || addresses=("$net.$(number "$host")")
    ip netns add "$prefix-$host"
    ip link add "$prefix-$host" netns "$prefix-switch" type veth peer name eth0 netns "$prefix-$host"
    ip -n "$prefix-switch" link set "$prefix-$host" master br0 up
    ip -n "$prefix-$host" link set lo up
    for address in "${addresses[@]}"; do ip -n "$prefix-$host" addr add "$address/32" dev eth0; done
    ip -n "$prefix-$host" link set eth0 up
    # all addresses are on one wire; by the source of this route Ray finds out which one is its own
    ip -n "$prefix-$host" route add default dev eth0 src "${addresses[0]}"
}

boot() {
    local host=$1 outer inner=
    setsid nsenter -t "$(cat "$state/disks.pid")" -m ip netns exec "$prefix-$host" \
        unshare --mount --pid --uts --ipc --fork --kill-child "$self" _init "$host" >"$state/$host.log" 2>&1 </dev/null &
    outer=$!
    for _ in $(seq 100); do
        inner=$(cut -d' ' -f1 "/proc/$outer/task/$outer/children" 2>/dev/null || true)
        [[ -n $inner && -e /proc/$inner/root/run/hosts-ready ]] && break
        sleep 0.1
    done
    [[ -n $inner && -e /proc/$inner/root/run/hosts-ready ]] || { cat "$state/$host.log" >&2; exit 1; }
    echo "$inner" >"$state/$host.pid"
}

_init() { # process 1 of a host
    local host=$1 disk="$state/disk/$1" root path fresh=
    root="$disk/root"
    hostname "$prefix-$host"
    mount --make-rprivate /
    [[ -d $disk/upper ]] || fresh=1 # a host keeps its disk when it crashes and boots
    mkdir -p "$disk/upper" "$disk/work" "$root"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" "$root"
    install -m 600 "$state/hostkey" "$root/etc/ssh/hosts_key"
    cp "$state/key.pub" "$root/etc/ssh/hosts_authorized"
    [[ $host == cli ]] && install -m 600 "$state/key" "$root/root/hosts_key"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    for path in "${bind[@]}"; do
        mkdir -p "$root$path"
        mount --bind "$path" "$root$path"
        mount -o remount,bind,ro "$root$path"
    done
    if [[ -n ${HOSTS_SHARED:-} ]]; then # a directory that all hosts see, as by NFS
        mkdir -p "$state/shared" "$root$HOSTS_SHARED"
        mount --bind "$state/shared" "$root$HOSTS_SHARED"
    fi
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
    mount --bind "$root/dev/pts/ptmx" "$root/dev/ptmx" 2>/dev/null || true
    mount -t tmpfs -o mode=1777,size=2g tmpfs "$root/dev/shm"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    mkdir -p "$root/run/sshd"
    [[ -d /sys/fs/cgroup ]] && mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup" || true
    {
        echo "127.0.0.1 localhost"
        echo "$(ip -o -4 addr show dev eth0 | awk '{sub("/.*", "", $4); print $4; exit}') $prefix-$host"
    } >"$root/etc/hosts"
    if [[ $fresh ]]; then # a plain home, as on a new machine
        rm -rf "$root/root/.ray" "$root/root/.ssh"
        printf 'export PS1="\\h:\\w# "\n' >"$root/root/.bashrc"
        printf '. ~/.bashrc\n' >"$root/root/.profile"
    fi
    cat >"$root/etc/ssh/hosts_sshd_config" <<CONFIG
HostKey /etc/ssh/hosts_key
AuthorizedKeysFile /etc/ssh/hosts_authorized
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
MaxStartups 50
PrintMotd no
CONFIG
    mkdir -p "$root/.old"
    cd "$root"
    pivot_root . .old
    umount -l /.old
    cd /
    export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    /usr/sbin/sshd -D -e -f /etc/ssh/hosts_sshd_config &
    touch /run/hosts-ready
    while :; do wait -n || sleep 1; done # collect orphans
}

enter() { # run a command on a host, in a new machine's environment
    local host=$1
    shift
    exec nsenter -t "$(cat "$state/$host.pid")" -m -p -n -u -i -r env -C /root -i HOME=/root TERM=xterm LANG=C.UTF-8 \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

crash() { # a power cut
    local first
    first=$(cat "$state/$1.pid")
    kill -9 "$first" 2>/dev/null || true
    rm -f "$state/$1.pid"
    for _ in $(seq 100); do
        kill -0 "$first" 2>/dev/null || break
        sleep 0.1
    done
}

remove() { # with its disk
    crash "$1"
    ip netns del "$prefix-$1"
    nsenter -t "$(cat "$state/disks.pid")" -m rm -rf "$state/disk/$1"
}

clear() { # what a run that was killed has left of its network; hosts that still run are not touched
    local name
    for name in $(ip netns list | awk '{print $1}' | grep "^$prefix-" || true); do
        [[ -z $(ip netns pids "$name") ]] || { echo "hosts named $prefix-* are up; end them first" >&2; exit 1; }
        ip netns del "$name"
    done
}

down() {
    local file name
    for file in "$state"/{cli,h*}.pid; do
        [[ -e $file ]] && crash "$(basename "$file" .pid)"
    done
    [[ -e $state/disks.pid ]] && kill "$(cat "$state/disks.pid")" && rm "$state/disks.pid"
    for name in $(ip netns list | awk '{print $1}' | grep "^$prefix-" || true); do ip netns del "$name"; done
}

case ${1:-} in
    up)
        clear
        keys
        ip netns add "$prefix-switch"
        ip -n "$prefix-switch" link add br0 type bridge
        ip -n "$prefix-switch" link set br0 up
        hosts=(cli)
        for ((n = 1; n <= $2; n++)); do hosts+=("h$n"); done
        disks
        for host in "${hosts[@]}"; do wire "$host"; boot "$host"; done
        ;;
    down) down ;;
    add) shift; wire "$@"; boot "$1" ;;
    remove) remove "$2" ;;
    sh) host=$2; shift 2; enter "$host" bash -c "$*" ;;
    crash) crash "$2" ;;
    boot) boot "$2" ;;
    unplug) ip -n "$prefix-switch" link set "$prefix-$2" down ;;
    plug) ip -n "$prefix-switch" link set "$prefix-$2" up ;;
    _init) _init "$2" ;;
    *) sed -n 2,11p "$self"; exit 2 ;;
esac
