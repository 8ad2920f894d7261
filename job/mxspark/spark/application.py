"""The Spark application: its start, its tasks, and its end.

Pixels never cross the border between Python and the JVM: a task gets a shard's
number and gives back a small report.
"""

import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pyspark
from pyspark import Accumulator, AccumulatorParam, SparkConf, SparkContext, TaskContext
from pyspark.java_gateway import launch_gateway

from mxspark.errors import LONGEST_SAID, SECRET_NAME, MxsparkError, how_it_ended, one_line, without_secrets
from mxspark.settings import document
from mxspark.settings.job import Settings, SparkSettings
from mxspark.spark import java, pods, run_key, session
from mxspark.spark.class_archive import ClassArchive
from mxspark.spark.configuration import (
    MAX_FAILURES,
    PREFER_IPV6_VARIABLE,
    UNIX_SOCKETS,
    configuration,
    is_user_set,
    shard_failures,
)
from mxspark.spark.errors import translated
from mxspark.spark.failed_tasks import JavasTasks, ShardTries
from mxspark.spark.failing_executors import FailedTask, FailingExecutors
from mxspark.spark.lost_pods import JavasPods, LostPods
from mxspark.spark.pods import DriverPod
from mxspark.spark.run_folders import RunFolders, fits_socket
from mxspark.spark.worker_daemon import PREPARED
from mxspark.text.words import counted
from mxspark.worker.shard import Job, ShardReport, run_shard

FAREWELL_SECONDS = 2  # between the end of Java's connections and its own
POD_TEMPLATE = "spark.kubernetes.executor.podTemplateFile"
JAVA_OPTIONS = "spark.driver.extraJavaOptions"
EXECUTOR_JAVA_OPTIONS = "spark.executor.extraJavaOptions"
SOCKET_FOLDER = "spark.python.unix.domain.socket.dir"
CANCEL_TRIES = 10  # each followed by CANCEL_SECONDS for the job to end
CANCEL_SECONDS = 1.0
STAGE = "fetch, decode and predict; one task a shard"  # what Spark's pages call it
MOST_EXECUTORS = 10_000  # Spark's own default for dynamic allocation is 2^31 - 1
STOP_SECONDS = 20  # for Java to end by itself
# For the first run, which writes the class archive at its end: killed, each further run would start that again.
ARCHIVE_SECONDS = 120


def versions() -> tuple[str, str]:
    """Spark's versions: that of its Python part, and that of the Java part which it would start, empty where it can't
    be told.

    Without what distributors append: EMR writes 3.5.6+amzn.1 in Python and 3.5.6-amzn-1 in the names of jars.
    """
    numbers = re.compile(r"\d+\.\d+\.\d+")
    python = numbers.match(pyspark.__version__)
    python_version = python[0] if python else pyspark.__version__
    home = os.environ.get("SPARK_HOME")
    if home is None:  # then Java's part is the one that came with the package
        return python_version, python_version
    core = next(Path(home, "jars").glob("spark-core_*.jar"), None)
    java_part = numbers.match(core.stem.rpartition("spark-core_")[2].partition("-")[2]) if core else None
    return python_version, java_part[0] if java_part else ""


