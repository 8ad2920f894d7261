"""Submitting to a cluster and following a job there, with a cluster that is played: what a real one rarely does."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Event
from typing import Any

import pytest

from mxspark.dataset.predictions import Counts, Row
from mxspark.errors import MxsparkError, OutOfSightError, PassingError, UsageError
from mxspark.row_status import RowStatus
from mxspark.run.last_word import LastWord, Results
from mxspark.run.progress import Progress
from mxspark.settings import document, sources
from mxspark.settings.job import Settings
from mxspark.spark.pods import PROGRESS_ANNOTATION
from mxspark.submit.kubernetes import diagnosis, follower, manifests
from mxspark.submit.kubernetes import job as kubernetes
from mxspark.submit.kubernetes.api_errors import ExistsError, ForbiddenError, MissingObjectError
from mxspark.submit.kubernetes.cluster import OLDEST, Cluster
from mxspark.submit.kubernetes.follower import Follower, Found
from mxspark.submit.kubernetes.job import KubernetesJob
from mxspark.submit.outcome import Outcome
from tests.recording_listener import Heard

Manifest = dict[str, Any]
FOUND = Found("digits", "digits")


class Played(Cluster):
    """Objects in memory. `refuse` raises what the API server would answer when an object is made."""

    def __init__(self, refuse: Callable[[Manifest], None] = lambda _: None, version: tuple[int, int] = OLDEST) -> None:
        super().__init__("vision", "the played cluster", None, "--namespace vision --kube-context played", version)
        self.refuse = refuse
        self.objects: dict[str, Manifest] = {}  # by kind
        self.started: list[str] = []
        self.driver_pods: list[Manifest] = []
        self.executor_pods: list[Manifest] = []
        self.job_events: list[Manifest] = []
        self.job_quotas: list[Manifest] = []
        self.lines: tuple[str, ...] = ()
        self.log_is_there = True

    def create(self, manifest: Manifest) -> Manifest:
        self.refuse(manifest)
        self.objects[manifest["kind"]] = manifest
        return {**manifest, "metadata": {**manifest["metadata"], "uid": f"uid-of-{manifest['kind']}"}}

    def start(self, name: str) -> None:
        self.started.append(name)

    def delete_job(self, name: str) -> None:
        self.objects.clear()

    def job(self, name: str) -> Manifest:
        try:
            return self.objects["Job"]
        except KeyError:
            raise MissingObjectError(f"reading the Job {name}: there is none") from None

    def jobs(self, selector: str) -> list[Manifest]:
        return []

    def pods(self, selector: str) -> list[Manifest]:
        return self.executor_pods if "component=executor" in selector else self.driver_pods

    def events(self, name: str) -> list[Manifest]:
        return self.job_events

    def quotas(self) -> list[Manifest]:
        return self.job_quotas

    def nodes(self) -> list[Manifest]:
        return []

    def log(self, pod: str, container: str, tail: int | None = None) -> Iterator[str]:
        if not self.log_is_there:
            raise UsageError(f'reading the log of pod {pod}: container "driver" is waiting to start', "")
        return iter(self.lines)

    def follow_log(self, pod: str, container: str, stop: Event, tail: int | None = None) -> Iterator[str]:
        return self.log(pod, container)

    def check(self, manifest: Manifest) -> None:
        self.refuse(manifest)


def settings(**changes: Any) -> Settings:
    given = {
        "input": {"path": "s3://photos/2024/"},
        "output": {"path": "s3://tables/2024"},
        "model": {"path": "s3://models/resnet"},
        "kubernetes": {"image": "registry/mxspark:1"},
        **changes,
    }
    return manifests.in_namespace(manifests.completed(document.parse(Settings, given, "settings"), "digits"), "vision")


def pod(phase: str, **status: Any) -> Manifest:
    return {
        "metadata": {"name": "digits-1", "creationTimestamp": "1"},
        "spec": {},
        "status": {"phase": phase, **status},
    }


def ended(code: int, reason: str = "Error", word: LastWord | None = None) -> Manifest:
    state = {"exitCode": code, "reason": reason, **({"message": word.to_json()} if word else {})}
    return pod(
        "Failed" if code else "Succeeded", containerStatuses=[{"name": "driver", "state": {"terminated": state}}]
    )


def telling(driver: Manifest, progress: Progress) -> Manifest:
    """A driver's pod that says how far it is."""
    annotations = {PROGRESS_ANNOTATION: json.dumps(progress.to_json())}
    return {**driver, "metadata": {**driver["metadata"], "annotations": annotations}}


def kept(code: int) -> Manifest:
    """A driver's pod that a container beside it keeps."""
    statuses = [
        {"name": "driver", "state": {"terminated": {"exitCode": code}}},
        {"name": "proxy", "state": {"running": {}}},
    ]
    return pod("Running", containerStatuses=statuses)


# ---- submitting ----


