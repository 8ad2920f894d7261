#!/bin/sh
# Installs a JDK and Maven, for the stages that make Java's parts of the image.
# Usage: jdk.sh
set -eu
mkdir -p /usr/share/man/man1 # slim images lack it, and Debian's Java can't be installed without
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends openjdk-17-jdk-headless maven