def is_submitted() -> bool:
    """Whether spark-submit started this process: then its properties stand, and Java is there already."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def as_submitted(settings: Settings) -> Settings:
    """The settings with the master that spark-submit was given, or that the active session has, which they themselves
    may not know.
    """
    active = session.context()
    if active is None and not is_submitted():
        return settings
    master = active.master if active is not None else _submitted().get("spark.master", settings.spark.master)
    return settings.model_copy(update={"spark": settings.spark.model_copy(update={"master": master})})


class Application:
    """A running Spark application."""

    def __init__(self, settings: Settings, cache_dir: Path, debug: bool, daemon: Path | None = None) -> None:
        """Starts Spark, by `as_submitted` settings; takes seconds. Raises MxsparkError.

        `daemon` is the socket of a Python daemon that is prepared for this application.
        """
        _quiet_py4j(debug)
        self._stopped = False
        self._archive: ClassArchive | None = None
        self._java: subprocess.Popen[bytes] | None = None  # where this process started it
        self._lost_pods: LostPods | None = None
        conf = _submitted() if is_submitted() else SparkConf()
        chosen = _with_submitted_failures(settings.spark, conf)
        self._is_local, self._shard_failures = chosen.is_local, shard_failures(chosen)
        pod = DriverPod.from_environment(os.environ)
        if pod and pod.is_ipv6:
            os.environ.setdefault(PREFER_IPV6_VARIABLE, "true")
        for key, value in configuration(chosen, settings.kubernetes, pod, versions()[1]).items():
            # To a master that the user set, only its retries are added.
            if key == "spark.master" or not (is_submitted() and is_user_set(key, conf.contains)):
                conf.set(key, value)
        self._folders = RunFolders()
        if self._is_local:
            self._folders.keep_blocks(conf, os.environ, is_submitted())
        if chosen.is_kubernetes and not conf.contains(POD_TEMPLATE):
            template = self._folders.scratch / "executor.yaml"
            template.write_text(document.to_yaml(pods.executor_template(chosen, settings.kubernetes)))
            conf.set(POD_TEMPLATE, str(template))
        if daemon is not None:
            conf.set(f"spark.executorEnv.{PREPARED}", str(daemon))
        self._start(conf, settings.spark, cache_dir, debug)
        if pod and self.is_kubernetes:
            pods_of_ours = JavasPods(
                self._context._jvm, conf.get("spark.kubernetes.namespace", "default"), self._context.applicationId
            )
            self._lost_pods = LostPods(pods_of_ours, self._addresses, 1 + self.most_executors)

    def _start(self, conf: SparkConf, settings: SparkSettings, cache_dir: Path, debug: bool) -> None:
        """Starts Java, where spark-submit hasn't, and the application in it."""
        # What Java and the workers print is only needed when something goes wrong.
        with tempfile.TemporaryFile() as log:
            try:
                gateway = (
                    None
                    if is_submitted()
                    else self._launch(conf, cache_dir, settings.class_archive, None if debug else log)
                )
                jvm = SparkContext._jvm if gateway is None else gateway.jvm
                # Why the run's key isn't in a secret of Kubernetes, where it should be.
                self.key_problem = run_key.give(conf, jvm, settings.app_name, self._folders.scratch)
                self._keep_sockets_private(conf, gateway)
                self._context = SparkContext(conf=conf, gateway=gateway)
                if not debug:
                    _silence_accumulators(self._context)
                if is_submitted() and not debug and not conf.contains("spark.log.level"):
                    # At spark-submit's level, INFO, our messages would be lost among Spark's.
                    self._context.setLogLevel("WARN")
            except MxsparkError:
                raise
            except Exception as error:  # pyspark raises anything when the JVM dies during the start
                log.seek(0)
                raise _not_started(error, log.read().decode(errors="replace")) from error

    def _keep_sockets_private(self, conf: SparkConf, gateway: Any) -> None:
        """Sockets of workers and of accumulators, which take pickles, are kept from others by the scratch folder, not
        by a umask alone.

        By a property of this one Java: executors elsewhere have no such folder. Their own are a container's (YARN,
        Kubernetes), or they have none (configuration.py).
        """
        SparkContext._ensure_initialized(gateway=gateway)
        SparkContext._jvm.java.lang.System.setProperty("java.io.tmpdir", str(self._folders.scratch))  # type: ignore[union-attr]
        if not fits_socket(self._folders.scratch):
            conf.set(UNIX_SOCKETS, "false")  # TCP then, with a token that each connection must give
        # This includes local-cluster's executors.
        elif (conf.get("spark.master") or "").startswith("local") and not conf.contains(SOCKET_FOLDER):
            conf.set(SOCKET_FOLDER, str(self._folders.scratch))

    def _launch(self, conf: SparkConf, cache_dir: Path, class_archive: bool, log: IO[bytes] | None) -> Any:
        """Starts the JVM. In a session of its own, so that Ctrl-C in a terminal reaches only this process, which
        then ends the rest.
        """
        home = java.java_home(cache_dir)
        os.environ["JAVA_HOME"] = str(home)
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        _import_nothing_from_here(os.environ)
        if (conf.get("spark.master") or "").startswith("local"):
            # Otherwise Java looks up its host's name, which fails without a network.
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
            if os.environ["PYSPARK_PYTHON"] == sys.executable:  # then the workers' Python has this package
                conf.setIfMissing("spark.python.daemon.module", "mxspark.spark.worker_daemon")
        options = conf.get(JAVA_OPTIONS, "")
        # Java's options are split at blanks. A folder with one is set when Java is up (_keep_sockets_private).
        if " " not in str(self._folders.scratch):
            options = f"-Djava.io.tmpdir={self._folders.scratch} {options}"
        if class_archive and not java.has_archive(home) and (conf.get("spark.master") or "").startswith("local"):
            jars = Path(os.environ.get("SPARK_HOME") or Path(pyspark.__file__).parent, "jars")
            self._archive = ClassArchive(cache_dir, f"{home} {pyspark.__version__}", jars)
            options = f"{options} {self._archive.options}"
            if not self._is_local:  # local-cluster's executors
                conf.set(
                    EXECUTOR_JAVA_OPTIONS,
                    f"{conf.get(EXECUTOR_JAVA_OPTIONS, '')} {self._archive.options_to_read}".strip(),
                )
        conf.set(JAVA_OPTIONS, str(options).strip())
        gateway = launch_gateway(  # type: ignore[no-untyped-call]
            _arguments(conf), {"stdout": log, "stderr": log, "start_new_session": True}
        )
        self._java = gateway.proc
        leave_numpy_out(gateway._gateway_client)
        return gateway

    @property
    def workers(self) -> int:
        """How many tasks run at a time."""
        conf = self._context.getConf()
        if self._is_local:  # the workers are the cores that Spark was given
            return int(self._context.defaultParallelism)
        slots = int(conf.get("spark.executor.cores", "1")) // int(conf.get("spark.task.cpus", "1"))
        slots = min(slots, int(conf.get("spark.executor.resource.gpu.amount", str(slots))))
        return max(1, self.most_executors * slots)

    @property
    def most_executors(self) -> int:
        """How many executors there are at most."""
        conf = self._context.getConf()
        is_dynamic = conf.get("spark.dynamicAllocation.enabled") == "true"
        executors = conf.get("spark.dynamicAllocation.maxExecutors" if is_dynamic else "spark.executor.instances", "2")
        return min(int(executors), MOST_EXECUTORS)

    @property
    def executors(self) -> int | None:
        """How many executors there are by now; None where workers are processes of this machine."""
        return None if self._is_local else int(self._context._jsc.sc().getExecutorMemoryStatus().size()) - 1

    def _addresses(self) -> set[str]:
        """The hosts of the executors that there are by now, and the driver's."""
        hosts = str(self._context._jsc.sc().getExecutorMemoryStatus().keySet().mkString(" ")).split()
        return {host.rpartition(":")[0].strip("[]") for host in hosts}

    @property
    def makes_archive(self) -> bool:
        """Whether Java writes the class archive at its end, which takes seconds."""
        return self._archive is not None and self._archive.is_new

    @property
    def is_kubernetes(self) -> bool:
        """Whether executors are pods."""
        return str(self._context.master).startswith("k8s://")

    @property
    def version(self) -> str:
        return str(self._context.version)

    def run(
        self,
        job: Job,
        shards: Sequence[int],
        on_report: Callable[[ShardReport], None],
        on_wait: Callable[[], None],
        on_bad_node: Callable[[FailedTask], None],
        poll_seconds: float = 0.2,
    ) -> tuple[FailedTask, ...]:
        """Runs the shards, one a task; returns the last failures of executors that could not work. Raises MxsparkError
        when a shard can't be done.

        Calls, in this thread, `on_report` as they end, `on_bad_node` for each executor that begins to fail, and
        `on_wait` every `poll_seconds`.
        """
        reports = self._context.accumulator([], _Reports())
        group = f"mxspark-{job.run_id}"
        tasks = JavasTasks(self._context, group)
        failing = FailingExecutors(1 if self._is_local else self.most_executors)
        tries = ShardTries(self._shard_failures)

        def look() -> None:
            on_wait()
            try:
                failed = tasks.failed()
                if not failed and not failing.is_due:
                    return
                executors = tasks.executors()  # only then: there may be a thousand
            except Exception:  # noqa: BLE001  # py4j raises what it likes when Java is gone, which ends the job itself
                return
            tries.update(failed)
            for task in failing.update((task.of_machine for task in failed if task.of_machine), executors):
                on_bad_node(task)

        def run_all() -> None:
            # Of this thread alone: a session that whoever calls has started keeps its own.
            self._context.setJobGroup(group, _description(job, len(shards)))
            self._context._jsc.setCallSite(STAGE)  # else stages are named after a line of this file
            tasks_of_shards = self._context.parallelize(shards, len(shards)).mapPartitions(_task(job, reports))
            # By Java's own count: Python's sets another call site, and runJob sends each partition's number by itself.
            once(tasks_of_shards._jrdd.count)()

        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(run_all)
            try:
                _follow(running, reports, on_report, look, poll_seconds)
                if (error := running.exception()) is not None:
                    raise translated(error, failing.failing) from error
            except BaseException as error:
                code = self._exit_code_of_java(error)
                if code is not None and isinstance(error, MxsparkError):
                    raise MxsparkError(
                        f"Spark's Java process ended ({how_it_ended(code)})",
                        "Out of memory, perhaps. Run the same command again: it resumes where this one stopped.",
                    ) from error
                if not cancel(lambda: self._context.cancelJobGroup(group), running) and self._java is not None:
                    self.kill()
                raise
        if failing.failing:
            with suppress(Exception):  # likewise: the job is done, and this is for the summary alone
                failing.forget_working(tasks.executors())
        return failing.failing

    def _exit_code_of_java(self, error: BaseException) -> int | None:
        """How Java ended, None where it lives or isn't this process's."""
        if self._java is None:
            return None
        if error.__cause__ is not None and not hasattr(error.__cause__, "java_exception"):
            # Not Java's own words: perhaps it is just about to be gone. Its connections end a moment before it does.
            with suppress(subprocess.TimeoutExpired):
                self._java.wait(FAREWELL_SECONDS)
        return self._java.poll()

    def stop(self) -> None:
        """Ends Spark; returns when its Java and Python processes are gone."""
        if self._stopped:
            return
        self._stopped = True
        if self._lost_pods is not None:
            self._lost_pods.stop()
        with suppress(Exception):
            self._context.stop()
        self._forget_gateway()
        if self._java is not None:
            _end(self._java, ARCHIVE_SECONDS if self.makes_archive else STOP_SECONDS)
            if self._archive is not None:
                self._archive.keep(is_whole=self._java.returncode == 0)  # killed, it may have been about to write it
        self._folders.close()

    def kill(self) -> None:
        """`stop` for a run that went wrong: on this machine Spark has nothing to save, so that no time is lost with
        an orderly end.
        """
        if self._java is None or not str(self._context.master).startswith("local"):
            self.stop()
        elif not self._stopped:
            self._stopped = True
            with suppress(ProcessLookupError):
                os.killpg(self._java.pid, signal.SIGKILL)  # Java leads a session, its Python workers are in it
            self._java.wait()
            self._forget_gateway()
            self._folders.close()

    def _forget_gateway(self) -> None:
        """So that a later run in this process starts a Java of its own, and nothing asks this one at exit."""
        if self._java is not None:
            with suppress(Exception):
                SparkContext._gateway.shutdown()  # type: ignore[union-attr]
            SparkContext._gateway = SparkContext._jvm = None
            SparkContext._active_spark_context = None