def test_the_job_waits_until_all_that_its_pod_needs_is_there_and_owns_it() -> None:
    cluster = Played()
    kubernetes.submit(settings(), cluster, "digits", Heard())
    objects = cluster.objects
    assert list(objects) == ["Job", "ConfigMap", "Service", "ServiceAccount", "Role", "RoleBinding", "NetworkPolicy"]
    assert objects["Job"]["spec"]["suspend"] is True
    for kind in list(objects)[1:]:
        (owner,) = objects[kind]["metadata"]["ownerReferences"]
        assert owner == {"apiVersion": "batch/v1", "kind": "Job", "name": "digits", "uid": "uid-of-Job"}
    assert cluster.started == ["digits"]


@pytest.mark.parametrize("kind", ["ConfigMap", "Service", "ServiceAccount", "Role", "RoleBinding", "NetworkPolicy"])
@pytest.mark.parametrize(
    "error", [ForbiddenError("not allowed", "docs"), ExistsError("there is one", "name"), KeyboardInterrupt()]
)
def test_whatever_can_t_be_made_nothing_is_left_behind(kind: str, error: BaseException) -> None:
    def refuse(manifest: Manifest) -> None:
        if manifest["kind"] == kind:
            raise error

    cluster = Played(refuse)
    with pytest.raises(type(error) if not isinstance(error, ForbiddenError) else MxsparkError):
        kubernetes.submit(settings(), cluster, "digits", Heard())
    assert cluster.objects == {}
    assert cluster.started == []


@pytest.mark.parametrize(
    ("kind", "code"), [("ServiceAccount", 2), ("Role", 2), ("RoleBinding", 2), ("Service", 1), ("Job", 1)]
)
def test_who_may_not_make_an_account_is_told_to_name_one(kind: str, code: int) -> None:
    def refuse(manifest: Manifest) -> None:
        if manifest["kind"] == kind:
            raise ForbiddenError(f"creating the {kind} is not allowed", "docs/kubernetes.md")

    with pytest.raises(MxsparkError) as refused:
        kubernetes.submit(settings(), Played(refuse), "digits", Heard())
    assert refused.value.exit_code == code
    assert ("kubernetes.service_account=NAME" in refused.value.hint) is (code == 2)


@pytest.mark.parametrize(
    ("hard", "changes", "fits"),
    [
        # The driver takes 2 GiB and a core, and so does an executor.
        ({"limits.memory": "6Gi"}, {"spark": {"executors": 3}}, "2 of 3 executors"),
        ({"cpu": "3"}, {"spark": {"executors": 3}}, "2 of 3 executors"),
        ({"pods": "1"}, {}, "0 of 2 executors"),
        ({"requests.ephemeral-storage": "1Gi"}, {}, "1 of 2 executors"),
        ({"pods": "0"}, {}, "not even the driver"),
        ({"requests.nvidia.com/gpu": "1"}, {"context": "gpu", "spark": {"executor_gpus": 1}}, "1 of 2 executors"),
        (
            {"pods": "3"},
            {"spark": {"executors": 8, "dynamic_allocation": {"enabled": True, "min_executors": 3}}},
            "2 of 3 executors",
        ),
    ],
)
def test_a_quota_s_room_is_counted_in_executors(hard: dict[str, str], changes: dict[str, Any], fits: str) -> None:
    cluster = Played()
    cluster.job_quotas = [
        {"metadata": {"name": "small"}, "spec": {}, "status": {"hard": hard, "used": dict.fromkeys(hard, "0")}}
    ]
    with pytest.raises(UsageError, match=f"quota small of namespace vision leaves room for {fits}"):
        kubernetes.submit(settings(**changes), cluster, "digits", Heard())
    assert cluster.objects == {}


@pytest.mark.parametrize(("suspended", "left"), [(True, 0), (False, 1)])
def test_where_the_answer_is_lost_the_suspended_job_goes_and_another_s_stays(suspended: bool, left: int) -> None:
    class Lost(Played):
        def create(self, manifest: Manifest) -> Manifest:
            super().create({**manifest, "spec": {**manifest["spec"], "suspend": suspended}})
            raise KeyboardInterrupt

    cluster = Lost()
    with pytest.raises(KeyboardInterrupt):
        kubernetes.submit(settings(), cluster, "digits", Heard())
    assert len(cluster.objects) == left


