"""The entrypoint: what Spark on Kubernetes makes it start, and what people do."""

import shlex
import signal
import socket
from collections.abc import Callable

import pytest

from tests.command import Finished
from tests.image.container import Container, Image

# What Spark 4.3 sets in an executor's pod (BasicExecutorFeatureStep).
EXECUTOR = {
    "SPARK_DRIVER_URL": "spark://CoarseGrainedScheduler@10.0.0.1:7078",
    "SPARK_EXECUTOR_CORES": "3",
    "SPARK_EXECUTOR_MEMORY": "512m",
    "SPARK_APPLICATION_ID": "spark-0123",
    "SPARK_CONF_DIR": "/opt/spark/conf",
    "SPARK_EXECUTOR_ID": "7",
    "SPARK_RESOURCE_PROFILE_ID": "0",
    "SPARK_EXECUTOR_POD_IP": "10.0.0.2",
    "SPARK_EXECUTOR_POD_NAME": "job-exec-7",
    "SPARK_JAVA_OPT_0": "-Dfirst=a b",
    "SPARK_JAVA_OPT_1": "-Dsecond=*",
    **{f"SPARK_JAVA_OPT_{number}": f"-Dmore={number}" for number in range(2, 11)},
}
# Spark's own entrypoint: what it starts with these, but for `tini -s --` before it.
DRIVER_COMMAND = [
    *("/opt/spark/bin/spark-submit", "--conf", "spark.driver.bindAddress=10.0.0.1"),
    *("--conf", "spark.executorEnv.SPARK_DRIVER_POD_IP=10.0.0.1", "--deploy-mode", "client"),
    *(
        "--properties-file",
        "/opt/spark/conf/spark.properties",
        "--class",
        "org.apache.spark.deploy.PythonRunner",
        "local:///a b.py",
        "*",
    ),
]
# JARS stands for all of them.
EXECUTOR_COMMAND = [
    *(
        "/opt/java/bin/java",
        "-Dfirst=a b",
        "-Dsecond=*",
        *(f"-Dmore={number}" for number in range(2, 11)),
        "-Xms512m",
        "-Xmx512m",
    ),
    *("-cp", "/opt/spark/conf:JARS:/opt/spark/work-dir"),
    *("org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend", "--driver-url", EXECUTOR["SPARK_DRIVER_URL"]),
    *("--executor-id", "7", "--cores", "3", "--app-id", "spark-0123", "--hostname", "10.0.0.2"),
    *("--resourceProfileId", "0", "--podName", "job-exec-7"),
]
# In tini's place a program that prints what it would start, a line for each argument, and apart from it what
# spark-submit gives to Java.
SHOW = (
    r"""mkdir /tmp/bin && printf '#!/bin/sh\nprintf "%%s\n" "$@"\necho "$SPARK_SUBMIT_OPTS" >&2\n' >/tmp/bin/tini && """
    "chmod +x /tmp/bin/tini && "
    "PATH=/tmp/bin:$PATH exec /opt/entrypoint.sh "
)


def shown(image: Image, *arguments: str, **environment: str) -> Finished:
    variables = tuple(f"--env={name}={value}" for name, value in environment.items())
    return image.run("-c", SHOW + shlex.join(arguments), options=("--entrypoint", "/bin/sh", *variables)).succeeded()


def command_line(image: Image, *arguments: str, **environment: str) -> list[str]:
    """What the entrypoint makes tini start."""
    return shown(image, *arguments, **environment).output.splitlines()


LOADED = "/tmp/loaded"  # in a container, what Java has loaded


def is_archived(name: str, loaded: str) -> bool:
    """Whether Java had a class, and most of all, from the archive on top of its own."""
    archived = [line for line in loaded.splitlines() if line.endswith("source: shared objects file (top)")]
    from_jars = [line for line in loaded.splitlines() if "source: file:/opt/spark/jars/" in line]
    return any(f" {name} source: " in line for line in archived) and len(archived) > 10 * len(from_jars)


def jars(image: Image) -> str:
    """Spark's jars on a class path, in an order that no machine has another of: the first one is spark-class's own
    choice.
    """
    names = sorted(image.shell("ls /opt/spark/jars/*.jar").split())
    return ":".join([*(name for name in names if "/slf4j-api-" in name), *names])