class BorrowedApplication(Application):
    """The application of a session that whoever calls has started: it goes on when the run has ended."""

    def __init__(self, context: SparkContext, settings: Settings) -> None:
        self._context = context
        self._is_local, self._shard_failures = settings.spark.is_local, session.task_failures(context)
        self._java = self._archive = self._lost_pods = self.key_problem = None

    def stop(self) -> None:
        """Nothing is this run's own but its job, which has ended."""

    kill = stop


def open_application(settings: Settings, cache_dir: Path, debug: bool, daemon: Path | None = None) -> Application:
    """The application of the active session, or one of its own. Raises MxsparkError."""
    active = session.context()
    return BorrowedApplication(active, settings) if active else Application(settings, cache_dir, debug, daemon)


def _import_nothing_from_here(environ: MutableMapping[str, str]) -> None:
    """Spark starts Python by `-m`, which imports from the working folder first: whoever can write there could put a
    numpy.py in it.
    """
    environ["PYTHONSAFEPATH"] = "1"
    ours = Path(__file__).resolve().parents[2]
    with suppress(OSError):  # a working folder that is gone
        if ours == Path.cwd():  # where mxspark itself comes from there, workers need the path
            environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ours), environ.get("PYTHONPATH"))))


def leave_numpy_out(client: Any) -> None:
    """Takes pyspark's converters of numpy's numbers from this one Java's client: our calls have none.

    Each argument of each call is shown to all converters, and these import pyspark's tools for tests, and with them
    pandas where it is installed: a second of a start.
    """
    client.converters = [one for one in client.converters if not type(one).__name__.startswith("Numpy")]


