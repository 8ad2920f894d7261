#!/bin/bash
# What Kubernetes calls before it ends an executor's pod: tells the executor, which then takes no new tasks, and waits until it is gone.
# Without it SIGTERM would end running tasks at once. How long they may take is for Kubernetes to say (terminationGracePeriodSeconds).
for process in /proc/[0-9]*; do
    pid=${process#/proc/}
    # The program's name first: tini has the class's name among its arguments too.
    [[ $(readlink "$process/exe" 2>/dev/null) == */java ]] || continue # others' can't be read
    if tr '\0' '\n' <"$process/cmdline" | grep -q 'ExecutorBackend$'; then
        echo "decommissioning the executor, process $pid"
        kill -PWR "$pid"
        exec tail --pid="$pid" -f /dev/null
    fi
done
echo "no executor runs here" >&2
