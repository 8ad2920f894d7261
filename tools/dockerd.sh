#!/usr/bin/env bash
# Starts Docker's daemon where systemd doesn't: on a build machine, as root, and so that `kind` works there. Leaves a Docker that works alone.
# Usage: tools/dockerd.sh [start|stop]   stop: ends the daemon that start has started, and leaves the machine as it was
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin # where Debian has the programs of root, which not every shell looks for there
cd "$(dirname "$0")/.."
state=/var/lib/mxspark-dockerd # there as long as the daemon that this script has started
cgroup=mxspark-dockerd
log=/var/log/dockerd.log
# What a Kubernetes node in a container sets for the whole machine.
node_sysctls=(fs.file-max kernel.panic kernel.panic_on_oops vm.overcommit_memory)

has_sys_resource() {
    local bit=24 capabilities
    capabilities=$(awk '/^CapEff/ { print $2 }' /proc/self/status)
    ((16#$capabilities >> bit & 1))
}

configuration() {
    local runtime=
    if ! has_sys_resource; then
        # Copies: the daemon may live longer than this folder.
        install tools/runc-without-sys-resource.py "$state/"
        local python
        python=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))')
        # Docker calls runc five times for each container, of which one starts something; and Python takes ten times as long as runc.
        printf '%s\n' '#!/bin/sh' 'case " $* " in' \
            "*' create '* | *' run '* | *' exec '*) exec '$python' -IS $state/runc-without-sys-resource.py \"\$@\" ;;" \
            'esac' 'exec runc "$@"' >$state/runc
        chmod 755 $state/runc
        runtime=", \"runtimes\": {\"grantable\": {\"path\": \"$state/runc\"}}, \"default-runtime\": \"grantable\""
    fi
    # 1400: the network of a build machine is often a tunnel, which fits less than the 1500 that Docker takes for granted.
    echo "{\"mtu\": 1400, \"cgroup-parent\": \"/$cgroup\"$runtime}"
}

start() {
    ! docker info >/dev/null 2>&1 || return 0
    mkdir -p $state
    configuration >$state/daemon.json
    [ -e $state/sysctls ] || sysctl "${node_sysctls[@]}" >$state/sysctls # kept where a daemon before this one was killed
    # Of a daemon that was killed its number is left, which another process may have by now.
    [ "$(ps -o comm= -p "$(cat /var/run/docker.pid 2>/dev/null)" 2>/dev/null)" = dockerd ] || rm -f /var/run/docker.pid
    setsid dockerd --config-file $state/daemon.json >"$log" 2>&1 </dev/null &
    for _ in $(seq 300); do
        ! docker info >/dev/null 2>&1 || return 0
        sleep 0.1
    done
    echo "dockerd: Docker's daemon does not start; the end of $log:" >&2
    tail -5 "$log" >&2
    return 1
}

stop() {
    local process
    [ -d $state ] || return 0
    process=$(cat /var/run/docker.pid 2>/dev/null || true)
    if [ -n "$process" ] && kill "$process" 2>/dev/null; then
        while kill -0 "$process" 2>/dev/null; do sleep 0.1; done # containers that run get 15 s from it
    fi
    [ ! -e $state/sysctls ] || sysctl --quiet --load=$state/sysctls
    # Nodes of Kubernetes leave their empty groups behind.
    find /sys/fs/cgroup -depth -type d -path "*/$cgroup*" -exec rmdir {} + 2>/dev/null || true
    rm -rf $state
}

case ${1:-start} in
start | stop) "${1:-start}" ;;
*)
    echo "dockerd: start or stop, not '$1'" >&2
    exit 2
    ;;
esac