def test_executors_that_kubernetes_would_refuse_are_told_before_anything_is_made() -> None:
    def refuse(manifest: Manifest) -> None:
        if manifest["kind"] == "Pod":
            assert manifest["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "1"
            raise UsageError(
                "checking the Pod digits-exec-1: must be less than or equal to cpu limit", "Mend the setting."
            )

    cluster = Played(refuse)
    with pytest.raises(UsageError, match="digits-exec-1"):
        kubernetes.submit(settings(), cluster, "digits", Heard())
    assert cluster.objects == {}


def test_a_driver_that_kubernetes_would_refuse_is_told_before_anything_is_made() -> None:
    tried = []

    def refuse(manifest: Manifest) -> None:
        if manifest["kind"] == "Pod" and manifest["metadata"]["name"] == "digits-driver":
            tried.append(manifest)
            raise UsageError("checking the Pod digits-driver: violates PodSecurity", "Take it out.")

    cluster = Played(refuse)
    with pytest.raises(UsageError, match="digits-driver"):
        kubernetes.submit(
            settings(kubernetes={"image": "a", "driver": {"template": {"spec": {"hostNetwork": True}}}}),
            cluster,
            "digits",
            Heard(),
        )
    assert cluster.objects == {}
    (pod,) = tried
    assert pod["spec"]["hostNetwork"] is True
    assert "serviceAccountName" not in pod["spec"], "it is made after the Job"
    with pytest.raises(UsageError):
        kubernetes.submit(settings(kubernetes={"image": "a", "service_account": "spark"}), cluster, "digits", Heard())
    assert tried[-1]["spec"]["serviceAccountName"] == "spark"


def test_a_quota_that_may_be_about_other_pods_is_left_to_kubernetes() -> None:
    cluster = Played()
    cluster.job_quotas = [
        {
            "metadata": {"name": "small"},
            "spec": {"scopes": ["BestEffort"]},
            "status": {"hard": {"pods": "0"}, "used": {"pods": "0"}},
        }
    ]
    kubernetes.submit(settings(), cluster, "digits", Heard())
    assert cluster.started == ["digits"]


@pytest.mark.parametrize("name", ["digits", "a", "photos-2024", "d" * 45])
def test_names_that_pods_can_have_are_taken(name: str) -> None:
    assert kubernetes.check_name(name) == name


@pytest.mark.parametrize("name", ["", "2024-photos", "Digits", "a.b", "a_b", "-a", "a-", "d" * 46, "a\n"])
def test_names_that_pods_can_t_have_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="--name"):
        kubernetes.check_name(name)


# ---- following ----


def follow(cluster: Played, heard: Heard, **options: Any) -> Outcome:
    return Follower(cluster, FOUND, heard, **{"logs": False, **options}).follow()


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "POLL_SECONDS", 0.0)


def played(job_status: Manifest, *drivers: Manifest, lines: tuple[str, ...] = ()) -> Played:
    cluster = Played()
    cluster.objects["Job"] = {"metadata": {"name": "digits", "labels": {}}, "spec": {}, "status": job_status}
    cluster.driver_pods = list(drivers)
    cluster.lines = lines
    return cluster


COMPLETE = {"conditions": [{"type": "Complete", "status": "True"}]}
FAILED = {
    "conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too often"}]
}


HALF = Progress(
    "Predicting", keys=9, images=4, shards=2, shards_done=1, notes=("Resuming", "Running on cpu"), notes_total=2
)
RESULTS = Results(
    Counts(Counter(ok=9)), {".txt": 1}, None, (Row("a.png", RowStatus.MISSING, "gone"),), "s3://tables/digits"
)


def test_followed_a_run_tells_how_far_it_is_what_should_be_known_and_its_results() -> None:
    heard = Heard()
    cluster = played(
        COMPLETE, telling(ended(0, "Completed", LastWord(0, results=RESULTS)), HALF), lines=("Starting Spark",)
    )
    assert follow(cluster, heard) == Outcome(0)
    assert heard.told == [HALF, RESULTS]
    assert [note for note in heard.notes if "river" not in note] == ["Resuming", "Running on cpu"]
    assert not heard.lines


def test_with_logs_the_log_tells_it_all() -> None:
    heard = Heard()
    cluster = played(
        COMPLETE,
        telling(ended(0, "Completed", LastWord(0, results=RESULTS)), HALF),
        lines=("Starting Spark", "9 images"),
    )
    assert follow(cluster, heard, logs=True) == Outcome(0)
    assert heard.lines == ["Starting Spark", "9 images"]
    assert not heard.told
    assert "Resuming" not in heard.notes


def test_a_note_is_told_once_and_how_far_it_is_when_that_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    story = [
        HALF,
        HALF,
        replace(HALF, images=5),
        replace(HALF, images=6, notes=("Running on cpu", "A shard failed"), notes_total=3),
    ]

    class Goes(Played):
        def pods(self, selector: str) -> list[Manifest]:
            if "component=executor" not in selector:
                self.driver_pods = [telling(pod("Running"), story.pop(0))]
                self.objects["Job"]["status"] = {} if story else COMPLETE
            return super().pods(selector)

    monkeypatch.setattr(follower, "PROGRESS_SECONDS", 0.0)
    cluster, heard = Goes(), Heard()
    cluster.objects["Job"] = {"metadata": {"name": "digits", "labels": {}}, "spec": {}, "status": {}}
    follow(cluster, heard)
    assert [note for note in heard.notes if "river" not in note] == ["Resuming", "Running on cpu", "A shard failed"]
    assert [progress.images for progress in heard.told if isinstance(progress, Progress)] == [4, 5, 6]


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", "[]", "null", '{"keys": "many"}', '{"keys": 1, "rate": "fast"}', '{"notes": 7}', "[" * 10_000],
)
def test_a_progress_that_nobody_here_knows_is_none(text: str) -> None:
    driver = pod("Running")
    driver["metadata"]["annotations"] = {PROGRESS_ANNOTATION: text}
    assert diagnosis.progress(driver) is None


