"""Secrets in settings that go to a cluster or to AWS, where many may read them.

PATTERNS is the one list of what they look like: the chart's templates have it too (`make chart`). So all of them must
also be valid in Go's regular expressions: no lookahead or lookbehind.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mxspark.errors import SECRET_ENDS, SECRET_NAME, SECRET_TAIL, SECRET_WORDS, SHORT_SECRETS
from mxspark.settings import sources
from mxspark.settings.job import Settings

HINT = (
    "Put it into a Kubernetes Secret: kubernetes.credentials_from for a bucket's keys, valueFrom for a variable in a "
    "template. Addresses must not have a user, password or query here."
)


def _any(*alternatives: str) -> str:
    """A pattern that matches what one of these does."""
    return "|".join(alternatives)


# A value; $(NAME) is a variable that Kubernetes expands, $NAME and ${NAME} one that a shell does.
_VALUE = r"""["']?([^\s$"'-]|\$([^({A-Z_]|$))[^\s"']*"""
# A name whose value is a secret, perhaps with an id at its end.
_SECRET = rf"(?i:({SECRET_WORDS}|{SECRET_ENDS}){SECRET_TAIL}([._-]?id)?)"
# Values that are no secret, whatever their name.
_PLAIN = _any(
    r"true|false|on|off|yes|no|none|null",  # switches
    r"arn:aws\S*|alias/\S*",  # secrets and keys of AWS, by their names
    r"/(etc|run|var|mnt|opt|home|tmp|secrets?)/[\w./-]*",  # paths
    r"<[^<>\s]*>",  # placeholders
    r"(org|com|io|net)(\.\w+){2,}",  # Java classes
)
# Methods of authentication.
_METHODS = _any(
    "basic|bearer|token|apikey|digest|negotiate|plain|login|kerberos|simple|ntlm|oauth2?|oidc|ldap|iam|saml",
    r"m?tls|scram-sha-\d+",
)
# Ends of names: of the place of a secret, of a number, of a property of a secret.
_PLACES = "file|path|dir|directory|folder|credentials?|mount|location"
_NUMBERS = _any(
    "bits|bytes|length|len|size|count|limit",
    "ttl|seconds|secs?|minutes|hours|days|timeout|expiry|expiration|age|lifetime|duration|interval",
    r"ratio|version|retries|per_\w+|id|index",
)
_KINDS = _any(
    "name|arn|provider|class|algorithm|type|kind|mode|mechanism|method|scheme|format|backend|store",
    "issuer|audience|scope|itemkey|keyspace",
    "policy|strategy|prefix|separator|key[._-]?header",
)
# Names that look like a secret's, but are none.
_OTHERS = _any(
    "oldpwd|(by|com|high|low|band|multi|single|two)[._-]?pass",
    # of language models
    r"tokenizers_\w+|max_(\w+_)?tokens|(eos|bos|pad|unk|cls|sep|mask)[_-]token",
)
# NAME=VALUE that is no secret, although the name is a secret's.
_HARMLESS = _any(
    rf"^[^=]*=({_PLAIN}|\$\([\w.-]+\))?$",  # empty, plain, or a variable
    rf"^[^=]*auth(orization)?=({_METHODS})$",
    # a file or folder
    rf"^[^=]*({_PLACES})=(/|~|\.|\$|file:|jceks:|s3a?://|https?://|([\w.-]+/)*[\w-]+\.\w{{2,5}}$)",
    r"^[^=]*(ur[il]|endpoint|host)=(https?://)?[\w.:/-]*$",  # an address without user and query
    rf"^[^=]*({_NUMBERS})=[\d.]+[a-z]{{0,2}}$",
    rf"^[^=]*({_KINDS})=",
    rf"({_OTHERS})=\S*$",
)
# A secret in a command line (without quotes, if each argument is a string of its own), a header or JSON.
_GIVEN = _any(
    # aws secretsmanager get-secret-value --secret-id NAME: no secret, but it ends in what looks like one
    rf"secretsmanager\s[^;&|]*?--secret-id[\s=]+{_VALUE}",
    # PASSWORD=…, --password=…
    rf"{_SECRET}={_VALUE}",
    # --password …, -pass …, --pwd …
    rf"""(^|[\s"'])-(-?[\w.-]*{_SECRET}|{SHORT_SECRETS}|-?pwd)\s+{_VALUE}""",
    # curl --user NAME:PASSWORD
    r"""(^|[\s"'])(-[uU]|--(proxy-)?user)["'=\s]*\w[\w.@+-]*:[^\s$"'/][^\s"']*""",
    # a line of .netrc
    rf"\blogin\s+\S+\s+password\s+{_VALUE}",
    # sshpass -p …, redis-cli -a …, mysql -p…, docker login -p …
    rf"""\b(sshpass\s+-p|redis-cli\s([^;&|]*\s)?-a|(mysql\w*|login)\s([^;&|]*\s)?-p)["'=\s]*{_VALUE}""",
    # openssl -passin pass:…
    rf"""-pass(in|out)?\s+["']?pass:{_VALUE}""",
    # a line of an INI file
    rf"""(^|[\n'"]|\\n)[ \t]*[\w.-]*{_SECRET}[ \t]+=[ \t]+[^\s$"'<%-][^\s"']*""",
    # aws configure set NAME …, git config NAME …, dvc remote modify STORE NAME …
    rf"""(^|[\s"';&|(])(config\w*|dvc\s+remote\s+modify)\s([^;&|\n]*\s)?["']?[\w./:@-]*{_SECRET}["']?\s+{_VALUE}""",
    # mc alias set ALIAS URL KEY SECRET
    rf"\bmc\s+(alias\s+set|config\s+host\s+add)\s+\S+\s+\S+\s+\S+\s+{_VALUE}",
    rf"\b(vault|wandb)\s+login\s+{_VALUE}",
    # "password": "…" in JSON, password: … in YAML, Authorization: Bearer … in headers
    rf"""{_SECRET}(["']\s*:\s*|:\s+)["']?((?i:{_METHODS})\s+)?{_VALUE}""",
    # curl --header X-Token:…
    rf"""(-H|--header)["'=\s]*[\w-]*{_SECRET}:{_VALUE}""",
)
# What _GIVEN matches, but is no secret.
_TAKEN = _any(
    rf"""[=:\s]["']?({_PLAIN})[,;)\]}}]*$""",
    rf"""auth(orization)?["']?[=:\s]+["']?({_METHODS})$""",
    r"id[=\s]+\d+$",
    rf"({_OTHERS})[=\s]",
    # after --user: user and group; host and port
    r"[\s=u](\d+:\d+|root:root|(localhost|[\w-]+\.[\w.-]+):\d+)$",
    # a secret of AWS by its name; kubectl config set-credentials USER
    r"^secretsmanager\s|\sset-credentials\s",
)
# Secrets by their form, whatever their name.
_FORM = _any(
    r"\b(AKIA|ASIA)[A-Z0-9]{16}\b",  # AWS
    "-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY",  # PEM
    r"\b(gh[pousr]|github_pat)_\w{16,}",  # GitHub
    r"\bgl(pat|dt|rt|cbt|ptt)-[\w-]{16,}",  # GitLab
    r"\bxox[abeoprs]-[\w-]{10,}",  # Slack
    # OpenAI, Anthropic, OpenRouter; Stripe
    r"(^|[^\w-])(sk-[A-Za-z0-9]{20,}|sk-(proj|ant|svcacct|admin|or-v1)-[\w-]{16,}|[sr]k_(live|test)_\w{10,})",
    r"\bhf_[A-Za-z0-9]{20,}",  # Hugging Face
    r"\bAIza[\w-]{35}",  # Google
    r"\bnpm_[A-Za-z0-9]{30,}|\bpypi-[\w-]{50,}",  # package registries
    r"\bdop_v1_\w{20,}",  # DigitalOcean
    r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}",  # JSON Web Tokens
    r"\bSG\.[\w-]{16,}\.[\w-]{16,}",  # SendGrid
    r"\bdapi[0-9a-f]{32}",  # Databricks
    r"\bya29\.[\w-]{20,}|\bGOCSPX-[\w-]{20,}",  # Google, OAuth
    r"\bhvs\.[\w-]{20,}",  # Vault
    r"\bglsa_\w{20,}",  # Grafana
    r"\bdckr_pat_[\w-]{16,}",  # Docker Hub
    r"\bshpat_\w{20,}",  # Shopify
    r"\b(gsk|r8)_[A-Za-z0-9]{20,}",  # Groq, Replicate
    r"\bAGE-SECRET-KEY-1",  # age
    r"\bATATT3[\w=-]{20,}",  # Atlassian
    r"\btskey-[a-z]+-\w{10,}",  # Tailscale
    r"\blin_api_\w{20,}",  # Linear
    r"\bsntrys_[\w=]{20,}",  # Sentry
    r"\b([Bb]earer|[Bb]asic) [\w+/.~-]*\d[\w+/.~-]{11,}",  # HTTP headers
    r"hooks\.slack\.com/\w+/\w|://[^\s'\"]*/(api/)?(web)?hooks?b?[0-9]?/[^\s'\"]*[A-Za-z0-9]{16}",  # webhooks
    r"\bjdbc:oracle:\w+:[^\s/@]+/[^\s@]+@",  # Oracle's addresses, with a password
)
# What errors.without_secrets removes from addresses.
_ADDRESS = _any(
    r"""://([^/\s'"]*@|[^\s/:'"@\[]+:\d*[^\d\s/'"@][^\s@]*@)""",  # user, or user:password
    r"""(^|[\s'"(=,])[^\s/:'"@()=,]+:[^\s/'"@]+@[\w\[]""",  # user:password@host without a scheme
    r"""https?://[^\s'"<>?]*\?""",  # a query: a presigned one is as good as a key
    # parts of a signature
    r"\b((X-(Amz|Goog)-)?(Signature|Credential|Security-Token)|AWSAccessKeyId|GoogleAccessId|sig)"
    r"""(['"]|&#?\w+;)?(=|: ?)(['"]|&#?\w+;)?[^&\s,;'"<>)]""",
)
PATTERNS = {
    # A name whose value is a secret.
    "name": rf"(?i:{SECRET_NAME.pattern})",
    "harmless": rf"(?i:{_HARMLESS})",
    # NAME=VALUE that is a secret although _HARMLESS matches it: the address of a webhook.
    "hook": r"(?i:webhooks?[._-]?ur[il]=[^$])",
    "given": _GIVEN,
    "taken": rf"(?i:{_TAKEN})",
    "form": _FORM,
    "address": rf"(?i:{_ADDRESS})",
    # In free text, only an address with a password is surely meant to be private.
    "password": r"""://([^/\s'"@]*:[^/\s'"@]*@|[^\s/:'"@\[]+:\d*[^\d\s/'"@][^\s@]*@)""",
    # Spark's own way to give pods a secret: it names the secret, and does not contain it.
    "reference": r"^spark\.kubernetes\.(driver|executor)\.(secretKeyRef|secrets)\.",
}
_COMPILED = {name: re.compile(pattern, re.ASCII) for name, pattern in PATTERNS.items()}
IMAGE = "image"  # name:tag@digest looks like user:password@host
FREE_TEXTS = {"labels", "annotations"}
COMMAND_LINES = {"args", "command"}
VARIABLES = [("env",), ("httpHeaders",)]
TEMPLATE = "template"  # of a pod


