#!/bin/sh
# Makes /opt/spark from the wheel of pyspark, in the layout of Spark's own images, and /opt/packages, what Python needs beside it.
# Usage: spark.sh LOCK
set -eu
/build/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --no-build-isolation --use-pep517 --no-compile \
    --target /opt/packages --requirement "$1"
rm -r /opt/packages/bin
mv /opt/packages/pyspark /opt/spark
ln -s /opt/spark /opt/packages/pyspark
cd /opt/spark
rm -r data examples bin/*.cmd ml mllib pandas
# Programs of what is left out below.
rm bin/beeline bin/docker-image-tool.sh bin/run-example bin/spark-connect-shell bin/spark-pipelines bin/spark-shell bin/spark-sql bin/sparkR \
    sbin/*-connect-server.sh
# Java's archive of classes (classes.py) fits one order of the jars, and `*` is in that of the folder's entries, which differs among machines.
# shellcheck disable=SC2016  # for spark-class
sed -i -e 's#^exec "${CMD\[@\]}"$#jars=$(LC_ALL=C \&\& printf ":%s" "$SPARK_JARS_DIR"/*.jar)\nexec "${CMD[@]//":$SPARK_JARS_DIR/*"/$jars}"#' bin/spark-class
grep -q '^jars=' bin/spark-class
/build/bin/python -m compileall -q --invalidation-mode unchecked-hash . /opt/packages
# What this job never starts, almost half of Spark: Connect and its shell, machine learning, Hive, the Scala shell, streaming's state store,
# YARN; and libraries for other systems and processors.
cd jars
rm -r connect-repl
rm algebra_* arpack* blas-* breeze* cats-kernel_* datanucleus-* derby* hive-* HikariCP-* javax.jdo-* jdo-api-* jline-* JTransforms-* lapack-* \
    leveldbjni-* libfb303-* libthrift-* rocksdbjni-* scala-compiler-* spark-connect_* spark-graphx_* spark-hive* spark-mllib* \
    spark-pipelines_* spark-repl_* spark-yarn_* spire* ./*-osx-* ./*-windows-* ./*-linux-riscv64.jar
if [ "$(uname -m)" = x86_64 ]; then rm ./*-linux-aarch_64.jar; else rm ./*-linux-x86_64.jar; fi