def test_of_a_job_that_failed_the_driver_s_last_word_says_why() -> None:
    heard = Heard()
    cluster = played(
        FAILED, ended(2, word=LastWord(2, "s3://models: no model here", "Name its folder.")), lines=("Starting Spark",)
    )
    assert follow(cluster, heard) == Outcome(
        2, "the driver ended with exit code 2: s3://models: no model here", "Name its folder."
    )
    assert not heard.lines


def test_of_a_driver_that_could_say_no_last_word_the_end_of_its_log_comes() -> None:
    heard = Heard()
    assert follow(played(FAILED, ended(1), lines=("Starting Spark", "Error: no Java")), heard).exit_code == 1
    assert heard.lines == ["Starting Spark", "Error: no Java"]


@pytest.mark.parametrize(
    ("code", "reason", "exit_code", "cause"),
    [
        (2, "Error", 2, "exit code 2"),
        (3, "Error", 3, "exit code 3"),
        (1, "Error", 1, "exit code 1"),
        (137, "OOMKilled", 1, "OOMKilled"),
        (143, "Error", 1, "exit code 143"),
        (0, "Completed", 1, "exit code 0"),
    ],
)
def test_the_exit_code_is_the_driver_s_where_it_is_one_of_mxspark_s(
    code: int, reason: str, exit_code: int, cause: str
) -> None:
    found = follow(played(FAILED, ended(code, reason)), Heard())
    assert found.exit_code == exit_code
    assert cause in found.cause
    assert found.hint


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_where_a_sidecar_runs_on_the_end_is_the_driver_s(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "KEPT_SECONDS", 0.0)
    heard = Heard()
    found = follow(played({}, kept(code)), heard)
    assert found.exit_code == code
    assert any("its pod still runs container proxy" in note for note in heard.notes)


def test_a_sidecar_that_ends_a_moment_later_is_waited_for() -> None:
    class EndsLater(Played):
        looks = 0

        def job(self, name: str) -> Manifest:
            self.looks += 1
            return {**super().job(name), "status": COMPLETE if self.looks > 3 else {}}

    cluster, heard = EndsLater(), Heard()
    cluster.objects, cluster.driver_pods = played({}).objects, [kept(0)]
    assert follow(cluster, heard) == Outcome(0)
    assert not heard.notes


def test_a_container_beside_the_driver_ends_with_it_where_kubernetes_can_do_that() -> None:
    beside = {"spec": {"containers": [{"name": "driver"}, {"name": "proxy", "image": "proxy"}]}}
    chosen = settings(kubernetes={"image": "mxspark", "driver": {"template": beside}})
    cluster = Played()

    with pytest.raises(UsageError, match=r"a container proxy beside the driver, which Kubernetes 1\.27"):
        kubernetes.submit(chosen, cluster, "digits", Heard())
    assert cluster.objects == {}

    cluster = Played(version=(1, 29))
    kubernetes.submit(chosen, cluster, "digits", Heard())
    spec = cluster.objects["Job"]["spec"]["template"]["spec"]
    assert [container["name"] for container in spec["containers"]] == ["driver"]
    assert spec["initContainers"] == [{"name": "proxy", "image": "proxy", "restartPolicy": "Always"}]


def test_the_rule_by_which_a_job_is_not_started_again_is_not_told() -> None:
    rule = {
        "type": "Failed",
        "status": "True",
        "reason": "PodFailurePolicy",
        "message": "exit code 3 matching FailJob rule at index 0",
    }
    found = follow(played({"conditions": [rule]}, ended(3)), Heard())
    assert found.cause == "the driver ended with exit code 3"
    assert found.hint.startswith("Its log says why.")


def test_a_job_whose_driver_s_pod_is_gone_failed() -> None:
    found = follow(played(FAILED), Heard())
    assert found.exit_code == 1
    assert "the driver was lost" in found.cause


def test_a_job_that_somebody_deletes_is_told() -> None:
    with pytest.raises(MxsparkError, match="job digits is gone: it was deleted"):
        follow(Played(), Heard())


def test_a_driver_that_does_not_start_in_time_takes_its_job_with_it() -> None:
    cluster, heard = played({}), Heard()
    cluster.job_events = [{"reason": "FailedCreate", "message": "exceeded quota: small"}]
    with pytest.raises(
        MxsparkError, match="did not start within 0 s, and job digits was deleted: exceeded quota: small"
    ):
        follow(cluster, heard, start_seconds=0)
    assert cluster.objects == {}
    assert len(heard.notes) == 1, "what is the same is told once"


NO_NAME = {
    "containerStatuses": [
        {"name": "driver", "state": {"waiting": {"reason": "InvalidImageName", "message": "No Image"}}}
    ]
}