def _quiet_py4j(debug: bool) -> None:
    """py4j logs a stack trace of its own when Java goes away; what matters of it becomes an MxsparkError. At DEBUG it
    would log all that is sent to Java, secret properties and the tasks with their credentials too."""
    logging.getLogger("py4j").setLevel(logging.INFO if debug else logging.CRITICAL + 1)
    if not debug:
        logging.getLogger().addFilter(not_py4js)


def _with_submitted_failures(settings: SparkSettings, conf: SparkConf) -> SparkSettings:
    """The settings with spark-submit's number of failures of a task, which the limits that depend on it have to fit."""
    failures = configuration(settings)[MAX_FAILURES]
    if is_submitted() and (submitted := conf.get(MAX_FAILURES, failures)) != failures:
        return settings.model_copy(update={"conf": {**settings.conf, MAX_FAILURES: str(submitted)}})
    return settings


def not_py4js(record: logging.LogRecord) -> bool:
    """A filter for the root logger, where py4j logs some of its stack traces."""
    return f"{os.sep}py4j{os.sep}" not in record.pathname


def _submitted() -> SparkConf:
    """spark-submit's properties, which Python knows only once it is connected to Java."""
    SparkContext._ensure_initialized()
    return SparkConf()


def _arguments(conf: SparkConf) -> SparkConf:
    """What Java is started with, for all to read in process lists. Secrets reach Spark through a socket, when its
    context is made.
    """
    arguments = SparkConf(loadDefaults=False)
    for key, value in conf.getAll():
        is_hadoops = key.startswith("spark.hadoop.") and without_secrets(value) != value
        if not (is_hadoops or SECRET_NAME.search(key)):
            arguments.set(key, value)
    return arguments


