"""The images for EMR on EKS, built on the stand-in for AWS's: the script that checks them, and jobs started as EMR
starts them.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from mxspark.run.last_word import LINE
from mxspark.spark.configuration import JVM_OPTIONS
from tests.command import REPOSITORY, Finished, summary
from tests.image.conftest import EXAMPLE, digits
from tests.image.container import Image
from tests.image.images import docker
from tests.spark.conftest import ALL_DIGITS, read_table

SPARK = "3.5.9"  # requirements/spark35.txt
MXSPARK = "/opt/mxspark/venv/bin/mxspark"
# As EMR starts a job, and stricter: its folders mounted over the image's, nothing else that can be written, no right
# beyond a user's.
MOUNTED_OVER = ("/tmp", "/home/hadoop", "/mnt", "/var/log/fluentd", "/var/log/spark/apps", "/var/log/spark/user")
LOCKED_DOWN = (
    *("--network", "none", "--hostname", "localhost", "--env", "SPARK_DRIVER_BIND_ADDRESS=127.0.0.1"),
    *("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *(word for place in MOUNTED_OVER for word in ("--tmpfs", f"{place}:exec,mode=1777")),
)
# In the form of a request.
PROPERTIES = ("--conf", "spark.master=local[2]", "--conf", f"spark.driver.defaultJavaOptions={JVM_OPTIONS}")
DRIVER = ("driver", "--deploy-mode", "client", *PROPERTIES, "local:///opt/mxspark/infer_main.py")
ONE_WORKER = tuple(word.replace("local[2]", "local[1]") for word in DRIVER)
# What the stand-in lacks, as its Dockerfile says.
NOT_IN_THE_STAND_IN = {"/usr/bin", "/usr/lib/hadoop", "/usr/lib/hadoop/lib", "SparkPi", "Hadoop", "AWS's libraries"}

SETTINGS_FAULTS = """
USER root
WORKDIR /opt
ENTRYPOINT ["/usr/bin/env"]
CMD ["true"]
ENV SPARK_HOME= JAVA_HOME=/opt/java PATH=/usr/bin:/bin OPTIONS=a=b PYSPARK_PYTHON=/home/hadoop/venv/bin/python
"""
# What only AWS's image has, by name; one file less of it in the image with faults.
AWS_FILES = (
    "/usr/lib/hadoop/lib/guava.jar /usr/lib/hadoop/hadoop-common.jar /usr/lib/spark/examples/jars/spark-examples.jar"
)
FULLER_BASE = f"""
USER root
RUN mkdir -p /usr/lib/hadoop/lib /usr/lib/spark/examples/jars && touch {AWS_FILES} /usr/lib/hadoop/hadoop-aws.jar
USER hadoop:hadoop
"""
FILE_FAULTS = f"""
USER root
RUN mkdir -p /usr/lib/hadoop/lib /usr/lib/spark/examples/jars && touch {AWS_FILES}
RUN rm -r /opt/mxspark/venv /usr/lib/spark/jars/spark-sql_*.jar /usr/bin/pyspark \
    && echo 'spark.master local[1]' >>/etc/spark/conf/spark-defaults.conf \
    && echo >>/usr/bin/entrypoint.sh && touch /home/hadoop/needed && chown root /usr/bin/decom.sh \
    && chmod 600 /opt/mxspark/sbom.json && chown hadoop /opt/mxspark/LICENSE && rm /opt/mxspark/infer_main.py
