#!/bin/sh
# Makes /opt/java, a Java runtime without what Spark never asks for, and /opt/jars, what Spark needs for s3a://.
# Usage: java.sh JARS RESOLVED   the folder with SHA256SUMS, and that of the jars which it is about
set -eu
modules=java.se,jdk.charsets,jdk.crypto.ec,jdk.httpserver,jdk.incubator.vector,jdk.jcmd,jdk.jfr,jdk.management,jdk.management.agent
modules=$modules,jdk.naming.dns,jdk.net,jdk.nio.mapmode,jdk.security.auth,jdk.security.jgss,jdk.unsupported,jdk.zipfs
# java.desktop is there for java.beans: without its libraries for windows, fonts and sound.
# With options of its own, for whatever starts it: the archive of Spark's classes (classes.py), where it fits, and no words where it doesn't.
jlink --add-modules "$modules" --output /opt/java --strip-java-debug-attributes --no-header-files --no-man-pages --compress=2 \
    --exclude-files='/java.desktop/lib/**' --add-options="-XX:SharedArchiveFile=/opt/java/lib/server/spark.jsa -Xlog:cds*=off"
cp -L /etc/ssl/certs/java/cacerts /opt/java/lib/security/cacerts
rm -f /opt/java/lib/server/*.jsa
/opt/java/bin/java -XX:SharedArchiveFile=/opt/java/lib/server/classes.jsa -Xshare:dump >/dev/null # its own classes as they lie in memory: Java starts twice as fast

mkdir -p /opt/jars
cd "$2"
sha256sum --check --strict --quiet "$1/SHA256SUMS"
while read -r _ jar; do cp "$jar" /opt/jars; done <"$1/SHA256SUMS"
