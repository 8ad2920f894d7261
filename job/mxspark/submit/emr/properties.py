"""Spark's properties as EMR on EKS takes them: as parameters of spark-submit, and as classifications."""

import re
from collections.abc import Mapping
from typing import Any

from mxspark.errors import UsageError
from mxspark.settings.emr import LONGEST_VALUE, MOST_PROPERTIES
from mxspark.settings.job import Settings
from mxspark.spark.configuration import JVM_OPTIONS, configuration
from mxspark.spark.pod_size import driver_size
from mxspark.spark.pods import Manifest
from mxspark.submit.emr.pod_templates import CONTAINERS, pod_template

LONGEST_PARAMETERS = 102_400  # characters
DECOMMISSIONING = "/usr/bin/decom.sh"  # where AWS's image has the script of Spark's own images
DRIVER_TEMPLATE, EXECUTOR_TEMPLATE = (
    "spark.kubernetes.driver.podTemplateFile",
    "spark.kubernetes.executor.podTemplateFile",
)
# EMR's own, the last of its default Java options: a JVM that is out of memory had better end.
ON_OUT_OF_MEMORY = "-XX:OnOutOfMemoryError='kill -9 %p'"
COLLECTOR = re.compile(r"-XX:\+Use\w+GC\b")
# What EMR sets itself: a job run has the namespace of its virtual cluster, and service accounts made for its role.
EMRS_OWN = {
    "spark.master", "spark.submit.deployMode", "spark.kubernetes.namespace", "spark.kubernetes.driver.pod.name",
    "spark.kubernetes.driver.podTemplateContainerName", "spark.kubernetes.executor.podTemplateContainerName",
    DRIVER_TEMPLATE, EXECUTOR_TEMPLATE,
}  # fmt: skip
EMRS_CREDENTIALS = "spark.kubernetes.authenticate."  # what the names of more of them begin with
# What people look for first goes on spark-submit's command line; the other properties are defaults.
SHOWN_FIRST = (
    "spark.kubernetes.container.image", "spark.driver.cores", "spark.driver.memory", "spark.driver.memoryOverhead",
    "spark.executor.instances", "spark.executor.cores", "spark.executor.memory", "spark.executor.memoryOverhead",
)  # fmt: skip
# A word that is the same whether a shell splits it or a program does. `$` would be a parameter in job templates.
PLAIN_WORD = re.compile(r"[\w.:/@%+=,*\[\]-]+", re.ASCII)


def is_one_line(word: str) -> bool:
    """Whether AWS takes it: each line must have something visible, so that one line is simplest."""
    return bool(word.strip()) and word.isprintable()


def is_emrs_own(key: str) -> bool:
    """Whether EMR sets a property itself."""
    return key in EMRS_OWN or key.startswith(EMRS_CREDENTIALS)


def spark_properties(settings: Settings) -> dict[str, str]:
    """Those of every way of starting, without what EMR sets itself, and with those of the driver's pod, which Spark
    creates here.
    """
    conf = settings.spark.conf
    size = driver_size(settings.spark, settings.kubernetes)
    found = configuration(settings.spark, settings.kubernetes) | {
        "spark.kubernetes.driver.request.cores": size.cpu_request,
        "spark.kubernetes.driver.limit.cores": size.cpu_limit,
        "spark.kubernetes.decommission.script": DECOMMISSIONING,
        # Spark's defaults, which suit cluster mode; otherwise the driver, which computes its properties too, would set
        # those for client mode.
        "spark.kubernetes.executor.disableConfigMap": "false",
        "spark.kubernetes.driver.service.deleteOnTermination": "true",
        **{f"spark.{role}.defaultJavaOptions": _java_options(conf, role) for role in CONTAINERS},
    }
    ours = {f"spark.{role}.extraJavaOptions" for role in CONTAINERS}
    return {
        key: value for key, value in (found | conf).items() if not is_emrs_own(key) and (key not in ours or key in conf)
    }


def _java_options(conf: Mapping[str, str], role: str) -> str:
    """In place of EMR's defaults, which choose another collector: Spark joins defaults and a user's own, and Java
    accepts one collector.
    """
    is_chosen = COLLECTOR.search(conf.get(f"spark.{role}.extraJavaOptions", "")) is not None
    options = [option for option in JVM_OPTIONS.split() if not (is_chosen and COLLECTOR.fullmatch(option))]
    return " ".join([*options, ON_OUT_OF_MEMORY])


