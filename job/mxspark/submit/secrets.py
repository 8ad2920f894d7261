"""Secrets in settings that go to a cluster or to AWS, where many may read them.

PATTERNS is the one list of what they look like: the chart's templates have it too (`make chart`). So all of them have
to be what Go's regular expressions can do as well: no looking ahead or behind.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mxspark.errors import SECRET_ENDS, SECRET_NAME, SECRET_TAIL, SECRET_WORDS, SHORT_SECRETS
from mxspark.settings import sources
from mxspark.settings.job import Settings

HINT = (
    "Put it into a secret of the cluster: kubernetes.credentials_from names that of a bucket's keys, and in a template "
    "a variable has valueFrom. Addresses have no user, password or query here."
)
# A value; $(NAME) is a variable that Kubernetes fills in, $NAME and ${NAME} one that a shell does.
_VALUE = r"""["']?([^\s$"'-]|\$([^({A-Z_]|$))[^\s"']*"""
_SECRET = rf"(?i:({SECRET_WORDS}|{SECRET_ENDS}){SECRET_TAIL}([._-]?id)?)"
# Values that are no secret whatever their name: switches, secrets and keys of AWS by their names, paths, placeholders,
# classes.
_PLAIN = (
    r"true|false|on|off|yes|no|none|null|arn:aws\S*|alias/\S*|/(etc|run|var|mnt|opt|home|tmp|secrets?)/[\w./-]*"
    r"|<[^<>\s]*>"
    r"|(org|com|io|net)(\.\w+){2,}"
)
_METHODS = (
    r"basic|bearer|token|apikey|digest|negotiate|plain|login|kerberos|simple|ntlm|oauth2?|oidc|ldap|iam|saml"
    r"|m?tls|scram-sha-\d+"
)
# Ends of names: of places where a secret lies, of numbers and of words about it.
_PLACES = "file|path|dir|directory|folder|credentials?|mount|location"
_NUMBERS = (
    r"bits|bytes|length|len|size|count|limit|ttl|seconds|secs?|minutes|hours|days|timeout|expiry|expiration|age"
    r"|lifetime|duration|interval"
    r"|ratio|version|retries|per_\w+|id|index"
)
_KINDS = (
    "name|arn|provider|class|algorithm|type|kind|mode|mechanism|method|scheme|format|backend|store|issuer|audience"
    "|scope|itemkey|keyspace"
    "|policy|strategy|prefix|separator|key[._-]?header"
)
_OTHERS = (
    r"oldpwd|(by|com|high|low|band|multi|single|two)[._-]?pass|tokenizers_\w+|max_(\w+_)?tokens"
    r"|(eos|bos|pad|unk|cls|sep|mask)[_-]token"
)
PATTERNS = {
    # A name whose value is a secret.
    "name": rf"(?i:{SECRET_NAME.pattern})",
    # NAME=VALUE that is none all the same.
    "harmless": rf"(?i:^[^=]*=({_PLAIN}|\$\([\w.-]+\))?$|^[^=]*auth(orization)?=({_METHODS})$"
    rf"|^[^=]*({_PLACES})=(/|~|\.|\$|file:|jceks:|s3a?://|https?://|([\w.-]+/)*[\w-]+\.\w{{2,5}}$)"
    rf"|^[^=]*(ur[il]|endpoint|host)=(https?://)?[\w.:/-]*$|^[^=]*({_NUMBERS})=[\d.]+[a-z]{{0,2}}$|^[^=]*({_KINDS})="
    rf"|({_OTHERS})=\S*$)",
    # The same, that is a secret after all: the address of a webhook.
    "hook": r"(?i:webhooks?[._-]?ur[il]=[^$])",
    # As programs take it on their command lines (with quotes gone, if they are an argument each), in headers and in
    # JSON.
    "given": rf"""secretsmanager\s[^;&|]*?--secret-id[\s=]+{_VALUE}"""
    rf"""|{_SECRET}={_VALUE}|(^|[\s"'])-(-?[\w.-]*{_SECRET}|{SHORT_SECRETS}|-?pwd)\s+{_VALUE}"""
    rf"""|(^|[\s"'])(-[uU]|--(proxy-)?user)["'=\s]*\w[\w.@+-]*:[^\s$"'/][^\s"']*"""
    rf"""|\blogin\s+\S+\s+password\s+{_VALUE}"""
    rf"""|\b(sshpass\s+-p|redis-cli\s([^;&|]*\s)?-a|(mysql\w*|login)\s([^;&|]*\s)?-p)["'=\s]*{_VALUE}"""
    # openssl's, and a line of an INI file
    rf"""|-pass(in|out)?\s+["']?pass:{_VALUE}|(^|[\n'"]|\\n)[ \t]*[\w.-]*{_SECRET}[ \t]+=[ \t]+[^\s$"'<%-][^\s"']*"""
    # aws configure set NAME VALUE, git config NAME VALUE, and the like
    rf"""|(^|[\s"';&|(])(config\w*|dvc\s+remote\s+modify)\s([^;&|\n]*\s)?["']?[\w./:@-]*{_SECRET}["']?\s+{_VALUE}"""
    rf"""|\bmc\s+(alias\s+set|config\s+host\s+add)\s+\S+\s+\S+\s+\S+\s+{_VALUE}|\b(vault|wandb)\s+login\s+{_VALUE}"""
    rf"""|{_SECRET}(["']\s*:\s*|:\s+)["']?((?i:{_METHODS})\s+)?{_VALUE}"""
    rf"""|(-H|--header)["'=\s]*[\w-]*{_SECRET}:{_VALUE}""",
    # What of that is none: a method, an id, a user and group by numbers, a host and port, the name of a secret of AWS.
    "taken": rf"""(?i:[=:\s]["']?({_PLAIN})[,;)\]}}]*$|auth(orization)?["']?[=:\s]+["']?({_METHODS})$|id[=\s]+\d+$"""
    rf"""|({_OTHERS})[=\s]"""
    r"|[\s=u](\d+:\d+|root:root|(localhost|[\w-]+\.[\w.-]+):\d+)$|^secretsmanager\s|\sset-credentials\s)",
    # Whatever it is called: ids of AWS's keys, private keys, tokens of well-known services, JWTs.
    "form": r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY|\b(gh[pousr]|github_pat)_\w{16,}"
    r"|\bgl(pat|dt|rt|cbt|ptt)-[\w-]{16,}|\bxox[abeoprs]-[\w-]{10,}"
    r"|(^|[^\w-])(sk-[A-Za-z0-9]{20,}|sk-(proj|ant|svcacct|admin|or-v1)-[\w-]{16,}|[sr]k_(live|test)_\w{10,})"
    r"|\bhf_[A-Za-z0-9]{20,}|\bAIza[\w-]{35}|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[\w-]{50,}|\bdop_v1_\w{20,}"
    r"|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}|\bSG\.[\w-]{16,}\.[\w-]{16,}|\bdapi[0-9a-f]{32}|\bya29\.[\w-]{20,}"
    r"|\bGOCSPX-[\w-]{20,}"
    r"|\bhvs\.[\w-]{20,}|\bglsa_\w{20,}|\bdckr_pat_[\w-]{16,}|\bshpat_\w{20,}|\b(gsk|r8)_[A-Za-z0-9]{20,}"
    r"|\bAGE-SECRET-KEY-1|\bATATT3[\w=-]{20,}|\btskey-[a-z]+-\w{10,}|\blin_api_\w{20,}|\bsntrys_[\w=]{20,}"
    r"|\b([Bb]earer|[Bb]asic) [\w+/.~-]*\d[\w+/.~-]{11,}"
    # Webhooks, and addresses of Oracle's.
    r"|hooks\.slack\.com/\w+/\w|://[^\s'\"]*/(api/)?(web)?hooks?b?[0-9]?/[^\s'\"]*[A-Za-z0-9]{16}"
    r"|\bjdbc:oracle:\w+:[^\s/@]+/[^\s@]+@",
    # An address with a user or a query (a presigned one is as good as a key), or a signature: what
    # errors.without_secrets takes out.
    "address": r"""(?i:://([^/\s'"]*@|[^\s/:'"@\[]+:\d*[^\d\s/'"@][^\s@]*@)|(^"""
    r"""|[\s'"(=,])[^\s/:'"@()=,]+:[^\s/'"@]+@[\w\[]|https?://[^\s'"<>?]*\?"""
    r"""|\b((X-(Amz|Goog)-)?(Signature|Credential|Security-Token)|AWSAccessKeyId|GoogleAccessId|sig)"""
    r"""(['"]|&#?\w+;)?(=|: ?)(['"]|&#?\w+;)?[^&\s,;'"<>)])""",
    # In free texts only an address that has a password is surely none for all to read.
    "password": r"""://([^/\s'"@]*:[^/\s'"@]*@|[^\s/:'"@\[]+:\d*[^\d\s/'"@][^\s@]*@)""",
    # Spark's own way to give pods a secret: it says which one, not what is in it.
    "reference": r"^spark\.kubernetes\.(driver|executor)\.(secretKeyRef|secrets)\.",
}
_COMPILED = {name: re.compile(pattern, re.ASCII) for name, pattern in PATTERNS.items()}
IMAGE = "image"  # name:tag@digest looks like user:password@host
FREE_TEXTS = {"labels", "annotations"}
COMMAND_LINES = {"args", "command"}
VARIABLES = [("env",), ("httpHeaders",)]
TEMPLATE = "template"  # of a pod


def find(settings: Settings) -> list[str]:
    """The settings that are a secret, or may have one in them, by their names."""
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
    """Whether a command line or the like has a secret in it."""
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
