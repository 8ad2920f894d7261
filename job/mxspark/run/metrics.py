"""A run's figures for Prometheus, served by the driver: what workers report of each shard, added up.

The only place that imports prometheus_client.
"""

import io
import os
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import ThreadingMixIn
from threading import BoundedSemaphore, Lock, Thread, Timer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mxspark import __version__
from mxspark.errors import UsageError
from mxspark.row_status import RowStatus
from mxspark.run.progress import Both, Meter, RunListener, Silent
from mxspark.settings.job import MetricsSettings, Settings
from mxspark.text.words import printable
from mxspark.worker.pipeline import Timings
from mxspark.worker.shard import ShardReport

PATH = "/metrics"
BUCKETS = (1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)  # of a shard's time [seconds]
MOST_EXECUTORS = 1000  # with figures of their own; executors come and go on spot nodes
OTHERS = "(others)"  # the executors beyond those
MOST_CONNECTIONS = 16  # at a time
CONNECTION_SECONDS = 10.0  # for which a client may keep a connection


class Metrics(Silent, Collector):
    """Listens to a run, and gives Prometheus what it has come to by now."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = Lock()  # the run reports in one thread, each client is answered in another
        self._meter = Meter()
        self._run_id = ""
        self._started = self._progressed = time.time()
        self._kept = 0
        self._images: Counter[str] = Counter({RowStatus.OK: 0})
        self._retries: Counter[str] = Counter()
        self._bytes = 0
        self._timings = Timings()
        self._buckets = [0] * (len(BUCKETS) + 1)  # how many shards took as long; the last: longer
        self._shard_seconds = 0.0
        self._executors: tuple[int, int] | None = None
        self._of_executors: dict[str, tuple[int, float]] = {}  # images, and seconds of its workers

    def begin(self, run_id: str) -> None:
        with self._lock:
            self._run_id = run_id

    def step(self, what: str) -> None:
        with self._lock:
            self._progressed = time.time()

    def planned(self, keys: int, done: int, shards: int, shards_done: int = 0) -> None:
        with self._lock:
            self._meter.planned(keys, done, shards, shards_done)
            self._kept, self._progressed = done, time.time()

    def done(self, images: int, failed: int, shards: int) -> None:
        with self._lock:
            self._meter.done(images, failed, shards)

    def executors(self, running: int, wanted: int) -> None:
        with self._lock:
            self._executors = running, wanted

    def shard(self, report: ShardReport) -> None:
        with self._lock:
            self._progressed = time.time()
            self._images.update(report.counts.by_status)
            self._retries.update(report.retries)
            self._bytes += report.bytes_read
            self._timings.add(report.timings)
            self._shard_seconds += report.seconds
            self._buckets[sum(report.seconds > bound for bound in BUCKETS)] += 1
            known = report.where in self._of_executors or len(self._of_executors) < MOST_EXECUTORS
            where = report.where if known else OTHERS
            images, seconds = self._of_executors.get(where, (0, 0.0))
            self._of_executors[where] = images + report.counts.rows, seconds + report.seconds

    def collect(self) -> Iterator[Metric]:
        """All metrics, as they are at one moment."""
        with self._lock:
            found = [*self._run(), *self._work(), *self._workers()]
        yield from found

    def _run(self) -> Iterator[Metric]:
        labels = {
            "run": self._run_id,
            "version": __version__,
            "output": self._settings.output.path,
            "precision": self._settings.precision,
        }
        yield InfoMetricFamily("mxspark_run", "The run.", labels)
        now = self._meter.now
        yield _gauge("run_started_timestamp_seconds", "When the run began [seconds since 1970].", self._started)
        yield _gauge(
            "last_progress_timestamp_seconds",
            "When a shard last ended, or a step began [seconds since 1970].",
            self._progressed,
        )
        yield _gauge("images_planned", "Images of the plan; 0 until there is one.", now.keys)
        yield _gauge("images_kept", "Images of the plan that an earlier run has done.", self._kept)
        yield _gauge("images_done", "Images of the plan that are done, an earlier run's included.", now.images)
        yield _gauge("shards_planned", "Shards of the plan; 0 until there is one.", now.shards)
        yield _gauge("shards_done", "Shards of the plan that are done, an earlier run's included.", now.shards_done)
        yield _gauge(
            "max_failed_fraction",
            "The setting max_failed_fraction, the share of failed images that ends the run.",
            self._settings.max_failed_fraction,
        )
        if now.rate:
            left = (now.keys - now.images) / now.rate
            yield _gauge("left_seconds", "How long the run still takes at its last rate [seconds].", left)

    def _work(self) -> Iterator[Metric]:
        """What this run's workers have done."""
        yield _counter("images", "Images that this run has done, by their rows' status.", "status", self._images)
        yield _counter("retries", "What workers have tried again, by cause.", "cause", self._retries)
        yield _counter(
            "stage_seconds",
            "Where workers' time went, by stage; fetch and decode are summed over threads [seconds].",
            "stage",
            vars(self._timings),
        )
        yield CounterMetricFamily("mxspark_fetched_bytes", "Bytes of the images that were fetched.", self._bytes)
        counts, total = [], 0
        for bound, number in zip((*map(str, BUCKETS), "+Inf"), self._buckets, strict=True):
            total += number
            counts.append((bound, total))
        family = HistogramMetricFamily("mxspark_shard_seconds", "How long a worker took for a shard [seconds].")
        family.add_metric([], counts, self._shard_seconds)
        yield family

    def _workers(self) -> Iterator[Metric]:
        if self._executors is not None:
            running, wanted = self._executors
            yield _gauge("executors", "Executors that run.", running)
            yield _gauge("executors_wanted", "Executors that the run may have.", wanted)
        images = {where: figures[0] for where, figures in self._of_executors.items()}
        seconds = {where: figures[1] for where, figures in self._of_executors.items()}
        yield _counter("executor_images", "Images that an executor has done.", "executor", images)
        yield _counter(
            "executor_busy_seconds", "How long an executor's workers took for them [seconds].", "executor", seconds
        )


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"mxspark_{name}", about, value)


