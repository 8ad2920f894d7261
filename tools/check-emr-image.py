#!/usr/bin/env python3
"""Checks an image for EMR on EKS: what AWS's validator checks, AWS's rules for custom images, and that the job is there
and runs.

Usage: tools/check-emr-image.py IMAGE [--base BASE] Environment: DOCKER (the program to use; by default the Docker or
Podman that tools/docker.sh finds)

One line for each check: ok, problem (with what to do) or can't tell. Ends with 0 where nothing is a problem, with 1
where something is, with 2 where it can't look. With --base, the image that this one was built on, what AWS put there is
compared file by file: AWS's validator has lists of files instead, which end with EMR 6.14. Nothing is changed; the
containers in which it looks are removed again.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal

Verdict = Literal["ok", "problem", "can't tell"]

USER = "hadoop:hadoop"
WORK_DIR = "/home/hadoop"
ENTRYPOINT = ["/usr/bin/entrypoint.sh"]
VARIABLES = {"SPARK_HOME": "/usr/lib/spark", "JAVA_HOME": "/etc/alternatives/jre"}
MOUNTED_OVER = ("/home/hadoop", "/mnt", "/tmp", "/var/log/fluentd", "/var/log/spark/apps", "/var/log/spark/user")  # noqa: S108
# Beginnings of names that each release's image has: a few of those that the validator looks for. --base compares all.
FILES = {
    "/usr/bin": (
        "find-spark-home",
        "hadoop",
        "pyspark",
        "spark-class",
        "spark-example",
        "spark-shell",
        "spark-sql",
        "spark-submit",
    ),
    "/usr/lib/spark/jars": (
        "hadoop-client",
        "kubernetes-client",
        "scala-library",
        "spark-core",
        "spark-kubernetes",
        "spark-sql",
    ),
    "/usr/lib/hadoop": ("hadoop-annotations", "hadoop-auth", "hadoop-aws", "hadoop-common"),
    "/usr/lib/hadoop/lib": ("commons-cli", "guava", "httpclient", "zookeeper"),
}
# What must be as in the base, to the byte.
UNTOUCHED = {
    "Spark": ("/usr/lib/spark",),
    "Hadoop": ("/usr/lib/hadoop",),
    "AWS's libraries": ("/usr/share/aws",),
    "configuration": ("/etc/spark", "/etc/hadoop"),  # spark-defaults.conf and its neighbours
    "entrypoint's file": ("/usr/bin/entrypoint.sh",),
}
DECOMMISSION = "/usr/bin/decom.sh"
OURS = "/opt/mxspark"
JOB = f"{OURS}/infer_main.py"
COMMAND = f"{OURS}/venv/bin/mxspark"
PYTHON = "3.11"
EXAMPLES = "/usr/lib/spark/examples/jars/spark-examples.jar"
# A job whose tasks tell which Python they run in: the driver's and the executors' have to be the same.
PYTHON_JOB = """
import sys
from pyspark import SparkContext
def told(number):
    import mxspark
    return "%d.%d" % sys.version_info[:2]
context = SparkContext.getOrCreate()
print("Spark", context.version, "Python", *sorted(set(context.parallelize(range(2), 2).map(told).collect())))
"""
# A job that is over at once: neither compiled with care nor to be looked at.
QUICK = (
    "--deploy-mode",
    "client",
    "--conf",
    "spark.driver.extraJavaOptions=-XX:TieredStopAtLevel=1",
    "--conf",
    "spark.ui.enabled=false",
)
LIMIT_SECONDS = 600
SHOWN = 3  # names of files in one line


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: how it is, and what to do about it."""

    subject: str
    verdict: Verdict
    text: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.verdict:<12}{self.subject}: {self.text}{f'. {self.hint}' if self.hint else ''}"


class CannotLookError(Exception):
    """The check itself can't be made; its text is for the user."""


