"""Refuses settings that pods can't reach: folders and addresses of this machine, volumes that pods don't share."""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from mxspark.dataset import manifest
from mxspark.errors import UsageError, without_secrets
from mxspark.settings.job import Settings
from mxspark.submit import secrets
from mxspark.text import globs

Role = Literal["driver", "executor"]
IN_IMAGE = "/opt/mxspark/"  # where images have mxspark and its examples
PLACES = (
    "input.path",
    "input.base",
    "output.path",
    "output.text_object",
    "model.path",
    "model.symbol",
    "model.params",
    "model.labels",
)
WRITE_SCHEMES = ("s3", "s3a", "s3n")
READ_SCHEMES = (*WRITE_SCHEMES, "http", "https")
# Types of volumes that are private to a pod and deleted with it, or read-only.
OWN_VOLUMES = ("emptyDir", "ephemeral", "configMap", "secret", "downwardAPI", "projected", "image")
# Loopback hosts: names and IPv4 addresses; IPv6 addresses, which a URL has in brackets.
OWN_HOSTS, OWN_HOSTS_IPV6 = r"localhost|[^/]*\.localhost|localhost\.localdomain|127(\.\d+){1,3}|0\.0\.0\.0", "::1?"
_MOUNT_PATH = re.compile(r"spark\.kubernetes\.(driver|executor)\.volumes\.(\w+)\.(.+)\.mount\.path")
_OWN_HOST = re.compile(f"{OWN_HOSTS}|{OWN_HOSTS_IPV6}")


@dataclass(frozen=True)
class Mount:
    """A volume in a pod's main container."""

    path: str
    is_shared: bool  # with other pods
    is_read_only: bool

    def holds(self, place: str) -> bool:
        """Whether a place is on it."""
        return f"{_clean(place)}/".startswith(f"{self.path.rstrip('/')}/")


def check(settings: Settings) -> None:
    """Raises UsageError for folders and addresses of this machine, and for secrets that would be exposed."""
    for key, place in _places(settings):
        if "://" not in place:
            _refuse_local(key, place, settings)
        else:
            _refuse_unknown(key, place)
            if key == "input.path" and (hint := manifest.why_not_read(place)) and not globs.is_glob(place):
                raise UsageError(
                    f"{key} is {place!r}: by its name neither an image nor a list of images that can be read", hint
                )
    if not _has_company(settings):
        for key, address in _own_addresses(settings):
            raise UsageError(
                f"{key} is {address}: in a pod, that is the pod itself, not this machine, and nothing in the pods "
                "listens there",
                "Give an address that pods can reach, such as http://SERVICE.NAMESPACE:PORT of a server in the "
                "cluster.",
            )
    if found := secrets.find(settings):
        tags = all(name.startswith("emr.tags.") for name in found)
        hint = "Tags are readable by many: leave it out." if tags else secrets.HINT
        raise UsageError(f"these settings may expose a secret: {', '.join(found)}", hint)


def doubts(settings: Settings) -> list[str]:
    """Warnings about settings that passed: addresses where only a sidecar can listen."""
    return [
        f"{key} is {address}, which in a pod is the pod itself: a sidecar must listen there."
        for key, address in _own_addresses(settings)
    ]


def _places(settings: Settings) -> Iterator[tuple[str, str]]:
    """The places that a job reads and writes, each after its key."""
    for key in PLACES:
        section, name = key.split(".")
        found = settings.input.paths if key == "input.path" else (getattr(getattr(settings, section), name),)
        yield from ((key, place) for place in found if place)


def _own_addresses(settings: Settings) -> Iterator[tuple[str, str]]:
    """The loopback addresses among the settings, each after its key, without secrets."""
    for key, address in (*_places(settings), ("storage.endpoint_url", settings.storage.endpoint_url or "")):
        if not address.lower().startswith(("http://", "https://")):
            continue
        try:
            host = urlsplit(address).hostname or ""
        except ValueError as error:
            raise UsageError(f"{key}: {without_secrets(address)} is not an address: {error}", "Correct it.") from None
        if _OWN_HOST.fullmatch(host):
            yield key, without_secrets(address)


