"""Secrets in settings that go to a cluster or to AWS, where many may read them.

PATTERNS is the one list of what they look like: the chart's templates have it too (`make chart`). So all of them have to be what Go's
regular expressions can do as well: no looking ahead or behind.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mxspark import layers
from mxspark.errors import SECRET_ENDS, SECRET_NAME, SECRET_WORDS
from mxspark.settings import Settings

MEND = (
    "Put it into a secret of the cluster: kubernetes.credentials_from names that of a bucket's keys, and in a template a variable has "
    "valueFrom. Addresses have no user, password or query here."
)
# The beginning of a value; $(NAME) is a variable that Kubernetes fills in, $NAME and ${NAME} one that a shell does.
_VALUE = r"""["']?([^\s$"'-]|\$([^({A-Z_]|$))"""
_SECRET = rf"(?i:({SECRET_WORDS}|{SECRET_ENDS})([._-]?(key|value|string|data|base64|b64|[0-9]+))*)"
PATTERNS = {
    # A name whose value is a secret.
    "name": rf"(?i:{SECRET_NAME.pattern})",
    # NAME=VALUE that is none all the same: a switch, a place where the secret lies, the name of one, a key of AWS KMS.
    "harmless": r"(?i:^[^=]*=(true|false|on|off|yes|no|none|null|\$\([\w.-]+\)|arn:aws\S*|alias/\S*)?$"
    r"|^[^=]*(file|path|dir|directory|folder|credentials?)=(/|~|\.|file:|jceks:|s3a?://|https?://)"
    r"|^[^=]*(url|uri|endpoint|host)=(https?://)?[\w.:/-]*$|^[^=]*(name|arn|provider|class)=|(tokenizers_\w+|max_(\w+_)?tokens)=\w*$)",
    # As programs take it on their command lines, and in headers.
    "given": rf"""{_SECRET}={_VALUE}|(^|[\s"'])--?[\w.-]*{_SECRET}\s+{_VALUE}"""
    rf"""|(?i:authorization["']?\s*:\s*(basic|bearer|token))\s+{_VALUE}""",
    # Whatever it is called: ids of AWS's keys, private keys, tokens of well-known services, JWTs.
    "form": r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY|\b(gh[pousr]|github_pat)_\w{16,}"
    r"|\bgl(pat|dt|rt|cbt|ptt)-[\w-]{16,}|\bxox[abeoprs]-[\w-]{10,}|(^|[^\w-])(sk-[A-Za-z0-9]{20,}|sk-(proj|ant|svcacct|admin|or-v1)-[\w-]{16,}|[sr]k_(live|test)_\w{10,})"
    r"|\bhf_[A-Za-z0-9]{20,}|\bAIza[\w-]{35}|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[\w-]{50,}|\bdop_v1_\w{20,}"
    r"|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}",
    # An address with a user or a query (a presigned one is as good as a key), or a signature: what errors.without_secrets takes out.
    "address": r"""(?i:://[^/\s'"]*@|(^|[\s'"(=,])[^\s/:'"@()=,]+:[^\s/'"@]+@[\w\[]|https?://[^\s'"<>?]*\?"""
    r"""|\b((X-(Amz|Goog)-)?(Signature|Credential|Security-Token)|AWSAccessKeyId|GoogleAccessId|sig)"""
    r"""(['"]|&#?\w+;)?(=|: ?)(['"]|&#?\w+;)?[^&\s,;'"<>)])""",
    # In free texts only an address that has a password is surely none for all to read.
    "password": r"""://[^/\s'"@]*:[^/\s'"@]*@""",
    # Spark's own way to give pods a secret: it says which one, not what is in it.
    "reference": r"^spark\.kubernetes\.(driver|executor)\.(secretKeyRef|secrets)\.",
}
_COMPILED = {name: re.compile(pattern, re.ASCII) for name, pattern in PATTERNS.items()}
IMAGE = "image"  # name:tag@digest looks like user:password@host
FREE_TEXTS = {"labels", "annotations"}
COMMAND_LINES = {"args", "command"}


def find(settings: Settings) -> list[str]:
    """The settings that are a secret, or may have one in them, by their names."""
    given = layers.changed(settings)
    conf = given.get("spark", {}).pop("conf", {})
    found = [*_of_spark(conf), *(".".join(path) for path, text in _texts(given) if _is_open(path, text))]
    return list(dict.fromkeys(found))


def _is(name: str, text: str) -> bool:
    return _COMPILED[name].search(text) is not None


def _is_named(name: str, value: str) -> bool:
    """Whether a variable or property called so holds a secret."""
    return _is("name", name) and not _is("harmless", f"{name}={value}")


def _of_spark(conf: Mapping[str, str]) -> Iterator[str]:
    for key, value in conf.items():
        if not _is("reference", key) and (_is_named(key, value) or any(_is(kind, value) for kind in ("given", "form", "address"))):
            yield f"spark.conf.{key}"


def _is_open(path: tuple[str, ...], text: str) -> bool:
    if path[-1] == IMAGE:
        return False
    if _is("form", text):
        return True
    if FREE_TEXTS & set(path):
        return _is("password", text)
    is_variable = path[-2:-1] == ("env",) or path[0] == "emr"
    is_given = path[0] == "kubernetes" and _is("given", text)
    return _is("address", text) or is_given or (is_variable and _is_named(path[-1], text))


def _texts(data: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """All texts, with where they stand: those of variables under the variable's name, command lines as one."""
    if isinstance(data, str):
        yield path, data
    elif isinstance(data, Mapping) and "name" in data and isinstance(data.get("value"), str):
        yield (*path, str(data["name"])), data["value"]
    elif isinstance(data, Mapping):
        for key, value in data.items():
            yield from _texts(value, (*path, str(key)))
    elif isinstance(data, Sequence) and COMMAND_LINES & set(path[-1:]):
        yield path, " ".join(map(str, data))
    elif isinstance(data, Sequence):
        for value in data:
            yield from _texts(value, path)