@pytest.mark.parametrize(
    ("driver", "events", "told"),
    [
        (pod("Pending", **NO_NAME), [], "InvalidImageName: No Image"),
        (
            None,
            ['pods "digits-ab" is forbidden: violates PodSecurity "restricted:latest": hostNetwork'],
            "violates PodSecurity",
        ),
        (
            None,
            ['pods "digits-ab" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi'],
            "maximum memory usage",
        ),
        (
            None,
            [
                'pods "digits-ab" is forbidden: exceeded quota: q, requested: pods=1,cpu=2, used: pods=0,cpu=0, '
                "limited: pods=9,cpu=1"
            ],
            "exceeded quota: q",
        ),
    ],
)
@pytest.mark.parametrize("start_seconds", [600, None])
def test_what_can_t_pass_ends_it_at_once(
    driver: Manifest | None, events: list[str], told: str, start_seconds: float | None
) -> None:
    cluster, heard = played({}, *([driver] if driver else [])), Heard()
    cluster.job_events = [{"reason": "FailedCreate", "message": message} for message in events]
    found = follow(cluster, heard, start_seconds=start_seconds)
    assert found.exit_code == 2
    assert "its driver can't start" in found.cause
    assert told in found.cause
    assert found.hint
    assert (cluster.objects == {}) is (start_seconds is not None), "who only follows a job leaves it"


def test_what_may_pass_is_told_once_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    full = "exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3"

    class Filling(Played):
        looks = 0

        def events(self, name: str) -> list[Manifest]:
            self.looks += 1
            return [
                {
                    "reason": "FailedCreate",
                    "message": f'Error creating: pods "digits-x{self.looks}" is forbidden: {full}',
                }
            ]

        def job(self, name: str) -> Manifest:
            return {
                "metadata": {"name": "digits", "labels": {}},
                "spec": {},
                "status": COMPLETE if self.looks == 5 else {},
            }

    cluster, heard = Filling(), Heard()
    assert follow(cluster, heard, start_seconds=600) == Outcome(0)
    assert len([note for note in heard.notes if full in note]) == 1


def test_an_image_that_can_t_be_pulled_is_told_once_whichever_pod_waits_for_it() -> None:
    def driver(name: str, reason: str) -> Manifest:
        waiting = pod(
            "Pending",
            containerStatuses=[
                {"name": "driver", "state": {"waiting": {"reason": reason, "message": "no such image"}}}
            ],
        )
        return {**waiting, "metadata": {"name": name, "creationTimestamp": "1"}}

    class Turning(Played):
        def __init__(self) -> None:
            super().__init__()
            self.looks = [
                driver(f"digits-{number}", reason)
                for number in range(2)
                for reason in ("ErrImagePull", "ImagePullBackOff")
            ]

        def pods(self, selector: str) -> list[Manifest]:
            return [] if "component=executor" in selector else [self.looks.pop(0)]

        def job(self, name: str) -> Manifest:
            return {
                "metadata": {"name": "digits", "labels": {}},
                "spec": {},
                "status": {} if len(self.looks) > 1 else COMPLETE,
            }

    heard = Heard()
    assert follow(Turning(), heard) == Outcome(0)
    assert [note.partition("\n")[0] for note in heard.notes] == [
        "Driver digits-0 is waiting: ErrImagePull: no such image"
    ]


