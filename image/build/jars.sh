#!/bin/sh
# Makes /resolved, the jars that Maven finds for a pom.xml. Nobody may trust them before their hashes are checked (java.sh).
# Usage: jars.sh JARS   the folder with pom.xml
set -eu
mkdir -p /tmp/pom /resolved
cp "$1/pom.xml" /tmp/pom
cd /tmp/pom
mvn --batch-mode --quiet org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DoutputDirectory=/resolved