def _counter(name: str, about: str, label: str, values: "dict[str, Any] | Counter[str]") -> Metric:
    family = CounterMetricFamily(f"mxspark_{name}", about, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family


@contextmanager
def listening(settings: Settings, progress: RunListener) -> Iterator[RunListener]:
    """`progress`, and metrics that are served beside it. Raises UsageError where their port can't be had."""
    metrics = Metrics(settings)
    with served(settings.metrics, metrics) as address:
        progress.note(f"Metrics: {address}")
        yield Both(progress, metrics)


@contextmanager
def served(settings: MetricsSettings, metrics: Metrics) -> Iterator[str]:
    """Answers who asks for `metrics`, and figures of this process; gives the address."""
    registry = CollectorRegistry()
    registry.register(metrics)
    ProcessCollector(registry=registry)
    host, port = settings.host or _host(), settings.port or 0
    server_class = _ServerIPv6 if ":" in host else _Server
    try:
        server = make_server(host, port, make_wsgi_app(registry), server_class, _Handler)
    except (OSError, ValueError, TypeError) as error:  # the latter two: of what is no host at all
        raise UsageError(
            f"metrics can't be served at {printable(host)} port {port}: {getattr(error, 'strerror', None) or error}",
            "Choose another metrics.port or metrics.host, or leave them out.",
        ) from None
    thread = Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{server.server_port}{PATH}"
    finally:
        try:
            server.shutdown()
        finally:
            server.server_close()
            thread.join()


def _host() -> str:
    """In a pod every address, which network policies guard; elsewhere this machine's own."""
    if "KUBERNETES_SERVICE_HOST" not in os.environ:
        return "127.0.0.1"
    return "::" if ":" in os.environ.get("POD_IP", "") else "0.0.0.0"  # noqa: S104


class _Server(ThreadingMixIn, WSGIServer):
    """Answers a few clients at a time; closes the connections of more."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._free = BoundedSemaphore(MOST_CONNECTIONS)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return self._free.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        # A timeout of the socket's would begin anew with each byte.
        limit = Timer(CONNECTION_SECONDS, _hang_up, [request])
        limit.daemon = True
        limit.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            limit.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no matter of the run's."""


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):  # it has ended by itself
        connection.shutdown(socket.SHUT_RDWR)


class _ServerIPv6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    def get_stderr(self) -> io.StringIO:
        """Where wsgiref writes what went wrong with a request, by tracebacks: nowhere."""
        return io.StringIO()

    def log_message(self, *_arguments: Any) -> None:
        """Who asks is not written to the run's log."""
