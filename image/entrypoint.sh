#!/bin/bash
# What the image starts. Spark on Kubernetes calls it with `driver ARGUMENTS…` and with `executor`, as it does in Spark's own images;
# a program in the image is started as it is; anything else is a command of mxspark: `docker run IMAGE run --input …`.
set -euo pipefail

fail() {
    echo "Error: $1" >&2
    exit 1
}

# Java and Hadoop want a name for their user. /etc/passwd can't be written by a user whom it doesn't know, so its functions are wrapped.
if ! getent passwd "$(id -u)" >/dev/null; then
    [ -w "${TMPDIR:-/tmp}" ] || fail "no folder for temporary files can be written. Give the container one: --tmpfs /tmp"
    NSS_WRAPPER_PASSWD=$(mktemp) NSS_WRAPPER_GROUP=$(mktemp)
    echo "spark:x:$(id -u):$(id -g):Spark:$SPARK_HOME/work-dir:/bin/false" >"$NSS_WRAPPER_PASSWD"
    echo "spark:x:$(id -g):" >"$NSS_WRAPPER_GROUP"
    export LD_PRELOAD=/usr/lib/libnss_wrapper.so NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP HOME=$SPARK_HOME/work-dir
fi

needs() { # VARIABLE...
    local name
    for name; do
        [ -n "${!name-}" ] || fail "$name is not set: \`driver\` and \`executor\` are for Spark on Kubernetes, which sets it."
    done
}

case ${1-} in
driver)
    shift
    needs SPARK_DRIVER_BIND_ADDRESS
    # As mxspark starts Java itself, which only hands out numbers here: the simplest compiler is up first. A job's own options come later, and win.
    export SPARK_SUBMIT_OPTS="-XX:TieredStopAtLevel=1${SPARK_SUBMIT_OPTS:+ $SPARK_SUBMIT_OPTS}"
    command=(
        "$SPARK_HOME/bin/spark-submit"
        --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS"
        --conf "spark.executorEnv.SPARK_DRIVER_POD_IP=$SPARK_DRIVER_BIND_ADDRESS"
        --deploy-mode client
        "$@"
    )
    ;;
executor)
    needs SPARK_EXECUTOR_MEMORY SPARK_DRIVER_URL SPARK_EXECUTOR_ID SPARK_EXECUTOR_CORES SPARK_APPLICATION_ID SPARK_EXECUTOR_POD_IP \
        SPARK_RESOURCE_PROFILE_ID SPARK_EXECUTOR_POD_NAME
    # Java's options come as SPARK_JAVA_OPT_0, SPARK_JAVA_OPT_1, …
    options=()
    for name in $(compgen -v SPARK_JAVA_OPT_ | sort --version-sort); do options+=("${!name}"); done
    # In the order of spark-class, which Java's archive of classes fits: `jars/*` would be in that of the folder's entries.
    jars=$(LC_ALL=C && printf ':%s' "$SPARK_HOME"/jars/slf4j-api-*.jar "$SPARK_HOME"/jars/*.jar)
    class_path="${SPARK_CONF_DIR:-$SPARK_HOME/conf}${HADOOP_CONF_DIR:+:$HADOOP_CONF_DIR}${SPARK_CLASSPATH:+:$SPARK_CLASSPATH}$jars"
    command=(
        "$JAVA_HOME/bin/java"
        "${options[@]}"
        "-Xms$SPARK_EXECUTOR_MEMORY"
        "-Xmx$SPARK_EXECUTOR_MEMORY"
        -cp "$class_path${SPARK_EXTRA_CLASSPATH:+:$SPARK_EXTRA_CLASSPATH}:$PWD${SPARK_DIST_CLASSPATH:+:$SPARK_DIST_CLASSPATH}"
        org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend
        --driver-url "$SPARK_DRIVER_URL"
        --executor-id "$SPARK_EXECUTOR_ID"
        --cores "$SPARK_EXECUTOR_CORES"
        --app-id "$SPARK_APPLICATION_ID"
        --hostname "$SPARK_EXECUTOR_POD_IP"
        --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID"
        --podName "$SPARK_EXECUTOR_POD_NAME"
    )
    ;;
*)
    if [ $# -gt 0 ] && type -P -- "$1" >/dev/null; then command=("$@"); else command=(mxspark "$@"); fi
    ;;
esac
exec tini -s -- "${command[@]}"