def split(properties: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The properties as sparkSubmitParameters and as spark-defaults, of which AWS takes a hundred: where there are
    more, the last that are plain words are parameters.
    """
    for key, value in properties.items():
        if not (is_one_line(key) and is_one_line(value)):
            raise UsageError(
                f"spark.conf: {key} is {value!r}",
                "EMR accepts neither empty values nor values of several lines: take it out.",
            )
    plain = [key for key, value in properties.items() if PLAIN_WORD.fullmatch(f"{key}={value}")]
    first = [key for key in SHOWN_FIRST if key in plain]
    first += [key for key in plain if key not in first and _longest(key, properties[key]) > LONGEST_VALUE]
    excess = max(0, len(properties) - len(first) - MOST_PROPERTIES)
    first += [key for key in reversed(plain) if key not in first][:excess]
    defaults = {key: value for key, value in properties.items() if key not in first}
    parameters = " ".join(f"--conf {key}={properties[key]}" for key in first)
    if too_long := [key for key, value in defaults.items() if _longest(key, value) > LONGEST_VALUE]:
        raise UsageError(
            f"spark.conf: {too_long[0]} has {len(defaults[too_long[0]]):,} characters",
            f"EMR accepts {LONGEST_VALUE:,} at most if there are spaces or quotes among them: shorten it.",
        )
    if len(defaults) > MOST_PROPERTIES or len(parameters) > LONGEST_PARAMETERS:
        raise UsageError(
            f"spark.conf is too large: {len(properties)} properties, of which {len(parameters):,} characters are "
            "parameters",
            f"EMR accepts {LONGEST_PARAMETERS:,} characters of parameters and {MOST_PROPERTIES} other properties: take "
            "some out.",
        )
    return parameters, defaults


def _longest(key: str, value: str) -> int:
    return max(len(key), len(value))


def classifications(settings: Settings, defaults: dict[str, str]) -> list[dict[str, Any]]:
    start_seconds = settings.emr.start_seconds
    found = {
        "spark-defaults": defaults,
        "emr-job-submitter": _submitter(settings),
        "emr-containers-defaults": {} if start_seconds is None else {"job-start-timeout": str(start_seconds)},
    }
    return [{"classification": name, "properties": of_it} for name, of_it in found.items() if of_it]


def _submitter(settings: Settings) -> dict[str, str]:
    """The pod that submits runs on the same nodes as the driver's: on a spot node it would be lost with the node."""
    spec = pod_template(settings, "driver")["spec"]
    found = {f"jobsubmitter.node.selector.{key}": value for key, value in selectors(spec).items() if value.strip()}
    for key, toleration in submitters_tolerations(spec).items():
        place = f"jobsubmitter.node.toleration.{key}"
        found |= {place: str(toleration["value"]), f"{place}.effect": str(toleration["effect"])}
        if "tolerationSeconds" in toleration:
            found[f"{place}.tolerationSeconds"] = str(toleration["tolerationSeconds"])
    found |= settings.emr.submitter
    if len(found) > MOST_PROPERTIES:
        raise UsageError(
            f"the pod that submits the job has {len(found)} properties, from emr.submitter and the driver's node "
            "selectors and tolerations",
            f"AWS accepts {MOST_PROPERTIES} at most: take some out.",
        )
    for key, value in found.items():
        if not (is_one_line(key) and is_one_line(value)) or _longest(key, value) > LONGEST_VALUE:
            raise UsageError(
                f"{key!r} is {value!r}",
                f"AWS accepts one line of 1 to {LONGEST_VALUE:,} characters: fix kubernetes.driver.",
            )
    return found


def selectors(spec: Manifest) -> dict[str, str]:
    return {str(key): str(value) for key, value in (spec.get("nodeSelector") or {}).items()}


def submitters_tolerations(spec: Manifest) -> dict[str, Manifest]:
    """By key, for which EMR has one property each. It writes the operator Exists as an empty value, which the API
    rejects.
    """
    found: dict[str, Manifest] = {}
    for toleration in spec.get("tolerations") or ():
        if all(str(toleration.get(key) or "").strip() for key in ("key", "value", "effect")):
            found.setdefault(str(toleration["key"]), toleration)
    return found