def _refuse_local(key: str, place: str, settings: Settings) -> None:
    """Raises UsageError for a path that the pods which need it don't have, or don't share."""
    hint = (
        "Give s3://bucket/prefix, or mount a volume that all pods share: kubernetes.driver.template, "
        "kubernetes.executor.template."
    )
    if not place.startswith("/"):
        raise UsageError(f"{key} is {place!r}, which is on this machine, where pods can't read it", hint)
    is_output = key.startswith("output")
    # Only the driver reads manifests and writes the text object.
    roles: tuple[Role, ...] = (
        ("driver",) if key == "output.text_object" or manifest.is_manifest(place) else ("driver", "executor")
    )
    found = {role: _mount(settings, role, place) for role in roles}
    if all(found.values()):
        if is_output and any(mount and not mount.is_shared for mount in found.values()):
            raise UsageError(
                f"{key} is {place!r}: each pod would write to a folder of its own, which is deleted with it", hint
            )
        if is_output and any(mount and mount.is_read_only for mount in found.values()):
            raise UsageError(
                f"{key} is {place!r}, on a volume that is mounted with readOnly: true",
                "Mount it so that pods can write.",
            )
        return
    if lacking := [role for role, mount in found.items() if mount is None and any(found.values())]:
        raise UsageError(
            f"{key} is {place!r}, where a volume is mounted in some pods, but not in the {lacking[0]}'s",
            f"Mount it there too: kubernetes.{lacking[0]}.template.",
        )
    if is_output:
        raise UsageError(
            f"{key} is {place!r}: each pod would write to a folder of its own, which is deleted with it", hint
        )
    if Path(place).exists() and not place.startswith(IN_IMAGE):
        raise UsageError(f"{key} is {place!r}, which is on this machine, where pods can't read it", hint)


def _has_company(settings: Settings) -> bool:
    """Whether something besides mxspark's container may listen in both kinds of pods: a sidecar, or the node's own
    programs.
    """
    for role in ("driver", "executor"):
        spec = getattr(settings.kubernetes, role).template.get("spec") or {}
        sidecars = [
            container for container in spec.get("initContainers") or () if container.get("restartPolicy") == "Always"
        ]
        others = [*(spec.get("containers") or ())[1:], *sidecars]
        if not others and not spec.get("hostNetwork"):
            return False
    return True


def _refuse_unknown(key: str, place: str) -> None:
    schemes = WRITE_SCHEMES if key.startswith("output") else READ_SCHEMES
    scheme = place.partition("://")[0]
    if scheme not in schemes:
        raise UsageError(
            f"{key} is {place!r}, and mxspark does not support {scheme}://",
            "Give s3://bucket/prefix; other object stores are reached by their S3 API: storage.endpoint_url.",
        )


def _mount(settings: Settings, role: Role, place: str) -> Mount | None:
    """The volume on which the pods of this role have `place`."""
    found = [mount for mount in _mounts(settings, role) if mount.holds(place)]
    return max(found, key=lambda mount: len(mount.path), default=None)


def _mounts(settings: Settings, role: Role) -> Iterator[Mount]:
    template: Mapping[str, Any] = getattr(settings.kubernetes, role).template
    spec = template.get("spec") or {}
    kinds = {volume.get("name"): {*volume} - {"name"} for volume in spec.get("volumes") or ()}
    for mount in ((spec.get("containers") or [{}])[0] or {}).get("volumeMounts") or ():
        kind = kinds.get(mount.get("name"), set())
        yield Mount(
            _clean(str(mount.get("mountPath"))),
            bool(kind) and kind.isdisjoint(OWN_VOLUMES),
            bool(mount.get("readOnly")),
        )
    for key, path in settings.spark.conf.items():
        if (parts := _MOUNT_PATH.fullmatch(key)) and parts[1] == role:
            is_read_only = settings.spark.conf.get(f"{key.removesuffix('path')}readOnly") == "true"
            yield Mount(_clean(path), parts[2] not in OWN_VOLUMES, is_read_only)


def _clean(path: str) -> str:
    return "/" + posixpath.normpath(path).lstrip("/")