def _silence_accumulators(context: SparkContext) -> None:
    """The server that takes the accumulators' values prints a stack trace when Java goes away, which is an
    MxsparkError elsewhere.
    """
    server = getattr(context, "_accumulatorServer", None)
    if server is not None:
        server.handle_error = lambda *_: None


def _not_started(error: Exception, log: str) -> MxsparkError:
    """Why there is no Spark, by pyspark's exception and by what Java printed."""
    if forbidden := _forbidden(error):
        hint = "docs/kubernetes.md has the Role that the driver's service account needs."
        return MxsparkError(f"Spark could not be started: {forbidden}", hint)
    cause = _first_error(log) or one_line(error)
    return MxsparkError(
        f"Spark could not be started: {cause}", "Check spark.master, spark.conf and Java; --debug shows it all."
    )


def _forbidden(error: Exception) -> str | None:
    """What Kubernetes refused among the causes of Java's exception, which itself only says that there is no
    scheduler.
    """
    cause = getattr(error, "java_exception", None)
    while cause is not None:
        if found := re.search(
            r"\b\w+(?: \"[^\"]*\")? is forbidden: User .+? cannot [^\n]+", str(cause.getMessage())[:LONGEST_SAID]
        ):
            return found[0].rstrip(".")
        cause = cause.getCause()
    return None