def test_executors_that_are_lost_for_one_cause_are_told_once() -> None:
    lost = {"containerStatuses": [{"name": "e", "state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}]}
    executors = [{**pod("Failed", **lost), "metadata": {"name": f"digits-exec-{number}"}} for number in range(9)]
    heard = Heard()
    follow(Seen(executors), heard, settings=settings())
    assert [note.partition("\n")[0] for note in heard.notes if "was lost" in note] == [
        "Executor digits-exec-0 was lost: OOMKilled: it used more memory than its limit"
    ]


def test_a_log_that_can_t_be_had_is_told_and_not_pointed_at() -> None:
    class Without(Played):
        def follow_log(self, pod: str, container: str, stop: Event, tail: int | None = None) -> Iterator[str]:
            raise MxsparkError("its node can't provide the log: unable to retrieve container logs", "")

    cluster, heard = Without(), Heard()
    cluster.objects["Job"] = {"metadata": {"name": "digits", "labels": {}}, "spec": {}, "status": FAILED}
    cluster.driver_pods = [ended(1)]
    found = follow(cluster, heard)
    assert heard.notes == [
        "The driver's log can't be read: its node can't provide the log: unable to retrieve container logs"
    ]
    assert heard.lines == []
    assert found.hint.startswith("Its log, which may say why, can't be read: its node can't provide the log")


class Passing(Played):
    """The API server fails so many times when it is asked for the job."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures
        self.oddities: list[MxsparkError] = []

    def job(self, name: str) -> Manifest:
        self.failures -= 1
        if self.failures >= 0:
            raise PassingError("reading the Job digits failed: HTTP 503", "Try again later.")
        return {"metadata": {"name": "digits", "labels": {}}, "spec": {}, "status": COMPLETE}


def test_a_cluster_that_does_not_answer_for_a_while_is_told_and_the_job_is_followed_to_its_end() -> None:
    heard = Heard()
    assert follow(Passing(3), heard) == Outcome(0)
    assert heard.notes == ["reading the Job digits failed: HTTP 503; the job is not affected. Retrying"]


@pytest.mark.parametrize(
    "error", [MissingObjectError("listing the pods: there is none"), ExistsError("one already"), MxsparkError("odd")]
)
def test_an_odd_answer_does_not_end_it(error: MxsparkError) -> None:
    class Odd(Passing):
        def pods(self, selector: str) -> list[Manifest]:
            if self.oddities:
                raise self.oddities.pop()
            return []

    cluster, heard = Odd(0), Heard()
    cluster.oddities = [error, error]
    assert follow(cluster, heard) == Outcome(0)
    assert heard.notes == [f"{error.problem}; the job is not affected. Retrying"]


def test_a_log_in_that_has_expired_leaves_the_job_out_of_sight() -> None:
    class Expired(Played):
        def job(self, name: str) -> Manifest:
            raise UsageError("the cluster rejects the credentials of the kubeconfig", "Log in again.")

    with pytest.raises(OutOfSightError, match="rejects the credentials"):
        follow(Expired(), Heard())


def test_a_job_that_can_t_be_seen_any_more_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "PATIENCE_SECONDS", -1.0)
    with pytest.raises(OutOfSightError, match="HTTP 503") as lost:
        follow(Passing(1), Heard())
    assert lost.value.exit_code == 1


def test_a_job_that_ended_well_and_is_kept_no_longer_ended_well() -> None:
    class Removed(Played):
        def job(self, name: str) -> Manifest:
            found = super().job(name)
            self.objects.clear()
            return found

    cluster = Removed()
    cluster.objects["Job"] = {"metadata": {"name": "digits", "labels": {}}, "spec": {}, "status": {}}
    cluster.driver_pods = [pod("Succeeded")]
    assert follow(cluster, Heard()) == Outcome(0)


class Held(Played):
    """Its Job is suspended for two looks, and then complete."""

    looks = 0

    def job(self, name: str) -> Manifest:
        self.looks += 1
        is_held = self.looks < 3
        return {"metadata": {"name": name}, "spec": {"suspend": is_held}, "status": {} if is_held else COMPLETE}


def test_a_suspended_job_is_told_and_waited_for() -> None:
    heard = Heard()
    assert follow(Held(), heard, start_seconds=0) == Outcome(0)
    assert heard.notes == ["Job digits is suspended: no pod is created until it is resumed"]


@pytest.mark.parametrize("chosen", [{"labels": {"kueue.x-k8s.io/queue-name": "vision"}}, {"suspend": True}])
def test_a_job_of_a_queue_is_left_suspended(chosen: dict[str, Any]) -> None:
    cluster, other = Played(), Played()
    kubernetes.submit(settings(kubernetes={"image": "registry/mxspark:1", **chosen}), cluster, "digits", Heard())
    kubernetes.submit(settings(), other, "digits", Heard())
    assert (cluster.started, other.started) == ([], ["digits"])
    assert all(each.objects["Job"]["spec"]["suspend"] is True for each in (cluster, other))


class Seen(Played):
    """Its executors become `executors`, at once or when the result has been `heard`; with the next look at them the
    job is complete.
    """

    def __init__(self, executors: list[Manifest], heard: Heard | None = None) -> None:
        super().__init__()
        self.objects["Job"] = {"metadata": {"name": "digits", "labels": {}}, "spec": {}, "status": {}}
        self.driver_pods = [pod("Running")]
        self.executors = executors
        self.heard = heard

    def pods(self, selector: str) -> list[Manifest]:
        if "component=executor" not in selector:
            return self.driver_pods
        if self.heard is not None and not self.heard.told:
            return [pod("Running")]
        self.objects["Job"]["status"] = COMPLETE
        return self.executors


def test_quotas_that_have_no_room_for_another_executor_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "QUOTAS_SECONDS", 0.0)
    cluster, heard = Seen([pod("Running")]), Heard()
    cluster.job_quotas = [
        {"metadata": {"name": "small"}, "spec": {}, "status": {"hard": {"pods": "2"}, "used": {"pods": "2"}}}
    ]
    follow(cluster, heard, settings=settings())
    assert "Executors: 1 of 2 running" in heard.notes
    assert "No more executors can be created: quota small has no room for one: pods: 2 of 2 are used" in heard.notes


@pytest.mark.parametrize(
    ("phases", "told"),
    [
        (["Pending", "Pending"], ["Executors: 2 of 2 starting"]),
        (["Pending", "Running"], ["Executors: 1 of 2 running"]),
        (["Failed"], ["Executors: 0 of 2 running"]),
        ([], []),
    ],
)
def test_executors_that_only_need_time_are_not_told_as_missing(phases: list[str], told: list[str]) -> None:
    heard = Heard()
    follow(Seen([pod(phase) for phase in phases]), heard, settings=settings())
    assert [note for note in heard.notes if note.startswith("Executors")] == told


def test_what_is_left_of_a_cancelled_job_of_the_same_name_is_not_told() -> None:
    heard = Heard()
    old = pod("Running")
    old["metadata"]["ownerReferences"] = [{"name": "the-old-driver"}]
    ours = pod("Running")
    ours["metadata"]["ownerReferences"] = [{"name": "digits-1"}]
    follow(Seen([old, ours]), heard, settings=settings())
    assert "Executors: 1 of 2 running" in heard.notes
    assert Found("digits", "digits", uid="u-1").drivers == "batch.kubernetes.io/controller-uid=u-1"
    assert kubernetes.submit(settings(), Played(), "digits", Heard()).uid == "uid-of-Job"


def test_executors_that_end_with_the_job_are_not_told_as_lost() -> None:
    heard = Heard()
    ending = Seen([pod("Succeeded")], heard)
    ending.driver_pods = [telling(pod("Running"), replace(HALF, shards_done=2))]
    follow(ending, heard, settings=settings())
    assert "Executors: 0 of 2 running" not in heard.notes


# ---- looking ----


@pytest.mark.parametrize("name", ["", "no name", "../jobs", "Digits"])
def test_what_is_no_name_of_a_job_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is not a job's name"):
        KubernetesJob.find(Played(), name)


WAITS = {
    "containerStatuses": [
        {"name": "driver", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}
    ]
}


def test_of_a_driver_that_waits_the_status_says_why_and_there_is_no_log() -> None:
    cluster = played({}, pod("Pending", **WAITS))
    cluster.log_is_there = False
    cluster.objects["Job"]["metadata"]["creationTimestamp"] = "2024-01-01T00:00:00Z"
    cluster.objects["Job"]["spec"] = {"template": {"spec": {}}}
    found = KubernetesJob.find(cluster, "digits").status()
    assert (found.state, found.progress) == ("waiting", None)
    assert found.trouble is not None
    assert found.trouble.cause == "ErrImagePull: no such image"
    for follows in (False, True):
        with pytest.raises(MxsparkError, match="has no log yet: ErrImagePull: no such image"):
            list(KubernetesJob.find(cluster, "digits").logs(follow=follows))


@pytest.mark.parametrize("follows", [False, True])
def test_of_a_job_that_ended_and_whose_pods_are_gone_there_is_no_log(follows: bool) -> None:
    with pytest.raises(
        MxsparkError, match="job digits has ended, and its driver's log is gone with its pod: BackoffLimitExceeded"
    ):
        list(KubernetesJob.find(played(FAILED), "digits").logs(follow=follows))


def test_the_log_of_a_driver_that_is_coming_up_is_waited_for() -> None:
    class ComingUp(Played):
        def pods(self, selector: str) -> list[Manifest]:
            found = super().pods(selector)
            self.driver_pods = [pod("Running")]
            return found

    cluster = ComingUp()
    cluster.objects["Job"] = {"metadata": {"name": "digits", "labels": {}}, "spec": {}, "status": {}}
    cluster.driver_pods, cluster.lines = [pod("Pending")], ("Starting Spark",)
    assert list(KubernetesJob.find(cluster, "digits").logs(follow=True)) == ["Starting Spark"]


@pytest.mark.parametrize(
    ("job", "driver", "state", "code"),
    [
        ({}, pod("Pending"), "waiting", None),
        ({}, pod("Running"), "running", None),
        (COMPLETE, pod("Succeeded"), "complete", 0),
        (FAILED, ended(3), "failed: the driver ended with exit code 3 (BackoffLimitExceeded: too often)", 3),
        ({}, kept(3), "the driver has ended with exit code 3; its pod still runs container proxy", 3),
    ],
)
def test_a_job_s_state(job: Manifest, driver: Manifest, state: str, code: int | None) -> None:
    cluster = played(job, telling(driver, HALF))
    cluster.objects["Job"]["metadata"]["creationTimestamp"] = "2024-01-01T00:00:00Z"
    cluster.objects["Job"]["spec"] = {"template": {"spec": {}}}
    found = KubernetesJob.find(cluster, "digits").status()
    assert (found.state, found.exit_code) == (state, code)
    assert found.progress == HALF
    assert found.to_json()["progress"] == "4/9 images, 1/2 shards, 0 failed"
    assert found.to_json()["done"]["images"] == 4
    assert found.to_json()["drivers"] == [f"digits-1: {driver['status']['phase']}, no node yet"]


def test_the_status_says_why_executors_are_pending_and_why_there_are_no_more() -> None:
    words = "0/2 nodes are available: 2 Insufficient cpu."
    unschedulable = {
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}]
    }
    cluster = played({}, pod("Running"))
    cluster.objects["Job"]["metadata"]["creationTimestamp"] = "2024-01-01T00:00:00Z"
    text = document.to_yaml(sources.changed(settings(spark={"executors": 3})))
    cluster.objects["Job"]["spec"] = {"template": {"metadata": {"annotations": {"mxspark/settings": text}}, "spec": {}}}
    cluster.executor_pods = [pod("Pending", **unschedulable), pod("Pending", **unschedulable)]
    cluster.job_quotas = [
        {"metadata": {"name": "small"}, "spec": {}, "status": {"hard": {"pods": "3"}, "used": {"pods": "3"}}}
    ]
    found = KubernetesJob.find(cluster, "digits").status()
    assert [trouble.cause for trouble in found.waiting] == [f"Unschedulable: {words}"]
    assert found.missing == (
        "No more executors can be created: quota small has no room for one: pods: 3 of 3 are used",
    )
    plain = found.to_json()
    assert plain["waiting"][0]["cause"] == f"Unschedulable: {words}"
    json.dumps(plain)


class Release(Played):
    """The release `photos` of the chart, whose objects are called `other`; or with `helm=False` what its CronJob
    made.
    """

    def __init__(self, helm: bool = True) -> None:
        super().__init__()
        annotations = {"mxspark/release": "photos"} | ({"meta.helm.sh/release-name": "photos"} if helm else {})
        labels = {"app.kubernetes.io/instance": "other", "app.kubernetes.io/managed-by": "Helm"}
        meta = {
            "name": "other-1",
            "labels": labels,
            "annotations": annotations,
            "creationTimestamp": "2024-01-01T00:00:00Z",
        }
        self.made: Manifest = {"metadata": meta, "spec": {}, "status": COMPLETE}
        self.deleted: list[str] = []

    def job(self, name: str) -> Manifest:
        if name != "other-1":
            raise MissingObjectError(f"reading the Job {name}: there is none")
        return self.made

    def jobs(self, selector: str) -> list[Manifest]:
        return [self.made]

    def delete_job(self, name: str) -> None:
        self.deleted.append(name)


@pytest.mark.parametrize("name", ["other-1", "other", "photos"])
def test_a_release_s_job_is_found_by_its_names_and_not_deleted_behind_helm_s_back(name: str) -> None:
    cluster = Release()
    job = KubernetesJob.find(cluster, name)
    found = job.found
    assert (found.job, found.instance, found.owner and found.owner.what) == (
        "other-1",
        "other",
        "Helm's release photos",
    )
    assert job.end_command == "helm uninstall photos --namespace vision --kube-context played"
    with pytest.raises(UsageError, match="belongs to Helm's release photos") as refused:
        job.cancel(lambda _: pytest.fail("there is nothing to ask"))
    assert refused.value.hint == "helm uninstall photos --namespace vision --kube-context played removes it."
    assert cluster.deleted == []


@pytest.mark.parametrize(
    ("labels", "annotations", "told"),
    [
        ({}, {"argocd.argoproj.io/tracking-id": "vision:batch/Job:vision/other-1"}, "Argo CD's application vision"),
        ({"argocd.argoproj.io/instance": "vision"}, {}, "Argo CD's application vision"),
        ({"app.kubernetes.io/instance": "vision"}, {}, "Argo CD's application vision"),
        (
            {"helm.toolkit.fluxcd.io/name": "digits", "helm.toolkit.fluxcd.io/namespace": "jobs"},
            {"meta.helm.sh/release-name": "digits"},
            "Flux's HelmRelease jobs/digits",
        ),
        (
            {"kustomize.toolkit.fluxcd.io/name": "all", "kustomize.toolkit.fluxcd.io/namespace": "flux"},
            {},
            "Flux's Kustomization flux/all",
        ),
    ],
)
def test_a_job_that_gitops_made_is_ended_there_and_its_pods_are_found(
    labels: dict[str, str], annotations: dict[str, str], told: str
) -> None:
    cluster = Release(helm=False)
    cluster.made["metadata"]["labels"] |= labels
    cluster.made["metadata"]["annotations"] |= annotations
    cluster.made["spec"] = {"template": {"metadata": {"labels": {"app.kubernetes.io/instance": "other"}}, "spec": {}}}

    assert KubernetesJob.find(cluster, "other").found.executors == follower.selector("other", "executor"), (
        "whatever a tool wrote over the Job's label"
    )
    with pytest.raises(UsageError, match="job other-1 belongs to " + told) as refused:
        KubernetesJob.find(cluster, "other-1").cancel(lambda _: True)
    assert "delete" in refused.value.hint
    assert cluster.deleted == []
    assert told in KubernetesJob.find(cluster, "other-1").status().owner


def test_an_application_of_argo_s_whose_name_is_the_release_s_is_known_by_who_wrote_the_job() -> None:
    cluster = Release(helm=False)
    cluster.made["metadata"]["labels"]["app.kubernetes.io/instance"] = "other"
    cluster.made["metadata"]["managedFields"] = [{"manager": "argocd-controller", "operation": "Update"}]

    with pytest.raises(UsageError, match="belongs to Argo CD's application other"):
        KubernetesJob.find(cluster, "other-1").cancel(lambda _: True)


def test_one_run_of_a_schedule_can_be_cancelled() -> None:
    cluster = Release(helm=False)
    assert KubernetesJob.find(cluster, "photos").cancel(lambda _: False) is None
    assert cluster.deleted == []
    assert KubernetesJob.find(cluster, "photos").cancel(lambda _: True) == "Job other-1 is deleted."
    assert cluster.deleted == ["other-1"]


def test_where_a_schedule_s_run_writes_is_told_by_its_own_pod() -> None:
    cluster = Release(helm=False)
    template = {"metadata": {"annotations": {"mxspark/settings": "output: {path: s3://tables/nightly}"}}, "spec": {}}
    cluster.made["spec"] = {"template": template}
    assert KubernetesJob.find(cluster, "other-1").status().output == "s3://tables/nightly"


def test_a_job_that_is_not_there_may_be_a_schedule_s() -> None:
    with pytest.raises(MissingObjectError, match="namespace vision has no job nightly") as missing:
        KubernetesJob.find(Release(), "nightly")
    assert "schedule" in missing.value.hint