USER hadoop:hadoop
"""


def check(*arguments: str, **environment: str) -> Finished:
    """tools/check-emr-image.py."""
    done = subprocess.run(
        [sys.executable, REPOSITORY / "tools" / "check-emr-image.py", *arguments],
        env={**os.environ, "DOCKER": docker(), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr, 0, "")


def subjects(checked: Finished, verdict: str) -> set[str]:
    """What the script has found to be so."""
    lines = (line for line in checked.output.splitlines() if line.startswith(verdict))
    return {line.removeprefix(verdict).strip().split(": ", 1)[0] for line in lines}


def changed(image: Image, dockerfile: str) -> Iterator[Image]:
    """The image with something added or wrong, removed at the end."""
    made = Image(image.docker, f"mxspark-tests-changed-{uuid4().hex[:12]}")
    subprocess.run(
        [made.docker, "build", "--quiet", "--tag", made.name, "-"],
        input=f"FROM {image}\n{dockerfile}",
        env={**os.environ, "DOCKER_BUILDKIT": "1"},
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    yield made
    subprocess.run([made.docker, "image", "rm", made.name], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def wrong_settings(emr_image: Image) -> Iterator[Image]:
    yield from changed(emr_image, SETTINGS_FAULTS)


@pytest.fixture
def wrong_files(emr_image: Image) -> Iterator[Image]:
    yield from changed(emr_image, FILE_FAULTS)


@pytest.fixture
def fuller_base(emr_image: Image, emr_base: str) -> Iterator[Image]:
    """The stand-in with some of the files that it lacks."""
    yield from changed(Image(emr_image.docker, emr_base), FULLER_BASE)


@pytest.mark.parametrize("name", ["emr_image", "gpu_emr_image"])
def test_the_images_pass_all_that_can_be_checked(request: pytest.FixtureRequest, name: str, emr_base: str) -> None:
    image: Image = request.getfixturevalue(name)

    checked = check(image.name, "--base", emr_base).ended_with(0)

    assert subjects(checked, "problem") == set()
    assert subjects(checked, "can't tell") == NOT_IN_THE_STAND_IN
    assert f"Python job: Spark {SPARK} Python 3.11" in checked.output
    assert "owner of /usr/bin/decom.sh: hadoop:hadoop" in checked.output
    assert checked.errors == ""


def test_wrong_settings_are_found(wrong_settings: Image, emr_base: str) -> None:
    checked = check(wrong_settings.name, "--base", emr_base).ended_with(1)

    lines = checked.output.splitlines()
    for words in (
        "user: root instead of hadoop:hadoop. End the Dockerfile with USER hadoop:hadoop.",
        "work directory: /opt instead of /home/hadoop. End the Dockerfile with WORKDIR /home/hadoop.",
        "entrypoint: /usr/bin/env instead of /usr/bin/entrypoint.sh. Take ENTRYPOINT out of the Dockerfile: EMR starts "
        "jobs by AWS's.",
        "command: true instead of none. Take CMD out of the Dockerfile.",
        "variable SPARK_HOME: none instead of /usr/lib/spark. Leave it as AWS's image has it: ENV "
        "SPARK_HOME=/usr/lib/spark.",
        "variable JAVA_HOME: /opt/java instead of /etc/alternatives/jre. Leave it as AWS's image has it: "
        "ENV JAVA_HOME=/etc/alternatives/jre.",
        "variables: not as in the base: PATH, SPARK_HOME, JAVA_HOME. Leave what AWS's image sets, or add to it.",
    ):
        assert f"problem     {words}" in lines
    expected = {
        "user",
        "work directory",
        "entrypoint",
        "command",
        "variable SPARK_HOME",
        "variable JAVA_HOME",
        "variables",
    }
    assert subjects(checked, "problem") == expected | {"Python job", "PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"}
    assert "there is an = in the value of OPTIONS" in checked.output
    assert "/home/hadoop/venv/bin/python is in /home/hadoop, which EMR mounts over" in checked.output


def test_wrong_files_are_found(wrong_files: Image, fuller_base: Image) -> None:
    checked = check(wrong_files.name, "--base", fuller_base.name).ended_with(1)

    for words in (
        "/usr/lib/hadoop: the base has hadoop-aws.jar. Leave what AWS put there.",
        "Hadoop: not as in the base: /usr/lib/hadoop/hadoop-aws.jar.",
        "SparkPi: ends with 101: ",
        "/usr/bin: the base has pyspark. Leave what AWS put there.",
        f"/usr/lib/spark/jars: the base has spark-sql_2.12-{SPARK}.jar.",
        f"Spark: not as in the base: /usr/lib/spark/jars/spark-sql_2.12-{SPARK}.jar.",
        "configuration: not as in the base: /etc/spark/conf/spark-defaults.conf. Leave them as AWS made them: EMR "
        "mounts its own",
        "entrypoint's file: not as in the base: /usr/bin/entrypoint.sh.",
        "folders that EMR mounts over: a job won't see /home/hadoop/needed. Put it elsewhere, /opt/mxspark for "
        "example, or remove it.",
        "owner of /usr/bin/decom.sh: root:hadoop instead of hadoop:hadoop. In the Dockerfile, as root: RUN chown "
        "hadoop:hadoop",
        "PYSPARK_PYTHON: /opt/mxspark/venv/bin/python is no Python 3.11: ",
        "/opt/mxspark/infer_main.py: hadoop:hadoop sees no such file.",
        "files in /opt/mxspark: by hadoop:hadoop can be changed: /opt/mxspark/LICENSE, can't be read: "
        "/opt/mxspark/sbom.json.",
        "/opt/mxspark/venv/bin/mxspark: ends with 127: ",
        "Python job: ends with 1",
    ):
        assert f"problem     {words}" in checked.output
    assert len(subjects(checked, "problem")) == 15
    assert "Traceback" not in checked.text


def test_an_image_that_is_none_for_emr_is_told_without_its_base(emr_base: str) -> None:
    """The stand-in itself: without our files, and with nothing to compare with."""
    checked = check(emr_base).ended_with(1)

    assert {
        "PYSPARK_PYTHON",
        "/opt/mxspark/infer_main.py",
        "owner of /usr/bin/decom.sh",
        "/usr/lib/hadoop",
    } <= subjects(checked, "problem")
    assert {"Spark", "configuration", "entrypoint's file"} <= subjects(checked, "can't tell")
    assert {"user", "work directory", "entrypoint"} <= subjects(checked, "ok")


def test_what_can_not_be_looked_at_is_told_in_one_line() -> None:
    assert "usage: " in check().ended_with(2).errors
    unknown = check("mxspark-tests:there-is-none").ended_with(2)
    assert unknown.errors == (
        "check-emr-image: no image mxspark-tests:there-is-none is here: build it (make image TARGET=emr) or pull it\n"
    )
    unreachable = check("mxspark:emr", DOCKER="/there/is/none").ended_with(2)
    assert unreachable.output == ""
    assert len(unreachable.errors.splitlines()) == 1


def test_spark_is_the_bases_to_the_byte(emr_image: Image, emr_base: str) -> None:
    """By other means than the script's."""
    script = "find /usr/lib/spark /etc/spark /usr/bin/entrypoint.sh -type f -exec sha256sum {} + | sort -k 2"

    assert emr_image.shell(script) == Image(emr_image.docker, emr_base).shell(script)