def _first_error(text: str) -> str | None:
    """What Java printed of an error, from the first line that names one on."""
    lines = [line.strip() for line in text.splitlines()]
    named = [line for line in lines if re.search(r"Error|Exception|Invalid|Unrecognized", line)]
    return without_secrets("; ".join(named[:2]))[:300] or None


class _Reports(AccumulatorParam[list[ShardReport]]):
    """Gathers the reports of the tasks that succeeded."""

    def zero(self, value: list[ShardReport]) -> list[ShardReport]:
        return []

    def addInPlace(self, value1: list[ShardReport], value2: list[ShardReport]) -> list[ShardReport]:  # noqa: N802
        value1 += value2
        return value1


def _description(job: Job, shards: int) -> str:
    """A job in Spark's pages and event log; places have no secrets (settings/job.py)."""
    settings = job.settings
    return f"mxspark: {counted(shards, 'shard')} of {settings.input.place} -> {settings.output.path}"


def _task(job: Job, reports: "Accumulator[list[ShardReport]]") -> Callable[[Iterable[int]], Iterable[None]]:
    def run(shards: Iterable[int]) -> Iterable[None]:
        for shard in shards:
            context = TaskContext.get()
            reports.add([run_shard(job, shard, session.device(), context.attemptNumber() if context else 0)])
        return ()

    return run


def once(method: Any) -> Any:
    """A method of Java's that py4j asks for once only.

    Where Ctrl-C comes in the middle of a call, py4j has Java close connections, those of other threads too. These then
    call again: a job would begin anew, without its group, so that nobody could cancel it.
    """
    method.gateway_client = _AskingOnce(method.gateway_client)
    return method


class _AskingOnce:
    """py4j's client, but for its second try."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def send_command(self, command: str, retry: bool = False, binary: bool = False) -> Any:
        return self._client.send_command(command, retry=False, binary=binary)


def cancel(call: Callable[[], object], running: "Future[Any]", seconds: float = CANCEL_SECONDS) -> bool:
    """Cancels a job by `call`, again where that fails; whether it has ended."""
    for _ in range(CANCEL_TRIES):
        # In a thread, and so by a connection, of its own: this thread's may still have the answer to the interrupted
        # call, and would take it for this one's.
        with ThreadPoolExecutor(1) as canceller:
            failure = canceller.submit(call).exception()
        if wait([running], seconds).done and failure is None:
            return True
    return False


def _follow(
    running: "Future[Any]",
    reports: "Accumulator[list[ShardReport]]",
    on_report: Callable[[ShardReport], None],
    on_wait: Callable[[], None],
    poll_seconds: float,
) -> None:
    while True:
        ended = running.done()
        on_wait()
        while reports.value:  # not kept: there may be ten thousand
            on_report(reports.value.pop(0))
        if ended:
            break
        with suppress(TimeoutError):
            running.exception(timeout=poll_seconds)


def _end(java_process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Java ends when its standard input does; that it has ended is what makes sure that nothing is left when this
    process ends.
    """
    with suppress(OSError):
        if java_process.stdin:
            java_process.stdin.close()
    try:
        java_process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        java_process.kill()
        java_process.wait()
