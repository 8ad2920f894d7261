#!/usr/bin/env bash
# Signs an image in a registry, and attests two things with the same key: what is in it (the image's own CycloneDX list) and
# what it was built from (SLSA provenance, from its labels). Needs cosign, and Docker or Podman, logged in to the registry.
# Usage: tools/sign.sh REGISTRY/NAME@sha256:DIGEST KEY   KEY: as cosign takes it: a file, awskms:///…, k8s://…
# Environment: COSIGN (the program), COSIGN_PASSWORD (of a key in a file), COSIGN_OPTIONS (e.g. --tlog-upload=false),
#              BUILDER_ID (an address that stands for who built it)
set -euo pipefail
cd "$(dirname "$0")/.."
usage="Usage: tools/sign.sh REGISTRY/NAME@sha256:DIGEST KEY"
image=${1:?"$usage"} key=${2:?"$usage"}
cosign=${COSIGN:-cosign}
builder=${BUILDER_ID:-urn:mxspark:image.sh}
fail() { printf 'sign: %s\n' "$@" >&2; exit 2; }

[[ $image =~ ^[^@[:space:]]+@sha256:[0-9a-f]{64}$ ]] || fail "'$image' has no digest: a tag is what somebody else says that it is." "$usage"
command -v "$cosign" >/dev/null || fail "cosign is missing." "Install it: go install github.com/sigstore/cosign/v2/cmd/cosign@latest"
docker=$(tools/docker.sh)
read -ra options <<<"${COSIGN_OPTIONS-}"

label() { # NAME: of the image
    "$docker" image inspect --format "{{index .Config.Labels \"org.opencontainers.image.$1\"}}" "$image"
}

provenance() { # a predicate of https://slsa.dev/provenance/v1
    .venv/bin/python - "$builder" "$(label source)" "$(label revision)" "$(label version)" "$(label base.name)" <<'PYTHON'
import json, sys

builder, source, revision, version, base = ("" if word == "unknown" else word for word in sys.argv[1:])
if not revision:
    sys.exit("sign: the image has no label that names the commit it was built from: build it with `make image` in a clone.")
print(json.dumps({
    "buildDefinition": {
        "buildType": "urn:mxspark:image.sh:v1",
        "externalParameters": {"version": version} | ({"base": base} if base else {}),
        "resolvedDependencies": [({"uri": source} if source else {}) | {"digest": {"gitCommit": revision}}],
    },
    "runDetails": {"builder": {"id": builder}},
}))
PYTHON
}

folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
"$docker" pull --quiet "$image" >/dev/null
"$docker" run --rm --network none --entrypoint cat "$image" /opt/mxspark/sbom.json >"$folder/sbom.json"
provenance >"$folder/provenance.json"
"$cosign" sign --yes --key "$key" "${options[@]}" "$image"
"$cosign" attest --yes --key "$key" --type cyclonedx --predicate "$folder/sbom.json" "${options[@]}" "$image"
"$cosign" attest --yes --key "$key" --type slsaprovenance1 --predicate "$folder/provenance.json" "${options[@]}" "$image"
echo "signed and attested: $image"