def test_the_driver_is_started_as_sparks_own_entrypoint_does_with_java_s_quickest_compiler(cpu_image: Image) -> None:
    environment = {"SPARK_DRIVER_BIND_ADDRESS": "10.0.0.1", "SPARK_SUBMIT_OPTS": "-Done=own"}
    started = shown(cpu_image, "driver", *DRIVER_COMMAND[7:], **environment)
    assert started.output.splitlines() == ["-s", "--", *DRIVER_COMMAND]
    assert started.errors == "-XX:TieredStopAtLevel=1 -Done=own\n"


def test_an_executor_is_started_as_sparks_own_entrypoint_does(cpu_image: Image) -> None:
    expected = [word.replace("JARS", jars(cpu_image)) for word in EXECUTOR_COMMAND]
    assert command_line(cpu_image, "executor", **EXECUTOR) == ["-s", "--", *expected]


def test_further_class_paths_stand_where_spark_has_them(cpu_image: Image) -> None:
    more = {"HADOOP_CONF_DIR": "/hadoop", "SPARK_CLASSPATH": "/first.jar", "SPARK_EXTRA_CLASSPATH": "/last.jar"}
    started = command_line(cpu_image, "executor", **EXECUTOR, **more)
    class_path = started[started.index("-cp") + 1].replace(jars(cpu_image), "JARS")
    assert class_path == "/opt/spark/conf:/hadoop:/first.jar:JARS:/last.jar:/opt/spark/work-dir"


@pytest.mark.parametrize(
    ("role", "lacks"), [("driver", "SPARK_DRIVER_BIND_ADDRESS"), ("executor", "SPARK_EXECUTOR_MEMORY")]
)
def test_sparks_roles_say_that_they_are_not_for_people(cpu_image: Image, role: str, lacks: str) -> None:
    ended = cpu_image.run(role)
    assert ended.code != 0
    assert f"Error: {lacks} is not set" in ended.errors
    assert len(ended.errors.splitlines()) == 1


def test_a_program_of_the_image_is_started_as_it_is_and_anything_else_is_a_command_of_mxspark(cpu_image: Image) -> None:
    """All in one container: each start of one takes a second. The GPU image has the same entrypoint: the next test.

    And spark-submit has Spark's classes from the image's archive of them.
    """
    commands = ("echo 'a b' '*'", "spark-submit --version", "", "run --help", "mxspark --version", "--version")
    calls = "; echo END; ".join(f"/opt/entrypoint.sh {command} 2>&1" for command in commands)
    calls += f"; echo END; cat {LOADED}"
    options = ("--entrypoint", "/bin/sh", f"--env=SPARK_SUBMIT_OPTS=-Xlog:class+load:file={LOADED}")
    ran = cpu_image.run("-ec", calls, options=options).succeeded()

    echo, spark, nothing, run, named, version, loaded = ran.output.split("END\n")
    assert is_archived("org.apache.spark.deploy.SparkSubmit", loaded)
    assert echo == "a b *\n"
    assert "version 4.3.0" in spark
    assert "Offline image inference" in nothing
    assert "--max-failed-fraction" in run
    assert named == version
    assert version.startswith("mxspark ")


def test_an_unknown_command_is_an_error(our_image: Image) -> None:
    ended = our_image.run("frobnicate", "--now").ended_with(2)
    assert "No such command 'frobnicate'" in ended.errors
    assert "--help" in ended.errors


def test_sparks_own_executor_takes_that_command_line_and_decommissioning_waits_for_its_end(
    cpu_image: Image, started: Callable[..., Container]
) -> None:
    """It asks its driver, which never answers; so young, it knows no other answer to the signal than to end.

    And it has Spark's classes from the image's archive of them.
    """
    with socket.create_server(("127.0.0.1", 0)) as driver:
        url = f"spark://CoarseGrainedScheduler@127.0.0.1:{driver.getsockname()[1]}"
        environment = EXECUTOR | {
            "SPARK_DRIVER_URL": url,
            "SPARK_EXECUTOR_POD_IP": "127.0.0.1",
            "SPARK_LOCAL_IP": "127.0.0.1",
        }
        environment["SPARK_JAVA_OPT_11"] = f"-Xlog:class+load:file={LOADED}"
        options = ("--network", "host", *(f"--env={name}={value}" for name, value in environment.items()))
        container = started(cpu_image, "executor", options=options)
        driver.accept()

        loaded = container.run("cat", LOADED).succeeded().output
        assert is_archived("org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend", loaded)
        told = container.run("/opt/decom.sh")

        assert "decommissioning the executor" in told.text
    assert container.end()["ExitCode"] == 128 + signal.SIGPWR


def test_decommissioning_without_an_executor_says_so(cpu_image: Image) -> None:
    assert "no executor runs here" in cpu_image.run("/opt/decom.sh").text