@dataclass(frozen=True)
class Image:
    """An image that is on this machine."""

    docker: str
    name: str

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """Entrypoint, User, Env, … as the image was built."""
        done = self._call("image", "inspect", self.name)
        if done.returncode != 0:
            raise CannotLookError(f"no image {self.name} is here: build it (make image TARGET=emr) or pull it")
        settings: dict[str, Any] = json.loads(done.stdout)[0]["Config"]
        return settings

    @cached_property
    def variables(self) -> dict[str, str]:
        return dict(variable.split("=", 1) for variable in self.settings.get("Env") or [])

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """A command by the image's own entrypoint, with empty folders where EMR mounts its own."""
        mounts = [word for place in MOUNTED_OVER for word in ("--tmpfs", f"{place}:exec,mode=1777")]
        # Spark looks its host's name up.
        return self._call("run", "--rm", "--network", "none", "--hostname", "localhost", *mounts, self.name, *command)

    def look(self, script: str, *arguments: str, user: str = "0") -> list[str]:
        """The lines that a script for bash prints in the image as it lies there."""
        command = ("/bin/bash", "-c", f"shopt -s globstar dotglob nullglob\n{script}", "bash", *arguments)
        done = self._call("exec", "--user", user, "--workdir", "/", self._container, *command)
        if done.returncode != 0:
            raise self._can_not_look(done)
        return done.stdout.splitlines()

    @cached_property
    def _container(self) -> str:
        """One for all looks, which takes a fifth of the time of one for each: it does nothing until `close`."""
        inside = ("--network", "none", "--user", "0", "--entrypoint", "/bin/sleep")
        done = self._call("run", "--detach", "--rm", *inside, self.name, str(24 * 3600))
        if done.returncode != 0:
            raise self._can_not_look(done)
        return done.stdout.strip()

    def close(self) -> None:
        """Removes that container."""
        if "_container" in self.__dict__:
            self._call("rm", "--force", self._container)

    def _can_not_look(self, done: "subprocess.CompletedProcess[str]") -> CannotLookError:
        return CannotLookError(f"can't look into {self.name}: {_last_words(done)}")

    def _call(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.docker, *arguments],
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    # Only bash and coreutils are used inside: Amazon Linux's small images have no find.

    def names(self, folder: str) -> set[str]:
        """What is in a folder; nothing where there is none."""
        return set(self.look('for path in "$1"/*; do echo "${path##*/}"; done', folder))

    def contents(self, *places: str) -> dict[str, str]:
        """Each file below the places to its SHA-256, each link to its target."""
        script = """
            files=()
            for place; do
                for path in "$place" "$place"/**; do
                    if [ -L "$path" ]; then echo "$(readlink "$path")  $path"
                    elif [ -f "$path" ]; then files+=("$path"); fi
                done
            done
            [ ${#files[@]} = 0 ] || sha256sum -- "${files[@]}"
        """
        return {path: content for content, _, path in (line.partition("  ") for line in self.look(script, *places))}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("image", metavar="IMAGE", help="e.g. mxspark:emr")
    parser.add_argument("--base", metavar="BASE", help="the image that it was built on (EMR_BASE), to compare with")
    given = parser.parse_args(arguments)
    try:
        docker = _docker()
        with closing(Image(docker, given.image)) as image, closing(Image(docker, given.base or "")) as base:
            well = True
            for finding in examine(image, base if given.base else None):
                print(finding, flush=True)
                well = well and finding.verdict != "problem"
    except (CannotLookError, subprocess.TimeoutExpired) as error:
        print(f"check-emr-image: {error}", file=sys.stderr)
        return 2
    return 0 if well else 1