def test_all_digits_as_emr_starts_a_job(emr_image: Image, data: tuple[str, ...], output: Path) -> None:
    ran = emr_image.run(*DRIVER, *digits(), options=LOCKED_DOWN + data).succeeded()

    assert f"Running on cpu(0) with 2 workers, Spark {SPARK}" in ran.text
    table = read_table(str(output / "table"))
    assert len(table) == ALL_DIGITS
    assert set(table["status"]) == {"ok"}
    assert summary(output / "table")["accuracy"] >= 0.98


def test_a_job_that_fails_says_so_in_one_line_and_by_its_exit_code(
    emr_image: Image, data: tuple[str, ...], output: Path
) -> None:
    arguments = ("--input", "/data/images", "--model", "/data/none", "--output", "/out/table")

    ran = emr_image.run(*DRIVER, *arguments, options=LOCKED_DOWN + data).ended_with(2)

    said = [line for line in ran.text.splitlines() if "/data/none" in line]
    assert [line.startswith(LINE) for line in said] == [False, True]  # to people, and to whoever follows the job
    assert "Traceback" not in ran.text
    assert not (output / "table").exists()


def test_the_command_works_without_spark_submit(emr_image: Image, output: Path) -> None:
    told = json.loads(emr_image.run(MXSPARK, "doctor", "--json", options=LOCKED_DOWN).succeeded().output)
    findings = {finding["subject"]: finding["text"] for finding in told["findings"]}
    assert findings["Spark"] == SPARK
    assert findings["MXNet"] == "1.9.1, the CPU build"

    flags = (
        "--input",
        f"{EXAMPLE}/images",
        "--model",
        f"{EXAMPLE}/bundle",
        "--output",
        "/out/table",
        "--limit",
        "3",
        "--master",
        "local[1]",
        "--set",
        "spark.class_archive=false",  # nothing would read what it keeps for later runs
    )
    ran = emr_image.run(MXSPARK, "run", *flags, options=(*LOCKED_DOWN, "--volume", f"{output}:/out")).succeeded()
    assert "3 images: 3 ok, 0 failed" in ran.output
    assert f"Spark {SPARK}" in ran.errors


def test_the_gpu_image_runs_on_cpus_where_there_is_a_driver(
    gpu_emr_image: Image, data: tuple[str, ...], stub: tuple[str, ...], output: Path
) -> None:
    ran = gpu_emr_image.run(
        *ONE_WORKER, *digits("--limit", "300", "--context", "cpu"), options=LOCKED_DOWN + data + stub
    ).succeeded()

    assert "Running on cpu(0)" in ran.text
    assert summary(output / "table")["accuracy"] >= 0.98


def test_the_gpu_image_refuses_a_card_that_it_has_no_code_for(
    gpu_emr_image: Image, data: tuple[str, ...], stub: tuple[str, ...], output: Path
) -> None:
    ran = gpu_emr_image.run(*DRIVER, *digits("--context", "gpu"), options=LOCKED_DOWN + data + stub).ended_with(2)

    assert (
        "NVIDIA H100 80GB HBM3 (GPU 0) has compute capability 9.0, and mxnet-cu112 runs on 5.x, 6.x, 7.x and 8.x only"
        in ran.text
    )
    assert "Traceback" not in ran.text
    assert not (output / "table").exists()


def test_the_gpu_image_says_that_there_is_no_driver(gpu_emr_image: Image, data: tuple[str, ...], output: Path) -> None:
    """On every context: test_gpu.py."""
    ran = gpu_emr_image.run(*DRIVER, *digits("--context", "cpu"), options=LOCKED_DOWN + data).ended_with(2)

    assert "there is no NVIDIA driver" in ran.text
    assert "Traceback" not in ran.text
    assert not (output / "table").exists()