def find(settings: Settings) -> list[str]:
    """The names of the settings that are a secret, or may contain one."""
    given = sources.changed(settings)
    conf = given.get("spark", {}).pop("conf", {})
    found = [*_of_spark(conf), *(".".join(path) for path, text in _texts(given) if _is_open(path, text))]
    return list(dict.fromkeys(found))


def _is(name: str, text: str) -> bool:
    return _COMPILED[name].search(text) is not None


def _is_named(name: str, value: str) -> bool:
    """Whether a variable or property called so holds a secret."""
    entry = f"{name}={value}"
    return _is("name", name) and (_is("hook", entry) or not _is("harmless", entry))


def _is_given(text: str) -> bool:
    """Whether a command line or the like contains a secret."""
    return any(not _is("taken", found[0]) for found in _COMPILED["given"].finditer(text))


def _of_spark(conf: Mapping[str, str]) -> Iterator[str]:
    for key, value in conf.items():
        if not _is("reference", key) and (
            _is_named(key, value) or _is_given(value) or _is("form", value) or _is("address", value)
        ):
            yield f"spark.conf.{key}"


def _is_open(path: tuple[str, ...], text: str) -> bool:
    if path[-1] == IMAGE:
        return False
    if _is("form", text):
        return True
    if FREE_TEXTS & set(path):
        return _is("password", text)
    is_variable = path[-2:-1] in VARIABLES or path[0] == "emr" or TEMPLATE in path  # attributes of volumes, too
    is_given = path[0] == "kubernetes" and _is_given(text)
    return _is("address", text) or is_given or (is_variable and _is_named(path[-1], text))


def _texts(data: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """All texts with their paths: those of variables under the variable's name, command lines as one text."""
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