def _docker() -> str:
    found = subprocess.run([Path(__file__).with_name("docker.sh")], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        raise CannotLookError(found.stderr.strip())
    return found.stdout.strip()


def examine(image: Image, base: Image | None) -> Iterator[Finding]:
    """Looks at everything, the validator's checks first."""
    yield from settings(image, base)
    yield from variables(image, base)
    for folder, beginnings in FILES.items():
        yield files(image, base, folder, beginnings)
    yield java_job(image, base)
    yield python_job(image)
    for subject, places in UNTOUCHED.items():
        yield untouched(image, base, subject, places)
    yield mounted_over(image, base)
    yield decommission(image)
    yield from pythons(image)
    yield from ours(image)


def settings(image: Image, base: Image | None) -> Iterator[Finding]:
    """User, work directory and entrypoint."""
    user, work_dir = image.settings.get("User") or "root", image.settings.get("WorkingDir") or "/"
    if base is not None and (theirs := base.settings.get("User")) != USER:
        yield Finding(
            "base's user", "problem", f"{theirs or 'root'} instead of {USER}", "Is --base an image of EMR on EKS?"
        )
    yield _same("user", user, USER, f"End the Dockerfile with USER {USER}.")
    yield _same("work directory", work_dir, WORK_DIR, f"End the Dockerfile with WORKDIR {WORK_DIR}.")
    yield _same(
        "entrypoint",
        image.settings.get("Entrypoint"),
        ENTRYPOINT,
        "Take ENTRYPOINT out of the Dockerfile: EMR starts jobs by AWS's.",
    )
    if base is not None:
        yield _same("command", image.settings.get("Cmd"), base.settings.get("Cmd"), "Take CMD out of the Dockerfile.")


def _same(subject: str, found: object, expected: object, hint: str) -> Finding:
    if found == expected:
        return Finding(subject, "ok", _words(found))
    return Finding(subject, "problem", f"{_words(found)} instead of {_words(expected)}", hint)


def _words(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value or "none")


def variables(image: Image, base: Image | None) -> Iterator[Finding]:
    """Environment variables."""
    for name, value in VARIABLES.items():
        yield _same(
            f"variable {name}", image.variables.get(name), value, f"Leave it as AWS's image has it: ENV {name}={value}."
        )
    theirs = base.variables if base else {}
    split = [name for name, value in image.variables.items() if "=" in value and theirs.get(name) != value]
    if split:
        hint = "AWS's validator can't read the image then: give it in the job's settings instead."
        yield Finding("variables", "problem", f"there is an = in the value of {_few(split)}", hint)
    if base is None:
        return
    # Paths may have been added to.
    changed = [name for name, value in theirs.items() if f":{value}:" not in f":{image.variables.get(name, '')}:"]
    if changed:
        yield Finding(
            "variables", "problem", f"not as in the base: {_few(changed)}", "Leave what AWS's image sets, or add to it."
        )
    else:
        yield Finding("variables", "ok", f"the base's {len(theirs)} are kept")


def files(image: Image, base: Image | None, folder: str, beginnings: Sequence[str]) -> Finding:
    """What the validator calls the file structure."""
    names, theirs = image.names(folder), base.names(folder) if base else set()
    if lost := sorted(theirs - names):
        return Finding(folder, "problem", f"the base has {_few(lost)}", "Leave what AWS put there.")
    lacking = [beginning for beginning in beginnings if not any(name.startswith(beginning) for name in names)]
    if lacking and base is None:
        return Finding(
            folder,
            "problem",
            f"there is no {_few(lacking)}",
            "Build on AWS's image; --base BASE tells whether that has it.",
        )
    if lacking:
        return Finding(folder, "can't tell", f"not in the base either: {_few(lacking)}", "Is --base AWS's own image?")
    return Finding(
        folder, "ok", f"{', '.join(beginnings)}" + (f"; all {len(theirs)} names of the base" if base else "")
    )


def java_job(image: Image, base: Image | None) -> Finding:
    """The validator's sample job. (Its version 1.05 hands bash the whole line as a file's name, and never looks at
    the exit code.)
    """
    subject = "SparkPi"
    jar = PurePosixPath(EXAMPLES)
    if jar.name not in image.names(str(jar.parent)):
        if base is None:
            return Finding(
                subject,
                "problem",
                f"there is no {EXAMPLES}",
                "Build on AWS's image; --base BASE tells whether that has it.",
            )
        if jar.name in base.names(str(jar.parent)):
            return Finding(subject, "problem", f"the base has {EXAMPLES}", "Leave what AWS put there.")
        return Finding(subject, "can't tell", f"not in the base either: {EXAMPLES}", "Is --base AWS's own image?")
    options = ("--master", "local", "--class", "org.apache.spark.examples.SparkPi")
    done = image.run("spark-submit", *QUICK, *options, f"local://{EXAMPLES}")
    if done.returncode == 0 and "Pi is roughly 3.1" in done.stdout:
        return Finding(subject, "ok", "runs")
    return Finding(
        subject,
        "problem",
        f"ends with {done.returncode}: {_last_words(done)}",
        "Fix the problems above, or what it says.",
    )


def python_job(image: Image) -> Finding:
    """A job in Python, with empty folders where EMR mounts its own."""
    start = 'printf %s "$1" >/tmp/job.py && exec spark-submit "${@:2}" --master "local[1]" /tmp/job.py'
    done = image.run("bash", "-c", start, "bash", PYTHON_JOB, *QUICK)
    told = done.stdout.strip().splitlines()[-1:]
    if done.returncode == 0 and told and told[0].endswith(f" Python {PYTHON}"):
        return Finding("Python job", "ok", told[0])
    return Finding(
        "Python job",
        "problem",
        f"ends with {done.returncode}: {_last_words(done)}",
        "Fix the other problems, or what it says.",
    )


def untouched(image: Image, base: Image | None, subject: str, places: Sequence[str]) -> Finding:
    """Whether AWS's files are as AWS made them."""
    where = " and ".join(places)
    if base is None:
        return Finding(
            subject, "can't tell", f"whether {where} is untouched", "Give --base, the image that this one was built on."
        )
    theirs, now = base.contents(*places), image.contents(*places)
    if not theirs:
        return Finding(subject, "can't tell", f"not in the base either: {where}", "Is --base AWS's own image?")
    changed = sorted(path for path in theirs.keys() | now.keys() if theirs.get(path) != now.get(path))
    if changed:
        hint = (
            "Leave them as AWS made them: EMR mounts its own configuration over the image's; the job's settings are "
            "for changes."
        )
        return Finding(subject, "problem", f"not as in the base: {_few(changed)}", hint)
    return Finding(subject, "ok", f"{where} as in the base: {len(theirs)} file{'s' * (len(theirs) > 1)}")


def mounted_over(image: Image, base: Image | None) -> Finding:
    """Nothing is put where a job can't see it."""
    subject = "folders that EMR mounts over"
    theirs = base.contents(*MOUNTED_OVER) if base else {}
    added = sorted(set(image.contents(*MOUNTED_OVER)) - set(theirs))
    if not added:
        return Finding(subject, "ok", "nothing was added there")
    if base is None:
        return Finding(
            subject,
            "can't tell",
            f"whether {_few(added)} is AWS's",
            "Give --base, the image that this one was built on.",
        )
    return Finding(
        subject, "problem", f"a job won't see {_few(added)}", f"Put it elsewhere, {OURS} for example, or remove it."
    )


def decommission(image: Image) -> Finding:
    """The script that EMR starts when a node is about to go."""
    told = image.look('[ ! -e "$1" ] || stat --format %U:%G "$1"', DECOMMISSION)
    if not told:
        return Finding(DECOMMISSION, "ok", "not there, so that nobody has to own it")
    return _same(
        f"owner of {DECOMMISSION}", told[0], USER, f"In the Dockerfile, as root: RUN chown {USER} {DECOMMISSION}."
    )


def pythons(image: Image) -> Iterator[Finding]:
    """The Pythons of the driver and of the executors."""
    path = image.variables.get("PYSPARK_PYTHON", "")
    hint = f"ENV PYSPARK_PYTHON={OURS}/venv/bin/python, and PYSPARK_DRIVER_PYTHON the same."
    if not path:
        yield Finding("PYSPARK_PYTHON", "problem", "not set: EMR would take its own Python, without our packages", hint)
        return
    if over := [place for place in MOUNTED_OVER if PurePosixPath(path).is_relative_to(place)]:
        yield Finding("PYSPARK_PYTHON", "problem", f"{path} is in {over[0]}, which EMR mounts over", hint)
    else:
        version = 'import sys; print("%d.%d" % sys.version_info[:2])'
        told = image.look('"$1" -c "$2" 2>&1 || true', path, version, user=USER)
        if told == [PYTHON]:
            yield Finding("PYSPARK_PYTHON", "ok", f"{path}, Python {PYTHON}")
        else:
            yield Finding(
                "PYSPARK_PYTHON", "problem", f"{path} is no Python {PYTHON}: {' '.join(told)}", "Build the image anew."
            )
    driver = image.variables.get("PYSPARK_DRIVER_PYTHON", path)
    yield _same("PYSPARK_DRIVER_PYTHON", driver, path, hint)


def ours(image: Image) -> Iterator[Finding]:
    """The job is there; hadoop may read it and may not change it."""
    hint = "Build the image anew (make image TARGET=emr); COPY --chmod=… is for other files."
    if not image.look('[ ! -f "$1" ] || echo there', JOB, user=USER):
        yield Finding(JOB, "problem", f"{USER} sees no such file", hint)
    else:
        yield Finding(JOB, "ok", "there")
    script = """
        for path in "$1" "$1"/**; do
            if [ -L "$path" ]; then continue
            elif [ ! -r "$path" ] || { [ -d "$path" ] && [ ! -x "$path" ]; }; then echo "can't be read: $path"
            elif [ -w "$path" ]; then echo "can be changed: $path"; fi
        done
    """
    if wrong := image.look(script, OURS, user=USER):
        yield Finding(f"files in {OURS}", "problem", f"by {USER} {_few(wrong)}", hint)
    else:
        yield Finding(f"files in {OURS}", "ok", f"{USER} may read them and not change them")
    done = image.run(COMMAND, "--version")
    if done.returncode == 0:
        yield Finding(COMMAND, "ok", done.stdout.strip())
    else:
        yield Finding(COMMAND, "problem", f"ends with {done.returncode}: {_last_words(done)}", hint)


def _few(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _last_words(done: "subprocess.CompletedProcess[str]") -> str:
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    # Of a Java error the line that names it, not the stack below.
    told = [line for line in lines if not line.startswith(("at ", "... "))]
    return told[-1][:300] if told else "it says nothing"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
