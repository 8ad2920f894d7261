"""Secrets in settings that go to a cluster or to AWS, where many may read them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mxspark import layers
from mxspark.errors import SECRET_NAME, without_secrets
from mxspark.settings import Settings, visible

MEND = (
    "Put it into a secret of the cluster: kubernetes.credentials_from names that of a bucket's keys, and in a template a variable has "
    "valueFrom. Addresses have no user, password or query here."
)
# Spark's own way to give pods a secret: it says which one, not what is in it.
NAMES_OF_SECRETS = re.compile(r"spark\.kubernetes\.(driver|executor)\.(secretKeyRef|secrets)\.")
# As programs take it on their command lines; $(NAME) is a variable that Kubernetes fills in.
GIVEN = re.compile(rf"(?:{SECRET_NAME.pattern}|pass|credentials?)=(?!\$\()\S", re.IGNORECASE)
IMAGE = "image"  # name:tag@digest looks like user:password@host
FREE_TEXTS = {"labels", "annotations"}
WITH_PASSWORD = re.compile(r"""://[^/\s'"@]*:[^/\s'"]*@""")


def find(settings: Settings) -> list[str]:
    """The settings that are a secret, or may have one in them, by their names."""
    given = layers.changed(settings)
    conf = given.get("spark", {}).pop("conf", {})
    return [*_of_spark(conf), *(".".join(path) for path, text in _texts(given) if _is_open(path, text))]


def _of_spark(conf: Mapping[str, str]) -> Iterator[str]:
    for key, value in conf.items():
        if not NAMES_OF_SECRETS.match(key) and visible({key: value})[key] != value:
            yield f"spark.conf.{key}"


def _is_open(path: tuple[str, ...], text: str) -> bool:
    if path[-1] == IMAGE:
        return False
    if FREE_TEXTS & set(path):  # only an address that has a password is surely none for all to read
        return WITH_PASSWORD.search(text) is not None
    is_named = path[-2:-1] == ("env",) or path[0] == "emr"
    is_given = path[0] == "kubernetes" and GIVEN.search(text) is not None
    return without_secrets(text) != text or is_given or (is_named and SECRET_NAME.search(path[-1]) is not None)


def _texts(data: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """All texts, with where they stand; those of variables under the variable's name."""
    if isinstance(data, str):
        yield path, data
    elif isinstance(data, Mapping) and "name" in data and isinstance(data.get("value"), str):
        yield (*path, str(data["name"])), data["value"]
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield from _texts(value, (*path, str(key)))
    elif isinstance(data, Sequence):
        for value in data:
            yield from _texts(value, path)
