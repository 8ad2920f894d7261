"""Spark's properties as EMR on EKS takes them: as parameters of spark-submit, and as classifications."""

import re
from collections.abc import Mapping
from typing import Any

from mxspark.errors import UsageError
from mxspark.settings.emr import LONGEST_VALUE, MOST_PROPERTIES
from mxspark.settings.job import Settings
from mxspark.spark.configuration import JVM_OPTIONS, configuration
from mxspark.spark.pod_size import driver_size
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
PLAIN_WORD = re.compile(r"[\w.:/@%+,*\[\]-]+=[\w.:/@%+=,*\[\]-]+", re.ASCII)


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
    """The properties as sparkSubmitParameters and as spark-defaults. Where AWS would not take the latter, for their
    number or length, all that are plain words are parameters.
    """
    plain = [key for key, value in properties.items() if PLAIN_WORD.fullmatch(f"{key}={value}")]
    first = [key for key in SHOWN_FIRST if key in plain]
    is_long = any(_longest(*entry) > LONGEST_VALUE for entry in properties.items())
    if is_long or len(properties) - len(first) > MOST_PROPERTIES:
        first += [key for key in plain if key not in first]
    parameters = " ".join(f"--conf {key}={properties[key]}" for key in first)
    if len(parameters) > LONGEST_PARAMETERS:
        raise UsageError(
            f"spark.conf is too large: {len(parameters):,} characters of parameters",
            f"EMR accepts {LONGEST_PARAMETERS:,}: take some out.",
        )
    defaults = {key: value for key, value in properties.items() if key not in first}
    _check("spark.conf", defaults)
    return parameters, defaults


def _check(what: str, properties: Mapping[str, str]) -> None:
    """Raises UsageError if AWS takes no classification with these."""
    if len(properties) > MOST_PROPERTIES:
        hint = f"AWS accepts {MOST_PROPERTIES} at most, and more of spark.conf only as plain words: take some out."
        raise UsageError(f"{what} has {len(properties)} properties", hint)
    for key, value in properties.items():
        if not (is_one_line(key) and is_one_line(value)):
            hint = "AWS accepts neither empty values nor values of several lines: take it out."
            raise UsageError(f"{what}: {key} is {value!r}", hint)
        if (length := _longest(key, value)) > LONGEST_VALUE:
            hint = f"AWS accepts {LONGEST_VALUE:,} at most, and more of spark.conf only as plain words: shorten it."
            raise UsageError(f"{what}: {key} has {length:,} characters", hint)


def _longest(key: str, value: str) -> int:
    return max(len(key), len(value))


def classifications(settings: Settings, defaults: dict[str, str]) -> list[dict[str, Any]]:
    start_seconds = settings.emr.start_seconds
    of_submitter = submitters_place(settings)[0] | settings.emr.submitter
    _check("the pod that submits the job (emr.submitter, kubernetes.driver)", of_submitter)
    found = {
        "spark-defaults": defaults,
        "emr-job-submitter": of_submitter,
        "emr-containers-defaults": {} if start_seconds is None else {"job-start-timeout": str(start_seconds)},
    }
    return [{"classification": name, "properties": of_it} for name, of_it in found.items() if of_it]


def submitters_place(settings: Settings) -> tuple[dict[str, str], list[str]]:
    """The properties that put the pod that submits onto the driver's nodes, for on a spot node it would be lost with
    the node; and what of the driver's place they have no words for.
    """
    spec = pod_template(settings, "driver")["spec"]
    found: dict[str, str] = {}
    lacking = [key for key in ("affinity", "nodeName") if spec.get(key)]
    for key, value in (spec.get("nodeSelector") or {}).items():
        if str(value).strip():
            found[f"jobsubmitter.node.selector.{key}"] = str(value)
        else:
            lacking.append(f"selector {key} without a value")
    for toleration in spec.get("tolerations") or ():
        key, value, effect = (str(toleration.get(field) or "").strip() for field in ("key", "value", "effect"))
        place = f"jobsubmitter.node.toleration.{key}"
        # There is one for each key, and it writes the operator Exists as an empty value, which the API rejects.
        if key and value and effect and place not in found:
            found |= {place: value, f"{place}.effect": effect}
        else:
            lacking.append(f"toleration of {key or 'all taints'}")
    return found, lacking
